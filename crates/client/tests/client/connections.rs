//! Connections, endpoints, and what a call carries.

use segue_client::{Client, Error};
use tokio::task::JoinSet;

use crate::fake::Fake;
use crate::harness::PATIENCE;

#[tokio::test]
async fn calls_of_all_clones_share_one_connection() {
    let fake = Fake::default();
    let (address, _stop) = fake.start().await;
    let client = Client::connect(format!("http://{address}")).unwrap();
    assert_eq!(fake.seen.lock().unwrap().n_connections, 0, "none before it is needed");
    let mut calls = JoinSet::new();
    for _ in 0..50 {
        calls.spawn(client.clone().score("churn").deadline(PATIENCE).send());
    }
    while let Some(answer) = calls.join_next().await {
        answer.unwrap().unwrap();
    }
    assert_eq!(fake.seen.lock().unwrap().n_connections, 1);
}

#[tokio::test]
async fn a_server_that_comes_back_is_found_again() {
    let fake = Fake::default();
    let (address, stop) = fake.start().await;
    let client = Client::builder(format!("http://{address}")).deadline(PATIENCE).connect().unwrap();
    client.score("churn").send().await.unwrap();
    drop(stop);
    while client.score("churn").retry(segue_client::RetryPolicy::never()).send().await.is_ok() {
        tokio::task::yield_now().await;
    }
    let (_, _stop) = fake.start_on(address, None).await;
    client.score("churn").send().await.unwrap();
    assert_eq!(fake.seen.lock().unwrap().n_connections, 2);
}

#[tokio::test]
async fn of_two_servers_the_dead_one_hurts_nobody() {
    let fakes = [Fake::default(), Fake::default()];
    let (first, _stop) = fakes[0].start().await;
    let (second, stop) = fakes[1].start().await;
    let client = Client::builder(format!("http://{first}"))
        .endpoint(format!("http://{second}"))
        .deadline(PATIENCE)
        .connect()
        .unwrap();
    for _ in 0..40 {
        client.score("churn").send().await.unwrap();
    }
    assert!(fakes.iter().all(|fake| fake.n_requests() > 0), "both have work");
    drop(stop);
    for _ in 0..40 {
        client.score("churn").send().await.unwrap();
    }
}

#[tokio::test]
async fn the_key_and_own_headers_go_with_every_call() {
    let fake = Fake::default();
    let (address, _stop) = fake.start().await;
    let client =
        Client::builder(format!("http://{address}")).bearer_key("s3cret").connect().unwrap();
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    client.score("churn").header("traceparent", traceparent).send().await.unwrap();
    let seen = fake.seen.lock().unwrap();
    let metadata = &seen.requests[0].0;
    assert_eq!(metadata.get("authorization").unwrap(), "Bearer s3cret");
    assert_eq!(metadata.get("traceparent").unwrap(), traceparent);
    assert!(!format!("{client:?}").contains("s3cret"), "{client:?}");
}

#[tokio::test]
async fn a_key_does_not_go_over_the_network_in_plain_text() {
    let refused = |url: &str| {
        let error = Client::builder(url).bearer_key("s3cret").connect().unwrap_err();
        assert!(error.to_string().contains("plain text"), "{error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    };
    refused("http://scores.example:50051");
    refused("http://10.0.0.7:50051");
    for url in ["http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1", "https://a.example"] {
        Client::builder(url).bearer_key("s3cret").connect().unwrap();
    }
    Client::builder("http://10.0.0.7:1").bearer_key("s3cret").plaintext_key().connect().unwrap();
}

#[tokio::test]
async fn wrong_options_are_told() {
    for (builder, option, word) in [
        (Client::builder("churn:50051"), "endpoint", "http://HOST:PORT"),
        (Client::builder("ftp://churn:50051"), "endpoint", "http://HOST:PORT"),
        (Client::builder("http://a b"), "endpoint", "http://HOST:PORT"),
        (Client::builder("http://a:1").bearer_key("line\nbreak"), "bearer_key", "ASCII"),
        (Client::builder("http://a:1").tls(segue_client::TlsOptions::new()), "endpoint", "https"),
    ] {
        let error = builder.connect().unwrap_err();
        let Error::Option { option: found, ref expected, .. } = error else { panic!("{error}") };
        assert_eq!(found, option);
        assert!(expected.contains(word), "{error}");
    }
    let client = Client::connect("http://127.0.0.1:1").unwrap();
    let error = client.score("churn").header("bad name", "x").send().await.unwrap_err();
    assert!(matches!(error, Error::Option { option: "header", .. }), "{error}");
}
