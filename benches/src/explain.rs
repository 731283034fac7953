//! Measured exact Shapley values of fresh rows by a model that LightGBM has fitted.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

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
    /// Microseconds a row, row after row.
    pub(crate) fn run(self) -> anyhow::Result<Value> {
        let (rows, warm) = (Table::read(&self.rows)?, Table::read(&self.warm)?);
        let model = lightgbm_dump::read(&self.dump, &rows.n_categories)?;
        let n_columns = rows.columns.len();
        for row in warm.to_rows().chunks_exact(n_columns) {
            black_box(model.explain(row));
        }
        let by_row = rows.to_rows();
        let mut contributions = Vec::with_capacity(rows.n_rows() * (n_columns + 1));
        let start = Instant::now();
        for row in by_row.chunks_exact(n_columns) {
            let explanation = model.explain(black_box(row));
            contributions.extend_from_slice(explanation.contributions(0));
            contributions.push(explanation.bias()[0]);
        }
        let row_us = start.elapsed().as_secs_f64() * 1e6 / rows.n_rows() as f64;
        write_values(&self.scores, &contributions)?;
        Ok(json!({ "row_us": row_us }))
    }
}
