//! `segue models list | show | diff | log | shadows | verify`.

mod shadows;

use std::collections::BTreeMap;
use std::process::ExitCode;

use segue_registry::{
    Action, AliasMove, Applied, Changed, Diff, Manifest, ModelState, Registry, Traffic,
    VerifyReport,
};
use serde_json::{Value, json};

use super::{open_registry, resolve};
use crate::args::{Models, ModelsCommand};
use crate::console::{Console, instant, table};

pub(crate) fn run(args: &Models, console: &Console) -> anyhow::Result<ExitCode> {
    match &args.command {
        ModelsCommand::List { registry } => list(&open_registry(&registry.registry)?, console)?,
        ModelsCommand::Show { model, registry } => {
            show(&open_registry(&registry.registry)?, model, console)?;
        }
        ModelsCommand::Diff { model, before, after, registry } => {
            let diff = open_registry(&registry.registry)?.diff(model, *before, *after)?;
            console.result(&diff_json(&diff), || diff_text(&diff));
        }
        ModelsCommand::Log { model, registry } => {
            log(&open_registry(&registry.registry)?, model, console)?;
        }
        ModelsCommand::Shadows { model, registry } => {
            let counts = open_registry(&registry.registry)?.evidence(model)?;
            console.result(&shadows::json(&counts), || shadows::text(model, &counts));
        }
        ModelsCommand::Verify { model, registry } => {
            let report = open_registry(&registry.registry)?.verify(model.as_deref())?;
            console.result(&verify_json(&report), || verify_text(&report));
            if !report.is_clean() {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(registry: &Registry, console: &Console) -> anyhow::Result<()> {
    let mut machine = Vec::new();
    let mut rows = Vec::new();
    for name in registry.models()? {
        let read = registry.model(&name).and_then(|state| Ok((state, registry.versions(&name)?)));
        let (state, versions) = match read {
            Ok(read) => read,
            // the others are of interest all the more
            Err(error) => {
                machine.push(json!({ "model": name, "error": error.to_string() }));
                rows.push(vec![name, format!("cannot be read: {error}")]);
                continue;
            }
        };
        let newest = versions.last();
        let aliases: Vec<String> =
            state.aliases.iter().map(|(alias, version)| format!("{alias}={version}")).collect();
        let facts = newest.map_or_else(Vec::new, |manifest| {
            let headline = ["auc", "log_loss", "rmse"]
                .into_iter()
                .find_map(|metric| Some((metric, manifest.summary.metrics.get(metric)?)));
            vec![
                manifest.version.to_string(),
                manifest.summary.task.clone(),
                headline.map_or_else(String::new, |(name, value)| format!("{name} {value:.4}")),
                instant(manifest.created_at_us),
            ]
        });
        let mut json = state_json(&state);
        json["newest_version"] = json!(newest.map(|manifest| manifest.version));
        machine.push(json);
        rows.push([vec![name, aliases.join(" ")], facts].concat());
    }
    console.result(&machine, || {
        if rows.is_empty() {
            return format!("no model in {}; publish one with segue train", registry.location());
        }
        table(&["model", "aliases", "newest", "task", "headline", "created"], &rows)
    });
    Ok(())
}

fn show(registry: &Registry, text: &str, console: &Console) -> anyhow::Result<()> {
    if text.contains('@') {
        let (model, version) = resolve(registry, text)?;
        let manifest = registry.manifest(&model, version)?;
        console.result(&manifest_json(&manifest), || manifest_text(&manifest));
        return Ok(());
    }
    let state = registry.model(text)?;
    let versions = registry.versions(text)?;
    let mut machine = state_json(&state);
    machine["versions"] = versions.iter().map(manifest_json).collect();
    let rows: Vec<Vec<String>> = versions
        .iter()
        .map(|manifest| {
            let aliases = state.aliases.iter().filter(|(_, version)| **version == manifest.version);
            let mut aliases: Vec<&str> = aliases.map(|(alias, _)| alias.as_str()).collect();
            if let Some(traffic) = &state.traffic {
                if traffic.canary_version == Some(manifest.version) {
                    aliases.push("(canary)");
                }
                if traffic.shadow_versions.contains(&manifest.version) {
                    aliases.push("(shadow)");
                }
            }
            if state.archived.contains(&manifest.version) {
                aliases.push("(archived)");
            }
            let metrics = manifest.summary.metrics.iter();
            let metrics = metrics.take(4).map(|(name, value)| format!("{name} {value:.4}"));
            vec![
                manifest.version.to_string(),
                aliases.join(" "),
                instant(manifest.created_at_us),
                manifest.summary.created_by.clone(),
                metrics.collect::<Vec<_>>().join(", "),
            ]
        })
        .collect();
    console.result(&machine, || {
        let head = format!("{} generation {} etag {}\n", state.model, state.generation, state.etag);
        let traffic = format!("traffic: {}\n", traffic_text(state.traffic.as_ref()));
        head + &traffic + &table(&["version", "aliases", "created", "by", "metrics"], &rows)
    });
    Ok(())
}

fn log(registry: &Registry, model: &str, console: &Console) -> anyhow::Result<()> {
    let events = registry.log(model)?;
    let action = |event: &segue_registry::EventRecord| {
        serde_json::to_value(&event.action).unwrap_or(Value::Null)
    };
    let machine: Vec<Value> = events
        .iter()
        .map(|event| {
            json!({
                "generation": event.generation,
                "event_id": event.event_id,
                "time": instant(event.time_us),
                "actor": event.actor,
                "reason": event.reason,
                "action": action(event),
                "aliases": event.aliases,
                "traffic": event.traffic,
                "archived": event.archived,
                "gates": event.gates,
                "gates_overridden": event.gates_overridden,
                "sha256": event.sha256,
                "prev_sha256": event.prev_sha256,
            })
        })
        .collect();
    let rows: Vec<Vec<String>> = events
        .iter()
        .map(|event| {
            let action = action(event);
            let text = |key: &str| match &action[key] {
                Value::Null => "-".to_owned(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let what = match text("kind").as_str() {
                "published" => format!("published version {}", text("version")),
                kind @ ("promoted" | "rolled_back") => {
                    let kind = kind.replace('_', " ");
                    format!("{kind} {} {} -> {}", text("alias"), text("from"), text("to"))
                }
                "aliases_moved" => aliases_moved(&event.action),
                kind @ ("archived" | "restored") => format!("{kind} version {}", text("version")),
                "traffic_changed" => {
                    format!("traffic changed to {}", traffic_text(event.traffic.as_ref()))
                }
                kind => kind.replace('_', " "),
            };
            let forced = if event.gates_overridden { " (gates overridden)" } else { "" };
            vec![
                event.generation.to_string(),
                instant(event.time_us),
                event.actor.clone(),
                format!("{what}{forced}"),
                event.reason.clone(),
            ]
        })
        .collect();
    console.result(&machine, || table(&["gen", "time", "who", "what", "why"], &rows));
    Ok(())
}

fn aliases_moved(action: &Action) -> String {
    let Action::AliasesMoved { moves } = action else { return String::new() };
    let version =
        |version: Option<u64>| version.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let step = |(alias, step): (&String, &AliasMove)| {
        format!("{alias} {} -> {}", version(step.from), version(step.to))
    };
    format!("aliases moved {}", moves.iter().map(step).collect::<Vec<_>>().join(", "))
}

/// A change as machines read it.
pub(crate) fn applied_json(applied: &Applied, dry_run: bool) -> Value {
    let mut json = state_json(&applied.state);
    json["event_id"] = json!(applied.event_id);
    json["dry_run"] = json!(dry_run);
    json
}

/// How traffic is split, in a few words.
pub(crate) fn traffic_text(traffic: Option<&Traffic>) -> String {
    let Some(traffic) = traffic else { return "all to the champion".to_owned() };
    let mut words = Vec::new();
    if let Some(version) = traffic.canary_version {
        words.push(format!("canary {version} {} bp", traffic.canary_basis_points));
    }
    if !traffic.shadow_versions.is_empty() {
        let shadows: Vec<String> = traffic.shadow_versions.iter().map(u64::to_string).collect();
        words.push(format!("shadows {} {} bp", shadows.join(","), traffic.shadow_basis_points));
    }
    if !traffic.salt.is_empty() {
        words.push(format!("salt {:?}", traffic.salt));
    }
    words.join(", ")
}

fn state_json(state: &ModelState) -> Value {
    json!({
        "model": state.model,
        "aliases": state.aliases,
        "traffic": state.traffic,
        "archived": state.archived,
        "generation": state.generation,
        "etag": state.etag,
    })
}

fn manifest_json(manifest: &Manifest) -> Value {
    let files: Vec<Value> = manifest
        .files
        .iter()
        .map(|(name, file)| json!({ "name": name, "size": file.size, "sha256": file.sha256 }))
        .collect();
    json!({
        "model": manifest.model,
        "version": manifest.version,
        "digest": manifest.digest,
        "task": manifest.summary.task,
        "schema_digest": manifest.schema_digest(),
        "feature_set_hash": manifest.summary.feature_set_hash,
        "features": manifest.summary.schema.len(),
        "metrics": manifest.summary.metrics,
        "slice_metrics": manifest.summary.slice_metrics,
        "lineage": manifest.summary.lineage,
        "created_by": manifest.summary.created_by,
        "created": instant(manifest.created_at_us),
        "files": files,
    })
}

fn manifest_text(manifest: &Manifest) -> String {
    let mut text = format!(
        "{} version {}\n  task     {}\n  digest   {}\n  created  {} by {}\n  features {}\n\n",
        manifest.model,
        manifest.version,
        manifest.summary.task,
        manifest.digest,
        instant(manifest.created_at_us),
        manifest.summary.created_by,
        manifest.summary.schema.len(),
    );
    let rows = |facts: &mut dyn Iterator<Item = (&String, String)>| -> Vec<Vec<String>> {
        facts.map(|(name, value)| vec![name.clone(), value]).collect()
    };
    let metrics = &manifest.summary.metrics;
    let metrics = rows(&mut metrics.iter().map(|(name, value)| (name, format!("{value:.5}"))));
    text.push_str(&table(&["metric", "value"], &metrics));
    text.push('\n');
    let lineage = &manifest.summary.lineage;
    let lineage = rows(&mut lineage.iter().map(|(name, value)| (name, value.clone())));
    text.push_str(&table(&["lineage", "value"], &lineage));
    text.push('\n');
    let files: Vec<Vec<String>> = manifest
        .files
        .iter()
        .map(|(name, file)| vec![name.clone(), file.size.to_string(), file.sha256.clone()])
        .collect();
    text.push_str(&table(&["file", "bytes", "sha256"], &files));
    text
}

fn changed_json<T: serde::Serialize>(changed: &Changed<T>) -> Value {
    json!({ "before": changed.before, "after": changed.after })
}

fn diff_json(diff: &Diff) -> Value {
    let map = |facts: &BTreeMap<String, Changed<String>>| -> Value {
        facts.iter().map(|(name, changed)| (name.clone(), changed_json(changed))).collect()
    };
    let vocabularies: Value = diff
        .vocabularies
        .iter()
        .map(|(name, vocabulary)| {
            (name.clone(), json!({ "added": vocabulary.added, "removed": vocabulary.removed }))
        })
        .collect();
    let metrics: Value =
        diff.metrics.iter().map(|(name, changed)| (name.clone(), changed_json(changed))).collect();
    json!({
        "facts": map(&diff.facts),
        "features_added": diff.features_added,
        "features_removed": diff.features_removed,
        "features_changed_kind": diff.features_changed_kind,
        "vocabularies": vocabularies,
        "metrics": metrics,
        "lineage": map(&diff.lineage),
        "files": map(&diff.files),
    })
}

fn diff_text(diff: &Diff) -> String {
    if diff.is_empty() {
        return "the two versions are the same".to_owned();
    }
    let mut rows = Vec::new();
    let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    for (name, changed) in diff.facts.iter().chain(&diff.lineage) {
        rows.push(vec![name.clone(), shown(&changed.before), shown(&changed.after)]);
    }
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.5}"));
    for (name, changed) in &diff.metrics {
        rows.push(vec![name.clone(), number(changed.before), number(changed.after)]);
    }
    let mut text = table(&["what", "before", "after"], &rows);
    for (what, names) in [
        ("features added", &diff.features_added),
        ("features removed", &diff.features_removed),
        ("features of another kind", &diff.features_changed_kind),
    ] {
        if !names.is_empty() {
            text.push_str(&format!("{what}: {}\n", names.join(", ")));
        }
    }
    if !diff.files.is_empty() {
        let files: Vec<&str> = diff.files.keys().map(String::as_str).collect();
        text.push_str(&format!("files that differ: {}\n", files.join(", ")));
    }
    for (name, vocabulary) in &diff.vocabularies {
        text.push_str(&format!(
            "categories of {name}: added {:?}, removed {:?}\n",
            vocabulary.added, vocabulary.removed
        ));
    }
    text
}

fn verify_json(report: &VerifyReport) -> Value {
    let findings = |findings: &[segue_registry::Finding]| -> Value {
        findings.iter().map(|at| json!({ "place": at.place, "what": at.what })).collect()
    };
    json!({
        "clean": report.is_clean(),
        "models": report.models,
        "versions": report.versions,
        "files": report.files,
        "events": report.events,
        "problems": findings(&report.problems),
        "notes": findings(&report.notes),
    })
}

fn verify_text(report: &VerifyReport) -> String {
    let mut text = format!(
        "{} models, {} versions, {} files, {} events: {}\n",
        report.models,
        report.versions,
        report.files,
        report.events,
        if report.is_clean() { "all sound" } else { "DAMAGED" }
    );
    for (kind, findings) in [("problem", &report.problems), ("note", &report.notes)] {
        for finding in findings {
            text.push_str(&format!("{kind}: {}: {}\n", finding.place, finding.what));
        }
    }
    text
}
