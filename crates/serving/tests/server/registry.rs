//! Reading the registry and moving its aliases.

use segue_api::v1 as pb;
use sha2::{Digest, Sha256};
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt;

use crate::harness::*;

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().unwrap().reason.clone()
}

async fn served_version(server: &TestServer) -> i64 {
    server.score(request(&["churn"], good_row())).await.unwrap().served_by[0].version
}

#[tokio::test]
async fn a_promotion_is_in_service_when_it_is_answered_and_goes_back() {
    let server = TestServer::start().await;
    let mut models = server.models();
    assert_eq!(served_version(&server).await, 1);
    let dry = pb::PromoteModelVersionRequest { validate_only: true, ..promotion("churn", 2) };
    let told = models.promote_model_version(dry).await.unwrap().into_inner();
    assert!(told.event_id.is_empty() && !told.gates.is_empty());
    assert_eq!(served_version(&server).await, 1);
    let mut real = promotion("churn", 2);
    (real.actor, real.reason) = ("ada".to_owned(), "better".to_owned());
    let told = models.promote_model_version(real).await.unwrap().into_inner();
    assert_eq!((told.previous_version, told.model.unwrap().aliases["champion"]), (1, 2));
    assert_eq!(served_version(&server).await, 2);
    let back = pb::RollbackModelRequest { model: "churn".to_owned(), ..Default::default() };
    let told = models.rollback_model(back).await.unwrap().into_inner();
    assert_eq!(told.previous_version, 2);
    assert_eq!(served_version(&server).await, 1);
    let ask = pb::ListModelEventsRequest { model: "churn".to_owned(), ..Default::default() };
    let events = models.list_model_events(ask).await.unwrap().into_inner().events;
    let actions: Vec<pb::ModelAction> = events.iter().map(pb::ModelEvent::action).collect();
    use pb::ModelAction::{Promoted, Published, RolledBack};
    assert_eq!(actions, [RolledBack, Promoted, Promoted, Published, Published]);
    assert_eq!((events[1].actor.as_str(), events[1].reason.as_str()), ("ada", "better"));
    assert_eq!(
        (events[1].moves[0].from_version, events[1].moves[0].to_version),
        (Some(1), Some(2))
    );
    for pair in events.windows(2) {
        assert_eq!(pair[0].previous_sha256, pair[1].sha256);
    }
}

#[tokio::test]
async fn changes_are_refused_with_their_reason() {
    let server = TestServer::start().await;
    let mut models = server.models();
    let mut refused = async |request| models.promote_model_version(request).await.unwrap_err();
    let stale =
        pb::PromoteModelVersionRequest { etag: "0-old".to_owned(), ..promotion("churn", 2) };
    let status = refused(stale).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Aborted, "ETAG_MISMATCH"));
    let status = refused(promotion("churn", 9)).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "VERSION_NOT_FOUND"));
    let nowhere =
        pb::PromoteModelVersionRequest { model: "tenure".to_owned(), ..promotion("churn", 1) };
    let status = refused(nowhere).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "MODEL_NOT_FOUND"));
    let bad = pb::PromoteModelVersionRequest {
        model: "../churn".to_owned(),
        alias: "9".to_owned(),
        reason: "x".repeat(5000),
        ..promotion("churn", -1)
    };
    let status = refused(bad).await;
    let details = status.get_error_details();
    let violations = &details.bad_request().unwrap().field_violations;
    let fields: Vec<&str> = violations.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(fields, ["model", "alias", "reason", "version"]);
    let back = pb::RollbackModelRequest { model: "visits".to_owned(), ..Default::default() };
    let status = models.rollback_model(back).await.unwrap_err();
    let expected = (Code::FailedPrecondition, "NOTHING_TO_ROLL_BACK");
    assert_eq!((status.code(), reason(&status).as_str()), expected);
    let protected = pb::SetModelAliasRequest {
        model: "churn".to_owned(),
        alias: "champion".to_owned(),
        version: 2,
        ..Default::default()
    };
    let status = models.set_model_alias(protected).await.unwrap_err();
    let expected = (Code::FailedPrecondition, "ALIAS_PROTECTED");
    assert_eq!((status.code(), reason(&status).as_str()), expected);
}

