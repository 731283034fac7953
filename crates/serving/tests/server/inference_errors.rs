//! Every refusal of the Open Inference Protocol: code, reason, and the path of each bad field.

use std::time::Duration;

use segue_api::inference as oip;
use segue_api::inference::infer_parameter::ParameterChoice;
use segue_api::v1 as pb;
use segue_serving::ServeOptions;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};

use crate::errors::told;
use crate::harness::*;
use crate::tensors::*;

async fn refused(server: &TestServer, request: oip::ModelInferRequest) -> Status {
    server.infer(request).await.expect_err("the request is bad")
}

/// Asserts that exactly these fields are bad.
async fn bad_fields(
    server: &TestServer,
    request: oip::ModelInferRequest,
    expected: &[(&str, &str)],
) {
    let status = refused(server, request).await;
    let (code, reason, fields) = told(&status);
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(field, reason)| (field.as_str(), reason.as_str())).collect();
    assert_eq!(fields, expected, "{}", status.message());
    assert_eq!((code, reason.as_str()), (Code::InvalidArgument, expected[0].1));
}

/// The good request with one of its tensors replaced, in both forms.
fn with(tensor: Tensor, at: usize) -> [oip::ModelInferRequest; 2] {
    let mut tensors = good_tensors();
    tensors[at] = tensor;
    [raw(&tensors), typed(&tensors)]
}

#[tokio::test]
async fn models_and_versions_are_checked() {
    let server = TestServer::start().await;
    let ask = |name: &str, version: &str| oip::ModelInferRequest {
        model_name: name.to_owned(),
        model_version: version.to_owned(),
        ..raw(&good_tensors())
    };
    for (name, version, reason, field) in [
        ("", "", "MODEL_NAME_INVALID", "model_name"),
        (" churn", "", "MODEL_NAME_INVALID", "model_name"),
        ("churn", "0", "FIELD_INVALID", "model_version"),
        ("churn", "99999999999999999999", "FIELD_INVALID", "model_version"),
        ("churn", "-1", "ALIAS_INVALID", "model_version"),
        ("churn", "No Alias", "ALIAS_INVALID", "model_version"),
    ] {
        bad_fields(&server, ask(name, version), &[(field, reason)]).await;
    }
    for (name, version, code, reason) in [
        ("tenure", "", Code::NotFound, "MODEL_NOT_FOUND"),
        ("churn", "9", Code::NotFound, "VERSION_NOT_FOUND"),
        ("churn", "next", Code::NotFound, "ALIAS_NOT_FOUND"),
        ("churn", "2", Code::FailedPrecondition, "VERSION_NOT_LOADED"),
    ] {
        let status = refused(&server, ask(name, version)).await;
        assert_eq!(told(&status), (code, reason.to_owned(), Vec::new()));
    }
    let asked = oip::ModelMetadataRequest { name: "Churn".to_owned(), version: "0".to_owned() };
    let status = server.inference().model_metadata(asked).await.unwrap_err();
    let invalid = |field: &str, reason: &str| (field.to_owned(), reason.to_owned());
    let expected = [invalid("name", "MODEL_NAME_INVALID"), invalid("version", "FIELD_INVALID")];
    assert_eq!(told(&status).2, expected);
    for name in ["tenure", "churn"] {
        let asked = oip::ModelStatisticsRequest { name: name.to_owned(), version: "9".to_owned() };
        let status = server.inference().model_statistics(asked).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        let asked = oip::ModelConfigRequest { name: name.to_owned(), version: "9".to_owned() };
        let status = server.inference().model_config(asked).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
    }
}

#[tokio::test]
async fn inputs_are_checked_all_at_once() {
    let server = TestServer::start().await;
    bad_fields(&server, typed(&[]), &[("inputs", "FEATURES_ABSENT")]).await;
    let tensors = [
        Tensor::fp64("colour", &[1], &[1.0]),
        Tensor::fp64("visits", &[1], &[1.0]),
        Tensor::fp64("visits", &[1], &[2.0]),
        Tensor::fp64("input__0", &[1, 3], &[1.0, 2.0, 3.0]),
    ];
    let request = asking_for(raw(&tensors), &["segment", "score", "segment"]);
    let request = with_parameter(request, "priority", ParameterChoice::Uint64Param(1));
    bad_fields(
        &server,
        request,
        &[
            ("parameters[\"priority\"]", "PARAMETER_INVALID"),
            ("outputs[\"score\"]", "TENSOR_UNKNOWN"),
            ("outputs[\"segment\"]", "TENSOR_REPEATED"),
            ("inputs[\"colour\"]", "TENSOR_UNKNOWN"),
            ("inputs[\"visits\"]", "TENSOR_REPEATED"),
            ("inputs[\"input__0\"]", "TENSOR_UNKNOWN"),
            ("inputs[\"age\"]", "FEATURE_MISSING"),
            ("inputs[\"plan\"]", "FEATURE_MISSING"),
        ],
    )
    .await;
    let unknown = refused(&server, raw(&[Tensor::fp64("colour", &[1], &[1.0])])).await;
    assert!(unknown.message().contains("it has age, plan, visits"), "{}", unknown.message());
    let unknown = refused(&server, asking_for(raw(&good_tensors()), &["score"])).await;
    let names = "there are output__0, segment, treeshap_output, prediction_id";
    assert!(unknown.message().contains(names), "{}", unknown.message());
}

