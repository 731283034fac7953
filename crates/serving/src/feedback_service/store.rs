//! Outcomes on the disk and in memory.
//!
//! One thread appends to files, a file a day of predictions and server, and answers when the file is
//! synced: everything that waits shares one sync. What is in memory is what the files say, by
//! prediction and so by time: what is too old, or too much, leaves from the front. 115 to 160 bytes
//! an outcome, 32 more for each request id.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use super::outcome::{Held, NewOutcome, Verdict};
use crate::metrics::LogMetrics;
use crate::prediction_log::{HOUR_US, Log, PredictionId, hour_text};
use crate::scoring_service::now_us;
use crate::{Reason, ServeError, ServingError};

/// Batches that wait to be written.
const WAITING_BATCHES: usize = 256;

/// Outcomes that share a sync, about.
const OUTCOMES_PER_SYNC: usize = 10_000;

const DAY_HOURS: i64 = 24;

/// Outcomes that were recorded, and the way to record more.
#[derive(Debug)]
pub(crate) struct OutcomeStore {
    outbox: Mutex<Option<mpsc::Sender<Batch>>>,
    known: Arc<Mutex<Known>>,
    handle: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Batch {
    outcomes: Vec<NewOutcome>,
    answer: oneshot::Sender<Result<Vec<Recording>, ServingError>>,
}

/// What became of an outcome.
pub(crate) type Recording = Result<Recorded, ServingError>;

/// An outcome that is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) is_matched: bool,
    pub(crate) is_duplicate: bool,
    pub(crate) is_correction: bool,
}

/// The outcomes in memory.
#[derive(Debug, Default)]
pub(crate) struct Known {
    held: BTreeMap<PredictionId, Held>,
    /// Outcomes of predictions before this have been let go, in microseconds.
    let_go_before_us: i64,
}

impl Known {
    fn apply(&mut self, outcome: &NewOutcome, received_us: i64) -> Verdict {
        match self.held.entry(outcome.id) {
            Entry::Vacant(entry) => {
                let mut held = None;
                let verdict = outcome.apply(&mut held, received_us);
                held.map(|held| entry.insert(held));
                verdict
            }
            Entry::Occupied(mut entry) => {
                let mut held = Some(entry.get().clone());
                let verdict = outcome.apply(&mut held, received_us);
                if let Some(held) = held {
                    entry.insert(held);
                }
                verdict
            }
        }
    }

    /// Lets go of what is too old, then of what is too much.
    fn shrink(&mut self, oldest_us: i64, max: usize, metrics: &LogMetrics) {
        while let Some((id, _)) = self.held.first_key_value() {
            let is_old = id.time_us() < oldest_us;
            if !is_old && self.held.len() <= max {
                break;
            }
            if !is_old {
                metrics.outcomes_let_go.inc();
                self.let_go_before_us = self.let_go_before_us.max(id.time_us() + 1000);
            }
            self.held.pop_first();
        }
        metrics.outcomes_held.set(i64::try_from(self.held.len()).unwrap_or(i64::MAX));
    }

    /// All of them.
    pub(crate) fn into_all(self) -> BTreeMap<PredictionId, Held> {
        self.held
    }

    /// Outcomes of predictions made from `start_us` to before `end_us`.
    pub(crate) fn between(&self, start_us: i64, end_us: i64) -> BTreeMap<PredictionId, Held> {
        let range = PredictionId::first_at(start_us)..PredictionId::first_at(end_us);
        if range.is_empty() {
            return BTreeMap::new();
        }
        self.held.range(range).map(|(id, held)| (*id, held.clone())).collect()
    }
}

impl OutcomeStore {
    /// Reads what is there and starts the thread.
    pub(crate) fn start(log: &Log, metrics: LogMetrics) -> Result<Self, ServeError> {
        let failed = |source: io::Error| ServeError::Resource {
            action: "read the outcomes of the prediction log",
            source: source.into(),
        };
        let folder = log.folder.outcomes();
        let oldest_us = now_us().saturating_sub(log.options.max_age_us());
        let (mut known, n_unreadable) = read_outcomes(&folder, oldest_us).map_err(failed)?;
        metrics.outcome_lines_unreadable.inc_by(n_unreadable);
        known.shrink(oldest_us, log.options.max_outcomes, &metrics);
        let known = Arc::new(Mutex::new(known));
        let (outbox, inbox) = mpsc::channel(WAITING_BATCHES);
        let writer = Writer {
            log: log.clone(),
            folder,
            metrics,
            known: Arc::clone(&known),
            files: BTreeMap::new(),
            oldest_day: i64::MIN,
            failing: false,
        };
        let thread = std::thread::Builder::new().name("segue-outcomes".to_owned());
        let handle = thread.spawn(move || writer.run(inbox)).map_err(failed)?;
        let handle = Mutex::new(Some(handle));
        Ok(Self { outbox: Mutex::new(Some(outbox)), known, handle })
    }