#[tokio::test]
async fn rollbacks_and_repeats_are_refused_with_their_reason() {
    let server = TestServer::start().await;
    let mut models = server.models();
    let same_id = |version| pb::PromoteModelVersionRequest {
        request_id: "r-1".to_owned(),
        ..promotion("churn", version)
    };
    let first = models.promote_model_version(same_id(2)).await.unwrap().into_inner();
    let again = models.promote_model_version(same_id(2)).await.unwrap().into_inner();
    assert_eq!((again.event_id, again.previous_version), (first.event_id, 1));
    let status = models.promote_model_version(same_id(1)).await.unwrap_err();
    let expected = (Code::InvalidArgument, "REQUEST_ID_REUSED");
    assert_eq!((status.code(), reason(&status).as_str()), expected);
    let details = status.get_error_details();
    assert_eq!(details.bad_request().unwrap().field_violations[0].field, "request_id");

    let third = publish(&server.registry, &churn_draft(0.75)) as i64;
    let back = pb::RollbackModelRequest { model: "churn".to_owned(), ..Default::default() };
    let refusals = [
        (
            pb::RollbackModelRequest { to_version: Some(third), ..back.clone() },
            (Code::FailedPrecondition, "NEVER_HELD"),
        ),
        (
            pb::RollbackModelRequest { etag: "0-old".to_owned(), ..back.clone() },
            (Code::Aborted, "ETAG_MISMATCH"),
        ),
        (
            pb::RollbackModelRequest { alias: "next".to_owned(), ..back.clone() },
            (Code::NotFound, "ALIAS_NOT_FOUND"),
        ),
    ];
    for (request, expected) in refusals {
        let status = models.rollback_model(request).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), expected, "{}", status.message());
    }
    let stale = pb::SetModelAliasRequest {
        model: "churn".to_owned(),
        alias: "next".to_owned(),
        version: 1,
        etag: "0-old".to_owned(),
        ..Default::default()
    };
    let status = models.set_model_alias(stale).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Aborted, "ETAG_MISMATCH"));
    let ask = pb::GetModelRequest { model: "tenure".to_owned() };
    let status = models.get_model(ask).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "MODEL_NOT_FOUND"));
    assert_eq!(served_version(&server).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_promotions_on_one_etag_one_wins() {
    let server = TestServer::start().await;
    publish(&server.registry, &churn_draft(0.75));
    let ask = pb::GetModelRequest { model: "churn".to_owned() };
    let etag = server.models().get_model(ask).await.unwrap().into_inner().model.unwrap().etag;
    let race = |version| {
        let (mut models, etag) = (server.models(), etag.clone());
        let request = pb::PromoteModelVersionRequest { etag, ..promotion("churn", version) };
        tokio::spawn(async move { models.promote_model_version(request).await })
    };
    let (left, right) = (race(2), race(3));
    let ended = [left.await.unwrap(), right.await.unwrap()];
    let lost: Vec<&Status> = ended.iter().filter_map(|one| one.as_ref().err()).collect();
    assert_eq!(lost.len(), 1, "{ended:?}");
    assert_eq!(lost[0].code(), Code::Aborted);
    assert!(["ETAG_MISMATCH", "CONFLICT"].contains(&reason(lost[0]).as_str()), "{lost:?}");
}

/// The registry knows nothing of feature sets, so a version may be whole and yet not servable.
#[tokio::test]
async fn a_version_that_could_not_be_served_is_not_promoted() {
    let server = TestServer::start().await;
    let mut draft = visits_draft();
    let other = visits_features_over("14d").to_toml().into_bytes();
    draft.files.insert("features.toml".to_owned(), other);
    let version = publish(&server.registry, &draft) as i64;
    let before = server.registry.model("visits").unwrap();
    let promote = pb::PromoteModelVersionRequest {
        model: "visits".to_owned(),
        ..promotion("churn", version)
    };
    let status = server.models().promote_model_version(promote).await.unwrap_err();
    let expected = (Code::FailedPrecondition, "NOT_SERVABLE");
    assert_eq!((status.code(), reason(&status).as_str()), expected);
    assert!(status.message().contains("features.toml has hash"), "{}", status.message());
    assert_eq!(server.registry.model("visits").unwrap(), before);
}

#[tokio::test]
async fn traffic_is_checked_changed_and_kept_in_the_trail() {
    let server = TestServer::start().await;
    let mut models = server.models();
    let policy = pb::TrafficPolicy {
        canary_version: 2,
        canary_basis_points: 500,
        salt: "spring".to_owned(),
        shadow_versions: vec![2],
        shadow_basis_points: 10_000,
    };
    let update = |traffic: Option<pb::TrafficPolicy>| pb::UpdateTrafficPolicyRequest {
        model: "churn".to_owned(),
        traffic,
        request_id: "t-1".to_owned(),
        actor: "ada".to_owned(),
        ..Default::default()
    };
    let dry =
        pb::UpdateTrafficPolicyRequest { validate_only: true, ..update(Some(policy.clone())) };
    let told = models.update_traffic_policy(dry).await.unwrap().into_inner();
    assert!(told.event_id.is_empty() && told.model.unwrap().traffic.is_none());
    let told = models.update_traffic_policy(update(Some(policy.clone()))).await.unwrap();
    let told = told.into_inner();
    assert_eq!(told.model.as_ref().unwrap().traffic.as_ref(), Some(&policy));
    let again = models.update_traffic_policy(update(Some(policy.clone()))).await.unwrap();
    assert_eq!(again.into_inner().event_id, told.event_id, "a repeat is the same change");
    let ask = pb::GetModelRequest { model: "churn".to_owned() };
    let model = models.get_model(ask).await.unwrap().into_inner().model.unwrap();
    assert_eq!(model.traffic.as_ref(), Some(&policy));

    let bad =
        pb::TrafficPolicy { canary_version: -1, shadow_versions: vec![2, 0], ..policy.clone() };
    let status = models.update_traffic_policy(update(Some(bad))).await.unwrap_err();
    let details = status.get_error_details();
    let violations = &details.bad_request().unwrap().field_violations;
    let fields: Vec<&str> = violations.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(fields, ["traffic.canary_version", "traffic.shadow_versions[1]"]);
    let other = |traffic| pb::UpdateTrafficPolicyRequest {
        request_id: String::new(),
        ..update(Some(traffic))
    };
    let too_much = other(pb::TrafficPolicy { canary_basis_points: 10_001, ..policy.clone() });
    let status = models.update_traffic_policy(too_much).await.unwrap_err();
    let expected = (Code::InvalidArgument, "TRAFFIC_INVALID");
    assert_eq!((status.code(), reason(&status).as_str()), expected);
    let details = status.get_error_details();
    let field = &details.bad_request().unwrap().field_violations[0].field;
    assert_eq!(field, "traffic.canary_basis_points");
    let absent = other(pb::TrafficPolicy { canary_version: 9, ..policy.clone() });
    let status = models.update_traffic_policy(absent).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "VERSION_NOT_FOUND"));
    let stale =
        pb::UpdateTrafficPolicyRequest { etag: "0-old".to_owned(), ..other(policy.clone()) };
    let status = models.update_traffic_policy(stale).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Aborted, "ETAG_MISMATCH"));
    let status = models.update_traffic_policy(update(None)).await.unwrap_err();
    let expected = (Code::InvalidArgument, "REQUEST_ID_REUSED");
    assert_eq!((status.code(), reason(&status).as_str()), expected);

    let off = pb::UpdateTrafficPolicyRequest { request_id: "t-2".to_owned(), ..update(None) };
    let told = models.update_traffic_policy(off).await.unwrap().into_inner();
    assert_eq!(told.model.unwrap().traffic, None);
    let ask = pb::ListModelEventsRequest { model: "churn".to_owned(), ..Default::default() };
    let events = models.list_model_events(ask).await.unwrap().into_inner().events;
    assert_eq!(events[0].action(), pb::ModelAction::TrafficChanged);
    assert_eq!((&events[0].previous_traffic, &events[0].traffic), (&Some(policy.clone()), &None));
    assert_eq!((&events[1].previous_traffic, &events[1].traffic), (&None, &Some(policy)));
}