#[tokio::test]
async fn types_shapes_and_values_are_checked() {
    let server = TestServer::start().await;
    let two = |name: &str| Tensor::fp64(name, &[2], &[1.0, 2.0]);
    for (tensor, at, field, reason) in [
        (Tensor::bytes("age", &[1], &["old"]), 0, "inputs[\"age\"].datatype", "TENSOR_DATATYPE"),
        (Tensor::fp64("plan", &[1], &[1.0]), 1, "inputs[\"plan\"].datatype", "TENSOR_DATATYPE"),
        (Tensor::fp64("age", &[], &[1.0]), 0, "inputs[\"age\"].shape", "TENSOR_SHAPE"),
        (Tensor::fp64("age", &[1, 2], &[1.0, 2.0]), 0, "inputs[\"age\"].shape", "TENSOR_SHAPE"),
        (Tensor::fp64("age", &[1, 1, 1], &[1.0]), 0, "inputs[\"age\"].shape", "TENSOR_SHAPE"),
        (Tensor::fp64("age", &[0], &[]), 0, "inputs[\"age\"].shape", "TENSOR_SHAPE"),
        (Tensor::fp64("age", &[-1], &[1.0]), 0, "inputs[\"age\"].shape", "TENSOR_SHAPE"),
        (Tensor::fp64("age", &[i64::MAX], &[1.0]), 0, "inputs[\"age\"].shape", "BATCH_TOO_LARGE"),
        (two("visits"), 2, "inputs[\"visits\"].shape", "TENSOR_SHAPE"),
        (Tensor::fp64("age", &[1], &[1.0, 2.0]), 0, "inputs[\"age\"]", "TENSOR_LENGTH"),
        (Tensor::fp64("age", &[1], &[]), 0, "inputs[\"age\"]", "TENSOR_LENGTH"),
        (Tensor::bytes("plan", &[1], &["pro", "free"]), 1, "inputs[\"plan\"]", "TENSOR_LENGTH"),
        (Tensor::bytes("plan", &[1], &[]), 1, "inputs[\"plan\"]", "TENSOR_LENGTH"),
        (
            Tensor::fp64("age", &[1], &[f64::INFINITY]),
            0,
            "inputs[\"age\"][0]",
            "FEATURE_NOT_FINITE",
        ),
    ] {
        for request in with(tensor.clone(), at) {
            bad_fields(&server, request, &[(field, reason)]).await;
        }
    }
    for datatype in ["FP16", "BF16", "fp64", "", "FLOAT"] {
        let mut request = raw(&good_tensors());
        request.inputs[0].datatype = datatype.to_owned();
        bad_fields(&server, request, &[("inputs[\"age\"].datatype", "TENSOR_DATATYPE")]).await;
    }
    for request in with(Tensor::bytes("plan", &[1], &["enterprise"]), 1) {
        server.infer(request.clone()).await.unwrap();
        let strict = with_parameter(request, "strict", ParameterChoice::BoolParam(true));
        bad_fields(&server, strict, &[("inputs[\"plan\"][0]", "CATEGORY_UNKNOWN")]).await;
    }
}

