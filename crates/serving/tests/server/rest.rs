//! Scores over plain HTTP: the same answers and the same refusals as over gRPC.

use std::time::Duration;

use segue_api::v1 as pb;
use segue_serving::ServeOptions;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::harness::*;

async fn post(server: &TestServer, path: &str, body: &Value) -> HttpAnswer {
    server.http("POST", path, "", body.to_string().as_bytes()).await
}

/// HTTP code, gRPC code, reason, and `(field, reason)` of each violation.
fn told(answer: &HttpAnswer) -> (u16, i64, String, Vec<(String, String)>) {
    let json = answer.json();
    let details = json["details"].as_array().unwrap_or_else(|| panic!("{json}"));
    let of = |kind: &str| {
        let name = format!("type.googleapis.com/google.rpc.{kind}");
        details.iter().find(|one| one["@type"] == name.as_str())
    };
    let info = of("ErrorInfo").expect("every error carries ErrorInfo");
    assert_eq!(info["domain"], "segue");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let fields = of("BadRequest").map(|bad| {
        let fields = bad["fieldViolations"].as_array().unwrap().iter();
        fields.map(|one| (text(&one["field"]), text(&one["reason"]))).collect()
    });
    let code = json["code"].as_i64().unwrap();
    (answer.code, code, text(&info["reason"]), fields.unwrap_or_default())
}

fn bad_field(field: &str, reason: &str) -> (u16, i64, String, Vec<(String, String)>) {
    (400, 3, reason.to_owned(), vec![(field.to_owned(), reason.to_owned())])
}

fn score_body() -> Value {
    json!({
        "models": [{"model": "churn"}],
        "row": {"named": {"values": {
            "age": {"number": 40}, "plan": {"category": "pro"}, "visits": {"integer": "1"},
        }}},
        "requestId": "r-1",
    })
}

#[tokio::test]
async fn a_score_is_that_of_grpc() {
    let server = TestServer::start().await;
    let answer = post(&server, "/v1/score", &score_body()).await;
    assert_eq!((answer.code, answer.header("content-type")), (200, Some("application/json")));
    let json = answer.json();
    let score = json["result"]["predictions"][0]["score"].as_f64().unwrap();
    let expected = server.score(request(&["churn"], good_row())).await.unwrap();
    let prediction = &expected.result.unwrap().predictions[0];
    assert_eq!(score.to_bits(), prediction.score.to_bits());
    assert_eq!(json["requestId"], "r-1");
    // 64-bit integers are strings, enums are names, and nothing is left out for being zero.
    assert_eq!(json["servedBy"][0]["version"], "1");
    assert_eq!(json["servedBy"][0]["variant"], "VARIANT_CHAMPION");
    assert_eq!(json["result"]["predictions"][0]["servedByIndex"], 0);
    assert_eq!(json["result"]["segment"], "");
    // A body so long that it is read elsewhere says the same.
    let mut long = score_body();
    long["requestId"] = json!("x".repeat(20_000));
    let told = post(&server, "/v1/score", &long).await.json();
    assert_eq!((&told["result"], &told["servedBy"]), (&json["result"], &json["servedBy"]));
    // The field names of the proto, numbers for integers, and a pinned version.
    let snake = json!({
        "models": [{"model": "churn", "version": 1}],
        "row": {"named": {"values": {
            "age": {"number": "40"}, "plan": {"category": "pro"}, "visits": {"integer": 1},
        }}},
        "options": {"raw_margin": true, "explain": true, "top_attributions": 2},
        "request_id": "r-2",
    });
    let json = post(&server, "/v1/score", &snake).await.json();
    assert_eq!(json["requestId"], "r-2");
    let prediction = &json["result"]["predictions"][0];
    assert_eq!(prediction["score"].as_f64().unwrap().to_bits(), score.to_bits());
    assert_eq!(prediction["attributions"].as_array().unwrap().len(), 2);
    assert!(prediction["rawMargins"][0].is_f64() && prediction["bias"].is_f64());
}

