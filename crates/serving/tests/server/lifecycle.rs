//! Swaps, failures, the way in and the way out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use segue_api::v1 as pb;
use segue_registry::Registry;
use segue_serving::ServeOptions;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_types::StatusExt;

use crate::harness::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_fails_while_versions_swap() {
    let server = Arc::new(TestServer::start().await);
    let row = [40.0, 1.0, 1.0];
    let expected: BTreeMap<i64, u64> = [(1, 0.0), (2, 0.5)]
        .map(|(v, shift)| (v, offline(&churn_model(shift), &row).to_bits()))
        .into();
    let done = Arc::new(AtomicBool::new(false));
    let client = |_| {
        let (server, done, expected) = (Arc::clone(&server), Arc::clone(&done), expected.clone());
        tokio::spawn(async move {
            let mut generation = 0;
            let mut n_answers = 0;
            while !done.load(Ordering::Relaxed) {
                let answer = server.score(request(&["churn"], good_row())).await.unwrap();
                let served_by = &answer.served_by[0];
                let score = answer.result.unwrap().predictions[0].score;
                assert_eq!(score.to_bits(), expected[&served_by.version]);
                assert!(served_by.generation >= generation, "generations go forward");
                generation = served_by.generation;
                n_answers += 1;
            }
            n_answers
        })
    };
    let clients: Vec<_> = (0..4).map(client).collect();
    for step in 0..20 {
        let version = if step % 2 == 0 { 2 } else { 1 };
        let promotion = promotion("churn", version);
        server.models().promote_model_version(promotion).await.unwrap();
        let answer = server.score(request(&["churn"], good_row())).await.unwrap();
        assert_eq!(answer.served_by[0].version, version);
    }
    done.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(client.await.unwrap() > 0);
    }
}

