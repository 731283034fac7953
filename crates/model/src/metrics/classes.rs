//! Metrics of more than two classes.
//!
//! `labels` holds class indices, shape `(n_rows,)`; `probabilities` is row-major, shape
//! `(n_rows, n_classes)`. A label that is no class index is a mistake of the caller: every function
//! panics.

use super::{LOG_LOSS_FLOOR, auc, mean_over, weight_of};

fn check(labels: &[f64], probabilities: &[f64], n_classes: usize, weight: Option<&[f64]>) {
    assert_eq!(
        labels.len() * n_classes,
        probabilities.len(),
        "probabilities must have one value a row and class"
    );
    if let Some(weight) = weight {
        assert_eq!(labels.len(), weight.len(), "labels and weight must have one value a row");
    }
    let fits = |label: f64| label >= 0.0 && label < n_classes as f64;
    assert!(labels.iter().all(|&label| fits(label)), "labels must be class indices");
}

/// Weighted mean of `f(probabilities of the row, its class)`.
fn mean_over_rows(
    labels: &[f64],
    probabilities: &[f64],
    n_classes: usize,
    weight: Option<&[f64]>,
    f: impl Fn(&[f64], usize) -> f64,
) -> Option<f64> {
    check(labels, probabilities, n_classes, weight);
    mean_over(labels.len(), weight, |row| {
        f(&probabilities[row * n_classes..][..n_classes], labels[row] as usize)
    })
}

/// Mean negative log of the probability given to the true class, in nats, not below 0.
///
/// That probability is taken as [`LOG_LOSS_FLOOR`] at least; rows are taken to sum to 1.
#[must_use]
pub fn multiclass_log_loss(
    labels: &[f64],
    probabilities: &[f64],
    n_classes: usize,
    weight: Option<&[f64]>,
) -> Option<f64> {
    let loss = |row: &[f64], truth: usize| -row[truth].clamp(LOG_LOSS_FLOOR, 1.0).ln();
    mean_over_rows(labels, probabilities, n_classes, weight, loss)
}

/// Share of rows whose most probable class is the true one, in `[0, 1]`; of classes tied for most
/// probable the first counts.
#[must_use]
pub fn multiclass_accuracy(
    labels: &[f64],
    probabilities: &[f64],
    n_classes: usize,
    weight: Option<&[f64]>,
) -> Option<f64> {
    let hit = |row: &[f64], truth: usize| {
        if row.iter().any(|p| p.is_nan()) {
            return f64::NAN;
        }
        let mut best = 0;
        for class in 1..n_classes {
            if row[class] > row[best] {
                best = class;
            }
        }
        f64::from(best == truth)
    };
    mean_over_rows(labels, probabilities, n_classes, weight, hit)
}

/// Sum over classes of the squared distance between probability and indicator, in `[0, 2]`
/// (Brier 1950). For two classes it is twice [`brier`](super::brier).
#[must_use]
pub fn multiclass_brier(
    labels: &[f64],
    probabilities: &[f64],
    n_classes: usize,
    weight: Option<&[f64]>,
) -> Option<f64> {
    let distance = |row: &[f64], truth: usize| {
        let of_class = |(class, p): (usize, &f64)| (p - f64::from(class == truth)).powi(2);
        row.iter().enumerate().map(of_class).sum()
    };
    mean_over_rows(labels, probabilities, n_classes, weight, distance)
}

/// Mean over classes of the AUC of one class against the rest, each class counting the same, in
/// `[0, 1]`.
///
/// Classes without a row, or without a row of another class, are left out; `None` if none is left,
/// or if a row of positive weight has a probability that is NaN.
#[must_use]
pub fn macro_auc(
    labels: &[f64],
    probabilities: &[f64],
    n_classes: usize,
    weight: Option<&[f64]>,
) -> Option<f64> {
    check(labels, probabilities, n_classes, weight);
    let is_nan =
        |(row, p): (usize, &[f64])| weight_of(weight, row) > 0.0 && p.iter().any(|p| p.is_nan());
    if n_classes == 0 || probabilities.chunks(n_classes).enumerate().any(is_nan) {
        return None;
    }
    let of_class = |class: usize| {
        let is: Vec<f64> = labels.iter().map(|&l| f64::from(l as usize == class)).collect();
        let scores: Vec<f64> =
            probabilities.iter().skip(class).step_by(n_classes).copied().collect();
        auc(&is, &scores, weight)
    };
    let aucs: Vec<f64> = (0..n_classes).filter_map(of_class).collect();
    (!aucs.is_empty()).then(|| aucs.iter().sum::<f64>() / aucs.len() as f64)
}
