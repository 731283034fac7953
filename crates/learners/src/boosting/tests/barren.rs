//! Rounds that find no question, and losses that are no numbers.

use std::sync::Mutex;

use segue_model::Ensemble;

use super::*;
use crate::{Checkpoint, FitOptions};

/// Nine columns that never vary around one that decides, blurred.
fn mostly_constant(n_rows: usize, seed: u64) -> Dataset {
    let mut generator = generator(seed, 3);
    let decides: Vec<f64> = (0..n_rows).map(|_| generator.random_range(-1.0..1.0)).collect();
    let labels = decides.iter().map(|&value| {
        let noise: f64 = generator.random_range(-1.0..1.0);
        f64::from(u8::from(value + noise > 0.2))
    });
    let target = Target { kind: TargetKind::Binary, values: labels.collect() };
    let columns = (0..10).map(|column| match column {
        6 => decides.clone(),
        _ => vec![f64::from(column); n_rows],
    });
    let features = (0..10).map(|column| Feature::number(format!("x{column}"))).collect();
    table(features, columns.collect(), target)
}

fn one_column_a_round() -> BoostingParams {
    BoostingParams { column_share: 0.1, n_rounds: 120, ..small() }
}

fn n_questions(ensemble: &Ensemble) -> usize {
    ensemble.trees.iter().filter(|tree| !tree.nodes.is_empty()).count()
}

/// The last loss of the history is that of the model: no margin has moved without a tree.
fn check_loss(fitted: &Fitted, data: &Dataset) {
    let rows = margins(fitted, data);
    let losses = rows.iter().zip(&data.target().values);
    let loss: f64 = losses.map(|(row, &y)| Objective::Logistic.loss(row, y)).sum();
    let last = fitted.history.last().unwrap().train_loss;
    assert!((loss / rows.len() as f64 - last).abs() < 1e-9);
}

#[test]
fn a_round_that_draws_in_vain_does_not_end_the_fit() {
    let data = mostly_constant(800, 1);
    for params in [
        one_column_a_round(),
        BoostingParams { row_share: 0.6, ..one_column_a_round() },
        BoostingParams { goss: Some(Goss::default()), ..one_column_a_round() },
        BoostingParams { column_share: 1.0, column_share_by_node: 0.1, ..one_column_a_round() },
        BoostingParams {
            dart: Some(Dart { drop_rate: 0.3, ..Dart::default() }),
            early_stopping_rounds: 0,
            ..one_column_a_round()
        },
    ] {
        let fitted = fit_with(params.clone(), &data, None, 2).unwrap();
        assert_eq!(fitted.history.len(), 120);
        let n = n_questions(&fitted.ensemble);
        assert!((4..40).contains(&n), "{n} of 120 rounds have drawn the column");
        let losses: Vec<f64> = fitted.history.iter().map(|point| point.train_loss).collect();
        assert!(losses[119] < losses[0] - 0.02, "{} {}", losses[0], losses[119]);
        // The last tree kept has a question, and every round before it has a tree.
        assert_eq!(fitted.ensemble.trees.len(), fitted.best_iteration);
        assert!(fitted.ensemble.trees.last().is_some_and(|tree| !tree.nodes.is_empty()));
        check_loss(&fitted, &data);
    }
}

#[test]
fn rounds_in_vain_have_no_part_in_the_mean_of_dropped_ones() {
    // Each round that asks drops all that asked before it and grows the same tree again.
    let data = mostly_constant(800, 1);
    let always = Dart { drop_rate: 1.0, skip_drop: 0.0, max_drop: 0 };
    let first = BoostingParams { n_rounds: 1, ..small() };
    let first = fit_with(first, &data, None, 1).unwrap().ensemble.trees[0].clone();
    let params =
        BoostingParams { dart: Some(always), early_stopping_rounds: 0, ..one_column_a_round() };
    let fitted = fit_with(params, &data, None, 1).unwrap();
    let n = n_questions(&fitted.ensemble) as f64;
    assert!(n > 3.0);
    for tree in fitted.ensemble.trees.iter().filter(|tree| !tree.nodes.is_empty()) {
        for (value, whole) in tree.leaf_values.iter().zip(&first.leaf_values) {
            assert!((value - whole / n).abs() < 1e-9, "{value} {whole} / {n}");
        }
    }
}

