//! What the command line takes.

mod access;
mod changes;
mod exchange;
mod guard;
mod observe;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand};

pub(crate) use access::{Access, AccessWhat, Security};
pub(crate) use changes::{Alias, Archive, Promote, Rollback, Traffic};
pub(crate) use exchange::{Export, Import};
pub(crate) use guard::GuardArgs;
pub(crate) use observe::{Health, LogFormat, Observe};

const EXIT_CODES: &str = "\
Data goes to stdout, everything else to stderr.

Exit codes:
  0   done
  1   failed
  2   wrong arguments
  65  the data or the job cannot be used
  75  someone else changed the model first; read it again and retry
  130 stopped by Ctrl-C; training and tuning end after their round first and keep what they can";

/// Predictive segmentation: learns from session histories who will churn, need support or convert,
/// and tells your back-end while the user is still on the page.
#[derive(Debug, Parser)]
#[command(name = "segue", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Print JSON on stdout, for machines.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress bars and no notes.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look at event files and write a job that already runs
    Init(Init),
    /// Make seeded onboarding histories with planted causes
    Simulate(Simulate),
    /// Write the feature table of a job, for other tools
    Features(Features),
    /// Run a job: train, calibrate, evaluate, publish a version
    Train(Train),
    /// Search better parameters for a job's learner and write them as a job
    ///
    /// Only the training part is searched, on folds that look back in time and keep users whole; the
    /// calibrating and test rows stay unseen. Boosting: learning_rate 0.01 to 0.3, leaves 2 to 256,
    /// min_rows_per_leaf 5 to 1000, l2 0.01 to 100, column_share 0.3 to 1, row_share 0.5 to 1. Forest:
    /// min_rows_per_leaf 1 to 500, max_depth 3 to 32, column_share 0.05 to 1. Stopped at any moment, the
    /// same command goes on where it was.
    Tune(Tune),
    /// Publish a model of LightGBM, XGBoost or ONNX as a version
    Import(Import),
    /// Write a version for LightGBM, XGBoost or ONNX
    Export(Export),
    /// Measure a published version on the test rows of a job
    Evaluate(Evaluate),
    /// Write or locate the report of a version
    Report(Report),
    /// List, show, compare and verify what is published
    Models(Models),
    /// Point an alias at a version, if the gates let it
    Promote(Promote),
    /// Point an alias back at the version before
    Rollback(Rollback),
    /// Point an alias at a version without gates, or delete it (not `champion`: use promote)
    Alias(Alias),
    /// Show how the traffic of a model is split, or split it anew
    ///
    /// What is not named stays as it is. Shares are in basis points: 100 is one percent.
    Traffic(Traffic),
    /// Take a version out of use, or let it be used again
    ///
    /// An archived version keeps its number and its files, but cannot be promoted, rolled back to, given
    /// an alias or traffic.
    Archive(Archive),
    /// Score event files or feature tables
    ///
    /// Both stream: their size does not matter. A user's events may lie anywhere in the files, so a log
    /// that takes more than --memory goes through temporary files, where the users are brought
    /// together; the scores are the same to the byte. Memory must hold what links ids to users, and
    /// the events of one user.
    Score(Score),
    /// Describe a model's segments in words
    Segments(Segments),
    /// Serve models over gRPC
    Serve(Box<Serve>),
    /// What a server logged of its predictions
    Predictions(Predictions),
    /// Make keys for callers of the server, and check its access file
    Access(Access),
    /// Ask a server whether it is ready
    ///
    /// Speaks grpc.health.v1, so it can ask any gRPC server. Exit code 0 if it is ready, 1 if not.
    Health(Health),
    /// See all of it once: simulate, train, promote, serve, score
    Demo(Demo),
}

/// Where versions are kept.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct RegistryArgs {
    /// Registry: a folder, or an object-store URL
    #[arg(long, env = "SEGUE_REGISTRY", default_value = "models", value_name = "DIR|URL")]
    pub(crate) registry: String,
}