#[tokio::test]
async fn a_matrix_is_checked() {
    let server = TestServer::start().await;
    let matrix = |shape: &[i64], values: &[f64]| raw(&[Tensor::fp64("input__0", shape, values)]);
    let field = "inputs[\"input__0\"]";
    for shape in [&[3][..], &[1, 2], &[1, 4], &[1, 3, 1], &[0, 3], &[-1, 3]] {
        let request = matrix(shape, &[1.0; 3]);
        bad_fields(&server, request, &[(&format!("{field}.shape"), "TENSOR_SHAPE")]).await;
    }
    let many = matrix(&[10_001, 3], &[1.0; 3]);
    bad_fields(&server, many, &[(&format!("{field}.shape"), "BATCH_TOO_LARGE")]).await;
    let short = matrix(&[2, 3], &[1.0; 5]);
    bad_fields(&server, short, &[(field, "TENSOR_LENGTH")]).await;
    let mut odd = matrix(&[1, 3], &[1.0; 3]);
    odd.raw_input_contents[0] = vec![0; 25].into();
    bad_fields(&server, odd, &[(field, "TENSOR_LENGTH")]).await;
    let whole = raw(&[Tensor::whole("input", "INT32", &[1, 3], &[1, 1, 1])]);
    bad_fields(&server, whole, &[("inputs[\"input\"].datatype", "TENSOR_DATATYPE")]).await;
    let cells = [1.0, 0.5, f64::INFINITY, 1.0, 2.0, 1.0];
    let expected = [
        ("inputs[\"input__0\"][0,1]", "FEATURE_TYPE"),
        ("inputs[\"input__0\"][0,2]", "FEATURE_NOT_FINITE"),
        ("inputs[\"input__0\"][1,1]", "FEATURE_TYPE"),
    ];
    bad_fields(&server, matrix(&[2, 3], &cells), &expected).await;
}

#[tokio::test]
async fn the_two_forms_of_contents_are_not_mixed() {
    let server = TestServer::start().await;
    let mut both = typed(&good_tensors());
    both.raw_input_contents = raw(&good_tensors()).raw_input_contents;
    bad_fields(&server, both, &[("raw_input_contents", "TENSOR_ENCODING")]).await;
    for n_raw in [2, 4] {
        let mut request = raw(&good_tensors());
        request.raw_input_contents.resize(n_raw, prost::bytes::Bytes::new());
        bad_fields(&server, request, &[("raw_input_contents", "TENSOR_ENCODING")]).await;
    }
    let field = "inputs[\"age\"]";
    let mut wrong_list = typed(&good_tensors());
    wrong_list.inputs[0].contents.as_mut().unwrap().fp32_contents = vec![1.0];
    bad_fields(&server, wrong_list, &[(field, "TENSOR_ENCODING")]).await;
    for (datatype, value) in [("INT8", 128), ("INT16", -32769), ("UINT8", 256), ("UINT16", 65536)] {
        let mut tensors = good_tensors();
        tensors[0] = Tensor::whole("age", datatype, &[1], &[value]);
        bad_fields(&server, typed(&tensors), &[(field, "TENSOR_ENCODING")]).await;
    }
    let mut flag = raw(&with_age("BOOL"));
    flag.raw_input_contents[0] = vec![2].into();
    bad_fields(&server, flag, &[(field, "TENSOR_ENCODING")]).await;
    for (bytes, reason) in [
        (&b"\x04\0\0\0pro"[..], "TENSOR_LENGTH"),
        (b"\xff\xff\xff\xffpro", "TENSOR_LENGTH"),
        (b"\x03\0\0", "TENSOR_LENGTH"),
        (b"", "TENSOR_LENGTH"),
        (b"\x03\0\0\0pro!", "TENSOR_LENGTH"),
    ] {
        let mut request = raw(&good_tensors());
        request.raw_input_contents[1] = bytes.into();
        bad_fields(&server, request, &[("inputs[\"plan\"]", reason)]).await;
    }
    let mut no_text = raw(&good_tensors());
    no_text.raw_input_contents[1] = b"\x02\0\0\0\xff\xfe"[..].into();
    bad_fields(&server, no_text, &[("inputs[\"plan\"][0]", "FEATURE_TYPE")]).await;
}

fn with_age(datatype: &'static str) -> Vec<Tensor> {
    let mut tensors = good_tensors();
    tensors[0] = Tensor::whole("age", datatype, &[1], &[1]);
    tensors
}

