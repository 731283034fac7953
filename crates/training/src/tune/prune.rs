//! When a trial is given up: when three in four of the finished ones were better at the same point.
//!
//! The rule is the median rule of Golovin and others (Vizier, 2017) at another quantile: those that finish
//! are the better ones already, and against their median nearly every later trial would be given up. Points of
//! boosting are where rounds times learning rate reach 2, 4, 8 and so on, so that slow rates are not judged
//! before fast ones have had their say; and the ends of the folds, which forests have too.

use super::record::{FoldResult, Trial, TrialState};

/// Finished trials before any is given up.
const MIN_PEERS: usize = 5;
/// Rounds times learning rate at the first point.
const FIRST_EFFORT: f64 = 2.0;

/// The effort at which point `index` of a curve lies.
pub(super) fn effort_at(index: usize) -> f64 {
    FIRST_EFFORT * 2f64.powi(index as i32)
}

/// Whether a fold whose curve is `curve` so far should be left.
pub(super) fn is_hopeless(trials: &[Trial], fold: usize, curve: &[f64]) -> bool {
    let Some((&best, before)) = curve.split_last() else { return false };
    // a trial that had stopped by then stands with what it reached
    let at = |result: &FoldResult| result.curve.get(before.len()).copied().unwrap_or(result.loss);
    let peers = finished(trials).filter_map(|trial| trial.folds.get(fold).map(at));
    bound(peers.collect()).is_some_and(|bound| best > bound)
}

/// Whether a trial should be left after the folds `done`.
pub(super) fn is_behind(trials: &[Trial], done: &[FoldResult]) -> bool {
    let mean = |folds: &[FoldResult]| {
        folds.iter().map(|fold| fold.loss).sum::<f64>() / folds.len().max(1) as f64
    };
    let peers = finished(trials).filter_map(|trial| trial.folds.get(..done.len()).map(mean));
    bound(peers.collect()).is_some_and(|bound| mean(done) > bound)
}

fn finished(trials: &[Trial]) -> impl Iterator<Item = &Trial> {
    trials.iter().filter(|trial| trial.state == TrialState::Done)
}

/// The value that three in four are below, of enough values.
fn bound(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    (values.len() >= MIN_PEERS).then(|| values[values.len() * 3 / 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(losses: &[f64]) -> Trial {
        let fold =
            |&loss: &f64| FoldResult { loss, rounds: 9, curve: vec![loss + 0.2, loss + 0.1] };
        let folds = losses.iter().map(fold).collect();
        let params = std::collections::BTreeMap::new();
        Trial { trial: 0, params, state: TrialState::Done, loss: Some(losses[0]), folds }
    }

    #[test]
    fn three_in_four_of_the_finished_decide() {
        let trials: Vec<Trial> = [0.1, 0.2, 0.3, 0.4, 0.5].map(|loss| done(&[loss, loss])).into();
        assert!(is_hopeless(&trials, 0, &[0.61]) && !is_hopeless(&trials, 0, &[0.59]));
        assert!(!is_hopeless(&trials, 0, &[0.4 + 0.2]), "as good as the one that decides");
        assert!(is_hopeless(&trials, 1, &[0.9, 0.51]) && !is_hopeless(&trials, 1, &[0.9, 0.49]));
        // beyond the others' curves, what they reached counts
        assert!(
            is_hopeless(&trials, 0, &[0.4, 0.4, 0.41])
                && !is_hopeless(&trials, 0, &[0.4, 0.4, 0.39])
        );
        assert!(!is_hopeless(&trials, 0, &[]));
        let fold = |loss| FoldResult { loss, ..FoldResult::default() };
        assert!(is_behind(&trials, &[fold(0.2), fold(0.62)]));
        assert!(!is_behind(&trials, &[fold(0.2), fold(0.58)]));
    }

    #[test]
    fn few_or_pruned_trials_decide_nothing() {
        let mut trials: Vec<Trial> = (0..5).map(|_| done(&[0.1])).collect();
        trials[0].state = TrialState::Pruned;
        assert!(!is_hopeless(&trials, 0, &[9.0]) && !is_behind(&trials, &trials[1].folds));
        assert_eq!((effort_at(0), effort_at(3)), (2.0, 16.0));
    }
}
