use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::metrics::{auc, log_loss};

const NO_USERS: &[&str] = &[];

fn rows() -> impl Strategy<Value = (Vec<f64>, Vec<f64>, Vec<f64>)> {
    prop::collection::vec((0..2u8, 0..12u8, 1..4u8), 2..40).prop_map(|rows| {
        let p = rows.iter().map(|row| f64::from(row.1) / 11.0).collect();
        let label = rows.iter().map(|row| f64::from(row.0)).collect();
        let weight = rows.iter().map(|row| f64::from(row.2)).collect();
        (p, label, weight)
    })
}

/// A probability whose log-odds are a stretched and shifted copy of the truth, and labels that
/// follow the truth exactly on average.
fn distorted(n: usize, slope: f64, shift: f64) -> (Vec<f64>, Vec<f64>) {
    let mut p = Vec::new();
    let mut labels = Vec::new();
    for row in 0..n {
        let truth = (row / 20) as f64 / (n / 20) as f64 * 0.9 + 0.05;
        labels.push(f64::from(((row % 20) as f64) < (truth * 20.0).round()));
        p.push(sigmoid((logit(truth) - shift) / slope));
    }
    (p, labels)
}

/// Monotone least squares by the min-max formula: `max over a <= i of min over b >= i of mean(a..=b)`.
fn isotonic_by_min_max(p: &[f64], labels: &[f64], weight: &[f64]) -> Vec<f64> {
    let mut distinct = p.to_vec();
    distinct.sort_by(f64::total_cmp);
    distinct.dedup();
    let mean = |a: usize, b: usize| {
        let inside = |row: &usize| (distinct[a]..=distinct[b]).contains(&p[*row]);
        let rows: Vec<usize> = (0..p.len()).filter(inside).collect();
        rows.iter().map(|&row| weight[row] * labels[row]).sum::<f64>()
            / rows.iter().map(|&row| weight[row]).sum::<f64>()
    };
    let fitted = |at: usize| {
        let best_from =
            |a: usize| (at..distinct.len()).map(|b| mean(a, b)).fold(f64::INFINITY, f64::min);
        (0..=at).map(best_from).fold(f64::NEG_INFINITY, f64::max)
    };
    let of = |p: f64| fitted(distinct.iter().position(|&other| other == p).unwrap());
    p.iter().map(|&p| of(p)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() })]

    #[test]
    fn pooling_is_monotone_least_squares((p, labels, weight) in rows()) {
        let fitted = fit_isotonic(&p, &labels, Some(&weight)).unwrap();
        prop_assert_eq!(fitted.fault(), None);
        let Calibration::Isotonic { knots, values } = &fitted else { panic!("not isotonic") };
        let n = p.len() as f64;
        let expected: Vec<f64> = isotonic_by_min_max(&p, &labels, &weight)
            .into_iter()
            .map(|value| value.clamp(1.0 / (n + 2.0), (n + 1.0) / (n + 2.0)))
            .collect();
        // Every knot is the centre of a block whose value is the least-squares value of its rows.
        for (knot, value) in knots.iter().zip(values) {
            let rows: Vec<usize> =
                (0..p.len()).filter(|&row| (expected[row] - value).abs() < 1e-12).collect();
            let mass: f64 = rows.iter().map(|&row| weight[row]).sum();
            let centre = rows.iter().map(|&row| weight[row] * p[row]).sum::<f64>() / mass;
            let (low, high) = (values.iter().filter(|v| **v == *value).count(), 1);
            if low == high {
                prop_assert!((centre - knot).abs() < 1e-9, "{} {}", centre, knot);
            }
        }
        for value in &expected {
            prop_assert!(values.iter().any(|other| (other - value).abs() < 1e-12));
        }
    }

    #[test]
    fn every_calibration_is_monotone_and_never_certain((p, labels, weight) in rows()) {
        for fitted in [fit_isotonic(&p, &labels, Some(&weight)), fit_platt(&p, &labels, Some(&weight))] {
            let Some(fitted) = fitted else { continue };
            let mut last = 0.0;
            // At 0 and 1 themselves the log-odds are +-34.5, where a steep curve rounds to 1.
            for step in 1..1000 {
                let value = fitted.value(f64::from(step) / 1000.0);
                prop_assert!(value >= last && value < 1.0 && value > 0.0, "{fitted:?} {value}");
                last = value;
            }
        }
    }

    #[test]
    fn platt_is_where_the_loss_is_flat((p, labels, weight) in rows()) {
        let Some(Calibration::Platt { slope, intercept }) = fit_platt(&p, &labels, Some(&weight)) else {
            prop_assert!(labels.iter().all(|&label| label == labels[0]));
            return Ok(());
        };
        prop_assert!(slope >= 0.0);
        let total: f64 = weight.iter().sum();
        let scale = p.len() as f64 / total;
        let positive: f64 = labels.iter().zip(&weight).map(|(l, w)| l * w * scale).sum();
        let negative = p.len() as f64 - positive;
        let (high, low) = ((positive + 1.0) / (positive + 2.0), 1.0 / (negative + 2.0));
        let (mut by_slope, mut by_intercept) = (0.0, 0.0);
        for row in 0..p.len() {
            let x = logit(p[row]);
            let gap = sigmoid(slope * x + intercept) - if labels[row] == 1.0 { high } else { low };
            by_slope += weight[row] * scale * gap * x;
            by_intercept += weight[row] * scale * gap;
        }
        let n = p.len() as f64;
        prop_assert!(by_intercept.abs() < 1e-6 * n, "{by_intercept}");
        // At slope 0 the loss may still fall towards negative slopes, which are not allowed.
        let flat = by_slope.abs() < 1e-5 * n;
        prop_assert!(flat || (slope == 0.0 && by_slope > 0.0), "{slope} {by_slope}");
    }
}

