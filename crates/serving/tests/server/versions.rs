//! Versions that come over the wire, are tried, taken out of use and brought back.

use segue_api::v1 as pb;
use segue_api::v1::register_model_version_request::Part;
use segue_registry::{Draft, Registry};
use segue_serving::ServeOptions;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::harness::*;

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().unwrap().reason.clone()
}

/// What went wrong: the code, the reason, and the field if one was named.
fn refusal(status: &Status) -> (Code, String, String) {
    let details = status.get_error_details();
    let field = details.bad_request().map(|bad| bad.field_violations[0].field.clone());
    (status.code(), reason(status), field.unwrap_or_default())
}

fn bad(status: &Status, code: Code, reason: &str, field: &str) {
    assert_eq!(refusal(status), (code, reason.to_owned(), field.to_owned()), "{status:?}");
}

/// The manifest of a draft, as the registry of a pipeline has it.
fn manifest_of(draft: &Draft) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(folder.path().to_str().unwrap()).unwrap();
    publish(&registry, draft);
    std::fs::read(folder.path().join(&draft.model).join("versions/1/manifest.json")).unwrap()
}

pub(crate) fn header(draft: &Draft) -> pb::RegisterModelVersionHeader {
    let (model, manifest) = (draft.model.clone(), manifest_of(draft));
    pb::RegisterModelVersionHeader { model, manifest, ..Default::default() }
}

/// The messages of an upload, in pieces of so many bytes.
pub(crate) fn upload(
    header: pb::RegisterModelVersionHeader,
    draft: &Draft,
    n_bytes: usize,
) -> Vec<pb::RegisterModelVersionRequest> {
    let mut parts = vec![Part::Header(header)];
    for (name, bytes) in &draft.files {
        parts.extend(bytes.chunks(n_bytes).map(|data| piece(name, data)));
    }
    parts.into_iter().map(message).collect()
}

fn piece(file: &str, data: &[u8]) -> Part {
    Part::Piece(pb::FilePiece { file: file.to_owned(), data: data.to_vec() })
}

fn message(part: Part) -> pb::RegisterModelVersionRequest {
    pb::RegisterModelVersionRequest { part: Some(part) }
}

async fn register(
    server: &TestServer,
    parts: Vec<pb::RegisterModelVersionRequest>,
) -> Result<pb::RegisterModelVersionResponse, Status> {
    let stream = tokio_stream::iter(parts);
    Ok(server.models().register_model_version(stream).await?.into_inner())
}

#[tokio::test]
async fn a_version_comes_over_the_wire_and_is_the_one_that_was_made() {
    let server = TestServer::start().await;
    let draft = churn_draft(0.75);
    let of = |request_id: &str, validate_only| pb::RegisterModelVersionHeader {
        request_id: request_id.to_owned(),
        validate_only,
        actor: "pipeline".to_owned(),
        reason: "nightly".to_owned(),
        ..header(&draft)
    };
    let dry = register(&server, upload(of("u-1", true), &draft, 100)).await.unwrap();
    assert_eq!(dry, pb::RegisterModelVersionResponse::default());
    assert_eq!(server.registry.versions("churn").unwrap().len(), 2);

    let done = register(&server, upload(of("u-1", false), &draft, 7)).await.unwrap();
    let version = done.model_version.unwrap();
    assert_eq!((version.version, done.existed), (3, false));
    assert_eq!(version.created_by, "pipeline");
    let manifest = server.registry.manifest("churn", 3).unwrap();
    assert_eq!(manifest.digest, version.digest);
    for (name, bytes) in &draft.files {
        assert_eq!(&server.registry.read("churn", 3, name).unwrap(), bytes);
    }
    let event = server.registry.log("churn").unwrap().pop().unwrap();
    assert_eq!((event.request_id.as_str(), event.reason.as_str()), ("u-1", "nightly"));

    for id in ["u-1", "u-2", ""] {
        let again = register(&server, upload(of(id, false), &draft, 4096)).await.unwrap();
        assert_eq!((again.model_version.unwrap().version, again.existed), (3, true), "{id}");
    }
    let other = churn_draft(0.8);
    let reused =
        pb::RegisterModelVersionHeader { manifest: manifest_of(&other), ..of("u-1", false) };
    let status = register(&server, upload(reused, &other, 4096)).await.unwrap_err();
    bad(&status, Code::InvalidArgument, "REQUEST_ID_REUSED", "request_id");
    assert_eq!(server.registry.versions("churn").unwrap().len(), 3);

    let promotion = promotion("churn", 3);
    server.models().promote_model_version(promotion).await.unwrap();
    let answer = server.score(request(&["churn"], good_row())).await.unwrap();
    let expected = offline(&churn_model(0.75), &[40.0, 1.0, 1.0]);
    assert_eq!(answer.result.unwrap().predictions[0].score.to_bits(), expected.to_bits());
    assert!(server.registry.verify(None).unwrap().is_clean());
}

