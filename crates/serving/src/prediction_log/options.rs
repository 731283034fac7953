//! What the operator may set of the prediction log.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::ServeError;

/// All of a share in basis points.
pub(crate) const ALL_BASIS_POINTS: u32 = 10_000;

/// Settings of the prediction log and of the outcomes beside it.
#[derive(Clone)]
pub struct PredictionLogOptions {
    /// The folder; made if it is not there.
    pub dir: PathBuf,
    /// Share of the subjects whose predictions are logged, in basis points: 0 to 10,000.
    pub sample_basis_points: u32,
    /// Whether the log says whom a prediction is about.
    pub subjects: SubjectLogging,
    /// File with the key of hashed subjects; `None`: one is drawn and kept in the folder.
    pub subject_key: Option<PathBuf>,
    /// Bytes that the log may have; above, its oldest files are removed. At least 1 MiB.
    pub max_bytes: u64,
    /// Log files and outcomes of predictions older than this are removed, and outcomes of such
    /// predictions refused. At least an hour.
    pub max_age: Duration,
    /// Rows of a file, at least 1.
    pub max_file_rows: u64,
    /// Memory for rows that wait to be written, at least 64 KiB; above, rows are dropped and counted.
    pub max_queue_bytes: usize,
    /// Outcomes kept in memory, at least 1; above, those of the oldest predictions are let go.
    pub max_outcomes: usize,
    /// Bytes that the files of outcomes may have, at least 1 MiB; above, new outcomes are refused until
    /// files become too old.
    pub max_outcome_bytes: u64,
    /// Called before each write, for tests; an error is the write's.
    pub before_write: Option<WriteHook>,
}

/// Called with the name of a write before it is done.
pub type WriteHook = Arc<dyn Fn(&str) -> io::Result<()> + Send + Sync>;

/// How the log names the subjects of predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SubjectLogging {
    /// Not at all: there is no column.
    #[default]
    None,
    /// By a keyed hash (HMAC-SHA-256, the first 128 bits in hexadecimal): the same subject has the
    /// same name for as long as the key is.
    Hashed,
    /// As the caller names them.
    Plain,
}

impl PredictionLogOptions {
    /// A log of every prediction in `dir`, without subjects.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            sample_basis_points: ALL_BASIS_POINTS,
            subjects: SubjectLogging::None,
            subject_key: None,
            max_bytes: 10 << 30,
            max_age: Duration::from_secs(90 * 24 * 3600),
            max_file_rows: 1_000_000,
            max_queue_bytes: 64 << 20,
            max_outcomes: 2_000_000,
            max_outcome_bytes: 10 << 30,
            before_write: None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), ServeError> {
        let bad =
            |option, found: String, expected| Err(ServeError::Option { option, found, expected });
        if self.sample_basis_points > ALL_BASIS_POINTS {
            let found = self.sample_basis_points.to_string();
            return bad("prediction_log.sample_basis_points", found, "at most 10000");
        }
        if self.max_bytes < 1 << 20 {
            return bad("prediction_log.max_bytes", self.max_bytes.to_string(), "at least 1048576");
        }
        if self.max_outcome_bytes < 1 << 20 {
            let found = self.max_outcome_bytes.to_string();
            return bad("prediction_log.max_outcome_bytes", found, "at least 1048576");
        }
        if self.max_age < Duration::from_secs(3600) {
            return bad("prediction_log.max_age", format!("{:?}", self.max_age), "at least 1 h");
        }
        if self.max_file_rows == 0 {
            return bad("prediction_log.max_file_rows", "0".to_owned(), "at least 1");
        }
        if self.max_queue_bytes < 64 << 10 {
            let found = self.max_queue_bytes.to_string();
            return bad("prediction_log.max_queue_bytes", found, "at least 65536");
        }
        if self.max_outcomes == 0 {
            return bad("prediction_log.max_outcomes", "0".to_owned(), "at least 1");
        }
        Ok(())
    }

    /// Asks the hook before the write `what`.
    pub(crate) fn before(&self, what: &str) -> io::Result<()> {
        self.before_write.as_ref().map_or(Ok(()), |hook| hook(what))
    }

    pub(crate) fn max_age_us(&self) -> i64 {
        i64::try_from(self.max_age.as_micros()).unwrap_or(i64::MAX)
    }
}

impl fmt::Debug for PredictionLogOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PredictionLogOptions")
            .field("dir", &self.dir)
            .field("sample_basis_points", &self.sample_basis_points)
            .field("subjects", &self.subjects)
            .field("max_bytes", &self.max_bytes)
            .field("max_age", &self.max_age)
            .finish_non_exhaustive()
    }
}