#[test]
fn platt_recovers_a_stretch_and_a_shift() {
    let (p, labels) = distorted(20_000, 2.0, 0.5);
    let Some(Calibration::Platt { slope, intercept }) = fit_platt(&p, &labels, None) else {
        panic!("no fit")
    };
    assert!((slope - 2.0).abs() < 0.02 && (intercept - 0.5).abs() < 0.02, "{slope} {intercept}");
}

#[test]
fn platt_keeps_the_ranking_and_refuses_to_turn_it() {
    let p = [0.1, 0.2, 0.8, 0.9];
    let Some(Calibration::Platt { slope, intercept }) = fit_platt(&p, &[1.0, 1.0, 0.0, 0.0], None)
    else {
        panic!("no fit")
    };
    assert_eq!(slope, 0.0);
    assert!(intercept.abs() < 1e-12);
    assert_eq!(fit_platt(&p, &[1.0; 4], None), None);
    assert!(fit_platt(&[0.5; 4], &[1.0, 0.0, 1.0, 1.0], None).is_some());
    assert!(fit_platt(&[0.0, 0.0, 1.0, 1.0], &[0.0, 0.0, 1.0, 1.0], None).is_some());
}

#[test]
fn choice_prefers_what_helps_on_unseen_rows() {
    // A logistic distortion: Platt fits it with two numbers.
    let (p, labels) = distorted(2_000, 0.4, -1.0);
    let choice = choose(&p, &labels, None, NO_USERS);
    assert_ne!(choice.calibration, Calibration::None);
    let names: Vec<&str> = choice.log_loss.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["none", "platt", "isotonic"]);
    let mut calibrated = p.clone();
    calibrated.iter_mut().for_each(|p| *p = choice.calibration.value(*p));
    assert!(log_loss(&labels, &calibrated, None) < log_loss(&labels, &p, None));
    let (before, after) =
        (auc(&labels, &p, None).unwrap(), auc(&labels, &calibrated, None).unwrap());
    assert!((before - after).abs() < 0.01);

    // A step that no logistic curve can follow.
    let p: Vec<f64> = (0..3_000).map(|row| f64::from(row) / 3_000.0).collect();
    let truth = |p: f64| if (0.3..0.7).contains(&p) { 0.5 } else { f64::from(p >= 0.7) };
    let labels: Vec<f64> = (0..3_000)
        .map(|row| f64::from(f64::from(row * 37 % 100) / 100.0 < truth(p[row as usize])))
        .collect();
    assert_eq!(choose(&p, &labels, None, NO_USERS).calibration.name(), "isotonic");
}