    /// Records outcomes; each is answered for itself, and not before it is on the disk.
    pub(crate) async fn record(
        &self,
        outcomes: Vec<NewOutcome>,
    ) -> Result<Vec<Recording>, ServingError> {
        let outbox = lock(&self.outbox).clone().ok_or(ServingError::Draining)?;
        let (answer, answered) = oneshot::channel();
        let batch = Batch { outcomes, answer };
        outbox.send(batch).await.map_err(|_| ServingError::Draining)?;
        drop(outbox);
        answered.await.map_err(|_| ServingError::Internal)?
    }

    /// The outcomes in memory.
    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    /// Ends the thread after what it was given. Not for a thread that must not wait.
    pub(crate) fn finish(&self) {
        drop(lock(&self.outbox).take());
        if let Some(handle) = lock(&self.handle).take() {
            // A panic of the thread has been printed.
            let _ = handle.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Writer {
    log: Log,
    folder: PathBuf,
    metrics: LogMetrics,
    known: Arc<Mutex<Known>>,
    /// By day.
    files: BTreeMap<i64, DayFile>,
    /// Files of days before this have been removed.
    oldest_day: i64,
    failing: bool,
}

/// A file, and how much of it is whole lines.
struct DayFile {
    file: File,
    n_bytes: u64,
}

impl Writer {
    fn run(mut self, mut inbox: mpsc::Receiver<Batch>) {
        self.forget_days(now_us().saturating_sub(self.log.options.max_age_us()));
        while let Some(first) = inbox.blocking_recv() {
            let mut n_outcomes = first.outcomes.len();
            let mut batches = vec![first];
            while n_outcomes < OUTCOMES_PER_SYNC
                && let Ok(more) = inbox.try_recv()
            {
                n_outcomes += more.outcomes.len();
                batches.push(more);
            }
            self.commit(batches);
        }
    }

    /// Judges, writes, syncs, answers. After a failed write nothing of it is known.
    fn commit(&mut self, batches: Vec<Batch>) {
        let received_us = now_us();
        let oldest_us = received_us.saturating_sub(self.log.options.max_age_us());
        let ids = batches.iter().flat_map(|batch| &batch.outcomes).map(|outcome| outcome.id);
        // Before the lock: this may read files.
        let is_matched: Vec<bool> = ids.map(|id| self.log.ids.has(id)).collect();
        let mut is_matched = is_matched.into_iter();
        let known = Arc::clone(&self.known);
        let mut known = lock(&known);
        let mut before: Vec<(PredictionId, Option<Held>)> = Vec::new();
        let mut lines: BTreeMap<i64, Vec<u8>> = BTreeMap::new();
        let mut judged = Vec::with_capacity(batches.len());
        for batch in &batches {
            let mut recordings = Vec::with_capacity(batch.outcomes.len());
            for outcome in &batch.outcomes {
                let is_matched = is_matched.next().unwrap_or(false);
                let oldest_us = oldest_us.max(known.let_go_before_us);
                recordings.push(if outcome.id.time_us() < oldest_us {
                    Err(ServingError::OutcomeTooLate { oldest_us })
                } else {
                    let held = known.held.get(&outcome.id).cloned();
                    let verdict = known.apply(outcome, received_us);
                    if verdict.is_new() {
                        before.push((outcome.id, held));
                        let day = outcome.id.hour().div_euclid(DAY_HOURS);
                        outcome.put_line(received_us, lines.entry(day).or_default());
                    }
                    recorded(verdict, is_matched)
                });
            }
            judged.push(recordings);
        }
        let written = self.write(&lines);
        if let Err(error) = &written {
            for (id, held) in before.into_iter().rev() {
                match held {
                    Some(held) => known.held.insert(id, held),
                    None => known.held.remove(&id),
                };
            }
            self.metrics.outcome_write_errors.inc();
            if !std::mem::replace(&mut self.failing, true) {
                tracing::error!(%error, "outcomes cannot be written; their callers are told");
            }
        } else if std::mem::take(&mut self.failing) {
            tracing::info!("outcomes can be written again");
        }
        known.shrink(oldest_us, self.log.options.max_outcomes, &self.metrics);
        drop(known);
        self.forget_days(oldest_us);
        for (batch, recordings) in batches.into_iter().zip(judged) {
            let answer = match &written {
                Ok(()) => {
                    self.count(&batch.outcomes, &recordings);
                    Ok(recordings)
                }
                Err(error) => Err(ServingError::OutcomesUnwritable { detail: error.to_string() }),
            };
            // The caller may have left; the outcome stays recorded.
            let _ = batch.answer.send(answer);
        }
    }

    fn count(&self, outcomes: &[NewOutcome], recordings: &[Recording]) {
        let metrics = &self.metrics;
        for (outcome, recording) in outcomes.iter().zip(recordings) {
            match recording {
                Ok(Recorded { is_duplicate: true, .. }) => drop(metrics.outcome_duplicates.inc()),
                Ok(recorded) => {
                    metrics.outcomes(recorded.is_matched).inc();
                    if recorded.is_correction {
                        metrics.outcome_corrections.inc();
                    }
                    if !recorded.is_matched {
                        self.log.ids.wait_for(outcome.id, self.log.options.max_outcomes);
                    }
                }
                Err(ServingError::OutcomeTooLate { .. }) => drop(metrics.refused("too_late").inc()),
                Err(_) => drop(metrics.refused("invalid").inc()),
            }
        }
    }

    /// Appends to each file and syncs it. After an error every file ends where it ended before.
    fn write(&mut self, lines: &BTreeMap<i64, Vec<u8>>) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let written = self.try_write(lines);
        if written.is_err() {
            for (day, file) in &mut self.files {
                if lines.contains_key(day) {
                    // If not even this works, the lines are duplicates when they come again.
                    drop(file.file.set_len(file.n_bytes));
                    drop(file.file.seek(SeekFrom::Start(file.n_bytes)));
                }
            }
        } else {
            for (day, text) in lines {
                if let Some(file) = self.files.get_mut(day) {
                    file.n_bytes += text.len() as u64;
                }
            }
        }
        written
    }

    fn try_write(&mut self, lines: &BTreeMap<i64, Vec<u8>>) -> io::Result<()> {
        for (day, text) in lines {
            if !self.files.contains_key(day) {
                self.log.options.before("open an outcome file")?;
                let path = self.folder.join(file_name(*day, &self.log.server.to_string()));
                let file = OpenOptions::new().create(true).append(true).open(path)?;
                // The name must be on the disk as well.
                File::open(&self.folder)?.sync_all()?;
                let n_bytes = file.metadata()?.len();
                self.files.insert(*day, DayFile { file, n_bytes });
            }
            let Some(day) = self.files.get_mut(day) else { continue };
            self.log.options.before("append outcomes")?;
            day.file.write_all(text)?;
            day.file.sync_data()?;
        }
        Ok(())
    }

    /// Removes files of days whose predictions are all too old.
    fn forget_days(&mut self, oldest_us: i64) {
        let oldest = oldest_us.div_euclid(HOUR_US * DAY_HOURS);
        if self.oldest_day < oldest {
            self.oldest_day = oldest;
            self.files.retain(|day, _| *day >= oldest);
            remove_before(&self.folder, oldest);
        }
    }
}

fn recorded(verdict: Verdict, is_matched: bool) -> Recording {
    match verdict {
        Verdict::RequestIdReused => {
            let description = "this request id recorded something else of this prediction before; a \
                               correction needs a request id of its own";
            Err(ServingError::invalid("request_id", Reason::RequestIdReused, description))
        }
        verdict => Ok(Recorded {
            is_matched,
            is_duplicate: verdict == Verdict::Duplicate,
            is_correction: verdict == Verdict::Correction,
        }),
    }
}

fn file_name(day: i64, server: &str) -> String {
    let hour = hour_text(day * DAY_HOURS);
    format!("{}-{server}.jsonl", hour.split('T').next().unwrap_or_default())
}

/// Files by day, as their names say.
fn files_by_day(folder: &Path) -> io::Result<BTreeMap<String, Vec<PathBuf>>> {
    let mut days: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let (Some(day), true) = (name.get(..10), name.ends_with(".jsonl")) {
            days.entry(day.to_owned()).or_default().push(path);
        }
    }
    Ok(days)
}

fn remove_before(folder: &Path, oldest_day: i64) {
    let Ok(days) = files_by_day(folder) else { return };
    let oldest = hour_text(oldest_day * DAY_HOURS);
    // Days as text are in the order of time.
    for (_, paths) in days.into_iter().filter(|(day, _)| **day < oldest[..10]) {
        for path in paths {
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(%error, file = %path.display(), "an old outcome file stays");
            }
        }
    }
}

/// What the files of a folder say of predictions made at or after `oldest_us`, and how many lines
/// say nothing. Files of days before are removed by who writes, not here.
pub(crate) fn read_outcomes(folder: &Path, oldest_us: i64) -> io::Result<(Known, u64)> {
    let mut known = Known::default();
    let mut n_unreadable = 0;
    if !folder.exists() {
        return Ok((known, 0));
    }
    for (_, paths) in files_by_day(folder)? {
        // Those of all servers in the order in which they were received.
        let mut outcomes = Vec::new();
        for path in paths {
            let bytes = fs::read(&path)?;
            for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                match NewOutcome::of_line(line) {
                    Some(outcome) => outcomes.push(outcome),
                    None => {
                        n_unreadable += 1;
                        tracing::warn!(file = %path.display(), "a line of an outcome file cannot be read");
                    }
                }
            }
        }
        outcomes.sort_by_key(|(_, received_us)| *received_us);
        for (outcome, received_us) in &outcomes {
            if outcome.id.time_us() >= oldest_us {
                known.apply(outcome, *received_us);
            }
        }
    }
    Ok((known, n_unreadable))
}
