//! Outcomes on the disk and in memory.
//!
//! One thread appends to files, a file a day of predictions and server, and answers when the file is
//! synced: everything that waits shares one sync. What is in memory is what the files say. 115 to 160
//! bytes an outcome, 16 to 32 more for each request id.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::files::{self, DAY_HOURS, DAY_US, Wanted};
use super::known::Known;
use super::outcome::{Held, MAX_LINES, NewOutcome, Verdict};
use crate::metrics::LogMetrics;
use crate::prediction_log::{Log, PredictionId};
use crate::scoring_service::now_us;
use crate::{Reason, ServeError, ServingError};

/// Batches that wait to be written.
const WAITING_BATCHES: usize = 256;

/// Outcomes that share a sync, about.
const OUTCOMES_PER_SYNC: usize = 10_000;

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

impl OutcomeStore {
    /// Reads what is there and starts the thread.
    pub(crate) fn start(log: &Log, metrics: LogMetrics) -> Result<Self, ServeError> {
        let failed = |source: io::Error| ServeError::Resource {
            action: "read the outcomes of the prediction log",
            source: source.into(),
        };
        let folder = log.folder.outcomes();
        let oldest_us = now_us().saturating_sub(log.options.max_age_us());
        let wanted = Wanted { made_us: oldest_us..i64::MAX, max: log.options.max_outcomes };
        let folders = std::slice::from_ref(&folder);
        let read = files::read_outcomes(folders, &wanted);
        let read = read.map_err(|error| failed(io::Error::new(error.source.kind(), error)))?;
        metrics.outcome_lines_unreadable.inc_by(read.n_unreadable);
        metrics.outcomes_let_go.inc_by(read.n_let_go);
        metrics.outcomes_held.set(gauge(read.known.len()));
        let n_bytes = files::n_bytes(&folder).map_err(failed)?;
        metrics.outcome_bytes.set(gauge(n_bytes));
        let known = Arc::new(Mutex::new(read.known));
        let (outbox, inbox) = mpsc::channel(WAITING_BATCHES);
        let writer = Writer {
            log: log.clone(),
            folder,
            metrics,
            known: Arc::clone(&known),
            files: BTreeMap::new(),
            n_bytes,
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

fn gauge(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
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
    /// Of all files of the folder, at the last look and what was written since.
    n_bytes: u64,
    /// Files of days before this have been removed.
    oldest_day: i64,
    failing: bool,
}

/// A file, and how much of it is whole lines.
struct DayFile {
    file: File,
    n_bytes: u64,
    /// What follows could not be cut off: it must not become the beginning of the next line.
    is_torn: bool,
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
        let mut is_matched = self.log.ids.have(&ids.collect::<Vec<_>>()).into_iter();
        let known = Arc::clone(&self.known);
        let mut known = lock(&known);
        let mut before: HashMap<PredictionId, Option<Held>> = HashMap::new();
        let mut lines = Lines::default();
        let mut judged = Vec::with_capacity(batches.len());
        let mut free_after = None;
        for batch in &batches {
            let mut recordings = Vec::with_capacity(batch.outcomes.len());
            for outcome in &batch.outcomes {
                let is_matched = is_matched.next().unwrap_or(false);
                let oldest_us = oldest_us.max(known.let_go_before_us());
                if outcome.id.time_us() < oldest_us {
                    recordings.push(Err(ServingError::OutcomeTooLate { oldest_us }));
                    continue;
                }
                let verdict = outcome.judge(known.get(outcome.id));
                if verdict.is_new() {
                    if !self.has_room(&lines) {
                        let max_bytes = self.log.options.max_outcome_bytes;
                        // One look at the folder for all of them.
                        let free_after =
                            *free_after.get_or_insert_with(|| self.free_after(received_us));
                        recordings.push(Err(ServingError::OutcomesFull { max_bytes, free_after }));
                        continue;
                    }
                    // What is known is changed where it is: only what was known before all of this is
                    // kept for the way back.
                    let held = || known.get(outcome.id).cloned();
                    before.entry(outcome.id).or_insert_with(held);
                    known.take(outcome, verdict, received_us);
                    lines.add(outcome, received_us);
                }
                recordings.push(recorded(verdict, is_matched));
            }
            judged.push(recordings);
        }
        let written = self.write(&lines);
        if let Err(error) = &written {
            for (id, held) in before {
                known.restore(id, held);
            }
            self.metrics.outcome_write_errors.inc();
            if !std::mem::replace(&mut self.failing, true) {
                tracing::error!(%error, "outcomes cannot be written; their callers are told");
            }
        } else if std::mem::take(&mut self.failing) {
            tracing::info!("outcomes can be written again");
        }
        let n_let_go = known.shrink(oldest_us, self.log.options.max_outcomes);
        self.metrics.outcomes_let_go.inc_by(n_let_go);
        self.metrics.outcomes_held.set(gauge(known.len()));
        drop(known);
        self.forget_days(oldest_us);
        self.metrics.outcome_bytes.set(gauge(self.n_bytes));
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

    /// Whether the files may grow.
    fn has_room(&self, lines: &Lines) -> bool {
        self.n_bytes.saturating_add(lines.n_bytes) < self.log.options.max_outcome_bytes
    }

    /// For how long there is no room: the oldest day goes as a whole, when the last of its predictions is
    /// too old.
    fn free_after(&self, now_us: i64) -> Duration {
        let oldest = files::oldest_day(&self.folder).unwrap_or_else(|| now_us.div_euclid(DAY_US));
        let end_us = oldest.saturating_add(1).saturating_mul(DAY_US);
        let left_us = end_us.saturating_add(self.log.options.max_age_us()).saturating_sub(now_us);
        Duration::from_micros(u64::try_from(left_us).unwrap_or(0))
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
                Err(ServingError::OutcomesFull { .. }) => {
                    metrics.refused("over_budget").inc();
                }
                Err(_) => drop(metrics.refused("invalid").inc()),
            }
        }
    }

    /// Appends to each file and syncs it. After an error every file ends where it ended before.
    fn write(&mut self, lines: &Lines) -> io::Result<()> {
        if lines.n_bytes == 0 {
            return Ok(());
        }
        let written = self.try_write(lines);
        if written.is_err() {
            let options = &self.log.options;
            for (day, file) in &mut self.files {
                if lines.by_day.contains_key(day) {
                    let cut = options.before("cut an outcome file").and_then(|()| file.cut());
                    // Whole lines that stay are duplicates when they come again.
                    file.is_torn |= cut.is_err();
                }
            }
        } else {
            self.n_bytes += lines.n_bytes;
            for (day, text) in &lines.by_day {
                if let Some(file) = self.files.get_mut(day) {
                    file.n_bytes += text.len() as u64;
                }
            }
        }
        written
    }

    fn try_write(&mut self, lines: &Lines) -> io::Result<()> {
        for (day, text) in &lines.by_day {
            if !self.files.contains_key(day) {
                self.log.options.before("open an outcome file")?;
                let name = files::file_name(*day, &self.log.server.to_string());
                let path = self.folder.join(name);
                let file = OpenOptions::new().create(true).append(true).open(path)?;
                // The name must be on the disk as well.
                File::open(&self.folder)?.sync_all()?;
                let n_bytes = file.metadata()?.len();
                self.files.insert(*day, DayFile { file, n_bytes, is_torn: false });
            }
            let Some(day) = self.files.get_mut(day) else { continue };
            self.log.options.before("append outcomes")?;
            if day.is_torn {
                // An end for half a line; an empty one says nothing.
                day.file.write_all(b"\n")?;
                day.n_bytes = day.file.metadata()?.len();
                day.is_torn = false;
            }
            day.file.write_all(text)?;
            day.file.sync_data()?;
        }
        Ok(())
    }

    /// Removes files of days whose predictions are all too old.
    fn forget_days(&mut self, oldest_us: i64) {
        let oldest = oldest_us.div_euclid(DAY_US);
        if self.oldest_day < oldest {
            self.oldest_day = oldest;
            self.files.retain(|day, _| *day >= oldest);
            files::remove_before(&self.folder, oldest);
            // Those of other servers with them.
            self.n_bytes = files::n_bytes(&self.folder).unwrap_or(self.n_bytes);
        }
    }
}

impl DayFile {
    /// Takes away what follows the last whole line.
    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.n_bytes)?;
        self.file.seek(SeekFrom::Start(self.n_bytes))?;
        Ok(())
    }
}

