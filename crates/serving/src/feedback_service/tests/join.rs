//! Logs of several servers as one table.

use std::path::Path;
use std::time::{Duration, SystemTime};

use parquet::file::reader::SerializedFileReader;
use parquet::record::Field;

use super::{Server, outcome};
use crate::prediction_log::tests::predicted;
use crate::prediction_log::{HOUR_US, PredictionId, PredictionLogOptions};
use crate::scoring_service::now_us;
use crate::{JoinRequest, Joined, join_predictions};

fn server(dir: &Path) -> Server {
    Server::start(&PredictionLogOptions::new(dir))
}

fn request(logs: &[&Path], out: &Path) -> JoinRequest {
    let logs = logs.iter().map(|log| log.to_path_buf()).collect();
    let out = out.join("joined.parquet");
    let model = "churn".to_owned();
    let (since, until, ripe_after) = (None, None, Duration::ZERO);
    JoinRequest { logs, model, version: None, since, until, ripe_after, out }
}

/// Ids and labels of the table.
fn labels(out: &Path) -> Vec<(PredictionId, i64)> {
    let reader = SerializedFileReader::try_from(out).unwrap();
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

#[test]
fn predictions_of_some_time_that_are_ripe_are_joined() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path());
    let now_us = now_us();
    let ids = [1_i64, 3, 5, 7].map(|age| predicted(&server.recorder, now_us - age * HOUR_US, 0.5));
    server.record(ids.iter().map(|id| outcome(*id, true, None, "")).collect()).unwrap();
    server.stop();
    let ago = |hours: u64| SystemTime::now() - Duration::from_secs(hours * 3600);
    let joined = |since: Option<u64>, until: Option<u64>, ripe: u64| {
        let (since, until) = (since.map(ago), until.map(ago));
        let ripe_after = Duration::from_secs(ripe * 3600);
        let request =
            JoinRequest { since, until, ripe_after, ..request(&[dir.path()], dir.path()) };
        let joined = join_predictions(&request).unwrap();
        let mut found: Vec<PredictionId> =
            labels(&request.out).into_iter().map(|(id, _)| id).collect();
        found.sort_unstable();
        found.reverse();
        assert_eq!((joined.n_predictions, joined.n_rows), (found.len() as u64, found.len() as u64));
        (found, joined.n_unripe)
    };
    assert_eq!(joined(None, None, 0), (ids.to_vec(), 0));
    assert_eq!(joined(Some(6), None, 0), (ids[..3].to_vec(), 0));
    assert_eq!(joined(Some(6), Some(2), 0), (ids[1..3].to_vec(), 0));
    assert_eq!(joined(None, None, 4), (ids[2..].to_vec(), 2));
    assert_eq!(joined(Some(6), Some(2), 4), (ids[2..3].to_vec(), 1));
}

#[test]
fn an_outcome_of_before_its_prediction_is_not_joined() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path());
    let now_us = now_us();
    let ids = [1, 2, 3].map(|_| predicted(&server.recorder, now_us, 0.5));
    let at = |id, hours: i64| outcome(id, true, Some(now_us + hours * HOUR_US / 2), "");
    // Half an hour before is a clock that is behind.
    server.record(vec![at(ids[0], -4), at(ids[1], -1), at(ids[2], 1)]).unwrap();
    server.stop();
    let request = request(&[dir.path()], dir.path());
    let joined = join_predictions(&request).unwrap();
    let expected = Joined { n_predictions: 3, n_rows: 2, n_early: 1, ..Joined::default() };
    assert_eq!(joined, expected);
    assert_eq!(labels(&request.out), [(ids[1], 1), (ids[2], 1)]);
}
