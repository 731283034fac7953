//! What becomes of predictions after they are given: their names, the log, and drift.
//!
//! A request gives each prediction its name and puts what is to be kept into a queue that is bounded
//! in bytes; full, the row is dropped and counted, and the answer goes out as if nothing had been. One
//! thread takes rows off the queue ([`writer`]), another makes files of them ([`sealer`]).

mod columns;
mod folder;
mod id;
mod index;
mod journal;
mod options;
mod record;
mod sampling;
mod scan;
mod sealer;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use segue_api::NamedValue;
use segue_api::v1 as pb;
use segue_dataset::UNSEEN_CATEGORY;

pub(crate) use self::columns::{Column, ColumnValues, Kind, TableWriter, beside, feature_column};
pub(crate) use self::folder::{FileName, Folder, hour_text};
use self::id::PredictionIds;
pub(crate) use self::id::{HOUR_US, PredictionId, ServerId};
pub(crate) use self::index::LoggedIds;
pub(crate) use self::options::ALL_BASIS_POINTS;
pub use self::options::{PredictionLogOptions, SubjectLogging, WriteHook};
pub(crate) use self::record::LoggedVersion;
use self::record::{MAX_UNSEEN_BYTES, Row, UnseenText};
pub(crate) use self::record::{Shape, Target};
use self::sampling::{Sampling, Subjects};
pub(crate) use self::scan::{Scan, Stretch, read as read_log, shape as read_shape};
use self::sealer::Sealer;
use self::writer::{Entry, LogWriter, Message, Writer};
use crate::ServeError;
use crate::drift::DriftWindows;
use crate::live::Selected;
use crate::metrics::LogMetrics;
use crate::scoring_service::now_us;
use crate::to_proto::wire_variant;

/// Memory of the queue when there is drift only.
const DRIFT_QUEUE_BYTES: usize = 16 << 20;

/// Names predictions, and keeps what is to be kept of them.
#[derive(Debug)]
pub(crate) struct Recorder {
    ids: PredictionIds,
    queue: Arc<Queue>,
    outbox: Sender<Message>,
    thread: Thread,
    log: Option<Log>,
    pub(crate) drift: Arc<DriftWindows>,
    metrics: LogMetrics,
    handle: Mutex<Option<JoinHandle<()>>>,
}

/// What requests need to know of the log.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    pub(crate) server: ServerId,
    pub(crate) folder: Folder,
    pub(crate) options: Arc<PredictionLogOptions>,
    pub(crate) sampling: Arc<Sampling>,
    pub(crate) ids: Arc<LoggedIds>,
    with_subjects: bool,
}

/// How full the queue is.
#[derive(Debug)]
struct Queue {
    n_bytes: AtomicUsize,
    max_bytes: usize,
    is_stopping: AtomicBool,
}

/// What a row says of itself beside its features.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct About<'a> {
    pub(crate) subject_id: &'a str,
    pub(crate) request_id: &'a str,
    /// The features by name, if they came so.
    pub(crate) named: Option<&'a pb::NamedFeatures>,
    /// Whether the caller wants it kept out of the log.
    pub(crate) suppress_log: bool,
    /// When the request came, in microseconds.
    pub(crate) now_us: i64,
}

impl<'a> About<'a> {
    /// Whom and what a row of the wire is about.
    pub(crate) fn of(row: Option<&'a pb::FeatureRow>) -> Self {
        use pb::feature_row::Features;
        let named = match row.and_then(|row| row.features.as_ref()) {
            Some(Features::Named(named)) => Some(named),
            _ => None,
        };
        let subject_id = row.map_or("", |row| &row.subject_id);
        Self { subject_id, named, ..Self::default() }
    }
}

impl Recorder {
    /// Starts the threads. Without `options` there is no log, only names and drift.
    pub(crate) fn start(
        options: Option<&PredictionLogOptions>,
        drift_window: Duration,
        metrics: LogMetrics,
    ) -> Result<Arc<Self>, ServeError> {
        Self::try_start(options, drift_window, metrics).map_err(|source| ServeError::Resource {
            action: "start the prediction log",
            source: source.into(),
        })
    }

