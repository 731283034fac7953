//! Which learner, its checked form, and the one function that runs any of them.

use std::ops::ControlFlow;

use segue_dataset::{Dataset, TargetKind};
use segue_model::Ensemble;

use crate::{
    BoostingParams, BoostingValidParams, ForestParams, ForestValidParams, LearnError,
    LinfaTreeParams, LinfaTreeValidParams, ParamError, SmartcoreForestParams,
    SmartcoreForestValidParams, boosting, forest, linfa_tree, smartcore_forest,
};

/// A learner with unchecked parameters.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "made once a fit; a box would only be in the way")]
pub enum Learner {
    /// Our histogram gradient boosting.
    Boosting(BoostingParams),
    /// Our histogram random forest.
    Forest(ForestParams),
    /// A single tree of `linfa-trees`.
    LinfaTree(LinfaTreeParams),
    /// The random forest of `smartcore`.
    SmartcoreForest(SmartcoreForestParams),
}

impl Learner {
    /// Checks every parameter against its range.
    ///
    /// # Errors
    /// The first parameter that does not fit.
    pub fn check(self) -> Result<CheckedLearner, ParamError> {
        Ok(CheckedLearner(match self {
            Self::Boosting(params) => Checked::Boosting(params.check()?),
            Self::Forest(params) => Checked::Forest(params.check()?),
            Self::LinfaTree(params) => Checked::LinfaTree(params.check()?),
            Self::SmartcoreForest(params) => Checked::SmartcoreForest(params.check()?),
        }))
    }
}

/// A learner whose parameters are all in range.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedLearner(Checked);

#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "made once a fit; a box would only be in the way")]
enum Checked {
    Boosting(BoostingValidParams),
    Forest(ForestValidParams),
    LinfaTree(LinfaTreeValidParams),
    SmartcoreForest(SmartcoreForestValidParams),
}

impl CheckedLearner {
    /// The name under which reports and manifests list the learner.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.0 {
            Checked::Boosting(_) => "boosting",
            Checked::Forest(_) => "forest",
            Checked::LinfaTree(_) => "linfa_tree",
            Checked::SmartcoreForest(_) => "smartcore_forest",
        }
    }
}

/// How far a fit is. Losses are weighted means of the objective; NaN where a learner has none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Rounds (boosting) or trees (forests) done, from 1.
    pub iteration: usize,
    /// Rounds or trees asked for; early stopping may end before.
    pub n_iterations: usize,
    /// Loss on the training rows.
    pub train_loss: f64,
    /// Loss on the validation rows, if there are any.
    pub valid_loss: Option<f64>,
}

/// Losses after an iteration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossPoint {
    /// Rounds done, from 1.
    pub iteration: usize,
    /// Weighted mean loss on the training rows.
    pub train_loss: f64,
    /// The same on the validation rows, if there are any.
    pub valid_loss: Option<f64>,
}

/// Predictions of a forest for its own training rows, each by the trees that did not see the row.
#[derive(Debug, Clone, PartialEq)]
pub struct OutOfBag {
    /// Probabilities or values, shape `(n_rows, n_outputs)` row-major; NaN where every tree saw the row.
    pub predictions: Vec<f64>,
    /// Rows that at least one tree did not see.
    pub n_rows_covered: usize,
    /// Weighted mean log loss (classes) or squared error (numbers) over those rows; NaN if there are none.
    pub loss: f64,
}

/// What a fit gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The trees.
    pub ensemble: Ensemble,
    /// Rounds kept (boosting), or trees (forests).
    pub best_iteration: usize,
    /// Losses by iteration, in order; empty for learners that have none.
    pub history: Vec<LossPoint>,
    /// The learner's name, as [`CheckedLearner::name`].
    pub learner_name: &'static str,
    /// Out-of-bag estimate of a forest that was asked for one.
    pub out_of_bag: Option<OutOfBag>,
}

/// A place to keep the trees of a long fit of the boosting.
#[derive(Clone, Copy)]
pub struct Checkpoint<'a> {
    /// Rounds between two calls of `save`; 0 calls it on cancellation only.
    pub every: usize,
    /// Receives all trees so far, also when the fit is cancelled. A fit that starts from them, with
    /// the same data and parameters, goes on as if it had not been interrupted, to the last bit (but for
    /// [`crate::Dart`], whose margins are added up in another order).
    pub save: &'a (dyn Fn(&Ensemble) + Sync),
}

