//! `segue score`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use segue_training::job::{EventsSection, Job, Origin};
use segue_training::read::{EventFiles, Room, read_events_within};
use segue_training::score::{
    EventScoring, Explain, FileScorer, ScoreSummary, ScoreTarget, score_events, score_features,
};
use segue_training::watch::Watch;
use segue_training::write::TableWriter;
use serde_json::json;

use super::{n_threads, open_registry, resolve};
use crate::args::Score;
use crate::console::Console;

pub(crate) fn run(args: &Score, console: &Console) -> anyhow::Result<()> {
    let registry = open_registry(&args.registry.registry)?;
    let mut scorers = Vec::new();
    for text in &args.models {
        let (model, version) = resolve(&registry, text)?;
        if scorers.iter().any(|scorer: &FileScorer| scorer.name == model) {
            anyhow::bail!(
                "{model} is named twice, and the columns of the output bear its name; score one version at a time"
            );
        }
        scorers.push(FileScorer::new(registry.load(&model, version)?)?);
    }
    let progress = |done: u64, _total: u64| console.done(done);
    let target = ScoreTarget {
        path: &args.out,
        explain: Explain { n_reasons: args.reasons, n_interactions: args.interactions },
        n_threads: n_threads(args.threads),
        progress: &progress,
    };
    let mut rejects = Vec::new();
    let summary = match (&args.features, &args.job) {
        (Some(features), _) => {
            console.stage("scoring rows", 0);
            score_features(&scorers, features, &args.keep, target)?
        }
        (None, Some(job)) => score_log(args, job, &scorers, target, &mut rejects, console)?,
        (None, None) => anyhow::bail!("give --features FILE or --job JOB"),
    };
    tell(args, &scorers, &summary, &rejects, console);
    Ok(())
}

/// Scores the users of the events of a job.
fn score_log(
    args: &Score,
    path: &Path,
    scorers: &[FileScorer],
    target: ScoreTarget<'_>,
    rejects: &mut Vec<(&'static str, u64)>,
    console: &Console,
) -> anyhow::Result<ScoreSummary> {
    let mut job = Job::read(path)?;
    if let Some(data) = &args.data {
        job.folder.clone_from(data);
    }
    let Origin::Events(events) = &job.origin else {
        anyhow::bail!("{} starts from a table; give the rows with --features", path.display());
    };
    // what can be told before hours of reading is
    let at = args.at.as_deref().map(parse_instant).transpose()?;
    TableWriter::new(target.path)?;
    for scorer in scorers {
        scorer.features()?;
    }
    let (files, folder) = if args.events.is_empty() {
        (events.source.files.clone(), job.folder.clone())
    } else {
        (args.events.clone(), PathBuf::new())
    };
    let section = EventsSection { files, ..events.source.clone() };
    let beside = target.path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let room = Room {
        memory: args.memory,
        folder: args.temp.as_deref().or(beside).unwrap_or(Path::new(".")),
    };
    console.stage("reading events", 0);
    let files = EventFiles {
        section: &section,
        folder: &folder,
        rejects: args.rejects.as_deref(),
        n_threads: target.n_threads,
        progress: target.progress,
    };
    let (log, read) = read_events_within(files, room)?;
    for (reason, n, example) in &read.rejects {
        console.note(&format!("{n} rejected: {} ({example})", reason.description()));
        rejects.push((reason.code(), *n));
    }
    if log.is_spilled() {
        console.stage("bringing users together", 0);
    }
    let log = log.arrange(target.progress)?;
    console.stage("scoring users", log.n_users().unwrap_or_default());
    Ok(score_events(scorers, log, EventScoring { at }, target)?)
}

fn tell(
    args: &Score,
    scorers: &[FileScorer],
    summary: &ScoreSummary,
    rejects: &[(&str, u64)],
    console: &Console,
) {
    let versions: Vec<_> = scorers
        .iter()
        .map(|scorer| json!({ "model": scorer.name, "version": scorer.version }))
        .collect();
    let machine = json!({
        "out": args.out.display().to_string(),
        "n_rows": summary.n_rows,
        "n_bad_numbers": summary.n_bad_numbers,
        "n_unseen_categories": summary.n_unseen_categories,
        "n_segment_errors": summary.n_segment_errors,
        "rejects": rejects,
        "models": versions,
    });
    for (n, what) in [
        (summary.n_bad_numbers, "values were no numbers and were read as missing"),
        (summary.n_unseen_categories, "values are categories that the models do not know"),
        (
            summary.n_segment_errors,
            "conditions of segments could not be evaluated and did not hold",
        ),
    ] {
        if n > 0 {
            console.note(&format!("{n} {what}"));
        }
    }
    console.result(&machine, || format!("{} rows in {}", summary.n_rows, args.out.display()));
}

fn parse_instant(text: &str) -> anyhow::Result<i64> {
    let at: jiff::Timestamp = text.parse().with_context(|| {
        format!("--at {text:?} is no instant; write one such as 2026-03-01T00:00:00Z")
    })?;
    Ok(at.as_microsecond())
}
