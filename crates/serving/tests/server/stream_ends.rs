//! How streams end, and what is counted of it.

use std::time::{Duration, Instant};

use segue_api::v1 as pb;
use segue_api::v1::feedback_service_client::FeedbackServiceClient;
use segue_serving::ServeOptions;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::errors::told;
use crate::harness::*;
use crate::prediction_log::with_log;

async fn handled(server: &TestServer, service: &str, method: &str, code: &str) -> f64 {
    let labels =
        format!("grpc_service=\"{service}\",grpc_method=\"{method}\",grpc_code=\"{code}\"");
    metric(server, &format!("grpc_server_handled_total{{{labels}}}")).await
}

async fn until_handled(server: &TestServer, code: &str) {
    let counted = async { while handled(server, SCORING, "ScoreStream", code).await != 1.0 {} };
    tokio::time::timeout(PATIENCE, counted).await.expect(code);
}

const SCORING: &str = "segue.v1.ScoringService";

struct Open {
    requests: Sender<pb::ScoreStreamRequest>,
    answers: Streaming<pb::ScoreStreamResponse>,
}

/// A stream that has answered once.
async fn open(server: &TestServer, timeout: Option<Duration>) -> Result<Open, Status> {
    let (requests, stream) = channel(1);
    let mut asked = Request::new(ReceiverStream::new(stream));
    if let Some(timeout) = timeout {
        asked.set_timeout(timeout);
    }
    let mut answers = server.scoring().score_stream(asked).await?.into_inner();
    let request = Some(request(&["churn"], good_row()));
    requests.send(pb::ScoreStreamRequest { sequence: 1, request }).await.unwrap();
    answers.message().await?.expect("an answer");
    Ok(Open { requests, answers })
}

async fn ended(answers: &mut Streaming<pb::ScoreStreamResponse>) -> Result<(), Status> {
    let ended = tokio::time::timeout(PATIENCE, answers.message()).await;
    ended.expect("it ends").map(|message| assert!(message.is_none(), "{message:?}"))
}

#[tokio::test]
async fn a_stream_is_counted_by_its_end() {
    let server = TestServer::start().await;
    let mut whole = open(&server, None).await.unwrap();
    let left = open(&server, None).await.unwrap();
    for code in ["OK", "CANCELLED"] {
        assert_eq!(handled(&server, SCORING, "ScoreStream", code).await, 0.0, "none is over");
    }
    drop(whole.requests);
    ended(&mut whole.answers).await.unwrap();
    until_handled(&server, "OK").await;
    drop(left);
    until_handled(&server, "CANCELLED").await;
    // The caller's own deadline, which comes with the headers. A machine that is busy needs a later one.
    let mut timeout = Duration::from_millis(100);
    let (mut late, began_within) = loop {
        let begun = Instant::now();
        if let Ok(late) = open(&server, Some(timeout)).await {
            break (late, begun.elapsed());
        }
        timeout *= 2;
        assert!(timeout < PATIENCE);
    };
    ended(&mut late.answers).await.unwrap_err();
    let n_late = async {
        loop {
            let n_late = handled(&server, SCORING, "ScoreStream", "DEADLINE_EXCEEDED").await;
            if n_late > 0.0 {
                return n_late;
            }
        }
    };
    let n_late = tokio::time::timeout(PATIENCE, n_late).await.expect("by the server as well");
    // How long it took is how long its beginning took: one that is open for long is not slow.
    let sum = "grpc_server_handling_seconds_sum{grpc_service=\"segue.v1.ScoringService\",\
               grpc_method=\"ScoreStream\",grpc_code=\"DEADLINE_EXCEEDED\"}";
    let took = metric(&server, sum).await;
    assert!(n_late > 1.0 || took <= began_within.as_secs_f64(), "{took} {began_within:?}");
}

fn silent() -> ServeOptions {
    let mut options = quick();
    options.net.max_stream_silence = Duration::from_millis(50);
    options
}

async fn in_use(server: &TestServer, name: &str) -> u64 {
    let ask = pb::GetServerStatusRequest {};
    let told = server.admin().get_server_status(ask).await.unwrap().into_inner();
    told.limits.iter().find(|limit| limit.name == name).unwrap().in_use
}

async fn until_free(server: &TestServer, name: &str) {
    let free = async { while in_use(server, name).await > 0 {} };
    tokio::time::timeout(PATIENCE, free).await.expect(name);
}

/// Pings keep the connection, and a stream that nobody uses kept its permit for as long.
#[tokio::test]
async fn a_silent_stream_gives_its_place_back() {
    let log = tempfile::tempdir().unwrap();
    let server = TestServer::start_with(ServeOptions {
        prediction_log: with_log(log.path()).prediction_log,
        ..silent()
    })
    .await;
    let idle = |status: Status| {
        assert_eq!(told(&status), (Code::Aborted, "STREAM_IDLE".to_owned(), Vec::new()));
    };
    let mut scores = open(&server, None).await.unwrap();
    idle(ended(&mut scores.answers).await.unwrap_err());
    until_free(&server, "streams").await;
    let mut feedback = FeedbackServiceClient::new(server.channel.clone());
    let reporting = feedback.stream_outcomes(tokio_stream::pending::<pb::StreamOutcomesRequest>());
    idle(tokio::time::timeout(PATIENCE, reporting).await.expect("it ends").unwrap_err());
    until_free(&server, "outcome_requests").await;
    let mut models = server.models();
    let uploading = models.register_model_version(tokio_stream::pending());
    idle(tokio::time::timeout(PATIENCE, uploading).await.expect("it ends").unwrap_err());
    until_free(&server, "uploads").await;
    assert_eq!(handled(&server, SCORING, "ScoreStream", "ABORTED").await, 1.0);
    // Who only listens has said all there is to say, and may listen on.
    let request = HealthCheckRequest { service: String::new() };
    let mut health = HealthClient::new(server.channel.clone());
    let mut watch = health.watch(request).await.unwrap().into_inner();
    watch.message().await.unwrap().unwrap();
    let mut listening =
        server.models().watch_models(pb::WatchModelsRequest::default()).await.unwrap().into_inner();
    listening.message().await.unwrap().unwrap();
    // Longer than the silence: another stream has come and gone.
    let mut scores = open(&server, None).await.unwrap();
    idle(ended(&mut scores.answers).await.unwrap_err());
    server.models().promote_model_version(promotion("churn", 2)).await.unwrap();
    let told = tokio::time::timeout(PATIENCE, listening.message()).await;
    told.expect("it is told").unwrap().expect("the watch goes on");
}
