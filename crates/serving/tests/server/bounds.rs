//! What a stranger may make large: counted, or refused with what is allowed.

use segue_api::inference as oip;
use segue_api::v1 as pb;
use segue_serving::{NetOptions, ServeOptions};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::errors::told;
use crate::harness::*;
use crate::tensors::*;

#[tokio::test]
async fn ids_are_kept_and_so_they_are_short() {
    let server = TestServer::start().await;
    let (good, long) = ("x".repeat(1024), "x".repeat(1025));
    let bad = |field: &str| {
        let bad = vec![(field.to_owned(), "FIELD_INVALID".to_owned())];
        (Code::InvalidArgument, "FIELD_INVALID".to_owned(), bad)
    };
    let with = |id: &str, subject: &str, key: &str| {
        let row = pb::FeatureRow {
            subject_id: subject.to_owned(),
            routing_key: key.to_owned(),
            ..good_row()
        };
        pb::ScoreRequest { request_id: id.to_owned(), ..request(&["churn"], row) }
    };
    server.score(with(&good, &good, &good)).await.unwrap();
    for (asked, field) in [
        (with(&long, "", ""), "request_id"),
        (with("", &long, ""), "row.subject_id"),
        (with("", "", &long), "row.routing_key"),
    ] {
        assert_eq!(told(&server.score(asked).await.unwrap_err()), bad(field));
    }
    let asked = oip::ModelInferRequest { id: long.clone(), ..raw(&good_tensors()) };
    assert_eq!(told(&server.infer(asked).await.unwrap_err()), bad("id"));
    for name in ["subject_id", "routing_key"] {
        let mut asked = raw(&good_tensors());
        let choice = oip::infer_parameter::ParameterChoice::StringParam(long.clone());
        let parameter = oip::InferParameter { parameter_choice: Some(choice) };
        asked.parameters.insert(name.to_owned(), parameter);
        let field = format!("parameters[{name:?}]");
        assert_eq!(told(&server.infer(asked).await.unwrap_err()), bad(&field));
    }
}

/// Names were compared each with each, on the thread that reads the socket.
#[tokio::test]
async fn lists_are_as_long_as_there_is_something_to_ask() {
    let server = TestServer::start().await;
    let names: Vec<String> = (0..100_000).map(|n| format!("m{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let status = server.score(request(&names, good_row())).await.unwrap_err();
    assert_eq!(told(&status).2, [("models".to_owned(), "FIELD_INVALID".to_owned())]);
    assert!(status.message().contains("100000 models, at most 64"), "{status}");

    let tensor = oip::model_infer_request::InferInputTensor {
        name: "needless".to_owned(),
        ..Default::default()
    };
    let mut asked = typed(&good_tensors());
    asked.inputs = vec![tensor; 50_000];
    let status = server.infer(asked).await.unwrap_err();
    assert_eq!(told(&status).2, [("inputs".to_owned(), "TENSOR_UNKNOWN".to_owned())]);
    assert!(status.message().contains("50000 inputs, at most"), "{status}");
}

/// Nobody has to show who he is to ask for health, so there is little that he may send.
#[tokio::test]
async fn who_is_not_known_sends_little_and_is_answered_little() {
    let server = TestServer::start().await;
    let check = |name: &str| {
        let request = HealthCheckRequest { service: name.to_owned() };
        let mut client = HealthClient::new(server.channel.clone());
        async move { client.check(request).await.unwrap_err() }
    };
    let status = check(&"\u{1}".repeat(4000)).await;
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().len() < 2500, "{}", status.message().len());
    assert!(status.get_error_details().resource_info().unwrap().resource_name.len() <= 100);
    let status = check(&"x".repeat(5000)).await;
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
}

/// Who they are is not asked, so nobody may have those of others.
#[tokio::test]
async fn watches_are_bounded_for_each_connection() {
    let server = TestServer::start().await;
    let watch = |channel: &tonic::transport::Channel| {
        let request = HealthCheckRequest { service: String::new() };
        let mut client = HealthClient::new(channel.clone());
        async move { client.watch(request).await.map(tonic::Response::into_inner) }
    };
    let mut open = Vec::new();
    let status = loop {
        match watch(&server.channel).await {
            Ok(stream) => open.push(stream),
            Err(status) => break status,
        }
        assert!(open.len() < 100);
    };
    // The watches that this test began with may have been there a little longer.
    assert!((6..=8).contains(&open.len()), "{}", open.len());
    assert_eq!((status.code(), told(&status).1.as_str()), (Code::ResourceExhausted, "OVERLOADED"));
    assert!(status.message().contains("8 watches of this connection"), "{status}");
    server.score(request(&["churn"], good_row())).await.expect("others do not feel it");
    let other = format!("http://{}", server.grpc);
    let other = tonic::transport::Channel::from_shared(other).unwrap().connect().await.unwrap();
    watch(&other).await.expect("another connection has its own");
    assert!(metric(&server, "segue_requests_shed_total{reason=\"watches\"}").await >= 1.0);
    open.pop();
    let again = async {
        while let Err(status) = watch(&server.channel).await {
            assert_eq!(status.code(), Code::ResourceExhausted);
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("a stream that has ended makes room");
}

/// Every refusal for overload is counted under its reason.
#[tokio::test]
async fn bytes_without_room_are_refused_and_counted() {
    let net = NetOptions { max_request_bytes: 1024, ..NetOptions::default() };
    let server = TestServer::start_with(ServeOptions { net, ..quick() }).await;
    let models = vec![selector("churn")];
    let batch = pb::ScoreBatchRequest { models, rows: vec![good_row(); 100], ..Default::default() };
    let status = server.scoring().score_batch(batch).await.unwrap_err();
    assert_eq!((status.code(), told(&status).1.as_str()), (Code::ResourceExhausted, "OVERLOADED"));
    let shed =
        async || metric(&server, "segue_requests_shed_total{reason=\"request_bytes\"}").await;
    assert_eq!(shed().await, 1.0);
    let answer = server.http("POST", "/v1/score", "", "x".repeat(2000).as_bytes()).await;
    assert_eq!(answer.code, 429, "{answer:?}");
    assert_eq!(shed().await, 2.0);
}
