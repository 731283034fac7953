mod barren;
mod constraints;
mod custom;
mod rounds;

use std::ops::ControlFlow;
use std::sync::Arc;

use proptest::prelude::*;
use rand::Rng;
use segue_dataset::{Feature, Matrix, RowKeys, Schema, Target, TargetKind};
use segue_model::{Child, MissingRule, Split, Tree};

use super::*;
use crate::sampling::generator;
use crate::{Learner, ParamError, Progress};

fn table(features: Vec<Feature>, columns: Vec<Vec<f64>>, target: Target) -> Dataset {
    let schema = Arc::new(Schema::new(features).unwrap());
    let matrix = Matrix::from_columns(target.values.len(), columns);
    Dataset::new(schema, matrix, target, None, RowKeys::default()).unwrap()
}

fn number_table(column: Vec<f64>, kind: TargetKind, values: Vec<f64>) -> Dataset {
    table(vec![Feature::number("x")], vec![column], Target { kind, values })
}

fn classes(n: usize) -> TargetKind {
    TargetKind::Multiclass { classes: (0..n).map(|class| format!("c{class}")).collect() }
}

/// Two numbers with missing values, a category of 12, a noisy non-linear margin.
fn mixed(n_rows: usize, seed: u64, kind: TargetKind) -> Dataset {
    let mut generator = generator(seed, 0);
    let mut columns = vec![Vec::new(), Vec::new(), Vec::new()];
    let mut labels = Vec::new();
    for _ in 0..n_rows {
        let (a, b) = (generator.random_range(-2.0..2.0), generator.random_range(-2.0..2.0));
        let category = generator.random_range(0u32..12);
        let missing = generator.random_bool(0.1);
        let margin: f64 = a * b + f64::from(u32::from([1, 4, 7, 8].contains(&category))) * 2.0
            - if missing { 1.5 } else { 0.5 };
        columns[0].push(if missing { f64::NAN } else { a });
        columns[1].push(b);
        columns[2].push(f64::from(category));
        let noise: f64 = generator.random_range(0.0..1.0);
        labels.push(match &kind {
            TargetKind::Binary => f64::from(noise < segue_model::sigmoid(2.0 * margin)),
            TargetKind::Regression => (margin + noise).abs() + 0.1,
            TargetKind::Multiclass { .. } => {
                f64::from(u32::from(margin + noise > 0.0) + u32::from(a + noise > 1.0))
            }
        });
    }
    let vocabulary = (0..12).map(|category| format!("k{category}")).collect();
    let features =
        vec![Feature::number("a"), Feature::number("b"), Feature::category("c", vocabulary)];
    table(features, columns, Target { kind, values: labels })
}

