//! What only one kind of target has: curves of a yes-or-no, classes and their mix-ups, deciles of a
//! value.

use segue_dataset::TargetKind;
use segue_model::metrics;
use serde::{Deserialize, Serialize};

use super::EvaluationInputs;
use super::bootstrap::{Estimate, Resampler};
use super::curves::{
    self, AudienceRow, CalibrationLine, Curve, GainPoint, HistogramBin, ReliabilityBin,
    rows_per_weight,
};
use super::metric::{CALIBRATION_BINS, Predicted};

/// Deciles of the prediction.
const N_DECILES: usize = 10;

/// Curves and tables by kind of target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Detail {
    /// Yes or no.
    Binary {
        /// `None` with one class only.
        curve: Option<Curve>,
        /// Empty without positives.
        gain: Vec<GainPoint>,
        /// By rising prediction.
        reliability: Vec<ReliabilityBin>,
        /// `None` where it has no solution.
        line: Option<CalibrationLine>,
        /// By rising share.
        audience: Vec<AudienceRow>,
        /// Empty where all scores are equal.
        histogram: Vec<HistogramBin>,
    },
    /// One of several classes.
    Multiclass {
        /// In index order.
        classes: Vec<ClassDetail>,
        /// Weight of rows, `confusion[actual][most probable]`.
        confusion: Vec<Vec<f64>>,
    },
    /// A number.
    Regression {
        /// Predicted against actual mean by decile of the prediction, rising.
        deciles: Vec<ReliabilityBin>,
        /// Empty where values are negative or all 0.
        gain: Vec<GainPoint>,
    },
}

/// One class against the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassDetail {
    /// Class name.
    pub name: String,
    /// Rows of the class.
    pub n_rows: usize,
    /// Weighted share of the class, `None` without weight.
    pub share: Option<f64>,
    /// AUC of the class against the rest.
    pub auc: Estimate,
    /// Calibration error of the class's probability.
    pub calibration_error: Option<f64>,
    /// Share of the rows called this class that are; `None` if none is called so.
    pub precision: Option<f64>,
    /// Share of the class's rows that are called so; `None` without rows.
    pub recall: Option<f64>,
    /// Reliability of the class's probability, by rising prediction.
    pub reliability: Vec<ReliabilityBin>,
}

pub(super) fn detail(
    inputs: &EvaluationInputs<'_>,
    ours: &Predicted<'_>,
    resampler: &Resampler,
) -> Detail {
    match ours.kind {
        TargetKind::Binary => Detail::Binary {
            curve: curves::curve(ours),
            gain: curves::gain(ours),
            reliability: curves::reliability(&ours.labels, &ours.outputs, &ours.weights),
            line: curves::calibration_line(ours),
            audience: curves::audience(inputs.test, ours),
            histogram: curves::histogram(ours),
        },
        TargetKind::Multiclass { classes } => multiclass(ours, classes, resampler),
        TargetKind::Regression => {
            Detail::Regression { deciles: deciles(ours), gain: curves::gain(ours) }
        }
    }
}

fn multiclass(ours: &Predicted<'_>, classes: &[String], resampler: &Resampler) -> Detail {
    let n_classes = classes.len();
    let mut confusion = vec![vec![0.0; n_classes]; n_classes];
    for ((outputs, &label), &weight) in
        ours.outputs.chunks(n_classes).zip(&ours.labels).zip(&ours.weights)
    {
        let best =
            (1..n_classes).fold(0, |best, c| if outputs[c] > outputs[best] { c } else { best });
        confusion[label as usize][best] += weight;
    }
    let total: f64 = ours.weights.iter().sum();
    let ratio = |part: f64, all: f64| (all > 0.0).then(|| part / all);
    let aucs = class_aucs(ours, n_classes, resampler);
    let class = |(class, auc): (usize, Estimate)| {
        let (labels, scores) = ours.one_vs_rest(class);
        let actual: f64 = confusion[class].iter().sum();
        let called: f64 = confusion.iter().map(|row| row[class]).sum();
        ClassDetail {
            name: classes[class].clone(),
            n_rows: labels.iter().filter(|&&label| label > 0.5).count(),
            share: ratio(actual, total),
            auc,
            calibration_error: metrics::calibration_error(
                &labels,
                &scores,
                Some(&ours.weights),
                CALIBRATION_BINS,
            ),
            precision: ratio(confusion[class][class], called),
            recall: ratio(confusion[class][class], actual),
            reliability: curves::reliability(&labels, &scores, &ours.weights),
        }
    };
    let classes = aucs.into_iter().enumerate().map(class).collect();
    Detail::Multiclass { classes, confusion }
}

fn class_aucs(ours: &Predicted<'_>, n_classes: usize, resampler: &Resampler) -> Vec<Estimate> {
    let each: Vec<_> = (0..n_classes).map(|class| ours.one_vs_rest(class)).collect();
    let measure = |weights: &[f64]| -> Vec<Option<f64>> {
        each.iter().map(|(labels, scores)| metrics::auc(labels, scores, Some(weights))).collect()
    };
    let draws = resampler.run(|times| {
        let drawn = ours.rows.iter().zip(&ours.weights);
        let weights: Vec<f64> =
            drawn.map(|(&row, weight)| weight * f64::from(times[row as usize])).collect();
        measure(&weights)
    });
    let values = measure(&ours.weights).into_iter().enumerate();
    values
        .map(|(class, value)| {
            resampler.estimate(value, draws.iter().map(|draw| draw[class]), (0.0, 1.0))
        })
        .collect()
}

/// Equal-weight bins of the prediction; ties may be cut, since means stay right on both sides.
fn deciles(ours: &Predicted<'_>) -> Vec<ReliabilityBin> {
    let total: f64 = ours.weights.iter().sum();
    let per_weight = rows_per_weight(&ours.weights);
    let mut sums = [[0.0_f64; 4]; N_DECILES];
    let mut before = 0.0;
    for at in (0..ours.labels.len()).rev() {
        let (weight, label) = (ours.weights[at], ours.labels[at]);
        let position = (before + weight / 2.0) / total * N_DECILES as f64;
        let bin = &mut sums[(position as usize).min(N_DECILES - 1)];
        bin[0] += weight;
        bin[1] += weight * ours.outputs[at];
        bin[2] += weight * label;
        bin[3] += weight * label * label;
        before += weight;
    }
    let bins = sums.iter().filter(|[weight, ..]| *weight > 0.0).map(|[weight, p, y, yy]| {
        let observed = y / weight;
        let variance = (yy / weight - observed * observed).max(0.0);
        let half = 1.96 * (variance / (weight * per_weight)).sqrt();
        let interval = (observed - half, observed + half);
        ReliabilityBin { predicted: p / weight, observed, interval, weight: *weight }
    });
    bins.collect()
}
