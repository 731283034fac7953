//! `segue import`.

use anyhow::{Context, bail};
use segue_registry::Registry;
use segue_training::import::{ImportRequest, LabelledRows, import_draft};
use segue_training::job::Job;
use segue_training::train::{ForeignFile, TrainOptions, adopt};
use segue_training::watch::Watch;
use segue_training::write::write_file;
use serde_json::json;

use super::train::tell;
use super::{n_threads, open_registry};
use crate::args::Import;
use crate::console::Console;

pub(crate) fn run(args: &Import, console: &Console) -> anyhow::Result<()> {
    let registry = open_registry(&args.registry.registry)?;
    let bytes = std::fs::read(&args.file)
        .with_context(|| format!("cannot read {}", args.file.display()))?;
    let file_name = args.file.file_name().unwrap_or_default().to_string_lossy();
    match (&args.job, &args.name) {
        (Some(job), _) => by_job(args, &Job::read(job)?, &bytes, &file_name, &registry, console),
        (None, Some(name)) => by_name(args, name, &bytes, &file_name, &registry, console),
        (None, None) => bail!("name the model with --name, or a job with --job"),
    }
}

/// A version like one that the job has trained.
fn by_job(
    args: &Import,
    job: &Job,
    bytes: &[u8],
    file_name: &str,
    registry: &Registry,
    console: &Console,
) -> anyhow::Result<()> {
    let file = ForeignFile {
        bytes,
        name: file_name,
        format: args.format.map(Into::into),
        is_calibrated: !args.uncalibrated,
    };
    let options = TrainOptions {
        n_threads: n_threads(None),
        created_by: args.actor.clone(),
        ..TrainOptions::default()
    };
    let adopted = adopt(job, &file, &options, console)
        .with_context(|| format!("cannot import {}", args.file.display()))?;
    if let Some(path) = &args.report {
        write_file(path, adopted.report_html.as_bytes()).context("cannot write the report")?;
    }
    let published = registry.publish(&adopted.draft)?;
    tell(console, job, &adopted, Some(&published));
    Ok(())
}

/// A version of the file alone, measured on labelled rows if there are any.
fn by_name(
    args: &Import,
    name: &str,
    bytes: &[u8],
    file_name: &str,
    registry: &Registry,
    console: &Console,
) -> anyhow::Result<()> {
    let rows = args.data.as_deref().zip(args.label.as_deref()).map(|(path, label)| LabelledRows {
        path,
        label,
        positive: args.positive.as_deref(),
    });
    let imported = import_draft(&ImportRequest {
        bytes,
        file_name,
        format: args.format.map(Into::into),
        model: name,
        task: args.task.as_deref().unwrap_or(name),
        rows,
        created_by: &args.actor,
    })
    .with_context(|| format!("cannot import {}", args.file.display()))?;
    for warning in &imported.warnings {
        console.note(warning);
    }
    let published = registry.publish(&imported.draft)?;
    let summary = &imported.draft.summary;
    let machine = json!({
        "model": name,
        "version": published.version,
        "digest": published.digest,
        "existed": published.existed,
        "source": imported.source,
        "n_trees": imported.n_trees,
        "n_columns": summary.schema.len(),
        "metrics": summary.metrics,
        "warnings": imported.warnings,
    });
    console.result(&machine, || {
        let known = if published.existed { " (the same version was there already)" } else { "" };
        let metrics: Vec<String> =
            summary.metrics.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
        let measured = if metrics.is_empty() { "not measured".to_owned() } else { metrics.join(", ") };
        format!(
            "{}: {} trees over {} columns\nmetrics: {measured}\n\npublished {} version {}{known}\n  \
             digest  {}\n  next    segue promote {} {}\n",
            imported.source,
            imported.n_trees,
            summary.schema.len(),
            name,
            published.version,
            published.digest,
            name,
            published.version
        )
    });
    Ok(())
}
