//! `segue features`.

use anyhow::Context;
use segue_training::export::write_features;
use segue_training::train::{Preflight, prepare};
use segue_training::watch::Watch;
use serde_json::json;

use super::{read_job, train_options};
use crate::args::Features;
use crate::console::Console;

pub(crate) fn run(args: &Features, console: &Console) -> anyhow::Result<()> {
    let job = read_job(&args.job)?;
    let (prepared, _) = prepare(&job, None, &train_options(&args.job, ""), console)
        .with_context(|| format!("job {}", args.job.job.display()))?;
    write_features(&prepared, &args.out)?;
    let sizes = Preflight::of(&prepared);
    let (n_rows, n_features) = (prepared.dataset.n_rows(), prepared.dataset.schema().len());
    let machine = json!({
        "out": args.out.display().to_string(),
        "n_rows": n_rows,
        "n_features": n_features,
        "parts": sizes,
        "counts": prepared.facts.counts,
        "dropped": prepared.facts.dropped,
        "left_out": prepared.facts.features_left_out,
    });
    for (reason, n) in &prepared.facts.dropped {
        console.note(&format!("{n} instants left out: {reason}"));
    }
    for (what, reason) in &prepared.facts.features_left_out {
        console.note(&format!("feature left out: {what}: {reason}"));
    }
    console.result(&machine, || {
        format!("{n_rows} rows of {n_features} features in {}", args.out.display())
    });
    Ok(())
}