/// Where a fit starts and who hears of it.
#[derive(Clone, Copy)]
pub struct FitOptions<'a> {
    /// Called after every iteration on one thread at a time; [`ControlFlow::Break`] cancels.
    pub progress: &'a (dyn Fn(Progress) -> ControlFlow<()> + Sync),
    /// Trees to go on from (boosting): a checkpoint, or a model of older data. Its rounds count towards
    /// `n_rounds` and are judged by the validation rows as if they had been grown here, so that early
    /// stopping may even drop some of them; a start of `n_rounds` or more is returned as it is but for that.
    /// Its base is kept.
    pub start: Option<&'a Ensemble>,
    /// Where to keep the trees so far (boosting).
    pub checkpoint: Option<Checkpoint<'a>>,
}

impl<'a> FitOptions<'a> {
    /// A fit from nothing.
    #[must_use]
    pub fn new(progress: &'a (dyn Fn(Progress) -> ControlFlow<()> + Sync)) -> Self {
        Self { progress, start: None, checkpoint: None }
    }
}

/// Fits `learner` on `train`; [`fit_with`] from nothing.
///
/// `valid` drives early stopping of the boosting and is not used by the other learners. The result is
/// the same for every `n_threads`. `progress` is called after every iteration on one thread at a time
/// (smartcore's forest, which tells nothing before, after its last); [`ControlFlow::Break`] cancels.
///
/// # Errors
/// [`LearnError`]: nothing to learn from, an objective that does not fit the target, a label outside an
/// objective's range, a validation table of another schema, cancellation.
pub fn fit(
    learner: &CheckedLearner,
    train: &Dataset,
    valid: Option<&Dataset>,
    n_threads: usize,
    progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
) -> Result<Fitted, LearnError> {
    fit_with(learner, train, valid, n_threads, &FitOptions::new(progress))
}

/// Fits `learner` on `train` with options; otherwise as [`fit`].
///
/// # Errors
/// As [`fit`], and [`LearnError::Start`] for trees that do not fit the table or the objective,
/// [`LearnError::OnlyBoosting`] for options that the learner does not have.
pub fn fit_with(
    learner: &CheckedLearner,
    train: &Dataset,
    valid: Option<&Dataset>,
    n_threads: usize,
    options: &FitOptions<'_>,
) -> Result<Fitted, LearnError> {
    if !matches!(learner.0, Checked::Boosting(_)) {
        let given =
            [("start", options.start.is_some()), ("checkpoint", options.checkpoint.is_some())];
        if let Some((option, _)) = given.into_iter().find(|(_, given)| *given) {
            return Err(LearnError::OnlyBoosting { learner: learner.name(), option });
        }
    }
    let progress = options.progress;
    check_table(train)?;
    if let Some(valid) = valid {
        if valid.schema() != train.schema() {
            return Err(LearnError::ValidationMismatch { what: "schema" });
        }
        if valid.target().kind != train.target().kind {
            return Err(LearnError::ValidationMismatch { what: "target kind" });
        }
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(n_threads.max(1))
        .build()
        .map_err(|error| LearnError::Threads { n_threads, reason: error.to_string() })?;
    pool.install(|| match &learner.0 {
        Checked::Boosting(params) => boosting::fit(params, train, valid, options),
        Checked::Forest(params) => forest::fit(params, train, progress),
        Checked::LinfaTree(params) => linfa_tree::fit(params, train, progress),
        Checked::SmartcoreForest(params) => smartcore_forest::fit(params, train, progress),
    })
}

/// What is told of progress; see [`fit`].
pub(crate) type Report<'a> = &'a (dyn Fn(Progress) -> ControlFlow<()> + Sync);

/// Tells of trees grown by a learner that has no losses.
pub(crate) fn report(
    progress: Report<'_>,
    n_trees: usize,
    n_iterations: usize,
) -> Result<(), LearnError> {
    let (train_loss, valid_loss) = (f64::NAN, None);
    match progress(Progress { iteration: n_trees, n_iterations, train_loss, valid_loss }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(LearnError::Cancelled { iteration: n_trees }),
    }
}

fn check_table(train: &Dataset) -> Result<(), LearnError> {
    if train.features().n_columns() == 0 {
        return Err(LearnError::NoColumns);
    }
    let counts = |row: usize| train.weight().is_none_or(|weight| weight[row] > 0.0);
    let mut rows = (0..train.n_rows()).filter(|&row| counts(row));
    let Some(first) = rows.next() else {
        return Err(LearnError::NoRows);
    };
    let labels = &train.target().values;
    if train.target().kind != TargetKind::Regression && rows.all(|row| labels[row] == labels[first])
    {
        return Err(LearnError::SingleClass { class: labels[first] as usize });
    }
    Ok(())
}
