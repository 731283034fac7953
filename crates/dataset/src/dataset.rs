//! A checked table: features, labels, weights, and who and when each row is.

use std::sync::Arc;

use crate::{Feature, FeatureKind, Matrix, Schema, Target, TargetKind, UNSEEN_CATEGORY};

/// Who and when each row is. Empty vectors mean "not known".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowKeys {
    /// User of each row, shape `(n_rows,)` or empty.
    pub user: Vec<Arc<str>>,
    /// Instant of each row in microseconds UTC, shape `(n_rows,)` or empty.
    pub t: Vec<i64>,
}

/// Why parts do not make a dataset.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum DatasetError {
    /// A part has another number of rows than the labels.
    #[error("{part} has {got} rows, the labels have {expected}")]
    RowCount {
        /// Which part.
        part: &'static str,
        /// Rows of the labels.
        expected: usize,
        /// Rows of the part.
        got: usize,
    },
    /// The matrix has another number of columns than the schema.
    #[error("the matrix has {got} columns, the schema names {expected}")]
    ColumnCount {
        /// Columns of the schema.
        expected: usize,
        /// Columns of the matrix.
        got: usize,
    },
    /// A label is missing, not finite, or outside its kind.
    #[error("label of row {row} is {value}, expected {expected}")]
    Label {
        /// Row index.
        row: usize,
        /// What it is.
        value: f64,
        /// What it may be.
        expected: String,
    },
    /// A weight is negative or not finite.
    #[error("weight of row {row} is {value}, expected a finite number not below 0")]
    Weight {
        /// Row index.
        row: usize,
        /// What it is.
        value: f64,
    },
    /// A value does not fit its feature.
    #[error("feature {feature:?} of row {row} is {value}, expected {expected}")]
    Value {
        /// Feature name.
        feature: String,
        /// Row index.
        row: usize,
        /// What it is.
        value: f64,
        /// What it may be.
        expected: String,
    },
}

/// A feature table with labels. Constructed checked; parts are read through accessors.
#[derive(Debug, Clone)]
pub struct Dataset {
    schema: Arc<Schema>,
    features: Matrix,
    target: Target,
    weight: Option<Vec<f64>>,
    keys: RowKeys,
}

impl Dataset {
    /// Checks shapes, labels, weights and category codes.
    ///
    /// # Errors
    /// The first part, row and value that does not fit.
    pub fn new(
        schema: Arc<Schema>,
        features: Matrix,
        target: Target,
        weight: Option<Vec<f64>>,
        keys: RowKeys,
    ) -> Result<Self, DatasetError> {
        let expected = target.values.len();
        if features.n_columns() != schema.len() {
            let (expected, got) = (schema.len(), features.n_columns());
            return Err(DatasetError::ColumnCount { expected, got });
        }
        let mut rows = vec![("the matrix", features.n_rows())];
        rows.extend(weight.iter().map(|weight| ("the weights", weight.len())));
        rows.extend((!keys.user.is_empty()).then_some(("the users", keys.user.len())));
        rows.extend((!keys.t.is_empty()).then_some(("the times", keys.t.len())));
        if let Some(&(part, got)) = rows.iter().find(|(_, got)| *got != expected) {
            return Err(DatasetError::RowCount { part, expected, got });
        }
        check_labels(&target)?;
        for (row, &value) in weight.iter().flatten().enumerate() {
            if !(value.is_finite() && value >= 0.0) {
                return Err(DatasetError::Weight { row, value });
            }
        }
        for (feature, column) in schema.features().iter().zip(features.columns()) {
            check_column(feature, column)?;
        }
        Ok(Self { schema, features, target, weight, keys })
    }

    /// The schema.
    #[must_use]
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The feature values.
    #[must_use]
    pub fn features(&self) -> &Matrix {
        &self.features
    }

    /// The labels.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The weights; `None` means that all are 1.
    #[must_use]
    pub fn weight(&self) -> Option<&[f64]> {
        self.weight.as_deref()
    }

    /// Users and times.
    #[must_use]
    pub fn keys(&self) -> &RowKeys {
        &self.keys
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.target.values.len()
    }

    /// A copy of the rows `rows`, in that order, repeats allowed.
    ///
    /// # Panics
    /// If a row is out of range.
    #[must_use]
    pub fn select(&self, rows: &[u32]) -> Self {
        fn pick<T: Clone>(values: &[T], rows: &[u32]) -> Vec<T> {
            if values.is_empty() {
                return Vec::new();
            }
            rows.iter().map(|&row| values[row as usize].clone()).collect()
        }
        Self {
            schema: Arc::clone(&self.schema),
            features: self.features.select(rows),
            target: Target {
                kind: self.target.kind.clone(),
                values: pick(&self.target.values, rows),
            },
            weight: self.weight.as_ref().map(|weight| pick(weight, rows)),
            keys: RowKeys { user: pick(&self.keys.user, rows), t: pick(&self.keys.t, rows) },
        }
    }
}

fn check_labels(target: &Target) -> Result<(), DatasetError> {
    let (fits, expected): (Box<dyn Fn(f64) -> bool>, String) = match &target.kind {
        TargetKind::Binary => (Box::new(|value| value == 0.0 || value == 1.0), "0 or 1".into()),
        TargetKind::Multiclass { classes } => {
            let n = classes.len();
            let fits = move |value: f64| value >= 0.0 && value.fract() == 0.0 && value < n as f64;
            (Box::new(fits), format!("a class index below {n}"))
        }
        TargetKind::Regression => (Box::new(f64::is_finite), "a finite number".into()),
    };
    match target.values.iter().position(|&value| !fits(value)) {
        Some(row) => Err(DatasetError::Label { row, value: target.values[row], expected }),
        None => Ok(()),
    }
}

fn check_column(feature: &Feature, column: &[f64]) -> Result<(), DatasetError> {
    let (bad, expected) = match &feature.kind {
        FeatureKind::Number => (
            column.iter().position(|value| value.is_infinite()),
            "a finite number or missing".to_owned(),
        ),
        FeatureKind::Category { vocabulary } => {
            let n = vocabulary.len() as f64;
            let fits = |value: f64| {
                value.is_nan()
                    || value == UNSEEN_CATEGORY
                    || (value >= 0.0 && value < n && value.fract() == 0.0)
            };
            let bad = column.iter().position(|&value| !fits(value));
            (bad, format!("a category code below {n}, {UNSEEN_CATEGORY} or missing"))
        }
    };
    match bad {
        Some(row) => {
            let (feature, value) = (feature.name.clone(), column[row]);
            Err(DatasetError::Value { feature, row, value, expected })
        }
        None => Ok(()),
    }
}
