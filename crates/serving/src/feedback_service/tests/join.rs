//! Logs of several servers as one table.

use std::path::{Path, PathBuf};

use parquet::file::reader::SerializedFileReader;
use parquet::record::Field;

use super::{Server, outcome};
use crate::prediction_log::tests::predicted;
use crate::prediction_log::{PredictionId, PredictionLogOptions};
use crate::scoring_service::now_us;
use crate::{JoinRequest, Joined, join_predictions};

fn server(dir: &Path) -> Server {
    Server::start(&PredictionLogOptions::new(dir))
}

fn request(logs: &[&Path], out: &Path) -> JoinRequest {
    let logs = logs.iter().map(|log| log.to_path_buf()).collect();
    let out = out.join("joined.parquet");
    JoinRequest { logs, model: "churn".to_owned(), version: None, out }
}

/// Ids and labels of the table.
fn labels(out: &PathBuf) -> Vec<(PredictionId, i64)> {
    let reader = SerializedFileReader::try_from(out.as_path()).unwrap();
    let mut labels = Vec::new();
    for row in reader {
        let columns: std::collections::HashMap<String, Field> =
            row.unwrap().into_columns().into_iter().collect();
        let (Field::Str(id), Field::Long(label)) = (&columns["prediction_id"], &columns["label"])
        else {
            panic!("{columns:?}")
        };
        labels.push((PredictionId::parse(id).unwrap(), *label));
    }
    labels
}

#[test]
fn of_outcomes_in_two_logs_the_later_counts_in_either_order() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [first, second] = [dirs[0].path(), dirs[1].path()];
    let server_of_first = server(first);
    let id = predicted(&server_of_first.recorder, now_us(), 0.5);
    server_of_first.record(vec![outcome(id, false, None, "")]).unwrap();
    server_of_first.stop();
    let server_of_second = server(second);
    server_of_second.record(vec![outcome(id, true, None, "")]).unwrap();
    server_of_second.stop();
    for logs in [[first, second], [second, first]] {
        let request = request(&logs, first);
        join_predictions(&request).unwrap();
        assert_eq!(labels(&request.out), [(id, 1)], "{logs:?}");
    }
}

#[test]
fn a_log_that_is_given_twice_is_joined_once() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let server = server(&log);
    let id = predicted(&server.recorder, now_us(), 0.5);
    server.record(vec![outcome(id, true, None, "")]).unwrap();
    server.stop();
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&log, &link).unwrap();
    let request = request(&[&log, &log.join("../log"), &link], dir.path());
    let joined = join_predictions(&request).unwrap();
    assert_eq!(joined, Joined { n_predictions: 1, n_rows: 1, ..Joined::default() });
    assert_eq!(labels(&request.out), [(id, 1)]);
}