#[tokio::test]
async fn packed_rows_and_events_come_as_json_too() {
    let server = TestServer::start().await;
    let model = churn_model(0.0);
    let packed = json!({
        "models": [{"model": "churn"}],
        "row": {"packed": {
            "values": [40, "NaN", 1.5], "schemaDigest": model.schema().digest().as_str(),
        }},
    });
    let json = post(&server, "/v1/score", &packed).await.json();
    let score = json["result"]["predictions"][0]["score"].as_f64().unwrap();
    assert_eq!(score.to_bits(), offline(&model, &[40.0, f64::NAN, 1.5]).to_bits());
    let events = json!({
        "models": [{"model": "visits"}],
        "row": {
            "events": {
                "asOf": "2026-03-01T10:00:00Z",
                "events": [
                    {"name": "visit", "eventTime": "2026-03-01T09:00:00Z", "kind": "EVENT_KIND_PAGE"},
                    {"name": "visit", "eventTime": "2026-03-01T09:30:00.5Z",
                     "properties": {"amount": {"number": 2.5}}},
                ],
            },
            "traits": {"tier": {"text": "gold"}},
        },
    });
    let json = post(&server, "/v1/score", &events).await.json();
    let score = json["result"]["predictions"][0]["score"].as_f64().unwrap();
    // Two visits in the week, whatever was spent.
    assert_eq!(score.to_bits(), offline(&visits_model(), &[2.0, 2.0]).to_bits(), "{json}");
    assert_eq!(json["result"]["segment"], "vip");
}

#[tokio::test]
async fn bad_scores_are_refused_with_their_fields() {
    let server = TestServer::start().await;
    let answer = post(&server, "/v1/score", &json!({"models": [{"model": "churn"}]})).await;
    assert_eq!(told(&answer), bad_field("row", "FEATURES_ABSENT"));
    assert_eq!(answer.json()["message"].as_str().unwrap().split(':').next(), Some("row"));
    let mut body = score_body();
    body["row"]["named"]["values"]["age"] = json!({"number": "NaN"});
    let answer = post(&server, "/v1/score", &body).await;
    assert_eq!(told(&answer), bad_field("row.named.values[\"age\"]", "FEATURE_NOT_FINITE"));
    for text in [
        "",
        "{",
        "[]",
        "{} {}",
        "{\"modls\": []}",
        "{\"models\": [{\"model\": 7}]}",
        "{\"row\": {\"packed\": {\"values\": [1e999]}}}",
        "{\"models\": [{\"version\": \"1.5\"}]}",
        &"[".repeat(10_000),
    ] {
        let answer = server.http("POST", "/v1/score", "", text.as_bytes()).await;
        assert_eq!(told(&answer), bad_field("body", "JSON_INVALID"), "{text:.40}");
    }
    let unknown = json!({"models": [{"model": "tenure"}], "row": score_body()["row"]});
    let answer = post(&server, "/v1/score", &unknown).await;
    assert_eq!(told(&answer), (404, 5, "MODEL_NOT_FOUND".to_owned(), vec![]));
    let mut packed = score_body();
    packed["row"] = json!({"packed": {"values": [1], "schemaDigest": "0"}});
    let answer = post(&server, "/v1/score", &packed).await;
    assert_eq!(told(&answer), (400, 9, "SCHEMA_DIGEST_MISMATCH".to_owned(), vec![]));
}

#[tokio::test]
async fn the_limits_hold_on_this_port_too() {
    let options = ServeOptions {
        max_message_bytes: 1024,
        max_in_flight: 1,
        retry_after: Duration::from_millis(1500),
        ..quick()
    };
    let server = TestServer::start_with(options).await;
    let long = format!("{{\"requestId\": \"{}\"}}", "x".repeat(1024));
    let answer = server.http("POST", "/v1/score", "", long.as_bytes()).await;
    assert_eq!(told(&answer), (413, 11, "MESSAGE_TOO_LARGE".to_owned(), vec![]));
    for bad in ["soon", "-1", "1.5", ""] {
        let header = format!("x-request-timeout-ms: {bad}\r\n");
        let answer = server.http("POST", "/v1/score", &header, b"{}").await;
        assert_eq!(told(&answer), bad_field("x-request-timeout-ms", "FIELD_INVALID"));
    }
    let answer = server.http("POST", "/v1/score", "Content-Encoding: gzip\r\n", b"{}").await;
    assert_eq!(told(&answer), bad_field("content-encoding", "FIELD_INVALID"));
    // A body that does not come holds the only permit until its deadline.
    let mut slow = TcpStream::connect(server.http).await.unwrap();
    let head = "POST /v1/score HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
                Content-Length: 10\r\n";
    slow.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    let refused = async {
        loop {
            let answer = post(&server, "/v1/score", &score_body()).await;
            if answer.code != 200 {
                break answer;
            }
        }
    };
    let refused = tokio::time::timeout(PATIENCE, refused).await.unwrap();
    assert_eq!(told(&refused), (429, 8, "OVERLOADED".to_owned(), vec![]));
    assert_eq!(refused.header("retry-after"), Some("2"));
    // gRPC shares the permits; health and the metrics page need none.
    let status = server.score(request(&["churn"], good_row())).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    assert_eq!(server.http("GET", "/v2/health/ready", "", b"").await.code, 200);
    drop(slow);
    let answered = async { while post(&server, "/v1/score", &score_body()).await.code != 200 {} };
    tokio::time::timeout(PATIENCE, answered).await.unwrap();
    let mut slow = TcpStream::connect(server.http).await.unwrap();
    slow.write_all(format!("{head}X-Request-Timeout-Ms: 20\r\n\r\n").as_bytes()).await.unwrap();
    let answer = read_answer(&mut slow).await;
    assert_eq!(told(&answer), (504, 4, "DEADLINE_EXCEEDED".to_owned(), vec![]));
    let (_, page) = server.get("/metrics").await;
    for (route, code) in [("/v1/score", 413), ("/v1/score", 429), ("/v1/score", 504)] {
        let labels = format!("http_route=\"{route}\",http_response_status_code=\"{code}\"");
        assert!(page.contains(&format!("http_server_request_duration_seconds_count{{{labels}}}")));
    }
}

