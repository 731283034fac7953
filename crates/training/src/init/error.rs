//! Why a log cannot be profiled, or no job be written for it.

use std::path::PathBuf;

use crate::job::JobError;
use crate::read::ReadError;
use crate::rows::RowsError;

/// Why there is no profile or no job.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// The files.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file that holds not one record.
    #[error("{}: holds no record", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Plain columns, but none of them is what every event needs.
    #[error("{}: no column looks like {what}; the file has: {found}. Write a job by hand and name it: events.columns.{key} = \"…\"", path.display())]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The user or the time.
        what: &'static str,
        /// Key of the mapping.
        key: &'static str,
        /// Every column with an example.
        found: String,
    },
    /// Dates that read with the month first and with the day first.
    #[error("{}: column {column:?} holds times such as {example}, which read with the month first and with the day first; say which: --time-format {month_first:?} or --time-format {day_first:?}", path.display())]
    AmbiguousTime {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// One of its values.
        example: String,
        /// Format with the month first.
        month_first: String,
        /// Format with the day first.
        day_first: String,
    },
    /// Rows of a candidate job cannot be made at all.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// The job that was written does not read: a defect of this module.
    #[error("the job that was made of the profile does not read: {0}")]
    Job(#[from] JobError),
    /// Nothing can be predicted.
    #[error("nothing can be predicted from this log yet:\n{reasons}")]
    NothingPossible {
        /// A line a task.
        reasons: String,
    },
}
