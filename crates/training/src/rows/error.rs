//! Why labelled rows cannot be made.

use segue_dataset::{DatasetError, SchemaError, SplitError};
use segue_features::FeatureError;

use crate::read::ReadError;

/// Why there are no rows to fit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RowsError {
    /// Files.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Features or conditions.
    #[error(transparent)]
    Features(#[from] FeatureError),
    /// Split.
    #[error("{0}")]
    Split(#[from] SplitError),
    /// Shapes and values.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Names.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A label column that does not fit the task.
    #[error("table.label: column {column:?} {found}; {expected}")]
    Label {
        /// The column.
        column: String,
        /// What it holds.
        found: String,
        /// What the task needs and how to get there.
        expected: String,
    },
    /// The spine gives no row.
    #[error("no row is left to learn from: {n_points} instants, of which {dropped}; {hint}")]
    NoRows {
        /// Instants of the spine.
        n_points: usize,
        /// Counts by reason.
        dropped: String,
        /// What to change.
        hint: String,
    },
    /// Slices name no category.
    #[error(
        "slices.by: {names:?} are not all features of categories or true and false; there are: {known:?}"
    )]
    Slices {
        /// As written.
        names: Vec<String>,
        /// What there is.
        known: Vec<String>,
    },
    /// The label needs something that the log does not hold.
    #[error("label: {message}")]
    LabelEvents {
        /// What is missing and what is there.
        message: String,
    },
}
