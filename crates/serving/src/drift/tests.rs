//! Windows against a naive computation.

use std::sync::Arc;

use proptest::prelude::*;
use segue_dataset::{Feature, Matrix, Schema};
use segue_model::{PSI_FLOOR, Profile};

use super::*;
use crate::prediction_log::{LoggedVersion, Shape, Target};

const WINDOW_US: i64 = 1_000_000;

fn version(rows: &[Vec<f64>]) -> LoggedVersion {
    let plans = vec!["free".to_owned(), "pro".to_owned()];
    let schema = Schema::new(vec![Feature::number("age"), Feature::category("plan", plans)]);
    let schema = Arc::new(schema.unwrap());
    let scores: Vec<f64> = rows.iter().map(|row| score(row)).collect();
    let cells: Vec<f64> = rows.concat();
    let matrix = Matrix::from_rows(2, &cells);
    let profile = Profile::of(&schema, &matrix, &["score".to_owned()], &scores);
    let shape = Shape {
        model: "churn".to_owned(),
        version: 1,
        digest: "d".to_owned(),
        target: Target::Binary,
        classes: Vec::new(),
        features: Vec::new(),
        with_subjects: false,
    };
    LoggedVersion { shape, schema, profile: Some(profile) }
}

fn score(row: &[f64]) -> f64 {
    if row[0].is_nan() { 0.1 } else { (row[0] / 100.0).clamp(0.0, 1.0) }
}

/// The index as its definition has it: a bin is the set of values between two edges, missing one more.
fn naive_psi(edges: &[f64], before: &[f64], after: &[f64]) -> f64 {
    let mut psi = 0.0;
    let bins = edges.len() + 2;
    let share = |values: &[f64], bin: usize| {
        let is_in = |value: &&f64| {
            if value.is_nan() || bin == bins - 1 {
                return value.is_nan() && bin == bins - 1;
            }
            let lowest = if bin == 0 { f64::NEG_INFINITY } else { edges[bin - 1] };
            let highest = edges.get(bin).copied().unwrap_or(f64::INFINITY);
            lowest < **value && **value <= highest
        };
        (values.iter().filter(is_in).count() as f64 / values.len() as f64).max(PSI_FLOOR)
    };
    for bin in 0..bins {
        let (before, after) = (share(before, bin), share(after, bin));
        psi += (after - before) * (after / before).ln();
    }
    psi
}

