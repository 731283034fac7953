//! The search for better parameters of a job's learner.
//!
//! Only the training part is looked at: calibrating and test rows stay unseen, and within the training
//! part every fold is judged on rows later than those it is fitted on, with the split's embargo between
//! and users whole (without times: on other users). Trial 0 is the job as it is; what comes out is
//! never worse than it by the folds' mean loss.
//!
//! The loss is the learner's own on the rows of a fold, at its best round (a forest's is the log loss, or
//! the squared error of a number). Trials are proposed by `propose`, given up by `prune` and kept by
//! `record`; the same trials lead to the same next one, so that a search that was stopped and taken up
//! again ends where an uninterrupted one does.

mod edit;
mod error;
mod folds;
mod propose;
mod prune;
mod record;
mod space;
#[cfg(test)]
mod tests;
mod trial;

use std::path::{Path, PathBuf};

use segue_dataset::Dataset;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::job::{Job, LearnerSection, Origin, Span, SplitBy};
use crate::rows::Prepared;
use crate::train::{Preflight, TrainError, TrainOptions, prepare_rows};
use crate::watch::Watch;

pub use edit::job_with;
pub use error::TuneError;
pub use record::{FoldResult, Trial, TrialState};
pub use space::{Params, with_params};

use folds::{Fold, by_user, forward};
use propose::{Tried, propose};
use record::{Head, Record};
use space::Space;
use trial::{Outcome, Trying};

/// How to search.
pub struct TuneOptions<'a> {
    /// Trials in all, those of an earlier run included.
    pub n_trials: usize,
    /// Folds at most.
    pub n_folds: usize,
    /// Seed of the proposals.
    pub seed: u64,
    /// Threads; results do not depend on it.
    pub n_threads: usize,
    /// File that takes each rejected row.
    pub rejects: Option<PathBuf>,
    /// Asked between rounds; `false` ends the search and drops the running trial.
    pub keep_going: &'a (dyn Fn() -> bool + Sync),
}

/// Rows of a fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FoldSize {
    /// Rows to fit.
    pub fit: usize,
    /// Rows to judge by.
    pub validate: usize,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tuned {
    /// The trial with the smallest loss, the earliest among equals.
    pub best: Trial,
    /// The job as it was.
    pub first: Trial,
    /// All trials.
    pub n_trials: usize,
    /// Trials that were given up.
    pub n_pruned: usize,
    /// Trials that could not be fitted.
    pub n_failed: usize,
    /// Trials that an earlier run had done.
    pub n_resumed: usize,
    /// Whether the trials ended because the time was over.
    pub out_of_time: bool,
    /// Whether folds go forward in time, or divide users.
    pub forward_in_time: bool,
    /// The folds.
    pub folds: Vec<FoldSize>,
    /// The learner with the best parameters.
    #[serde(skip)]
    pub learner: LearnerSection,
}

/// Searches, and keeps the trials in `trials`.
///
/// # Errors
/// [`TuneError`] with file and key.
pub fn tune(
    job: &Job,
    trials: &Path,
    options: &TuneOptions<'_>,
    watch: &dyn Watch,
) -> Result<Tuned, TuneError> {
    if Space::of(&job.learner, 0).is_none() {
        return Err(TuneError::NotTuned { kind: job.learner.kind.name() });
    }
    if job.learner.start_from.is_some() {
        return Err(TuneError::Start);
    }
    let read = TrainOptions {
        n_threads: options.n_threads,
        rejects: options.rejects.clone(),
        ..TrainOptions::default()
    };
    let (prepared, _) = prepare_rows(job, None, &read, watch, true).map_err(TrainError::from)?;
    Preflight::of(&prepared).check(&job.preflight).map_err(TrainError::Preflight)?;
    let train = prepared.dataset.select(&prepared.split.train);
    let forward_in_time = is_forward(job, &train);
    let embargo = embargo(job);
    let folds = if forward_in_time {
        forward(&train, options.n_folds, embargo.us)
    } else {
        by_user(&train, options.n_folds)
    };
    let smallest = folds.iter().map(|fold| fold.fit.len()).min();
    let space = smallest.and_then(|n_rows| Space::of(&job.learner, n_rows));
    let Some(space) = space else {
        let embargo = embargo.to_string();
        return Err(TuneError::NoFolds { n_rows: train.n_rows(), embargo });
    };
    let head = head_of(job, &prepared, folds.len(), options.seed);
    let (mut record, mut done) = Record::open(trials, &head)?;
    let search = Search { job, space, train: &train, folds: &folds, options, watch };
    let (n_resumed, mut out_of_time) = (done.len(), false);
    while done.len() < options.n_trials.max(1) {
        match search.next(&done)? {
            Some(trial) => {
                record.put(&trial)?;
                done.push(trial);
            }
            None => {
                out_of_time = true;
                break;
            }
        }
    }
    let size = |fold: &Fold| FoldSize { fit: fold.fit.len(), validate: fold.validate.len() };
    let best = best_of(&done).ok_or(TuneError::NoTrial)?.clone();
    let first = done.first().ok_or(TuneError::NoTrial)?.clone();
    let count = |state| done.iter().filter(|trial| trial.state == state).count();
    Ok(Tuned {
        learner: search.section(&best),
        n_trials: done.len(),
        n_pruned: count(TrialState::Pruned),
        n_failed: count(TrialState::Failed),
        n_resumed,
        out_of_time,
        forward_in_time,
        folds: folds.iter().map(size).collect(),
        best,
        first,
    })
}

