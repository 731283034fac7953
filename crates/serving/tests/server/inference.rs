//! The Open Inference Protocol: the same bits as `Score`, whatever the form of the tensors.

use proptest::prelude::*;
use prost::Message;
use segue_api::inference as oip;
use segue_api::inference::infer_parameter::ParameterChoice;
use segue_api::v1 as pb;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::harness::*;
use crate::tensors::*;

/// What `tritonclient.grpc` 2.73 sends for `input__0`, FP64, `[[40, 1, 1], [25, nan, 3]]`.
const MATRIX_REQUEST: &str = "0a05636875726e2a140a08696e7075745f5f301204465036341a0202033a30\
    0000000000004440000000000000f03f000000000000f03f0000000000003940000000000000f87f\
    0000000000000840";

/// What it sends for the same rows as INT64 `visits`, BYTES `plan` and FP32 `age`, with an id, version
/// 1, a timeout, and the outputs `segment` and `output__0`.
const NAMED_REQUEST: &str = "0a05636875726e1201311a03722d3722110a0774696d656f7574120610808c8d9e02\
    2a130a067669736974731205494e5436341a0202012a100a04706c616e120542595445531a01022a0e0a0361\
    67651204465033321a010232090a077365676d656e74320b0a096f75747075745f5f303a1001000000000000\
    0003000000000000003a0b0300000070726f000000003a08000020420000c841";

/// Sends the bytes of a message and gives the bytes of the answer, through bare HTTP/2.
async fn call(server: &TestServer, hex: &str) -> Vec<u8> {
    let message: Vec<u8> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect();
    let stream = tokio::net::TcpStream::connect(server.grpc).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let request = tonic::codegen::http::Request::post(
        "http://test/inference.GRPCInferenceService/ModelInfer",
    )
    .header("content-type", "application/grpc")
    .header("te", "trailers")
    .body(())
    .unwrap();
    let (answer, mut body) = client.send_request(request, false).unwrap();
    let frame = [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat();
    body.send_data(frame.into(), true).unwrap();
    let mut answer = answer.await.unwrap().into_body();
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.data().await {
        bytes.extend(chunk.unwrap());
    }
    let trailers = answer.trailers().await.unwrap().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    bytes.split_off(5)
}

#[tokio::test]
async fn the_bytes_of_an_unmodified_client_are_answered_in_kind() {
    let server = TestServer::start().await;
    let model = churn_model(0.0);
    let expected = [[40.0, 1.0, 1.0], [25.0, f64::NAN, 3.0]].map(|row| offline(&model, &row));
    let answer = call(&server, MATRIX_REQUEST).await;
    let answer = oip::ModelInferResponse::decode(&answer[..]).unwrap();
    assert_eq!((answer.model_name.as_str(), answer.model_version.as_str()), ("churn", "1"));
    assert!(!answer.id.is_empty());
    // Clients read raw contents only, so there must be nothing but them.
    assert!(answer.outputs[0].contents.is_none());
    assert_eq!(
        (answer.outputs[0].name.as_str(), &answer.outputs[0].shape[..]),
        ("output__0", &[2][..])
    );
    assert_eq!(doubles(&answer, 0), expected);

    let answer = call(&server, NAMED_REQUEST).await;
    // By hand: model_name 1, model_version 2, id 3, no parameters 4, outputs 5, raw contents 6.
    let head = b"\x0a\x05churn\x12\x011\x1a\x03r-7";
    assert_eq!(&answer[..head.len()], head);
    let tail = [
        &b"\x32\x08\0\0\0\0\0\0\0\0\x32\x10"[..],
        &expected[0].to_le_bytes(),
        &expected[1].to_le_bytes(),
    ];
    assert!(answer.ends_with(&tail.concat()), "{answer:02x?}");
    let answer = oip::ModelInferResponse::decode(&answer[..]).unwrap();
    let told = answer.outputs.iter().map(|one| (one.name.as_str(), one.datatype.as_str()));
    assert_eq!(told.collect::<Vec<_>>(), [("segment", "BYTES"), ("output__0", "FP64")]);
}

/// A row of `churn` as a property sees it: age, code of the plan, visits.
fn a_row() -> impl Strategy<Value = [f64; 3]> {
    let number = prop_oneof![
        1 => Just(f64::NAN),
        4 => (-5i32..60).prop_map(f64::from),
        2 => prop_oneof![Just(30.0), Just(30.000_001), Just(2.5), Just(-0.0), Just(1e300)],
        2 => -1e3f64..1e3,
    ];
    let plan = prop_oneof![Just(f64::NAN), Just(-1.0), Just(0.0), Just(1.0)];
    (number.clone(), plan, number).prop_map(|(age, plan, visits)| [age, plan, visits])
}

fn shape(rows: &[[f64; 3]], width: Option<i64>) -> Vec<i64> {
    std::iter::once(rows.len() as i64).chain(width).collect()
}

fn plans(rows: &[[f64; 3]]) -> Vec<&'static str> {
    let text = |row: &[f64; 3]| match row[1] {
        0.0 => "free",
        1.0 => "pro",
        -1.0 => "enterprise",
        _ => "",
    };
    rows.iter().map(text).collect()
}

