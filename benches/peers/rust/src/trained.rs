//! hessboost on the trees of LightGBM, which it imports.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use hessboost::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::boosting::f32_rows;
use crate::table::{Table, write_values};

/// Rows and a model of LightGBM (`MODEL.txt`).
#[derive(Deserialize)]
pub(crate) struct Trained {
    model: String,
    rows: PathBuf,
    /// Rows scored one at a time.
    singles: Option<PathBuf>,
    warm: PathBuf,
    scores: PathBuf,
}

impl Trained {
    fn read(&self) -> anyhow::Result<(BoostedModel, usize, Vec<f32>, Vec<f32>)> {
        let model = BoostedModel::load(format!("{}.txt", self.model), ModelFormat::LightgbmText)?;
        let (rows, warm) = (Table::read(&self.rows)?, Table::read(&self.warm)?);
        Ok((model, rows.n_rows(), f32_rows(rows), f32_rows(warm)))
    }

    /// Microseconds a row: one after another, and all at once.
    pub(crate) fn score(&self) -> anyhow::Result<Value> {
        let (model, n_rows, rows, warm) = self.read()?;
        let width = rows.len() / n_rows;
        for row in warm.chunks_exact(width) {
            black_box(model.predict_row(row, Iterations::Best)?);
        }
        let singles = self.singles.as_ref().context("no rows to score one at a time")?;
        let singles = f32_rows(Table::read(singles)?);
        let start = Instant::now();
        for row in singles.chunks_exact(width) {
            black_box(model.predict_row(black_box(row), Iterations::Best)?);
        }
        let single_us = start.elapsed().as_secs_f64() * 1e6 * width as f64 / singles.len() as f64;

        black_box(model.predict_rows(&warm, Iterations::Best)?);
        let start = Instant::now();
        let scores = model.predict_rows(black_box(&rows), Iterations::Best)?;
        let batch_us = start.elapsed().as_secs_f64() * 1e6 / n_rows as f64;
        let scores: Vec<f64> = scores.as_slice().iter().copied().map(f64::from).collect();
        write_values(&self.scores, &scores)?;
        Ok(json!({ "single_us": single_us, "batch_us": batch_us }))
    }

    /// Microseconds a row for contributions of all columns and the bias.
    pub(crate) fn explain(&self) -> anyhow::Result<Value> {
        let (model, n_rows, rows, warm) = self.read()?;
        let width = rows.len() / n_rows;
        let matrix = |values: &[f32]| DMatrix::from_dense(values, values.len() / width, width);
        black_box(model.predict_contribs(&matrix(&warm)?, Iterations::Best)?);
        let start = Instant::now();
        let values = model.predict_contribs(&matrix(&rows)?, Iterations::Best)?;
        let row_us = start.elapsed().as_secs_f64() * 1e6 / n_rows as f64;
        let values: Vec<f64> = values.as_slice().iter().copied().map(f64::from).collect();
        write_values(&self.scores, &values)?;
        Ok(json!({ "row_us": row_us }))
    }
}
