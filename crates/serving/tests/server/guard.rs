//! What the guard of the traffic ends, and what it leaves alone. Windows are an hour: it is rows that
//! count, not the time that they take.

use std::time::Duration;

use segue_api::v1 as pb;
use segue_registry::{Action, EventRecord, Registry, Traffic};
use segue_serving::{GuardOptions, ServeError, ServeOptions};

use crate::canary_rows::wider_model;
use crate::harness::*;

const ACTOR: &str = "segue-guard";

fn guarded(guard: GuardOptions) -> ServeOptions {
    let guard = GuardOptions {
        window: Duration::from_secs(3600),
        interval: Duration::from_millis(5),
        min_rows: 200,
        ..guard
    };
    ServeOptions { guard, ..quick() }
}

fn events(registry: &Registry) -> Vec<EventRecord> {
    registry.log("churn").unwrap()
}

/// Asks for rows of many users until the guard has written an event, which is the newest.
async fn until_guarded(server: &TestServer) -> EventRecord {
    let acted = async {
        loop {
            batch(server).await;
            let newest = events(&server.registry).pop().unwrap();
            if newest.actor == ACTOR {
                return newest;
            }
        }
    };
    tokio::time::timeout(PATIENCE, acted).await.expect("the guard acts")
}

async fn batch(server: &TestServer) -> pb::ScoreBatchResponse {
    let row = |user: u32| {
        let age = number(f64::from(user % 60));
        let row = named([("age", age), ("plan", category("pro")), ("visits", number(1.0))]);
        of_subject(&format!("user-{user}"), row)
    };
    let request = pb::ScoreBatchRequest {
        models: vec![selector("churn")],
        rows: (0..500).map(row).collect(),
        ..Default::default()
    };
    server.scoring().score_batch(request).await.unwrap().into_inner()
}

/// Until the guard has begun to look and has ended.
async fn until_looked(server: &TestServer) {
    let looks = async || metric(server, "segue_guard_looks_total").await;
    let before = looks().await;
    let looked = async { while looks().await < before + 2.0 {} };
    tokio::time::timeout(PATIENCE, looked).await.expect("the guard looks");
}

/// The event of a deed is there before the deed is counted.
async fn until_counted(server: &TestServer, action: &str) {
    let name = format!("segue_guard_actions_total{{model=\"churn\",action={action:?}}}");
    let counted = async { while metric(server, &name).await < 1.0 {} };
    tokio::time::timeout(PATIENCE, counted).await.expect(action);
    assert_eq!(metric(server, &name).await, 1.0);
}

#[tokio::test]
async fn a_canary_whose_scores_shift_loses_its_share() {
    let guard = GuardOptions { max_score_shift: Some(0.25), ..GuardOptions::default() };
    let server = TestServer::start_with(guarded(guard)).await;
    publish(&server.registry, &churn_draft(4.0));
    let policy = Traffic {
        canary_version: Some(3),
        salt: "spring".to_owned(),
        shadow_versions: vec![2],
        ..canary(5000)
    };
    split(&server, policy.clone()).await;
    let event = until_guarded(&server).await;
    let stopped = Traffic { canary_basis_points: 0, ..policy.clone() };
    let action = Action::TrafficChanged { from: Some(policy.clone()), to: Some(stopped) };
    assert_eq!(event.action, action);
    assert!(event.reason.contains("canary version 3: scores of"), "{}", event.reason);
    until_generation(&server, "churn", event.generation).await;
    let answer = batch(&server).await;
    assert_eq!(answer.served_by.len(), 1, "the champion answers all");
    until_counted(&server, "canary_stopped").await;
    assert!(server.registry.verify(Some("churn")).unwrap().problems.is_empty());
    // A person who gives the share back is not fought over what was seen before, but what comes counts.
    split(&server, policy).await;
    let again = until_guarded(&server).await;
    assert!(again.generation > event.generation + 1);
}