/// What happens between two pages is on neither of them, and repeats nothing.
#[tokio::test]
async fn events_are_told_once_while_others_are_added() {
    let server = TestServer::start().await;
    let mut models = server.models();
    let ask = |page_token: &str| pb::ListModelEventsRequest {
        model: "churn".to_owned(),
        page_size: 2,
        page_token: page_token.to_owned(),
    };
    let first = models.list_model_events(ask("")).await.unwrap().into_inner();
    server.registry.set_alias("churn", "next", 2, "ada").unwrap();
    let second = models.list_model_events(ask(&first.next_page_token)).await.unwrap().into_inner();
    let generations = |page: &pb::ListModelEventsResponse| {
        page.events.iter().map(|event| event.generation).collect::<Vec<_>>()
    };
    assert_eq!((generations(&first), generations(&second)), (vec![3, 2], vec![1]));
    assert_eq!(second.next_page_token, "");
}

/// Versions that come and go between two pages neither repeat nor hide the others.
#[tokio::test]
async fn versions_are_told_once_while_others_come_and_go() {
    let server = TestServer::start().await;
    for shift in [0.1, 0.2, 0.3] {
        publish(&server.registry, &churn_draft(shift));
    }
    let mut models = server.models();
    let mut ask = async |model: &str, page_token: &str| {
        let (model, page_token) = (model.to_owned(), page_token.to_owned());
        let ask = pb::ListModelVersionsRequest { model, page_size: 2, page_token };
        models.list_model_versions(ask).await.map(|page| {
            let page = page.into_inner();
            let versions = page.model_versions.iter().map(|one| one.version).collect::<Vec<_>>();
            (versions, page.next_page_token)
        })
    };
    let (first, token) = ask("churn", "").await.unwrap();
    assert_eq!(first, [5, 4]);
    publish(&server.registry, &churn_draft(0.4));
    let version = |number: u64| server.folder.path().join(format!("churn/versions/{number}"));
    std::fs::remove_dir_all(version(4)).unwrap();
    let (second, next) = ask("churn", &token).await.unwrap();
    assert_eq!(second, [3, 2], "6 is new and 4 is gone");
    std::fs::remove_dir_all(version(3)).unwrap();
    let (third, last) = ask("churn", &next).await.unwrap();
    assert_eq!((third, last.as_str()), (vec![1], ""));
    for (model, token) in [("visits", token.as_str()), ("churn", "2"), ("churn", "models:churn")] {
        let status = ask(model, token).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{token} for {model}");
    }
}