#[tokio::test]
async fn other_pages_and_methods_are_refused_as_json() {
    let server = TestServer::start().await;
    for (method, path, code) in
        [("GET", "/v3", 404), ("GET", "/v1/score", 405), ("POST", "/v2", 405), ("PUT", "/", 404)]
    {
        let answer = server.http(method, path, "", b"").await;
        assert_eq!(told(&answer), (code, 12, "UNIMPLEMENTED".to_owned(), vec![]), "{path}");
    }
    let (_, page) = server.get("/metrics").await;
    assert!(page.contains("http_route=\"unknown\"") && !page.contains("v3"));
}

fn infer_body() -> Value {
    json!({
        "id": "r-3",
        "inputs": [
            {"name": "visits", "shape": [2, 1], "datatype": "INT32", "data": [[1], [3]]},
            {"name": "age", "shape": [2], "datatype": "FP64", "data": [40.0, null]},
            {"name": "plan", "shape": [2], "datatype": "BYTES", "data": ["pro", ""]},
        ],
        "outputs": [{"name": "output__0"}, {"name": "segment"}],
    })
}

#[tokio::test]
async fn tensors_as_json_score_alike() {
    let server = TestServer::start().await;
    let model = churn_model(0.0);
    let expected = [[40.0, 1.0, 1.0], [f64::NAN, f64::NAN, 3.0]].map(|row| offline(&model, &row));
    for path in [
        "/v2/models/churn/infer",
        "/v2/models/churn/versions/1/infer",
        "/v2/models/churn/versions/champion/infer",
    ] {
        let answer = post(&server, path, &infer_body()).await;
        let json = answer.json();
        assert_eq!(answer.code, 200, "{json}");
        assert_eq!((&json["model_name"], &json["model_version"]), (&json!("churn"), &json!("1")));
        assert_eq!(json["id"], "r-3");
        let output = &json["outputs"][0];
        assert_eq!((&output["name"], &output["datatype"]), (&json!("output__0"), &json!("FP64")));
        assert_eq!(output["shape"], json!([2]));
        let scores: Vec<f64> =
            output["data"].as_array().unwrap().iter().map(|one| one.as_f64().unwrap()).collect();
        assert_eq!(scores, expected);
        assert_eq!(json["outputs"][1]["data"], json!(["", ""]));
    }
    // Many rows, and a body that is read on the pool.
    let rows: Vec<f64> = (0..900).map(|at| f64::from(at % 45) + 0.25).collect();
    let rows: Vec<f64> =
        rows.iter().enumerate().map(|(at, value)| if at % 3 == 1 { 1.0 } else { *value }).collect();
    let expected: Vec<f64> = rows.chunks(3).map(|row| offline(&model, row)).collect();
    let nested: Vec<&[f64]> = rows.chunks(3).collect();
    for data in [json!(rows), json!(nested)] {
        let mut body = json!({"inputs": [
            {"name": "input__0", "shape": [300, 3], "datatype": "FP64", "data": data},
        ]});
        let small = post(&server, "/v2/models/churn/infer", &body).await.json();
        body["id"] = json!("x".repeat(20_000));
        let large = post(&server, "/v2/models/churn/infer", &body).await.json();
        assert_eq!(small["outputs"], large["outputs"]);
        let scores = large["outputs"][0]["data"].as_array().unwrap().iter();
        assert_eq!(scores.map(|one| one.as_f64().unwrap()).collect::<Vec<_>>(), expected);
    }
}

