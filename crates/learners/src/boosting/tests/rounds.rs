//! Where fits start, what they save, and which rows and rounds a round leaves out.

use std::sync::Mutex;

use segue_model::Ensemble;

use super::*;
use crate::boosting::dart::Dropped;
use crate::boosting::goss::draw_by_gradient;
use crate::boosting::gradients::{Gradients, Source};
use crate::boosting::round::rounding_seed;
use crate::{Checkpoint, Dart, FitOptions, ForestParams, Goss, fit_with as fit_with_options};

/// A fit of 12 rounds and all its checkpoints.
fn with_checkpoints(
    params: &BoostingParams,
    train: &Dataset,
    valid: Option<&Dataset>,
    every: usize,
    cancel_at: usize,
) -> (Result<Fitted, LearnError>, Vec<Ensemble>) {
    let saved = Mutex::new(Vec::new());
    let save = |ensemble: &Ensemble| saved.lock().unwrap().push(ensemble.clone());
    let progress = |progress: Progress| {
        if progress.iteration == cancel_at {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let checkpoint = Some(Checkpoint { every, save: &save });
    let options = FitOptions { checkpoint, ..FitOptions::new(&progress) };
    let learner = Learner::Boosting(params.clone()).check().unwrap();
    let fitted = fit_with_options(&learner, train, valid, 2, &options);
    (fitted, saved.into_inner().unwrap())
}

fn from(
    start: &Ensemble,
    params: &BoostingParams,
    train: &Dataset,
    valid: Option<&Dataset>,
) -> Result<Fitted, LearnError> {
    let options = FitOptions { start: Some(start), ..FitOptions::new(&quiet) };
    let learner = Learner::Boosting(params.clone()).check().unwrap();
    fit_with_options(&learner, train, valid, 1, &options)
}

fn weighted(data: &Dataset) -> Dataset {
    let weight = (0..data.n_rows()).map(|row| [0.0, 1.0, 2.5][row % 3]).collect();
    let (schema, features) = (Arc::clone(data.schema()), data.features().clone());
    Dataset::new(schema, features, data.target().clone(), Some(weight), RowKeys::default()).unwrap()
}

#[test]
fn a_fit_from_a_checkpoint_ends_as_the_uninterrupted_one() {
    let stopping = BoostingParams {
        n_rounds: 200,
        learning_rate: 0.4,
        early_stopping_rounds: 6,
        row_share: 0.7,
        column_share: 0.6,
        ..small()
    };
    let goss = BoostingParams { goss: Some(Goss::default()), learning_rate: 0.2, ..small() };
    let absolute = BoostingParams { objective: Some(Objective::Absolute), ..small() };
    let (binary, valid) = (mixed(600, 1, TargetKind::Binary), mixed(600, 2, TargetKind::Binary));
    // Packed gradients, whose rounding is drawn by round.
    let large = mixed(40_000, 3, TargetKind::Binary);
    let regression = weighted(&mixed(600, 1, TargetKind::Regression));
    for (params, train, valid) in [
        (stopping, &binary, Some(&valid)),
        (goss, &mixed(600, 1, classes(3)), None),
        (absolute, &regression, None),
        (BoostingParams { n_rounds: 7, ..small() }, &large, Some(&valid)),
    ] {
        let (whole, checkpoints) = with_checkpoints(&params, train, valid, 3, usize::MAX);
        let whole = whole.unwrap();
        assert_eq!(checkpoints.len(), whole.history.len() / 3);
        for checkpoint in &checkpoints {
            assert_eq!(from(checkpoint, &params, train, valid).unwrap(), whole);
        }
        let (cancelled, saved) = with_checkpoints(&params, train, valid, 0, 5);
        assert!(matches!(cancelled, Err(LearnError::Cancelled { iteration: 5 })));
        assert_eq!(saved.len(), 1, "what is done when the fit is cancelled");
        assert_eq!(saved[0].trees.len(), 5 * whole.ensemble.n_outputs());
        assert_eq!(from(&saved[0], &params, train, valid).unwrap(), whole);
    }
}

#[test]
fn a_fit_that_was_over_does_not_go_on() {
    let params =
        BoostingParams { n_rounds: 200, learning_rate: 0.4, early_stopping_rounds: 6, ..small() };
    let (train, valid) = (mixed(600, 1, TargetKind::Binary), mixed(600, 2, TargetKind::Binary));
    let (whole, checkpoints) = with_checkpoints(&params, &train, Some(&valid), 1, usize::MAX);
    let whole = whole.unwrap();
    assert!(whole.history.len() < 200, "it stopped early");
    let last = checkpoints.last().unwrap();
    assert_eq!(last.trees.len(), whole.history.len());
    assert_eq!(from(last, &params, &train, Some(&valid)).unwrap(), whole);
}

#[test]
fn a_model_of_older_data_goes_on_with_new_rows() {
    let (old, new) = (mixed(800, 1, TargetKind::Binary), mixed(800, 2, TargetKind::Binary));
    let start = fit_with(small(), &old, None, 1).unwrap().ensemble;
    let more = BoostingParams { n_rounds: 30, ..small() };
    let fitted = from(&start, &more, &new, None).unwrap();
    assert_eq!(fitted.ensemble.trees[..20], start.trees);
    assert_eq!((fitted.ensemble.trees.len(), &fitted.ensemble.base), (30, &start.base));
    let losses: Vec<f64> = fitted.history.iter().map(|point| point.train_loss).collect();
    assert!(losses[20..].windows(2).all(|pair| pair[1] < pair[0]), "{losses:?}");
    assert_eq!(from(&start, &small(), &new, None).unwrap().ensemble, start, "no round is left");
}

#[test]
fn trees_that_cannot_be_a_beginning_are_refused() {
    let data = mixed(200, 1, TargetKind::Binary);
    let start = fit_with(small(), &data, None, 1).unwrap().ensemble;
    let error = |start: Ensemble, data: &Dataset| {
        from(&start, &small(), data, None).unwrap_err().to_string()
    };
    let mut other = start.clone();
    other.combine = segue_model::Combine::Mean;
    assert!(error(other, &data).ends_with("it averages trees, boosting sums them"));
    let mut other = start.clone();
    other.link = segue_model::Link::Identity;
    assert!(error(other, &data).ends_with("its link is Identity, the objective's is Logistic"));
    let mut other = start.clone();
    other.trees[2].nodes[0].feature = 3;
    assert!(error(other, &data).contains("cannot start from the given trees"));
    let multiclass = mixed(200, 1, classes(3));
    let mut rounds = fit_with(small(), &multiclass, None, 1).unwrap().ensemble;
    rounds.trees.pop();
    rounds.tree_output.pop();
    assert!(error(rounds, &multiclass).ends_with("not rounds of one for each of 3 outputs"));
    let forest = Learner::Forest(ForestParams::default()).check().unwrap();
    let options = FitOptions { start: Some(&start), ..FitOptions::new(&quiet) };
    let refused = fit_with_options(&forest, &data, None, 1, &options).unwrap_err();
    assert_eq!(refused.to_string(), "forest has no start; only boosting has");
}

#[test]
fn no_two_trees_round_alike() {
    let (n_rows, objective) = (40_000, Objective::Squared);
    let labels: Vec<f64> = (0..n_rows).map(|row| (row % 97) as f64 / 97.0 - 0.5).collect();
    let margins = vec![0.0; n_rows];
    let gradients = Gradients {
        labels: &labels,
        weights: None,
        max_weight: 1.0,
        source: Source::Margins { objective: &objective, margins: &margins },
    };
    let rounded = |seed: u64, tree: u64| {
        let mut scaled = crate::histogram::Scaled::default();
        scaled.refill(n_rows, &gradients, Some(rounding_seed(seed, tree)));
        (0..n_rows).map(|row| scaled.cell(row).gradient()).collect::<Vec<_>>()
    };
    let first = rounded(0, 1);
    for (seed, tree) in [(0, 2), (0, 3), (1, 1)] {
        let other = rounded(seed, tree);
        let n_same = first.iter().zip(&other).filter(|(a, b)| a == b).count();
        // whole numbers round alike, and the others mostly do not
        assert!(n_same < n_rows * 4 / 5, "{n_same} of {n_rows} with seed {seed}, tree {tree}");
    }
    assert_eq!(rounded(0, 1), first);
}

#[test]
fn one_side_sampling_takes_large_gradients_and_makes_up_for_the_rest() {
    let labels: Vec<f64> = (0..100).map(|row| f64::from(row % 50)).collect();
    let objective = Objective::Squared;
    let gradients = Gradients {
        labels: &labels,
        weights: None,
        max_weight: 1.0,
        source: Source::Margins { objective: &objective, margins: &[0.0; 100] },
    };
    let rows: Vec<u32> = (0..100).filter(|row| row % 10 != 9).collect();
    let goss = Goss { top_rate: 0.1, other_rate: 0.3 };
    let sample = draw_by_gradient(goss, &rows, 100, &[gradients], 4, 2);
    let factors = sample.factors.unwrap();
    // 9 of 90 rows by gradient: 48, 47, 46 and 45 twice, and the lower 44. 27 of the other 81, 3 times each.
    let once: Vec<usize> = (0..100).filter(|&row| factors[row] == 1.0).collect();
    assert_eq!(once, [44, 45, 46, 47, 48, 95, 96, 97, 98]);
    assert_eq!(factors.iter().filter(|&&factor| factor == 3.0).count(), 27);
    assert_eq!(factors.iter().sum::<f64>(), 90.0);
    let counted = (0..100u32).filter(|&row| factors[row as usize] > 0.0);
    assert_eq!(sample.rows, counted.collect::<Vec<_>>());
}

#[test]
fn sampling_all_rows_changes_nothing_and_some_little() {
    let data = mixed(3_000, 4, TargetKind::Binary);
    let params = BoostingParams { n_rounds: 40, ..small() };
    let all = Goss { top_rate: 0.3, other_rate: 0.7 };
    let plain = fit_with(params.clone(), &data, None, 1).unwrap();
    let fitted = |goss| {
        let [one, three] = [1, 3].map(|n_threads| {
            fit_with(BoostingParams { goss: Some(goss), ..params.clone() }, &data, None, n_threads)
        });
        let (one, three) = (one.unwrap(), three.unwrap());
        assert_eq!(one, three);
        one
    };
    assert_eq!(fitted(all), plain);
    let sampled = fitted(Goss::default());
    let loss = |fitted: &Fitted| fitted.history[39].train_loss;
    assert_eq!(sampled.history[..10], plain.history[..10], "the first rounds take all rows");
    assert!(loss(&sampled) < loss(&plain) + 0.03, "{} {}", loss(&sampled), loss(&plain));
    let covers = sampled.ensemble.trees.iter().map(|tree| tree.nodes[0].cover);
    assert!(covers.into_iter().all(|cover| (cover - 3_000.0).abs() < 1e-6));
}

#[test]
fn sampled_rows_of_a_large_table_keep_their_weight() {
    // Packed gradients of 10 or more per row of the others: without room for them they would be cut off at 1.
    let data = mixed(40_000, 4, TargetKind::Binary);
    let params = BoostingParams { n_rounds: 12, learning_rate: 0.5, ..small() };
    let goss = Goss { top_rate: 0.1, other_rate: 0.05 };
    let plain = fit_with(params.clone(), &data, None, 2).unwrap();
    let sampled = fit_with(BoostingParams { goss: Some(goss), ..params }, &data, None, 2).unwrap();
    let loss = |fitted: &Fitted| fitted.history[11].train_loss;
    assert!(loss(&sampled) < loss(&plain) + 0.02, "{} {}", loss(&sampled), loss(&plain));
}

#[test]
fn no_more_rounds_are_dropped_than_allowed() {
    let always = Dart { drop_rate: 1.0, skip_drop: 0.0, max_drop: 3 };
    let drawn = |iteration| Dropped::draw(always, iteration, 5).rounds;
    assert_eq!((drawn(1), drawn(3), drawn(4)), (vec![], vec![0, 1], vec![0, 1, 2]));
    let mut seen = std::collections::BTreeSet::new();
    for iteration in 5..40 {
        let rounds = drawn(iteration);
        assert_eq!(rounds.len(), 3);
        assert!(rounds.is_sorted() && rounds.iter().all(|&round| round + 1 < iteration));
        seen.extend(rounds);
    }
    assert!(seen.len() > 20, "not the same ones again and again: {seen:?}");
    assert_eq!(Dropped::draw(Dart { max_drop: 0, ..always }, 40, 5).rounds.len(), 39);
}

#[test]
fn rounds_that_drop_all_others_become_a_mean() {
    // Each round grows the first tree again; n of them weigh 1/n each.
    let data = mixed(500, 4, TargetKind::Regression);
    let always = Dart { drop_rate: 1.0, skip_drop: 0.0, max_drop: 0 };
    let params = BoostingParams { n_rounds: 5, early_stopping_rounds: 0, ..small() };
    let first = fit_with(BoostingParams { n_rounds: 1, ..params.clone() }, &data, None, 1).unwrap();
    let first = &first.ensemble.trees[0];
    let dart = BoostingParams { dart: Some(always), ..params };
    let fitted = fit_with(dart, &data, Some(&data), 1).unwrap();
    for tree in &fitted.ensemble.trees {
        assert_eq!(tree.nodes.len(), first.nodes.len());
        for (value, whole) in tree.leaf_values.iter().zip(&first.leaf_values) {
            assert!((value - whole / 5.0).abs() < 1e-9, "{value} {whole}");
        }
    }
    let last = fitted.history[4];
    assert!((last.train_loss - last.valid_loss.unwrap()).abs() < 1e-9);
}

#[test]
fn dropping_out_ends_with_the_margins_of_its_trees() {
    for kind in [TargetKind::Binary, classes(3)] {
        let data = mixed(1_000, 4, kind);
        let plain = BoostingParams { early_stopping_rounds: 0, ..small() };
        let with = |drop_rate, n_threads| {
            let dart = Dart { drop_rate, skip_drop: 0.25, max_drop: 3 };
            let params = BoostingParams { dart: Some(dart), ..plain.clone() };
            fit_with(params, &data, None, n_threads).unwrap()
        };
        assert_eq!(with(0.0, 1), fit_with(plain.clone(), &data, None, 1).unwrap());
        let dropped = with(0.5, 1);
        assert_eq!(dropped, with(0.5, 3));
        assert_ne!(dropped, with(0.0, 1));
        let objective = Objective::default_for(&data.target().kind);
        let rows = margins(&dropped, &data);
        let losses = rows.iter().zip(&data.target().values).map(|(m, &y)| objective.loss(m, y));
        let loss = losses.sum::<f64>() / rows.len() as f64;
        assert!((loss - dropped.history[19].train_loss).abs() < 1e-9);
    }
}

#[test]
fn sampling_and_dropout_out_of_range_are_errors() {
    let error = |params: BoostingParams| params.check().unwrap_err().to_string();
    let goss = |top_rate, other_rate| Some(Goss { top_rate, other_rate });
    assert_eq!(
        error(BoostingParams { goss: goss(0.5, 0.6), ..small() }),
        "other_rate is 0.6, expected a number above 0, with top_rate at most 1"
    );
    assert!(error(BoostingParams { goss: goss(1.0, 0.1), ..small() }).starts_with("top_rate is 1"));
    assert_eq!(
        error(BoostingParams { goss: goss(0.2, 0.1), row_share: 0.5, ..small() }),
        "row_share contradicts goss: both draw the rows of a round; remove one"
    );
    assert!(
        error(BoostingParams { dart: Some(Dart::default()), ..small() })
            .starts_with("early_stopping_rounds contradicts dart")
    );
    let dart = Some(Dart { skip_drop: f64::NAN, ..Dart::default() });
    assert!(error(BoostingParams { dart, ..small() }).starts_with("skip_drop is NaN"));
}
