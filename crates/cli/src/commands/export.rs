//! `segue export`.

use anyhow::Context;
use segue_model::exchange::export;
use segue_training::watch::Watch;
use serde_json::json;

use super::{open_registry, resolve};
use crate::args::Export;
use crate::console::Console;

pub(crate) fn run(args: &Export, console: &Console) -> anyhow::Result<()> {
    let registry = open_registry(&args.registry.registry)?;
    let (model, version) = resolve(&registry, &args.model)?;
    let loaded = registry.load(&model, version)?;
    let exported = export(&loaded.model, args.format.into(), args.uncalibrated)
        .with_context(|| format!("cannot export {model} version {version}"))?;
    for note in &exported.notes {
        console.note(note);
    }
    std::fs::write(&args.out, &exported.bytes)
        .with_context(|| format!("cannot write {}", args.out.display()))?;
    let machine = json!({
        "model": model,
        "version": version,
        "out": args.out.display().to_string(),
        "n_bytes": exported.bytes.len(),
        "notes": exported.notes,
    });
    console.result(&machine, || format!("{model} version {version} in {}", args.out.display()));
    Ok(())
}
