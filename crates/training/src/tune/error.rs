//! Why a job cannot be tuned.

use std::path::PathBuf;

use crate::fit::FitError;
use crate::train::TrainError;

/// Why a search does not start or does not end with a job.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TuneError {
    /// Rows cannot be made, or are too few.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The job's own parameters do not fit its rows.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// A learner whose parameters are not searched.
    #[error("learner.kind: {kind:?} is not tuned; boosting and forest are")]
    NotTuned {
        /// The learner.
        kind: &'static str,
    },
    /// Folds are parts of rows that the start may have seen.
    #[error(
        "learner.start_from: a search judges on training rows, which the model to start from may have seen; remove it"
    )]
    Start,
    /// The training part is too short.
    #[error(
        "the training part has {n_rows} rows, too few for one fold that is fitted on earlier rows and judged on later ones; more data, or a split.embargo shorter than {embargo}, would help"
    )]
    NoFolds {
        /// Rows of the training part.
        n_rows: usize,
        /// The embargo between fitting and judging.
        embargo: String,
    },
    /// The trials cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line that is no trial.
    #[error("{}:{line}: is no trial: {reason}; remove the file to begin anew", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What the reader says.
        reason: String,
    },
    /// The trials are of something else.
    #[error(
        "{}: holds trials of another {what} ({found} instead of {expected}); remove the file, or name another result with --out",
        path.display()
    )]
    OtherTrials {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// What the file says.
        found: String,
        /// What this search is.
        expected: String,
    },
    /// Someone else is at it.
    #[error("{}: another search is writing trials here", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The time was over before the job's own parameters were measured.
    #[error("not one trial was finished in time; allow more (--minutes)")]
    NoTrial,
    /// The text of the job cannot be edited.
    #[error("{}: cannot put parameters into it: {reason}", path.display())]
    Edit {
        /// The job.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}
