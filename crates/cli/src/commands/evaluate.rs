//! `segue evaluate`.

use anyhow::Context;
use segue_training::score::FileScorer;
use segue_training::train::evaluate_version;

use super::{open_registry, read_job, resolve, train_options};
use crate::args::Evaluate;
use crate::console::{Console, table};

pub(crate) fn run(args: &Evaluate, console: &Console) -> anyhow::Result<()> {
    let job = read_job(&args.job)?;
    let registry = open_registry(&args.registry.registry)?;
    let (model, version) = resolve(&registry, &args.model)?;
    let scorer = FileScorer::new(registry.load(&model, version)?)?;
    let judged = evaluate_version(&job, &scorer, &train_options(&args.job, ""), console)
        .with_context(|| format!("job {}", args.job.job.display()))?;
    let evaluation = &judged.evaluation;
    console.result(evaluation, || {
        let rows: Vec<Vec<String>> = evaluation
            .scorecard
            .iter()
            .map(|(metric, at)| {
                let value =
                    at.value.map_or_else(|| "not defined".to_owned(), |v| format!("{v:.4}"));
                let interval = at
                    .interval
                    .map_or_else(String::new, |(low, high)| format!("{low:.4} .. {high:.4}"));
                vec![metric.title().to_owned(), value, interval]
            })
            .collect();
        let mut text = format!(
            "{model} version {version} on {} test rows of {}\n",
            evaluation.test.n_rows,
            args.job.job.display()
        );
        text.push_str(&table(&["metric", "value", "95 % interval"], &rows));
        for verdict in &evaluation.verdicts {
            text.push_str(&format!("- {}\n", verdict.text));
        }
        text
    });
    Ok(())
}
