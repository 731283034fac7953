//! `segue tune`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use segue_training::tune::{TuneOptions, Tuned, job_with, tune};
use serde_json::json;

use super::{n_threads, read_job};
use crate::args::Tune;
use crate::console::{Console, table};
use crate::interrupt;

pub(crate) fn run(args: &Tune, console: &Console) -> anyhow::Result<()> {
    let path = &args.job.job;
    let job = read_job(&args.job)?;
    let out = args.out.clone().unwrap_or_else(|| path.with_extension("tuned.toml"));
    if out == *path {
        bail!("--out {} is the job itself; name another file", out.display());
    }
    let trials = trials_beside(&out);
    if out.exists() && !trials.exists() && !args.force {
        bail!(
            "{} is there already and no search made it; name another with --out, or overwrite it with --force",
            out.display()
        );
    }
    let deadline = match args.minutes {
        Some(minutes) if minutes > 0.0 && minutes < 1e6 => {
            Some(Instant::now() + Duration::from_secs_f64(minutes * 60.0))
        }
        Some(minutes) => bail!("--minutes is {minutes}, expected a number above 0"),
        None => None,
    };
    interrupt::listen(console.speaker())?;
    let in_time = || deadline.is_none_or(|deadline| Instant::now() < deadline);
    let options = TuneOptions {
        n_trials: args.trials,
        n_folds: args.folds.max(1),
        seed: args.seed.unwrap_or(job.seed),
        n_threads: n_threads(args.job.threads),
        rejects: args.job.rejects.clone(),
        keep_going: &|| in_time() && !interrupt::is_asked(),
    };
    let tuned = tune(&job, &trials, &options, console)
        .with_context(|| format!("job {}", path.display()))?;
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let better = job_with(&text, path, &tuned.learner)?;
    write_whole(&out, &better).with_context(|| format!("cannot write {}", out.display()))?;
    let train = train_command(args, &out);
    let machine = json!({
        "job": out.display().to_string(),
        "trials": trials.display().to_string(),
        "search": tuned,
        "train": train,
    });
    console.result(&machine, || summary(&tuned, &out, &trials, &train));
    Ok(())
}

/// `job.tuned.toml` keeps its trials in `job.tuned.trials.jsonl`.
fn trials_beside(out: &Path) -> PathBuf {
    out.with_extension("trials.jsonl")
}

/// Writes beside the target and renames, so that no half of a job is ever there.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{}.partial", std::process::id()));
    let partial = PathBuf::from(partial);
    let mut file = std::fs::File::create(&partial)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| std::fs::rename(&partial, path)) {
        // what could not be finished is of no use; that it cannot be removed changes nothing
        let _ = std::fs::remove_file(&partial);
        return Err(error);
    }
    Ok(())
}

/// Paths of a job start from its folder, so a job elsewhere must be told the folder.
fn train_command(args: &Tune, out: &Path) -> String {
    let folder = args.job.job.parent();
    let data = match &args.job.data {
        Some(data) => Some(data.clone()),
        None if out.parent() == folder => None,
        None => folder.map(|folder| match folder.as_os_str().is_empty() {
            true => PathBuf::from("."),
            false => folder.to_owned(),
        }),
    };
    let data = data.map_or_else(String::new, |data| format!(" --data {}", data.display()));
    format!("segue train {}{data}", out.display())
}

fn summary(tuned: &Tuned, out: &Path, trials: &Path, train: &str) -> String {
    let number = |params: &segue_training::tune::Params, key: &str| match params.get(key) {
        Some(value) => value.to_string(),
        None => "default".to_owned(),
    };
    let keys: std::collections::BTreeSet<&String> =
        tuned.best.params.keys().chain(tuned.first.params.keys()).collect();
    let mut rows: Vec<Vec<String>> = keys
        .into_iter()
        .map(|key| {
            let (before, after) = (&tuned.first.params, &tuned.best.params);
            vec![key.clone(), number(before, key), number(after, key)]
        })
        .collect();
    let loss = |loss: Option<f64>| loss.map_or_else(String::new, |loss| format!("{loss:.5}"));
    rows.push(vec!["loss".to_owned(), loss(tuned.first.loss), loss(tuned.best.loss)]);
    let how = if tuned.forward_in_time { "forward in time" } else { "of whole users" };
    let folds: Vec<String> =
        tuned.folds.iter().map(|fold| format!("{} to {}", fold.fit, fold.validate)).collect();
    let mut text = format!(
        "{} trials ({} given up early, {} failed, {} from before) on {} folds {how} within the training part: {} rows\n",
        tuned.n_trials,
        tuned.n_pruned,
        tuned.n_failed,
        tuned.n_resumed,
        tuned.folds.len(),
        folds.join(", ")
    );
    if tuned.out_of_time {
        let why = if interrupt::is_asked() { "stopped by a signal" } else { "the time was over" };
        text.push_str(&format!("{why}; the same command goes on from here\n"));
    }
    text.push('\n');
    text.push_str(&table(&["parameter", "job", "tuned"], &rows));
    if tuned.best.trial == 0 {
        text.push_str("\nnothing better than the job's own parameters was found\n");
    }
    text.push_str(&format!(
        "\njob written to {}\n  trials  {}\n  next    {train}\n",
        out.display(),
        trials.display()
    ));
    text
}