#[tokio::test]
async fn parameters_that_mean_nothing_here_are_refused() {
    let server = TestServer::start().await;
    use ParameterChoice::*;
    for (name, choice) in [
        ("sequence_id", Int64Param(1)),
        ("sequence_start", BoolParam(true)),
        ("sequence_end", BoolParam(true)),
        ("priority", Uint64Param(1)),
        ("headers", StringParam("a".to_owned())),
        ("binary_data_output", BoolParam(true)),
        ("triton_enable_empty_final_response", BoolParam(true)),
        ("colour", DoubleParam(1.0)),
        ("timeout", Int64Param(-1)),
        ("timeout", StringParam("1".to_owned())),
        ("strict", Int64Param(1)),
        ("allow_missing", StringParam("true".to_owned())),
        ("schema_digest", BoolParam(true)),
    ] {
        let request = with_parameter(raw(&good_tensors()), name, choice);
        let field = format!("parameters[{name:?}]");
        bad_fields(&server, request, &[(&field, "PARAMETER_INVALID")]).await;
    }
    let mut empty = raw(&good_tensors());
    empty.parameters.insert("strict".to_owned(), oip::InferParameter::default());
    bad_fields(&server, empty, &[("parameters[\"strict\"]", "PARAMETER_INVALID")]).await;
    let parameter = oip::InferParameter { parameter_choice: Some(StringParam("r".to_owned())) };
    let mut shared_memory = raw(&good_tensors());
    let name = "shared_memory_region".to_owned();
    shared_memory.inputs[0].parameters.insert(name, parameter.clone());
    let field = "inputs[\"age\"].parameters[\"shared_memory_region\"]";
    bad_fields(&server, shared_memory, &[(field, "PARAMETER_INVALID")]).await;
    let mut classification = asking_for(raw(&good_tensors()), &["output__0"]);
    classification.outputs[0].parameters.insert("classification".to_owned(), parameter);
    let field = "outputs[\"output__0\"].parameters[\"classification\"]";
    bad_fields(&server, classification, &[(field, "PARAMETER_INVALID")]).await;
}

#[tokio::test]
async fn another_schema_is_a_failed_precondition() {
    let server = TestServer::start().await;
    let digest = ParameterChoice::StringParam("0".repeat(64));
    let request = with_parameter(raw(&good_tensors()), "schema_digest", digest);
    let status = refused(&server, request).await;
    let expected = (Code::FailedPrecondition, "SCHEMA_DIGEST_MISMATCH".to_owned(), Vec::new());
    assert_eq!(told(&status), expected);
}

#[tokio::test]
async fn the_timeout_of_a_request_is_a_cap() {
    let server = TestServer::start().await;
    // Longer to read than a microsecond, inline and on the pool.
    for n_rows in [16, 2000] {
        let matrix = Tensor::fp64("input__0", &[n_rows, 3], &vec![1.0; 3 * n_rows as usize]);
        let request = with_parameter(raw(&[matrix]), "timeout", ParameterChoice::Int64Param(1));
        let status = refused(&server, request).await;
        let expected = (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned(), Vec::new());
        assert_eq!(told(&status), expected);
    }
}

#[tokio::test]
async fn the_limits_of_scores_hold() {
    let options = ServeOptions { max_batch_rows: 3, max_message_bytes: 2048, ..quick() };
    let server = TestServer::start_with(options).await;
    let matrix = |n_rows: i64| {
        raw(&[Tensor::fp64("input__0", &[n_rows, 3], &vec![1.0; 3 * n_rows as usize])])
    };
    server.infer(matrix(3)).await.unwrap();
    let field = "inputs[\"input__0\"].shape";
    bad_fields(&server, matrix(4), &[(field, "BATCH_TOO_LARGE")]).await;
    assert_eq!(refused(&server, matrix(1000)).await.code(), Code::OutOfRange);
}

/// Calls `ModelInfer` with a body that never comes.
async fn stalled(server: &TestServer) -> Status {
    loop {
        let status = stalled_once(server).await;
        // Another request had the permit that it is to hold.
        if status.code() != Code::ResourceExhausted {
            return status;
        }
    }
}

async fn stalled_once(server: &TestServer) -> Status {
    let mut client = tonic::client::Grpc::new(server.channel.clone());
    client.ready().await.unwrap();
    let request = Request::new(tokio_stream::pending::<oip::ModelInferRequest>());
    let path = PathAndQuery::from_static("/inference.GRPCInferenceService/ModelInfer");
    let codec =
        tonic_prost::ProstCodec::<oip::ModelInferRequest, oip::ModelInferResponse>::default();
    client.client_streaming(request, path, codec).await.map(drop).unwrap_err()
}

