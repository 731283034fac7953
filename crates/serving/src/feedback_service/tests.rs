//! The store against a naive map, through restarts and failures.

mod join;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use tonic_types::StatusExt;

use super::files::{Wanted, file_name, read_outcomes};
use super::outcome::{Label, NewOutcome};
use super::store::{OutcomeStore, Recorded, Recording};
use crate::metrics::LogMetrics;
use crate::prediction_log::{PredictionId, PredictionLogOptions, Recorder};
use crate::scoring_service::now_us;
use crate::{ServingError, prediction_log::HOUR_US};

const HOUR: Duration = Duration::from_secs(3600);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// An id of a prediction that nobody made, so long ago.
fn id(age_us: i64, number: u64) -> PredictionId {
    let first = PredictionId::first_at(now_us() - age_us);
    PredictionId::from_bits(first.bits() | u128::from(number))
}

fn outcome(id: PredictionId, label: bool, event_us: Option<i64>, request: &str) -> NewOutcome {
    let label = Label::Binary(label);
    NewOutcome { id, label, event_us, weight: 1.0, request_id: request.to_owned() }
}

struct Server {
    recorder: Arc<Recorder>,
    store: OutcomeStore,
    metrics: LogMetrics,
}

impl Server {
    fn start(options: &PredictionLogOptions) -> Self {
        let metrics = LogMetrics::default();
        let recorder = Recorder::start(Some(options), HOUR, metrics.clone()).unwrap();
        let store = OutcomeStore::start(recorder.log().unwrap(), metrics.clone()).unwrap();
        Self { recorder, store, metrics }
    }

    fn record(&self, outcomes: Vec<NewOutcome>) -> Result<Vec<Recording>, ServingError> {
        runtime().block_on(self.store.record(outcomes))
    }

    /// By id, the label that counts.
    fn labels(&self) -> HashMap<PredictionId, (bool, i64)> {
        let all = self.store.known().between(0, i64::MAX / 2);
        let label = |label: &Label| matches!(label, Label::Binary(true));
        all.into_iter().map(|(id, held)| (id, (label(&held.label), held.event_us))).collect()
    }

    fn stop(self) {
        self.store.finish();
        self.recorder.finish();
    }
}

#[derive(Debug, Clone)]
struct Given {
    prediction: u64,
    label: bool,
    event_us: i64,
    request: Option<u8>,
}

fn given() -> impl Strategy<Value = Given> {
    (0_u64..4, any::<bool>(), 0_i64..4, prop::option::of(0_u8..3)).prop_map(
        |(prediction, label, event_us, request)| Given { prediction, label, event_us, request },
    )
}

/// As docs/feedback.md says it, word for word.
#[derive(Default)]
struct Naive {
    labels: HashMap<u64, (bool, i64)>,
    requests: HashMap<(u64, u8), (bool, i64)>,
}

