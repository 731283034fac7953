//! One learner, fitted on the training rows and calibrated on rows it has not seen.

mod auto;
mod checkpoint;
mod parameters;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use segue_dataset::{Dataset, TargetKind};
use segue_learners::{
    BoostingParams, Checkpoint, FitOptions, Fitted, LearnError, Learner, ParamError, Progress,
    fit_with,
};
use segue_model::{
    Calibration, Ensemble, Model, ModelError, ModelParts, choose_calibration,
    choose_multiclass_calibration, fit_linear,
};

use crate::job::{Answer, LearnerSection, OrAuto};
use crate::watch::Watch;

use auto::{leaves_for, slow_down};
pub use checkpoint::Checkpoints;
use checkpoint::{Keeper, Kept};
use parameters::bind;
pub use parameters::learner_of;

/// Why a model cannot be fitted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// A parameter out of range.
    #[error("[learner]: {0}")]
    Params(#[from] ParamError),
    /// A name in a parameter that means nothing for these rows.
    #[error("learner.{key}: {message}")]
    Name {
        /// The key.
        key: &'static str,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// What an earlier run left cannot be gone on from.
    #[error("checkpoint {}: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Whoever watches wanted the fit to end.
    #[error("stopped after {n_rounds} rounds; {}", kept(checkpoint.as_deref()))]
    Stopped {
        /// Rounds that were done.
        n_rounds: usize,
        /// Where their trees are kept.
        checkpoint: Option<PathBuf>,
    },
    /// The learner cannot work on these rows.
    #[error("learner {learner:?}: {source}")]
    Learn {
        /// The learner.
        learner: &'static str,
        /// Why.
        source: LearnError,
    },
    /// The parts do not make a model: a defect of a learner.
    #[error("learner {learner:?} gave trees that are no model: {source}")]
    Model {
        /// The learner.
        learner: &'static str,
        /// Why.
        source: ModelError,
    },
}

/// What becomes of a fit that was stopped.
fn kept(checkpoint: Option<&Path>) -> String {
    match checkpoint {
        Some(path) => format!("the same command goes on from {}", path.display()),
        None => "nothing is kept of it; with a checkpoint the same command would go on".to_owned(),
    }
}

/// A model and how it came about.
#[derive(Debug)]
pub struct FittedModel {
    /// Trees with calibration.
    pub model: Model,
    /// What the learner says.
    pub fitted: Fitted,
    /// Cross-validated log loss of each calibration that was tried, by name.
    pub calibration_losses: Vec<(String, f64)>,
    /// Parameters that were left to be found, by key of `[learner]`.
    pub found: Found,
}

/// What a fitted model carries beside its trees.
#[derive(Debug, Clone)]
pub struct Naming {
    /// The task.
    pub task: String,
    /// Behaviour of each column, for reasons.
    pub behaviours: Vec<String>,
    /// Hash of the feature set, if there is one.
    pub feature_set_hash: Option<String>,
}

/// What is fitted, and on what.
#[derive(Clone, Copy)]
pub struct Fitting<'a> {
    /// The learner.
    pub section: &'a LearnerSection,
    /// Seeds everything that draws.
    pub seed: u64,
    /// Rows to fit.
    pub train: &'a Dataset,
    /// Rows to stop early by.
    pub valid: &'a Dataset,
    /// Threads; results do not depend on it.
    pub n_threads: usize,
    /// Trees to go on from.
    pub start: Option<&'a Ensemble>,
    /// Where to keep trees while the fit runs, and to look for those of a run that was killed.
    pub checkpoints: Option<&'a Checkpoints>,
}

