//! The job from one end to the other: rows, fit, calibrate, compare, evaluate, and the files of a
//! version, ready to publish.

mod adopt;
mod artefact;
mod compare;
mod evaluate;
mod judge;
mod preflight;
mod question;
mod start;

use std::path::{Path, PathBuf};

use segue_dataset::{Dataset, SchemaError, TargetKind};
use segue_events::EventLog;
use segue_features::FeatureSet;
use segue_learners::Learner;
use segue_model::{HoldoutError, Model, SegmentError, SegmentSet};
use segue_registry::Draft;

use crate::evaluation::{Evaluation, EvaluationError, OutOfBagFigures};
use crate::fit::{
    Checkpoints, FitError, FittedModel, Fitting, Found, Naming, fit_model, learner_of,
};
use crate::job::{EventsJob, Job, JobError, Origin};
use crate::read::{EventFiles, ReadError, ReadSummary, read_events};
use crate::rows::{Prepared, RowsError, digest_of, rows_of_log, rows_of_table};
use crate::watch::Watch;

use adopt::Foreign;
pub use adopt::{AdoptError, ForeignFile, adopt};
pub use evaluate::evaluate_version;
pub(crate) use judge::assign;
pub use judge::{Judged, judge};
pub use preflight::Preflight;
pub use start::{Start, StartError};