#[tokio::test]
async fn a_canary_that_cannot_read_its_rows_loses_its_share() {
    let guard = GuardOptions { max_error_rate: Some(0.1), ..GuardOptions::default() };
    let server = TestServer::start_with(guarded(guard)).await;
    publish(
        &server.registry,
        &draft("churn", &wider_model(), &[vec![1.0, 2.0]], Default::default()),
    );
    split(&server, Traffic { canary_version: Some(3), ..canary(5000) }).await;
    let event = until_guarded(&server).await;
    assert!(event.reason.contains("rows failed"), "{}", event.reason);
}

#[tokio::test]
async fn a_new_champion_that_breaches_is_rolled_back() {
    let guard = GuardOptions { max_score_shift: Some(0.25), ..GuardOptions::default() };
    let server = TestServer::start_with(guarded(guard)).await;
    publish(&server.registry, &churn_draft(4.0));
    // What the champion's scores look like is learned before.
    until_looked(&server).await;
    batch(&server).await;
    until_looked(&server).await;
    let promotion =
        pb::PromoteModelVersionRequest { actor: "ada".to_owned(), ..promotion("churn", 3) };
    server.models().promote_model_version(promotion).await.unwrap();
    let event = until_guarded(&server).await;
    let Action::RolledBack { from: 3, to: 1, .. } = event.action else { panic!("{event:?}") };
    assert!(event.reason.contains("new champion version 3: scores of"), "{}", event.reason);
    until_generation(&server, "churn", event.generation).await;
    assert_eq!(batch(&server).await.served_by[0].version, 1);
    until_counted(&server, "rolled_back").await;
    // What was put back is under no guard, or the two would change places for ever.
    for _ in 0..5 {
        batch(&server).await;
        until_looked(&server).await;
    }
    assert_eq!(events(&server.registry).pop().unwrap().generation, event.generation);
}

/// An alias whose version is broken is its own trouble: the champion is of the newest state, and the
/// guard acts on that.
#[tokio::test]
async fn a_new_champion_is_rolled_back_beside_a_broken_alias() {
    let guard = GuardOptions { max_score_shift: Some(0.25), ..GuardOptions::default() };
    let server = TestServer::start_with(guarded(guard)).await;
    publish(&server.registry, &churn_draft(4.0));
    until_looked(&server).await;
    batch(&server).await;
    until_looked(&server).await;
    std::fs::write(server.folder.path().join("churn/versions/2/model.bin"), "damaged").unwrap();
    server.registry.set_alias("churn", "next", 2, "ada").unwrap();
    promote(&server.registry, "churn", 3);
    let promoted = server.registry.generation("churn").unwrap();
    until_generation(&server, "churn", promoted).await;
    let event = until_guarded(&server).await;
    assert!(matches!(event.action, Action::RolledBack { from: 3, to: 1, .. }), "{event:?}");
}

/// Errors above the reference's by a tenth, with version 3 as the new champion of `churn`.
async fn with_new_champion() -> TestServer {
    let guard = GuardOptions { max_error_rate: Some(0.1), ..GuardOptions::default() };
    let server = TestServer::start_with(guarded(guard)).await;
    publish(&server.registry, &churn_draft(0.0625));
    until_looked(&server).await;
    batch(&server).await;
    until_looked(&server).await;
    promote(&server.registry, "churn", 3);
    let promoted = server.registry.generation("churn").unwrap();
    until_generation(&server, "churn", promoted).await;
    until_looked(&server).await;
    server
}

async fn partial_batch(server: &TestServer, models: Vec<pb::ModelSelector>, row: pb::FeatureRow) {
    let rows = vec![row; 500];
    let request = pb::ScoreBatchRequest { models, rows, allow_partial: true, ..Default::default() };
    let answer = server.scoring().score_batch(request).await.unwrap().into_inner();
    let is_error =
        |result: &pb::RowResult| matches!(result.result, Some(pb::row_result::Result::Error(_)));
    assert!(answer.results.iter().all(is_error));
}

