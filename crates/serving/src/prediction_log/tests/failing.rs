//! Disks that are full and writers that are slow.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{file_name, predicted, read_back, version};
use crate::prediction_log::columns::ColumnValues;
use crate::prediction_log::folder::{FileName, Folder};
use crate::prediction_log::id::{HOUR_US, ServerId};
use crate::prediction_log::record::Row;
use crate::prediction_log::{LogMetrics, PredictionLogOptions, Recorder};
use crate::scoring_service::now_us;

const HOUR: Duration = Duration::from_secs(3600);

fn send(recorder: &Recorder, score: f64) {
    predicted(recorder, now_us(), score);
}

/// All scores of all files.
fn scores(recorder: &Recorder) -> Vec<f64> {
    let mut scores = Vec::new();
    for file in recorder.log().unwrap().folder.files().unwrap() {
        let (_, columns) = read_back(&file.path);
        let found = columns.into_iter().find(|column| column.name == "score").unwrap();
        let ColumnValues::Number(found) = found.values else { panic!("scores are numbers") };
        scores.extend(found);
    }
    scores.sort_by(f64::total_cmp);
    scores
}

#[test]
fn a_full_disk_is_counted_and_gone_on_with_when_it_has_room() {
    let dir = tempfile::tempdir().unwrap();
    let is_full = Arc::new(AtomicBool::new(false));
    let mut options = PredictionLogOptions::new(dir.path());
    let hook = Arc::clone(&is_full);
    options.before_write = Some(Arc::new(move |_| match hook.load(Ordering::SeqCst) {
        true => Err(io::ErrorKind::StorageFull.into()),
        false => Ok(()),
    }));
    let metrics = LogMetrics::default();
    let recorder = Recorder::start(Some(&options), HOUR, metrics.clone()).unwrap();
    send(&recorder, 1.0);
    recorder.flush(false);
    is_full.store(true, Ordering::SeqCst);
    for _ in 0..5 {
        send(&recorder, 2.0);
    }
    // Sealing fails as well; what is in the journal stays there.
    recorder.flush(true);
    assert_eq!((metrics.rows.get(), metrics.dropped("write_error").get()), (1, 5));
    assert!(metrics.write_errors.get() >= 1);
    assert!(scores(&recorder).is_empty());
    is_full.store(false, Ordering::SeqCst);
    // The writer rests for a moment after a failure.
    while metrics.rows.get() < 2 {
        send(&recorder, 3.0);
        recorder.flush(false);
    }
    let n_dropped = metrics.dropped("write_error").get();
    assert!(n_dropped >= 5);
    recorder.finish();
    assert_eq!(scores(&recorder), [1.0, 3.0]);
    assert_eq!(metrics.dropped("queue_full").get(), 0);
}

#[test]
fn a_full_queue_drops_and_counts_and_nobody_waits() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = PredictionLogOptions::new(dir.path());
    options.max_queue_bytes = 64 << 10;
    // The writer stands still at its first write until it is let go.
    let (go, may_go) = channel::<()>();
    let may_go = Mutex::new(may_go);
    options.before_write = Some(Arc::new(move |_| {
        let _ = may_go.lock().unwrap().recv();
        Ok(())
    }));
    let metrics = LogMetrics::default();
    let recorder = Recorder::start(Some(&options), HOUR, metrics.clone()).unwrap();
    let n_sent = 10_000;
    for _ in 0..n_sent {
        send(&recorder, 1.0);
    }
    let n_dropped = metrics.dropped("queue_full").get();
    assert!(n_dropped > n_sent / 2, "{n_dropped}");
    // A row that is for drift only is no loss of the log.
    recorder.send(&version(), Row::of(recorder.ids.next(now_us())), false);
    assert_eq!(metrics.dropped("queue_full").get(), n_dropped);
    assert_eq!(metrics.drift_dropped("queue_full").get(), 1);
    // From now on every write is let through.
    drop(go);
    recorder.finish();
    assert_eq!(metrics.rows.get() + n_dropped, n_sent);
    assert_eq!(scores(&recorder).len() as u64, metrics.rows.get());
    assert_eq!(recorder.queue.n_bytes.load(Ordering::SeqCst), 0);
}

#[test]
fn a_file_is_no_longer_than_it_may_be() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = PredictionLogOptions::new(dir.path());
    options.max_file_rows = 10;
    let metrics = LogMetrics::default();
    let recorder = Recorder::start(Some(&options), HOUR, metrics.clone()).unwrap();
    for row in 0..35 {
        send(&recorder, f64::from(row));
        if row % 10 == 9 {
            recorder.flush(false);
        }
    }
    recorder.finish();
    assert_eq!(scores(&recorder), (0..35).map(f64::from).collect::<Vec<_>>());
    // One more where the hour changed meanwhile.
    assert!(recorder.log().unwrap().folder.files().unwrap().len() >= 4);
}

