//! The Open Inference Protocol: the same bits as `Score`, whatever the form of the tensors.

use std::sync::OnceLock;

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

/// One runtime and server for all cases.
fn shared() -> &'static (tokio::runtime::Runtime, TestServer) {
    static SHARED: OnceLock<(tokio::runtime::Runtime, TestServer)> = OnceLock::new();
    SHARED.get_or_init(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let server = runtime.block_on(TestServer::start());
        (runtime, server)
    })
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

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn every_form_of_a_row_scores_alike(
        rows in prop::collection::vec(a_row(), 1..150),
        width in prop_oneof![Just(None), Just(Some(1))],
        order in Just([0usize, 1, 2]).prop_shuffle(),
    ) {
        let (runtime, server) = shared();
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
    }

    #[test]
    fn single_precision_is_rounded_on_the_way_in_and_out_only(
        rows in prop::collection::vec(a_row(), 1..40),
    ) {
        let (runtime, server) = shared();
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
    }
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

#[tokio::test]
async fn readiness_and_metadata_are_told() {
    let server = TestServer::start().await;
    let mut client = server.inference();
    let live = client.server_live(oip::ServerLiveRequest {}).await.unwrap().into_inner();
    let ready = client.server_ready(oip::ServerReadyRequest {}).await.unwrap().into_inner();
    assert!(live.live && ready.ready);
    for (name, version, expected) in [
        ("churn", "", true),
        ("churn", "1", true),
        ("churn", "champion", true),
        // Published, but no alias points at it.
        ("churn", "2", false),
        ("churn", "9", false),
        ("churn", "99999999999999999999", false),
        ("churn", "next", false),
        ("tenure", "", false),
        ("No Name", "", false),
    ] {
        let asked = oip::ModelReadyRequest { name: name.to_owned(), version: version.to_owned() };
        let ready = client.model_ready(asked).await.unwrap().into_inner().ready;
        assert_eq!(ready, expected, "{name}/{version}");
    }
    let told = client.server_metadata(oip::ServerMetadataRequest {}).await.unwrap().into_inner();
    assert_eq!(told.name, "segue");
    assert!(told.extensions.contains(&"statistics".to_owned()));
    let asked = oip::ModelMetadataRequest { name: "churn".to_owned(), ..Default::default() };
    let told = client.model_metadata(asked).await.unwrap().into_inner();
    assert_eq!((told.name.as_str(), &told.versions[..]), ("churn", &["1".to_owned()][..]));
    let inputs =
        told.inputs.iter().map(|one| (one.name.as_str(), one.datatype.as_str(), &one.shape[..]));
    let shape = &[-1, 1][..];
    let expected = [("age", "FP64", shape), ("plan", "BYTES", shape), ("visits", "FP64", shape)];
    assert_eq!(inputs.collect::<Vec<_>>(), expected);
    let outputs =
        told.outputs.iter().map(|one| (one.name.as_str(), one.datatype.as_str(), &one.shape[..]));
    let expected = [
        ("output__0", "FP64", &[-1][..]),
        ("segment", "BYTES", &[-1]),
        ("treeshap_output", "FP64", &[-1, 4]),
    ];
    assert_eq!(outputs.collect::<Vec<_>>(), expected);
    let asked = oip::ModelConfigRequest { name: "churn".to_owned(), version: "1".to_owned() };
    let config = client.model_config(asked).await.unwrap().into_inner().config.unwrap();
    assert_eq!(config.max_batch_size, 10_000);
    assert_eq!(config.input[1].data_type(), oip::DataType::TypeString);
    assert_eq!(config.output[2].dims, [4]);
    let digest = &config.parameters["schema_digest"].string_value;
    assert_eq!(digest, churn_model(0.0).schema().digest().as_str());
}