fn rows() -> impl Strategy<Value = Vec<Vec<f64>>> {
    let age = prop_oneof![1 => Just(f64::NAN), 5 => (0..90_i32).prop_map(f64::from)];
    let plan = prop_oneof![Just(f64::NAN), Just(-1.0), Just(0.0), Just(1.0)];
    prop::collection::vec((age, plan).prop_map(|(age, plan)| vec![age, plan]), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn two_windows_are_told_and_nothing_else(
        training in rows(),
        windows in prop::collection::vec(rows(), 1..5),
        idle in 0_i64..4,
    ) {
        let version = version(&training);
        let drift = DriftWindows::new(WINDOW_US);
        for (window, rows) in windows.iter().enumerate() {
            let mut counting = drift.counting();
            for row in rows {
                counting.add(&version, window as i64 * WINDOW_US + 7, row, &[score(row)]);
            }
        }
        let last = windows.len() as i64 - 1;
        let now = (last + idle) * WINDOW_US + 9;
        let report = drift.report("churn", 1, now);
        // What the window of `now` and the one before it hold.
        let told: Vec<&Vec<f64>> = (0..)
            .zip(&windows)
            .filter(|(window, _)| *window >= last + idle - 1)
            .flat_map(|(_, rows)| rows)
            .collect();
        prop_assert_eq!(report.is_some(), !told.is_empty());
        let Some(report) = report else { return Ok(()) };
        prop_assert_eq!(report.n_rows, told.len() as u64);
        prop_assert_eq!(report.n_training_rows, training.len() as u64);
        let profile = version.profile.as_ref().unwrap();
        let edges = |of: &segue_model::Distribution| match &of.bins {
            segue_model::Bins::Quantiles(edges) => edges.clone(),
            // Codes 0 and 1 are one bin each, -1 is the last: the same as these edges of the code.
            segue_model::Bins::Categories(_) => vec![0.0, 1.0],
        };
        let code = |plan: f64| if plan == -1.0 { 2.0 } else { plan };
        let of = |rows: &[&Vec<f64>], column: usize| -> Vec<f64> {
            rows.iter().map(|row| if column == 1 { code(row[1]) } else { row[0] }).collect()
        };
        let before: Vec<&Vec<f64>> = training.iter().collect();
        for column in 0..2 {
            let expected = naive_psi(
                &edges(&profile.features[column]),
                &of(&before, column),
                &of(&told, column),
            );
            let found = report.features[column].psi;
            prop_assert!((found - expected).abs() < 1e-9, "{} {}", found, expected);
        }
        let scores = |rows: &[&Vec<f64>]| -> Vec<f64> { rows.iter().map(|row| score(row)).collect() };
        let expected = naive_psi(&edges(&profile.outputs[0]), &scores(&before), &scores(&told));
        prop_assert!((report.outputs[0].psi - expected).abs() < 1e-9);
    }
}

#[test]
fn few_rows_have_no_gauge_and_old_ones_are_forgotten() {
    let training: Vec<Vec<f64>> = (0..100).map(|age| vec![f64::from(age), 0.0]).collect();
    let version = version(&training);
    let drift = DriftWindows::new(WINDOW_US);
    let metrics = crate::metrics::Metrics::new();
    let add = |n_rows: u64| {
        let mut counting = drift.counting();
        for _ in 0..n_rows {
            counting.add(&version, 7, &[95.0, 1.0], &[0.95]);
        }
    };
    add(MIN_DRIFT_ROWS - 1);
    drift.publish(&metrics.log, 8);
    let page = metrics.page().unwrap();
    assert!(page.contains("segue_drift_rows{model=\"churn\",version=\"1\"} 499\n"), "{page}");
    assert!(!page.contains("segue_drift_psi{"), "{page}");
    add(1);
    drift.publish(&metrics.log, 8);
    let page = metrics.page().unwrap();
    let line = |start: &str| {
        let line = page.lines().find(|line| line.starts_with(start)).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert!(line("segue_drift_psi{model=\"churn\",version=\"1\",feature=\"age\"}") > MOVED_ABOVE);
    assert!(line("segue_drift_output_psi{model=\"churn\",version=\"1\",output=\"score\"}") > 1.0);
    drift.publish(&metrics.log, 2 * WINDOW_US);
    assert!(!metrics.page().unwrap().contains("segue_drift_psi{"));
    assert!(drift.report("churn", 1, 2 * WINDOW_US).is_none());
}

#[test]
fn gauges_are_changed_where_they_are() {
    let training: Vec<Vec<f64>> = (0..100).map(|age| vec![f64::from(age), 0.0]).collect();
    let version = version(&training);
    let drift = DriftWindows::new(WINDOW_US);
    let metrics = crate::metrics::Metrics::new();
    let add = |age: f64| {
        let mut counting = drift.counting();
        for _ in 0..MIN_DRIFT_ROWS {
            counting.add(&version, 7, &[age, 1.0], &[0.95]);
        }
    };
    add(95.0);
    drift.publish(&metrics.log, 8);
    let rows = VersionLabels { model: "churn".to_owned(), version: 1 };
    let rows = metrics.log.drift_rows.get_or_create_owned(&rows);
    let model = "churn".to_owned();
    let age = DriftLabels { model, version: 1, feature: "age".to_owned() };
    let age = metrics.log.drift_psi.get_or_create_owned(&age);
    let before = (rows.get(), age.get());
    add(5.0);
    drift.publish(&metrics.log, 8);
    assert_eq!(before.0 * 2, rows.get());
    assert!(age.get() < before.1, "{} {}", age.get(), before.1);
    drift.publish(&metrics.log, 2 * WINDOW_US);
    let page = metrics.page().unwrap();
    assert!(!page.contains("segue_drift_rows{") && !page.contains("segue_drift_psi{"), "{page}");
    assert!(!page.contains("segue_drift_output_psi{"), "{page}");
}

#[test]
fn a_version_of_another_digest_begins_anew() {
    let training: Vec<Vec<f64>> = (0..100).map(|age| vec![f64::from(age), 0.0]).collect();
    let mut version = version(&training);
    let drift = DriftWindows::new(WINDOW_US);
    drift.counting().add(&version, 1, &[1.0, 0.0], &[0.1]);
    version.shape.digest = "e".to_owned();
    drift.counting().add(&version, 2, &[1.0, 0.0], &[0.1]);
    let report = drift.report("churn", 1, 3).unwrap();
    assert_eq!((report.n_rows, report.digest.as_str()), (1, "e"));
}