/// A job and how to run it.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct JobArgs {
    /// Job file
    pub(crate) job: PathBuf,
    /// Folder that the job's relative paths start from [default: the job's own]
    #[arg(long, env = "SEGUE_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Threads; results do not depend on it [default: all cores]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Write each rejected row to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub(crate) rejects: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Init {
    /// Event files or globs
    #[arg(required = true)]
    pub(crate) events: Vec<String>,
    /// Where to write the job
    #[arg(long, short, default_value = "job.toml", value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Name of the model [default: the task's]
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// How times are written where they do not tell, as in strptime, such as "%d/%m/%Y %H:%M"
    #[arg(long, value_name = "FORMAT")]
    pub(crate) time_format: Option<String>,
    /// Overwrite an existing job
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Simulate {
    /// Folder for events.jsonl and truth.csv
    #[arg(long, short, default_value = "simulated", value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Users
    #[arg(long, default_value_t = 10_000)]
    pub(crate) users: u64,
    /// Seed; the same seed gives the same bytes
    #[arg(long, default_value_t = 7)]
    pub(crate) seed: u64,
    /// Days over which users sign up
    #[arg(long, default_value_t = 150)]
    pub(crate) signup_days: u32,
    /// Leave out duplicates, late arrivals, wrong clocks and bots
    #[arg(long)]
    pub(crate) clean: bool,
    /// Share of lines that are not JSON
    #[arg(long, default_value_t = 0.0)]
    pub(crate) malformed: f64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Features {
    #[command(flatten)]
    pub(crate) job: JobArgs,
    /// .parquet or .csv
    #[arg(long, short, default_value = "features.parquet", value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Train {
    #[command(flatten)]
    pub(crate) job: JobArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// Print the job with every default in place, and stop
    #[arg(long)]
    pub(crate) explain: bool,
    /// Train and evaluate, publish nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Also write the report here
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Keep the rounds of the boosting in this folder while it runs; killed or stopped by Ctrl-C, the
    /// same command goes on from there and ends with the same bytes
    #[arg(long, value_name = "DIR")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Who publishes
    #[arg(long, env = "USER", default_value = "unknown")]
    pub(crate) actor: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Tune {
    #[command(flatten)]
    pub(crate) job: JobArgs,
    /// Where to write the tuned job; its trials lie beside it [default: JOB.tuned.toml]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Trials in all, those of an earlier run included; the first is the job as it is
    #[arg(long, default_value_t = 60, value_name = "N")]
    pub(crate) trials: usize,
    /// Stop after so many minutes, if the trials are not done by then
    #[arg(long, value_name = "MINUTES")]
    pub(crate) minutes: Option<f64>,
    /// Folds of the training part, at most
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub(crate) folds: usize,
    /// Seed of the search [default: the job's]
    #[arg(long, value_name = "SEED")]
    pub(crate) seed: Option<u64>,
    /// Overwrite a file that no search has made
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Evaluate {
    /// MODEL, MODEL@ALIAS or MODEL@VERSION [default alias: champion, else the newest version]
    pub(crate) model: String,
    #[command(flatten)]
    pub(crate) job: JobArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Report {
    /// MODEL, MODEL@ALIAS or MODEL@VERSION
    pub(crate) model: String,
    /// Where to write the page
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Models {
    #[command(subcommand)]
    pub(crate) command: ModelsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// All models with their aliases
    List {
        #[command(flatten)]
        registry: RegistryArgs,
    },
    /// A model's versions, or one version whole
    Show {
        /// MODEL, MODEL@ALIAS or MODEL@VERSION
        model: String,
        #[command(flatten)]
        registry: RegistryArgs,
    },
    /// What differs between two versions
    Diff {
        /// Model
        model: String,
        /// Version before
        before: u64,
        /// Version after
        after: u64,
        #[command(flatten)]
        registry: RegistryArgs,
    },
    /// Who changed what, when and why
    Log {
        /// Model
        model: String,
        #[command(flatten)]
        registry: RegistryArgs,
    },
    /// What its shadows would have answered, beside what was answered
    Shadows {
        /// Model
        model: String,
        #[command(flatten)]
        registry: RegistryArgs,
    },
    /// Check every checksum and the whole chain of events
    Verify {
        /// Model [default: all]
        model: Option<String>,
        #[command(flatten)]
        registry: RegistryArgs,
    },
}

#[derive(Debug, ClapArgs)]
#[command(group = clap::ArgGroup::new("input").required(true).args(["job", "features"]))]
pub(crate) struct Score {
    /// One or more of MODEL, MODEL@ALIAS, MODEL@VERSION
    #[arg(required = true)]
    pub(crate) models: Vec<String>,
    /// Job that says where the events are and how they read
    #[arg(long, value_name = "JOB")]
    pub(crate) job: Option<PathBuf>,
    /// Feature table, .parquet or .csv
    #[arg(long, value_name = "FILE")]
    pub(crate) features: Option<PathBuf>,
    /// Event files instead of those of the job
    #[arg(long, value_name = "FILE", requires = "job", conflicts_with = "features")]
    pub(crate) events: Vec<String>,
    /// Instant to score at, such as 2026-03-01T00:00:00Z [default: the end of the data]
    #[arg(long, value_name = "TIME", requires = "job", conflicts_with = "features")]
    pub(crate) at: Option<String>,
    /// Columns of the table to copy to the output
    #[arg(
        long,
        value_name = "COLUMN",
        requires = "features",
        conflicts_with = "job",
        value_delimiter = ','
    )]
    pub(crate) keep: Vec<String>,
    /// Reasons a row
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) reasons: usize,
    /// Pairs of features a row, with what they do together beyond what each does alone
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) interactions: usize,
    /// .parquet or .csv
    #[arg(long, short, default_value = "scores.parquet", value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Folder that the job's relative paths start from [default: the job's own]
    #[arg(long, env = "SEGUE_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Memory that events may take, such as 512MiB or 4GiB; the rest goes to temporary files
    #[arg(
        long,
        default_value = "1GiB",
        value_name = "SIZE",
        value_parser = size,
        conflicts_with = "features"
    )]
    pub(crate) memory: u64,
    /// Folder for temporary files, which have no name and vanish with the process [default: that of
    /// --out]
    #[arg(long, value_name = "DIR", requires = "job", conflicts_with = "features")]
    pub(crate) temp: Option<PathBuf>,
    /// Threads; results do not depend on it [default: all cores]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Write each rejected row to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub(crate) rejects: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