#[tokio::test]
async fn an_upload_that_is_not_what_it_announces_is_refused_whole() {
    let server = TestServer::start().await;
    let draft = churn_draft(0.75);
    let good = upload(header(&draft), &draft, 4096);
    let with = |change: &dyn Fn(&mut Vec<pb::RegisterModelVersionRequest>)| {
        let mut parts = good.clone();
        change(&mut parts);
        parts
    };
    let flip = |parts: &mut Vec<pb::RegisterModelVersionRequest>| {
        if let Some(Part::Piece(piece)) = &mut parts[2].part {
            piece.data[9] ^= 1;
        }
    };
    let other = pb::RegisterModelVersionHeader { model: "visits".to_owned(), ..header(&draft) };
    let damaged = pb::RegisterModelVersionHeader { manifest: vec![1], ..header(&draft) };
    let nameless = pb::RegisterModelVersionHeader { model: String::new(), ..header(&draft) };
    let part = ("UPLOAD_INVALID", "part");
    let cases = [
        ("no header", with(&|parts| drop(parts.remove(0))), part),
        ("nothing", Vec::new(), part),
        ("two headers", with(&|parts| parts.insert(1, parts[0].clone())), part),
        ("an empty message", with(&|parts| parts[1].part = None), part),
        ("a file less", with(&|parts| drop(parts.pop())), part),
        ("a byte more", with(&|parts| parts.push(message(piece("model.bin", b"x")))), part),
        ("a file more", with(&|parts| parts.push(message(piece("x.txt", b"x")))), part),
        ("a flipped bit", with(&flip), part),
        ("another model", upload(other, &draft, 4096), part),
        ("a damaged manifest", upload(damaged, &draft, 4096), part),
        ("no name", upload(nameless, &draft, 4096), ("MODEL_NAME_INVALID", "model")),
    ];
    for (what, parts, (reason, field)) in cases {
        let status = register(&server, parts).await.expect_err(what);
        bad(&status, Code::InvalidArgument, reason, field);
    }
    assert_eq!(server.registry.versions("churn").unwrap().len(), 2);
    assert_eq!(register(&server, good).await.unwrap().model_version.unwrap().version, 3);
}

