//! Outcomes through the socket: early, late, twice, corrected; and what is measured on them.

use std::path::Path;
use std::time::SystemTime;

use segue_api::v1 as pb;
use segue_api::v1::feedback_service_client::FeedbackServiceClient;
use segue_serving::{JoinRequest, join_predictions};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::harness::*;
use crate::prediction_log::{stopped, with_log};

type Client = FeedbackServiceClient<Channel>;

fn client(server: &TestServer) -> Client {
    FeedbackServiceClient::new(server.channel.clone())
}

fn outcome(prediction_id: &str, happened: bool) -> pb::Outcome {
    pb::Outcome {
        prediction_id: prediction_id.to_owned(),
        label: Some(pb::outcome::Label::Binary(happened)),
        ..Default::default()
    }
}

async fn record(
    client: &mut Client,
    outcome: pb::Outcome,
    request_id: &str,
) -> Result<pb::RecordOutcomeResponse, Status> {
    let request_id = request_id.to_owned();
    let request = pb::RecordOutcomeRequest { outcome: Some(outcome), request_id };
    client.record_outcome(request).await.map(tonic::Response::into_inner)
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().unwrap().reason
}

/// The id and score of a prediction.
async fn predict(server: &TestServer, age: f64) -> (String, f64) {
    let row =
        named([("age", number(age)), ("plan", category("pro")), ("visits", number(age / 10.0))]);
    let answer = server.score(request(&["churn"], row)).await.unwrap().result.unwrap();
    (answer.predictions[0].prediction_id.clone(), answer.predictions[0].score)
}

/// Until the log has the prediction.
async fn record_matched(client: &mut Client, outcome: pb::Outcome) {
    loop {
        // A repetition: matched as soon as the prediction is in the log.
        let recorded = record(client, outcome.clone(), "").await.unwrap();
        if recorded.status() == pb::OutcomeStatus::Matched {
            return;
        }
    }
}

#[tokio::test]
async fn an_outcome_counts_once_and_the_later_of_two() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start_with(with_log(dir.path())).await;
    let mut client = client(&server);
    let (id, _) = predict(&server, 40.0).await;
    record_matched(&mut client, outcome(&id, false)).await;
    let again = record(&mut client, outcome(&id, false), "").await.unwrap();
    assert!(again.is_duplicate && !again.is_correction);
    let corrected = record(&mut client, outcome(&id, true), "r1").await.unwrap();
    assert!(corrected.is_correction && !corrected.is_duplicate);
    let repeated = record(&mut client, outcome(&id, true), "r1").await.unwrap();
    assert!(repeated.is_duplicate);
    let reused = record(&mut client, outcome(&id, false), "r1").await.unwrap_err();
    assert_eq!((reused.code(), &*reason(&reused)), (Code::InvalidArgument, "REQUEST_ID_REUSED"));
    // Of an earlier time: recorded, and does not count.
    let mut earlier = outcome(&id, false);
    earlier.event_time = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });
    assert!(record(&mut client, earlier, "").await.unwrap().is_correction);
    let asked = pb::GetModelPerformanceRequest { model: "churn".into(), ..Default::default() };
    let measured = client.get_model_performance(asked).await.unwrap().into_inner();
    let [performance] = &measured.performances[..] else { panic!("{measured:?}") };
    assert_eq!((performance.prediction_count, performance.outcome_count), (1, 1));
    assert_eq!(performance.base_rate, Some(1.0));
    let auc = &performance.metrics[0];
    assert_eq!((auc.name.as_str(), auc.value), ("auc", None));
    assert!(auc.missing_reason.contains("1 outcomes, at least 30"), "{auc:?}");
    let (_, page) = server.get("/metrics").await;
    assert!(page.contains("segue_outcome_corrections_total 2\n"), "{page}");
    let (id, _) = predict(&server, 41.0).await;
    let mut early = outcome(&id, true);
    early.event_time = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });
    record_matched(&mut client, early).await;
    let asked = pb::GetModelPerformanceRequest { model: "churn".into(), ..Default::default() };
    let measured = client.get_model_performance(asked).await.unwrap().into_inner();
    let found = &measured.performances[0];
    assert_eq!((found.prediction_count, found.outcome_count), (2, 1));
    assert_eq!((found.early_outcome_count, found.unusable_outcome_count), (1, 0));
    let _folder = stopped(server).await;
}