/// A score that knows each user by heart: rows of one user share a probability and an outcome, so
/// isotonic seems perfect as long as a user's other rows are among those it is fitted on.
#[test]
fn users_are_kept_whole_in_the_folds() {
    let outcome = |user: usize| f64::from(user * 7 % 11 < 5);
    let rows = || (0..3_000).map(|row| row / 10);
    let p: Vec<f64> = rows().map(|user| 0.3 + 0.001 * user as f64).collect();
    let labels: Vec<f64> = rows().map(outcome).collect();
    let users: Vec<String> = rows().map(|user| format!("u{user}")).collect();
    let loss = |choice: CalibrationChoice, name: &str| {
        choice.log_loss.into_iter().find(|(of, _)| of == name).unwrap().1
    };
    let by_row = loss(choose(&p, &labels, None, NO_USERS), "isotonic");
    let by_user = loss(choose(&p, &labels, None, &users), "isotonic");
    assert!(by_user > by_row + 0.001, "{by_user} {by_row}");
    // one row a user: nothing to keep together
    let alone: Vec<String> = (0..3_000).map(|row| format!("u{row}")).collect();
    assert_eq!(choose(&p, &labels, None, &alone), choose(&p, &labels, None, NO_USERS));
}

#[test]
fn choice_stays_with_none_when_it_cannot_tell() {
    assert_eq!(choose(&[0.5; 10], &[1.0; 10], None, NO_USERS).calibration, Calibration::None);
    assert_eq!(choose(&[0.5; 100], &[1.0; 100], None, NO_USERS).calibration, Calibration::None);
    let mut rare = [0.0; 100];
    rare[7] = 1.0;
    assert_eq!(choose(&[0.5; 100], &rare, None, NO_USERS).log_loss, Vec::new());
}

#[test]
fn classes_are_calibrated_apart_and_sum_to_one() {
    let n = 600;
    let labels: Vec<f64> = (0..n).map(|row| f64::from(row % 3)).collect();
    let probabilities: Vec<f64> = (0..n)
        .flat_map(|row| {
            let mut p = [0.3, 0.3, 0.3];
            p[((row + row / 3 % 2) % 3) as usize] = 0.4;
            p
        })
        .collect();
    let (calibration, choices) = choose_multiclass(&probabilities, 3, &labels, None, NO_USERS);
    assert_eq!(choices.len(), 3);
    let mut row = [0.2, 0.5, 0.3];
    calibration.apply(&mut row);
    assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    let zero = Calibration::Isotonic { knots: vec![0.5], values: vec![0.0] };
    let mut row = [0.2, 0.8];
    Calibration::PerClass(vec![zero.clone(), zero]).apply(&mut row);
    assert_eq!(row, [0.5, 0.5]);
}

#[test]
fn a_line_is_found_and_a_falling_one_refused() {
    let x: Vec<f64> = (0..50).map(f64::from).collect();
    let y: Vec<f64> = x.iter().map(|x| 3.0 * x - 2.0).collect();
    let Calibration::Linear { slope, intercept } = fit_linear(&x, &y, None) else {
        panic!("no line")
    };
    assert!((slope - 3.0).abs() < 1e-12 && (intercept + 2.0).abs() < 1e-9);
    let falling: Vec<f64> = x.iter().map(|x| -x).collect();
    assert_eq!(fit_linear(&x, &falling, None), Calibration::None);
    assert_eq!(fit_linear(&[1.0; 50], &y, None), Calibration::None);
    assert_eq!(fit_linear(&x[..5], &y[..5], None), Calibration::None);
}

#[test]
fn a_label_or_probability_that_is_nan_gives_no_fit() {
    let (p, labels) = ([0.1, 0.4, 0.8, 0.9], [0.0, 0.0, 1.0, 1.0]);
    let spoiled = |of: [f64; 4]| [of[0], f64::NAN, of[2], of[3]];
    for (p, labels) in [(spoiled(p), labels), (p, spoiled(labels))] {
        assert_eq!(fit_platt(&p, &labels, None), None);
        assert_eq!(fit_isotonic(&p, &labels, None), None);
        let weight = Some(&[1.0, 0.0, 1.0, 1.0][..]);
        assert!(fit_platt(&p, &labels, weight).is_some());
        assert!(fit_isotonic(&p, &labels, weight).is_some());
    }
}

#[test]
fn missing_stays_missing() {
    let isotonic = Calibration::Isotonic { knots: vec![0.2, 0.8], values: vec![0.1, 0.9] };
    assert!(isotonic.value(f64::NAN).is_nan());
    assert_eq!(isotonic.value(0.0), 0.1);
    assert!((isotonic.value(0.5) - 0.5).abs() < 1e-15);
    assert_eq!(isotonic.value(1.0), 0.9);
}
