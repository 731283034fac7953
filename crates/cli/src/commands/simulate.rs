//! `segue simulate`.

use std::fs::File;
use std::io::{BufWriter, Write};

use anyhow::Context;
use segue_simulator::{Dirt, SimulationParams, SimulationSummary, simulate};
use segue_training::watch::Watch;
use segue_training::write::Partial;

use crate::args::Simulate;
use crate::console::{Console, table};

pub(crate) fn run(args: &Simulate, console: &Console) -> anyhow::Result<()> {
    let summary = into_folder(args, console)?;
    console.result(&summary, || {
        let tasks = [
            ("churn", &summary.churn),
            ("support_need", &summary.support_need),
            ("conversion", &summary.conversion),
        ];
        let rows: Vec<Vec<String>> = tasks
            .iter()
            .map(|(name, task)| {
                let auc = task.bayes_auc.map_or_else(|| "-".to_owned(), |auc| format!("{auc:.4}"));
                vec![(*name).to_owned(), format!("{:.1} %", 100.0 * task.base_rate), auc]
            })
            .collect();
        format!(
            "{} users, {} events on {} lines in {}\n\n{}",
            summary.users,
            summary.events,
            summary.lines,
            args.out.join("events.jsonl").display(),
            table(&["task", "base rate", "best possible AUC"], &rows)
        )
    });
    Ok(())
}

/// Writes `events.jsonl` and `truth.csv`.
pub(crate) fn into_folder(args: &Simulate, console: &Console) -> anyhow::Result<SimulationSummary> {
    let mut dirt = if args.clean { Dirt::none() } else { Dirt::default() };
    dirt.malformed_rate = args.malformed;
    let params = SimulationParams {
        n_users: args.users,
        seed: args.seed,
        signup_days: args.signup_days,
        dirt,
        ..SimulationParams::default()
    };
    params.check()?;
    let (events_part, truth_part) =
        (Partial::of(&args.out.join("events.jsonl")), Partial::of(&args.out.join("truth.csv")));
    let buffered = |part: &Partial| -> anyhow::Result<BufWriter<File>> {
        Ok(BufWriter::with_capacity(1 << 20, part.create().context("cannot write")?))
    };
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot make folder {}", args.out.display()))?;
    let (mut events, mut truth) = (buffered(&events_part)?, buffered(&truth_part)?);
    console.stage("simulating users", args.users);
    let summary = simulate(&params, &mut events, &mut truth, &|users| console.done(users))?;
    for (mut file, part) in [(truth, truth_part), (events, events_part)] {
        file.flush().and_then(|()| file.get_ref().sync_all()).context("cannot write")?;
        part.finish().context("cannot write")?;
    }
    Ok(summary)
}
