//! Reading the registry and moving its aliases.

use segue_api::v1 as pb;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::harness::*;

fn promotion(version: i64) -> pb::PromoteModelVersionRequest {
    let model = "churn".to_owned();
    pb::PromoteModelVersionRequest { model, version, override_gates: true, ..Default::default() }
}

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
    let dry = pb::PromoteModelVersionRequest { validate_only: true, ..promotion(2) };
    let told = models.promote_model_version(dry).await.unwrap().into_inner();
    assert!(told.event_id.is_empty() && !told.gates.is_empty());
    assert_eq!(served_version(&server).await, 1);
    let mut real = promotion(2);
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
    let stale = pb::PromoteModelVersionRequest { etag: "0-old".to_owned(), ..promotion(2) };
    let status = refused(stale).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Aborted, "ETAG_MISMATCH"));
    let status = refused(promotion(9)).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "VERSION_NOT_FOUND"));
    let nowhere = pb::PromoteModelVersionRequest { model: "tenure".to_owned(), ..promotion(1) };
    let status = refused(nowhere).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "MODEL_NOT_FOUND"));
    let bad = pb::PromoteModelVersionRequest {
        model: "../churn".to_owned(),
        alias: "9".to_owned(),
        reason: "x".repeat(5000),
        ..promotion(-1)
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
            ..promotion(version)
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
    let bad = pb::ListModelsRequest { page_size: -1, page_token: String::new() };
    let status = models.list_models(bad).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}
