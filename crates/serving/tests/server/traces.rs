//! Spans of requests, as a collector gets them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use segue_api::v1 as pb;
use segue_serving::{ServeOptions, TraceOptions};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};

use crate::harness::*;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// Passes on every span that it gets, with the attributes of its resource.
struct Collector(mpsc::UnboundedSender<(BTreeMap<String, String>, Span)>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let about = texts(&resource.resource.unwrap().attributes);
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                self.0.send((about.clone(), span)).unwrap();
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn texts(
    attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue],
) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::ArrayValue(array) => {
            let values = array.values.iter().map(|one| match one.value.as_ref().unwrap() {
                Value::StringValue(text) => text.clone(),
                other => panic!("{other:?}"),
            });
            values.collect::<Vec<_>>().join("|")
        }
        other => panic!("{other:?}"),
    };
    let pair = |one: &opentelemetry_proto::tonic::common::v1::KeyValue| {
        (one.key.clone(), text(one.value.as_ref().unwrap().value.as_ref().unwrap()))
    };
    attributes.iter().map(pair).collect()
}

struct Spans(mpsc::UnboundedReceiver<(BTreeMap<String, String>, Span)>);

impl Spans {
    async fn next(&mut self) -> (BTreeMap<String, String>, Span) {
        tokio::time::timeout(PATIENCE, self.0.recv()).await.expect("a span").unwrap()
    }
}

async fn collector() -> (SocketAddr, Spans) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::unbounded_channel();
    let serving = Server::builder()
        .add_service(TraceServiceServer::new(Collector(sender)))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(serving);
    (address, Spans(receiver))
}

async fn traced(collector: SocketAddr, sample_ratio: f64) -> TestServer {
    let endpoint = format!("http://{collector}");
    let traces = Some(TraceOptions { endpoint, sample_ratio });
    TestServer::start_with(ServeOptions { traces, ..quick() }).await
}

/// A request of the caller whose span is [`PARENT`].
fn within_trace<T>(message: T, flags: &str) -> Request<T> {
    let mut request = Request::new(message);
    let parent = format!("00-{TRACE}-{PARENT}-{flags}");
    request.metadata_mut().insert("traceparent", parent.parse().unwrap());
    request
}

fn about_ada() -> pb::ScoreRequest {
    let row = pb::FeatureRow { subject_id: "ada".into(), ..good_row() };
    request(&["churn"], row)
}

#[tokio::test]
async fn a_score_is_a_span_of_its_callers_trace() {
    let (address, mut spans) = collector().await;
    // Those who have not decided are not traced.
    let server = traced(address, 0.0).await;
    server.score(about_ada()).await.unwrap();
    server.scoring().score(within_trace(about_ada(), "00")).await.unwrap();
    server.scoring().score(within_trace(about_ada(), "01")).await.unwrap();
    let (resource, span) = spans.next().await;
    assert_eq!(resource["service.name"], "segue");
    assert_eq!(span.name, "segue.v1.ScoringService/Score");
    assert_eq!(hex(&span.trace_id), TRACE);
    assert_eq!(hex(&span.parent_span_id), PARENT);
    assert_eq!(span.kind, 2, "server");
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    let expected = [
        ("rpc.grpc.status_code", "0"),
        ("rpc.method", "Score"),
        ("rpc.service", "segue.v1.ScoringService"),
        ("rpc.system", "grpc"),
        ("segue.model", "churn"),
        ("segue.rows", "1"),
        ("segue.served_by", "churn/1 champion"),
        ("segue.variant", "champion"),
        ("segue.version", "1"),
    ];
    let found = texts(&span.attributes);
    let found: Vec<(&str, &str)> = found.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(found, expected, "these, and nothing about ada");
    server.stop.send(()).unwrap();
    server.task.await.unwrap().unwrap();
    assert!(spans.0.try_recv().is_err(), "the two others were not sampled");
}

