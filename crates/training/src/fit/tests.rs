use segue_dataset::{Feature, Matrix, RowKeys, Schema, Target};

use super::auto::SLOWEST_RATE;
use super::*;
use crate::job::ObjectiveKind;
use crate::watch::Quiet;

mod checkpoints;
mod options;

/// A label that hangs on the first of three columns, blurred by `noise`.
fn data(n_rows: usize, noise: f64, kind: TargetKind) -> Dataset {
    let unit = |index: usize| ((index as f64 + 1.0) * 0.618_033_988_749_895).fract();
    let columns: Vec<Vec<f64>> = (0..3)
        .map(|column| (0..n_rows).map(|row| unit(row * 3 + column * 7 + row / 11)).collect())
        .collect();
    let value = |row: usize| columns[0][row] + noise * (unit(row * 17 + row / 3) - 0.5);
    let values = (0..n_rows)
        .map(|row| match kind {
            TargetKind::Binary => f64::from(u8::from(value(row) > 0.5)),
            _ => value(row).max(0.0),
        })
        .collect();
    let schema = Schema::new((0..3).map(|column| Feature::number(format!("f{column}"))).collect());
    let matrix = Matrix::from_columns(n_rows, columns);
    let target = Target { kind, values };
    Dataset::new(Arc::new(schema.unwrap()), matrix, target, None, RowKeys::default()).unwrap()
}

fn fitted(section: &LearnerSection, noise: f64, kind: &TargetKind) -> FittedModel {
    let all = data(900, noise, kind.clone());
    let (train, valid) = parts(&all);
    fit_model(&fitting(section, &train, &valid), &naming(), &Quiet).unwrap()
}

/// Two thirds to fit, one to stop by.
fn parts(all: &Dataset) -> (Dataset, Dataset) {
    let part = |rows: std::ops::Range<u32>| all.select(&rows.collect::<Vec<_>>());
    let (n, cut) = (all.n_rows() as u32, all.n_rows() as u32 / 3 * 2);
    (part(0..cut), part(cut..n))
}

fn naming() -> Naming {
    Naming { task: "t".into(), behaviours: Vec::new(), feature_set_hash: None }
}

fn fitting<'a>(section: &'a LearnerSection, train: &'a Dataset, valid: &'a Dataset) -> Fitting<'a> {
    Fitting { section, seed: 3, train, valid, n_threads: 1, start: None, checkpoints: None }
}

#[test]
fn the_automatic_rate_is_smaller_where_few_rounds_are_borne() {
    let auto = LearnerSection {
        learning_rate: Some(OrAuto::Auto),
        rounds: Some(400),
        leaves: Some(OrAuto::Fixed(7)),
        ..LearnerSection::default()
    };
    let noisy = fitted(&auto, 1.5, &TargetKind::Binary);
    let clear = fitted(&auto, 0.05, &TargetKind::Binary);
    let (slow, fast) = (noisy.found["learning_rate"], clear.found["learning_rate"]);
    assert!(SLOWEST_RATE <= slow && slow < fast && fast <= 0.1, "{slow} {fast}");
    // the same as with the rate written out and the patience that goes with it
    let patience = (50.0 * 0.1 / slow).round() as u32;
    let fixed = LearnerSection {
        learning_rate: Some(OrAuto::Fixed(slow)),
        early_stopping_rounds: Some(patience),
        ..auto
    };
    let again = fitted(&fixed, 1.5, &TargetKind::Binary);
    assert_eq!((again.model, again.found), (noisy.model, Found::new()));
}

#[test]
fn leaves_grow_with_the_rows() {
    let leaves = [0, 2_000, 10_000, 1_000_000, 100_000_000].map(leaves_for);
    assert_eq!(leaves, [4, 4, 7, 33, 63]);
    let auto = LearnerSection { leaves: Some(OrAuto::Auto), ..LearnerSection::default() };
    let four = LearnerSection { leaves: Some(OrAuto::Fixed(4)), ..LearnerSection::default() };
    let (auto, four) =
        (fitted(&auto, 0.5, &TargetKind::Binary), fitted(&four, 0.5, &TargetKind::Binary));
    assert_eq!((auto.found["leaves"], auto.model), (4.0, four.model));
}

#[test]
fn the_rate_is_kept_within_its_bounds_and_short() {
    let rate = |n_borne: usize, n_rounds: usize| {
        let mut params = BoostingParams { n_rounds, ..BoostingParams::default() };
        slow_down(&mut params, n_borne);
        (params.learning_rate, params.early_stopping_rounds)
    };
    assert_eq!(rate(500, 500), (0.1, 50));
    assert_eq!(rate(1, 1_000), (0.01, 500));
    assert_eq!(rate(0, 10), (0.01, 500));
    assert_eq!(rate(123, 1_000), (0.025, 200));
}

#[test]
fn the_objective_of_a_job_is_the_one_that_is_minimised() {
    let fit = |objective, alpha| {
        let section = LearnerSection {
            objective: Some(objective),
            alpha,
            rounds: Some(60),
            ..LearnerSection::default()
        };
        let fitted = fitted(&section, 0.5, &TargetKind::Regression);
        fitted.model.ensemble().clone()
    };
    let link = |objective| fit(objective, None).link;
    assert_eq!(link(ObjectiveKind::Squared), segue_model::Link::Identity);
    assert_eq!(link(ObjectiveKind::Tweedie), segue_model::Link::Exp);
    assert_eq!(link(ObjectiveKind::Poisson), segue_model::Link::Exp);
    let base = |alpha| fit(ObjectiveKind::Quantile, Some(alpha)).base[0];
    assert!(base(0.1) < base(0.5) && base(0.5) < base(0.9));
}
