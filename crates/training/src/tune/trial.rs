//! One trial: its folds one after another, left as soon as it is known to be no good.

use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use segue_dataset::{Dataset, TargetKind};
use segue_learners::{Fitted, LearnError, Progress};
use segue_model::{Calibration, Model, ModelParts, metrics};

use super::folds::Fold;
use super::prune::{effort_at, is_behind, is_hopeless};
use super::record::{FoldResult, Trial};
use crate::fit::{FitError, Fitting, fit_learner};
use crate::job::{LearnerKind, LearnerSection};
use crate::watch::Quiet;

/// How a trial ended, with the folds that were fitted.
pub(super) enum Outcome {
    Done(Vec<FoldResult>),
    Pruned(Vec<FoldResult>),
    Failed(FitError),
    OutOfTime,
}

/// A trial and what it is held against.
pub(super) struct Trying<'a> {
    pub(super) section: &'a LearnerSection,
    pub(super) seed: u64,
    pub(super) data: &'a Dataset,
    /// Trials before this one.
    pub(super) done: &'a [Trial],
    pub(super) n_threads: usize,
    pub(super) keep_going: &'a (dyn Fn() -> bool + Sync),
}

/// Why a fold has no result.
enum Left {
    Hopeless,
    OutOfTime,
    Failed(FitError),
}