/// 30.0000005 is above the split at 30 in double precision and on it in single precision.
#[tokio::test]
async fn single_precision_is_rounded_before_it_is_scored() {
    let server = TestServer::start().await;
    let model = churn_model(0.0);
    for (datatype, age) in [("FP64", 30.000_000_5), ("FP32", 30.0)] {
        let body = json!({"inputs": [
            {"name": "input", "shape": [1, 3], "datatype": datatype, "data": [[30.0000005, 0, 3]]},
        ]});
        let json = post(&server, "/v2/models/churn/infer", &body).await.json();
        assert_eq!(json["outputs"][0]["datatype"], datatype);
        let expected = offline(&model, &[age, 0.0, 3.0]);
        let expected = if datatype == "FP32" { f64::from(expected as f32) } else { expected };
        assert_eq!(json["outputs"][0]["data"], json!([expected]));
    }
}

#[tokio::test]
async fn tensors_as_bytes_behind_the_json_score_alike() {
    let server = TestServer::start().await;
    let model = churn_model(0.0);
    let expected = [[40.0, 1.0, 1.0], [25.0, 0.0, 3.0]].map(|row| offline(&model, &row));
    let ages: Vec<u8> = [40f32, 25.0].iter().flat_map(|age| age.to_le_bytes()).collect();
    let plans = b"\x03\0\0\0pro\x04\0\0\0free";
    let json = json!({
        "inputs": [
            {"name": "age", "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": 8}},
            {"name": "visits", "shape": [2], "datatype": "UINT8", "data": [1, 3]},
            {"name": "plan", "shape": [2, 1], "datatype": "BYTES",
             "parameters": {"binary_data_size": 15}},
        ],
        "outputs": [
            {"name": "segment", "parameters": {"binary_data": true}},
            {"name": "output__0", "parameters": {"binary_data": false}},
            {"name": "treeshap_output"},
        ],
        "parameters": {"binary_data_output": true, "timeout": 60_000_000},
    });
    let json = json.to_string();
    let body = [json.as_bytes(), &ages, &plans[..]].concat();
    let header = format!("Inference-Header-Content-Length: {}\r\n", json.len());
    let answer = server.http("POST", "/v2/models/churn/infer", &header, &body).await;
    let end: usize = answer.header("inference-header-content-length").unwrap().parse().unwrap();
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    let json: Value = serde_json::from_slice(&answer.body[..end]).unwrap();
    let scores = json["outputs"][1]["data"].as_array().unwrap().iter();
    assert_eq!(scores.map(|one| one.as_f64().unwrap()).collect::<Vec<_>>(), expected);
    let sizes = json["outputs"].as_array().unwrap().iter();
    let sizes = sizes.map(|output| output["parameters"]["binary_data_size"].as_u64());
    assert_eq!(sizes.collect::<Vec<_>>(), [Some(8), None, Some(64)]);
    let (segments, shap) = answer.body[end..].split_at(8);
    assert_eq!(segments, [0; 8]);
    let bias = f64::from_le_bytes(shap[24..32].try_into().unwrap());
    assert_eq!(bias, model.explain(&[40.0, 1.0, 1.0]).bias()[0]);
}