/// A newer build has changed the model: this one says so instead of guessing, and what it serves it
/// goes on serving.
#[tokio::test]
async fn an_event_of_a_newer_build_is_told_and_not_guessed_at() {
    let server = TestServer::start().await;
    let events = server.folder.path().join("churn/events");
    let newest = server.registry.generation("churn").unwrap();
    let text = std::fs::read_to_string(events.join(format!("{newest}.json"))).unwrap();
    let mut event: serde_json::Value = serde_json::from_str(&text).unwrap();
    event["content"]["format"] = 99.into();
    let content = event["content"].to_string();
    let sha256 = hex::encode(Sha256::digest(content.as_bytes()));
    let sealed = format!("{{\"sha256\": \"{sha256}\", \"content\": {content}}}");
    std::fs::write(events.join(format!("{}.json", newest + 1)), sealed).unwrap();
    let mut models = server.models();
    let status = models.promote_model_version(promotion("churn", 2)).await.unwrap_err();
    let expected = (Code::FailedPrecondition, "FORMAT_UNSUPPORTED");
    assert_eq!((status.code(), reason(&status).as_str()), expected, "{}", status.message());
    assert!(status.message().contains("99"), "{}", status.message());
    assert_eq!(served_version(&server).await, 1);
}

/// A version that would be found broken by users is found broken before.
#[tokio::test]
async fn traffic_never_goes_to_a_version_that_could_not_be_served() {
    let server = TestServer::start().await;
    let mut draft = visits_draft();
    let other = visits_features_over("14d").to_toml().into_bytes();
    draft.files.insert("features.toml".to_owned(), other);
    let version = publish(&server.registry, &draft) as i64;
    let before = server.registry.model("visits").unwrap();
    let shadow = pb::TrafficPolicy { shadow_versions: vec![version], ..Default::default() };
    let update = pb::UpdateTrafficPolicyRequest {
        model: "visits".to_owned(),
        traffic: Some(shadow),
        ..Default::default()
    };
    let status = server.models().update_traffic_policy(update).await.unwrap_err();
    let expected = (Code::FailedPrecondition, "NOT_SERVABLE");
    assert_eq!((status.code(), reason(&status).as_str()), expected);
    assert_eq!(server.registry.model("visits").unwrap(), before);
}