/// Bytes, from a number and a unit.
fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 7] = [
        ("B", 1),
        ("kB", 1000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
    ];
    let expected = "a size is a whole number and a unit, such as 512MiB or 4GiB";
    measure(text, &UNITS, str::eq_ignore_ascii_case).ok_or_else(|| expected.to_owned())
}

/// A length of time, from a whole number and a unit.
fn length_of_time(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let seconds = measure(text, &UNITS, |name, unit| name == unit);
    let expected = "a length of time is a whole number and s, m, h or d, such as 14d";
    seconds.map(Duration::from_secs).ok_or_else(|| expected.to_owned())
}

/// A whole number times its unit; `None` for anything else, and for what is too large.
fn measure(text: &str, units: &[(&str, u64)], is_unit: impl Fn(&str, &str) -> bool) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text[digits.len()..].trim();
    let (_, size) = units.iter().find(|(name, _)| is_unit(name, unit))?;
    digits.parse::<u64>().ok()?.checked_mul(*size)
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Segments {
    #[command(subcommand)]
    pub(crate) command: SegmentsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SegmentsCommand {
    /// Each segment as readable rules, with their fidelity
    Describe {
        /// MODEL, MODEL@ALIAS or MODEL@VERSION
        model: String,
        #[command(flatten)]
        registry: RegistryArgs,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Serve {
    /// Models that must be loaded before the server says it is ready [default: all with a champion]
    pub(crate) models: Vec<String>,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// Address of the gRPC services
    #[arg(long, default_value = "127.0.0.1:50051", value_name = "ADDR")]
    pub(crate) grpc: SocketAddr,
    /// Address of /metrics, /healthz and /readyz
    #[arg(long, default_value = "127.0.0.1:9464", value_name = "ADDR")]
    pub(crate) http: SocketAddr,
    /// Seconds between looks at the registry
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
    pub(crate) poll: f64,
    /// Largest number of rows in a batch
    #[arg(long, default_value_t = 10_000, value_name = "ROWS")]
    pub(crate) max_batch_rows: usize,
    /// Scoring requests under way at once; more are refused with RESOURCE_EXHAUSTED
    #[arg(long, default_value_t = 512, value_name = "N")]
    pub(crate) max_in_flight: usize,
    /// Largest version that is taken over the wire; it is held in memory while it comes. 0B: none
    #[arg(long, default_value = "256MiB", value_name = "SIZE", value_parser = size)]
    pub(crate) max_upload: u64,
    #[command(flatten)]
    pub(crate) log: PredictionLogArgs,
    /// Seconds that requests are still taken after a stop signal
    #[arg(long, default_value_t = 5.0, value_name = "SECONDS")]
    pub(crate) pre_drain: f64,
    /// Seconds after which unfinished requests are cut off
    #[arg(long, default_value_t = 25.0, value_name = "SECONDS")]
    pub(crate) drain_timeout: f64,
    #[command(flatten)]
    pub(crate) guard: GuardArgs,
    #[command(flatten)]
    pub(crate) security: Security,
    #[command(flatten)]
    pub(crate) observe: Observe,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Predictions {
    #[command(subcommand)]
    pub(crate) command: PredictionsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PredictionsCommand {
    /// Predictions with their outcomes as a table that `segue train` reads
    Join(JoinPredictions),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct JoinPredictions {
    /// Folder of a prediction log (serve --prediction-log); give that of every server
    #[arg(long, required = true, value_name = "DIR")]
    pub(crate) log: Vec<PathBuf>,
    /// Model whose predictions are wanted
    #[arg(long)]
    pub(crate) model: String,
    /// Only predictions of this version [default: all]
    #[arg(long, value_name = "VERSION")]
    pub(crate) model_version: Option<u64>,
    /// Only predictions made at or after this, such as 2026-11-22T00:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<jiff::Timestamp>,
    /// Only predictions made before this
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<jiff::Timestamp>,
    /// Only predictions made at least so long ago, such as 14d: what becomes of younger ones is not
    /// known yet [default: all]
    #[arg(long, value_name = "DURATION", value_parser = length_of_time)]
    pub(crate) ripe: Option<Duration>,
    /// Where to write the table
    #[arg(long, short, default_value = "joined.parquet", value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// Where predictions and their outcomes are kept.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct PredictionLogArgs {
    /// Log predictions to Parquet files in this folder, and keep their outcomes there [default: no
    /// log]
    #[arg(long, env = "SEGUE_PREDICTION_LOG", value_name = "DIR")]
    pub(crate) prediction_log: Option<PathBuf>,
    /// Share of the subjects (of rows without one: of the predictions) to log, in basis points
    #[arg(
        long,
        default_value_t = 10_000,
        value_name = "BASIS_POINTS",
        value_parser = clap::value_parser!(u32).range(0..=10_000)
    )]
    pub(crate) log_sample_rate: u32,
    /// Whether the log says whom a prediction is about
    #[arg(long, default_value = "none", value_name = "HOW")]
    pub(crate) log_subjects: LogSubjects,
    /// Key of hashed subjects, 16 bytes or more [default: one drawn and kept in the log's folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) log_subjects_key: Option<PathBuf>,
    /// Size of the log above which its oldest files are removed
    #[arg(long, default_value = "10GiB", value_name = "SIZE", value_parser = size)]
    pub(crate) prediction_log_max_bytes: u64,
    /// Days after which log files and outcomes are removed, and outcomes come too late
    #[arg(long, default_value_t = 90, value_name = "DAYS")]
    pub(crate) prediction_log_max_days: u32,
    /// Size of the files of outcomes above which new outcomes are refused
    #[arg(long, default_value = "10GiB", value_name = "SIZE", value_parser = size)]
    pub(crate) outcomes_max_bytes: u64,
}

/// How the prediction log names subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogSubjects {
    /// Not at all
    None,
    /// By a keyed hash
    Hashed,
    /// As callers do
    Plain,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Demo {
    /// Folder for everything that is made
    #[arg(long, short, default_value = "target/demo", value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Simulated users
    #[arg(long, default_value_t = 10_000)]
    pub(crate) users: u64,
    /// Seed
    #[arg(long, default_value_t = 7)]
    pub(crate) seed: u64,
    /// Threads [default: all cores]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
}
