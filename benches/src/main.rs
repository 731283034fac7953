//! `segue-peer TASK.json`: does one piece of work in a fresh process, measures it, and prints the
//! figures as one line of JSON. `benches/peers/` starts it beside the runners of other tools.

#![allow(clippy::print_stdout, reason = "the figures go to standard output")]

mod explain;
mod fit;
mod lightgbm_dump;
mod meter;
mod score;
mod table;

use std::path::PathBuf;

use anyhow::{Context, bail};
use serde::Deserialize;

/// The work, as the Python side writes it. Every path but `scores` is read.
#[derive(Debug, Deserialize)]
#[serde(tag = "work", rename_all = "lowercase")]
enum Task {
    /// Fit a table, then score another one.
    Fit(fit::Fit),
    /// Score rows by a given model: one at a time, then all.
    Score(score::Score),
    /// Exact Shapley values of rows by a given model.
    Explain(explain::Explain),
}

fn main() -> anyhow::Result<()> {
    let Some(path) = std::env::args_os().nth(1).map(PathBuf::from) else {
        bail!("usage: segue-peer TASK.json");
    };
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let task: Task =
        serde_json::from_str(&text).with_context(|| format!("{} is no task", path.display()))?;
    let figures = match task {
        Task::Fit(task) => task.run()?,
        Task::Score(task) => task.run()?,
        Task::Explain(task) => task.run()?,
    };
    println!("{figures}");
    Ok(())
}