#[tokio::test]
async fn every_change_can_be_tried_first() {
    let server = TestServer::start().await;
    let mut models = server.models();
    promote(&server.registry, "churn", 2);
    let before = server.registry.model("churn").unwrap();
    let back = pb::RollbackModelRequest {
        model: "churn".to_owned(),
        validate_only: true,
        ..Default::default()
    };
    let told = models.rollback_model(back).await.unwrap().into_inner();
    assert_eq!((told.previous_version, told.event_id.as_str()), (2, ""));
    let alias = pb::SetModelAliasRequest {
        model: "churn".to_owned(),
        alias: "next".to_owned(),
        version: 2,
        validate_only: true,
        ..Default::default()
    };
    let told = models.set_model_alias(alias.clone()).await.unwrap().into_inner();
    assert!(told.event_id.is_empty() && !told.model.unwrap().aliases.contains_key("next"));
    let absent = pb::SetModelAliasRequest { version: 9, ..alias };
    let status = models.set_model_alias(absent).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "VERSION_NOT_FOUND"));
    assert_eq!(server.registry.model("churn").unwrap(), before);
    let (_, page) = server.get("/metrics").await;
    assert!(!page.contains("segue_promotions_total{result=\"ok\"}"), "{page}");
}

/// Whatever panics while a request is answered, is answered itself.
#[tokio::test]
async fn a_panic_in_the_registry_is_internal_and_the_server_goes_on() {
    let (folder, registry) = prepared();
    let before = registry.model("churn").unwrap();
    let server =
        TestServer::over(folder, registry.with_clock(|| panic!("the clock stands")), quick()).await;
    server.wait_for_health("model/churn", ServingStatus::Serving).await;
    let status = server.models().promote_model_version(promotion("churn", 2)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Internal, "INTERNAL"));
    assert!(!status.message().contains("clock"), "{}", status.message());
    let (_, page) = server.get("/metrics").await;
    assert!(page.contains("segue_panics_total 1\n"), "{page}");
    let handled = "grpc_method=\"PromoteModelVersion\",grpc_code=\"INTERNAL\"} 1\n";
    assert!(page.contains(handled), "{page}");
    assert_eq!(served_version(&server).await, 1);
    assert_eq!(server.registry.model("churn").unwrap(), before);
}

#[tokio::test]
async fn damage_is_data_loss_and_a_store_that_fails_is_unavailable() {
    let server = TestServer::start().await;
    let mut models = server.models();
    let path = |name: &str| server.folder.path().join("churn").join(name);
    let newest = std::fs::read(path("events/3.json")).unwrap();
    std::fs::write(path("events/3.json"), &newest[1..]).unwrap();
    let ask = pb::GetModelRequest { model: "churn".to_owned() };
    let status = models.get_model(ask.clone()).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DataLoss, "CORRUPT"));
    std::fs::write(path("events/3.json"), newest).unwrap();
    std::fs::rename(path("versions/2/model.bin"), path("elsewhere")).unwrap();
    let status = models.promote_model_version(promotion("churn", 2)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DataLoss, "FILE_MISSING"));
    std::fs::remove_file(path("state.json")).unwrap();
    std::fs::create_dir(path("state.json")).unwrap();
    let status = models.get_model(ask).await.unwrap_err();
    let expected = (Code::Unavailable, "REGISTRY_UNAVAILABLE");
    assert_eq!((status.code(), reason(&status).as_str()), expected);
    assert_eq!(served_version(&server).await, 1);
}