/// The finished trial with the smallest loss, the earliest among equals.
fn best_of(trials: &[Trial]) -> Option<&Trial> {
    let finished = trials.iter().filter_map(|trial| Some((trial.loss?, trial)));
    finished.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.trial.cmp(&b.1.trial))).map(|(_, it)| it)
}

/// Whether rows have times, and the job divides by them.
fn is_forward(job: &Job, train: &Dataset) -> bool {
    job.split.by == SplitBy::Time && train.keys().t.len() == train.n_rows()
}

fn embargo(job: &Job) -> Span {
    job.split.embargo.unwrap_or_else(|| match &job.origin {
        Origin::Events(events) => events.label.reach(),
        Origin::Table(_) => Span::default(),
    })
}

fn head_of(job: &Job, prepared: &Prepared, folds: usize, seed: u64) -> Head {
    let job = hex::encode(Sha256::digest(job.to_toml()));
    let data = prepared.facts.digest.clone().unwrap_or_default();
    Head { segue_tune: 1, job, data, folds, seed }
}

/// What does not change from trial to trial.
struct Search<'a> {
    job: &'a Job,
    space: Space,
    train: &'a Dataset,
    folds: &'a [Fold],
    options: &'a TuneOptions<'a>,
    watch: &'a dyn Watch,
}

impl Search<'_> {
    /// The next trial, measured; `None` if the time is over.
    fn next(&self, done: &[Trial]) -> Result<Option<Trial>, TuneError> {
        let number = done.len();
        let params = if number == 0 {
            self.space.params_of(&self.job.learner)
        } else {
            self.space.params(&self.propose(done))
        };
        let best = best_of(done).and_then(|trial| trial.loss);
        let told = best.map_or_else(String::new, |loss| format!(", best loss {loss:.5}"));
        self.watch.stage(&format!("trial {number}{told}"), self.options.n_trials as u64);
        self.watch.done(number as u64);
        let trying = Trying {
            section: &self.section_of(number, &params),
            seed: self.job.seed,
            data: self.train,
            done,
            n_threads: self.options.n_threads.max(1),
            keep_going: self.options.keep_going,
        };
        let (state, folds) = match trying.run(self.folds) {
            Outcome::Done(folds) => (TrialState::Done, folds),
            Outcome::Pruned(folds) => (TrialState::Pruned, folds),
            // the job's own parameters must be measured, or there is nothing to compare with
            Outcome::Failed(error) if number == 0 => return Err(error.into()),
            Outcome::Failed(error) => {
                self.watch.note(&format!("trial {number} failed: {error}"));
                (TrialState::Failed, Vec::new())
            }
            Outcome::OutOfTime => return Ok(None),
        };
        let mean = || folds.iter().map(|fold| fold.loss).sum::<f64>() / folds.len() as f64;
        let loss = (state == TrialState::Done).then(mean);
        Ok(Some(Trial { trial: number, params, state, loss, folds }))
    }

    fn propose(&self, done: &[Trial]) -> Vec<f64> {
        let tried: Vec<Tried> = done
            .iter()
            .map(|trial| Tried {
                point: self.space.point(&trial.params),
                loss: trial.loss.unwrap_or(f64::INFINITY),
            })
            .collect();
        propose(self.space.len(), &tried, self.options.seed)
    }

    /// The learner of a trial.
    fn section(&self, trial: &Trial) -> LearnerSection {
        self.section_of(trial.trial, &trial.params)
    }

    fn section_of(&self, number: usize, params: &Params) -> LearnerSection {
        if number == 0 { self.job.learner.clone() } else { with_params(&self.job.learner, params) }
    }
}