#[tokio::test]
async fn uploads_are_bounded_in_bytes_number_and_time() {
    let draft = churn_draft(0.75);
    let n_bytes: usize = draft.files.values().map(Vec::len).sum();
    let options = ServeOptions { max_upload_bytes: n_bytes as u64 - 1, ..quick() };
    let server = TestServer::start_with(options).await;
    let status = register(&server, upload(header(&draft), &draft, 4096)).await.unwrap_err();
    bad(&status, Code::InvalidArgument, "UPLOAD_INVALID", "part");
    assert!(status.message().contains("at most"), "{status:?}");

    let options = ServeOptions { max_upload_bytes: 0, ..quick() };
    let server = TestServer::start_with(options).await;
    let status = register(&server, upload(header(&draft), &draft, 4096)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "{status:?}");

    let max_upload_time = std::time::Duration::from_millis(300);
    let server = TestServer::start_with(ServeOptions { max_upload_time, ..quick() }).await;
    let mut models = server.models();
    // Until its time is over, it stands in the way of the next; then it does not.
    let waiting = async {
        loop {
            let ended = models.register_model_version(tokio_stream::pending()).await.unwrap_err();
            if ended.code() != Code::ResourceExhausted {
                return ended;
            }
        }
    };
    let refused = async {
        loop {
            match register(&server, upload(header(&draft), &draft, 4096)).await {
                Err(status) => return status,
                // It was faster than the one that waits.
                Ok(_) => tokio::task::yield_now().await,
            }
        }
    };
    let (waited, status) = tokio::join!(waiting, refused);
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert_eq!(waited.code(), Code::DeadlineExceeded);
    register(&server, upload(header(&draft), &draft, 4096)).await.unwrap();
}

#[tokio::test]
async fn a_validation_tells_what_a_promotion_would() {
    let server = TestServer::start().await;
    let mut models = server.models();
    let before = server.registry.model("churn").unwrap();
    let ask = |version| pb::ValidateModelVersionRequest {
        model: "churn".to_owned(),
        version,
        ..Default::default()
    };
    // The tiny models come without a holdout to judge them on.
    let told = models.validate_model_version(ask(2)).await.unwrap().into_inner();
    let failed = |gate: &pb::GateResult| gate.outcome() == pb::GateOutcome::Failed;
    assert!(!told.promotable && told.gates.iter().any(failed), "{told:?}");
    assert_eq!(told.model.unwrap().etag, before.etag);
    let told = models.validate_model_version(ask(1)).await.unwrap().into_inner();
    assert!(told.promotable && told.gates.is_empty(), "it is the champion: {told:?}");
    let status = models.validate_model_version(ask(9)).await.unwrap_err();
    bad(&status, Code::NotFound, "VERSION_NOT_FOUND", "");
    let file = server.folder.path().join("churn/versions/2/model.bin");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[1..]).unwrap();
    let status = models.validate_model_version(ask(2)).await.unwrap_err();
    bad(&status, Code::DataLoss, "DIGEST_MISMATCH", "");
    assert_eq!(server.registry.model("churn").unwrap(), before);
}

#[tokio::test]
async fn an_archived_version_is_out_of_use_until_it_is_restored() {
    let server = TestServer::start().await;
    let mut models = server.models();
    let archive = |version| pb::ArchiveModelVersionRequest {
        model: "churn".to_owned(),
        version,
        actor: "ada".to_owned(),
        ..Default::default()
    };
    let status = models.archive_model_version(archive(1)).await.unwrap_err();
    bad(&status, Code::FailedPrecondition, "VERSION_IN_USE", "");
    assert!(status.message().contains("alias champion"), "{status:?}");
    let dry = pb::ArchiveModelVersionRequest { validate_only: true, ..archive(2) };
    assert_eq!(models.archive_model_version(dry).await.unwrap().into_inner().event_id, "");
    let told = models.archive_model_version(archive(2)).await.unwrap().into_inner();
    assert_eq!(told.model.unwrap().archived_versions, [2]);
    assert!(!told.event_id.is_empty());

    let model = || "churn".to_owned();
    let promotion = pb::PromoteModelVersionRequest {
        model: model(),
        version: 2,
        override_gates: true,
        ..Default::default()
    };
    let alias = pb::SetModelAliasRequest {
        model: model(),
        alias: "next".to_owned(),
        version: 2,
        ..Default::default()
    };
    let traffic = Some(pb::TrafficPolicy { canary_version: 2, ..Default::default() });
    let traffic = pb::UpdateTrafficPolicyRequest { model: model(), traffic, ..Default::default() };
    let refused = [
        models.promote_model_version(promotion.clone()).await.unwrap_err(),
        models.set_model_alias(alias).await.unwrap_err(),
        models.update_traffic_policy(traffic).await.unwrap_err(),
    ];
    for status in &refused {
        bad(status, Code::FailedPrecondition, "VERSION_ARCHIVED", "");
    }
    let restore = pb::RestoreModelVersionRequest {
        model: model(),
        version: 2,
        request_id: "r-1".to_owned(),
        ..Default::default()
    };
    let told = models.restore_model_version(restore.clone()).await.unwrap().into_inner();
    assert!(told.model.unwrap().archived_versions.is_empty());
    let again = models.restore_model_version(restore).await.unwrap().into_inner();
    assert_eq!(again.event_id, told.event_id);
    models.promote_model_version(promotion).await.unwrap();
    let ask = pb::ListModelEventsRequest { model: model(), page_size: 3, ..Default::default() };
    let events = models.list_model_events(ask).await.unwrap().into_inner().events;
    let told: Vec<_> = events.iter().map(|event| (event.action(), event.version)).collect();
    use pb::ModelAction::{Archived, Promoted, Restored};
    assert_eq!(told, [(Promoted, 0), (Restored, 2), (Archived, 2)]);
}

