//! Rows that a canary cannot read, canaries that cannot be loaded, and segments over both.

use segue_api::v1 as pb;
use segue_dataset::Feature;
use segue_model::{Child, MissingRule, Model, Node, Split as SplitAt, Tree};
use tonic::Code;
use tonic_types::StatusExt;

use crate::harness::*;

const FALLBACKS: &str = "segue_canary_fallbacks_total{model=\"churn\"}";

/// Asks for a feature that the champion does not know.
pub(crate) fn wider_model() -> Model {
    let tree = Tree {
        nodes: vec![Node {
            feature: 1,
            split: SplitAt::AtMost(0.5),
            missing: MissingRule::Right,
            left: Child::Leaf(0),
            right: Child::Leaf(1),
            gain: 1.0,
            cover: 10.0,
        }],
        leaf_values: vec![2.0, -2.0],
        leaf_cover: vec![5.0, 5.0],
        leaf_width: 1,
    };
    model(vec![Feature::number("age"), Feature::number("clicks")], vec![tree], "churn", None)
}

/// A server whose `churn` has version 3 of another schema as the canary of everybody.
async fn with_wider_canary() -> (TestServer, Model) {
    let server = TestServer::start().await;
    let model = wider_model();
    let rows = [vec![25.0, 0.0], vec![40.0, 1.0]];
    publish(&server.registry, &draft("churn", &model, &rows, Default::default()));
    let traffic = segue_registry::Traffic { canary_version: Some(3), ..canary(10_000) };
    split(&server, traffic).await;
    (server, model)
}

#[tokio::test]
async fn the_champion_answers_rows_that_the_canary_cannot_read() {
    let (server, wider) = with_wider_canary().await;
    let narrow = churn_model(0.0);
    let digest = |model: &Model| model.schema().digest().to_string();
    let before = metric(&server, FALLBACKS).await;
    for row in [good_row(), packed(&[40.0, 1.0, 1.0], &digest(&narrow))] {
        let asked = request(&["churn"], of_subject("ada", row));
        let answer = server.score(asked).await.unwrap();
        assert_eq!(answer.served_by[0].variant(), pb::Variant::Champion);
        let score = answer.result.unwrap().predictions[0].score;
        assert_eq!(score.to_bits(), offline(&narrow, &[40.0, 1.0, 1.0]).to_bits());
    }
    assert_eq!(metric(&server, FALLBACKS).await - before, 2.0);
    let both = named([
        ("age", number(40.0)),
        ("plan", category("pro")),
        ("visits", number(1.0)),
        ("clicks", number(0.0)),
    ]);
    for row in [both, packed(&[40.0, 0.0], &digest(&wider))] {
        let asked = request(&["churn"], of_subject("ada", row));
        let answer = server.score(asked).await.unwrap();
        assert_eq!(answer.served_by[0].variant(), pb::Variant::Canary);
        let score = answer.result.unwrap().predictions[0].score;
        assert_eq!(score.to_bits(), offline(&wider, &[40.0, 0.0]).to_bits());
    }
    assert_eq!(metric(&server, FALLBACKS).await - before, 2.0);
    // What neither reads is told as the champion would tell it.
    let stale = request(&["churn"], of_subject("ada", packed(&[1.0], "of another age")));
    let status = server.score(stale).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let info = status.get_error_details().error_info().unwrap().clone();
    assert_eq!(info.reason, "SCHEMA_DIGEST_MISMATCH");
    assert_eq!(info.metadata["expected"], digest(&narrow));
}

/// A key of the champion's share is no way around it.
#[tokio::test]
async fn a_row_packed_for_the_canary_is_refused_to_others() {
    let (server, wider) = with_wider_canary().await;
    let row = || packed(&[40.0, 0.0], wider.schema().digest().as_str());
    let status = server.score(request(&["churn"], row())).await.unwrap_err();
    let info = status.get_error_details().error_info().unwrap().clone();
    assert_eq!(info.reason, "SCHEMA_DIGEST_MISMATCH");
    server.score(request(&["churn"], of_subject("ada", row()))).await.unwrap();
}

