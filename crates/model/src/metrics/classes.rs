//! Metrics of more than two classes.
//!
//! `labels` holds class indices, shape `(n_rows,)`; `probabilities` is row-major, shape
//! `(n_rows, n_classes)`.

use super::{LOG_LOSS_FLOOR, auc, mean_over};

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
    check(labels, probabilities, n_classes, weight);
    mean_over(labels.len(), weight, |row| {
        let p = probabilities[row * n_classes + labels[row] as usize];
        -p.clamp(LOG_LOSS_FLOOR, 1.0).ln()
    })
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
    check(labels, probabilities, n_classes, weight);
    if probabilities.iter().any(|p| p.is_nan()) {
        return None;
    }
    mean_over(labels.len(), weight, |row| {
        let row_probabilities = &probabilities[row * n_classes..][..n_classes];
        let mut best = 0;
        for class in 1..n_classes {
            if row_probabilities[class] > row_probabilities[best] {
                best = class;
            }
        }
        f64::from(best == labels[row] as usize)
    })
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
    check(labels, probabilities, n_classes, weight);
    mean_over(labels.len(), weight, |row| {
        let indicator = |class: usize| f64::from(class == labels[row] as usize);
        let distance = |class: usize| probabilities[row * n_classes + class] - indicator(class);
        (0..n_classes).map(|class| distance(class).powi(2)).sum()
    })
}

/// Mean over classes of the AUC of one class against the rest, each class counting the same, in
/// `[0, 1]`.
///
/// Classes without a row, or without a row of another class, are left out; `None` if none is left.
#[must_use]
pub fn macro_auc(
    labels: &[f64],
    probabilities: &[f64],
    n_classes: usize,
    weight: Option<&[f64]>,
) -> Option<f64> {
    check(labels, probabilities, n_classes, weight);
    let of_class = |class: usize| {
        let is: Vec<f64> = labels.iter().map(|&l| f64::from(l as usize == class)).collect();
        let scores: Vec<f64> =
            probabilities.iter().skip(class).step_by(n_classes).copied().collect();
        auc(&is, &scores, weight)
    };
    let aucs: Vec<f64> = (0..n_classes).filter_map(of_class).collect();
    (!aucs.is_empty()).then(|| aucs.iter().sum::<f64>() / aucs.len() as f64)
}
