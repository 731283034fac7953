//! What can be wrong with parameters and with a fit.

use segue_dataset::{DatasetError, SchemaError};

use crate::BinningError;

/// A parameter outside its range. One variant a rule, so that a caller can map it to its own key.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParamError {
    /// A whole number outside its range.
    #[error("{field} is {value}, expected {min} to {max}")]
    Integer {
        /// Name of the parameter.
        field: &'static str,
        /// What it is.
        value: u64,
        /// Smallest allowed.
        min: u64,
        /// Largest allowed.
        max: u64,
    },
    /// A real number outside its range.
    #[error("{field} is {value}, expected {expected}")]
    Real {
        /// Name of the parameter.
        field: &'static str,
        /// What it is.
        value: f64,
        /// What it may be, in words.
        expected: &'static str,
    },
    /// Two parameters contradict each other.
    #[error("{field} contradicts {other}: {reason}")]
    Contradiction {
        /// One parameter.
        field: &'static str,
        /// The other.
        other: &'static str,
        /// Why, and the way out.
        reason: &'static str,
    },
}

pub(crate) fn check_integer(
    field: &'static str,
    value: usize,
    min: u64,
    max: u64,
) -> Result<(), ParamError> {
    let value = value as u64;
    if (min..=max).contains(&value) {
        Ok(())
    } else {
        Err(ParamError::Integer { field, value, min, max })
    }
}

pub(crate) fn check_real(
    field: &'static str,
    value: f64,
    fits: bool,
    expected: &'static str,
) -> Result<(), ParamError> {
    if fits { Ok(()) } else { Err(ParamError::Real { field, value, expected }) }
}

/// Why a fit did not give a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LearnError {
    /// A parameter is outside its range.
    #[error(transparent)]
    Param(#[from] ParamError),
    /// The table cannot be turned into byte codes.
    #[error(transparent)]
    Binning(#[from] BinningError),
    /// Column names handed over through linfa do not make a schema.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Parts handed over through linfa do not make a dataset.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// No row has a positive weight.
    #[error("the training data has no row with a positive weight")]
    NoRows,
    /// The table has no column.
    #[error("the training data has no feature column")]
    NoColumns,
    /// Only one class occurs, so that there is nothing to learn.
    #[error("all training rows are of class {class}; two classes are needed")]
    SingleClass {
        /// Index of the class that occurs.
        class: usize,
    },
    /// The objective does not fit the target.
    #[error("objective {objective} does not fit a {target} target; use {instead}")]
    ObjectiveTarget {
        /// Name of the objective.
        objective: &'static str,
        /// Kind of the target.
        target: &'static str,
        /// Objectives that fit.
        instead: &'static str,
    },
    /// The objective does not allow a label.
    #[error("label of row {row} is {value}, objective {objective} expects {expected}")]
    Label {
        /// Row index.
        row: usize,
        /// What it is.
        value: f64,
        /// Name of the objective.
        objective: &'static str,
        /// What it may be.
        expected: &'static str,
    },
    /// A custom objective starts a fit nowhere.
    #[error("objective {objective} gives the start value {value}, expected a finite number")]
    StartValue {
        /// Name of the objective.
        objective: &'static str,
        /// What it gives.
        value: f64,
    },
    /// A custom objective gives derivatives that no step can be made of.
    #[error(
        "objective {objective} gives row {row} at margin {margin} the derivatives {first} and \
         {second}, expected finite numbers, the second not below 0"
    )]
    Derivatives {
        /// Name of the objective.
        objective: &'static str,
        /// Row index.
        row: usize,
        /// Where the loss was derived.
        margin: f64,
        /// First derivative.
        first: f64,
        /// Second derivative.
        second: f64,
    },
    /// The loss that early stopping watches never was a finite number, so that no round is the best.
    #[error(
        "the validation loss of objective {objective} is {value} after round 1 and finite after none of \
         {iteration} rounds, so that early_stopping_rounds has no best one to keep; look for extreme labels \
         among the validation rows, or set it to 0"
    )]
    ValidationLoss {
        /// Name of the objective.
        objective: &'static str,
        /// Loss after the first round.
        value: f64,
        /// Rounds judged.
        iteration: usize,
    },
    /// The ensemble that a fit should start from cannot be the beginning of one.
    #[error("the fit cannot start from the given trees: {reason}")]
    Start {
        /// What does not fit.
        reason: String,
    },
    /// A learner was given an option that it does not have.
    #[error("{learner} has no {option}; only boosting has")]
    OnlyBoosting {
        /// Name of the learner.
        learner: &'static str,
        /// The option.
        option: &'static str,
    },
    /// The validation table is of another kind than the training table.
    #[error("validation data has another {what} than the training data")]
    ValidationMismatch {
        /// What differs: the schema or the target.
        what: &'static str,
    },
    /// A class weight list of another length than the classes.
    #[error("class_weight lists {got} weights, the target has {expected} classes")]
    ClassWeightCount {
        /// Classes of the target.
        expected: usize,
        /// Weights listed.
        got: usize,
    },
    /// Class weights were given for a regression.
    #[error("class_weight needs classes, the target is a regression; remove it")]
    ClassWeightTarget,
    /// Monotone constraints of another number than the columns.
    #[error("monotone lists {got} columns, the table has {expected}")]
    MonotoneCount {
        /// Columns of the table.
        expected: usize,
        /// Constraints listed.
        got: usize,
    },
    /// A monotone constraint on a category, which has no order.
    #[error(
        "monotone constrains column {column:?}, which is a category; only numbers have an order"
    )]
    MonotoneCategory {
        /// Name of the column.
        column: String,
    },
    /// An interaction group names a column that the table does not have.
    #[error(
        "group {group} of interactions names column {column}, the table has {n_columns} columns"
    )]
    InteractionColumn {
        /// Index of the group.
        group: usize,
        /// What it names.
        column: u32,
        /// Columns of the table.
        n_columns: usize,
    },
    /// A learner that only classifies was given a regression.
    #[error("{learner} only classifies, the target is a regression; use {instead}")]
    OnlyClassifies {
        /// The learner.
        learner: &'static str,
        /// A learner that can.
        instead: &'static str,
    },
    /// The caller's progress function asked to stop.
    #[error("the fit was cancelled after {iteration} iterations")]
    Cancelled {
        /// Iterations done.
        iteration: usize,
    },
    /// Worker threads could not be started.
    #[error("could not start {n_threads} worker threads: {reason}")]
    Threads {
        /// Threads asked for.
        n_threads: usize,
        /// The system's reason.
        reason: String,
    },
    /// A borrowed learner failed.
    #[error("{library} failed: {reason}")]
    Library {
        /// Name of the library.
        library: &'static str,
        /// Its message.
        reason: String,
    },
}

impl From<linfa::Error> for LearnError {
    fn from(error: linfa::Error) -> Self {
        Self::Library { library: "linfa", reason: error.to_string() }
    }
}