/// Tensors follow the champion's metadata unless they say that they do not.
#[tokio::test]
async fn tensors_are_not_read_by_another_schema() {
    let (server, wider) = with_wider_canary().await;
    let ask = async |parameters: &str, width: usize, data: &str| {
        let body = format!(
            r#"{{"parameters":{{"routing_key":"ada"{parameters}}},"inputs":[
                {{"name":"input__0","datatype":"FP64","shape":[1,{width}],"data":{data}}}]}}"#
        );
        server.http("POST", "/v2/models/churn/infer", "", body.as_bytes()).await.json()
    };
    let before = metric(&server, FALLBACKS).await;
    let answer = ask("", 3, "[40,1,1]").await;
    assert_eq!(answer["model_version"], "1", "{answer}");
    assert_eq!(metric(&server, FALLBACKS).await - before, 1.0);
    let digest = format!(r#","schema_digest":"{}""#, wider.schema().digest());
    let answer = ask(&digest, 2, "[40,0]").await;
    assert_eq!(answer["model_version"], "3", "{answer}");
    assert_eq!(metric(&server, FALLBACKS).await - before, 1.0);
}

/// Both models are split by the same user on their own, and segments see the scores that were given.
#[tokio::test]
async fn segments_see_the_scores_of_the_versions_that_answer() {
    let server = TestServer::start().await;
    let row = || {
        let more = [("visits_7d", number(1.0)), ("spent", number(3.0))];
        let row =
            named([("age", number(20.0)), ("plan", category("pro")), ("visits", number(1.0))]);
        let Some(pb::feature_row::Features::Named(mut named)) = row.features else { panic!() };
        named.extend(more);
        let features = Some(pb::feature_row::Features::Named(named));
        of_subject("ada", pb::FeatureRow { features, ..Default::default() })
    };
    let ask = async || server.score(request(&["visits", "churn"], row())).await.unwrap();
    let segment = |answer: &pb::ScoreResponse| answer.result.as_ref().unwrap().segment.clone();
    // The champion's 0.69 is above the 0.6 that makes a lost cause, the canary's 0.11 is below.
    assert_eq!(segment(&ask().await), "lost_cause");
    let low = churn_draft(-3.0);
    publish(&server.registry, &low);
    let traffic = segue_registry::Traffic { canary_version: Some(3), ..canary(10_000) };
    split(&server, traffic).await;
    let answer = ask().await;
    assert_eq!(segment(&answer), "quiet");
    let variants: Vec<pb::Variant> = answer.served_by.iter().map(|one| one.variant()).collect();
    assert_eq!(variants, [pb::Variant::Champion, pb::Variant::Canary]);
    let predictions = &answer.result.unwrap().predictions;
    let expected = offline(&churn_model(-3.0), &[20.0, 1.0, 1.0]);
    assert_eq!(predictions[1].score.to_bits(), expected.to_bits());
    assert_eq!(predictions.iter().map(|one| one.served_by_index).collect::<Vec<_>>(), [0, 1]);
}

#[tokio::test]
async fn a_canary_that_cannot_be_loaded_has_no_share() {
    let server = TestServer::start().await;
    let file = server.folder.path().join("churn/versions/2/model.bin");
    let kept = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, &kept[..kept.len() / 2]).unwrap();
    split(&server, canary(10_000)).await;
    let asked = || request(&["churn"], of_subject("ada", good_row()));
    let answer = server.score(asked()).await.unwrap();
    assert_eq!(answer.served_by[0].variant(), pb::Variant::Champion);
    let get = pb::GetModelRequest { model: "churn".to_owned() };
    let model = server.models().get_model(get).await.unwrap().into_inner().model.unwrap();
    assert!(model.load_error.starts_with("canary version 2:"), "{}", model.load_error);
    let (status, page) = server.get("/readyz").await;
    assert!(status.contains("200") && page.contains("canary version 2"), "{status} {page}");
    assert_eq!(metric(&server, "segue_canary_basis_points{model=\"churn\"}").await, 0.0);
    let failed = "segue_model_load_seconds_count{model=\"churn\",result=\"failed\"}";
    assert!(metric(&server, failed).await >= 1.0);
    // Once it is whole again, it gets its share.
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, &kept).unwrap();
    let served = async {
        while server.score(asked()).await.unwrap().served_by[0].variant() != pb::Variant::Canary {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, served).await.expect("the load is tried again");
}

