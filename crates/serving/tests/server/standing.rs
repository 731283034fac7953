//! Streams whose callers may no longer have them.

use std::time::{Duration, SystemTime};

use segue_api::v1 as pb;
use segue_api::v1::feedback_service_client::FeedbackServiceClient;
use segue_api::v1::model_registry_service_client::ModelRegistryServiceClient;
use segue_api::v1::scoring_service_client::ScoringServiceClient;
use segue_serving::{PredictionLogOptions, ServeOptions};
use serde_json::json;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;

use crate::access::*;
use crate::harness::*;
use crate::versions::{header, upload};

async fn served(folder: tempfile::TempDir, options: ServeOptions) -> TestServer {
    let registry = segue_registry::Registry::open(folder.path().to_str().unwrap()).unwrap();
    let server = TestServer::over(folder, registry, options).await;
    server.wait_for_health("model/churn", ServingStatus::Serving).await;
    server
}

/// A stream of scores, and the way to ask on it.
struct Scores {
    requests: Sender<pb::ScoreStreamRequest>,
    answers: Streaming<pb::ScoreStreamResponse>,
}

impl Scores {
    async fn open(server: &TestServer, credential: &str) -> Result<Self, Status> {
        let (requests, stream) = channel(1);
        let mut client = ScoringServiceClient::new(server.channel.clone());
        let asked = bearing(Some(credential), ReceiverStream::new(stream));
        let answers = client.score_stream(asked).await?.into_inner();
        let mut open = Self { requests, answers };
        open.ask().await;
        Ok(open)
    }

    async fn ask(&mut self) {
        let request = Some(request(&["churn"], good_row()));
        self.requests.send(pb::ScoreStreamRequest { sequence: 7, request }).await.unwrap();
        let answer = self.answers.message().await.unwrap().expect("it goes on");
        assert_eq!(answer.sequence, 7);
    }

    async fn end(&mut self) -> (Code, String) {
        told(self.answers.message().await)
    }
}

fn told<T: std::fmt::Debug>(ended: Result<T, Status>) -> (Code, String) {
    let status = ended.expect_err("it has ended");
    (status.code(), reason(&status))
}

async fn within<T>(ended: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, ended).await.expect("it ends")
}

#[tokio::test]
async fn a_key_that_is_withdrawn_takes_its_streams_along() {
    let stays = Keys::new().with("stays", &["scorer"]);
    let goes = Keys::new().with("goes", &["scorer", "viewer", "feedback"]);
    let both = format!("{}{}", stays.file, goes.file.strip_prefix("version = 1\n").unwrap());
    let (folder, _) = prepared();
    let log = tempfile::tempdir().unwrap();
    let options = ServeOptions {
        prediction_log: Some(PredictionLogOptions::new(log.path())),
        ..guarded(folder.path(), &both)
    };
    let (path, reload) = (options.access.file.clone().unwrap(), options.access.reload.clone());
    let server = served(folder, options).await;
    let (stays_key, goes_key) = (&stays.keys["stays"], &goes.keys["goes"]);
    let mut other = Scores::open(&server, stays_key).await.unwrap();
    let mut scores = Scores::open(&server, goes_key).await.unwrap();
    let mut models = ModelRegistryServiceClient::new(server.channel.clone());
    let asked = bearing(Some(goes_key), pb::WatchModelsRequest::default());
    let mut watch = models.watch_models(asked).await.unwrap().into_inner();
    watch.message().await.unwrap().unwrap();
    let (outcomes, stream) = channel::<pb::StreamOutcomesRequest>(1);
    let asked = bearing(Some(goes_key), ReceiverStream::new(stream));
    let mut feedback = FeedbackServiceClient::new(server.channel.clone());
    let reporting = tokio::spawn(async move { feedback.stream_outcomes(asked).await });
    let started = "grpc_server_started_total{grpc_service=\"segue.v1.FeedbackService\",\
                   grpc_method=\"StreamOutcomes\"}";
    within(async { while metric(&server, started).await < 1.0 {} }).await;

    std::fs::write(&path, &stays.file).unwrap();
    reload.now();
    until_reloaded(&server, "ok", 1).await;
    let unknown = (Code::Unauthenticated, "KEY_UNKNOWN".to_owned());
    assert_eq!(within(scores.end()).await, unknown);
    assert_eq!(told(within(watch.message()).await), unknown);
    assert_eq!(told(within(reporting).await.unwrap()), unknown);
    other.ask().await;
    for method in ["ScoreStream", "WatchModels", "StreamOutcomes"] {
        let denied =
            format!("segue_access_denied_total{{reason=\"KEY_UNKNOWN\",method=\"{method}\"}}");
        assert_eq!(metric(&server, &denied).await, 1.0, "{method}");
    }
    drop(outcomes);
}

