//! One module a command, and what they share.

pub(crate) mod access;
pub(crate) mod alias;
pub(crate) mod archive;
pub(crate) mod demo;
pub(crate) mod evaluate;
pub(crate) mod export;
pub(crate) mod features;
pub(crate) mod health;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod models;
pub(crate) mod predictions;
pub(crate) mod promote;
pub(crate) mod report;
pub(crate) mod rollback;
pub(crate) mod score;
pub(crate) mod segments;
pub(crate) mod serve;
pub(crate) mod simulate;
pub(crate) mod traffic;
pub(crate) mod train;
pub(crate) mod tune;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use segue_model::exchange::ExportError;
use segue_registry::{Choice, GateOutcome, GateResult, Registry, RegistryError};
use segue_training::fit::FitError;
use segue_training::import::ImportDraftError;
use segue_training::job::{Job, JobError};
use segue_training::read::ReadError;
use segue_training::rows::RowsError;
use segue_training::score::ScoreError;
use segue_training::train::{TrainError, TrainOptions};
use segue_training::tune::TuneError;

use crate::args::JobArgs;
use crate::console::{Console, table};
use crate::interrupt::EXIT_INTERRUPTED;

/// Data or a job that cannot be used (`EX_DATAERR`).
const EXIT_DATA: u8 = 65;
/// Someone else was faster (`EX_TEMPFAIL`).
const EXIT_CONFLICT: u8 = 75;

/// The exit code that tells a script what kind of failure it was.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<RegistryError>() {
            return match error {
                RegistryError::Conflict { .. } | RegistryError::EtagMismatch { .. } => {
                    EXIT_CONFLICT
                }
                _ => 1,
            };
        }
        if let Some(ReadError::Spill { .. }) = cause.downcast_ref() {
            return 1;
        }
        if cause.is::<JobError>() || cause.is::<ReadError>() || cause.is::<RowsError>() {
            return EXIT_DATA;
        }
        if let Some(TrainError::Fit(FitError::Stopped { .. })) = cause.downcast_ref() {
            return EXIT_INTERRUPTED;
        }
        if cause.is::<TrainError>() || cause.is::<ImportDraftError>() || cause.is::<ExportError>() {
            return EXIT_DATA;
        }
        if let Some(error) = cause.downcast_ref::<TuneError>() {
            return match error {
                TuneError::Io { .. } | TuneError::NoTrial => 1,
                TuneError::Busy { .. } => EXIT_CONFLICT,
                _ => EXIT_DATA,
            };
        }
        if let Some(ScoreError::Read(ReadError::Spill { .. })) = cause.downcast_ref() {
            return 1;
        }
        if let Some(ScoreError::Read(_) | ScoreError::NoFeatureSet { .. }) = cause.downcast_ref() {
            return EXIT_DATA;
        }
    }
    1
}

/// A flag's value as a duration.
pub(crate) fn seconds(flag: &str, value: f64) -> anyhow::Result<Duration> {
    Duration::try_from_secs_f64(value)
        .with_context(|| format!("{flag} {value} is no number of seconds"))
}

/// Opens a registry, whose write steps are counted by [`write_step`].
pub(crate) fn open_registry(location: &str) -> anyhow::Result<Registry> {
    let registry = Registry::open(location)?;
    Ok(registry.with_step_hook(Arc::new(|_step: &str| {
        write_step();
        Ok(())
    })))
}

/// With `SEGUE_CRASH_AT_STEP=N` the process aborts at its N-th write step, as a power cut would: for tests
/// of what is left behind.
pub(crate) fn write_step() {
    static STEPS: AtomicUsize = AtomicUsize::new(0);
    let Ok(crash_at) = std::env::var("SEGUE_CRASH_AT_STEP") else { return };
    if crash_at == (STEPS.fetch_add(1, Ordering::SeqCst) + 1).to_string() {
        std::process::abort();
    }
}

/// Reads a job; `--data` moves the folder that its paths start from.
pub(crate) fn read_job(args: &JobArgs) -> anyhow::Result<Job> {
    let mut job = Job::read(&args.job)?;
    if let Some(data) = &args.data {
        job.folder.clone_from(data);
    }
    Ok(job)
}

pub(crate) fn train_options(args: &JobArgs, actor: &str) -> TrainOptions {
    TrainOptions {
        n_threads: n_threads(args.threads),
        rejects: args.rejects.clone(),
        created_by: actor.to_owned(),
        ..TrainOptions::default()
    }
}

pub(crate) fn n_threads(asked: Option<usize>) -> usize {
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1)
}

/// `MODEL`, `MODEL@ALIAS` or `MODEL@VERSION` to a model and a version. Without a choice: the champion,
/// or the newest version while there is none.
pub(crate) fn resolve(registry: &Registry, text: &str) -> anyhow::Result<(String, u64)> {
    let (model, choice) = match text.split_once('@') {
        None => (text, None),
        Some((model, choice)) => (model, Some(choice)),
    };
    let version = match choice {
        Some(choice) => match choice.parse::<u64>() {
            Ok(version) => registry.resolve(model, &Choice::Version(version))?,
            Err(_) => registry.resolve(model, &Choice::Alias(choice.to_owned()))?,
        },
        None => match registry.resolve(model, &Choice::Champion) {
            Ok(version) => version,
            Err(RegistryError::AliasNotFound { .. }) => match registry.versions(model)?.last() {
                Some(manifest) => manifest.version,
                None => bail!("model {model:?} has no version yet; publish one with segue train"),
            },
            Err(error) => return Err(error.into()),
        },
    };
    Ok((model.to_owned(), version))
}

/// Shows the gates that stopped a change.
pub(crate) fn with_gates<T>(
    outcome: Result<T, RegistryError>,
    console: &Console,
) -> Result<T, RegistryError> {
    if let Err(RegistryError::GateFailed(gates)) = &outcome {
        console.say(&gate_table(gates));
    }
    outcome
}

/// Gates as a table.
pub(crate) fn gate_table(gates: &[GateResult]) -> String {
    let rows: Vec<Vec<String>> = gates
        .iter()
        .map(|gate| {
            let outcome = match gate.outcome {
                GateOutcome::Passed => "passed",
                GateOutcome::Failed => "FAILED",
                GateOutcome::Skipped => "skipped",
            };
            vec![gate.gate.clone(), outcome.to_owned(), gate.message.clone()]
        })
        .collect();
    table(&["gate", "outcome", "why"], &rows)
}