/// Of a file that cannot be removed: a folder of its name.
#[test]
fn what_cannot_be_removed_holds_up_no_bound() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = PredictionLogOptions::new(dir.path());
    options.max_bytes = 1 << 20;
    let metrics = LogMetrics::default();
    let recorder = Recorder::start(Some(&options), HOUR, metrics.clone()).unwrap();
    let folder = &recorder.log().unwrap().folder;
    let now_hour = now_us() / HOUR_US;
    let place = |hours_ago: i64| {
        let path = folder.file(&FileName { hour: now_hour - hours_ago, ..file_name() });
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    let stays = place(9);
    std::fs::create_dir(&stays).unwrap();
    let files = [5, 4, 3, 2].map(place);
    files.iter().for_each(|path| std::fs::write(path, vec![0; 400 << 10]).unwrap());
    recorder.flush(true);
    assert!(stays.is_dir());
    assert_eq!(files.map(|path| path.exists()), [false, false, true, true]);
    assert_eq!(metrics.removed("bytes").get(), 2);
    // Something else takes what the log may have: rows are dropped before the disk is full.
    std::fs::write(dir.path().join(".open/foreign"), vec![0; 3 << 20]).unwrap();
    recorder.flush(true);
    assert!(metrics.bytes.get() >= 3 << 20, "{}", metrics.bytes.get());
    send(&recorder, 1.0);
    recorder.flush(true);
    assert_eq!((metrics.dropped("over_budget").get(), metrics.rows.get()), (1, 0));
    recorder.finish();
}

/// Between making a journal and locking it, the sealer of a server that starts over the same folder may
/// find it: empty, and nobody's. It was removed, and what was written to it was lost and counted as written.
#[test]
fn a_journal_that_a_sealer_takes_away_is_noticed() {
    for is_still_there in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let open = dir.path().join(".open");
        let held = Arc::new(Mutex::new(Vec::new()));
        let locks = Arc::clone(&held);
        let is_first = AtomicBool::new(true);
        let mut options = PredictionLogOptions::new(dir.path());
        options.before_write = Some(Arc::new(move |what| {
            if what == "lock a journal" && is_first.swap(false, Ordering::SeqCst) {
                let made = std::fs::read_dir(&open).unwrap().next().unwrap().unwrap().path();
                let file = std::fs::File::open(&made).unwrap();
                file.try_lock().unwrap();
                if is_still_there {
                    // As long as it takes.
                    locks.lock().unwrap().push(file);
                } else {
                    std::fs::remove_file(&made).unwrap();
                }
            }
            Ok(())
        }));
        let metrics = LogMetrics::default();
        let recorder = Recorder::start(Some(&options), HOUR, metrics.clone()).unwrap();
        // Its own sealer has looked around.
        recorder.flush(true);
        send(&recorder, 1.0);
        recorder.finish();
        assert_eq!((metrics.rows.get(), metrics.write_errors.get()), (1, 0));
        assert_eq!(scores(&recorder), [1.0], "{is_still_there}");
    }
}

#[test]
fn what_is_left_of_a_journal_is_not_in_the_way_of_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let is_failing = Arc::new(AtomicBool::new(true));
    let hook = Arc::clone(&is_failing);
    let open = dir.path().join(".open");
    let server = Arc::new(Mutex::new(None));
    let name = Arc::clone(&server);
    let mut options = PredictionLogOptions::new(dir.path());
    options.before_write = Some(Arc::new(move |what| {
        if what == "open a journal" && hook.swap(false, Ordering::SeqCst) {
            // Made, and then neither locked nor taken away.
            let server: ServerId = name.lock().unwrap().unwrap();
            let name = FileName { hour: now_us() / HOUR_US, server, ..file_name() };
            let path = Folder::existing(open.parent().unwrap()).journal(&name);
            std::fs::write(path, "").unwrap();
        }
        Ok(())
    }));
    let metrics = LogMetrics::default();
    let recorder = Recorder::start(Some(&options), HOUR, metrics.clone()).unwrap();
    *server.lock().unwrap() = Some(recorder.ids.server());
    send(&recorder, 1.0);
    recorder.flush(false);
    assert_eq!(metrics.write_errors.get(), 1);
    while metrics.rows.get() == 0 {
        send(&recorder, 2.0);
        recorder.flush(false);
    }
    assert_eq!(metrics.write_errors.get(), 1);
    recorder.finish();
}