fn column(rows: &[[f64; 3]], at: usize) -> Vec<f64> {
    rows.iter().map(|row| row[at]).collect()
}

/// Bits of `ScoreBatch` over packed rows.
async fn batch_bits(server: &TestServer, rows: &[[f64; 3]]) -> Vec<u64> {
    let digest = churn_model(0.0).schema().digest().to_string();
    let batch = pb::ScoreBatchRequest {
        models: vec![selector("churn")],
        rows: rows.iter().map(|row| packed(row, &digest)).collect(),
        ..Default::default()
    };
    let answer = server.scoring().score_batch(batch).await.unwrap().into_inner();
    let bits = answer.results.into_iter().map(|result| match result.result {
        Some(pb::row_result::Result::Row(row)) => row.predictions[0].score.to_bits(),
        other => panic!("{other:?}"),
    });
    bits.collect()
}

#[test]
fn every_form_of_a_row_scores_alike() {
    let (runtime, server) = started();
    let server = &server;
    proptest!(cases(96), |(rows in prop::collection::vec(a_row(), 1..150),
        width in prop_oneof![Just(None), Just(Some(1))],
        order in Just([0usize, 1, 2]).prop_shuffle())| {
        runtime.block_on(async {
            let expected = batch_bits(server, &rows).await;
            let matrix = [Tensor::fp64("input", &shape(&rows, Some(3)), &rows.concat())];
            let by_name = [
                Tensor::fp64("age", &shape(&rows, width), &column(&rows, 0)),
                Tensor::bytes("plan", &shape(&rows, None), &plans(&rows)),
                Tensor::fp64("visits", &shape(&rows, width), &column(&rows, 2)),
            ];
            let by_name = order.map(|at| by_name[at].clone());
            for request in [raw(&matrix), typed(&matrix), raw(&by_name), typed(&by_name)] {
                let answer = server.infer(request).await.unwrap();
                let bits: Vec<u64> = doubles(&answer, 0).iter().map(|score| score.to_bits()).collect();
                assert_eq!(bits, expected);
            }
        });
    });
}

#[test]
fn single_precision_is_rounded_on_the_way_in_and_out_only() {
    let (runtime, server) = started();
    let server = &server;
    proptest!(cases(96), |(rows in prop::collection::vec(a_row(), 1..40))| {
        runtime.block_on(async {
            let single = |value: f64| if value.abs() < 1e30 { value as f32 } else { f32::MAX };
            let single = |value: f64| if value.is_nan() { f32::NAN } else { single(value) };
            let rows: Vec<[f64; 3]> = rows.iter().map(|row| row.map(|value| single(value).into())).collect();
            let scores = batch_bits(server, &rows).await;
            let expected: Vec<u32> =
                scores.iter().map(|bits| (f64::from_bits(*bits) as f32).to_bits()).collect();
            let cells: Vec<f32> = rows.concat().into_iter().map(single).collect();
            let matrix = [Tensor::fp32("input__0", &shape(&rows, Some(3)), &cells)];
            let of = |at| column(&rows, at).into_iter().map(single).collect::<Vec<f32>>();
            let by_name = [
                Tensor::bytes("plan", &shape(&rows, Some(1)), &plans(&rows)),
                Tensor::fp32("visits", &shape(&rows, None), &of(2)),
                Tensor::fp32("age", &shape(&rows, None), &of(0)),
            ];
            for request in [raw(&matrix), typed(&matrix), raw(&by_name), typed(&by_name)] {
                let answer = server.infer(request).await.unwrap();
                let bits: Vec<u32> = singles(&answer, 0).iter().map(|score| score.to_bits()).collect();
                assert_eq!(bits, expected);
            }
        });
    });
}

