//! One learner, fitted on the training rows and calibrated on rows it has not seen.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use segue_dataset::{Dataset, TargetKind};
use segue_learners::{
    BoostingParams, ClassWeight, FeatureShare, Fitted, ForestParams, LearnError, Learner,
    LinfaTreeParams, ParamError, Progress, SmartcoreForestParams, fit,
};
use segue_model::{
    Calibration, Model, ModelError, ModelParts, choose_calibration, choose_multiclass_calibration,
    fit_linear,
};

use crate::job::{Answer, LearnerKind, LearnerSection, ObjectiveKind, OrAuto};
use crate::watch::Watch;

/// Why a model cannot be fitted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// A parameter out of range.
    #[error("[learner]: {0}")]
    Params(#[from] ParamError),
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

/// Fits on `train`, stops early and calibrates on `calibrate`.
///
/// `leaves = "auto"` takes a third of the cube root of the training rows, within 4 to 63: 7 for 10,000
/// rows, 33 for a million. `learning_rate = "auto"` fits twice: the first fit, at the default rate, finds
/// how many rounds these rows bear; the second takes the rate at which about half of `rounds` are borne,
/// within 0.01 to 0.1 (the best round is nearly inverse to the rate), and waits as much longer for a
/// better round as its steps are smaller.
///
/// # Errors
/// [`FitError`] with the learner's name.
pub fn fit_model(
    section: &LearnerSection,
    seed: u64,
    train: &Dataset,
    calibrate: &Dataset,
    naming: &Naming,
    n_threads: usize,
    watch: &dyn Watch,
) -> Result<FittedModel, FitError> {
    let name = section.kind.name();
    let progress = |progress: Progress, _rate: Option<f64>| {
        watch.done(progress.iteration as u64);
        ControlFlow::Continue(())
    };
    let answer = answer_of(&train.target().kind);
    let (fitted, found) =
        fit_learner(section, answer, seed, train, calibrate, n_threads, &progress)?;
    let parts = ModelParts {
        schema: Arc::clone(train.schema()),
        target: train.target().kind.clone(),
        task: naming.task.clone(),
        ensemble: fitted.ensemble.clone(),
        calibration: Calibration::None,
        behaviours: naming.behaviours.clone(),
        feature_set_hash: naming.feature_set_hash.clone(),
    };
    let model_error = |source| FitError::Model { learner: name, source };
    let plain = Model::new(parts).map_err(model_error)?;
    let raw = plain.raw_rows(calibrate.features());
    let (calibration, calibration_losses) = calibration_of(calibrate, &raw);
    let parts = ModelParts { calibration, ..plain.into_parts() };
    let model = Model::new(parts).map_err(model_error)?;
    Ok(FittedModel { model, fitted, calibration_losses, found })
}

/// Told how far a fit is, and its learning rate; `None` for learners without one, and for a fit that only
/// finds the rate.
pub(crate) type FitProgress<'a> = &'a (dyn Fn(Progress, Option<f64>) -> ControlFlow<()> + Sync);

/// Parameters that were left to be found, by key of `[learner]`.
pub type Found = BTreeMap<&'static str, f64>;

/// Fits on `train` and stops early on `valid`.
///
/// # Errors
/// [`FitError`] with the learner's name.
pub(crate) fn fit_learner(
    section: &LearnerSection,
    answer: Answer,
    seed: u64,
    train: &Dataset,
    valid: &Dataset,
    n_threads: usize,
    progress: FitProgress<'_>,
) -> Result<(Fitted, Found), FitError> {
    let name = section.kind.name();
    let fit_with = |learner: Learner, rate: Option<f64>| {
        fit(&learner.check()?, train, Some(valid), n_threads, &|at| progress(at, rate))
            .map_err(|source| FitError::Learn { learner: name, source })
    };
    let mut found = Found::new();
    let Learner::Boosting(mut params) = learner_of(section, answer, seed) else {
        return Ok((fit_with(learner_of(section, answer, seed), None)?, found));
    };
    if section.leaves == Some(OrAuto::Auto) {
        params.n_leaves = leaves_for(train.n_rows());
        found.insert("leaves", params.n_leaves as f64);
    }
    if section.learning_rate == Some(OrAuto::Auto) {
        let n_borne = fit_with(Learner::Boosting(params.clone()), None)?.best_iteration;
        slow_down(&mut params, n_borne);
        found.insert("learning_rate", params.learning_rate);
    }
    let rate = Some(params.learning_rate);
    Ok((fit_with(Learner::Boosting(params), rate)?, found))
}

/// Fewest and most leaves that `auto` takes.
const AUTO_LEAVES: (f64, f64) = (4.0, 63.0);

/// Leaves for so many rows.
fn leaves_for(n_rows: usize) -> usize {
    ((n_rows as f64).cbrt() / 3.0).round().clamp(AUTO_LEAVES.0, AUTO_LEAVES.1) as usize
}

/// Smallest learning rate that `auto` takes.
const SLOWEST_RATE: f64 = 0.01;

/// From the rounds that the rows bear at the rate of `params` to a rate at which they bear half of all.
fn slow_down(params: &mut BoostingParams, n_borne: usize) {
    let fast = params.learning_rate;
    let wanted = (params.n_rounds as f64 / 2.0).max(1.0);
    let rate = (fast * n_borne as f64 / wanted).clamp(SLOWEST_RATE.min(fast), fast);
    // two digits that a person can copy into a job
    let digits = 10f64.powi(2 - rate.log10().ceil() as i32);
    params.learning_rate = (rate * digits).round() / digits;
    let longer = fast / params.learning_rate;
    params.early_stopping_rounds = (params.early_stopping_rounds as f64 * longer).round() as usize;
}

/// What a target answers.
pub(crate) fn answer_of(kind: &TargetKind) -> Answer {
    match kind {
        TargetKind::Binary => Answer::YesNo,
        TargetKind::Multiclass { .. } => Answer::Class,
        TargetKind::Regression => Answer::Number,
    }
}

fn calibration_of(calibrate: &Dataset, raw: &[f64]) -> (Calibration, Vec<(String, f64)>) {
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

/// Variance power of objective `tweedie` where a job names none.
const TWEEDIE_POWER: f64 = 1.5;

/// The learner of a job with its defaults in place of what is unset.
#[must_use]
pub fn learner_of(section: &LearnerSection, answer: Answer, seed: u64) -> Learner {
    fn set<T: Copy, U: From<T>>(slot: &mut U, value: Option<T>) {
        if let Some(value) = value {
            *slot = value.into();
        }
    }
    fn set_size(slot: &mut usize, value: Option<u32>) {
        if let Some(value) = value {
            *slot = value as usize;
        }
    }
    match section.kind {
        LearnerKind::Boosting => {
            let objective = section.objective.unwrap_or(ObjectiveKind::usual(answer));
            let alpha = section.alpha.unwrap_or(f64::NAN);
            let objective = objective.with(alpha, section.power.unwrap_or(TWEEDIE_POWER));
            let mut params =
                BoostingParams { seed, objective: Some(objective), ..BoostingParams::default() };
            set_size(&mut params.n_rounds, section.rounds);
            set_size(&mut params.max_depth, section.max_depth);
            set_size(&mut params.min_rows_in_leaf, section.min_rows_per_leaf);
            set_size(&mut params.max_bins, section.max_bins);
            set_size(&mut params.early_stopping_rounds, section.early_stopping_rounds);
            if let Some(OrAuto::Fixed(leaves)) = section.leaves {
                params.n_leaves = leaves as usize;
            }
            if let Some(OrAuto::Fixed(rate)) = section.learning_rate {
                params.learning_rate = rate;
            }
            set(&mut params.min_hessian_in_leaf, section.min_hessian_per_leaf);
            set(&mut params.lambda_l1, section.l1);
            set(&mut params.lambda_l2, section.l2);
            set(&mut params.min_gain, section.min_gain);
            set(&mut params.row_share, section.row_share);
            set(&mut params.column_share, section.column_share);
            if let Some(positive) = section.positive_weight {
                params.class_weight = ClassWeight::Each(vec![1.0, positive]);
            }
            Learner::Boosting(params)
        }
        LearnerKind::Forest => {
            let mut params = ForestParams { seed, ..ForestParams::default() };
            set_size(&mut params.n_trees, section.trees);
            set_size(&mut params.max_depth, section.max_depth);
            set_size(&mut params.min_rows_in_leaf, section.min_rows_per_leaf);
            if let Some(share) = section.column_share {
                params.features = FeatureShare::Share(share);
            }
            Learner::Forest(params)
        }
        LearnerKind::LinfaTree => {
            let mut params = LinfaTreeParams::default();
            set_size(&mut params.max_depth, section.max_depth);
            set_size(&mut params.min_rows_in_leaf, section.min_rows_per_leaf);
            set(&mut params.max_rows, section.sample_rows);
            Learner::LinfaTree(params)
        }
        LearnerKind::SmartcoreForest => {
            let mut params = SmartcoreForestParams { seed, ..SmartcoreForestParams::default() };
            set_size(&mut params.n_trees, section.trees);
            set_size(&mut params.max_depth, section.max_depth);
            set_size(&mut params.min_rows_in_leaf, section.min_rows_per_leaf);
            set(&mut params.max_rows, section.sample_rows);
            Learner::SmartcoreForest(params)
        }
    }
}

#[cfg(test)]
mod tests;
