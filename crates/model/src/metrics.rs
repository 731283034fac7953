//! How good a prediction is: ranking, probabilities, numbers.
//!
//! Shared rules. `labels`, `scores` and `weight` have shape `(n_rows,)`; `weight` of `None` means 1
//! for every row, and rows of weight 0 count for nothing. Labels of binary metrics are 0.0 or 1.0.
//! Rows whose scores compare equal (`==`, so `-0.0` and `0.0` do) are one tie; no metric depends on
//! the order of rows within a tie, nor on the order of rows at all beyond rounding. `None` is
//! returned where a metric has no value: no row of positive weight, one class only, a score or
//! label that is NaN.
//!
//! # Panics
//! Every function panics if its slices differ in length: that is a mistake of the caller, not a
//! property of the data.

mod classes;
mod numbers;
mod probability;
mod ranking;
#[cfg(test)]
mod tests;

pub use classes::{macro_auc, multiclass_accuracy, multiclass_brier, multiclass_log_loss};
pub use numbers::{mae, normalized_gini, r2, rmse, spearman, weighted_mean};
pub use probability::{
    CalibrationBin, accuracy, brier, calibration_bins, calibration_error, log_loss, prior_log_loss,
};
pub use ranking::{
    AtDepth, CurvePoint, at_depth, auc, average_precision, curve, lift_at_depth,
    precision_at_depth, recall_at_depth,
};

/// The least probability whose logarithm is taken.
pub const LOG_LOSS_FLOOR: f64 = 1e-15;

/// Weight of row `row`.
fn weight_of(weight: Option<&[f64]>, row: usize) -> f64 {
    weight.map_or(1.0, |weight| weight[row])
}

/// Panics on slices that cannot belong together.
fn same_length(labels: &[f64], scores: &[f64], weight: Option<&[f64]>) {
    assert_eq!(labels.len(), scores.len(), "labels and scores must have one value a row");
    if let Some(weight) = weight {
        assert_eq!(labels.len(), weight.len(), "labels and weight must have one value a row");
    }
}

/// Weighted mean of `f(row)`, `None` without weight or with a value that is NaN.
fn mean_over(n_rows: usize, weight: Option<&[f64]>, f: impl Fn(usize) -> f64) -> Option<f64> {
    let (mut sum, mut total) = (0.0, 0.0);
    for row in 0..n_rows {
        let w = weight_of(weight, row);
        if w > 0.0 {
            sum += w * f(row);
            total += w;
        }
    }
    (total > 0.0 && !sum.is_nan()).then(|| sum / total)
}
