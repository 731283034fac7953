//! `segue init`.

use anyhow::{Context, bail};
use segue_training::init::{InitOptions, job_text, profile};
use segue_training::write::write_file;
use serde_json::json;

use crate::args::Init;
use crate::console::Console;

pub(crate) fn run(args: &Init, console: &Console) -> anyhow::Result<()> {
    if args.out.exists() && !args.force {
        bail!(
            "{} is there already; name another with --out, or overwrite it with --force",
            args.out.display()
        );
    }
    let here = std::env::current_dir()?;
    let profile = profile(&args.events, &here, args.time_format.as_deref(), console)?;
    let job_folder = args.out.parent().map(|folder| here.join(folder));
    let options = InitOptions { model: args.model.clone(), job_folder };
    let text = job_text(&profile, &options)?;
    write_file(&args.out, text.as_bytes()).context("cannot write the job")?;
    let machine = json!({ "job": args.out.display().to_string(), "profile": profile });
    console.result(&machine, || {
        format!("{profile}\njob written to {0}; run it with: segue train {0}", args.out.display())
    });
    Ok(())
}