/// Scores until the answer is as wanted.
async fn until_served(server: &TestServer, alias: &str, version: i64) {
    let mut asked = request(&["churn"], good_row());
    asked.models[0].choice = Some(pb::model_selector::Choice::Alias(alias.to_owned()));
    let served = async {
        loop {
            match server.score(asked.clone()).await {
                Ok(answer) if answer.served_by[0].version == version => return,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, served).await.expect("the alias is followed");
}

#[tokio::test]
async fn aliases_moved_by_others_are_followed() {
    let server = TestServer::start().await;
    let other = Registry::open(server.folder.path().to_str().unwrap()).unwrap();
    promote(&other, "churn", 2);
    until_served(&server, "champion", 2).await;
}

/// The version before stays in memory for a rollback, older ones are let go.
#[tokio::test]
async fn versions_out_of_service_are_let_go() {
    let server = TestServer::start().await;
    publish(&server.registry, &churn_draft(0.75));
    for version in [2, 3] {
        let promotion = promotion("churn", version);
        server.models().promote_model_version(promotion).await.unwrap();
    }
    let (_, page) = server.get("/metrics").await;
    let in_memory: Vec<bool> = (1..=3)
        .map(|version| {
            page.contains(&format!("segue_model_info{{model=\"churn\",version=\"{version}\""))
        })
        .collect();
    assert_eq!(in_memory, [false, true, true], "{page}");
    let pinned = async |version| {
        let mut asked = request(&["churn"], good_row());
        asked.models[0].choice = Some(pb::model_selector::Choice::Version(version));
        server.score(asked).await.map(|answer| answer.served_by[0].variant())
    };
    assert_eq!(pinned(1).await.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(pinned(2).await.unwrap(), pb::Variant::Pinned);
}

#[tokio::test]
async fn a_corrupt_candidate_leaves_the_old_version_serving() {
    let server = TestServer::start().await;
    let alias = |version| pb::SetModelAliasRequest {
        model: "churn".to_owned(),
        alias: "next".to_owned(),
        version,
        ..Default::default()
    };
    server.models().set_model_alias(alias(1)).await.unwrap();
    until_served(&server, "next", 1).await;
    let file = server.folder.path().join("churn/versions/2/model.bin");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let folder = file.parent().unwrap();
    std::fs::rename(&file, folder.join("model.bin.old")).unwrap();
    std::fs::write(&file, &bytes).unwrap();
    let promotion = promotion("churn", 2);
    let status = server.models().promote_model_version(promotion).await.unwrap_err();
    assert_eq!(status.code(), Code::DataLoss, "{status:?}");
    assert_eq!(status.get_error_details().error_info().unwrap().reason, "DIGEST_MISMATCH");
    let status = server.models().set_model_alias(alias(2)).await.unwrap_err();
    assert_eq!(status.get_error_details().error_info().unwrap().reason, "DIGEST_MISMATCH");
    // Whoever has the registry's storage may do so all the same.
    server.registry.set_alias("churn", "next", 2, "ada").unwrap();
    let model = until_load_error(&server, "churn").await;
    assert!(model.load_error.contains("model.bin"), "{}", model.load_error);
    let told: Vec<_> = model.loaded.iter().map(|one| (one.version, one.state())).collect();
    use pb::ModelVersionState::{Failed, Serving};
    assert_eq!(told, [(1, Serving), (2, Failed)]);
    assert!(model.loaded[1].state_reason.contains("model.bin"), "{model:?}");
    until_served(&server, "next", 1).await;
    until_served(&server, "champion", 1).await;
    let (_, page) = server.get("/metrics").await;
    let failed = "segue_model_load_seconds_count{model=\"churn\",result=\"failed\"}";
    assert!(page.contains(failed) && !page.contains(&format!("{failed} 0\n")), "{page}");
    let (status, page) = server.get("/readyz").await;
    assert!(status.contains("200") && page.contains("model.bin"), "{status} {page}");
    // Once it is whole again, it is loaded.
    std::fs::rename(folder.join("model.bin.old"), &file).unwrap();
    until_served(&server, "next", 2).await;
}

#[tokio::test]
async fn an_empty_registry_is_not_ready_until_a_model_is_promoted() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(folder.path().to_str().unwrap()).unwrap();
    let server = TestServer::over(folder, registry, quick()).await;
    server.wait_for_health("", ServingStatus::NotServing).await;
    // Whoever promotes the first version must find the registry in service.
    server.wait_for_health("segue.v1.ModelRegistryService", ServingStatus::Serving).await;
    let (status, _) = server.get("/readyz").await;
    assert!(status.contains("503"), "{status}");
    assert!(server.get("/healthz").await.0.contains("200"));
    publish(&server.registry, &churn_draft(0.0));
    promote(&server.registry, "churn", 1);
    server.wait_for_health("", ServingStatus::Serving).await;
    server.wait_for_health("segue.v1.ScoringService", ServingStatus::Serving).await;
    assert!(server.get("/readyz").await.0.contains("200"));
}

#[tokio::test]
async fn a_required_model_holds_readiness_back() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(folder.path().to_str().unwrap()).unwrap();
    publish(&registry, &churn_draft(0.0));
    promote(&registry, "churn", 1);
    let options = ServeOptions { required_models: vec!["visits".to_owned()], ..quick() };
    let server = TestServer::over(folder, registry, options).await;
    until_served(&server, "champion", 1).await;
    server.wait_for_health("model/churn", ServingStatus::Serving).await;
    server.wait_for_health("", ServingStatus::NotServing).await;
    publish(&server.registry, &visits_draft());
    promote(&server.registry, "visits", 1);
    server.wait_for_health("", ServingStatus::Serving).await;
}

#[tokio::test]
async fn a_watch_waits_for_what_is_not_there_yet() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(folder.path().to_str().unwrap()).unwrap();
    let options = ServeOptions { required_models: vec!["visits".to_owned()], ..quick() };
    let server = TestServer::over(folder, registry, options).await;
    let mut health = HealthClient::new(server.channel.clone());
    let ask = |service: &str| HealthCheckRequest { service: service.to_owned() };
    // A required model is known before the registry has been read, any other is not.
    let required = health.check(ask("model/visits")).await.unwrap().into_inner();
    assert_eq!(required.status(), ServingStatus::NotServing);
    let status = health.check(ask("model/churn")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.get_error_details().error_info().unwrap().reason, "SERVICE_NOT_FOUND");
    let mut watch = health.watch(ask("model/churn")).await.unwrap().into_inner();
    let first = watch.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::ServiceUnknown);
    publish(&server.registry, &churn_draft(0.0));
    promote(&server.registry, "churn", 1);
    let served = async {
        while watch.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    };
    tokio::time::timeout(PATIENCE, served).await.expect("the watch goes on");
}

