//! How long a call may take.

use std::time::Duration;

use segue_client::{Client, Code, Row};

use crate::fake::{Act, Fake};

fn timeout_us(fake: &Fake, request: usize) -> u64 {
    let seen = fake.seen.lock().unwrap();
    let text = seen.requests[request].0.get("grpc-timeout").unwrap().to_str().unwrap();
    let (digits, unit) = text.split_at(text.len() - 1);
    let n: u64 = digits.parse().unwrap();
    match unit {
        "n" => n / 1_000,
        "u" => n,
        "m" => n * 1_000,
        "S" => n * 1_000_000,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_silent_server_is_given_up_at_the_deadline() {
    let fake = Fake::acting([Act::NeverAnswer, Act::NeverAnswer]);
    let (address, _stop) = fake.start().await;
    let deadline = Duration::from_millis(60);
    let client = Client::builder(format!("http://{address}")).deadline(deadline).connect().unwrap();
    let error = client.score("churn").send().await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
    let own = Duration::from_millis(30);
    let error = client.score("churn").deadline(own).send().await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
    // The server was told, and of this call's own.
    let (first, second) = (timeout_us(&fake, 0), timeout_us(&fake, 1));
    assert!(first > 30_000 && first <= 60_000, "{first}");
    assert!(second <= 30_000, "{second}");
}

#[tokio::test]
async fn a_stream_waits_for_answers_and_not_for_questions() {
    let fake = Fake::acting([Act::NeverAnswer]);
    let (address, _stop) = fake.start().await;
    let client = Client::connect(format!("http://{address}")).unwrap();
    let deadline = Duration::from_millis(300);
    let stream = client.stream("churn").deadline(deadline).open().await.unwrap();
    let (mut requests, mut answers) = stream.split();
    // Nobody has asked: as long as it takes.
    let idle = tokio::time::timeout(2 * deadline, answers.next()).await;
    assert!(idle.is_err(), "{idle:?}");
    requests.send(&Row::new()).await.unwrap();
    let late = answers.next().await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late}");
    // A question that is asked while the answer is waited for.
    let waiting = tokio::spawn(async move { (answers.next().await, answers) });
    requests.send(&Row::new()).await.unwrap();
    let (answer, mut answers) = waiting.await.unwrap();
    assert_eq!(answer.unwrap().unwrap().sequence, 1);
    drop(requests);
    assert_eq!(answers.next().await.unwrap(), None);
}

#[tokio::test]
async fn for_ever_is_no_reason_to_panic() {
    let fake = Fake::default();
    let (address, _stop) = fake.start().await;
    let client = Client::connect(format!("http://{address}")).unwrap();
    let call = client.score("churn").deadline(Duration::MAX);
    assert_eq!(call.send().await.unwrap().score(), 0.25);
    let stream = client.stream("churn").deadline(Duration::MAX).open().await.unwrap();
    let (mut requests, mut answers) = stream.split();
    requests.send(&Row::new()).await.unwrap();
    assert_eq!(answers.next().await.unwrap().unwrap().sequence, 0);
}

#[tokio::test]
async fn attempts_share_the_deadline() {
    let refused = || Act::Refuse(tonic::Status::unavailable("not yet"));
    let fake = Fake::acting([refused(), refused(), Act::NeverAnswer]);
    let (address, _stop) = fake.start().await;
    let client = Client::builder(format!("http://{address}"))
        .deadline(Duration::from_millis(500))
        .retry(segue_client::RetryPolicy {
            max_attempts: 3,
            first_wait: Duration::from_millis(1),
            longest_wait: Duration::from_millis(1),
        })
        .connect()
        .unwrap();
    let error = client.score("churn").send().await.unwrap_err();
    let failure = error.failure().unwrap();
    assert_eq!((failure.code, failure.n_attempts), (Code::DeadlineExceeded, 3));
    let left: Vec<u64> = (0..3).map(|attempt| timeout_us(&fake, attempt)).collect();
    assert!(left.is_sorted_by(|a, b| a > b), "each has less than the one before: {left:?}");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_unavailable() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    drop(taken);
    let client = Client::connect(format!("http://{address}")).unwrap();
    let error = client.score("churn").send().await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert_eq!(error.failure().unwrap().n_attempts, 4);
}