#[tokio::test]
async fn a_version_is_not_judged_by_what_is_not_its_doing() {
    let server = with_new_champion().await;
    let promoted = server.registry.generation("churn").unwrap();
    // The rows of `visits` are not in it.
    partial_batch(&server, vec![selector("churn"), selector("visits")], good_row()).await;
    // Whoever names a version gets that version's refusals.
    let by_version = pb::model_selector::Choice::Version(3);
    let pinned = pb::ModelSelector { choice: Some(by_version), ..selector("churn") };
    let unreadable = || named([("age", category("old"))]);
    partial_batch(&server, vec![pinned], unreadable()).await;
    // A caller without patience.
    let hurried = br#"{"parameters":{"timeout":1},"inputs":[
        {"name":"input__0","datatype":"FP64","shape":[1,3],"data":[40,1,1]}]}"#;
    for _ in 0..300 {
        server.http("POST", "/v2/models/churn/infer", "", hurried).await;
    }
    until_looked(&server).await;
    until_looked(&server).await;
    assert_eq!(server.registry.generation("churn").unwrap(), promoted);
    // What it cannot read itself is.
    partial_batch(&server, vec![selector("churn")], unreadable()).await;
    let event = until_guarded(&server).await;
    assert!(matches!(event.action, Action::RolledBack { from: 3, to: 1, .. }), "{event:?}");
}

/// Tensors that fall back are failures of the canary too, each of their rows.
#[tokio::test]
async fn a_canary_that_gets_no_tensors_loses_its_share() {
    let guard = GuardOptions { max_error_rate: Some(0.1), ..GuardOptions::default() };
    let server = TestServer::start_with(guarded(guard)).await;
    publish(
        &server.registry,
        &draft("churn", &wider_model(), &[vec![1.0, 2.0]], Default::default()),
    );
    split(&server, Traffic { canary_version: Some(3), ..canary(10_000) }).await;
    until_looked(&server).await;
    let data = vec!["40,1,1"; 400].join(",");
    let body = format!(
        r#"{{"parameters":{{"routing_key":"ada"}},"inputs":[
            {{"name":"input__0","datatype":"FP64","shape":[400,3],"data":[{data}]}}]}}"#
    );
    let answer = server.http("POST", "/v2/models/churn/infer", "", body.as_bytes()).await.json();
    assert_eq!(answer["model_version"], "1", "{answer}");
    until_counted(&server, "canary_stopped").await;
}

/// With bounds that nothing breaches, and without any, nothing happens.
#[tokio::test]
async fn a_canary_that_behaves_keeps_its_share() {
    let tolerant = GuardOptions {
        max_error_rate: Some(0.5),
        max_p99: Some(Duration::from_secs(3600)),
        max_score_shift: Some(50.0),
        ..GuardOptions::default()
    };
    for guard in [tolerant, GuardOptions::default()] {
        let is_on = guard.is_on();
        let server = TestServer::start_with(guarded(guard)).await;
        split(&server, canary(5000)).await;
        for _ in 0..5 {
            batch(&server).await;
            if is_on {
                until_looked(&server).await;
            }
        }
        assert_eq!(metric(&server, "segue_guard_looks_total").await > 0.0, is_on);
        assert!(events(&server.registry).iter().all(|event| event.actor != ACTOR));
    }
}

#[test]
fn bounds_that_mean_nothing_are_refused() {
    let base = GuardOptions::default;
    for (guard, option) in [
        (GuardOptions { max_error_rate: Some(1.1), ..base() }, "guard.max_error_rate"),
        (GuardOptions { max_error_rate: Some(f64::NAN), ..base() }, "guard.max_error_rate"),
        (GuardOptions { max_score_shift: Some(0.0), ..base() }, "guard.max_score_shift"),
        (GuardOptions { max_score_shift: Some(f64::NAN), ..base() }, "guard.max_score_shift"),
        (GuardOptions { max_p99: Some(Duration::ZERO), ..base() }, "guard.max_p99"),
        (GuardOptions { window: Duration::ZERO, ..base() }, "guard.window"),
        (GuardOptions { interval: Duration::ZERO, ..base() }, "guard.interval"),
        (GuardOptions { min_rows: 0, ..base() }, "guard.min_rows"),
    ] {
        let error = ServeOptions { guard, ..quick() }.check().unwrap_err();
        let ServeError::Option { option: found, .. } = &error else { panic!("{error}") };
        assert_eq!(*found, option);
    }
}
