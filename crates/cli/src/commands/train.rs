//! `segue train`.

use std::collections::BTreeMap;

use anyhow::Context;
use segue_registry::{Published, Registry};
use segue_training::evaluation::Metric;
use segue_training::fit::Checkpoints;
use segue_training::job::{Job, StartFrom};
use segue_training::train::{Start, TrainError, TrainOptions, Trained, train};
use segue_training::write::write_file;
use serde_json::json;

use super::{open_registry, read_job, resolve, train_options, write_step};
use crate::args::Train;
use crate::console::{Console, table};
use crate::interrupt;

/// Rounds from one checkpoint to the next.
const CHECKPOINT_EVERY: usize = 20;

pub(crate) fn run(args: &Train, console: &Console) -> anyhow::Result<()> {
    let job = read_job(&args.job)?;
    if args.explain {
        let text = job.to_toml();
        console.result(&json!({ "job": text }), || text.clone());
        return Ok(());
    }
    interrupt::listen(console.speaker())?;
    // opened first: a registry that cannot be written should not cost a training run
    let registry = if args.dry_run { None } else { Some(open_registry(&args.registry.registry)?) };
    let options = TrainOptions {
        start: start_of(&job, registry.as_ref(), &args.registry.registry)?,
        checkpoints: args.checkpoint.as_ref().map(|folder| Checkpoints {
            path: folder.join(format!("{}.checkpoint", job.model)),
            every: CHECKPOINT_EVERY,
            saved: write_step,
        }),
        ..train_options(&args.job, &args.actor)
    };
    let trained = train(&job, &options, console)
        .with_context(|| format!("job {}", args.job.job.display()))?;
    if let Some(path) = &args.report {
        write_file(path, trained.report_html.as_bytes()).context("cannot write the report")?;
    }
    let published = registry.map(|registry| registry.publish(&trained.draft)).transpose()?;
    if let Some(checkpoints) = &options.checkpoints {
        checkpoints.remove()?;
    }
    tell(console, &job, &trained, published.as_ref());
    Ok(())
}

/// What came out, and where it is.
pub(crate) fn tell(console: &Console, job: &Job, trained: &Trained, published: Option<&Published>) {
    let machine = json!({
        "model": job.model,
        "version": published.map(|published| published.version),
        "digest": published.map(|published| published.digest.clone()),
        "existed": published.map(|published| published.existed),
        "metrics": trained.draft.summary.metrics,
        "rows": trained.preflight,
        "rounds": trained.best_iteration,
        "found": trained.found,
        "calibration": calibration(trained),
        "comparisons": comparisons(trained),
        "verdicts": trained.evaluation.verdicts,
        "recommendation": trained.evaluation.recommendation,
        "rejects": trained.read.as_ref().map(|read| {
            read.rejects.iter().map(|(reason, n, _)| (reason.code(), n)).collect::<Vec<_>>()
        }),
    });
    console.result(&machine, || {
        let mut text = summary(job, trained);
        if let Some(published) = published {
            let known = if published.existed { " (the same version was there already)" } else { "" };
            text.push_str(&format!(
                "\npublished {} version {}{known}\n  digest  {}\n  report  segue report {}@{} --out report.html\n  next    segue promote {} {}\n",
                job.model, published.version, published.digest, job.model, published.version,
                job.model, published.version
            ));
        }
        text
    });
}

/// The model that the job goes on from, if it names one.
fn start_of(job: &Job, open: Option<&Registry>, location: &str) -> anyhow::Result<Option<Start>> {
    let Some(text) = &job.learner.start_from else { return Ok(None) };
    let start = match StartFrom::of(text, &job.folder) {
        StartFrom::File(path) => Start::read(&path, text).map_err(TrainError::from)?,
        StartFrom::Version(version) => {
            let opened;
            let registry = match open {
                Some(registry) => registry,
                None => {
                    opened = open_registry(location)?;
                    &opened
                }
            };
            let (model, version) = resolve(registry, &version)
                .with_context(|| format!("learner.start_from: {text:?}"))?;
            let loaded = registry.load(&model, version)?;
            Start { name: format!("{model}@{version}"), model: loaded.model }
        }
    };
    Ok(Some(start))
}

/// Which calibration was chosen from which losses, and the figures before it.
fn calibration(trained: &Trained) -> serde_json::Value {
    let losses: serde_json::Map<String, serde_json::Value> =
        trained.calibration_losses.iter().map(|(name, loss)| (name.clone(), json!(loss))).collect();
    json!({
        "chosen": trained.model.calibration().name(),
        "log_loss": losses,
        "uncalibrated_metrics": by_key(&trained.evaluation.uncalibrated, |value| Some(*value)),
    })
}

/// The base rate, the best single feature and other learners on the same rows.
fn comparisons(trained: &Trained) -> Vec<serde_json::Value> {
    let comparisons = trained.evaluation.comparisons.iter();
    let figures = comparisons.map(|other| {
        json!({
            "contender": other.contender,
            "name": other.name,
            "note": other.note,
            "metrics": by_key(&other.scorecard, |at| at.value),
        })
    });
    figures.collect()
}

/// Metrics under the names that files have for them.
fn by_key<T>(
    metrics: &BTreeMap<Metric, T>,
    value: impl Fn(&T) -> Option<f64>,
) -> serde_json::Map<String, serde_json::Value> {
    metrics.iter().map(|(metric, at)| (metric.key().to_owned(), json!(value(at)))).collect()
}

/// What a person wants to know at once.
pub(crate) fn summary(job: &Job, trained: &Trained) -> String {
    let mut text = String::new();
    if let Some(read) = &trained.read {
        text.push_str(&format!("{} records from {} files\n", read.n_records, read.files.len()));
        for (reason, n, example) in &read.rejects {
            text.push_str(&format!("  {n} rejected: {} ({example})\n", reason.description()));
        }
    }
    let sizes = &trained.preflight;
    let rows: Vec<Vec<String>> = sizes
        .classes
        .iter()
        .enumerate()
        .map(|(class, name)| {
            let counts = [sizes.train[class], sizes.calibrate[class], sizes.test[class]];
            let counts = counts.iter().map(ToString::to_string);
            std::iter::once(name.clone()).chain(counts).collect()
        })
        .collect();
    text.push('\n');
    text.push_str(&table(&["class", "train", "calibrate", "test"], &rows));
    if sizes.n_embargoed + sizes.n_user_overlap > 0 {
        text.push_str(&format!(
            "{} rows fell to the embargo, {} to users in several parts\n",
            sizes.n_embargoed, sizes.n_user_overlap
        ));
    }
    let evaluation = &trained.evaluation;
    let rows: Vec<Vec<String>> = evaluation
        .scorecard
        .iter()
        .map(|(metric, at)| {
            let value = at.value.map_or_else(|| "not defined".to_owned(), |v| format!("{v:.4}"));
            let interval = at
                .interval
                .map_or_else(String::new, |(low, high)| format!("{low:.4} .. {high:.4}"));
            vec![metric.title().to_owned(), value, interval]
        })
        .collect();
    text.push_str(&format!(
        "\n{} on held-out rows, {} rounds{}\n",
        job.model,
        trained.best_iteration,
        trained.found.iter().map(|(key, value)| format!(", {key} {value}")).collect::<String>()
    ));
    text.push_str(&table(&["metric", "value", "95 % interval"], &rows));
    text.push('\n');
    for verdict in &evaluation.verdicts {
        text.push_str(&format!("- {}\n", verdict.text));
    }
    text
}