#[test]
fn too_few_rows_for_a_question_do_not_move_margins() {
    // Some four rows a round, where leaves need ten each.
    let data = mostly_constant(200, 1);
    let params = BoostingParams { row_share: 0.02, min_rows_in_leaf: 10, n_rounds: 60, ..small() };
    let fitted = fit_with(params, &data, None, 1).unwrap();
    let losses: Vec<f64> = fitted.history.iter().map(|point| point.train_loss).collect();
    assert_eq!((losses.len(), n_questions(&fitted.ensemble)), (60, 0));
    assert!(losses.iter().all(|&loss| loss == losses[0]), "{losses:?}");
    assert_eq!((fitted.best_iteration, fitted.ensemble.trees.len()), (0, 0));
}

#[test]
fn rounds_in_vain_count_in_checkpoints_starts_and_patience() {
    let (train, valid) = (mostly_constant(800, 1), mostly_constant(800, 2));
    let stopping = BoostingParams {
        early_stopping_rounds: 40,
        learning_rate: 0.4,
        n_rounds: 400,
        ..one_column_a_round()
    };
    for (params, valid) in [(one_column_a_round(), None), (stopping, Some(&valid))] {
        let learner = Learner::Boosting(params.clone()).check().unwrap();
        let saved = Mutex::new(Vec::new());
        let save = |ensemble: &Ensemble| saved.lock().unwrap().push(ensemble.clone());
        let checkpoint = Some(Checkpoint { every: 1, save: &save });
        let options = FitOptions { checkpoint, ..FitOptions::new(&quiet) };
        let whole = crate::fit_with(&learner, &train, valid, 2, &options).unwrap();
        let saved = saved.into_inner().unwrap();
        assert_eq!(saved.len(), whole.history.len());
        for (round, ensemble) in (1..).zip(&saved) {
            assert_eq!(ensemble.trees.len(), round, "a tree a round");
        }
        for start in saved.iter().step_by(7).chain(saved.last()) {
            let options = FitOptions { start: Some(start), ..FitOptions::new(&quiet) };
            let again = crate::fit_with(&learner, &train, valid, 1, &options).unwrap();
            assert_eq!(again, whole);
        }
        if valid.is_some() {
            assert!(whole.history.len() < 400, "it stopped early");
            let best = &whole.history[whole.best_iteration - 1];
            let losses = whole.history.iter().filter_map(|point| point.valid_loss);
            assert_eq!(best.valid_loss, losses.reduce(f64::min));
        }
        // What is published begins a longer fit.
        let fewer = BoostingParams { n_rounds: 50, ..params.clone() };
        let start = fit_with(fewer, &train, None, 1).unwrap().ensemble;
        let options = FitOptions { start: Some(&start), ..FitOptions::new(&quiet) };
        let longer = crate::fit_with(&learner, &train, valid, 1, &options).unwrap();
        assert_eq!(longer, whole);
    }
}

#[test]
fn nothing_to_ask_ends_a_fit_at_once_or_after_a_hundred_draws() {
    let data =
        number_table(vec![1.0; 60], TargetKind::Binary, [vec![0.0; 30], vec![1.0; 30]].concat());
    let rounds = |params: BoostingParams| {
        let params = BoostingParams { n_rounds: 500, ..params };
        let fitted = fit_with(params, &data, None, 1).unwrap();
        assert_eq!((fitted.best_iteration, fitted.ensemble.trees.len()), (0, 0));
        fitted.history.len()
    };
    assert_eq!(rounds(small()), 0);
    assert_eq!(rounds(BoostingParams { row_share: 0.5, ..small() }), 100);
    assert_eq!(rounds(BoostingParams { extra_trees: true, ..small() }), 100);
}

#[test]
fn a_validation_loss_that_is_no_number_is_an_error() {
    let x: Vec<f64> = (0..100).map(f64::from).collect();
    let train = number_table(x.clone(), TargetKind::Regression, x.clone());
    let mut labels = x.clone();
    // Its square is beyond all numbers.
    labels[7] = 1e200;
    let valid = number_table(x, TargetKind::Regression, labels);
    let params = BoostingParams { n_rounds: 300, early_stopping_rounds: 5, ..small() };
    let error = fit_with(params.clone(), &train, Some(&valid), 1).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "the validation loss of objective squared is inf after round 1 and finite after none of 5 rounds"
        ),
        "{error}"
    );
    assert!(error.contains("early_stopping_rounds"), "{error}");
    let never = BoostingParams { early_stopping_rounds: 0, ..params };
    let fitted = fit_with(never, &train, Some(&valid), 1).unwrap();
    assert_eq!(fitted.ensemble.trees.len(), 300, "nothing is watched");
}