#[tokio::test]
async fn performance_is_that_of_the_scores_and_the_outcomes() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start_with(with_log(dir.path())).await;
    let mut client = client(&server);
    let (mut labels, mut scores, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..60 {
        let (id, score) = predict(&server, f64::from(row)).await;
        ids.push(id);
        scores.push(score);
        labels.push(f64::from(u8::from(row % 3 == 0)));
    }
    // Of the last ten nothing is known.
    let outcomes: Vec<pb::Outcome> =
        ids.iter().zip(&labels).take(50).map(|(id, label)| outcome(id, *label > 0.5)).collect();
    let stream = outcomes.clone().into_iter().map(|outcome| pb::StreamOutcomesRequest {
        outcome: Some(outcome),
        request_id: "night".to_owned(),
    });
    let bad = pb::StreamOutcomesRequest::default();
    let stream = tokio_stream::iter(stream.chain([bad]));
    let summary = client.stream_outcomes(stream).await.unwrap().into_inner();
    assert_eq!((summary.received_count, summary.recorded_count), (51, 50));
    assert_eq!((summary.refused_count, summary.errors[0].index), (1, 50));
    let batch = pb::BatchRecordOutcomesRequest { outcomes, request_id: "night".to_owned() };
    let batch = client.batch_record_outcomes(batch).await.unwrap().into_inner();
    assert_eq!(batch.results.len(), 50);
    for result in batch.results {
        let Some(pb::outcome_result::Result::Recorded(one)) = result.result else { panic!() };
        assert!(one.is_duplicate);
    }

    let check = |measured: pb::GetModelPerformanceResponse| {
        let [performance] = &measured.performances[..] else { panic!("{measured:?}") };
        assert_eq!((performance.version, performance.prediction_count), (1, 60));
        assert_eq!(performance.outcome_count, 50);
        let (labels, scores) = (&labels[..50], &scores[..50]);
        let expected = [
            ("auc", segue_model::metrics::auc(labels, scores, None)),
            ("log_loss", segue_model::metrics::log_loss(labels, scores, None)),
            ("brier", segue_model::metrics::brier(labels, scores, None)),
            (
                "calibration_error",
                segue_model::metrics::calibration_error(labels, scores, None, 10),
            ),
        ];
        let found = performance.metrics.iter().map(|one| (one.name.as_str(), one.value));
        for ((name, found), (expected_name, expected)) in found.zip(expected) {
            assert_eq!(name, expected_name);
            let (found, expected) = (found.unwrap(), expected.unwrap());
            assert!((found - expected).abs() < 1e-9, "{name}: {found} {expected}");
        }
    };
    let asked = pb::GetModelPerformanceRequest { model: "churn".into(), ..Default::default() };
    check(client.get_model_performance(asked.clone()).await.unwrap().into_inner());
    // None of them is an hour old.
    let ripe = |seconds| prost_types::Duration { seconds, nanos: 0 };
    let hour = pb::GetModelPerformanceRequest { ripe_after: Some(ripe(3600)), ..asked.clone() };
    let nothing = client.get_model_performance(hour).await.unwrap().into_inner();
    assert!(nothing.performances.is_empty(), "{nothing:?}");
    let at_once = pb::GetModelPerformanceRequest { ripe_after: Some(ripe(0)), ..asked.clone() };
    check(client.get_model_performance(at_once).await.unwrap().into_inner());
    let below = pb::GetModelPerformanceRequest { ripe_after: Some(ripe(-1)), ..asked.clone() };
    let status = client.get_model_performance(below).await.unwrap_err();
    assert_eq!((status.code(), &*reason(&status)), (Code::InvalidArgument, "FIELD_INVALID"));
    let canary =
        pb::GetModelPerformanceRequest { variant: pb::Variant::Canary.into(), ..asked.clone() };
    let canary = client.get_model_performance(canary).await.unwrap().into_inner();
    assert!(canary.performances.is_empty());

    // The same of the next server over the same folder, from whole files.
    let folder = stopped(server).await;
    let registry = segue_registry::Registry::open(folder.path().to_str().unwrap()).unwrap();
    let server = TestServer::over(folder, registry, with_log(dir.path())).await;
    let mut client = self::client(&server);
    check(client.get_model_performance(asked).await.unwrap().into_inner());
    let late = record(&mut client, outcome(&ids[55], true), "").await.unwrap();
    assert_eq!(late.status(), pb::OutcomeStatus::Matched, "found in the files of before");
    let _folder = stopped(server).await;

    let out = dir.path().join("joined.parquet");
    let request = JoinRequest {
        logs: vec![dir.path().to_owned()],
        model: "churn".to_owned(),
        version: None,
        since: None,
        until: None,
        ripe_after: std::time::Duration::ZERO,
        out: out.clone(),
    };
    let joined = join_predictions(&request).unwrap();
    assert_eq!((joined.n_predictions, joined.n_rows, joined.n_unusable), (60, 51, 0));
    check_table(&out, &ids, &labels);
}