#[tokio::test]
async fn what_the_pool_scores_and_what_fails_is_told_too() {
    let (address, mut spans) = collector().await;
    let server = traced(address, 1.0).await;
    let rows = vec![good_row(); 100];
    let models = vec![selector("churn")];
    let batch = pb::ScoreBatchRequest { models, rows, ..Default::default() };
    server.scoring().score_batch(batch).await.unwrap();
    let span = next_of(&mut spans, "segue.v1.ScoringService/ScoreBatch").await;
    assert_eq!(hex(&span.parent_span_id), "", "a trace of its own");
    let found = texts(&span.attributes);
    assert_eq!((found["segue.rows"].as_str(), found["segue.version"].as_str()), ("100", "1"));
    let status = server.score(request(&["nobody"], good_row())).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let span = next_of(&mut spans, "segue.v1.ScoringService/Score").await;
    assert_eq!(texts(&span.attributes)["rpc.grpc.status_code"], "5");
    assert_eq!(span.status.unwrap_or_default().code, 0, "the caller's fault, not the server's");
    let body = br#"{"models": [{"model": "churn"}], "options": {"allow_missing": true},
        "row": {"named": {"values": {"age": {"number": 4}}}}}"#;
    let header = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\n");
    let answer = server.http("POST", "/v1/score", &header, body).await;
    assert_eq!(answer.code, 200, "{answer:?}");
    let span = next_of(&mut spans, "/v1/score").await;
    assert_eq!(hex(&span.parent_span_id), PARENT);
    let found = texts(&span.attributes);
    assert_eq!(found["http.response.status_code"], "200");
    assert_eq!(found["segue.served_by"], "churn/1 champion");
}

/// A stream that goes wrong after its headers is no span of something that went well.
#[tokio::test]
async fn the_span_of_a_stream_lasts_until_its_end() {
    let (address, mut spans) = collector().await;
    let server = traced(address, 1.0).await;
    let (requests, stream) = mpsc::channel(1);
    let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
    let mut answers = server.scoring().score_stream(stream).await.unwrap().into_inner();
    let ask = pb::ScoreStreamRequest { sequence: 1, request: Some(about_ada()) };
    requests.send(ask).await.unwrap();
    answers.message().await.unwrap().unwrap();
    let answered = std::time::SystemTime::now();
    drop((requests, answers));
    let span = next_of(&mut spans, "segue.v1.ScoringService/ScoreStream").await;
    let ended = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(span.end_time_unix_nano);
    assert!(ended > answered, "{ended:?} {answered:?}");
    let found = texts(&span.attributes);
    // OK if the end of the requests was seen first, CANCELLED if that of the reader.
    assert!(["0", "1"].contains(&found["rpc.grpc.status_code"].as_str()), "{found:?}");
}

/// The health checks of the harness are requests as well.
async fn next_of(spans: &mut Spans, name: &str) -> Span {
    loop {
        let (_, span) = spans.next().await;
        if span.name == name {
            return span;
        }
    }
}

#[tokio::test]
async fn a_dead_collector_hurts_nobody_and_is_counted() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    drop(taken);
    let server = traced(address, 1.0).await;
    for _ in 0..50 {
        server.score(about_ada()).await.unwrap();
    }
    let dropped = async {
        let line = "segue_spans_dropped_total{reason=\"export_failed\"}";
        while !server.get("/metrics").await.1.contains(line) {}
    };
    tokio::time::timeout(PATIENCE, dropped).await.expect("the page tells what was lost");
    server.stop.send(()).unwrap();
    tokio::time::timeout(PATIENCE, server.task)
        .await
        .expect("the end waits for nobody")
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn options_of_traces_are_checked() {
    for (endpoint, sample_ratio, word) in [
        ("localhost:4317", 1.0, "http://127.0.0.1:4317"),
        ("http://127.0.0.1:4317", 1.5, "0 to 1"),
        ("http://127.0.0.1:4317", f64::NAN, "0 to 1"),
    ] {
        let traces = Some(TraceOptions { endpoint: endpoint.into(), sample_ratio });
        let options = ServeOptions { traces, ..quick() };
        let (folder, registry) = prepared();
        let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let never = std::future::pending();
        let error = segue_serving::run(grpc, http, options, registry, never).await.unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        drop(folder);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
