//! The whole circle: a served model logs its predictions, outcomes come back, and the joined table
//! trains the next version.

use segue_api::v1 as pb;
use segue_registry::Registry;

use crate::serving::Server;
use crate::support::{Run, segue};
use crate::table::table;

const N_PREDICTIONS: usize = 600;

/// Trains on what `segue predictions join` wrote.
const JOB: &str = r#"model = "table"
task = "conversion"

[table]
file = "joined.parquet"
label = "label"
weight = "weight"
time = "time"
user = "subject_id"
ignore = ["prediction_id"]

[split]
by = "user"

[learner]
rounds = 20
leaves = 4

[compare]
learners = []

[gates]
max_calibration_error = 1.0
"#;

fn row(place: usize) -> pb::FeatureRow {
    use pb::feature_value::Kind;
    let value = |kind| pb::FeatureValue { kind: Some(kind) };
    // a plan that the model has not seen, and one that is missing
    let plan = match place % 10 {
        0 => Kind::Category("team".to_owned()),
        1 => Kind::Missing(pb::Missing {}),
        _ => Kind::Category(["free", "pro", "trial"][place % 3].to_owned()),
    };
    let values = [
        ("visits", value(Kind::Number((place % 20) as f64))),
        ("plan", value(plan)),
        ("helped", value(Kind::Number((place % 7) as f64 / 7.0))),
    ];
    let features = Some(pb::feature_row::Features::Named(values.into_iter().collect()));
    pb::FeatureRow { features, subject_id: format!("u{place:04}"), ..Default::default() }
}

async fn predict(server: &Server) -> Vec<String> {
    let selector = pb::ModelSelector { model: "table".to_owned(), choice: None };
    let mut ids = Vec::new();
    for first in (0..N_PREDICTIONS).step_by(100) {
        let batch = pb::ScoreBatchRequest {
            models: vec![selector.clone()],
            rows: (first..first + 100).map(row).collect(),
            ..Default::default()
        };
        let answer = server.scoring().score_batch(batch).await.unwrap().into_inner();
        for result in answer.results {
            let Some(pb::row_result::Result::Row(row)) = result.result else { panic!() };
            ids.push(row.predictions[0].prediction_id.clone());
        }
    }
    ids
}

#[tokio::test]
async fn logged_predictions_and_their_outcomes_train_the_next_version() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let registry = table().copy_of_registry(&folder.path().join("models"));
    let log = home.path().join("log");
    let arguments = ["--prediction-log", log.to_str().unwrap(), "--log-subjects", "plain"];
    let server = Server::of("table", &arguments, registry.clone(), folder).await;
    let ids = predict(&server).await;
    // more visits, more outcomes of 1; of the last hundred nothing is known
    let outcome = |(place, id): (usize, &String)| pb::Outcome {
        prediction_id: id.clone(),
        label: Some(pb::outcome::Label::Binary((place * 7) % 20 < place % 20)),
        ..Default::default()
    };
    let outcomes: Vec<pb::Outcome> =
        ids.iter().enumerate().take(N_PREDICTIONS - 100).map(outcome).collect();
    let batch = pb::BatchRecordOutcomesRequest { outcomes, ..Default::default() };
    let answer = server.feedback().batch_record_outcomes(batch).await.unwrap().into_inner();
    assert_eq!(answer.results.len(), N_PREDICTIONS - 100);
    let asked = pb::GetModelPerformanceRequest { model: "table".to_owned(), ..Default::default() };
    let measured = server.feedback().get_model_performance(asked).await.unwrap().into_inner();
    let performance = &measured.performances[0];
    assert_eq!((performance.prediction_count, performance.outcome_count), (600, 500));
    assert!(performance.metrics[0].value.unwrap() > 0.5, "{performance:?}");
    let drift = pb::GetDriftReportRequest { model: "table".to_owned(), version: None };
    let drift = server.feedback().get_drift_report(drift).await.unwrap().into_inner();
    assert_eq!(drift.row_count, 600);
    let (ended, _) = server.stop().await;
    assert!(ended.success());

    let out = home.path().join("joined.parquet");
    let joined = segue()
        .args(["predictions", "join", "--model", "table", "--log"])
        .arg(&log)
        .arg("--out")
        .arg(&out)
        .json();
    assert_eq!((&joined["n_predictions"], &joined["n_rows"]), (&600.into(), &500.into()));
    let job = home.path().join("job.toml");
    std::fs::write(&job, JOB).unwrap();
    let models = home.path().join("models");
    let trained = segue().arg("train").arg(&job).arg("--registry").arg(&models).json();
    assert_eq!(trained["version"], 1);
    let registry = Registry::open(models.to_str().unwrap()).unwrap();
    let schema = String::from_utf8(registry.read("table", 1, "profile.json").unwrap()).unwrap();
    for feature in ["visits", "plan", "helped", "team"] {
        // the last is a category that the first version had not seen
        assert!(schema.contains(&format!("\"{feature}\"")), "{feature}: {schema}");
    }
    assert!(!schema.contains("prediction_id"), "{schema}");
}
