//! The thread that takes predictions off the queue: counts them for drift, and writes those that are
//! for the log into journals.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::{Duration, Instant};

use super::folder::{FileName, Folder};
use super::id::{HOUR_US, PredictionId};
use super::index::LoggedIds;
use super::journal::JournalWriter;
use super::options::PredictionLogOptions;
use super::record::{LoggedVersion, Row};
use super::sampling::Subjects;
use super::sealer::Sealer;
use super::{Queue, ServerId};
use crate::drift::{Counting, DriftWindows};
use crate::metrics::LogMetrics;
use crate::scoring_service::now_us;

/// How long the thread sleeps when there is nothing to do. Producers do not wake it for a row: that
/// would cost them more than all the rest of it.
const NAP: Duration = Duration::from_millis(20);

/// Rows taken between two writes.
const ROWS_PER_TURN: usize = 1024;

/// Bytes that are written at once, about.
const WRITE_BYTES: usize = 1 << 20;

/// After a failed write, nothing is tried for so long.
const RETRY: Duration = Duration::from_secs(1);

/// A journal with more bytes is closed.
const MAX_JOURNAL_BYTES: u64 = 256 << 20;

/// A journal waits so long for rows of its hour after the hour's end.
const GRACE_US: i64 = 5_000_000;

/// What goes through the queue.
#[derive(Debug)]
pub(super) enum Message {
    Row(Entry),
    /// Write what is there, and close the journals if so asked; then say so.
    Flush {
        close: bool,
        done: Sender<()>,
    },
}

/// A prediction on its way.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) version: Arc<LoggedVersion>,
    pub(super) row: Row,
    /// Whether it is for the log, and not for drift only.
    pub(super) is_logged: bool,
    /// What it weighs in the queue.
    pub(super) n_bytes: usize,
}

/// The log's side of the thread; absent when only drift is counted.
#[derive(Debug)]
pub(super) struct LogWriter {
    pub(super) folder: Folder,
    pub(super) options: Arc<PredictionLogOptions>,
    pub(super) server: ServerId,
    pub(super) subjects: Subjects,
    pub(super) sealer: Sealer,
    pub(super) ids: Arc<LoggedIds>,
    pub(super) journals: Vec<OpenJournal>,
    pub(super) next_sequence: u64,
    /// Nothing is written before this, after a failure.
    pub(super) resting_until: Option<Instant>,
}

/// A journal, the version it is of, and the rows in its buffer.
#[derive(Debug)]
pub(super) struct OpenJournal {
    version: Arc<LoggedVersion>,
    name: FileName,
    journal: JournalWriter,
    buffered: Vec<PredictionId>,
}

/// Everything that the thread owns.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) queue: Arc<Queue>,
    pub(super) inbox: Receiver<Message>,
    pub(super) drift: Arc<DriftWindows>,
    pub(super) metrics: LogMetrics,
    pub(super) log: Option<LogWriter>,
}

impl Writer {
    /// Works until the queue is stopped and empty, or has no producers.
    pub(super) fn run(mut self) {
        loop {
            let is_stopping = self.queue.is_stopping.load(Ordering::Acquire);
            let is_empty = self.turn();
            if let Some(log) = &mut self.log {
                log.flush(&self.metrics);
                log.close_past(now_us());
            }
            match is_empty {
                Ok(false) => {}
                Ok(true) if is_stopping => break,
                Ok(true) => std::thread::park_timeout(NAP),
                Err(Disconnected) => break,
            }
        }
        if let Some(log) = &mut self.log {
            log.close_all();
            log.sealer.stop();
        }
    }

    /// Takes some rows; whether there were no more.
    fn turn(&mut self) -> Result<bool, Disconnected> {
        let mut is_empty = Ok(false);
        let mut messages = Vec::new();
        while messages.len() < ROWS_PER_TURN {
            match self.inbox.try_recv() {
                Ok(message) => messages.push(message),
                Err(TryRecvError::Empty) => {
                    is_empty = Ok(true);
                    break;
                }
                Err(TryRecvError::Disconnected) => {
                    is_empty = Err(Disconnected);
                    break;
                }
            }
        }
        // Whoever asks for drift waits for this, and must not wait for a disk.
        let mut counting = self.drift.counting();
        for message in &messages {
            if let Message::Row(entry) = message {
                count(entry, &mut counting);
            }
        }
        drop(counting);
        for message in messages {
            self.write(message);
        }
        is_empty
    }

    fn write(&mut self, message: Message) {
        match message {
            Message::Row(entry) => {
                self.queue.n_bytes.fetch_sub(entry.n_bytes, Ordering::Relaxed);
                match &mut self.log {
                    Some(log) if entry.is_logged => log.push(entry, &self.metrics),
                    _ => {}
                }
            }
            Message::Flush { close, done } => {
                if let Some(log) = &mut self.log {
                    log.flush(&self.metrics);
                    if close {
                        log.close_all();
                        log.sealer.settle();
                    }
                }
                // The caller may have left.
                let _ = done.send(());
            }
        }
    }
}

/// Nobody can send any more.
struct Disconnected;

