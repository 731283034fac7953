//! What became of predictions, told to a real server.

use std::time::SystemTime;

use segue_client::{Client, Code, Outcome, Recorded, Row, Scored};
use segue_serving::{PredictionLogOptions, ServeOptions};

use crate::harness::{TestServer, quick};
use crate::real::client_of;

async fn server_with_log(dir: &tempfile::TempDir) -> TestServer {
    let prediction_log = Some(PredictionLogOptions::new(dir.path()));
    TestServer::start_with(ServeOptions { prediction_log, ..quick() }).await
}

async fn scored(client: &Client) -> Scored {
    let row = Row::new().feature("age", 40).category("plan", "pro").missing("visits");
    client.score("churn").row(row).send().await.unwrap()
}

const FIRST: Recorded = Recorded { is_matched: true, is_duplicate: false, is_correction: false };

#[tokio::test]
async fn an_outcome_is_recorded_once_however_often_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let server = server_with_log(&dir).await;
    let client = client_of(&server);
    let scored = scored(&client).await;
    let id = scored.prediction_id();
    // Early outcomes are recorded too: ask until the log has the prediction.
    let tell = || client.outcome(id, true).request_id("r1");
    let mut told = tell().send().await.unwrap();
    assert!(!told.is_duplicate && !told.is_correction, "{told:?}");
    while !told.is_matched {
        told = tell().send().await.unwrap();
        assert!(told.is_duplicate);
    }
    let again = tell().send().await.unwrap();
    assert_eq!(again, Recorded { is_duplicate: true, ..FIRST });
    let corrected = client.outcome(id, false).at(SystemTime::now().into()).weight(2.0);
    assert_eq!(corrected.send().await.unwrap(), Recorded { is_correction: true, ..FIRST });
    let reused = client.outcome(id, false).request_id("r1").send().await.unwrap_err();
    assert_eq!(reused.failure().unwrap().reason, "REQUEST_ID_REUSED");
}

#[tokio::test]
async fn of_many_outcomes_each_has_its_own_answer() {
    let dir = tempfile::tempdir().unwrap();
    let server = server_with_log(&dir).await;
    let client = client_of(&server);
    let scored = scored(&client).await;
    let outcomes = [Outcome::new(scored.prediction_id(), true), Outcome::new("nobody's", 1.5)];
    let told = client.outcomes(outcomes).send().await.unwrap();
    assert_eq!(told.len(), 2);
    assert!(!told[0].as_ref().unwrap().is_duplicate);
    assert_eq!(told[1].as_ref().unwrap_err().reason, "PREDICTION_ID_INVALID");
    // A server without a log says so.
    let without = TestServer::start().await;
    let status = client_of(&without).outcome(scored.prediction_id(), true).send().await;
    assert_eq!(status.unwrap_err().code(), Code::FailedPrecondition);
}
