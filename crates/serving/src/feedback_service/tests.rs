//! The store against a naive map, through restarts and failures.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proptest::prelude::*;

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
        let known = self.labels.get(&given.prediction).copied();
        if known == Some(said) {
            return Some((true, false));
        }
        if let Some(request) = request {
            self.requests.insert(request, said);
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
