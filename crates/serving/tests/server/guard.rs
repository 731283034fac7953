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

/// Until an action is counted, which is after its event can be read.
async fn until_counted(server: &TestServer, action: &str) {
    let counted = async { while actions(server, action).await < 1.0 {} };
    tokio::time::timeout(PATIENCE, counted).await.expect("the action is counted");
}

async fn actions(server: &TestServer, action: &str) -> f64 {
    let labels = format!("{{model=\"churn\",action={action:?}}}");
    metric(server, &format!("segue_guard_actions_total{labels}")).await
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
    assert_eq!(actions(&server, "canary_stopped").await, 1.0);
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
    let promotion = pb::PromoteModelVersionRequest {
        model: "churn".to_owned(),
        version: 3,
        override_gates: true,
        actor: "ada".to_owned(),
        ..Default::default()
    };
    server.models().promote_model_version(promotion).await.unwrap();
    let event = until_guarded(&server).await;
    let Action::RolledBack { from: 3, to: 1, .. } = event.action else { panic!("{event:?}") };
    assert!(event.reason.contains("new champion version 3: scores of"), "{}", event.reason);
    until_generation(&server, "churn", event.generation).await;
    assert_eq!(batch(&server).await.served_by[0].version, 1);
    until_counted(&server, "rolled_back").await;
    assert_eq!(actions(&server, "rolled_back").await, 1.0);
    // What was put back is under no guard, or the two would change places for ever.
    for _ in 0..5 {
        batch(&server).await;
        until_looked(&server).await;
    }
    assert_eq!(events(&server.registry).pop().unwrap().generation, event.generation);
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
