//! Which predictions are in the log, asked in numbers.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::predicted;
use crate::prediction_log::id::{HOUR_US, PredictionIds};
use crate::prediction_log::index::LoggedIds;
use crate::prediction_log::{LogMetrics, PredictionId, PredictionLogOptions, Recorder};
use crate::scoring_service::now_us;

const N_HOURS: i64 = 3;

/// Files of a process that has ended: of some hours, every other prediction. All ids.
fn logged(options: &PredictionLogOptions) -> Vec<PredictionId> {
    let hour = Duration::from_secs(3600);
    let recorder = Recorder::start(Some(options), hour, LogMetrics::default()).unwrap();
    let mut ids = Vec::new();
    for row in 0..300 {
        let time_us = now_us() - (row % N_HOURS) * HOUR_US;
        ids.push(match row % 2 {
            0 => predicted(&recorder, time_us, 0.5),
            _ => recorder.ids.next(time_us),
        });
    }
    recorder.finish();
    ids
}

#[test]
fn many_are_found_in_one_look_and_what_is_missing_is_not_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let options = PredictionLogOptions::new(dir.path());
    let mut ids = [logged(&options), logged(&options)].concat();
    let n_logged = ids.len();
    // Of a server that nobody knows.
    let strangers = PredictionIds::new(1);
    ids.extend((0..100).map(|_| strangers.next(now_us())));
    let folder = crate::prediction_log::Folder::existing(dir.path());
    let hours: BTreeSet<_> = ids[..n_logged].iter().map(|id| (id.hour(), id.server())).collect();
    let index = LoggedIds::new(folder.clone(), PredictionIds::new(2).server());
    let expected = (0..ids.len()).map(|place| place < n_logged && place % 2 == 0);
    let expected: Vec<bool> = expected.collect();
    let looks = || [&index.n_looks.0, &index.n_looks.1].map(|one| one.load(Ordering::Relaxed));
    assert_eq!(index.have(&ids), expected);
    let n_files = folder.files().unwrap().len() as u64;
    assert!(n_files >= hours.len() as u64);
    assert_eq!(looks(), [1, n_files]);
    assert_eq!(index.have(&ids), expected);
    assert_eq!(looks(), [2, n_files]);
    let there: Vec<PredictionId> = ids[..n_logged].iter().copied().step_by(2).collect();
    assert!(index.have(&there).into_iter().all(|is_there| is_there));
    assert_eq!(looks(), [2, n_files]);
}

#[test]
fn a_file_that_could_not_be_read_is_read_when_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let ids = logged(&PredictionLogOptions::new(dir.path()));
    let folder = crate::prediction_log::Folder::existing(dir.path());
    let index = LoggedIds::new(folder.clone(), PredictionIds::new(2).server());
    let files = folder.files().unwrap();
    let whole: Vec<Vec<u8>> = files.iter().map(|one| std::fs::read(&one.path).unwrap()).collect();
    files.iter().for_each(|one| std::fs::write(&one.path, "nothing").unwrap());
    assert!(!index.have(&ids).contains(&true));
    files.iter().zip(whole).for_each(|(one, bytes)| std::fs::write(&one.path, bytes).unwrap());
    let found = index.have(&ids);
    assert_eq!(found.iter().filter(|is_there| **is_there).count(), ids.len() / 2);
}