impl Naive {
    /// Duplicate, correction; `None`: the request id is taken.
    fn record(&mut self, given: &Given) -> Option<(bool, bool)> {
        let said = (given.label, given.event_us);
        let request = given.request.map(|request| (given.prediction, request));
        if let Some(before) = request.and_then(|request| self.requests.get(&request)) {
            return (*before == said).then_some((true, false));
        }
        if let Some(request) = request {
            self.requests.insert(request, said);
        }
        let known = self.labels.get(&given.prediction).copied();
        if known == Some(said) {
            return Some((true, false));
        }
        if known.is_none_or(|(_, event_us)| given.event_us >= event_us) {
            self.labels.insert(given.prediction, said);
        }
        Some((false, known.is_some_and(|(label, _)| label != given.label)))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn the_store_says_what_a_naive_map_says_also_after_a_restart(
        batches in prop::collection::vec(prop::collection::vec(given(), 1..8), 1..6),
        restart_before in 0_usize..6,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let options = PredictionLogOptions::new(dir.path());
        let mut server = Server::start(&options);
        let mut naive = Naive::default();
        let ids: Vec<PredictionId> = (0..4).map(|number| id(2 * HOUR_US, number)).collect();
        for (place, batch) in batches.iter().enumerate() {
            if place == restart_before {
                server.stop();
                server = Server::start(&options);
            }
            let outcomes = batch.iter().map(|given| {
                let request = given.request.map_or(String::new(), |request| request.to_string());
                let id = ids[given.prediction as usize];
                outcome(id, given.label, Some(given.event_us), &request)
            });
            let found = server.record(outcomes.collect()).unwrap();
            for (given, found) in batch.iter().zip(found) {
                match naive.record(given) {
                    Some((is_duplicate, is_correction)) => {
                        let expected = Recorded { is_matched: false, is_duplicate, is_correction };
                        prop_assert_eq!(found.unwrap(), expected);
                    }
                    None => prop_assert!(matches!(found, Err(ServingError::Invalid(_)))),
                }
            }
        }
        let expected: HashMap<_, _> =
            naive.labels.iter().map(|(number, said)| (ids[*number as usize], *said)).collect();
        prop_assert_eq!(server.labels(), expected.clone());
        server.stop();
        let server = Server::start(&options);
        prop_assert_eq!(server.labels(), expected);
        prop_assert_eq!(server.metrics.outcome_lines_unreadable.get(), 0);
        server.stop();
    }
}

#[test]
fn a_torn_line_is_counted_and_the_rest_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let options = PredictionLogOptions::new(dir.path());
    let server = Server::start(&options);
    let ids: Vec<PredictionId> = (0..3).map(|number| id(HOUR_US, number)).collect();
    for id in &ids {
        server.record(vec![outcome(*id, true, Some(1), "")]).unwrap();
    }
    server.stop();
    let file = std::fs::read_dir(dir.path().join("outcomes")).unwrap().next().unwrap().unwrap();
    let bytes = std::fs::read(file.path()).unwrap();
    std::fs::write(file.path(), &bytes[..bytes.len() - 5]).unwrap();
    let server = Server::start(&options);
    assert_eq!(server.metrics.outcome_lines_unreadable.get(), 1);
    assert_eq!(server.labels().len(), 2);
    server.stop();
}

#[test]
fn what_could_not_be_written_is_not_known_and_may_be_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let is_full = Arc::new(AtomicBool::new(false));
    let hook = Arc::clone(&is_full);
    let mut options = PredictionLogOptions::new(dir.path());
    options.before_write = Some(Arc::new(move |_| match hook.load(Ordering::SeqCst) {
        true => Err(io::ErrorKind::StorageFull.into()),
        false => Ok(()),
    }));
    let server = Server::start(&options);
    let id = id(HOUR_US, 1);
    server.record(vec![outcome(id, false, Some(1), "a")]).unwrap();
    is_full.store(true, Ordering::SeqCst);
    let later = outcome(id, true, Some(2), "b");
    let refused = server.record(vec![later.clone()]);
    assert!(matches!(refused, Err(ServingError::OutcomesUnwritable { .. })), "{refused:?}");
    assert_eq!(server.labels()[&id], (false, 1));
    assert_eq!(server.metrics.outcome_write_errors.get(), 1);
    is_full.store(false, Ordering::SeqCst);
    let recorded = server.record(vec![later]).unwrap().remove(0).unwrap();
    assert!(recorded.is_correction && !recorded.is_duplicate);
    server.stop();
    let server = Server::start(&options);
    assert_eq!(server.labels()[&id], (true, 2));
    server.stop();
}

#[test]
fn too_late_and_too_many_are_refused_from_the_oldest() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = PredictionLogOptions::new(dir.path());
    options.max_age = Duration::from_secs(10 * 3600);
    options.max_outcomes = 3;
    let server = Server::start(&options);
    let record = |age_hours: i64| {
        let one = outcome(id(age_hours * HOUR_US, age_hours as u64), true, Some(1), "");
        server.record(vec![one]).unwrap().remove(0)
    };
    assert!(matches!(record(11), Err(ServingError::OutcomeTooLate { .. })));
    for age_hours in [9, 8, 7, 6] {
        record(age_hours).unwrap();
    }
    // That of nine hours ago had to leave, so an earlier one would be judged without knowing.
    assert_eq!(server.labels().len(), 3);
    assert!(matches!(record(10), Err(ServingError::OutcomeTooLate { .. })));
    record(5).unwrap();
    assert_eq!(server.metrics.outcomes_let_go.get(), 2);
    assert_eq!(server.metrics.refused("too_late").get(), 2);
    server.stop();
}

