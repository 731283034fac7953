//! Later rows kept with a version, so that champion and candidate can be judged on the same data.

use std::collections::BTreeMap;
use std::sync::Arc;

use segue_dataset::{Dataset, DatasetError, RowKeys};

use crate::Model;

/// What a row belongs to, such as its country; metrics are also given by slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceColumn {
    /// What is sliced by.
    pub name: String,
    /// The labels, unique, sorted.
    pub labels: Vec<String>,
    /// Index into `labels` of each row, shape `(n_rows,)`.
    pub codes: Vec<u32>,
}

impl SliceColumn {
    /// Numbers the labels of all rows in sorted order.
    pub fn of(name: impl Into<String>, rows: &[impl AsRef<str>]) -> Self {
        let mut numbers: BTreeMap<&str, u32> = rows.iter().map(|row| (row.as_ref(), 0)).collect();
        for (number, entry) in (0u32..).zip(numbers.values_mut()) {
            *entry = number;
        }
        let codes = rows.iter().map(|row| numbers[row.as_ref()]).collect();
        let labels = numbers.keys().map(|&label| label.to_owned()).collect();
        Self { name: name.into(), labels, codes }
    }

    /// Rows of the label with index `code`.
    pub fn rows_of(&self, code: u32) -> impl Iterator<Item = usize> + '_ {
        self.codes.iter().enumerate().filter(move |&(_, &of)| of == code).map(|(row, _)| row)
    }
}

/// Why a table cannot be kept.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum HoldoutError {
    /// The rows kept are not a checked table.
    #[error(transparent)]
    Table(#[from] DatasetError),
    /// A slice column has another number of rows.
    #[error("slice {slice:?} has {found} rows, the table has {expected}")]
    SliceRows {
        /// The slice column.
        slice: String,
        /// Rows of the table.
        expected: usize,
        /// Rows of the slice column.
        found: usize,
    },
    /// A slice column is inconsistent.
    #[error("slice {slice:?}: {fault}")]
    Slice {
        /// The slice column.
        slice: String,
        /// What is wrong.
        fault: String,
    },
}

/// A labelled table without users or times, and its slices.
#[derive(Debug, Clone)]
pub struct Holdout {
    pub(crate) dataset: Dataset,
    pub(crate) slices: Vec<SliceColumn>,
}

impl Holdout {
    /// Keeps at most `max_rows` rows of `dataset`, evenly spaced over its order, and drops users and
    /// times: nothing in the result says whose row it is.
    ///
    /// # Errors
    /// [`HoldoutError`] if a slice column does not fit.
    pub fn new(
        dataset: &Dataset,
        slices: Vec<SliceColumn>,
        max_rows: usize,
    ) -> Result<Self, HoldoutError> {
        let n_rows = dataset.n_rows();
        for slice in &slices {
            check_slice(slice, n_rows)?;
        }
        let n_kept = n_rows.min(max_rows);
        let rows: Vec<u32> = (0..n_kept)
            .map(|kept| ((kept as u128 * n_rows as u128) / n_kept as u128) as u32)
            .collect();
        let picked = |codes: &[u32]| rows.iter().map(|&row| codes[row as usize]).collect();
        let slices = slices
            .into_iter()
            .map(|slice| SliceColumn { codes: picked(&slice.codes), ..slice })
            .collect();
        let kept = dataset.select(&rows);
        let dataset = Dataset::new(
            Arc::clone(kept.schema()),
            kept.features().clone(),
            kept.target().clone(),
            kept.weight().map(<[f64]>::to_vec),
            RowKeys::default(),
        )?;
        Ok(Self { dataset, slices })
    }

    /// The rows; users and times are empty.
    #[must_use]
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// The slice columns.
    #[must_use]
    pub fn slices(&self) -> &[SliceColumn] {
        &self.slices
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.dataset.n_rows()
    }

    /// Outputs of a model on all rows, row-major, shape `(n_rows, n_outputs)`; `None` if the model
    /// reads another schema or predicts another target.
    #[must_use]
    pub fn score(&self, model: &Model) -> Option<Vec<f64>> {
        let fits = model.schema().digest() == self.dataset.schema().digest()
            && *model.target() == self.dataset.target().kind;
        fits.then(|| model.score_rows(self.dataset.features()))
    }
}

pub(crate) fn check_slice(slice: &SliceColumn, n_rows: usize) -> Result<(), HoldoutError> {
    let name = slice.name.clone();
    if slice.codes.len() != n_rows {
        let (expected, found) = (n_rows, slice.codes.len());
        return Err(HoldoutError::SliceRows { slice: name, expected, found });
    }
    if !slice.labels.is_sorted_by(|a, b| a < b) {
        let fault = "labels must be sorted and unique".to_owned();
        return Err(HoldoutError::Slice { slice: name, fault });
    }
    match slice.codes.iter().find(|&&code| code as usize >= slice.labels.len()) {
        Some(code) => {
            let fault = format!("code {code} of {} labels", slice.labels.len());
            Err(HoldoutError::Slice { slice: name, fault })
        }
        None => Ok(()),
    }
}