#[tokio::test]
async fn deadlines_and_permits_are_those_of_scores() {
    let options = ServeOptions { max_request_time: Duration::from_millis(50), ..quick() };
    let server = TestServer::start_with(options).await;
    assert_eq!(stalled(&server).await.code(), Code::DeadlineExceeded);
    let server = TestServer::start_with(ServeOptions { max_in_flight: 1, ..quick() }).await;
    let refused = async {
        loop {
            if let Err(status) = server.infer(raw(&good_tensors())).await {
                break status;
            }
        }
    };
    let status = tokio::select! {
        status = stalled(&server) => panic!("{status:?}"),
        status = tokio::time::timeout(PATIENCE, refused) => status.unwrap(),
    };
    let expected = (Code::ResourceExhausted, "OVERLOADED".to_owned(), Vec::new());
    assert_eq!(told(&status), expected);
}

#[tokio::test]
async fn what_is_not_served_says_what_is() {
    let server = TestServer::start().await;
    let mut client = server.inference();
    let stream = tokio_stream::iter([raw(&good_tensors())]);
    let status = client.model_stream_infer(stream).await.unwrap_err();
    assert_eq!(told(&status), (Code::Unimplemented, "UNIMPLEMENTED".to_owned(), Vec::new()));
    assert!(status.message().contains("ScoreStream"), "{}", status.message());
    let unload = oip::RepositoryModelUnloadRequest::default();
    let status = client.repository_model_unload(unload).await.unwrap_err();
    assert_eq!(told(&status), (Code::Unimplemented, "UNIMPLEMENTED".to_owned(), Vec::new()));
    assert!(status.message().contains("alias"), "{}", status.message());
}

#[tokio::test]
async fn loads_and_indexes_are_checked() {
    let (folder, registry) = prepared();
    publish(&registry, &draft("spare", &churn_model(0.0), &[vec![1.0; 3]], Default::default()));
    std::fs::write(folder.path().join("visits/versions/1/model.bin"), "no model").unwrap();
    let server = TestServer::over(folder, registry, quick()).await;
    let mut client = server.inference();
    let load = |name: &str| oip::RepositoryModelLoadRequest {
        model_name: name.to_owned(),
        ..Default::default()
    };
    for (name, code, reason, words) in [
        ("Churn", Code::InvalidArgument, "MODEL_NAME_INVALID", "expected"),
        ("tenure", Code::NotFound, "MODEL_NOT_FOUND", "tenure"),
        ("visits", Code::Unavailable, "NOT_READY", "model.bin"),
        ("spare", Code::Unavailable, "NOT_READY", "no alias"),
    ] {
        let status = client.repository_model_load(load(name)).await.unwrap_err();
        assert_eq!((status.code(), told(&status).1.as_str()), (code, reason), "{name}");
        assert!(status.message().contains(words), "{}", status.message());
    }
    let mut configured = load("churn");
    let parameter = oip::ModelRepositoryParameter::default();
    configured.parameters.insert("config".to_owned(), parameter);
    let status = client.repository_model_load(configured).await.unwrap_err();
    let bad = vec![("parameters[\"config\"]".to_owned(), "PARAMETER_INVALID".to_owned())];
    assert_eq!(told(&status).2, bad);
    let elsewhere = || "elsewhere".to_owned();
    let asked = oip::RepositoryIndexRequest { repository_name: elsewhere(), ready: false };
    let index = client.repository_index(asked).await.unwrap_err();
    let asked = oip::RepositoryModelLoadRequest { repository_name: elsewhere(), ..load("churn") };
    let load = client.repository_model_load(asked).await.unwrap_err();
    for status in [index, load] {
        let bad = vec![("repository_name".to_owned(), "FIELD_INVALID".to_owned())];
        assert_eq!(told(&status).2, bad);
    }
    let index = client.repository_index(oip::RepositoryIndexRequest::default()).await.unwrap();
    let broken = index.into_inner().models.into_iter().find(|one| one.name == "visits").unwrap();
    assert_eq!(broken.state, "UNAVAILABLE");
    assert!(broken.reason.contains("model.bin"), "{}", broken.reason);
}

/// The model is the same whoever asks: what one protocol finds missing, the other does too.
#[tokio::test]
async fn missing_categories_are_empty_texts() {
    let server = TestServer::start().await;
    let missing = value(pb::feature_value::Kind::Missing(pb::Missing {}));
    let row = named([("age", number(40.0)), ("plan", missing), ("visits", number(1.0))]);
    let expected = server.score(request(&["churn"], row)).await.unwrap().result.unwrap();
    for request in with(Tensor::bytes("plan", &[1], &[""]), 1) {
        let strict = with_parameter(request, "strict", ParameterChoice::BoolParam(true));
        let answer = server.infer(strict).await.unwrap();
        assert_eq!(doubles(&answer, 0), [expected.predictions[0].score]);
    }
}