/// The champion before is in memory for a rollback, and an archived one cannot be rolled back to.
#[tokio::test]
async fn an_archived_version_answers_nobody() {
    let server = TestServer::start().await;
    let mut models = server.models();
    let promotion = promotion("churn", 2);
    models.promote_model_version(promotion).await.unwrap();
    let mut asked = request(&["churn"], good_row());
    asked.models[0].choice = Some(pb::model_selector::Choice::Version(1));
    server.score(asked.clone()).await.unwrap();
    let archive = pb::ArchiveModelVersionRequest {
        model: "churn".to_owned(),
        version: 1,
        ..Default::default()
    };
    models.archive_model_version(archive).await.unwrap();
    let status = server.score(asked).await.unwrap_err();
    assert_eq!(reason(&status), "VERSION_NOT_LOADED");
}

#[tokio::test]
async fn an_alias_is_deleted_but_never_the_champion() {
    let server = TestServer::start().await;
    let mut models = server.models();
    let alias = pb::SetModelAliasRequest {
        model: "churn".to_owned(),
        alias: "next".to_owned(),
        version: 2,
        ..Default::default()
    };
    let model = models.set_model_alias(alias).await.unwrap().into_inner().model.unwrap();
    let delete = |alias: &str| pb::DeleteModelAliasRequest {
        model: "churn".to_owned(),
        alias: alias.to_owned(),
        ..Default::default()
    };
    let stale = pb::DeleteModelAliasRequest { etag: "0-old".to_owned(), ..delete("next") };
    let status = models.delete_model_alias(stale).await.unwrap_err();
    bad(&status, Code::Aborted, "ETAG_MISMATCH", "");
    let dry = pb::DeleteModelAliasRequest { validate_only: true, ..delete("next") };
    models.delete_model_alias(dry).await.unwrap();
    let real = pb::DeleteModelAliasRequest { etag: model.etag, ..delete("next") };
    let told = models.delete_model_alias(real).await.unwrap().into_inner();
    assert!(!told.model.unwrap().aliases.contains_key("next") && !told.event_id.is_empty());
    let mut asked = request(&["churn"], good_row());
    asked.models[0].choice = Some(pb::model_selector::Choice::Alias("next".to_owned()));
    let status = server.score(asked).await.unwrap_err();
    bad(&status, Code::NotFound, "ALIAS_NOT_FOUND", "");
    let status = models.delete_model_alias(delete("next")).await.unwrap_err();
    bad(&status, Code::NotFound, "ALIAS_NOT_FOUND", "");
    let status = models.delete_model_alias(delete("champion")).await.unwrap_err();
    bad(&status, Code::FailedPrecondition, "ALIAS_PROTECTED", "");
    let status = models.delete_model_alias(delete("9")).await.unwrap_err();
    bad(&status, Code::InvalidArgument, "ALIAS_INVALID", "alias");
}
