//! What shadows would have answered: counted, compared, and never in anybody's way.

use segue_api::v1 as pb;
use segue_dataset::Feature;
use segue_model::{Child, Model};
use segue_registry::{PromoteRequest, Traffic};
use segue_serving::ServeOptions;
use sha2::{Digest, Sha256};
use tonic_health::pb::health_check_response::ServingStatus;

use crate::canary_rows::wider_model;
use crate::harness::*;

/// All rows go to these versions too.
fn shadows(versions: &[u64]) -> Traffic {
    let shadow_versions = versions.to_vec();
    Traffic { shadow_versions, shadow_basis_points: 10_000, ..Traffic::default() }
}

fn rows() -> Vec<[f64; 3]> {
    (0..200).map(|n| [f64::from(n % 60), f64::from(n % 3) - 1.0, f64::from(n % 4)]).collect()
}

async fn reports(server: &TestServer, model: &str) -> Vec<pb::ShadowReport> {
    let request = pb::GetShadowReportRequest { model: model.to_owned() };
    server.models().get_shadow_report(request).await.unwrap().into_inner().reports
}

fn n_seen(report: &pb::ShadowReport) -> u64 {
    report.rows + report.unreadable_rows + report.failed_rows
}

/// The report of a shadow, when it has seen so many rows.
async fn report(server: &TestServer, model: &str, shadow: i64, n_rows: u64) -> pb::ShadowReport {
    let wait = async {
        loop {
            let mut reports = reports(server, model).await.into_iter();
            let found = reports.find(|report| report.shadow_version == shadow);
            match found {
                Some(report) if n_seen(&report) >= n_rows => return report,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    let report = tokio::time::timeout(PATIENCE, wait).await.expect("shadows keep up");
    assert_eq!(n_seen(&report), n_rows, "{report:?}");
    report
}

/// Waits until a version of churn is in memory.
async fn until_in_memory(server: &TestServer, version: i64) {
    let loaded = async {
        loop {
            let ask = pb::GetModelRequest { model: "churn".to_owned() };
            let model = server.models().get_model(ask).await.unwrap().into_inner().model.unwrap();
            let serving = pb::ModelVersionState::Serving;
            if model.loaded.iter().any(|one| one.version == version && one.state() == serving) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, loaded).await.expect("the version is loaded");
}

async fn batch(server: &TestServer, rows: Vec<pb::FeatureRow>) -> pb::ScoreBatchResponse {
    let request =
        pb::ScoreBatchRequest { models: vec![selector("churn")], rows, ..Default::default() };
    server.scoring().score_batch(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_shadow_is_compared_and_not_heard() {
    let server = TestServer::start().await;
    split(&server, shadows(&[2])).await;
    let (champion, shadow) = (churn_model(0.0), churn_model(0.5));
    let digest = champion.schema().digest().as_str();
    let answer = batch(&server, rows().iter().map(|row| packed(row, digest)).collect()).await;
    assert_eq!(answer.served_by.len(), 1);
    for (row, result) in rows().iter().zip(&answer.results) {
        let Some(pb::row_result::Result::Row(scored)) = &result.result else { panic!() };
        let expected = offline(&champion, row).to_bits();
        assert_eq!(scored.predictions[0].score.to_bits(), expected);
    }
    let report = report(&server, "churn", 2, 200).await;
    let all = rows();
    let differences = all.iter().map(|row| offline(&shadow, row) - offline(&champion, row));
    let differences: Vec<f64> = differences.collect();
    let n_rows = all.len() as f64;
    assert_eq!((report.champion_version, report.rows), (1, all.len() as u64));
    let n_equal = differences.iter().filter(|difference| **difference == 0.0).count();
    assert!(n_equal > 0 && report.equal_rows == n_equal as u64, "{report:?}");
    let mean = differences.iter().map(|difference| difference.abs()).sum::<f64>() / n_rows;
    assert!((report.mean_absolute_difference - mean).abs() < 1e-12, "{report:?}");
    let largest = differences.iter().map(|difference| difference.abs()).fold(0.0, f64::max);
    assert_eq!(report.max_absolute_difference, largest);
    let shift = differences.iter().sum::<f64>() / n_rows;
    assert!(shift > 0.0 && (report.mean_shift - shift).abs() < 1e-12, "{report:?}");
    assert_eq!(report.segment_flips, 0);
    assert_eq!(report.buckets.iter().map(|bucket| bucket.rows).sum::<u64>(), report.rows);
    assert!(
        report.first_time.is_some() && report.buckets.last().unwrap().upper_bound.is_infinite()
    );
    let labels = "{model=\"churn\",version=\"2\"}";
    let n_rows = metric(&server, &format!("segue_shadow_rows_total{labels}")).await;
    assert_eq!(n_rows, report.rows as f64);
    let observed = metric(&server, &format!("segue_shadow_abs_diff_count{labels}")).await;
    assert_eq!(observed, n_rows);
}

/// By the same hash as the canary's in another domain, which docs/traffic.md states too.
#[tokio::test]
async fn a_share_of_the_users_is_mirrored() {
    let server = TestServer::start().await;
    let policy = Traffic { shadow_basis_points: 2500, salt: "s".to_owned(), ..shadows(&[2]) };
    split(&server, policy).await;
    let users: Vec<String> = (0..1000).map(|user| format!("user-{user}")).collect();
    let holds = |user: &&String| {
        let hash = Sha256::digest(format!("segue/shadow/1\nchurn\ns\n{user}"));
        u64::from_be_bytes(hash[..8].try_into().unwrap()) % 10_000 < 2500
    };
    let expected = users.iter().filter(holds).count() as u64;
    assert!((180..320).contains(&expected));
    batch(&server, users.iter().map(|user| of_subject(user, good_row())).collect()).await;
    report(&server, "churn", 2, expected).await;
}

/// Segments are the shadow's own, over the scores of the other models that the request selected.
#[tokio::test]
async fn segment_flips_are_counted() {
    let server = TestServer::start().await;
    let features = visits_features();
    let mut model = visits_model().into_parts();
    for value in &mut model.ensemble.trees[0].leaf_values {
        *value = -*value;
    }
    let model = Model::new(model).unwrap();
    let mut files = visits_draft().files;
    files.retain(|name, _| ["features.toml", "segments.toml"].contains(&name.as_str()));
    assert_eq!(features.schema().digest(), model.schema().digest());
    publish(&server.registry, &draft("visits", &model, &[vec![0.0, f64::NAN]], files));
    split_of(&server, "visits", shadows(&[2])).await;
    let row = |visits: f64| {
        named([
            ("age", number(20.0)),
            ("plan", category("pro")),
            ("visits", number(1.0)),
            ("visits_7d", number(visits)),
            ("spent", number(3.0)),
        ])
    };
    // One visit: the champion says 0.74 and lost_cause, the shadow 0.18 and quiet. Three visits: the
    // champion says 0.18 and nothing, the shadow 0.74 and lost_cause.
    for visits in [1.0, 3.0, 3.0] {
        server.score(request(&["visits", "churn"], row(visits))).await.unwrap();
    }
    let flipped = report(&server, "visits", 2, 3).await;
    assert_eq!((flipped.rows, flipped.segment_flips), (3, 3), "{flipped:?}");
    // Without churn's score there is no lost cause: the champion says quiet at one visit, as the shadow.
    let mut alone = request(&["visits"], row(1.0));
    alone.models.truncate(1);
    server.score(alone).await.unwrap();
    let flipped = report(&server, "visits", 2, 4).await;
    assert_eq!((flipped.rows, flipped.segment_flips), (4, 3), "{flipped:?}");
}

/// A schema of its own: named features are read again, columns are found by name.
#[tokio::test]
async fn rows_that_a_shadow_cannot_read_are_counted() {
    let server = TestServer::start().await;
    publish(
        &server.registry,
        &draft("churn", &wider_model(), &[vec![1.0, 2.0]], Default::default()),
    );
    let features = vec![Feature::number("visits"), Feature::number("age")];
    let mut tree = wider_model().into_parts().ensemble.trees.remove(0);
    tree.nodes[0].left = Child::Leaf(0);
    let narrow = model(features, vec![tree], "churn", None);
    publish(&server.registry, &draft("churn", &narrow, &[vec![1.0, 2.0]], Default::default()));
    split(&server, shadows(&[3, 4])).await;
    let digest = churn_model(0.0).schema().digest().to_string();
    server.score(request(&["churn"], packed(&[40.0, 1.0, 1.0], &digest))).await.unwrap();
    let tensors = r#"{"inputs":[
        {"name":"input__0","datatype":"FP64","shape":[1,3],"data":[40,1,1]}]}"#;
    let answer = server.http("POST", "/v2/models/churn/infer", "", tensors.as_bytes()).await;
    assert_eq!(answer.code, 200, "{answer:?}");
    // `clicks` is in neither.
    let unreadable = report(&server, "churn", 3, 2).await;
    assert_eq!((unreadable.rows, unreadable.unreadable_rows), (0, 2));
    let labels = "{model=\"churn\",version=\"3\",reason=\"unreadable\"}";
    let counted = metric(&server, &format!("segue_shadow_errors_total{labels}")).await;
    assert_eq!(counted, 2.0);
    // The columns by their names, in the order of the shadow.
    let read = report(&server, "churn", 4, 2).await;
    assert_eq!((read.rows, read.unreadable_rows), (2, 0));
    let difference = offline(&narrow, &[1.0, 40.0]) - offline(&churn_model(0.0), &[40.0, 1.0, 1.0]);
    assert!((read.mean_shift - difference).abs() < 1e-12, "{read:?} {difference}");
}

#[tokio::test]
async fn a_shadow_that_cannot_be_loaded_is_left_out() {
    let server = TestServer::start().await;
    publish(&server.registry, &churn_draft(0.75));
    let file = server.folder.path().join("churn/versions/3/model.bin");
    std::fs::remove_file(&file).unwrap();
    split(
        &server,
        Traffic { canary_version: Some(2), canary_basis_points: 10_000, ..shadows(&[2, 3]) },
    )
    .await;
    let get = pb::GetModelRequest { model: "churn".to_owned() };
    let model = server.models().get_model(get).await.unwrap().into_inner().model.unwrap();
    assert!(model.load_error.starts_with("shadow version 3:"), "{}", model.load_error);
    // The canary answers on, and its rows are not compared with the champion's.
    let answer = server.score(request(&["churn"], of_subject("ada", good_row()))).await.unwrap();
    assert_eq!(answer.served_by[0].variant(), pb::Variant::Canary);
    server.score(request(&["churn"], good_row())).await.unwrap();
    report(&server, "churn", 2, 1).await;
    assert!(reports(&server, "churn").await.iter().all(|report| report.shadow_version == 2));
}

/// What a shadow has shown is in the event that makes it the champion.
#[tokio::test]
async fn a_promotion_keeps_what_the_shadow_has_shown() {
    let server = TestServer::start().await;
    split(&server, shadows(&[2])).await;
    batch(&server, vec![good_row(); 50]).await;
    let seen = report(&server, "churn", 2, 50).await;
    // What a promotion would be judged by is told before.
    let ask = pb::ValidateModelVersionRequest {
        model: "churn".to_owned(),
        version: 2,
        ..Default::default()
    };
    let told = server.models().validate_model_version(ask).await.unwrap().into_inner();
    let gate = told.gates.iter().find(|gate| gate.gate == "shadow_agreement").unwrap();
    assert_eq!(gate.measured["n_rows"], 50.0, "{gate:?}");
    let promotion = promotion("churn", 2);
    server.models().promote_model_version(promotion).await.unwrap();
    let event = server.registry.log("churn").unwrap().pop().unwrap();
    let gate = event.gates.iter().find(|gate| gate.gate == "shadow_agreement").unwrap();
    assert_eq!(gate.measured["champion_version"], 1.0);
    assert_eq!(gate.measured["n_rows"], 50.0);
    assert_eq!(gate.measured["max_abs_difference"], seen.max_absolute_difference);
    assert!(gate.message.contains("50 rows beside version 1"), "{}", gate.message);
}

/// A champion's successor is judged by what all servers have seen, those that have ended included.
#[tokio::test]
async fn what_shadows_have_shown_outlives_a_server_and_adds_up() {
    let first = TestServer::start().await;
    split(&first, shadows(&[2])).await;
    batch(&first, vec![good_row(); 30]).await;
    report(&first, "churn", 2, 30).await;
    batch(&first, vec![good_row(); 12]).await;
    let TestServer { stop, task, folder, registry, .. } = first;
    stop.send(()).unwrap();
    task.await.unwrap().unwrap();
    // Rows that were still waiting for the shadow when the server ended are nobody's.
    let kept = registry.evidence("churn").unwrap()[0].n_rows;
    assert!((30..=42).contains(&kept), "{kept}");
    let second = TestServer::over(folder, registry, quick()).await;
    second.wait_for_health("", ServingStatus::Serving).await;
    until_in_memory(&second, 2).await;
    batch(&second, vec![good_row(); 20]).await;
    let seen = report(&second, "churn", 2, kept + 20).await;
    assert_eq!((seen.champion_version, seen.failed_rows), (1, 0));
    // Whoever promotes past the servers is judged by the same rows.
    let promotion = PromoteRequest {
        model: "churn".into(),
        version: 2,
        override_gates: true,
        ..Default::default()
    };
    let promoted = second.registry.promote(&promotion).unwrap();
    let gate = promoted.gates.iter().find(|gate| gate.gate == "shadow_agreement").unwrap();
    assert_eq!(gate.measured["n_rows"], (kept + 20) as f64, "{gate:?}");
}

/// Every row is answered, and what the shadows do not get is counted.
#[tokio::test]
async fn rows_that_nobody_has_time_for_are_counted() {
    let options = ServeOptions { max_shadow_rows: 1, ..quick() };
    let server = TestServer::start_with(options).await;
    split(&server, shadows(&[2])).await;
    let dropped = "segue_shadow_dropped_total{reason=\"queue_full\"}";
    let answer = batch(&server, vec![good_row(); 5000]).await;
    assert_eq!(answer.results.len(), 5000);
    let wait = async {
        loop {
            let n_dropped = metric(&server, dropped).await;
            let n_scored = reports(&server, "churn").await.first().map_or(0, n_seen);
            if n_dropped + n_scored as f64 == 5000.0 {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("no row is lost without being counted");
}

#[tokio::test]
async fn a_report_of_no_model_is_refused() {
    let server = TestServer::start().await;
    assert!(reports(&server, "churn").await.is_empty());
    for (name, code) in
        [("nobody", tonic::Code::NotFound), ("Not A Name", tonic::Code::InvalidArgument)]
    {
        let request = pb::GetShadowReportRequest { model: name.to_owned() };
        let status = server.models().get_shadow_report(request).await.unwrap_err();
        assert_eq!(status.code(), code);
    }
}
