//! Measured exact Shapley values of fresh rows by a model that LightGBM has fitted.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use segue_dataset::Matrix;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::lightgbm_dump;
use crate::table::{Table, write_values};

/// Exact Shapley values of rows by a given model.
#[derive(Debug, Deserialize)]
pub(crate) struct Explain {
    /// `dump_model()` of LightGBM as JSON.
    dump: PathBuf,
    /// Measured rows.
    rows: PathBuf,
    /// Other rows, explained before to warm up.
    warm: PathBuf,
    /// Where the contributions go, a row of `n_columns + 1` values with the bias last.
    scores: PathBuf,
}

impl Explain {
    /// Microseconds a row, all rows at once.
    pub(crate) fn run(self) -> anyhow::Result<Value> {
        let (rows, warm) = (Table::read(&self.rows)?, Table::read(&self.warm)?);
        let model = lightgbm_dump::read(&self.dump, &rows.n_categories)?;
        black_box(model.explain_rows(&Matrix::from_columns(warm.n_rows(), warm.columns)));
        let n_rows = rows.n_rows();
        let features = Matrix::from_columns(n_rows, rows.columns);
        let start = Instant::now();
        let explanations = black_box(model.explain_rows(black_box(&features)));
        let row_us = start.elapsed().as_secs_f64() * 1e6 / n_rows as f64;
        let mut contributions = Vec::with_capacity(n_rows * (features.n_columns() + 1));
        for row in 0..n_rows {
            contributions.extend_from_slice(explanations.contributions(row, 0));
            contributions.push(explanations.bias()[0]);
        }
        write_values(&self.scores, &contributions)?;
        Ok(json!({ "row_us": row_us }))
    }
}