    fn try_start(
        options: Option<&PredictionLogOptions>,
        drift_window: Duration,
        metrics: LogMetrics,
    ) -> io::Result<Arc<Self>> {
        let ids = PredictionIds::new(now_us());
        let window_us = i64::try_from(drift_window.as_micros()).unwrap_or(i64::MAX);
        let drift = Arc::new(DriftWindows::new(window_us));
        let max_bytes = options.map_or(DRIFT_QUEUE_BYTES, |options| options.max_queue_bytes);
        let (n_bytes, is_stopping) = (AtomicUsize::new(0), AtomicBool::new(false));
        let queue = Arc::new(Queue { n_bytes, max_bytes, is_stopping });
        let (log, writer) = match options {
            Some(options) => {
                let (log, writer) = open_log(options, ids.server(), &metrics)?;
                (Some(log), Some(writer))
            }
            None => (None, None),
        };
        let (outbox, inbox) = channel();
        let writer = Writer {
            queue: Arc::clone(&queue),
            inbox,
            drift: Arc::clone(&drift),
            metrics: metrics.clone(),
            log: writer,
        };
        let thread = std::thread::Builder::new().name("segue-recorder".to_owned());
        let handle = thread.spawn(move || writer.run())?;
        let thread = handle.thread().clone();
        let handle = Mutex::new(Some(handle));
        Ok(Arc::new(Self { ids, queue, outbox, thread, log, drift, metrics, handle }))
    }

    /// The log, if there is one.
    pub(crate) fn log(&self) -> Option<&Log> {
        self.log.as_ref()
    }

    /// Names the predictions of one row, and keeps them. `rows` are the features by selected model.
    pub(crate) fn record(
        &self,
        selected: &[Selected],
        rows: Vec<Vec<f64>>,
        about: &About<'_>,
        predictions: &mut [pb::Prediction],
    ) {
        for ((selected, values), prediction) in selected.iter().zip(rows).zip(predictions) {
            let id = self.ids.next(about.now_us);
            prediction.prediction_id = id.text();
            let version = &selected.served.logged;
            let log = self.log.as_ref().filter(|log| {
                !about.suppress_log
                    && log.sampling.takes(&version.shape.model, about.subject_id, id)
            });
            if log.is_none() && version.profile.is_none() {
                continue;
            }
            // Before anything is copied for a row that has no room.
            if self.queue.n_bytes.load(Ordering::Relaxed) >= self.queue.max_bytes {
                self.dropped("queue_full", log.is_some());
                continue;
            }
            let mut row = Row::of(id);
            row.time_us = about.now_us;
            row.scores.reserve_exact(1 + prediction.class_scores.len());
            row.scores.push(prediction.score);
            row.scores.extend(prediction.class_scores.iter().map(|class| class.score));
            if let Some(log) = log {
                row.variant = wire_variant(selected.variant).into();
                row.segment.clone_from(&prediction.segment);
                about.request_id.clone_into(&mut row.request_id);
                row.unseen = unseen(version, &values, about);
                row.subject = log.with_subjects.then(|| about.subject_id.to_owned());
            }
            row.values = values;
            self.send(version, row, log.is_some());
        }
    }

    /// Never waits.
    fn send(&self, version: &Arc<LoggedVersion>, row: Row, is_logged: bool) {
        let n_bytes = row.n_bytes() + size_of::<Message>();
        let before = self.queue.n_bytes.fetch_add(n_bytes, Ordering::Relaxed);
        if before + n_bytes > self.queue.max_bytes {
            self.queue.n_bytes.fetch_sub(n_bytes, Ordering::Relaxed);
            self.dropped("queue_full", is_logged);
            return;
        }
        let entry = Entry { version: Arc::clone(version), row, is_logged, n_bytes };
        if self.outbox.send(Message::Row(entry)).is_err() {
            self.queue.n_bytes.fetch_sub(n_bytes, Ordering::Relaxed);
            self.dropped("stopped", is_logged);
            return;
        }
        // A burst does not wait for the end of the thread's nap.
        if before < self.queue.max_bytes / 2 && before + n_bytes >= self.queue.max_bytes / 2 {
            self.thread.unpark();
        }
    }

