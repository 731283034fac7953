//! Metrics of probabilities: is 0.3 really three in ten?

use super::ranking::ties;
use super::{LOG_LOSS_FLOOR, mean_over, same_length, weighted_mean};

/// Mean negative log likelihood in nats, not below 0; smaller is better.
///
/// The probability of the true class is taken as [`LOG_LOSS_FLOOR`] at least. Defined for one class
/// too.
#[must_use]
pub fn log_loss(labels: &[f64], probabilities: &[f64], weight: Option<&[f64]>) -> Option<f64> {
    same_length(labels, probabilities, weight);
    mean_over(labels.len(), weight, |row| {
        let p = probabilities[row];
        if labels[row].is_nan() {
            return f64::NAN;
        }
        let of_truth = if labels[row] > 0.5 { p } else { 1.0 - p };
        -of_truth.clamp(LOG_LOSS_FLOOR, 1.0).ln()
    })
}

/// Log loss of always answering the base rate: the entropy of the labels. 0 for one class only.
#[must_use]
pub fn prior_log_loss(labels: &[f64], weight: Option<&[f64]>) -> Option<f64> {
    let rate = weighted_mean(labels, weight)?;
    let term = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
    Some(term(rate) + term(1.0 - rate))
}

/// Mean squared distance of the probability from the label, in `[0, 1]`; smaller is better
/// (Brier 1950, the one-sided form).
#[must_use]
pub fn brier(labels: &[f64], probabilities: &[f64], weight: Option<&[f64]>) -> Option<f64> {
    same_length(labels, probabilities, weight);
    mean_over(labels.len(), weight, |row| (probabilities[row] - labels[row]).powi(2))
}

/// Share of rows on the right side of `threshold` (a row is called positive when its probability is
/// at least `threshold`), in `[0, 1]`.
#[must_use]
pub fn accuracy(
    labels: &[f64],
    probabilities: &[f64],
    weight: Option<&[f64]>,
    threshold: f64,
) -> Option<f64> {
    same_length(labels, probabilities, weight);
    mean_over(labels.len(), weight, |row| {
        let p = probabilities[row];
        if p.is_nan() || labels[row].is_nan() {
            return f64::NAN;
        }
        f64::from((p >= threshold) == (labels[row] > 0.5))
    })
}

/// One bin of the calibration plot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrationBin {
    /// Lowest probability in the bin.
    pub lowest: f64,
    /// Highest probability in the bin.
    pub highest: f64,
    /// Weighted mean of the probabilities.
    pub mean_probability: f64,
    /// Weighted share of positives.
    pub positive_rate: f64,
    /// Sum of weights.
    pub weight: f64,
}

/// Bins of (nearly) equal weight by ascending probability, at most `n_bins` of them.
///
/// A bin closes once the weight so far reaches the next multiple of `total / n_bins`. Ties stay
/// together, so a very common probability may fill more than its share and there may be fewer bins.
#[must_use]
pub fn calibration_bins(
    labels: &[f64],
    probabilities: &[f64],
    weight: Option<&[f64]>,
    n_bins: usize,
) -> Option<Vec<CalibrationBin>> {
    let ties = ties(labels, probabilities, weight)?;
    let total: f64 = ties.iter().map(|tie| tie.positive + tie.negative).sum();
    if total <= 0.0 || n_bins == 0 {
        return None;
    }
    let mut bins = Vec::with_capacity(n_bins.min(ties.len()));
    let (mut before, mut mass, mut scored, mut positive) = (0.0, 0.0, 0.0, 0.0);
    let mut lowest = f64::NAN;
    for (left, tie) in (0..ties.len()).rev().zip(ties.iter().rev()) {
        if mass == 0.0 {
            lowest = tie.score;
        }
        mass += tie.positive + tie.negative;
        scored += (tie.positive + tie.negative) * tie.score;
        positive += tie.positive;
        // A hair of slack: three thirds must close three bins whatever the rounding.
        let due = (bins.len() + 1) as f64 * total / n_bins as f64;
        let closes = bins.len() + 1 < n_bins && before + mass >= due * (1.0 - 1e-12);
        if left == 0 || closes {
            bins.push(CalibrationBin {
                lowest,
                highest: tie.score,
                mean_probability: scored / mass,
                positive_rate: positive / mass,
                weight: mass,
            });
            before += mass;
            (mass, scored, positive) = (0.0, 0.0, 0.0);
        }
    }
    Some(bins)
}

/// Expected calibration error over bins of equal weight, in `[0, 1]`; smaller is better.
///
/// `sum_b weight_b / total * |mean probability_b - positive rate_b|` over [`calibration_bins`]; 10
/// or 15 bins are usual. It grows with the number of bins on small samples by noise alone.
#[must_use]
pub fn calibration_error(
    labels: &[f64],
    probabilities: &[f64],
    weight: Option<&[f64]>,
    n_bins: usize,
) -> Option<f64> {
    let bins = calibration_bins(labels, probabilities, weight, n_bins)?;
    let total: f64 = bins.iter().map(|bin| bin.weight).sum();
    let gap = |bin: &CalibrationBin| bin.weight * (bin.mean_probability - bin.positive_rate).abs();
    Some(bins.iter().map(gap).sum::<f64>() / total)
}