#[tokio::test]
async fn statistics_count_rows_of_every_protocol() {
    let server = TestServer::start().await;
    let of = async |name: &str, version: &str| {
        let asked =
            oip::ModelStatisticsRequest { name: name.to_owned(), version: version.to_owned() };
        server.inference().model_statistics(asked).await.unwrap().into_inner().model_stats
    };
    assert_eq!(of("churn", "").await[0].last_inference, 0);
    let rows = [[40.0, 1.0, 1.0]; 20];
    let matrix = [Tensor::fp64("input__0", &[20, 3], &rows.concat())];
    server.infer(raw(&matrix)).await.unwrap();
    server.score(request(&["churn"], good_row())).await.unwrap();
    server.infer(asking_for(raw(&matrix), &["no_such_output"])).await.unwrap_err();
    for told in [of("churn", "").await, of("churn", "1").await] {
        let [told] = &told[..] else { panic!("{told:?}") };
        assert_eq!((told.name.as_str(), told.version.as_str()), ("churn", "1"));
        assert_eq!((told.inference_count, told.execution_count), (21, 2));
        let stats = told.inference_stats.as_ref().unwrap();
        assert_eq!(stats.success.unwrap().count, 2);
        assert_eq!(stats.fail.unwrap().count, 1);
        assert!(stats.compute_infer.unwrap().ns > 0 && told.last_inference > 0);
    }
    assert_eq!(of("", "").await.len(), 2);
    // The same predictions on the metrics page, by their version.
    let (_, page) = server.get("/metrics").await;
    let line = "segue_predictions_total{model=\"churn\",version=\"1\",variant=\"champion\",segment=\"\"} 21\n";
    assert!(page.contains(line), "{page}");
    let handled = "grpc_service=\"inference.GRPCInferenceService\",grpc_method=\"ModelInfer\"";
    assert!(page.contains(handled), "{page}");
}

#[tokio::test]
async fn the_index_follows_the_registry_and_load_reads_it_now() {
    // A server that would not look again by itself.
    let options = segue_serving::ServeOptions {
        poll_interval: std::time::Duration::from_secs(3600),
        ..quick()
    };
    let server = TestServer::start_with(options).await;
    let mut client = server.inference();
    let mut index = async |ready| {
        let asked = oip::RepositoryIndexRequest { ready, ..Default::default() };
        let models = client.repository_index(asked).await.unwrap().into_inner().models;
        models.into_iter().map(|one| (one.name, one.version, one.state)).collect::<Vec<_>>()
    };
    let entry = |name: &str, version: &str, state: &str| {
        (name.to_owned(), version.to_owned(), state.to_owned())
    };
    let (first, second) = (entry("churn", "1", "READY"), entry("churn", "2", "UNAVAILABLE"));
    let visits = entry("visits", "1", "READY");
    assert_eq!(index(false).await, [first.clone(), second, visits.clone()]);
    assert_eq!(index(true).await, [first.clone(), visits.clone()]);
    promote(&server.registry, "churn", 2);
    assert_eq!(index(true).await, [first.clone(), visits.clone()]);
    let load =
        oip::RepositoryModelLoadRequest { model_name: "churn".to_owned(), ..Default::default() };
    server.inference().repository_model_load(load).await.unwrap();
    assert_eq!(index(true).await, [first, entry("churn", "2", "READY"), visits]);
    assert_eq!(server.infer(raw(&good_tensors())).await.unwrap().model_version, "2");
}

#[tokio::test]
async fn health_and_reflection_know_the_service() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let server = TestServer::start().await;
    let service = "inference.GRPCInferenceService";
    server.wait_for_health(service, ServingStatus::Serving).await;
    let ask = |message| tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message),
    };
    let asked = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol(format!("{service}.ModelInfer"))),
    ];
    let mut client = ServerReflectionClient::new(server.channel.clone());
    let answers = client.server_reflection_info(tokio_stream::iter(asked)).await.unwrap();
    let mut answers = answers.into_inner();
    let listed = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(listed)) = listed else { panic!("{listed:?}") };
    assert!(listed.service.iter().any(|one| one.name == service), "{listed:?}");
    let found = answers.message().await.unwrap().unwrap().message_response;
    assert!(matches!(found, Some(MessageResponse::FileDescriptorResponse(_))), "{found:?}");
}
