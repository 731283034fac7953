//! `segue predictions`.

use std::time::SystemTime;

use segue_serving::{JoinRequest, join_predictions};
use segue_training::watch::Watch;
use serde_json::json;

use crate::args::{JoinPredictions, Predictions, PredictionsCommand};
use crate::console::Console;

pub(crate) fn run(args: &Predictions, console: &Console) -> anyhow::Result<()> {
    match &args.command {
        PredictionsCommand::Join(args) => join(args, console),
    }
}

fn join(args: &JoinPredictions, console: &Console) -> anyhow::Result<()> {
    let joined = join_predictions(&JoinRequest {
        logs: args.log.clone(),
        model: args.model.clone(),
        version: args.model_version,
        since: args.since.map(SystemTime::from),
        until: args.until.map(SystemTime::from),
        ripe_after: args.ripe.unwrap_or_default(),
        out: args.out.clone(),
    })?;
    if joined.n_unusable > 0 {
        console.note(&format!(
            "{} outcomes are of another kind than the model's and were left out",
            joined.n_unusable
        ));
    }
    if joined.n_early > 0 {
        console.note(&format!(
            "{} outcomes happened before their prediction and were left out",
            joined.n_early
        ));
    }
    if joined.n_unripe > 0 {
        console.note(&format!("{} predictions are not ripe and were left out", joined.n_unripe));
    }
    if joined.n_unreadable > 0 {
        console.note(&format!(
            "{} lines of outcome files could not be read and were left out",
            joined.n_unreadable
        ));
    }
    let machine = json!({
        "model": args.model,
        "out": args.out.display().to_string(),
        "n_predictions": joined.n_predictions,
        "n_rows": joined.n_rows,
        "n_unusable": joined.n_unusable,
        "n_unreadable": joined.n_unreadable,
        "n_early": joined.n_early,
        "n_unripe": joined.n_unripe,
    });
    console.result(&machine, || {
        format!(
            "{} of {} predictions have an outcome: {}",
            joined.n_rows,
            joined.n_predictions,
            args.out.display()
        )
    });
    Ok(())
}
