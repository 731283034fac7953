//! A stop in the middle of everything.

use std::time::{Duration, Instant};

use segue_serving::ServeOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::harness::*;
use crate::times;
use crate::traffic::Callers;

/// The connection preface, empty settings, and the head of a request whose body never comes.
const NEVER_ENDING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \x00\x00\x00\x04\x00\x00\x00\x00\x00";

/// Callers that turn away when health says so are never refused; one that keeps its connection and
/// takes no notice of GOAWAY, and watches that stay open, hold the stop up no longer than the drain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_fails_nobody_and_is_bounded() {
    for _ in 0..times(1, 20) {
        stop_under_load().await;
    }
}

async fn stop_under_load() {
    let options = ServeOptions {
        pre_drain: Duration::from_millis(500),
        drain_timeout: Duration::from_millis(500),
        ..quick()
    };
    let server = TestServer::start_with(options).await;
    let callers = Callers::new(&server, &[(1, 0.0), (2, 0.5)]);
    let calling = [
        tokio::spawn(callers.clone().unary()),
        tokio::spawn(callers.clone().batches()),
        tokio::spawn(callers.clone().stream()),
    ];
    callers.until_answered(calling.len()).await;
    let mut deaf = TcpStream::connect(server.grpc).await.unwrap();
    deaf.write_all(NEVER_ENDING).await.unwrap();
    deaf.write_all(&head_of_score()).await.unwrap();
    let watched = HealthCheckRequest { service: String::new() };
    let mut watch =
        HealthClient::new(server.channel.clone()).watch(watched).await.unwrap().into_inner();
    while watch.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    server.stop.send(()).unwrap();
    let asked = Instant::now();
    while watch.message().await.unwrap().unwrap().status() != ServingStatus::NotServing {}
    callers.stop();
    for caller in calling {
        // A failed call is a panic in there.
        assert!(!caller.await.unwrap().is_empty());
    }
    let end = watch.message().await.unwrap_err();
    assert_eq!(end.code(), Code::Unavailable, "{end:?}");
    tokio::time::timeout(PATIENCE, server.task).await.expect("bounded").unwrap().unwrap();
    eprintln!("stopped {:?} after it was asked to", asked.elapsed());
    // The server has let go of who would not.
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, deaf.read_to_end(&mut rest)).await.expect("closed").ok();
}

/// HEADERS of stream 1 without END_STREAM, every field a literal that is not indexed.
fn head_of_score() -> Vec<u8> {
    let mut block = Vec::new();
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/segue.v1.ScoringService/Score"),
        (":authority", "test"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    for (name, value) in fields {
        block.extend([0, name.len() as u8]);
        block.extend(name.as_bytes());
        block.push(value.len() as u8);
        block.extend(value.as_bytes());
    }
    let mut frame = vec![0, 0, block.len() as u8, 1, 4, 0, 0, 0, 1];
    frame.extend(block);
    frame
}