#[tokio::test]
async fn bad_tensors_are_refused_with_their_fields() {
    let server = TestServer::start().await;
    let path = "/v2/models/churn/infer";
    let changed = |at: usize, field: &str, value: Value| {
        let mut body = infer_body();
        body["inputs"][at][field] = value;
        body
    };
    let size = |size: Value| {
        let mut body = changed(1, "parameters", json!({"binary_data_size": size}));
        body["inputs"][1].as_object_mut().unwrap().remove("data");
        body
    };
    let mut flag = infer_body();
    flag["parameters"] = json!({"binary_data_output": 1});
    let mut nested = infer_body();
    nested["parameters"] = json!({"strict": [true]});
    let mut reserved = infer_body();
    reserved["parameters"] = json!({"sequence_id": 7});
    let mut output = infer_body();
    output["outputs"][0]["parameters"] = json!({"binary_data": "yes"});
    for (body, field, reason) in [
        (changed(1, "data", json!([1.0, "old"])), "inputs[\"age\"].data", "TENSOR_ENCODING"),
        (changed(1, "data", json!([1.0, true])), "inputs[\"age\"].data", "TENSOR_ENCODING"),
        (changed(1, "data", json!(1.0)), "inputs[\"age\"].data", "TENSOR_ENCODING"),
        (changed(1, "data", json!([1.0])), "inputs[\"age\"]", "TENSOR_LENGTH"),
        (changed(1, "data", Value::Null), "inputs[\"age\"].data", "TENSOR_ENCODING"),
        (changed(0, "data", json!([1.5, 1])), "inputs[\"visits\"].data", "TENSOR_ENCODING"),
        (changed(0, "data", json!([1u64 << 31, 1])), "inputs[\"visits\"].data", "TENSOR_ENCODING"),
        (changed(2, "data", json!(["pro", null])), "inputs[\"plan\"].data", "TENSOR_ENCODING"),
        (changed(1, "datatype", json!("FP16")), "inputs[\"age\"].datatype", "TENSOR_DATATYPE"),
        (changed(1, "shape", json!([3])), "inputs[\"age\"].shape", "TENSOR_SHAPE"),
        (changed(1, "name", json!("old")), "inputs[\"old\"]", "TENSOR_UNKNOWN"),
        (size(json!(16)), "inputs[\"age\"].parameters[\"binary_data_size\"]", "TENSOR_LENGTH"),
        (size(json!("x")), "inputs[\"age\"].parameters[\"binary_data_size\"]", "PARAMETER_INVALID"),
        (
            changed(1, "parameters", json!({"binary_data_size": 0})),
            "inputs[\"age\"].data",
            "TENSOR_ENCODING",
        ),
        (flag, "parameters[\"binary_data_output\"]", "PARAMETER_INVALID"),
        (nested, "parameters[\"strict\"]", "PARAMETER_INVALID"),
        (reserved, "parameters[\"sequence_id\"]", "PARAMETER_INVALID"),
        (output, "outputs[\"output__0\"].parameters[\"binary_data\"]", "PARAMETER_INVALID"),
    ] {
        let answer = post(&server, path, &body).await;
        let (code, _, first, fields) = told(&answer);
        assert_eq!((code, first.as_str()), (400, reason), "{body}");
        assert_eq!(fields[0], (field.to_owned(), reason.to_owned()), "{body}");
        // Where clients of the protocol look.
        assert_eq!(answer.json()["error"], answer.json()["message"]);
    }
    for text in ["", "{}", "{\"inputs\": [], \"input\": []}", "{\"inputs\": [{}]}"] {
        let answer = server.http("POST", path, "", text.as_bytes()).await;
        assert_eq!(told(&answer), bad_field("body", "JSON_INVALID"), "{text}");
    }
    let body = infer_body().to_string();
    let header = |value: &str| format!("Inference-Header-Content-Length: {value}\r\n");
    for value in ["x", "-1", "99999"] {
        let answer = server.http("POST", path, &header(value), body.as_bytes()).await;
        let expected = bad_field("inference-header-content-length", "FIELD_INVALID");
        assert_eq!(told(&answer), expected);
    }
    let left = header(&body.len().to_string());
    let answer = server.http("POST", path, &left, format!("{body}1234").as_bytes()).await;
    assert_eq!(told(&answer), bad_field("body", "TENSOR_LENGTH"));
    let answer = post(&server, "/v2/models/Churn/versions/0/infer", &infer_body()).await;
    assert_eq!(told(&answer).3.len(), 2);
    let mut late = infer_body();
    late["parameters"] = json!({"timeout": 1});
    late["inputs"] = json!([{"name": "input__0", "shape": [300, 3], "datatype": "FP32",
                             "data": vec![1.0; 900]}]);
    let answer = post(&server, path, &late).await;
    assert_eq!(told(&answer), (504, 4, "DEADLINE_EXCEEDED".to_owned(), vec![]));
}