/// What is to be written, by day.
#[derive(Default)]
struct Lines {
    by_day: BTreeMap<i64, Vec<u8>>,
    n_bytes: u64,
}

impl Lines {
    fn add(&mut self, outcome: &NewOutcome, received_us: i64) {
        let text = self.by_day.entry(outcome.id.hour().div_euclid(DAY_HOURS)).or_default();
        let n_before = text.len();
        outcome.put_line(received_us, text);
        self.n_bytes += (text.len() - n_before) as u64;
    }
}

fn recorded(verdict: Verdict, is_matched: bool) -> Recording {
    match verdict {
        Verdict::RequestIdReused => {
            let description = "this request id recorded something else of this prediction before; a \
                               correction needs a request id of its own";
            Err(ServingError::invalid("request_id", Reason::RequestIdReused, description))
        }
        Verdict::TooManyChanges => {
            let description = format!(
                "the outcome of this prediction has changed {MAX_LINES} times, which is the most \
                 that it may"
            );
            Err(ServingError::invalid("outcome", Reason::TooManyChanges, description))
        }
        verdict => Ok(Recorded {
            is_matched,
            is_duplicate: matches!(verdict, Verdict::Duplicate | Verdict::Repeated),
            is_correction: verdict == Verdict::Correction,
        }),
    }
}