/// Fits, stops early and calibrates on the validation rows.
///
/// `leaves = "auto"` takes a third of the cube root of the training rows, within 4 to 63: 7 for 10,000
/// rows, 33 for a million. `learning_rate = "auto"` fits twice: the first fit, at the default rate, finds
/// how many rounds these rows bear; the second takes the rate at which about half of `rounds` are borne,
/// within 0.01 to 0.1 (the best round is nearly inverse to the rate), and waits as much longer for a
/// better round as its steps are smaller. `watch` may end the fit between two rounds.
///
/// # Errors
/// [`FitError`] with the learner's name, the key or the file.
pub fn fit_model(
    fitting: &Fitting<'_>,
    naming: &Naming,
    watch: &dyn Watch,
) -> Result<FittedModel, FitError> {
    let progress = |progress: Progress, _rate: Option<f64>| {
        watch.done(progress.iteration as u64);
        if watch.wants_end() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let (fitted, found) = fit_learner(fitting, watch, &progress).map_err(|error| match error {
        FitError::Learn { source: LearnError::Cancelled { iteration }, .. } => {
            let checkpoint = fitting.checkpoints.map(|into| into.path.clone());
            FitError::Stopped { n_rounds: iteration, checkpoint }
        }
        other => other,
    })?;
    let parts = ModelParts {
        schema: Arc::clone(fitting.train.schema()),
        target: fitting.train.target().kind.clone(),
        task: naming.task.clone(),
        ensemble: fitted.ensemble.clone(),
        calibration: Calibration::None,
        behaviours: naming.behaviours.clone(),
        feature_set_hash: naming.feature_set_hash.clone(),
    };
    let learner = fitting.section.kind.name();
    let model_error = |source| FitError::Model { learner, source };
    let plain = Model::new(parts).map_err(model_error)?;
    let raw = plain.raw_rows(fitting.valid.features());
    let (calibration, calibration_losses) = calibration_of(fitting.valid, &raw);
    let parts = ModelParts { calibration, ..plain.into_parts() };
    let model = Model::new(parts).map_err(model_error)?;
    Ok(FittedModel { model, fitted, calibration_losses, found })
}

/// Told how far a fit is, and its learning rate; `None` for learners without one, and for a fit that only
/// finds the rate.
pub(crate) type FitProgress<'a> = &'a (dyn Fn(Progress, Option<f64>) -> ControlFlow<()> + Sync);

/// Parameters that were left to be found, by key of `[learner]`.
pub type Found = BTreeMap<&'static str, f64>;

/// Fits and stops early; calibrates nothing. `watch` hears of checkpoints that could not be written.
///
/// # Errors
/// [`FitError`] with the learner's name, the key or the file.
pub(crate) fn fit_learner(
    fitting: &Fitting<'_>,
    watch: &dyn Watch,
    progress: FitProgress<'_>,
) -> Result<(Fitted, Found), FitError> {
    let Fitting { section, train, .. } = *fitting;
    if let Some(into) = fitting.checkpoints {
        into.check(section)?;
    }
    let answer = answer_of(&train.target().kind);
    let mut found = Found::new();
    let mut params = match learner_of(section, answer, fitting.seed) {
        Learner::Boosting(params) => params,
        other => {
            let fitted = fitting.run(other, fitting.start, None, &|at| progress(at, None))?;
            return Ok((fitted, found));
        }
    };
    bind(&mut params, section, train.schema(), &train.target().kind)?;
    if section.leaves == Some(OrAuto::Auto) {
        params.n_leaves = leaves_for(train.n_rows());
        found.insert("leaves", params.n_leaves as f64);
    }
    let keeper = fitting.checkpoints.map(|into| Keeper::new(into, fitting, watch)).transpose()?;
    let kept = keeper.as_ref().map(Keeper::read).transpose()?.flatten();
    let boost = |params: BoostingParams, n_borne: Option<usize>, finds_rate: bool| {
        let rate = (!finds_rate).then_some(params.learning_rate);
        // what a killed run left of this fit, and not of the one before it
        let kept = kept.as_ref().filter(|kept| kept.finds_rate == finds_rate);
        let start = kept.map(|kept| &kept.ensemble).or(fitting.start);
        let save = |ensemble: &Ensemble| {
            if let Some(keeper) = &keeper {
                keeper.write(&Kept { finds_rate, n_borne, ensemble: ensemble.clone() });
            }
        };
        let every = keeper.as_ref().map(Keeper::every);
        let checkpoint = every.map(|every| Checkpoint { every, save: &save });
        fitting.run(Learner::Boosting(params), start, checkpoint, &|at| progress(at, rate))
    };
    let mut n_borne = None;
    if section.learning_rate == Some(OrAuto::Auto) {
        let n = match kept.as_ref().and_then(|kept| kept.n_borne) {
            Some(n) => n,
            None => boost(params.clone(), None, true)?.best_iteration,
        };
        n_borne = Some(n);
        slow_down(&mut params, n);
        found.insert("learning_rate", params.learning_rate);
    }
    Ok((boost(params, n_borne, false)?, found))
}

impl Fitting<'_> {
    fn run(
        &self,
        learner: Learner,
        start: Option<&Ensemble>,
        checkpoint: Option<Checkpoint<'_>>,
        progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
    ) -> Result<Fitted, FitError> {
        let options = FitOptions { start, checkpoint, ..FitOptions::new(progress) };
        fit_with(&learner.check()?, self.train, Some(self.valid), self.n_threads, &options)
            .map_err(|source| FitError::Learn { learner: self.section.kind.name(), source })
    }
}

/// What a target answers.
pub(crate) fn answer_of(kind: &TargetKind) -> Answer {
    match kind {
        TargetKind::Binary => Answer::YesNo,
        TargetKind::Multiclass { .. } => Answer::Class,
        TargetKind::Regression => Answer::Number,
    }
}

pub(crate) fn calibration_of(
    calibrate: &Dataset,
    raw: &[f64],
) -> (Calibration, Vec<(String, f64)>) {
    let (labels, users) = (&calibrate.target().values, &calibrate.keys().user);
    match &calibrate.target().kind {
        TargetKind::Binary => {
            let choice = choose_calibration(raw, labels, calibrate.weight(), users);
            (choice.calibration, choice.log_loss)
        }
        TargetKind::Multiclass { classes } => {
            let weight = calibrate.weight();
            let (calibration, choices) =
                choose_multiclass_calibration(raw, classes.len(), labels, weight, users);
            let losses = choices.into_iter().zip(classes).flat_map(|(choice, class)| {
                choice
                    .log_loss
                    .into_iter()
                    .map(move |(name, loss)| (format!("{class}: {name}"), loss))
            });
            (calibration, losses.collect())
        }
        TargetKind::Regression => (fit_linear(raw, labels, calibrate.weight()), Vec::new()),
    }
}

#[cfg(test)]
mod tests;