/// Why a job fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The job file.
    #[error(transparent)]
    Job(#[from] JobError),
    /// Files, features, rows.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// Too little to learn from.
    #[error("too little to learn from: {0}")]
    Preflight(String),
    /// Learners.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// The model to go on from.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The model of another library.
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    /// Segments.
    #[error("[[segments]]: {0}")]
    Segments(#[from] SegmentError),
    /// Evaluation.
    #[error("evaluation: {0}")]
    Evaluation(#[from] EvaluationError),
    /// Holdout rows.
    #[error("holdout: {0}")]
    Holdout(#[from] HoldoutError),
    /// A schema that another cannot be turned into.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A published model asks for columns that the rows do not have.
    #[error("the model reads column {column:?}, which these rows do not have; they have: {found}")]
    MissingColumn {
        /// The column.
        column: String,
        /// What there is.
        found: String,
    },
    /// A column of another kind than the one that the model was trained on.
    #[error("the model reads column {column:?} as {expected}, but these rows hold {found}")]
    ColumnKind {
        /// The column.
        column: String,
        /// What it holds.
        found: &'static str,
        /// What the model reads.
        expected: &'static str,
    },
    /// The model predicts something else than the rows are labelled with.
    #[error("the model predicts {model}, the job's rows are labelled with {rows}")]
    TargetMismatch {
        /// Kind of the model, in words.
        model: String,
        /// Kind of the rows, in words.
        rows: String,
    },
}

/// How to run.
#[derive(Debug, Clone, Default)]
pub struct TrainOptions {
    /// Threads; results do not depend on it.
    pub n_threads: usize,
    /// File that takes each rejected row.
    pub rejects: Option<PathBuf>,
    /// Who publishes.
    pub created_by: String,
    /// The model that the job's `start_from` names; looked at only if it names one.
    pub start: Option<Start>,
    /// Where the fit of the job's learner keeps its trees, and looks for those of a run that was killed.
    pub checkpoints: Option<Checkpoints>,
}

/// A finished job.
#[derive(Debug)]
pub struct Trained {
    /// The files of a version and what the registry says of it.
    pub draft: Draft,
    /// The model.
    pub model: Model,
    /// Its figures.
    pub evaluation: Evaluation,
    /// What was read, for jobs on events.
    pub read: Option<ReadSummary>,
    /// Rows by part and class.
    pub preflight: Preflight,
    /// The report page.
    pub report_html: String,
    /// Rounds or trees kept.
    pub best_iteration: usize,
    /// Cross-validated log loss of each calibration that was tried, by name.
    pub calibration_losses: Vec<(String, f64)>,
    /// Parameters that the job left to be found, by key of `[learner]`.
    pub found: Found,
}

/// Rows of a job and what was read for them; with `fixed`, computed by that feature set instead of the
/// job's.
///
/// # Errors
/// [`RowsError`] with file, row, column or key.
pub fn prepare(
    job: &Job,
    fixed: Option<&FeatureSet>,
    options: &TrainOptions,
    watch: &dyn Watch,
) -> Result<(Prepared, Option<ReadSummary>), RowsError> {
    prepare_rows(job, fixed, options, watch, false)
}

/// The same, with or without the digest of the events: it takes a look at each of them.
pub(crate) fn prepare_rows(
    job: &Job,
    fixed: Option<&FeatureSet>,
    options: &TrainOptions,
    watch: &dyn Watch,
    wants_digest: bool,
) -> Result<(Prepared, Option<ReadSummary>), RowsError> {
    match &job.origin {
        Origin::Table(section) => {
            watch.stage("reading table", 0);
            Ok((rows_of_table(job, section, &job.folder.join(&section.file))?, None))
        }
        Origin::Events(events) => {
            let (log, summary) = read(events, job, options, watch)?;
            let n_threads = options.n_threads;
            let mut prepared = rows_of_log(job, events, &log, &summary, fixed, n_threads, watch)?;
            prepared.facts.digest = wants_digest.then(|| digest_of(&log));
            // it is many small pieces of memory, and nobody waits for them
            std::thread::spawn(move || drop(log));
            Ok((prepared, Some(summary)))
        }
    }
}

fn read(
    events: &EventsJob,
    job: &Job,
    options: &TrainOptions,
    watch: &dyn Watch,
) -> Result<(EventLog, ReadSummary), ReadError> {
    watch.stage("reading events", 0);
    read_events(EventFiles {
        section: &events.source,
        folder: &job.folder,
        rejects: options.rejects.as_deref(),
        n_threads: options.n_threads,
        progress: &|done, _total| watch.done(done),
    })
}

/// Runs a job up to a draft that is ready to publish. Writes nothing but the rejects file.
///
/// # Errors
/// [`TrainError`] with what to change.
pub fn train(job: &Job, options: &TrainOptions, watch: &dyn Watch) -> Result<Trained, TrainError> {
    let start = Start::of(job, options.start.as_ref())?;
    let job = &published(job, start);
    if let Some(checkpoints) = &options.checkpoints {
        checkpoints.check(&job.learner)?;
    }
    let (prepared, read) = prepare_rows(job, None, options, watch, true)?;
    let preflight = Preflight::of(&prepared);
    preflight.check(&job.preflight).map_err(TrainError::Preflight)?;
    let parts = Parts::of(&prepared);
    let naming = naming_of(job, &prepared);
    let segments = segments_of(job)?;
    check_segments(job, &segments, &prepared, watch)?;

    if let Some(start) = start {
        let rounds = rounds_of(job);
        start.check(&parts.train, naming.feature_set_hash.as_deref(), rounds)?;
    }
    let fitting = Fitting {
        section: &job.learner,
        seed: job.seed,
        train: &parts.train,
        valid: &parts.calibrate,
        n_threads: options.n_threads.max(1),
        start: start.map(|start| start.model.ensemble()),
        checkpoints: options.checkpoints.as_ref(),
    };
    watch.stage(&format!("fitting {}", job.learner.kind.name()), 0);
    let fitted = fit_model(&fitting, &naming, watch)?;
    let from = Origins { start, foreign: None };
    Fit { job, prepared, parts, segments, preflight, read, fitted, naming }
        .judged(from, options, watch)
}

/// What a version goes back to, beside its rows.
#[derive(Clone, Copy)]
struct Origins<'a> {
    start: Option<&'a Start>,
    foreign: Option<&'a Foreign<'a>>,
}

/// A model with all that its evaluation takes.
struct Fit<'a> {
    job: &'a Job,
    prepared: Prepared,
    parts: Parts,
    segments: SegmentSet,
    preflight: Preflight,
    read: Option<ReadSummary>,
    fitted: FittedModel,
    naming: Naming,
}

impl Fit<'_> {
    /// The same of every model, wherever it comes from: comparisons, figures, report, files.
    fn judged(
        self,
        from: Origins<'_>,
        options: &TrainOptions,
        watch: &dyn Watch,
    ) -> Result<Trained, TrainError> {
        let Self { job, prepared, parts, segments, preflight, read, fitted, naming } = self;
        let others = compare::fit_others(job, &parts, &naming, options, watch)?;
        watch.stage("evaluating", 0);
        let mut judged = with_threads(options.n_threads, || {
            judge(&fitted.model, &segments, &prepared, &parts, others, job)
        })?;
        let out_of_bag = fitted.fitted.out_of_bag.as_ref();
        judged.evaluation.out_of_bag =
            out_of_bag.map(|estimate| OutOfBagFigures::of(&parts.train, &estimate.predictions));
        watch.stage("writing the report", 0);
        let made = artefact::make(artefact::Made {
            job,
            prepared: &prepared,
            parts: &parts,
            fitted: &fitted,
            from,
            segments: &segments,
            judged: &judged,
            read: read.as_ref(),
            preflight: &preflight,
            created_by: &options.created_by,
        })?;
        Ok(Trained {
            draft: made.draft,
            report_html: made.report_html,
            best_iteration: fitted.fitted.best_iteration,
            calibration_losses: fitted.calibration_losses,
            found: fitted.found,
            model: fitted.model,
            evaluation: judged.evaluation,
            read,
            preflight,
        })
    }
}

