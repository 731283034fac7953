//! Measured scoring of fresh rows by a model that LightGBM has fitted.

mod narrow;

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use segue_dataset::Matrix;
use segue_model::Scratch;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::lightgbm_dump;
use crate::table::{Table, write_values};

/// Score rows by a given model: one at a time, then all.
#[derive(Debug, Deserialize)]
pub(crate) struct Score {
    /// `dump_model()` of LightGBM as JSON.
    dump: PathBuf,
    /// Rows of the measured batch.
    rows: PathBuf,
    /// Rows measured one at a time.
    singles: PathBuf,
    /// Other rows, scored before to warm up.
    warm: PathBuf,
    /// Where the probabilities of `rows` go.
    scores: PathBuf,
    flags: Flags,
}

#[derive(Debug, Deserialize)]
struct Flags {
    /// Instructions by name, to see narrower ones than this machine's widest; otherwise the model chooses.
    instructions: Option<String>,
}

impl Score {
    /// Microseconds a row, from values in memory to probabilities: `single_us` row after row from row-major
    /// values, `batch_us` all at once from columns. No row has been scored before.
    pub(crate) fn run(self) -> anyhow::Result<Value> {
        let (rows, singles) = (Table::read(&self.rows)?, Table::read(&self.singles)?);
        let load = Instant::now();
        let model = lightgbm_dump::read(&self.dump, &rows.n_categories)?;
        let load_s = load.elapsed().as_secs_f64();
        let warm = Table::read(&self.warm)?;
        if let Some(instructions) = &self.flags.instructions {
            return narrow::score(&model, instructions, [warm, singles, rows], &self.scores);
        }
        let n_columns = rows.columns.len();

        let mut scratch = Scratch::default();
        for row in warm.to_rows().chunks_exact(n_columns) {
            black_box(model.score(row, &mut scratch).score());
        }
        let by_row = singles.to_rows();
        let start = Instant::now();
        for row in by_row.chunks_exact(n_columns) {
            black_box(model.score(black_box(row), &mut scratch).score());
        }
        let single_us = start.elapsed().as_secs_f64() * 1e6 / singles.n_rows() as f64;

        black_box(model.score_rows(&Matrix::from_columns(warm.n_rows(), warm.columns)));
        let n_rows = rows.n_rows();
        let features = Matrix::from_columns(n_rows, rows.columns);
        let start = Instant::now();
        let scores = black_box(model.score_rows(black_box(&features)));
        let batch_us = start.elapsed().as_secs_f64() * 1e6 / n_rows as f64;

        write_values(&self.scores, &scores)?;
        Ok(json!({ "single_us": single_us, "batch_us": batch_us, "load_s": load_s }))
    }
}
