//! A process that is killed leaves every row that was written.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::{read_back, version};
use crate::prediction_log::record::Row;
use crate::prediction_log::{Folder, HOUR_US, LogMetrics, PredictionLogOptions, Recorder};
use crate::scoring_service::now_us;

const CHILD: &str = "SEGUE_TEST_LOG_CHILD";
const HOUR: Duration = Duration::from_secs(3600);
const NAME: &str = "prediction_log::tests::crash::a_killed_server_loses_nothing_that_was_written";

/// Logs without end, and says how many rows are written.
fn log_for_ever(dir: &str) {
    let metrics = LogMetrics::default();
    let mut options = PredictionLogOptions::new(dir);
    options.max_file_rows = 300;
    let recorder = Recorder::start(Some(&options), HOUR, metrics.clone()).unwrap();
    loop {
        for _ in 0..100 {
            let mut row = Row::of(recorder.ids.next(now_us()));
            row.time_us = now_us();
            row.scores = vec![0.5];
            row.values = vec![1.0, 0.0, 2.0];
            recorder.send(&version(), row, true);
        }
        recorder.flush(false);
        // The test reads this from the process.
        let line = format!("\nwritten {}\n", metrics.rows.get());
        std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes()).unwrap();
    }
}

#[test]
fn a_killed_server_loses_nothing_that_was_written() {
    if let Ok(dir) = std::env::var(CHILD) {
        log_for_ever(&dir);
    }
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(CHILD, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut written = || {
        let line = lines.find_map(|line| line.unwrap().strip_prefix("written ").map(str::to_owned));
        line.unwrap().parse::<u64>().unwrap()
    };
    let mut n_written = 0;
    while n_written < 2000 {
        n_written = written();
    }
    child.kill().unwrap();
    child.wait().unwrap();

    // Nothing half-written has a real name.
    let folder = Folder::existing(dir.path());
    for file in folder.files().unwrap() {
        read_back(&file.path);
    }
    // The next start finds the journals.
    let options = PredictionLogOptions::new(dir.path());
    let recorder = Recorder::start(Some(&options), HOUR, LogMetrics::default()).unwrap();
    recorder.finish();
    let files = folder.files().unwrap();
    let n_rows = |path| super::TableReader::open(path).unwrap().n_rows();
    let n_found: u64 = files.iter().map(|file| n_rows(&file.path)).sum();
    assert!(n_found >= n_written, "{n_found} rows found, {n_written} written");
    assert!(folder.journals().unwrap().is_empty());
    drop(Arc::clone(&recorder));
}

#[test]
fn a_seal_that_stops_at_any_step_is_done_again_to_the_same_end() {
    for stop_at in ["seal", "write a file", "name", "remove the journal"] {
        let dir = tempfile::tempdir().unwrap();
        let mut options = PredictionLogOptions::new(dir.path());
        options.before_write = Some(Arc::new(move |step| {
            if step == stop_at { Err(std::io::ErrorKind::Other.into()) } else { Ok(()) }
        }));
        let metrics = LogMetrics::default();
        let recorder = Recorder::start(Some(&options), HOUR, metrics.clone()).unwrap();
        for n in 0..10 {
            let mut row = Row::of(recorder.ids.next(now_us()));
            // Of two hours, so of two files.
            row.time_us = now_us() - (n % 2) * HOUR_US;
            row.scores = vec![0.5];
            row.values = vec![1.0, 0.0, 2.0];
            recorder.send(&version(), row, true);
        }
        recorder.finish();
        assert_eq!(metrics.rows.get(), 10);
        let folder = Folder::existing(dir.path());
        assert!(!folder.journals().unwrap().is_empty(), "{stop_at}");
        options.before_write = None;
        // A process that another test starts holds the lock of every file that was open here until it
        // has become another program; the start after that finds the journal free.
        while !folder.journals().unwrap().is_empty() {
            Recorder::start(Some(&options), HOUR, metrics.clone()).unwrap().finish();
        }
        let n_rows = |path| super::TableReader::open(path).unwrap().n_rows();
        let n_found: u64 = folder.files().unwrap().iter().map(|file| n_rows(&file.path)).sum();
        assert_eq!(n_found, 10, "{stop_at}");
    }
}