fn check_table(out: &Path, ids: &[String], labels: &[f64]) {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;
    let reader = SerializedFileReader::try_from(out).unwrap();
    let mut n_rows = 0;
    for row in reader.get_row_iter(None).unwrap() {
        let row: std::collections::BTreeMap<String, Field> =
            row.unwrap().into_columns().into_iter().collect();
        let names: Vec<&str> = row.keys().map(String::as_str).collect();
        assert_eq!(names, ["age", "label", "plan", "prediction_id", "time", "visits", "weight"]);
        let Field::Str(id) = &row["prediction_id"] else { panic!("{row:?}") };
        let place = ids.iter().position(|known| known == id).unwrap();
        let happened = if place == 55 { 1 } else { labels[place] as i64 };
        assert_eq!(row["label"], Field::Long(happened));
        assert_eq!(row["age"], Field::Double(place as f64));
        assert_eq!(row["weight"], Field::Double(1.0));
        n_rows += 1;
    }
    assert_eq!(n_rows, 51);
}

#[tokio::test]
async fn outcomes_that_cannot_be_are_refused_with_their_reason() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start_with(with_log(dir.path())).await;
    let mut client = client(&server);
    let (id, _) = predict(&server, 40.0).await;
    let mut check = async |outcome: pb::Outcome, code, expected: &str, field: Option<&str>| {
        let status = record(&mut client, outcome, "").await.unwrap_err();
        assert_eq!((status.code(), &*reason(&status)), (code, expected), "{status:?}");
        let found =
            status.get_details_bad_request().map(|bad| bad.field_violations[0].field.clone());
        assert_eq!(found.as_deref(), field, "{status:?}");
    };
    let invalid = Code::InvalidArgument;
    for text in ["", "nonsense", &id.to_uppercase()] {
        let field = Some("outcome.prediction_id");
        check(outcome(text, true), invalid, "PREDICTION_ID_INVALID", field).await;
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let future = format!("{:011x}{}", now + 7_200_000, &id[11..]);
    let field = Some("outcome.prediction_id");
    check(outcome(&future, true), invalid, "PREDICTION_ID_INVALID", field).await;
    let no_label = pb::Outcome { label: None, ..outcome(&id, true) };
    check(no_label, invalid, "OUTCOME_LABEL_ABSENT", Some("outcome")).await;
    let nan = pb::outcome::Label::Value(f64::NAN);
    let nan = pb::Outcome { label: Some(nan), ..outcome(&id, true) };
    check(nan, invalid, "OUTCOME_INVALID", Some("outcome.value")).await;
    let weight = pb::Outcome { weight: Some(0.0), ..outcome(&id, true) };
    check(weight, invalid, "OUTCOME_INVALID", Some("outcome.weight")).await;
    let old = format!("{:011x}{}", now - 91 * 24 * 3_600_000, &id[11..]);
    check(outcome(&old, true), Code::FailedPrecondition, "OUTCOME_TOO_LATE", None).await;
    let asked = pb::GetModelPerformanceRequest { model: "No".into(), ..Default::default() };
    let status = client.get_model_performance(asked).await.unwrap_err();
    assert_eq!((status.code(), &*reason(&status)), (invalid, "MODEL_NAME_INVALID"));
    // Accepted: it may be of another server, or its prediction is yet to come.
    let unknown = format!("{}ffffffffff", &id[..24]);
    let unknown = record(&mut client, outcome(&unknown, true), "").await.unwrap();
    assert_eq!(unknown.status(), pb::OutcomeStatus::Unmatched);
    let _folder = stopped(server).await;
}

