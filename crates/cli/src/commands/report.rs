//! `segue report`.

use anyhow::Context;
use segue_registry::REPORT_FILE;
use segue_training::write::write_file;
use serde_json::json;

use super::{open_registry, resolve};
use crate::args::Report;
use crate::console::Console;

pub(crate) fn run(args: &Report, console: &Console) -> anyhow::Result<()> {
    let registry = open_registry(&args.registry.registry)?;
    let (model, version) = resolve(&registry, &args.model)?;
    let page = registry.read(&model, version, REPORT_FILE)?;
    let default = || format!("{model}-{version}.html").into();
    let out = args.out.clone().unwrap_or_else(default);
    write_file(&out, &page).context("cannot write the report")?;
    let machine = json!({ "model": model, "version": version, "out": out.display().to_string() });
    console.result(&machine, || format!("report of {model} version {version}: {}", out.display()));
    Ok(())
}