#[tokio::test]
async fn whole_numbers_of_every_type_are_numbers() {
    let server = TestServer::start().await;
    let model = churn_model(0.0);
    for (datatype, values) in [
        ("BOOL", [0, 1]),
        ("INT8", [-128, 127]),
        ("INT16", [-32768, 32767]),
        ("INT32", [i64::from(i32::MIN), i64::from(i32::MAX)]),
        ("INT64", [i64::MIN, 3]),
        ("UINT8", [0, 255]),
        ("UINT16", [2, 65535]),
        ("UINT32", [3, i64::from(u32::MAX)]),
        ("UINT64", [2, i64::MAX]),
    ] {
        let tensors = [
            Tensor::whole("visits", datatype, &[2], &values),
            Tensor::whole("age", datatype, &[2, 1], &values),
            Tensor::bytes("plan", &[2], &["pro", "free"]),
        ];
        let expected = [1.0, 0.0].into_iter().zip(values);
        let expected: Vec<f64> = expected
            .map(|(plan, value)| offline(&model, &[value as f64, plan, value as f64]))
            .collect();
        for request in [raw(&tensors), typed(&tensors)] {
            assert_eq!(doubles(&server.infer(request).await.unwrap(), 0), expected, "{datatype}");
        }
    }
}

#[tokio::test]
async fn versions_are_found_as_score_finds_them_and_named_by_number() {
    let server = TestServer::start().await;
    let alias = pb::SetModelAliasRequest {
        model: "churn".to_owned(),
        alias: "next".to_owned(),
        version: 2,
        ..Default::default()
    };
    server.models().set_model_alias(alias).await.unwrap();
    for (asked, number, shift) in
        [("", "1", 0.0), ("1", "1", 0.0), ("2", "2", 0.5), ("next", "2", 0.5)]
    {
        let mut request = raw(&good_tensors());
        request.model_version = asked.to_owned();
        request.id = "mine".to_owned();
        let answer = server.infer(request).await.unwrap();
        assert_eq!((answer.model_version.as_str(), answer.id.as_str()), (number, "mine"));
        assert_eq!(doubles(&answer, 0), [offline(&churn_model(shift), &[40.0, 1.0, 1.0])]);
    }
    let first = server.infer(raw(&good_tensors())).await.unwrap().id;
    let second = server.infer(raw(&good_tensors())).await.unwrap().id;
    assert!(!first.is_empty() && first != second);
}

#[tokio::test]
async fn segments_and_contributions_come_when_asked_for() {
    let server = TestServer::start().await;
    let model = visits_model();
    let visits = model.schema().index_of("visits_7d").unwrap();
    let mut rows = vec![f64::NAN; 4];
    (rows[visits], rows[2 + visits]) = (0.0, 5.0);
    let matrix = Tensor::fp64("input__0", &[2, 2], &rows);
    let outputs = ["treeshap_output", "segment", "output__0"];
    let mut request = asking_for(typed(&[matrix]), &outputs);
    request.model_name = "visits".to_owned();
    let answer = server.infer(request).await.unwrap();
    let shapes: Vec<&[i64]> = answer.outputs.iter().map(|output| &output.shape[..]).collect();
    assert_eq!(shapes, [&[2, 3][..], &[2], &[2]]);
    assert!(answer.raw_output_contents.is_empty());
    let expected: Vec<f64> = rows
        .chunks(2)
        .flat_map(|row| {
            let explained = model.explain(row);
            [explained.contributions(0), explained.bias()].concat()
        })
        .collect();
    assert_eq!(doubles(&answer, 0), expected);
    // `lost_cause` needs churn's score; the second row is in no segment.
    let segments = &answer.outputs[1].contents.as_ref().unwrap().bytes_contents;
    assert_eq!(segments[..], ["quiet", ""]);
}