#[tokio::test]
async fn a_drain_says_so_first_and_ends_streams() {
    let server =
        TestServer::start_with(ServeOptions { pre_drain: Duration::from_millis(1), ..quick() })
            .await;
    let (requests, stream) = tokio::sync::mpsc::channel(1);
    let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
    let mut answers = server.scoring().score_stream(stream).await.unwrap().into_inner();
    let message =
        pb::ScoreStreamRequest { sequence: 7, request: Some(request(&["churn"], good_row())) };
    requests.send(message).await.unwrap();
    assert_eq!(answers.next().await.unwrap().unwrap().sequence, 7);
    let watched = HealthCheckRequest { service: String::new() };
    let mut watch =
        HealthClient::new(server.channel.clone()).watch(watched).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    server.stop.send(()).unwrap();
    let end = async {
        assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
        assert_eq!(watch.message().await.unwrap_err().code(), Code::Unavailable);
        let status = answers.next().await.unwrap().unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.get_error_details().error_info().unwrap().reason, "DRAINING");
        // An open watch does not hold the server up.
        server.task.await.unwrap().unwrap();
    };
    tokio::time::timeout(PATIENCE, end).await.expect("the drain is bounded");
}

#[tokio::test]
async fn requests_are_answered_while_balancers_turn_away() {
    let server = TestServer::start_with(ServeOptions { pre_drain: PATIENCE, ..quick() }).await;
    let TestServer { stop, .. } = server;
    stop.send(()).unwrap();
    let server = TestServer { stop: tokio::sync::oneshot::channel().0, ..server };
    server.wait_for_health("", ServingStatus::NotServing).await;
    assert!(server.get("/readyz").await.0.contains("503"));
    server.score(request(&["churn"], good_row())).await.unwrap();
    server.task.abort();
}

#[tokio::test]
async fn reflection_knows_the_services() {
    let server = TestServer::start().await;
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(server.channel.clone());
    let mut answers =
        client.server_reflection_info(tokio_stream::iter([ask])).await.unwrap().into_inner();
    let answer = answers.next().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
    let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    for name in
        ["segue.v1.ScoringService", "segue.v1.ModelRegistryService", "grpc.health.v1.Health"]
    {
        assert!(names.contains(&name), "{names:?}");
    }
}

#[tokio::test]
async fn the_metrics_page_parses_and_names_no_user() {
    let server = TestServer::start().await;
    let mut asked = request(&["churn"], good_row());
    let kind = Some(pb::property_value::Kind::Text("ada@example.org".to_owned()));
    let traits = &mut asked.row.as_mut().unwrap().traits;
    traits.insert("email".to_owned(), pb::PropertyValue { kind });
    server.score(asked).await.unwrap();
    server.score(request(&["churn"], named([]))).await.unwrap_err();
    let (status, page) = server.get("/metrics").await;
    assert!(status.contains("200"), "{status}");
    assert!(!page.contains("ada@example.org"));
    assert!(page.trim_end().ends_with("# EOF"));
    let mut values = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect(line);
        values.insert(name.to_owned(), value.parse::<f64>().expect(line));
    }
    let service = "grpc_service=\"segue.v1.ScoringService\",grpc_method=\"Score\"";
    assert_eq!(values[&format!("grpc_server_handled_total{{{service},grpc_code=\"OK\"}}")], 1.0);
    let invalid = format!("grpc_server_handled_total{{{service},grpc_code=\"INVALID_ARGUMENT\"}}");
    assert_eq!(values[&invalid], 1.0);
    let prediction =
        "segue_predictions_total{model=\"churn\",version=\"1\",variant=\"champion\",segment=\"\"}";
    assert_eq!(values[prediction], 1.0);
    assert_eq!(values["segue_score_count{model=\"churn\",version=\"1\"}"], 1.0);
    let generation = server.registry.generation("churn").unwrap() as f64;
    assert_eq!(values["segue_registry_generation{model=\"churn\"}"], generation);
}
