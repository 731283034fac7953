//! Overload, deadlines and sizes.

use std::time::Duration;

use segue_api::v1 as pb;
use segue_serving::ServeOptions;
use tokio_stream::StreamExt;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::harness::*;

/// Calls `Score` with a body that never comes, so that it is under way for as long as it may be.
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
    let request = Request::new(tokio_stream::pending::<pb::ScoreRequest>());
    let path = PathAndQuery::from_static("/segue.v1.ScoringService/Score");
    let codec = tonic_prost::ProstCodec::<pb::ScoreRequest, pb::ScoreResponse>::default();
    client.client_streaming(request, path, codec).await.map(drop).unwrap_err()
}

/// Through bare HTTP/2, because tonic's client has a timer of its own for the same header, and for
/// several timeouts, because tonic's server has one too, which must never be the first.
#[tokio::test]
async fn an_expired_deadline_is_deadline_exceeded() {
    let server = TestServer::start().await;
    let stream = tokio::net::TcpStream::connect(server.grpc).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    for timeout in ["1n", "1u", "999u", "1m", "2m", "20m", "50000u"].repeat(5) {
        let request =
            tonic::codegen::http::Request::post("http://test/segue.v1.ScoringService/Score")
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .header("grpc-timeout", timeout)
                .body(())
                .unwrap();
        let (answer, _body_to_come) = client.send_request(request, false).unwrap();
        let answer = tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap();
        let status = Status::from_header_map(answer.headers()).unwrap();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{timeout}: {status:?}");
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "DEADLINE_EXCEEDED");
    }
}

#[tokio::test]
async fn the_server_has_a_deadline_of_its_own() {
    let options = ServeOptions { max_request_time: Duration::from_millis(50), ..quick() };
    let server = TestServer::start_with(options).await;
    assert_eq!(stalled(&server).await.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn overload_is_refused_and_promotions_still_work() {
    let server = TestServer::start_with(ServeOptions { max_in_flight: 1, ..quick() }).await;
    let promotion = promotion("churn", 2);
    // The stalled request holds the only permit until both are answered.
    let refused_and_promoted = async {
        let status = loop {
            if let Err(status) = server.score(request(&["churn"], good_row())).await {
                break status;
            }
        };
        server.models().promote_model_version(promotion).await.unwrap();
        status
    };
    let status = tokio::select! {
        status = stalled(&server) => panic!("{status:?}"),
        status = tokio::time::timeout(PATIENCE, refused_and_promoted) => status.unwrap(),
    };
    assert_eq!(status.code(), Code::ResourceExhausted);
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "OVERLOADED");
    assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_millis(100)));
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_hold_up_the_drain() {
    let options = ServeOptions { drain_timeout: Duration::from_millis(50), ..quick() };
    let server = TestServer::start_with(options).await;
    let (channel, task) = (server.channel.clone(), server.task);
    let waiting = tokio::spawn(async move {
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.unwrap();
        let request = Request::new(tokio_stream::pending::<pb::ScoreRequest>());
        let path = PathAndQuery::from_static("/segue.v1.ScoringService/Score");
        let codec = tonic_prost::ProstCodec::<pb::ScoreRequest, pb::ScoreResponse>::default();
        client.client_streaming(request, path, codec).await.map(drop)
    });
    server.stop.send(()).unwrap();
    tokio::time::timeout(PATIENCE, task).await.expect("bounded").unwrap().unwrap();
    waiting.abort();
}

#[tokio::test]
async fn batches_messages_and_streams_are_bounded() {
    let options =
        ServeOptions { max_batch_rows: 3, max_message_bytes: 4096, max_streams: 1, ..quick() };
    let server = TestServer::start_with(options).await;
    let batch = |rows| pb::ScoreBatchRequest {
        models: vec![selector("churn")],
        rows: vec![good_row(); rows],
        ..Default::default()
    };
    server.scoring().score_batch(batch(3)).await.unwrap();
    let status = server.scoring().score_batch(batch(4)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "BATCH_TOO_LARGE");
    assert_eq!(details.bad_request().unwrap().field_violations[0].field, "rows");
    let status = server.scoring().score_batch(batch(1000)).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    let (requests, stream) = tokio::sync::mpsc::channel(1);
    let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
    let open = server.scoring().score_stream(stream).await.unwrap();
    let status = server.scoring().score_stream(tokio_stream::pending()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    drop((requests, open));
    // The place of the stream that was left is given to the next.
    let next = async {
        loop {
            if let Ok(answers) = server.scoring().score_stream(tokio_stream::iter([])).await {
                return answers.into_inner().next().await.is_none();
            }
        }
    };
    assert!(tokio::time::timeout(PATIENCE, next).await.unwrap());
}

#[tokio::test]
async fn an_unknown_method_is_unimplemented() {
    let server = TestServer::start().await;
    let mut client = tonic::client::Grpc::new(server.channel.clone());
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static("/segue.v1.ScoringService/Guess");
    let codec = tonic_prost::ProstCodec::<pb::ScoreRequest, pb::ScoreResponse>::default();
    let request = Request::new(pb::ScoreRequest::default());
    let status: Status = client.unary(request, path, codec).await.map(drop).unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    let (_, page) = server.get("/metrics").await;
    assert!(page.contains("grpc_method=\"unknown\"") && !page.contains("Guess"));
}