#[tokio::test]
async fn a_damaged_model_is_listed_and_the_others_do_not_suffer() {
    let (folder, registry) = prepared();
    let event = folder.path().join("visits/events/2.json");
    let whole = std::fs::read(&event).unwrap();
    std::fs::write(&event, "{}").unwrap();
    let server = TestServer::over(folder, registry, quick()).await;
    server.wait_for_health("model/churn", ServingStatus::Serving).await;
    server.wait_for_health("model/visits", ServingStatus::NotServing).await;
    let listed = server.models().list_models(pb::ListModelsRequest::default()).await;
    let listed = listed.unwrap().into_inner().models;
    let told: Vec<(&str, bool)> =
        listed.iter().map(|one| (one.name.as_str(), one.load_error.is_empty())).collect();
    assert_eq!(told, [("churn", true), ("visits", false)]);
    assert!(listed[1].load_error.contains("events/2.json"), "{}", listed[1].load_error);
    std::fs::write(&event, whole).unwrap();
    server.wait_for_health("model/visits", ServingStatus::Serving).await;
}

#[tokio::test]
async fn a_failed_gate_is_one_violation_each() {
    let server = TestServer::start().await;
    let mut draft = churn_draft(0.25);
    let features = vec![segue_dataset::Feature::number("income")];
    let tree = segue_model::Tree::constant(vec![0.5], 1.0);
    let model = model(features, vec![tree], "churn", None);
    let golden = [segue_model::GoldenRow::of(&model, &[1.0])];
    draft.files.insert("model.bin".to_owned(), model.encode());
    let golden = segue_model::encode_golden(&golden).into_bytes();
    draft.files.insert("golden.jsonl".to_owned(), golden);
    draft.summary.schema = std::sync::Arc::clone(model.schema());
    let version = publish(&server.registry, &draft) as i64;
    let mut models = server.models();
    let status = models
        .promote_model_version(pb::PromoteModelVersionRequest {
            override_gates: false,
            ..promotion("churn", version)
        })
        .await
        .unwrap_err();
    let expected = (Code::FailedPrecondition, "GATE_FAILED");
    assert_eq!((status.code(), reason(&status).as_str()), expected, "{}", status.message());
    let details = status.get_error_details();
    let violations = &details.precondition_failure().unwrap().violations;
    assert!(violations.iter().any(|one| one.subject.contains("schema")), "{violations:?}");
    assert_eq!(served_version(&server).await, 1);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let server = TestServer::start().await;
    let mut models = server.models();
    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let ask = pb::ListModelsRequest { page_size: 1, page_token };
        let page = models.list_models(ask).await.unwrap().into_inner();
        assert!(page.models.len() <= 1);
        names.extend(page.models.into_iter().map(|model| model.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["churn", "visits"]);
    let ask = pb::ListModelVersionsRequest { model: "churn".to_owned(), ..Default::default() };
    let versions = models.list_model_versions(ask).await.unwrap().into_inner().model_versions;
    assert_eq!(versions.iter().map(|one| one.version).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(versions[0].metrics["auc"], 0.75);
    let ask = pb::GetModelVersionRequest { model: "churn".to_owned(), version: 1 };
    let version = models.get_model_version(ask).await.unwrap().into_inner().model_version.unwrap();
    assert_eq!(version, versions[1]);
    let others = pb::ListModelsRequest { page_size: 1, page_token: "versions/churn:1".to_owned() };
    let status = models.list_models(others).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let bad = pb::ListModelsRequest { page_size: -1, page_token: String::new() };
    let status = models.list_models(bad).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}