impl Trying<'_> {
    pub(super) fn run(&self, folds: &[Fold]) -> Outcome {
        let mut results: Vec<FoldResult> = Vec::new();
        for (at, fold) in folds.iter().enumerate() {
            if !(self.keep_going)() {
                return Outcome::OutOfTime;
            }
            match self.fold(at, fold) {
                Ok(result) => results.push(result),
                Err(Left::Hopeless) => return Outcome::Pruned(results),
                Err(Left::OutOfTime) => return Outcome::OutOfTime,
                Err(Left::Failed(error)) => return Outcome::Failed(error),
            }
            if at + 1 < folds.len() && is_behind(self.done, &results) {
                return Outcome::Pruned(results);
            }
        }
        Outcome::Done(results)
    }

    fn fold(&self, at: usize, fold: &Fold) -> Result<FoldResult, Left> {
        let (train, valid) = (self.data.select(&fold.fit), self.data.select(&fold.validate));
        let (hopeless, curve) = (AtomicBool::new(false), Mutex::new(Curve::default()));
        let progress = |progress: Progress, rate: Option<f64>| {
            if !(self.keep_going)() {
                return ControlFlow::Break(());
            }
            let mut curve = curve.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if curve.passes(&progress, rate) && is_hopeless(self.done, at, &curve.points) {
                hopeless.store(true, Ordering::Relaxed);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        // a forest is judged by the fold; nobody would see what is out of its bags
        let out_of_bag = (self.section.kind == LearnerKind::Forest).then_some(false);
        let section = &LearnerSection { out_of_bag, ..self.section.clone() };
        let fitting = Fitting {
            section,
            seed: self.seed,
            train: &train,
            valid: &valid,
            n_threads: self.n_threads,
            start: None,
            checkpoints: None,
        };
        match fit_learner(&fitting, &Quiet, &progress) {
            Ok((fitted, _)) => {
                let loss = loss_of(&fitted, &train, &valid).map_err(Left::Failed)?;
                let curve = curve.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
                Ok(FoldResult { loss, rounds: fitted.best_iteration, curve: curve.points })
            }
            Err(FitError::Learn { source: LearnError::Cancelled { .. }, .. }) => {
                Err(if hopeless.into_inner() { Left::Hopeless } else { Left::OutOfTime })
            }
            Err(error) => Err(Left::Failed(error)),
        }
    }
}

/// The best loss so far at growing efforts.
#[derive(Default)]
struct Curve {
    best: Option<f64>,
    points: Vec<f64>,
}

impl Curve {
    /// Takes a round in; whether it passes a point. A fit that only finds its rate (`rate` is `None`) and
    /// learners without a validation loss have no points.
    fn passes(&mut self, progress: &Progress, rate: Option<f64>) -> bool {
        let (Some(loss), Some(rate)) = (progress.valid_loss, rate) else { return false };
        let best = self.best.map_or(loss, |best| best.min(loss));
        self.best = Some(best);
        if progress.iteration as f64 * rate < effort_at(self.points.len()) {
            return false;
        }
        self.points.push(best);
        true
    }
}

/// The loss on the fold's rows: the boosting's own at its best round, else by the predictions.
fn loss_of(fitted: &Fitted, train: &Dataset, valid: &Dataset) -> Result<f64, FitError> {
    if let Some(loss) = loss_at_best(fitted) {
        return Ok(loss);
    }
    let parts = ModelParts {
        schema: std::sync::Arc::clone(train.schema()),
        target: train.target().kind.clone(),
        task: String::new(),
        ensemble: fitted.ensemble.clone(),
        calibration: Calibration::None,
        behaviours: Vec::new(),
        feature_set_hash: None,
    };
    let model = Model::new(parts)
        .map_err(|source| FitError::Model { learner: fitted.learner_name, source })?;
    let outputs = model.raw_rows(valid.features());
    let (labels, weight) = (&valid.target().values, valid.weight());
    let loss = match &valid.target().kind {
        TargetKind::Binary => metrics::log_loss(labels, &outputs, weight),
        TargetKind::Multiclass { classes } => {
            metrics::multiclass_log_loss(labels, &outputs, classes.len(), weight)
        }
        TargetKind::Regression => {
            metrics::rmse(labels, &outputs, weight).map(|error| error * error / 2.0)
        }
    };
    Ok(loss.unwrap_or(f64::INFINITY))
}

/// The validation loss at the round that was kept; `None` for learners that tell no losses, and if no round
/// was kept.
fn loss_at_best(fitted: &Fitted) -> Option<f64> {
    let at = fitted.best_iteration.checked_sub(1)?;
    fitted.history.get(at)?.valid_loss
}

#[cfg(test)]
mod tests {
    use segue_learners::LossPoint;
    use segue_model::{Combine, Ensemble, Link};

    use super::*;

    #[test]
    fn the_round_that_is_kept_is_judged() {
        let point = |(iteration, loss): (usize, f64)| LossPoint {
            iteration,
            train_loss: 0.0,
            valid_loss: Some(loss),
        };
        let mut fitted = Fitted {
            ensemble: Ensemble {
                trees: Vec::new(),
                tree_output: Vec::new(),
                base: vec![0.0],
                combine: Combine::Sum,
                link: Link::Logistic,
            },
            best_iteration: 2,
            history: [(1, 0.6), (2, 0.4), (3, 0.5)].map(point).into(),
            learner_name: "boosting",
            out_of_bag: None,
        };
        assert_eq!(loss_at_best(&fitted), Some(0.4));
        fitted.best_iteration = 0;
        assert_eq!(loss_at_best(&fitted), None);
    }

    #[test]
    fn a_curve_holds_the_best_loss_at_each_effort() {
        let mut curve = Curve::default();
        let losses = [0.9, 0.5, 0.7, 0.6, 0.55, 0.52, 0.51, 0.53];
        let at = |(iteration, &valid): (usize, &f64)| Progress {
            iteration: iteration + 1,
            n_iterations: 8,
            train_loss: 0.0,
            valid_loss: Some(valid),
        };
        assert!(!losses.iter().enumerate().any(|it| curve.passes(&at(it), None)));
        // at a rate of a half, efforts 2 and 4 are rounds 4 and 8
        let passed = losses.iter().enumerate().map(|it| curve.passes(&at(it), Some(0.5)));
        let passed: Vec<bool> = passed.collect();
        assert_eq!(passed, [false, false, false, true, false, false, false, true]);
        assert_eq!(curve.points, [0.5, 0.5]);
    }
}