    /// The log loses only what was for it.
    fn dropped(&self, reason: &'static str, is_logged: bool) {
        match is_logged {
            true => self.metrics.dropped(reason).inc(),
            false => self.metrics.drift_dropped(reason).inc(),
        };
    }

    /// Waits until everything recorded before is in its journal; `close` until it is in whole files.
    pub(crate) fn flush(&self, close: bool) {
        let (done, is_done) = channel();
        if self.outbox.send(Message::Flush { close, done }).is_ok() {
            self.thread.unpark();
            // An error says that the thread has ended, having written everything.
            let _ = is_done.recv();
        }
    }

    /// Sets the gauges that are computed when they are asked for.
    pub(crate) fn before_scrape(&self) {
        let n_bytes = self.queue.n_bytes.load(Ordering::Relaxed);
        self.metrics.queue_bytes.set(i64::try_from(n_bytes).unwrap_or(i64::MAX));
        self.drift.publish(&self.metrics, now_us());
    }

    /// Writes everything and ends the threads. Not for a thread that must not wait.
    pub(crate) fn finish(&self) {
        self.queue.is_stopping.store(true, Ordering::Release);
        self.thread.unpark();
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handle) = handle {
            // A panic of the thread has been printed.
            let _ = handle.join();
        }
    }
}

fn open_log(
    options: &PredictionLogOptions,
    server: ServerId,
    metrics: &LogMetrics,
) -> io::Result<(Log, LogWriter)> {
    let folder = Folder::create(&options.dir)?;
    let options = Arc::new(options.clone());
    let subjects = Subjects::open(&options)?;
    let with_subjects = subjects.are_named();
    let ids = Arc::new(LoggedIds::new(folder.clone(), server));
    let sealer = Sealer::start(folder.clone(), Arc::clone(&options), metrics.clone())?;
    let writer = LogWriter {
        folder: folder.clone(),
        options: Arc::clone(&options),
        server,
        subjects,
        sealer,
        ids: Arc::clone(&ids),
        journals: Vec::new(),
        next_sequence: 0,
        resting_until: None,
    };
    let sampling = Arc::new(Sampling::new(options.sample_basis_points));
    Ok((Log { server, folder, options, sampling, ids, with_subjects }, writer))
}

/// The texts behind unseen categories, as far as the request has them: one look at what it has, however
/// many there are.
fn unseen(version: &LoggedVersion, values: &[f64], about: &About<'_>) -> Vec<UnseenText> {
    let Some(named) = about.named else { return Vec::new() };
    let features = version.schema.features().iter().zip(values).enumerate();
    let columns: BTreeMap<&str, usize> = features
        .filter(|(_, (feature, value))| feature.is_category() && **value == UNSEEN_CATEGORY)
        .map(|(column, (feature, _))| (feature.name.as_str(), column))
        .collect();
    if columns.is_empty() {
        return Vec::new();
    }
    // Of a name that is there twice the last counts.
    let mut texts: BTreeMap<usize, &str> = BTreeMap::new();
    // All of them were read before.
    for (name, value) in named.iter().flatten() {
        let Some(column) = name.text().ok().and_then(|name| columns.get(name)) else { continue };
        match value {
            NamedValue::Category(text) if text.len() <= MAX_UNSEEN_BYTES => {
                texts.insert(*column, text);
            }
            _ => {
                texts.remove(column);
            }
        }
    }
    let unseen = |(column, text): (usize, &str)| UnseenText {
        // No schema has four thousand million columns.
        column: u32::try_from(column).unwrap_or(u32::MAX),
        text: text.to_owned(),
    };
    texts.into_iter().map(unseen).collect()
}
