//! Scores over plain HTTP: the same answers and the same refusals as over gRPC.

use std::time::Duration;

use segue_api::v1 as pb;
use segue_serving::ServeOptions;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::harness::*;

pub(crate) async fn post(server: &TestServer, path: &str, body: &Value) -> HttpAnswer {
    server.http("POST", path, "", body.to_string().as_bytes()).await
}

/// HTTP code, gRPC code, reason, and `(field, reason)` of each violation.
pub(crate) fn told(answer: &HttpAnswer) -> (u16, i64, String, Vec<(String, String)>) {
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

pub(crate) fn bad_field(field: &str, reason: &str) -> (u16, i64, String, Vec<(String, String)>) {
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
    long["row"]["traits"] = json!({"story": {"text": "x".repeat(20_000)}});
    let mut told = post(&server, "/v1/score", &long).await.json();
    // Another prediction, so another name.
    let name = &mut told["result"]["predictions"][0]["predictionId"];
    let before = &json["result"]["predictions"][0]["predictionId"];
    assert_ne!(name, before);
    name.clone_from(before);
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
        async { while !server.get("/metrics").await.1.contains("segue_requests_in_flight 1\n") {} };
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
        async { while !server.get("/metrics").await.1.contains("segue_requests_in_flight 1\n") {} };
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