#[tokio::test]
async fn without_a_log_there_is_no_feedback_but_drift() {
    let server = TestServer::start().await;
    let mut client = client(&server);
    let (id, _) = predict(&server, 40.0).await;
    let status = record(&mut client, outcome(&id, true), "").await.unwrap_err();
    assert_eq!((status.code(), &*reason(&status)), (Code::FailedPrecondition, "FEEDBACK_OFF"));
    let asked = pb::GetDriftReportRequest { model: "churn".into(), version: None };
    let status = client.get_drift_report(asked).await.unwrap_err();
    assert_eq!((status.code(), &*reason(&status)), (Code::FailedPrecondition, "PROFILE_ABSENT"));
    let _folder = stopped(server).await;
}

#[tokio::test]
async fn drift_is_told_against_the_training_rows() {
    let folder = tempfile::tempdir().unwrap();
    let registry = segue_registry::Registry::open(folder.path().to_str().unwrap()).unwrap();
    let model = churn_model(0.0);
    let rows: Vec<Vec<f64>> = (0..100).map(|age| vec![f64::from(age), 1.0, 1.0]).collect();
    let scores: Vec<f64> = rows.iter().map(|row| offline(&model, row)).collect();
    let matrix = segue_dataset::Matrix::from_rows(3, &rows.concat());
    let profile = segue_model::Profile::of(model.schema(), &matrix, &["score".to_owned()], &scores);
    let mut draft = churn_draft(0.0);
    draft.files.insert("profile.json".to_owned(), profile.to_json().into_bytes());
    publish(&registry, &draft);
    promote(&registry, "churn", 1);
    let server = TestServer::over(folder, registry, quick()).await;
    let healthy = tonic_health::pb::health_check_response::ServingStatus::Serving;
    server.wait_for_health("model/churn", healthy).await;
    let digest = model.schema().digest().as_str();
    let rows = (0..600).map(|_| packed(&[95.0, 1.0, f64::NAN], digest)).collect();
    let batch =
        pb::ScoreBatchRequest { models: vec![selector("churn")], rows, ..Default::default() };
    server.scoring().score_batch(batch).await.unwrap();
    let mut client = client(&server);
    let report = loop {
        let asked = pb::GetDriftReportRequest { model: "churn".into(), version: Some(1) };
        let report = client.get_drift_report(asked).await.unwrap().into_inner();
        if report.row_count == 600 {
            break report;
        }
    };
    assert_eq!((report.training_row_count, report.min_row_count), (100, 500));
    let level = |drift: &pb::VariableDrift| (drift.name.clone(), drift.level());
    let features: Vec<_> = report.features.iter().map(level).collect();
    let (moved, stable) = (pb::DriftLevel::Moved, pb::DriftLevel::Stable);
    let expected = [("age", moved), ("plan", stable), ("visits", moved)];
    assert_eq!(features, expected.map(|(name, level)| (name.to_owned(), level)));
    assert_eq!((report.features[2].training_missing, report.features[2].missing), (0.0, 1.0));
    assert_eq!(report.outputs.len(), 1);
    let (_, page) = server.get("/metrics").await;
    assert!(page.contains("segue_drift_rows{model=\"churn\",version=\"1\"} 600\n"), "{page}");
    assert!(page.contains("segue_drift_psi{model=\"churn\",version=\"1\",feature=\"age\"}"));
    let _folder = stopped(server).await;
}
