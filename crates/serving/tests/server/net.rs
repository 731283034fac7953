//! Callers who are many, silent, or do not read.

use std::time::Duration;

use prost::Message;
use segue_api::v1 as pb;
use segue_serving::{NetOptions, ServeOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::codegen::Bytes;
use tonic::codegen::http::Request;
use tonic::{Code, Status};

use crate::harness::*;

fn with_net(net: NetOptions) -> ServeOptions {
    ServeOptions { net, ..quick() }
}

/// Whether the server has closed the connection, in good order or not.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.is_ok()
}

/// The value of a metric by the beginning of its line.
async fn metric(server: &TestServer, line: &str) -> f64 {
    let (_, page) = server.get("/metrics").await;
    let found = page.lines().find_map(|found| found.strip_prefix(line));
    found.map_or(0.0, |value| value.trim().parse().unwrap())
}

/// Asks for the metric until it is as wanted.
async fn until_metric(server: &TestServer, line: &str, wanted: impl Fn(f64) -> bool) {
    let asked = async { while !wanted(metric(server, line).await) {} };
    tokio::time::timeout(PATIENCE, asked).await.expect(line);
}

#[tokio::test]
async fn connections_above_the_bound_are_closed_at_once() {
    let net = NetOptions { max_connections: 3, max_http_connections: 1, ..NetOptions::default() };
    let server = TestServer::start_with(with_net(net)).await;
    // The first is the server's own channel.
    let second = TcpStream::connect(server.grpc).await.unwrap();
    let third = TcpStream::connect(server.grpc).await.unwrap();
    for _ in 0..50 {
        assert!(is_closed(&mut TcpStream::connect(server.grpc).await.unwrap()).await);
    }
    server.score(request(&["churn"], good_row())).await.expect("who is in stays in");
    until_metric(
        &server,
        "segue_connections_refused_total{port=\"grpc\",reason=\"too_many\"}",
        |n| n >= 50.0,
    )
    .await;
    assert_eq!(metric(&server, "segue_connections{port=\"grpc\"}").await, 3.0);
    drop((second, third));
    let back = async {
        loop {
            let channel = tonic::transport::Endpoint::new(format!("http://{}", server.grpc));
            let Ok(channel) = channel.unwrap().connect().await else { continue };
            let mut client = pb::scoring_service_client::ScoringServiceClient::new(channel);
            if client.score(request(&["churn"], good_row())).await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, back).await.expect("places are given back");
}

#[tokio::test]
async fn who_says_nothing_or_only_half_is_cut_on_both_ports() {
    let header_timeout = Duration::from_millis(50);
    let net = NetOptions { header_timeout, ..NetOptions::default() };
    let server = TestServer::start_with(with_net(net)).await;
    for words in [&b""[..], b"PRI * HTTP/2.0\r\n\r\n"] {
        let mut stream = TcpStream::connect(server.grpc).await.unwrap();
        stream.write_all(words).await.unwrap();
        assert!(is_closed(&mut stream).await);
    }
    for words in [&b""[..], b"GET /healthz HTTP/1.1\r\nHost: te", b"POST /v1/score HTTP/1.1\r\n"] {
        let mut stream = TcpStream::connect(server.http).await.unwrap();
        stream.write_all(words).await.unwrap();
        assert!(is_closed(&mut stream).await);
    }
    let cut = metric(&server, "segue_connections_cut_total{port=\"grpc\",reason=\"silent\"}").await;
    assert_eq!(cut, 2.0);
    // This connection has been idle for longer, but has said something.
    server.score(request(&["churn"], good_row())).await.unwrap();
}

#[tokio::test]
async fn a_body_that_trickles_ends_with_its_deadline() {
    let options = ServeOptions { max_request_time: Duration::from_millis(50), ..quick() };
    let server = TestServer::start_with(options).await;
    let mut stream = TcpStream::connect(server.http).await.unwrap();
    let head = b"POST /v1/score HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
                 Content-Length: 1000\r\n\r\n{";
    stream.write_all(head).await.unwrap();
    assert_eq!(read_answer(&mut stream).await.code, 504);
}

#[tokio::test]
async fn headers_are_bounded_on_both_ports() {
    let server = TestServer::start().await;
    let long = format!("x-long: {}\r\n", "a".repeat(20 << 10));
    assert_eq!(server.http("GET", "/healthz", &long, b"").await.code, 431);
    let many = "x-many: a\r\n".repeat(100);
    assert_eq!(server.http("GET", "/healthz", &many, b"").await.code, 431);
    let mut asked = tonic::Request::new(request(&["churn"], good_row()));
    asked.metadata_mut().insert("x-long", "a".repeat(20 << 10).parse().unwrap());
    server.scoring().score(asked).await.unwrap_err();
    server.score(request(&["churn"], good_row())).await.expect("the connection lives");
}

/// A batch as it goes over the wire.
fn batch(n_rows: usize) -> Bytes {
    let batch = pb::ScoreBatchRequest {
        models: vec![selector("churn")],
        rows: vec![good_row(); n_rows],
        ..Default::default()
    };
    let body = batch.encode_to_vec();
    let length = u32::try_from(body.len()).unwrap();
    [&[0][..], &length.to_be_bytes(), &body].concat().into()
}

fn batch_call() -> Request<()> {
    Request::post("http://test/segue.v1.ScoringService/ScoreBatch")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap()
}

/// Flow control keeps the answers in the server: they are refused beyond a bound.
#[tokio::test]
async fn answers_that_are_not_read_are_bounded() {
    let limit = 40_000;
    let net = NetOptions { max_unread_bytes_per_connection: limit, ..NetOptions::default() };
    let server = TestServer::start_with(with_net(net)).await;
    let stream = TcpStream::connect(server.grpc).await.unwrap();
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(0);
    let (client, connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let (mut n_refused, mut held) = (0, Vec::new());
    for _ in 0..50 {
        let mut client = client.clone().ready().await.unwrap();
        let (answer, mut body) = client.send_request(batch_call(), false).unwrap();
        body.send_data(batch(100), true).unwrap();
        let answer = tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap();
        match Status::from_header_map(answer.headers()) {
            Some(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                assert!(status.message().contains("not read"), "{status:?}");
                n_refused += 1;
            }
            None => held.push(answer),
        }
        assert!(metric(&server, "segue_unread_answer_bytes").await <= limit as f64);
    }
    assert!(held.len() > 1 && n_refused > 20, "{} held, {n_refused} refused", held.len());
    server.score(request(&["churn"], good_row())).await.expect("others are not concerned");
    connection.abort();
    until_metric(&server, "segue_unread_answer_bytes", |bytes| bytes == 0.0).await;
}

#[tokio::test]
async fn who_does_not_read_an_answer_is_cut() {
    let answer_timeout = Duration::from_millis(50);
    let net = NetOptions { answer_timeout, ..NetOptions::default() };
    let server = TestServer::start_with(with_net(net)).await;
    let stream = TcpStream::connect(server.grpc).await.unwrap();
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(0);
    let (client, connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
    let mut client = client.ready().await.unwrap();
    let (answer, mut body) = client.send_request(batch_call(), false).unwrap();
    body.send_data(batch(1000), true).unwrap();
    // The connection is read all the time, and its pings answered; only the answer is not.
    let ended = tokio::time::timeout(PATIENCE, connection).await;
    drop((ended.expect("cut"), answer));
    let cut = "segue_connections_cut_total{port=\"grpc\",reason=\"answer_unread\"}";
    assert_eq!(metric(&server, cut).await, 1.0);
    until_metric(&server, "segue_unread_answer_bytes", |bytes| bytes == 0.0).await;
    // A stream that waits for its next message has nothing unread, however long it waits.
    server
        .wait_for_health("", tonic_health::pb::health_check_response::ServingStatus::Serving)
        .await;
    server.score(request(&["churn"], good_row())).await.unwrap();
}

/// Requests one after the other on one connection, as HTTP/1.1 has it, and no answer read.
#[tokio::test]
async fn who_does_not_read_the_socket_holds_one_answer_for_a_bounded_time() {
    let net = NetOptions { answer_timeout: Duration::from_millis(100), ..NetOptions::default() };
    let server = TestServer::start_with(with_net(net)).await;
    let one_page = server.get("/metrics").await.1.len() as f64;
    let mut stream = TcpStream::connect(server.http).await.unwrap();
    let ask = b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n".repeat(100);
    let asking = async { while stream.write_all(&ask).await.is_ok() {} };
    let cut = "segue_connections_cut_total{port=\"http\",reason=\"answer_unread\"}";
    let watched = async {
        let mut most = 0.0f64;
        while metric(&server, cut).await == 0.0 {
            most = most.max(metric(&server, "segue_unread_answer_bytes").await);
        }
        most
    };
    let both = async { tokio::join!(asking, watched).1 };
    let most = tokio::time::timeout(PATIENCE, both).await.expect("cut");
    assert!(most > 0.0 && most < 3.0 * one_page, "{most} of pages of {one_page}");
    until_metric(&server, "segue_unread_answer_bytes", |bytes| bytes == 0.0).await;
}
