//! Every prediction has a name, and the log has it under that name.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use segue_api::v1 as pb;
use segue_serving::{PredictionLogOptions, ServeOptions, SubjectLogging};
use serde_json::json;
use tokio_stream::StreamExt;
use tonic_types::StatusExt;

use crate::harness::*;
use crate::tensors::{asking_for, good_tensors, raw};

pub(crate) type LoggedRow = BTreeMap<String, Field>;

/// Every row of every whole file.
pub(crate) fn logged(dir: &Path) -> Vec<LoggedRow> {
    let mut rows = Vec::new();
    let mut folders = vec![dir.join("predictions")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let reader = SerializedFileReader::try_from(path.as_path()).unwrap();
            for row in reader.get_row_iter(None).unwrap() {
                rows.push(row.unwrap().into_columns().into_iter().collect());
            }
        }
    }
    rows
}

fn text(row: &LoggedRow, column: &str) -> Option<String> {
    match &row[column] {
        Field::Str(text) => Some(text.clone()),
        Field::Null => None,
        other => panic!("{column}: {other:?}"),
    }
}

pub(crate) fn with_log(dir: &Path) -> ServeOptions {
    ServeOptions { prediction_log: Some(PredictionLogOptions::new(dir)), ..quick() }
}

/// Stops the server and waits for its end.
pub(crate) async fn stopped(server: TestServer) -> tempfile::TempDir {
    drop(server.channel);
    server.stop.send(()).unwrap();
    tokio::time::timeout(PATIENCE, server.task).await.unwrap().unwrap().unwrap();
    server.folder
}

#[tokio::test]
async fn predictions_of_every_protocol_have_a_name_and_are_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start_with(with_log(dir.path())).await;
    let mut ids = Vec::new();

    let mut asked = request(&["churn", "visits"], good_row());
    asked.row = Some(named([
        ("age", number(40.0)),
        ("plan", category("gold")),
        ("visits", number(1.0)),
        ("visits_7d", number(3.0)),
        ("spent", value(pb::feature_value::Kind::Missing(pb::Missing {}))),
    ]));
    asked.request_id = "first".to_owned();
    let first = server.score(asked).await.unwrap().result.unwrap();
    ids.extend(first.predictions.iter().map(|one| one.prediction_id.clone()));

    let batch = pb::ScoreBatchRequest {
        models: vec![selector("churn")],
        rows: vec![good_row(); 100],
        ..Default::default()
    };
    let batch = server.scoring().score_batch(batch).await.unwrap().into_inner();
    for result in batch.results {
        let Some(pb::row_result::Result::Row(row)) = result.result else { panic!() };
        ids.extend(row.predictions.into_iter().map(|one| one.prediction_id));
    }

    let one =
        pb::ScoreStreamRequest { sequence: 1, request: Some(request(&["churn"], good_row())) };
    let mut stream =
        server.scoring().score_stream(tokio_stream::iter([one])).await.unwrap().into_inner();
    while let Some(answer) = stream.next().await {
        let Some(pb::score_stream_response::Result::Response(answer)) = answer.unwrap().result
        else {
            panic!()
        };
        ids.push(answer.result.unwrap().predictions[0].prediction_id.clone());
    }

    let infer = asking_for(raw(&good_tensors()), &["output__0", "prediction_id"]);
    let infer = server.infer(infer).await.unwrap();
    assert_eq!(infer.outputs[1].datatype, "BYTES");
    let bytes = &infer.raw_output_contents[1];
    for name in bytes.chunks(4 + 34) {
        assert_eq!(name[..4], 34_u32.to_le_bytes());
        ids.push(String::from_utf8(name[4..].to_vec()).unwrap());
    }

    let body = json!({
        "models": [{"model": "churn"}],
        "row": {"named": {"values": {
            "age": {"number": 30.0}, "plan": {"category": "pro"}, "visits": {"number": 1.0},
        }}},
    });
    let answer = server.http("POST", "/v1/score", "", body.to_string().as_bytes()).await.json();
    let id = answer["result"]["predictions"][0]["predictionId"].as_str();
    ids.push(id.unwrap_or_else(|| panic!("{answer}")).to_owned());

    let mut unlogged = request(&["churn"], good_row());
    unlogged.options = Some(pb::ScoreOptions { suppress_log: true, ..Default::default() });
    let unlogged = server.score(unlogged).await.unwrap().result.unwrap();
    let unlogged = unlogged.predictions[0].prediction_id.clone();

    let _folder = stopped(server).await;
    let distinct: HashSet<&String> = ids.iter().chain([&unlogged]).collect();
    assert_eq!(distinct.len(), ids.len() + 1);
    let rows = logged(dir.path());
    let names: HashSet<String> =
        rows.iter().map(|row| text(row, "prediction_id").unwrap()).collect();
    assert_eq!(names, ids.iter().cloned().collect::<HashSet<_>>());

    let row = |id: &String| rows.iter().find(|row| text(row, "prediction_id").as_ref() == Some(id));
    let churn = row(&ids[0]).unwrap();
    let prediction = &first.predictions[0];
    assert_eq!(churn["score"], Field::Double(prediction.score));
    assert_eq!((&churn["age"], &churn["visits"]), (&Field::Double(40.0), &Field::Double(1.0)));
    // What the vocabulary does not hold, in its own words: a later training may learn it.
    assert_eq!(text(churn, "plan").as_deref(), Some("gold"));
    assert_eq!(text(churn, "model").as_deref(), Some("churn"));
    assert_eq!(churn["version"], Field::Long(1));
    assert_eq!(text(churn, "variant").as_deref(), Some("champion"));
    assert_eq!(text(churn, "request_id").as_deref(), Some("first"));
    assert!(matches!(churn["time"], Field::TimestampMicros(_)));
    assert!(!churn.contains_key("subject_id"));
    let visits = row(&ids[1]).unwrap();
    assert_eq!((&visits["visits_7d"], &visits["spent"]), (&Field::Double(3.0), &Field::Null));
    assert_eq!(text(visits, "segment").unwrap_or_default(), first.predictions[1].segment);
}