fn count(entry: &Entry, counting: &mut Counting<'_>) {
    let Row { scores, values, time_us, .. } = &entry.row;
    let classes = scores.get(1..).unwrap_or_default();
    let outputs = if classes.is_empty() { &scores[..] } else { classes };
    counting.add(&entry.version, *time_us, values, outputs);
}

impl LogWriter {
    fn push(&mut self, entry: Entry, metrics: &LogMetrics) {
        if self.resting_until.is_some_and(|until| Instant::now() < until) {
            metrics.dropped("write_error").inc();
            return;
        }
        // A folder that nothing can be removed from any more.
        if self.sealer.n_bytes() > self.options.max_bytes.saturating_mul(2) {
            metrics.dropped("over_budget").inc();
            return;
        }
        let Entry { version, mut row, .. } = entry;
        row.subject = row.subject.take().and_then(|subject| self.subjects.name(subject));
        let place = match self.place(&version, row.time_us.div_euclid(HOUR_US)) {
            Ok(place) => place,
            Err(error) => {
                metrics.dropped("write_error").inc();
                self.failed(&error, metrics);
                return;
            }
        };
        let open = &mut self.journals[place];
        open.journal.push(&row);
        open.buffered.push(row.id());
        if open.journal.n_buffered_bytes() >= WRITE_BYTES {
            self.flush(metrics);
        }
    }

    /// The journal of a version and hour, a new one if there is none.
    fn place(&mut self, version: &Arc<LoggedVersion>, hour: i64) -> std::io::Result<usize> {
        let is_it =
            |open: &OpenJournal| open.name.hour == hour && Arc::ptr_eq(&open.version, version);
        if let Some(place) = self.journals.iter().position(is_it) {
            return Ok(place);
        }
        let mut shape = version.shape.clone();
        shape.with_subjects = self.subjects.are_named();
        let mut name = FileName {
            hour,
            model: shape.model.clone(),
            version: shape.version,
            server: self.server,
            sequence: self.next_sequence,
        };
        let journal = loop {
            name.sequence = self.next_sequence;
            // Also if it fails: what is left of it then must not be in the way of the next.
            self.next_sequence += 1;
            self.options.before("open a journal")?;
            let before_lock = || self.options.before("lock a journal");
            let path = self.folder.journal(&name);
            if let Some(journal) = JournalWriter::create(&path, &shape, before_lock)? {
                break journal;
            }
        };
        let version = Arc::clone(version);
        self.journals.push(OpenJournal { version, name, journal, buffered: Vec::new() });
        Ok(self.journals.len() - 1)
    }

    /// Writes what is buffered. What cannot be written is counted.
    fn flush(&mut self, metrics: &LogMetrics) {
        let mut failure = None;
        let mut has_written = false;
        for open in &mut self.journals {
            let n_rows = open.journal.n_buffered_rows();
            if n_rows == 0 {
                continue;
            }
            let allowed = self.options.before("append");
            let written = match allowed {
                Ok(()) => open.journal.flush(),
                Err(error) => {
                    open.journal.forget();
                    Err(error)
                }
            };
            match written {
                Ok(()) => {
                    has_written = true;
                    metrics.rows.inc_by(n_rows);
                    self.ids.add(&open.buffered, metrics);
                }
                Err(error) => {
                    metrics.dropped("write_error").inc_by(n_rows);
                    failure = Some(error);
                }
            }
            open.buffered.clear();
        }
        match failure {
            Some(error) => self.failed(&error, metrics),
            None if has_written && self.resting_until.take().is_some() => {
                tracing::info!("the prediction log can be written again");
            }
            None => {}
        }
        self.close_full();
    }

    /// One line when it begins, and none until it has ended.
    fn failed(&mut self, error: &std::io::Error, metrics: &LogMetrics) {
        metrics.write_errors.inc();
        let was_well = self.resting_until.replace(Instant::now() + RETRY).is_none();
        if was_well {
            tracing::error!(
                %error,
                dir = %self.options.dir.display(),
                "the prediction log cannot be written; scoring goes on, predictions are dropped and \
                 counted until it can"
            );
        }
    }

    fn close_full(&mut self) {
        let max_rows = self.options.max_file_rows;
        self.close(|open| {
            open.journal.n_rows() >= max_rows || open.journal.n_bytes() >= MAX_JOURNAL_BYTES
        });
    }

    /// Closes the journals of hours that are over.
    fn close_past(&mut self, now_us: i64) {
        let hour = now_us.saturating_sub(GRACE_US).div_euclid(HOUR_US);
        self.close(|open| open.name.hour < hour);
    }

    fn close_all(&mut self) {
        self.close(|_| true);
    }

    /// Lets go of some journals, which are empty of buffered rows, and has them sealed.
    fn close(&mut self, is_done: impl Fn(&OpenJournal) -> bool) {
        for place in (0..self.journals.len()).rev() {
            if is_done(&self.journals[place]) {
                let OpenJournal { name, journal, .. } = self.journals.swap_remove(place);
                self.sealer.seal(name, journal.into_file());
            }
        }
    }
}