/// A champion has all the traffic, and what was the canary's share means nothing any more.
#[tokio::test]
async fn a_canary_that_is_promoted_is_the_champion_of_all() {
    let server = TestServer::start().await;
    split(&server, canary(5000)).await;
    let promotion = promotion("churn", 2);
    server.models().promote_model_version(promotion).await.unwrap();
    for user in ["user-1", "user-2"] {
        let asked = request(&["churn"], of_subject(user, good_row()));
        let answer = server.score(asked).await.unwrap();
        let served_by = &answer.served_by[0];
        assert_eq!((served_by.version, served_by.variant()), (2, pb::Variant::Champion));
    }
    // Nor does it come back as one when it is rolled back.
    let rollback = pb::RollbackModelRequest { model: "churn".to_owned(), ..Default::default() };
    let model = server.models().rollback_model(rollback).await.unwrap().into_inner().model.unwrap();
    assert_eq!(model.traffic, None);
    for user in ["user-1", "user-2"] {
        let asked = request(&["churn"], of_subject(user, good_row()));
        assert_eq!(server.score(asked).await.unwrap().served_by[0].version, 1);
    }
}

/// Rows of a batch are scored together, each by the versions that its key meets; between them are rows that
/// nobody can read.
#[tokio::test]
async fn rows_of_a_batch_are_answered_as_they_are_alone() {
    let server = TestServer::start().await;
    split(&server, canary(5_000)).await;
    let models = vec![selector("visits"), selector("churn")];
    let row = |n: u32| {
        let plan = if n.is_multiple_of(3) { "pro" } else { "free" };
        let age = if n % 17 == 4 { category("old") } else { number(f64::from(n * 7 % 61)) };
        let visits = number(f64::from(n % 5));
        let features = named([("age", age), ("plan", category(plan)), ("visits", visits)]);
        of_subject(&format!("user-{n}"), features)
    };
    // The rows have nothing of what `visits` asks for.
    let options =
        Some(pb::ScoreOptions { raw_margin: true, allow_missing: true, ..Default::default() });
    let batch = pb::ScoreBatchRequest {
        models: models.clone(),
        rows: (0..150).map(row).collect(),
        options,
        allow_partial: true,
        ..Default::default()
    };
    let together = server.scoring().score_batch(batch).await.unwrap().into_inner();
    assert_eq!(together.results.len(), 150);
    let shown = |row: &pb::ScoredRow, versions: &[pb::ServedBy]| {
        let predictions = row.predictions.iter().map(|one| {
            let by = &versions[one.served_by_index as usize];
            let margins: Vec<u64> = one.raw_margins.iter().map(|margin| margin.to_bits()).collect();
            (one.score.to_bits(), margins, one.segment.clone(), by.version, by.variant())
        });
        predictions.collect::<Vec<_>>()
    };
    let (mut n_bad, mut n_of_canary) = (0, 0);
    for (n, result) in (0..150).zip(&together.results) {
        let models = models.clone();
        let alone = pb::ScoreRequest { models, row: Some(row(n)), options, ..Default::default() };
        match (server.score(alone).await, &result.result) {
            (Ok(alone), Some(pb::row_result::Result::Row(row))) => {
                let expected = shown(&alone.result.unwrap(), &alone.served_by);
                let found = shown(row, &together.served_by);
                assert_eq!(found, expected, "row {n}");
                n_of_canary += usize::from(found[1].4 == pb::Variant::Canary);
            }
            (Err(alone), Some(pb::row_result::Result::Error(error))) => {
                assert_eq!(error.code, alone.code() as i32, "row {n}");
                n_bad += 1;
            }
            (alone, together) => panic!("row {n}: {alone:?} alone, {together:?} together"),
        }
    }
    assert!(n_bad == 9 && (50..100).contains(&n_of_canary), "{n_bad} {n_of_canary}");
}