fn quiet(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn fit_with(
    params: BoostingParams,
    train: &Dataset,
    valid: Option<&Dataset>,
    n_threads: usize,
) -> Result<Fitted, LearnError> {
    crate::fit(&Learner::Boosting(params).check().unwrap(), train, valid, n_threads, &quiet)
}

fn small() -> BoostingParams {
    BoostingParams { n_rounds: 20, n_leaves: 8, min_rows_in_leaf: 5, ..BoostingParams::default() }
}

fn margins(fitted: &Fitted, data: &Dataset) -> Vec<Vec<f64>> {
    let mut row = vec![0.0; data.schema().len()];
    (0..data.n_rows())
        .map(|index| {
            data.features().copy_row(index, &mut row);
            let mut out = vec![0.0; fitted.ensemble.n_outputs()];
            fitted.ensemble.margins(&row, &mut out);
            out
        })
        .collect()
}

#[test]
fn one_round_of_squared_error_by_hand() {
    let data = number_table(vec![1., 2., 3., 4.], TargetKind::Regression, vec![1., 1., 5., 9.]);
    let params = BoostingParams {
        n_rounds: 1,
        n_leaves: 2,
        min_rows_in_leaf: 1,
        learning_rate: 0.5,
        ..BoostingParams::default()
    };
    let fitted = fit_with(params, &data, None, 1).unwrap();
    assert_eq!(fitted.ensemble.base, [4.0]);
    let tree = &fitted.ensemble.trees[0];
    let node = &tree.nodes[0];
    // Residuals 3, 3 | -1, -5: 36/2 + 36/2 = 36; 3, 3, -1 | -5: 25/3 + 25 is less.
    assert_eq!((&node.split, node.gain, node.cover), (&Split::AtMost(2.5), 36.0, 4.0));
    assert_eq!((node.left, node.right), (Child::Leaf(0), Child::Leaf(1)));
    assert_eq!(tree.leaf_values, [-1.5, 1.5]);
    assert_eq!(tree.leaf_cover, [2.0, 2.0]);
}

#[test]
fn one_round_of_log_loss_by_hand() {
    let data = number_table(vec![1., 1., 2., 2.], TargetKind::Binary, vec![0., 0., 1., 0.]);
    let params = BoostingParams {
        n_rounds: 1,
        n_leaves: 2,
        min_rows_in_leaf: 1,
        learning_rate: 1.0,
        lambda_l2: 0.125,
        ..BoostingParams::default()
    };
    let fitted = fit_with(params, &data, None, 1).unwrap();
    let values = &fitted.ensemble.trees[0].leaf_values;
    // p = 1/4 everywhere: gradients 1/4, 1/4 | -3/4, 1/4 and second derivatives 3/16.
    assert!((values[0] + 0.5 / (0.375 + 0.125)).abs() < 1e-12, "{values:?}");
    assert!((values[1] - 0.5 / (0.375 + 0.125)).abs() < 1e-12, "{values:?}");
    assert!((fitted.ensemble.base[0] - (1.0f64 / 3.0).ln()).abs() < 1e-12);
}

#[test]
fn quantile_leaves_are_quantiles_of_the_residuals() {
    let labels = vec![0., 10., 20., 100., 200., 300.];
    let data = number_table(vec![1., 1., 1., 2., 2., 2.], TargetKind::Regression, labels);
    let params = BoostingParams {
        objective: Some(Objective::Absolute),
        n_rounds: 1,
        n_leaves: 2,
        min_rows_in_leaf: 1,
        learning_rate: 1.0,
        ..BoostingParams::default()
    };
    let fitted = fit_with(params, &data, None, 1).unwrap();
    assert_eq!(margins(&fitted, &data).concat(), [10., 10., 10., 200., 200., 200.]);
}

#[test]
fn missing_goes_where_it_belongs() {
    let nan = f64::NAN;
    let column = vec![nan, nan, 1., 1., 2., 2.];
    let like_high = vec![5., 5., 0., 0., 5., 5.];
    let params = BoostingParams { n_rounds: 1, min_rows_in_leaf: 1, ..small() };
    for (labels, side) in [
        (like_high.clone(), MissingRule::Right),
        (like_high.iter().map(|label| 5.0 - label).collect(), MissingRule::Right),
        (vec![5., 5., 5., 5., 0., 0.], MissingRule::Left),
    ] {
        let data = number_table(column.clone(), TargetKind::Regression, labels);
        let fitted = fit_with(params.clone(), &data, None, 1).unwrap();
        let node = &fitted.ensemble.trees[0].nodes[0];
        assert_eq!((&node.split, node.missing), (&Split::AtMost(1.5), side));
    }
}

#[test]
fn categories_are_grouped_by_their_labels() {
    let n = 3_000;
    let column: Vec<f64> = (0..n).map(|row| f64::from(row % 12)).collect();
    let high = [1, 4, 7, 8];
    let labels = (0..n).map(|row| f64::from(u32::from(high.contains(&(row % 12))))).collect();
    let vocabulary = (0..12).map(|category| format!("k{category}")).collect();
    let target = Target { kind: TargetKind::Regression, values: labels };
    let data = table(vec![Feature::category("c", vocabulary)], vec![column], target);
    let params = BoostingParams { n_rounds: 1, n_leaves: 2, ..BoostingParams::default() };
    let fitted = fit_with(params, &data, None, 1).unwrap();
    let Split::In(set) = &fitted.ensemble.trees[0].nodes[0].split else {
        panic!("a category is split by a set")
    };
    assert_eq!(set.codes().collect::<Vec<_>>(), [1, 4, 7, 8]);
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    // Enough rows for the parallel histogram and partition.
    for kind in [TargetKind::Binary, TargetKind::Regression, classes(3)] {
        let train = mixed(40_000, 3, kind.clone());
        let valid = mixed(5_000, 4, kind);
        let plain = BoostingParams { n_rounds: 4, ..BoostingParams::default() };
        for params in [
            plain.clone(),
            BoostingParams { row_share: 0.9, column_share: 0.5, ..plain.clone() },
            // Two rounds take all rows.
            BoostingParams { goss: Some(Goss::default()), learning_rate: 0.5, ..plain },
        ] {
            let [one, two, three] =
                [1, 2, 3].map(|n| fit_with(params.clone(), &train, Some(&valid), n).unwrap());
            assert!(one == two && one == three);
        }
    }
}

#[test]
fn rows_that_are_not_drawn_move_as_well() {
    // Several blocks of rows, and few enough that all are watched.
    let data = mixed(12_345, 3, TargetKind::Binary);
    let plain = BoostingParams { n_rounds: 5, learning_rate: 0.5, ..small() };
    for params in [
        BoostingParams { row_share: 0.3, ..plain.clone() },
        BoostingParams { goss: Some(Goss::default()), ..plain },
    ] {
        let fitted = fit_with(params, &data, None, 3).unwrap();
        let rows = margins(&fitted, &data);
        let losses = rows.iter().zip(&data.target().values);
        let loss: f64 = losses.map(|(row, &y)| Objective::Logistic.loss(row, y)).sum();
        assert!((loss / rows.len() as f64 - fitted.history[4].train_loss).abs() < 1e-9);
    }
}

#[test]
fn training_loss_falls_for_every_objective() {
    let regressions = [
        Objective::Squared,
        Objective::Absolute,
        Objective::Quantile { alpha: 0.8 },
        Objective::Poisson,
        Objective::Tweedie { power: 1.5 },
        Objective::Gamma,
    ];
    let mut runs: Vec<(TargetKind, Objective)> =
        regressions.map(|objective| (TargetKind::Regression, objective)).to_vec();
    runs.extend([
        (TargetKind::Binary, Objective::Logistic),
        (TargetKind::Binary, Objective::Focal { gamma: 2.0, alpha: 0.25 }),
        (classes(3), Objective::Softmax),
    ]);
    for (kind, objective) in runs {
        let data = mixed(2_000, 9, kind);
        let params = BoostingParams { objective: Some(objective.clone()), ..small() };
        let fitted = fit_with(params, &data, None, 2).unwrap();
        let losses: Vec<f64> = fitted.history.iter().map(|point| point.train_loss).collect();
        assert_eq!(losses.len(), 20, "{objective:?}");
        assert!(losses.windows(2).all(|pair| pair[1] < pair[0]), "{objective:?} {losses:?}");
        let all = margins(&fitted, &data);
        let labels = &data.target().values;
        let rows = all.iter().zip(labels).map(|(row, &label)| objective.loss(row, label));
        let scored = rows.sum::<f64>() / labels.len() as f64;
        assert!((scored - losses[19]).abs() < 1e-9, "the model scores as it was trained");
    }
}

#[test]
fn early_stopping_keeps_the_best_round() {
    let (train, valid) = (mixed(600, 1, TargetKind::Binary), mixed(600, 2, TargetKind::Binary));
    let params = BoostingParams {
        n_rounds: 400,
        learning_rate: 0.3,
        early_stopping_rounds: 10,
        ..BoostingParams::default()
    };
    let fitted = fit_with(params, &train, Some(&valid), 1).unwrap();
    let best = fitted.best_iteration;
    let losses: Vec<f64> = fitted.history.iter().map(|point| point.valid_loss.unwrap()).collect();
    assert_eq!(losses.len(), best + 10);
    assert!(losses.iter().all(|&loss| loss >= losses[best - 1]));
    assert_eq!(fitted.ensemble.trees.len(), best);
    let rows = margins(&fitted, &valid);
    let labels = &valid.target().values;
    let loss: f64 = rows.iter().zip(labels).map(|(row, &y)| Objective::Logistic.loss(row, y)).sum();
    assert!((loss / labels.len() as f64 - losses[best - 1]).abs() < 1e-12);
}

#[test]
fn weights_count_as_repeated_rows() {
    // Fewer rows than codes, so that every value has an interval of its own in both fits.
    let data = mixed(240, 5, TargetKind::Binary);
    let weight: Vec<f64> = (0..240).map(|row| f64::from(row % 4)).collect();
    let rows = (0..240u32).flat_map(|row| std::iter::repeat_n(row, row as usize % 4));
    let repeated = data.select(&rows.collect::<Vec<_>>());
    let weighted = Dataset::new(
        Arc::clone(data.schema()),
        data.features().clone(),
        data.target().clone(),
        Some(weight),
        RowKeys::default(),
    )
    .unwrap();
    let categories = crate::CategoryRules {
        smooth: 0.0,
        min_rows_per_group: 0,
        ..crate::CategoryRules::default()
    };
    let params = BoostingParams { min_rows_in_leaf: 1, categories, ..small() };
    let params = BoostingParams { min_hessian_in_leaf: 3.0, ..params };
    let one = fit_with(params.clone(), &weighted, None, 1).unwrap();
    let other = fit_with(params, &repeated, None, 1).unwrap();
    let pairs = margins(&one, &data).concat().into_iter().zip(margins(&other, &data).concat());
    for (row, (a, b)) in pairs.enumerate().filter(|(row, _)| row % 4 > 0) {
        assert!((a - b).abs() < 1e-6, "row {row}: {a} {b}");
    }
    let covers = |fitted: &Fitted| -> Vec<f64> {
        fitted.ensemble.trees.iter().flat_map(|tree| tree.leaf_cover.clone()).collect()
    };
    assert_eq!(covers(&one), covers(&other));
}

#[test]
fn of_equal_rounds_the_first_is_best() {
    // The median of the group that is judged is the start value, and stays it round after round.
    let x: Vec<f64> = (0..50).map(|row| f64::from(u8::from(row >= 30))).collect();
    let labels = x.iter().map(|x| x * 10.0).collect();
    let data = number_table(x, TargetKind::Regression, labels);
    let judged = number_table(vec![0.0; 5], TargetKind::Regression, vec![0.0; 5]);
    let params = BoostingParams {
        objective: Some(Objective::Absolute),
        early_stopping_rounds: 4,
        ..small()
    };
    let fitted = fit_with(params, &data, Some(&judged), 1).unwrap();
    assert_eq!((fitted.best_iteration, fitted.history.len()), (1, 5));
}

#[test]
fn a_class_that_is_absent_neither_ends_the_fit_nor_counts() {
    let three = mixed(400, 1, classes(3));
    let values = three.target().values.iter().map(|&label| label.min(1.0)).collect();
    let target = Target { kind: classes(3), values };
    let (schema, features) = (Arc::clone(three.schema()), three.features().clone());
    let two = Dataset::new(schema, features, target, None, RowKeys::default()).unwrap();
    let fitted = fit_with(small(), &two, None, 1).unwrap();
    assert_eq!(fitted.history.len(), 20, "its trees have one leaf, those of the others go on");
    // From equal margins its probability has far to fall, which is the step of a tree of one leaf.
    let mut even = fitted.ensemble.clone();
    even.base = vec![0.0; 3];
    (even.trees, even.tree_output) = (Vec::new(), Vec::new());
    let options = crate::FitOptions { start: Some(&even), ..crate::FitOptions::new(&quiet) };
    let learner = Learner::Boosting(small()).check().unwrap();
    let from_even = crate::fit_with(&learner, &two, None, 1, &options).unwrap();
    let rows = margins(&from_even, &two);
    let losses = rows.iter().zip(&two.target().values);
    let loss: f64 = losses.map(|(row, &y)| Objective::Softmax.loss(row, y)).sum();
    assert!((loss / rows.len() as f64 - from_even.history[19].train_loss).abs() < 1e-9);
    let n = |class: f64| two.target().values.iter().filter(|&&label| label == class).count() as f64;
    let factors = class_factors(&ClassWeight::Balanced, &two).unwrap();
    assert_eq!(factors, [200.0 / n(0.0), 200.0 / n(1.0), 1.0]);
}

#[test]
fn class_weights_move_the_start_value() {
    let data = number_table(vec![1., 2., 3., 4.], TargetKind::Binary, vec![1., 0., 0., 0.]);
    for (class_weight, margin) in [
        (ClassWeight::Equal, (1.0f64 / 3.0).ln()),
        (ClassWeight::Balanced, 0.0),
        (ClassWeight::Each(vec![1.0, 9.0]), 3.0f64.ln()),
    ] {
        let fitted = fit_with(BoostingParams { class_weight, ..small() }, &data, None, 1).unwrap();
        assert!((fitted.ensemble.base[0] - margin).abs() < 1e-12);
    }
}

#[test]
fn bounds_of_a_tree_hold() {
    let data = mixed(3_000, 6, TargetKind::Binary);
    let params = BoostingParams { n_leaves: 64, max_depth: 3, min_rows_in_leaf: 40, ..small() };
    let fitted = fit_with(params, &data, None, 2).unwrap();
    for tree in &fitted.ensemble.trees {
        assert!(tree.n_leaves() <= 8, "depth 3");
        assert!(tree.leaf_cover.iter().all(|&rows| rows >= 40.0));
        assert_eq!(tree.nodes[0].cover, 3_000.0);
        assert!(tree.nodes.iter().all(|node| node.gain > 0.0));
    }
}

#[test]
fn seeds_change_sampled_fits_only() {
    let data = mixed(1_000, 6, TargetKind::Binary);
    let fit_seeded = |seed, row_share| {
        fit_with(BoostingParams { seed, row_share, ..small() }, &data, None, 1).unwrap()
    };
    assert_eq!(fit_seeded(1, 1.0), fit_seeded(2, 1.0));
    assert_eq!(fit_seeded(1, 0.5), fit_seeded(1, 0.5));
    assert_ne!(fit_seeded(1, 0.5), fit_seeded(2, 0.5));
}

#[test]
fn bad_input_is_an_error_that_says_what_and_where() {
    let binary = mixed(50, 1, TargetKind::Binary);
    let numbers = number_table(vec![1., 2.], TargetKind::Regression, vec![1., -1.]);
    let poisson = BoostingParams { objective: Some(Objective::Poisson), ..small() };
    let error = |params, data: &Dataset| fit_with(params, data, None, 1).unwrap_err().to_string();
    assert_eq!(
        error(poisson.clone(), &binary),
        "objective poisson does not fit a binary target; use logistic or focal"
    );
    assert_eq!(
        error(poisson, &numbers),
        "label of row 1 is -1, objective poisson expects a number not below 0"
    );
    let one = number_table(vec![1., 2.], TargetKind::Binary, vec![1., 1.]);
    assert!(error(small(), &one).starts_with("all training rows are of class 1"));
    let weights = ClassWeight::Each(vec![1.0; 3]);
    let listed = BoostingParams { class_weight: weights, ..small() };
    assert_eq!(error(listed, &binary), "class_weight lists 3 weights, the target has 2 classes");
    let stop = |progress: Progress| {
        if progress.iteration == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let learner = Learner::Boosting(small()).check().unwrap();
    let cancelled = crate::fit(&learner, &binary, None, 1, &stop);
    assert!(matches!(cancelled, Err(LearnError::Cancelled { iteration: 3 })));
    let bad = BoostingParams { learning_rate: f64::NAN, ..small() }.check();
    assert!(matches!(bad, Err(ParamError::Real { field: "learning_rate", .. })));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(9),
        ..ProptestConfig::default()
    })]

    /// The order of rows changes neither trees nor, but for the last bits, values.
    #[test]
    fn shuffled_rows_give_the_same_trees(seed in 0u64..1000) {
        let data = mixed(300, seed, TargetKind::Binary);
        let mut rows: Vec<u32> = (0..300).collect();
        crate::sampling::draw_front(&mut rows, 300, &mut generator(seed, 1));
        let params = BoostingParams { n_rounds: 3, ..small() };
        let one = fit_with(params.clone(), &data, None, 1).unwrap();
        let other = fit_with(params, &data.select(&rows), None, 1).unwrap();
        prop_assert_eq!(one.ensemble.trees[0].nodes.len(), other.ensemble.trees[0].nodes.len());
        for (a, b) in margins(&one, &data).concat().iter().zip(margins(&other, &data).concat()) {
            prop_assert!((a - b).abs() < 1e-9);
        }
    }
}
