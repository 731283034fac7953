//! `segue import`.

use anyhow::Context;
use segue_training::import::{ImportRequest, LabelledRows, import_draft};
use segue_training::watch::Watch;
use serde_json::json;

use super::open_registry;
use crate::args::Import;
use crate::console::Console;

pub(crate) fn run(args: &Import, console: &Console) -> anyhow::Result<()> {
    let registry = open_registry(&args.registry.registry)?;
    let bytes = std::fs::read(&args.file)
        .with_context(|| format!("cannot read {}", args.file.display()))?;
    let file_name = args.file.file_name().unwrap_or_default().to_string_lossy();
    let rows = args.data.as_deref().zip(args.label.as_deref()).map(|(path, label)| LabelledRows {
        path,
        label,
        positive: args.positive.as_deref(),
    });
    let imported = import_draft(&ImportRequest {
        bytes: &bytes,
        file_name: &file_name,
        format: args.format.map(Into::into),
        model: &args.name,
        task: args.task.as_deref().unwrap_or(&args.name),
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
        "model": args.name,
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
            args.name,
            published.version,
            published.digest,
            args.name,
            published.version
        )
    });
    Ok(())
}
