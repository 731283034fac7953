//! Which calibration: the one with the smallest cross-validated log loss.

use std::collections::HashMap;

use super::{Calibration, fit_isotonic, fit_platt};
use crate::metrics::log_loss;

/// Folds of the comparison.
const N_FOLDS: usize = 5;

/// The calibration chosen and what the choice rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct CalibrationChoice {
    /// Fitted on all calibration rows.
    pub calibration: Calibration,
    /// Name and cross-validated log loss (nats a row) of each candidate, in the order `none`,
    /// `platt`, `isotonic`. Empty if there were too few rows to compare.
    pub log_loss: Vec<(String, f64)>,
}

type Fit = fn(&[f64], &[f64], Option<&[f64]>) -> Option<Calibration>;

const CANDIDATES: [(&str, Fit); 3] =
    [("none", |_, _, _| Some(Calibration::None)), ("platt", fit_platt), ("isotonic", fit_isotonic)];

/// Chooses among none, Platt and isotonic for a probability.
///
/// Each is fitted on four fifths of the rows and judged on the rest, five times over: in-sample,
/// isotonic would always win. Rows of one user (`users`, one a row; empty: not known) stay in one fold,
/// for they resemble each other. On equal loss the earlier (simpler) one stays. With one class only in
/// some fold's training rows, or fewer than 20 rows, the answer is [`Calibration::None`].
///
/// # Panics
/// If the slices differ in length.
#[must_use]
pub fn choose(
    probabilities: &[f64],
    labels: &[f64],
    weight: Option<&[f64]>,
    users: &[impl AsRef<str>],
) -> CalibrationChoice {
    choose_in(&folds(labels.len(), users), probabilities, labels, weight)
}

/// The fold of each row. Users (rows, where users are not known) are dealt out in the order in which
/// they come first, so that a table sorted by time, user or label is spread evenly.
fn folds(n_rows: usize, users: &[impl AsRef<str>]) -> Vec<usize> {
    if users.is_empty() {
        return (0..n_rows).map(|row| row % N_FOLDS).collect();
    }
    assert_eq!(users.len(), n_rows, "one user a row");
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut fold_of = |user| {
        let next = numbers.len();
        *numbers.entry(user).or_insert(next) % N_FOLDS
    };
    users.iter().map(|user| fold_of(user.as_ref())).collect()
}

fn choose_in(
    folds: &[usize],
    probabilities: &[f64],
    labels: &[f64],
    weight: Option<&[f64]>,
) -> CalibrationChoice {
    let none = CalibrationChoice { calibration: Calibration::None, log_loss: Vec::new() };
    if labels.len() < 4 * N_FOLDS {
        return none;
    }
    let mut judged: Vec<(usize, f64)> = Vec::new();
    for (candidate, (_, fit)) in CANDIDATES.iter().enumerate() {
        let Some(out_of_fold) = out_of_fold(*fit, folds, probabilities, labels, weight) else {
            return none;
        };
        let Some(loss) = log_loss(labels, &out_of_fold, weight) else { return none };
        judged.push((candidate, loss));
    }
    let mut best = judged[0];
    for &next in &judged[1..] {
        if next.1 < best.1 {
            best = next;
        }
    }
    let log_loss = judged.iter().map(|&(at, loss)| (CANDIDATES[at].0.to_owned(), loss)).collect();
    match CANDIDATES[best.0].1(probabilities, labels, weight) {
        Some(calibration) => CalibrationChoice { calibration, log_loss },
        None => none,
    }
}

/// Each row's probability under the fit that has not seen it.
fn out_of_fold(
    fit: Fit,
    folds: &[usize],
    probabilities: &[f64],
    labels: &[f64],
    weight: Option<&[f64]>,
) -> Option<Vec<f64>> {
    let mut out = vec![0.0; labels.len()];
    for fold in 0..N_FOLDS {
        let seen: Vec<usize> = (0..labels.len()).filter(|&row| folds[row] != fold).collect();
        let pick = |values: &[f64]| seen.iter().map(|&row| values[row]).collect::<Vec<f64>>();
        let weight = weight.map(pick);
        let fitted = fit(&pick(probabilities), &pick(labels), weight.as_deref())?;
        for row in (0..labels.len()).filter(|&row| folds[row] == fold) {
            out[row] = fitted.value(probabilities[row]);
        }
    }
    Some(out)
}

/// Chooses per class, one against the rest; the row is renormalised after calibration. Folds are those
/// of [`choose`].
///
/// `probabilities` is row-major, shape `(n_rows, n_classes)`; `labels` are class indices. One choice
/// a class, and the joint calibration ([`Calibration::None`] if every class chose none).
///
/// # Panics
/// If the slices differ in length.
#[must_use]
pub fn choose_multiclass(
    probabilities: &[f64],
    n_classes: usize,
    labels: &[f64],
    weight: Option<&[f64]>,
    users: &[impl AsRef<str>],
) -> (Calibration, Vec<CalibrationChoice>) {
    assert_eq!(probabilities.len(), labels.len() * n_classes, "one value a row and class");
    let folds = folds(labels.len(), users);
    let choices: Vec<CalibrationChoice> = (0..n_classes)
        .map(|class| {
            let of_class: Vec<f64> =
                probabilities.iter().skip(class).step_by(n_classes).copied().collect();
            let is: Vec<f64> = labels.iter().map(|&l| f64::from(l as usize == class)).collect();
            choose_in(&folds, &of_class, &is, weight)
        })
        .collect();
    if choices.iter().all(|choice| choice.calibration == Calibration::None) {
        return (Calibration::None, choices);
    }
    let per_class = choices.iter().map(|choice| choice.calibration.clone()).collect();
    (Calibration::PerClass(per_class), choices)
}

/// Weighted least-squares line from prediction to label, for regression.
///
/// [`Calibration::None`] if there are fewer than 20 rows, the predictions are constant, the slope
/// would be below 0, or a value is not finite.
///
/// # Panics
/// If the slices differ in length.
#[must_use]
pub fn fit_linear(predictions: &[f64], labels: &[f64], weight: Option<&[f64]>) -> Calibration {
    assert_eq!(predictions.len(), labels.len(), "one prediction a label");
    assert!(weight.is_none_or(|weight| weight.len() == labels.len()), "one weight a label");
    let weight_of = |row: usize| weight.map_or(1.0, |weight| weight[row]);
    let sum = |f: &dyn Fn(usize) -> f64| -> f64 {
        (0..labels.len()).map(|row| weight_of(row) * f(row)).sum()
    };
    let total = sum(&|_| 1.0);
    let (mean_x, mean_y) = (sum(&|row| predictions[row]) / total, sum(&|row| labels[row]) / total);
    let spread = sum(&|row| (predictions[row] - mean_x).powi(2));
    let slope = sum(&|row| (predictions[row] - mean_x) * (labels[row] - mean_y)) / spread;
    let intercept = mean_y - slope * mean_x;
    let fits = labels.len() >= 4 * N_FOLDS && slope.is_finite() && intercept.is_finite();
    if fits && slope >= 0.0 { Calibration::Linear { slope, intercept } } else { Calibration::None }
}
