//! `rust-peers TASK.json`: one measured fit, scoring or explanation by another Rust crate. The figures
//! go to standard output as one line of JSON, as those of `segue-peer`.

mod boosting;
mod forest;
#[path = "../../../src/meter.rs"]
mod meter;
mod plain;
#[path = "../../../src/table.rs"]
mod table;
mod trained;

use std::path::PathBuf;

use anyhow::{Context, bail};
use serde::Deserialize;

/// The work, as the Python side writes it.
#[derive(Deserialize)]
#[serde(tag = "work", rename_all = "lowercase")]
enum Task {
    Fit(Fit),
    Score(trained::Trained),
    Explain(trained::Trained),
}

/// A fit; the fields as in `segue-peer`.
#[derive(Deserialize)]
struct Fit {
    flags: Flags,
    learner: String,
    table: PathBuf,
    test: PathBuf,
    scores: PathBuf,
    threads: usize,
    rounds: usize,
    leaves: usize,
    learning_rate: f64,
    min_rows: usize,
    seed: u64,
}

#[derive(Deserialize)]
struct Flags {
    library: String,
    #[serde(default)]
    depth_wise: bool,
    #[serde(default)]
    quantized: bool,
}

fn main() -> anyhow::Result<()> {
    let Some(path) = std::env::args_os().nth(1) else {
        bail!("usage: rust-peers TASK.json");
    };
    let text = std::fs::read_to_string(path).context("cannot read the task")?;
    let figures = match serde_json::from_str(&text)? {
        Task::Fit(fit) => match (fit.flags.library.as_str(), fit.learner.as_str()) {
            ("hessboost", _) => boosting::with_hessboost(&fit)?,
            ("smartcore", "forest") => forest::with_smartcore(&fit)?,
            ("smartcore", _) => boosting::with_smartcore(&fit)?,
            ("linfa", "forest") => forest::with_linfa(&fit)?,
            ("linfa", _) => boosting::with_linfa(&fit)?,
            (library, _) => bail!("no library of the name {library}"),
        },
        Task::Score(work) => work.score()?,
        Task::Explain(work) => work.explain()?,
    };
    println!("{figures}");
    Ok(())
}
