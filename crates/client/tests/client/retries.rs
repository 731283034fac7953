//! What is asked again, and what is not.

use std::collections::HashMap;
use std::time::Duration;

use segue_client::{Client, Code, Error, RetryPolicy};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

use crate::fake::Fake;

fn quick(max_attempts: u32) -> RetryPolicy {
    let wait = Duration::from_micros(10);
    RetryPolicy { max_attempts, first_wait: wait, longest_wait: wait }
}

async fn client_of(fake: &Fake) -> (Client, tokio::sync::oneshot::Sender<()>) {
    let (address, stop) = fake.start().await;
    let builder = Client::builder(format!("http://{address}"));
    (builder.retry(quick(4)).deadline(crate::harness::PATIENCE).connect().unwrap(), stop)
}

#[tokio::test]
async fn unavailable_is_asked_again_with_the_same_request_id() {
    let fake = Fake::refusing(3, || Status::unavailable("not yet"));
    let (client, _stop) = client_of(&fake).await;
    let scored = client.score("churn").feature("visits", 1.0).send().await.unwrap();
    assert_eq!((scored.score(), scored.served_by().version), (0.25, 3));
    let seen = fake.seen.lock().unwrap();
    assert_eq!(seen.requests.len(), 4);
    let ids: Vec<&str> = seen.requests.iter().map(|(_, one)| one.request_id.as_str()).collect();
    assert!(ids[0].len() == 32 && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(scored.request_id(), ids[0]);
}

#[tokio::test]
async fn attempts_are_bounded_and_told() {
    let fake = Fake::refusing(100, || Status::unavailable("never"));
    let (client, _stop) = client_of(&fake).await;
    let error = client.score("churn").send().await.unwrap_err();
    let failure = error.failure().unwrap();
    assert_eq!((failure.code, failure.n_attempts), (Code::Unavailable, 4));
    assert_eq!(fake.n_requests(), 4);
    assert!(error.to_string().contains("after 4 attempts"), "{error}");
    let error = client.score("churn").retry(RetryPolicy::never()).send().await.unwrap_err();
    assert_eq!(error.failure().unwrap().n_attempts, 1);
    assert_eq!(fake.n_requests(), 5);
}

#[tokio::test]
async fn no_other_code_is_asked_again() {
    for code in (1..=16).map(Code::from_i32).filter(|code| *code != Code::Unavailable) {
        let fake = Fake::refusing(1, || Status::new(code, "no"));
        let (client, _stop) = client_of(&fake).await;
        let error = client.score("churn").send().await.unwrap_err();
        assert_eq!(error.code(), code);
        assert_eq!(fake.n_requests(), 1, "{code:?}");
    }
}

#[tokio::test]
async fn a_hot_server_is_left_alone_and_says_for_how_long() {
    let fake = Fake::refusing(1, || {
        let mut details = ErrorDetails::with_error_info("OVERLOADED", "segue", HashMap::new());
        details.set_retry_info(Some(Duration::from_millis(100)));
        Status::with_error_details(Code::ResourceExhausted, "512 at once", details)
    });
    let (client, _stop) = client_of(&fake).await;
    let error = client.score("churn").send().await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::ResourceExhausted, "OVERLOADED"));
    assert_eq!(error.failure().unwrap().retry_delay, Some(Duration::from_millis(100)));
    assert_eq!(fake.n_requests(), 1);
}

#[tokio::test]
async fn no_retry_is_waited_for_beyond_the_deadline() {
    // It asks for an hour; the answer is what it said, and at once.
    let fake = Fake::refusing(1, || {
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(3600)));
        Status::with_error_details(Code::Unavailable, "back in an hour", details)
    });
    let (client, _stop) = client_of(&fake).await;
    let error = client.score("churn").send().await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(fake.n_requests(), 1);
}

#[tokio::test]
async fn answers_that_are_none_are_errors() {
    let fake = Fake::default();
    let (client, _stop) = client_of(&fake).await;
    let error = client.batch("churn").row(segue_client::Row::new()).send().await.unwrap_err();
    assert!(matches!(error, Error::Answer { part: "result for every row" }), "{error}");
    let error = client.layout("churn").await.unwrap_err();
    assert!(matches!(error, Error::Answer { part: "schema" }), "{error}");
}