#[tokio::test]
async fn many_rows_are_explained_by_the_pool_as_one_by_one() {
    let server = TestServer::start().await;
    let model = churn_model(0.0);
    let rows: Vec<[f64; 3]> =
        (0..300).map(|at| [f64::from(at % 61), f64::from(at % 2), f64::from(at % 7)]).collect();
    let matrix = Tensor::fp64("input__0", &shape(&rows, Some(3)), &rows.concat());
    let answer = server.infer(asking_for(raw(&[matrix]), &["treeshap_output"])).await.unwrap();
    let expected: Vec<f64> = rows
        .iter()
        .flat_map(|row| {
            let explained = model.explain(row);
            [explained.contributions(0), explained.bias()].concat()
        })
        .collect();
    assert_eq!(answer.outputs[0].shape, [300, 4]);
    assert_eq!(doubles(&answer, 0), expected);
}

#[tokio::test]
async fn every_class_has_its_score() {
    let (folder, registry) = prepared();
    let model = plan_model();
    publish(&registry, &draft("plan", &model, &[vec![1.0, 2.0]], Default::default()));
    promote(&registry, "plan", 1);
    let server = TestServer::over(folder, registry, quick()).await;
    server.wait_for_health("model/plan", ServingStatus::Serving).await;
    let rows = [[1.0, 5.0], [9.0, f64::NAN]];
    let outputs = ["output__0", "treeshap_output"];
    // A feature of that name is the feature and not the matrix.
    let by_name = [
        Tensor::fp64("input", &[2], &column_of(&rows, 1)),
        Tensor::fp64("seats", &[2], &column_of(&rows, 0)),
    ];
    let matrix = [Tensor::fp64("input__0", &[2, 2], &rows.concat())];
    for tensors in [&by_name[..], &matrix] {
        let mut request = asking_for(raw(tensors), &outputs);
        request.model_name = "plan".to_owned();
        let answer = server.infer(request).await.unwrap();
        assert_eq!(answer.outputs[0].shape, [2, 3]);
        assert_eq!(answer.outputs[1].shape, [2, 3, 3]);
        let mut scratch = segue_model::Scratch::default();
        let expected: Vec<f64> =
            rows.iter().flat_map(|row| model.score(row, &mut scratch).outputs.to_vec()).collect();
        assert_eq!(doubles(&answer, 0), expected);
        let explained: Vec<f64> = rows
            .iter()
            .flat_map(|row| {
                let explained = model.explain(row);
                let of = |class| {
                    [explained.contributions(class), &explained.bias()[class..=class]].concat()
                };
                (0..3).flat_map(of).collect::<Vec<f64>>()
            })
            .collect();
        assert_eq!(doubles(&answer, 1), explained);
    }
    // Also where it is alone.
    let alone = raw(&[Tensor::fp64("input", &[2, 1], &column_of(&rows, 1))]);
    let mut alone = with_parameter(alone, "allow_missing", ParameterChoice::BoolParam(true));
    alone.model_name = "plan".to_owned();
    assert_eq!(server.infer(alone).await.unwrap().outputs[0].shape, [2, 3]);
    let asked = oip::ModelMetadataRequest { name: "plan".to_owned(), ..Default::default() };
    let told = server.inference().model_metadata(asked).await.unwrap().into_inner();
    assert_eq!(told.outputs[0].shape, [-1, 3]);
    assert_eq!(told.outputs[2].shape, [-1, 3, 3]);
}

fn column_of(rows: &[[f64; 2]], at: usize) -> Vec<f64> {
    rows.iter().map(|row| row[at]).collect()
}

#[tokio::test]
async fn parameters_do_what_they_say() {
    let server = TestServer::start().await;
    let model = churn_model(0.0);
    let only_age = [Tensor::fp64("age", &[1], &[40.0])];
    let request = with_parameter(raw(&only_age), "allow_missing", ParameterChoice::BoolParam(true));
    let answer = server.infer(request).await.unwrap();
    assert_eq!(doubles(&answer, 0), [offline(&model, &[40.0, f64::NAN, f64::NAN])]);
    let digest = ParameterChoice::StringParam(model.schema().digest().to_string());
    server.infer(with_parameter(raw(&good_tensors()), "schema_digest", digest)).await.unwrap();
    for none in [ParameterChoice::Int64Param(0), ParameterChoice::Uint64Param(60_000_000)] {
        server.infer(with_parameter(raw(&good_tensors()), "timeout", none)).await.unwrap();
    }
}