#[test]
fn the_retry_of_a_repetition_does_not_undo_a_correction() {
    let dir = tempfile::tempdir().unwrap();
    let options = PredictionLogOptions::new(dir.path());
    let server = Server::start(&options);
    let id = id(HOUR_US, 1);
    let record = |server: &Server, label, request| {
        let recorded = server.record(vec![outcome(id, label, None, request)]).unwrap().remove(0);
        let Recorded { is_duplicate, is_correction, .. } = recorded.unwrap();
        (is_duplicate, is_correction)
    };
    assert_eq!(record(&server, true, "r1"), (false, false));
    assert_eq!(record(&server, true, "r2"), (true, false));
    assert_eq!(record(&server, false, "r3"), (false, true));
    assert_eq!(record(&server, true, "r2"), (true, false));
    assert!(!server.labels()[&id].0);
    server.stop();
    let server = Server::start(&options);
    assert_eq!(record(&server, true, "r2"), (true, false));
    assert!(!server.labels()[&id].0);
    server.stop();
}

#[test]
fn an_outcome_changes_so_often_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let options = PredictionLogOptions::new(dir.path());
    let server = Server::start(&options);
    let id = id(HOUR_US, 1);
    // All in one commit, and half of them without a name.
    let changes = (0..100_i64).map(|place| {
        let request = if place % 2 == 0 { String::new() } else { format!("r{place}") };
        outcome(id, place % 2 == 0, Some(place), &request)
    });
    let recorded = server.record(changes.collect()).unwrap();
    let n_recorded = recorded.iter().take_while(|one| one.is_ok()).count();
    assert_eq!(n_recorded, 32);
    assert!(recorded[32..].iter().all(|one| match one {
        Err(ServingError::Invalid(bad)) => bad[0].reason == crate::Reason::TooManyChanges,
        _ => false,
    }));
    assert_eq!(server.labels()[&id], (false, 31));
    // What changes nothing is no reason to refuse anybody.
    let again = server.record(vec![outcome(id, false, None, "new")]).unwrap().remove(0).unwrap();
    assert!(again.is_duplicate);
    assert_eq!(server.metrics.refused("invalid").get(), 68);
    server.stop();
    let server = Server::start(&options);
    assert_eq!(server.labels()[&id], (false, 31));
    server.stop();
}

#[test]
fn repetitions_under_ever_new_names_do_not_fill_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&PredictionLogOptions::new(dir.path()));
    let id = id(HOUR_US, 1);
    let repeat = |server: &Server, place: u64| {
        let one = outcome(id, true, None, &format!("r{place:03}"));
        assert_eq!(server.record(vec![one]).unwrap()[0].as_ref().unwrap().is_duplicate, place > 0);
    };
    (0..8).for_each(|place| repeat(&server, place));
    let n_bytes = server.metrics.outcome_bytes.get();
    (8..100).for_each(|place| repeat(&server, place));
    assert_eq!(server.metrics.outcome_bytes.get(), n_bytes);
    // A change is still taken.
    let changed = server.record(vec![outcome(id, false, None, "c")]).unwrap().remove(0).unwrap();
    assert!(changed.is_correction);
    server.stop();
}