#[tokio::test]
async fn the_share_that_is_logged_can_be_set_while_serving() {
    use segue_api::v1::admin_service_client::AdminServiceClient;
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start_with(with_log(dir.path())).await;
    let mut admin = AdminServiceClient::new(server.channel.clone());
    let mut set = async |basis_points, model: &str| {
        let model = model.to_owned();
        let request = pb::SetLogSamplingRequest { basis_points, model, ..Default::default() };
        admin.set_log_sampling(request).await.map(tonic::Response::into_inner)
    };
    let told = set(0, "").await.unwrap();
    assert_eq!((told.basis_points, told.basis_points_by_model.len()), (0, 0));
    let told = set(10_000, "visits").await.unwrap();
    assert_eq!((told.basis_points, told.basis_points_by_model["visits"]), (0, 10_000));
    assert_eq!(set(10_001, "").await.unwrap_err().code(), tonic::Code::InvalidArgument);
    assert_eq!(set(1, "nobody").await.unwrap_err().code(), tonic::Code::NotFound);
    let mut asked = request(&["churn", "visits"], good_row());
    asked.options = Some(pb::ScoreOptions { allow_missing: true, ..Default::default() });
    let answer = server.score(asked).await.unwrap().result.unwrap();
    let _folder = stopped(server).await;
    let rows = logged(dir.path());
    assert_eq!(rows.len(), 1);
    let logged = text(&rows[0], "prediction_id");
    assert_eq!(logged.as_ref(), Some(&answer.predictions[1].prediction_id));
}

/// A caller that got no answer asks again, and does not undo what others have set meanwhile.
#[tokio::test]
async fn a_share_that_is_set_again_under_its_id_is_not_set_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start_with(with_log(dir.path())).await;
    let mut admin = server.admin();
    let mut set = async |basis_points, model: &str, request_id: &str| {
        let (model, request_id) = (model.to_owned(), request_id.to_owned());
        let request = pb::SetLogSamplingRequest { basis_points, model, request_id };
        admin.set_log_sampling(request).await.map(tonic::Response::into_inner)
    };
    let first = set(5_000, "visits", "s-1").await.unwrap();
    assert_eq!(first.basis_points_by_model["visits"], 5_000);
    let others = set(2_500, "visits", "").await.unwrap();
    assert_eq!(set(5_000, "visits", "s-1").await.unwrap(), first, "the first answer");
    for (basis_points, model) in [(5_001, "visits"), (5_000, "churn"), (5_000, "")] {
        let status = set(basis_points, model, "s-1").await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status:?}");
        let details = status.get_error_details();
        let violations = &details.bad_request().unwrap().field_violations;
        let found = (violations[0].field.as_str(), violations[0].reason.as_str());
        assert_eq!(found, ("request_id", "REQUEST_ID_REUSED"));
    }
    // What was refused has not used its id up.
    assert_eq!(set(1, "nobody", "s-2").await.unwrap_err().code(), tonic::Code::NotFound);
    let second = set(10_000, "churn", "s-2").await.unwrap();
    let expected = [("churn".to_owned(), 10_000), ("visits".to_owned(), 2_500)];
    assert_eq!(second.basis_points_by_model, expected.into());
    assert_eq!(others.basis_points_by_model["visits"], 2_500);
    let long = set(1, "", &"r".repeat(10_000)).await.unwrap_err();
    assert_eq!(long.code(), tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn subjects_are_in_the_log_only_if_the_operator_says_so() {
    for (subjects, is_there) in [(SubjectLogging::Plain, true), (SubjectLogging::Hashed, true)] {
        let dir = tempfile::tempdir().unwrap();
        let mut options = with_log(dir.path());
        options.prediction_log.as_mut().unwrap().subjects = subjects;
        let server = TestServer::start_with(options).await;
        let mut row = good_row();
        row.subject_id = "ada".to_owned();
        server.score(request(&["churn"], row)).await.unwrap();
        server.score(request(&["churn"], good_row())).await.unwrap();
        let _folder = stopped(server).await;
        let names: Vec<_> = logged(dir.path()).iter().map(|row| text(row, "subject_id")).collect();
        let [Some(name), None] = &names[..] else { panic!("{names:?}") };
        assert_eq!(is_there && subjects == SubjectLogging::Plain, name == "ada");
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_written_costs_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = with_log(dir.path());
    let log = options.prediction_log.as_mut().unwrap();
    log.before_write = Some(std::sync::Arc::new(|_| Err(std::io::ErrorKind::StorageFull.into())));
    let server = TestServer::start_with(options).await;
    for _ in 0..20 {
        server.score(request(&["churn"], good_row())).await.unwrap();
    }
    let dropped = "segue_log_dropped_total{reason=\"write_error\"}";
    let (_, page) = loop {
        let answer = server.get("/metrics").await;
        if answer.1.contains(&format!("{dropped} 20\n")) {
            break answer;
        }
    };
    assert!(!page.contains("segue_log_write_errors_total 0\n"), "{page}");
    let _folder = stopped(server).await;
    assert!(logged(dir.path()).is_empty());
}