#[tokio::test]
async fn readiness_and_metadata_are_told() {
    let server = TestServer::start().await;
    for (path, code) in [
        ("/v2/health/live", 200),
        ("/v2/health/ready", 200),
        ("/v2/models/churn/ready", 200),
        ("/v2/models/churn/versions/1/ready", 200),
        ("/v2/models/churn/versions/2/ready", 503),
        ("/v2/models/tenure/ready", 503),
    ] {
        assert_eq!(server.http("GET", path, "", b"").await.code, code, "{path}");
    }
    let get = async |path: &str| server.http("GET", path, "", b"").await.json();
    assert_eq!(get("/v2").await["name"], "segue");
    let metadata = get("/v2/models/churn").await;
    assert_eq!(
        metadata["inputs"][1],
        json!({"name": "plan", "datatype": "BYTES", "shape": [-1, 1]})
    );
    assert_eq!(metadata["versions"], json!(["1"]));
    assert_eq!(get("/v2/models/churn/versions/1").await, metadata);
    assert_eq!(get("/v2/models/churn/config").await["max_batch_size"], 10_000);
    post(&server, "/v2/models/churn/infer", &infer_body()).await;
    let stats = get("/v2/models/churn/stats").await;
    assert_eq!(stats["model_stats"][0]["inference_count"], 2);
    let index = server.http("POST", "/v2/repository/index", "", b"").await.json();
    let states = index.as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap());
    assert_eq!(states.collect::<Vec<_>>(), ["READY", "UNAVAILABLE", "READY"]);
    let ready = post(&server, "/v2/repository/index", &json!({"ready": true})).await.json();
    assert_eq!(ready.as_array().unwrap().len(), 2);
    let answer = server.http("GET", "/v2/models/tenure", "", b"").await;
    assert_eq!(told(&answer), (404, 5, "MODEL_NOT_FOUND".to_owned(), vec![]));
}

/// A request that is being answered when the server is told to stop is answered, later ones are not.
#[tokio::test]
async fn the_drain_waits_for_answers_over_http() {
    let server = TestServer::start().await;
    let body = score_body().to_string();
    let (first, second) = body.as_bytes().split_at(10);
    let mut slow = TcpStream::connect(server.http).await.unwrap();
    let head =
        format!("POST /v1/score HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len());
    slow.write_all(&[head.as_bytes(), first].concat()).await.unwrap();
    let is_working =
        async { while !server.get("/metrics").await.1.contains("segue_inflight 1\n") {} };
    tokio::time::timeout(PATIENCE, is_working).await.unwrap();
    // Holds the gRPC port open, so that the other still is.
    let (requests, stream) = tokio::sync::mpsc::channel::<pb::ScoreStreamRequest>(1);
    let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
    let mut open = server.scoring().score_stream(stream).await.unwrap().into_inner();
    let (http, task) = (server.http, server.task);
    server.stop.send(()).unwrap();
    open.message().await.unwrap_err();
    drop((requests, server.channel));
    // Both ports are closed, and the server waits for this answer alone.
    let is_closed = async { while TcpStream::connect(http).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, is_closed).await.unwrap();
    assert!(!task.is_finished());
    slow.write_all(second).await.unwrap();
    let answer = read_answer(&mut slow).await;
    assert_eq!(answer.code, 200, "{answer:?}");
    tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_draining_server_refuses_new_requests() {
    let server = TestServer::start().await;
    server.wait_for_health("", ServingStatus::Serving).await;
    // A request that never ends keeps the gRPC port from being over.
    let channel = server.channel.clone();
    let waiting = tokio::spawn(async move {
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.unwrap();
        let request = tonic::Request::new(tokio_stream::pending::<pb::ScoreRequest>());
        let path =
            tonic::codegen::http::uri::PathAndQuery::from_static("/segue.v1.ScoringService/Score");
        let codec = tonic_prost::ProstCodec::<pb::ScoreRequest, pb::ScoreResponse>::default();
        client.client_streaming(request, path, codec).await.map(drop)
    });
    let is_working =
        async { while !server.get("/metrics").await.1.contains("segue_inflight 1\n") {} };
    tokio::time::timeout(PATIENCE, is_working).await.unwrap();
    let http = server.http;
    server.stop.send(()).unwrap();
    let refused = async {
        loop {
            let mut stream = TcpStream::connect(http).await.unwrap();
            let body = score_body().to_string();
            let head = "POST /v1/score HTTP/1.1\r\nHost: test\r\nConnection: close\r\n";
            let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(request.as_bytes()).await.unwrap();
            let answer = read_answer(&mut stream).await;
            if answer.code != 200 {
                break answer;
            }
        }
    };
    let answer = tokio::time::timeout(PATIENCE, refused).await.unwrap();
    assert_eq!(told(&answer), (503, 14, "DRAINING".to_owned(), vec![]));
    waiting.abort();
    server.task.abort();
}
