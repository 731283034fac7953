//! Scoring by given instructions, each kind of call by the engine that is quickest on the warm-up rows.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use segue_dataset::Matrix;
use segue_model::{Engine, EngineScratch, Ensemble, Instructions, Model, Scorer};
use serde_json::{Value, json};

use crate::table::{Table, write_values};

/// Figures as those of the model's own choice; tables: warm-up, one at a time, batch.
pub(super) fn score(
    model: &Model,
    instructions: &str,
    [warm, singles, rows]: [Table; 3],
    scores: &Path,
) -> anyhow::Result<Value> {
    let level = Instructions::available().into_iter().find(|level| level.name() == instructions);
    let level = level.with_context(|| format!("this machine has no {instructions}"))?;
    let ensemble = model.ensemble();
    let n_columns = rows.columns.len();
    let scorers: Vec<Scorer> = [Engine::Walk, Engine::Masks, Engine::Select]
        .into_iter()
        .filter_map(|engine| Scorer::compile_for(ensemble, n_columns, level, engine))
        .collect();

    let (warm_rows, single_rows) = (warm.to_rows(), singles.to_rows());
    let one = quickest(&scorers, |scorer| one_by_one(scorer, ensemble, &warm_rows, n_columns))?;
    let single_us = one_by_one(one, ensemble, &single_rows, n_columns);

    let matrix = |table: Table| Matrix::from_columns(table.n_rows(), table.columns);
    let (warm, rows) = (matrix(warm), matrix(rows));
    let all = quickest(&scorers, |scorer| at_once(scorer, ensemble, &warm).0)?;
    let (batch_us, probabilities) = at_once(all, ensemble, &rows);
    write_values(scores, &probabilities)?;
    Ok(json!({ "single_us": single_us, "batch_us": batch_us }))
}

fn quickest(scorers: &[Scorer], time: impl Fn(&Scorer) -> f64) -> anyhow::Result<&Scorer> {
    let timed = scorers.iter().map(|scorer| (time(scorer), scorer));
    let best = timed.min_by(|a, b| a.0.total_cmp(&b.0));
    Ok(best.context("no engine takes the model")?.1)
}

fn one_by_one(scorer: &Scorer, ensemble: &Ensemble, rows: &[f64], n_columns: usize) -> f64 {
    let (mut scratch, mut out) = (EngineScratch::default(), [0.0]);
    let start = Instant::now();
    for row in rows.chunks_exact(n_columns) {
        scorer.margins(black_box(row), &mut scratch, &mut out);
        ensemble.link(&mut out);
        black_box(out);
    }
    start.elapsed().as_secs_f64() * 1e6 * n_columns as f64 / rows.len() as f64
}

fn at_once(scorer: &Scorer, ensemble: &Ensemble, rows: &Matrix) -> (f64, Vec<f64>) {
    let n_rows = rows.n_rows();
    let start = Instant::now();
    let mut out = vec![0.0; n_rows];
    scorer.margins_of_rows(black_box(rows), 0..n_rows, &mut EngineScratch::default(), &mut out);
    ensemble.link(&mut out);
    (start.elapsed().as_secs_f64() * 1e6 / n_rows as f64, out)
}