#[test]
fn outcomes_do_not_take_more_of_the_disk_than_they_may() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = PredictionLogOptions::new(dir.path());
    options.max_outcome_bytes = 1000;
    let server = Server::start(&options);
    let ids: Vec<PredictionId> = (0..50).map(|number| id(HOUR_US, number)).collect();
    let all = || ids.iter().map(|id| outcome(*id, true, Some(1), "")).collect();
    let recorded = server.record(all()).unwrap();
    let n_recorded = recorded.iter().filter(|one| one.is_ok()).count();
    assert!((5..20).contains(&n_recorded), "{n_recorded}");
    assert_eq!(server.labels().len(), n_recorded);
    // Not UNAVAILABLE, at which clients try again at once: there is room when the day has gone.
    let day_us = 24 * HOUR_US;
    // The day on which they came: in the first hour of a day that is not the one of their predictions.
    let until_us = (now_us().div_euclid(day_us) + 1) * day_us + options.max_age_us();
    let refused = recorded.into_iter().find_map(Result::err).unwrap();
    let ServingError::OutcomesFull { max_bytes: 1000, free_after } = &refused else {
        panic!("{refused:?}")
    };
    let left_us = until_us - now_us();
    assert!((free_after.as_micros() as i64 - left_us).abs() < HOUR_US, "{free_after:?} {left_us}");
    let status = tonic::Status::from(refused);
    let details = status.get_error_details();
    let told = (status.code(), details.error_info().unwrap().reason.as_str());
    assert_eq!(told, (tonic::Code::ResourceExhausted, "OUTCOMES_FULL"));
    assert!(details.retry_info().unwrap().retry_delay.unwrap() > HOUR);
    assert!(status.message().contains("--outcomes-max-bytes"), "{status:?}");
    let n_refused = (50 - n_recorded) as u64;
    assert_eq!(server.metrics.refused("over_budget").get(), n_refused);
    let folder = dir.path().join("outcomes");
    let n_bytes = || -> u64 {
        let files = std::fs::read_dir(&folder).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
    };
    assert!((1000..1200).contains(&n_bytes()), "{}", n_bytes());
    assert_eq!(server.metrics.outcome_bytes.get() as u64, n_bytes());
    server.stop();
    // The next process sees what is there, and what is known is still a duplicate.
    let server = Server::start(&options);
    assert_eq!(server.metrics.outcome_bytes.get() as u64, n_bytes());
    let recorded = server.record(all()).unwrap();
    assert!(recorded[..n_recorded].iter().all(|one| one.as_ref().unwrap().is_duplicate));
    assert!(recorded[n_recorded..].iter().all(Result::is_err));
    server.stop();
}

#[test]
fn a_start_holds_no_more_outcomes_than_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let options = PredictionLogOptions::new(dir.path());
    let server = Server::start(&options);
    let day_us = 24 * HOUR_US;
    let ids = (0..1000_u64).map(|number| id((number as i64 % 5 + 1) * day_us, number));
    let ids: Vec<PredictionId> = ids.collect();
    server.record(ids.iter().map(|id| outcome(*id, true, Some(1), "")).collect()).unwrap();
    server.stop();
    let folder = dir.path().join("outcomes");
    // A day that is not wanted is not even opened: there is nothing to read in it.
    std::fs::create_dir(folder.join(file_name(1, "0123456789a"))).unwrap();
    let wanted = Wanted { made_us: now_us() - 30 * day_us..i64::MAX, max: 3 };
    let read = read_outcomes(&[folder], &wanted).unwrap();
    assert!(read.known.n_most <= 4, "{}", read.known.n_most);
    assert_eq!(read.n_unreadable, 0);
    let mut newest = ids;
    newest.sort_unstable();
    let held: Vec<PredictionId> = read.known.into_all().into_keys().collect();
    assert_eq!(held, newest[newest.len() - 3..]);
}

#[test]
fn half_a_line_that_stays_does_not_spoil_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("outcomes");
    let is_failing = Arc::new(AtomicBool::new(false));
    let hook = Arc::clone(&is_failing);
    let mut options = PredictionLogOptions::new(dir.path());
    options.before_write = Some(Arc::new(move |what| {
        if what == "cut an outcome file" {
            // The disk took half a line, and does not give it back.
            let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
            let mut file = std::fs::OpenOptions::new().append(true).open(file).unwrap();
            io::Write::write_all(&mut file, b"0123abcd {\"id\":\"1a").unwrap();
        }
        match hook.load(Ordering::SeqCst) && what != "open an outcome file" {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }));
    let server = Server::start(&options);
    let ids: Vec<PredictionId> = (0..3).map(|number| id(HOUR_US, number)).collect();
    let record = |id| server.record(vec![outcome(id, true, Some(1), "")]);
    record(ids[0]).unwrap();
    is_failing.store(true, Ordering::SeqCst);
    record(ids[1]).unwrap_err();
    is_failing.store(false, Ordering::SeqCst);
    record(ids[2]).unwrap();
    server.stop();
    let server = Server::start(&PredictionLogOptions::new(dir.path()));
    let labels = server.labels();
    let known: Vec<bool> = ids.iter().map(|id| labels.contains_key(id)).collect();
    assert_eq!(known, [true, false, true]);
    assert_eq!(server.metrics.outcome_lines_unreadable.get(), 1);
    server.stop();
}
