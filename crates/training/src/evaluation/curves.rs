//! Points behind the pictures: ROC, precision-recall, gain, reliability, audience, score histogram.

use std::collections::BTreeSet;

use segue_dataset::Dataset;
use segue_model::metrics;
use serde::{Deserialize, Serialize};

use super::metric::{CALIBRATION_BINS, Predicted, gain_points};

/// Points of a drawn curve at most; a picture cannot show more.
const MAX_POINTS: usize = 240;
/// Bins of the score histogram.
const HISTOGRAM_BINS: usize = 40;
/// Shares of the ranking in the audience table.
const AUDIENCE_SHARES: [f64; 15] =
    [0.01, 0.02, 0.05, 0.10, 0.15, 0.20, 0.25, 0.30, 0.40, 0.50, 0.60, 0.70, 0.80, 0.90, 1.0];

/// ROC and precision-recall, thinned to what can be drawn; ends are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// (false positive rate, true positive rate), from (0, 0) to (1, 1).
    pub roc: Vec<(f64, f64)>,
    /// (recall, precision), by rising recall.
    pub precision_recall: Vec<(f64, f64)>,
}

/// What the top of the ranking holds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GainPoint {
    /// Share of all rows targeted, 0 to 1.
    pub share: f64,
    /// Share of all positives (of all value) among them, 0 to 1.
    pub gain: f64,
}

/// One bin of the reliability plot.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Mean prediction in the bin.
    pub predicted: f64,
    /// Outcome rate (mean value) in the bin.
    pub observed: f64,
    /// 95 % interval of `observed`: Wilson for rates, normal for values.
    pub interval: (f64, f64),
    /// Sum of weights in the bin.
    pub weight: f64,
}

/// Logistic recalibration `logit(p') = intercept + slope * logit(p)` (Cox 1958).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibrationLine {
    /// 1 is right; below 1 predictions are too extreme, above 1 too timid.
    pub slope: f64,
    /// 0 is right; above 0 predictions are too low, below 0 too high.
    pub intercept: f64,
}

/// Targeting everyone at or above a score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AudienceRow {
    /// Share of rows asked for; ties at the border are all taken.
    pub share: f64,
    /// Lowest score taken.
    pub threshold: f64,
    /// Rows taken.
    pub n_rows: usize,
    /// Distinct users taken; rows where users are not known.
    pub n_users: usize,
    /// Weight of positives taken; a count without weights.
    pub true_positives: f64,
    /// Weight of negatives taken.
    pub false_positives: f64,
    /// True positives over all taken.
    pub precision: f64,
    /// 95 % Wilson interval of `precision`.
    pub precision_interval: (f64, f64),
    /// True positives over all positives; `None` without positives.
    pub recall: Option<f64>,
}

/// One bin of the score histogram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HistogramBin {
    /// Lower edge.
    pub from: f64,
    /// Upper edge; the last bin includes it.
    pub to: f64,
    /// Share of the positives that fall here, 0 to 1.
    pub positives: f64,
    /// Share of the negatives that fall here, 0 to 1.
    pub negatives: f64,
}