#[tokio::test]
async fn a_role_that_is_taken_takes_the_streams_that_need_it() {
    let keys = Keys::new().with("ada", &["scorer", "viewer"]);
    let (folder, _) = prepared();
    let options = guarded(folder.path(), &keys.file);
    let (path, reload) = (options.access.file.clone().unwrap(), options.access.reload.clone());
    let server = served(folder, options).await;
    let key = &keys.keys["ada"];
    let mut scores = Scores::open(&server, key).await.unwrap();
    let mut models = ModelRegistryServiceClient::new(server.channel.clone());
    let asked = bearing(Some(key), pb::WatchModelsRequest::default());
    let mut watch = models.watch_models(asked).await.unwrap().into_inner();
    watch.message().await.unwrap().unwrap();
    std::fs::write(&path, keys.file.replace("\"viewer\"", "\"feedback\"")).unwrap();
    reload.now();
    until_reloaded(&server, "ok", 1).await;
    let missing = (Code::PermissionDenied, "ROLE_MISSING".to_owned());
    assert_eq!(told(within(watch.message()).await), missing);
    scores.ask().await;
}

/// Nothing is reloaded: the token is over, and so is what it opened.
#[tokio::test]
async fn a_stream_ends_with_the_token_that_opened_it() {
    let ed = ed25519();
    let (folder, _) = prepared();
    let key_set = json!({"keys": [ed25519_jwk("ed", &ed)]});
    std::fs::write(folder.path().join("jwks.json"), key_set.to_string()).unwrap();
    let server = {
        let options = guarded(folder.path(), &format!("{JWT}leeway_seconds = 0\n"));
        served(folder, options).await
    };
    let sign = |message: &[u8]| ed.sign(message).as_ref().to_vec();
    // On a machine that is busy it may be over before it is shown.
    let mut lasts = 1;
    let mut scores = loop {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let mut claims = claims();
        claims["exp"] = json!(now.as_secs() + lasts);
        let shown = token(&json!({"alg": "EdDSA"}), &claims, sign);
        match Scores::open(&server, &shown).await {
            Ok(scores) => break scores,
            Err(status) => assert_eq!(reason(&status), "TOKEN_EXPIRED"),
        }
        lasts *= 2;
        assert!(Duration::from_secs(lasts) < PATIENCE);
    };
    let expired = (Code::Unauthenticated, "TOKEN_EXPIRED".to_owned());
    assert_eq!(within(scores.end()).await, expired);
}

/// A publisher of some models is one of others by the time that the last piece comes.
#[tokio::test]
async fn an_upload_is_published_only_if_that_is_still_allowed() {
    let keys = Keys::new().with("ci", &["publisher:churn"]);
    let (folder, _) = prepared();
    let options = guarded(folder.path(), &keys.file);
    let (path, reload) = (options.access.file.clone().unwrap(), options.access.reload.clone());
    let server = served(folder, options).await;
    let draft = churn_draft(0.75);
    let mut parts = upload(header(&draft), &draft, 4096);
    let last = parts.split_off(parts.len() - 1);
    let (pieces, stream) = channel(1);
    let asked = bearing(Some(&keys.keys["ci"]), ReceiverStream::new(stream));
    let mut models = ModelRegistryServiceClient::new(server.channel.clone());
    let uploading = tokio::spawn(async move { models.register_model_version(asked).await });
    for part in parts {
        pieces.send(part).await.unwrap();
    }
    std::fs::write(&path, keys.file.replace("publisher:churn", "publisher:visits")).unwrap();
    reload.now();
    until_reloaded(&server, "ok", 1).await;
    for part in last {
        pieces.send(part).await.unwrap();
    }
    drop(pieces);
    let missing = (Code::PermissionDenied, "ROLE_MISSING".to_owned());
    assert_eq!(told(within(uploading).await.unwrap()), missing);
    assert_eq!(server.registry.versions("churn").unwrap().len(), 2);
}