/// The three parts as datasets of their own.
#[derive(Debug)]
pub struct Parts {
    /// Rows to fit.
    pub train: Dataset,
    /// Rows to stop early and calibrate.
    pub calibrate: Dataset,
    /// Rows to judge.
    pub test: Dataset,
}

impl Parts {
    /// Copies the rows of each part.
    #[must_use]
    pub fn of(prepared: &Prepared) -> Self {
        let select = |rows: &[u32]| prepared.dataset.select(rows);
        let split = &prepared.split;
        Self {
            train: select(&split.train),
            calibrate: select(&split.calibrate),
            test: select(&split.test),
        }
    }
}

fn naming_of(job: &Job, prepared: &Prepared) -> Naming {
    let columns = 0..prepared.dataset.schema().len();
    let (behaviours, feature_set_hash) = match &prepared.feature_set {
        Some(set) => {
            (columns.map(|column| set.behaviour(column)).collect(), Some(set.hash().to_owned()))
        }
        None => (Vec::new(), None),
    };
    Naming { task: job.task.name().to_owned(), behaviours, feature_set_hash }
}

/// The segments of a job, compiled.
///
/// # Errors
/// A condition that does not compile.
pub fn segments_of(job: &Job) -> Result<SegmentSet, SegmentError> {
    let segments = job.segments.iter().map(|entry| segue_model::Segment {
        name: entry.name.clone(),
        when: entry.when.clone(),
        description: entry.description.clone(),
    });
    SegmentSet::new(segments.collect())
}

/// Segments may look at the scores of other models, which are there when files are scored and requests
/// served, but not here.
fn check_segments(
    job: &Job,
    segments: &SegmentSet,
    prepared: &Prepared,
    watch: &dyn Watch,
) -> Result<(), SegmentError> {
    let others: Vec<&str> = segments.models().filter(|model| *model != job.model).collect();
    let models: Vec<&str> = others.iter().copied().chain([job.model.as_str()]).collect();
    segments.check(prepared.dataset.schema(), &models)?;
    if let TargetKind::Multiclass { classes } = &prepared.dataset.target().kind {
        segments.check_classes(classes)?;
    } else {
        segments.check_classes(&[])?;
    }
    if !others.is_empty() {
        watch.note(&format!(
            "segments ask for scores of {}: missing in the report, where such conditions do not hold",
            others.join(", ")
        ));
    }
    Ok(())
}

/// The job as a version carries it: with the version behind an alias, which may move.
fn published(job: &Job, start: Option<&Start>) -> Job {
    let mut job = job.clone();
    if let Some(start) = start {
        job.learner.start_from = Some(start.name.clone());
    }
    job
}

/// Most boosting rounds.
fn rounds_of(job: &Job) -> usize {
    match learner_of(&job.learner, job.task.answer(), job.seed) {
        Learner::Boosting(params) => params.n_rounds,
        _ => 0,
    }
}

/// Runs `work` on so many threads; on all there are, if no pool of that size can be had.
pub(crate) fn with_threads<T: Send>(n_threads: usize, work: impl FnOnce() -> T + Send) -> T {
    match rayon::ThreadPoolBuilder::new().num_threads(n_threads.max(1)).build() {
        Ok(pool) => pool.install(work),
        Err(_) => work(),
    }
}

/// The folder-independent name of a file, for lineage.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