/// 95 % score interval of a rate observed over `n` (Wilson 1927); `n` may be an effective size.
#[must_use]
pub fn wilson_interval(rate: f64, n: f64) -> (f64, f64) {
    if n.is_nan() || n <= 0.0 {
        return (0.0, 1.0);
    }
    let z = 1.959_963_984_540_054_f64;
    let centre = rate + z * z / (2.0 * n);
    let spread = z * (rate * (1.0 - rate) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    // The exact interval holds the rate; at 0 and 1 rounding would step over it.
    (((centre - spread) / scale).clamp(0.0, rate), ((centre + spread) / scale).clamp(rate, 1.0))
}

/// Rows that weights amount to, per unit of weight (Kish 1965): 1 for equal weights of 1.
pub(super) fn rows_per_weight(weights: &[f64]) -> f64 {
    let (sum, squares) = weights.iter().fold((0.0, 0.0), |(s, q), w| (s + w, q + w * w));
    if squares > 0.0 { sum / squares } else { 0.0 }
}

pub(super) fn curve(predicted: &Predicted<'_>) -> Option<Curve> {
    let (labels, weights) = (&predicted.labels, Some(&*predicted.weights));
    let points = metrics::curve(labels, &predicted.outputs, weights)?;
    let roc = std::iter::once((0.0, 0.0)).chain(points.iter().map(|p| (p.fall_out, p.recall)));
    let precision_recall = points.iter().map(|point| (point.recall, point.precision));
    Some(Curve { roc: thin(roc.collect()), precision_recall: thin(precision_recall.collect()) })
}

/// Gain of targeting from the top; works for 0/1 labels and for values alike.
pub(super) fn gain(predicted: &Predicted<'_>) -> Vec<GainPoint> {
    let points = gain_points(&predicted.labels, &predicted.outputs, &predicted.weights);
    thin(points).into_iter().map(|(share, gain)| GainPoint { share, gain }).collect()
}

/// Keeps the ends and the points nearest to even steps along the curve.
fn thin(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if points.len() <= MAX_POINTS {
        return points;
    }
    let step = |pair: &[(f64, f64)]| (pair[1].0 - pair[0].0).abs() + (pair[1].1 - pair[0].1).abs();
    let length: f64 = points.windows(2).map(step).sum();
    let apart = length / (MAX_POINTS - 2) as f64;
    let mut kept = vec![points[0]];
    let mut walked = 0.0;
    for pair in points.windows(2) {
        walked += step(pair);
        if walked >= apart {
            kept.push(pair[1]);
            walked = 0.0;
        }
    }
    if kept.last() != points.last() {
        kept.extend(points.last());
    }
    kept
}

pub(super) fn reliability(labels: &[f64], scores: &[f64], weights: &[f64]) -> Vec<ReliabilityBin> {
    let per_weight = rows_per_weight(weights);
    let bins = metrics::calibration_bins(labels, scores, Some(weights), CALIBRATION_BINS);
    let bin = |bin: metrics::CalibrationBin| ReliabilityBin {
        predicted: bin.mean_probability,
        observed: bin.positive_rate,
        interval: wilson_interval(bin.positive_rate, bin.weight * per_weight),
        weight: bin.weight,
    };
    bins.unwrap_or_default().into_iter().map(bin).collect()
}

/// Newton steps on the two-parameter logistic regression; `None` where it has no finite solution.
pub(super) fn calibration_line(predicted: &Predicted<'_>) -> Option<CalibrationLine> {
    let logit = |p: &f64| {
        let p = p.clamp(1e-9, 1.0 - 1e-9);
        (p / (1.0 - p)).ln()
    };
    let logits: Vec<f64> = predicted.outputs.iter().map(logit).collect();
    let (mut intercept, mut slope) = (0.0_f64, 1.0_f64);
    for _ in 0..50 {
        let (mut g0, mut g1, mut h00, mut h01, mut h11) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for ((&x, &label), &weight) in logits.iter().zip(&predicted.labels).zip(&predicted.weights)
        {
            let p = segue_model::sigmoid(intercept + slope * x);
            let (error, curvature) = (weight * (label - p), weight * p * (1.0 - p));
            g0 += error;
            g1 += error * x;
            h00 += curvature;
            h01 += curvature * x;
            h11 += curvature * x * x;
        }
        let determinant = h00 * h11 - h01 * h01;
        if determinant.is_nan() || determinant <= 1e-12 * h00 * h11 {
            return None;
        }
        let step_0 = (h11 * g0 - h01 * g1) / determinant;
        let step_1 = (h00 * g1 - h01 * g0) / determinant;
        intercept += step_0;
        slope += step_1;
        if !(intercept.abs() < 50.0 && slope.abs() < 50.0) {
            return None;
        }
        if step_0.abs() + step_1.abs() < 1e-10 {
            return Some(CalibrationLine { slope, intercept });
        }
    }
    None
}

pub(super) fn audience(test: &Dataset, predicted: &Predicted<'_>) -> Vec<AudienceRow> {
    let (scores, weights) = (&predicted.outputs, &predicted.weights);
    let n_rows = scores.len();
    let per_weight = rows_per_weight(weights);
    let all: f64 = predicted.labels.iter().zip(weights).map(|(label, weight)| label * weight).sum();
    let users = &test.keys().user;
    let mut table = Vec::new();
    let mut seen = BTreeSet::new();
    let (mut taken, mut hits, mut misses) = (0, 0.0, 0.0);
    for share in AUDIENCE_SHARES {
        let asked = ((n_rows as f64 * share).ceil() as usize).min(n_rows);
        let Some(&threshold) = asked.checked_sub(1).and_then(|last| scores.get(last)) else {
            continue;
        };
        while taken < n_rows && scores[taken] >= threshold {
            hits += predicted.labels[taken] * weights[taken];
            misses += (1.0 - predicted.labels[taken]) * weights[taken];
            if let Some(user) = users.get(predicted.rows[taken] as usize) {
                seen.insert(&**user);
            }
            taken += 1;
        }
        if hits + misses <= 0.0 {
            continue;
        }
        let precision = hits / (hits + misses);
        table.push(AudienceRow {
            share,
            threshold,
            n_rows: taken,
            n_users: if users.is_empty() { taken } else { seen.len() },
            true_positives: hits,
            false_positives: misses,
            precision,
            precision_interval: wilson_interval(precision, (hits + misses) * per_weight),
            recall: (all > 0.0).then(|| hits / all),
        });
    }
    table
}

pub(super) fn histogram(predicted: &Predicted<'_>) -> Vec<HistogramBin> {
    let scores = &predicted.outputs;
    let (Some(&highest), Some(&lowest)) = (scores.first(), scores.last()) else {
        return Vec::new();
    };
    let width = (highest - lowest) / HISTOGRAM_BINS as f64;
    if width <= 0.0 {
        return Vec::new();
    }
    let mut bins = vec![(0.0, 0.0); HISTOGRAM_BINS];
    for ((&score, &label), &weight) in scores.iter().zip(&predicted.labels).zip(&predicted.weights)
    {
        let bin = &mut bins[(((score - lowest) / width) as usize).min(HISTOGRAM_BINS - 1)];
        bin.0 += weight * label;
        bin.1 += weight * (1.0 - label);
    }
    let (positives, negatives) = bins.iter().fold((0.0, 0.0), |all, b| (all.0 + b.0, all.1 + b.1));
    let share = |part: f64, all: f64| if all > 0.0 { part / all } else { 0.0 };
    let bin = |(index, (positive, negative)): (usize, (f64, f64))| HistogramBin {
        from: lowest + width * index as f64,
        to: if index + 1 == HISTOGRAM_BINS { highest } else { lowest + width * (index + 1) as f64 },
        positives: share(positive, positives),
        negatives: share(negative, negatives),
    };
    bins.into_iter().enumerate().map(bin).collect()
}
