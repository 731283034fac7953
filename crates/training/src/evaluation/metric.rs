//! The metrics by name, and their values with intervals.

use std::collections::BTreeMap;

use segue_dataset::{Dataset, Matrix, TargetKind};
use segue_model::metrics;
use serde::{Deserialize, Serialize};

use super::bootstrap::{Estimate, Resampler};

/// Shares of the ranking at which lift and precision are given.
pub const DEPTHS: [f64; 4] = [0.01, 0.05, 0.10, 0.20];

/// Bins of the calibration error and of the reliability plot.
pub(super) const CALIBRATION_BINS: usize = 15;

/// Metric values with their intervals, in a fixed order.
pub type Scorecard = BTreeMap<Metric, Estimate>;

/// What can be measured. The order is the order in which a report lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "every variant is described by `meaning`")]
pub enum Metric {
    Auc,
    AveragePrecision,
    LogLoss,
    Brier,
    CalibrationError,
    Accuracy,
    LiftAt1,
    LiftAt5,
    LiftAt10,
    LiftAt20,
    PrecisionAt1,
    PrecisionAt5,
    PrecisionAt10,
    PrecisionAt20,
    Rmse,
    Mae,
    RSquared,
    Spearman,
    Gini,
    TopDecileShare,
}

use Metric::{
    Accuracy, Auc, AveragePrecision, Brier, CalibrationError, Gini, LiftAt1, LiftAt5, LiftAt10,
    LiftAt20, LogLoss, Mae, PrecisionAt1, PrecisionAt5, PrecisionAt10, PrecisionAt20, RSquared,
    Rmse, Spearman, TopDecileShare,
};

const BINARY: [Metric; 13] = [
    Auc,
    AveragePrecision,
    LogLoss,
    Brier,
    CalibrationError,
    LiftAt1,
    LiftAt5,
    LiftAt10,
    LiftAt20,
    PrecisionAt1,
    PrecisionAt5,
    PrecisionAt10,
    PrecisionAt20,
];
const MULTICLASS: [Metric; 4] = [Auc, LogLoss, CalibrationError, Accuracy];
const REGRESSION: [Metric; 6] = [Rmse, Mae, RSquared, Spearman, Gini, TopDecileShare];

impl Metric {
    /// The metrics that a kind of target has.
    #[must_use]
    pub fn of_target(kind: &TargetKind) -> Vec<Self> {
        match kind {
            TargetKind::Binary => BINARY.to_vec(),
            TargetKind::Multiclass { .. } => MULTICLASS.to_vec(),
            TargetKind::Regression => REGRESSION.to_vec(),
        }
    }

    /// The metric by which models of one target are compared first.
    #[must_use]
    pub fn headline(kind: &TargetKind) -> Self {
        match kind {
            TargetKind::Binary => Auc,
            TargetKind::Multiclass { .. } => LogLoss,
            TargetKind::Regression => Rmse,
        }
    }

    /// Name in files.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Auc => "auc",
            AveragePrecision => "average_precision",
            LogLoss => "log_loss",
            Brier => "brier",
            CalibrationError => "calibration_error",
            Accuracy => "accuracy",
            LiftAt1 => "lift_at_1",
            LiftAt5 => "lift_at_5",
            LiftAt10 => "lift_at_10",
            LiftAt20 => "lift_at_20",
            PrecisionAt1 => "precision_at_1",
            PrecisionAt5 => "precision_at_5",
            PrecisionAt10 => "precision_at_10",
            PrecisionAt20 => "precision_at_20",
            Rmse => "rmse",
            Mae => "mae",
            RSquared => "r_squared",
            Spearman => "spearman",
            Gini => "gini",
            TopDecileShare => "top_decile_share",
        }
    }

    /// Name for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Auc => "AUC",
            AveragePrecision => "Average precision",
            LogLoss => "Log loss",
            Brier => "Brier score",
            CalibrationError => "Calibration error",
            Accuracy => "Accuracy",
            LiftAt1 => "Lift, top 1 %",
            LiftAt5 => "Lift, top 5 %",
            LiftAt10 => "Lift, top 10 %",
            LiftAt20 => "Lift, top 20 %",
            PrecisionAt1 => "Precision, top 1 %",
            PrecisionAt5 => "Precision, top 5 %",
            PrecisionAt10 => "Precision, top 10 %",
            PrecisionAt20 => "Precision, top 20 %",
            Rmse => "RMSE",
            Mae => "MAE",
            RSquared => "R²",
            Spearman => "Spearman",
            Gini => "Normalised Gini",
            TopDecileShare => "Value in top 10 %",
        }
    }

    /// One sentence on how to read it.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Auc => {
                "How often a random positive is ranked above a random negative; 0.5 is chance. For several classes: the mean over classes, each against the rest."
            }
            AveragePrecision => "Precision averaged over recall; chance is the base rate.",
            LogLoss => "Mean surprise at the outcome, in nats; lower is better.",
            Brier => "Mean squared distance of probability and outcome; lower is better.",
            CalibrationError => {
                "Mean gap between predicted and observed rate over bins of equal size; lower is better."
            }
            Accuracy => "Share of rows whose most probable class is the right one.",
            LiftAt1 | LiftAt5 | LiftAt10 | LiftAt20 => {
                "Outcome rate in the top of the ranking, as a multiple of the base rate."
            }
            PrecisionAt1 | PrecisionAt5 | PrecisionAt10 | PrecisionAt20 => {
                "Share of positives in the top of the ranking."
            }
            Rmse => "Root of the mean squared error, in units of the value; lower is better.",
            Mae => "Mean absolute error, in units of the value; lower is better.",
            RSquared => "Share of the variance explained; 0 is no better than the mean.",
            Spearman => "Rank correlation of predicted and actual values.",
            Gini => "Value gained along the ranking, as a share of what a perfect ranking gains.",
            TopDecileShare => "Share of all value that the top tenth of the ranking holds.",
        }
    }

    /// Whether more is better.
    #[must_use]
    pub fn higher_is_better(self) -> bool {
        !matches!(self, LogLoss | Brier | CalibrationError | Rmse | Mae)
    }

    /// Whether only the order of predictions matters, so that any score has it.
    #[must_use]
    pub fn is_ranking(self) -> bool {
        !matches!(self, LogLoss | Brier | CalibrationError | Accuracy | Rmse | Mae | RSquared)
    }

    /// The values it can take.
    pub(super) fn bounds(self) -> (f64, f64) {
        match self {
            LogLoss | Rmse | Mae | LiftAt1 | LiftAt5 | LiftAt10 | LiftAt20 => (0.0, f64::INFINITY),
            RSquared | Gini => (f64::NEG_INFINITY, 1.0),
            Spearman => (-1.0, 1.0),
            _ => (0.0, 1.0),
        }
    }

    fn depth(self) -> f64 {
        match self {
            LiftAt1 | PrecisionAt1 => DEPTHS[0],
            LiftAt5 | PrecisionAt5 => DEPTHS[1],
            LiftAt20 | PrecisionAt20 => DEPTHS[3],
            _ => DEPTHS[2],
        }
    }
}

/// Labels, weights and outputs of some rows, by descending first output.
///
/// Sorted once here, so that the sorts inside the metrics meet sorted input in every resample.
pub(super) struct Predicted<'a> {
    pub(super) kind: &'a TargetKind,
    /// Row of the test part behind each position.
    pub(super) rows: Vec<u32>,
    pub(super) labels: Vec<f64>,
    pub(super) weights: Vec<f64>,
    /// Row by row, shape `(rows.len(), n_outputs)`.
    pub(super) outputs: Vec<f64>,
}

impl<'a> Predicted<'a> {
    pub(super) fn new(test: &'a Dataset, outputs: &Matrix) -> Self {
        Self::on_rows(test, outputs, (0u32..).take(test.n_rows()).collect())
    }

    pub(super) fn on_rows(test: &'a Dataset, outputs: &Matrix, mut rows: Vec<u32>) -> Self {
        if let Some(first) = outputs.columns().first() {
            rows.sort_by(|&a, &b| first[b as usize].total_cmp(&first[a as usize]).then(a.cmp(&b)));
        }
        let pick = |values: &[f64]| rows.iter().map(|&row| values[row as usize]).collect();
        let of_row = |&row: &u32| outputs.columns().iter().map(move |column| column[row as usize]);
        Self {
            kind: &test.target().kind,
            labels: pick(&test.target().values),
            weights: test.weight().map_or_else(|| vec![1.0; rows.len()], pick),
            outputs: rows.iter().flat_map(of_row).collect(),
            rows,
        }
    }

    /// Values on all rows.
    pub(super) fn values(&self, wanted: &[Metric]) -> Vec<(Metric, Option<f64>)> {
        wanted.iter().copied().zip(self.measure(wanted)).collect()
    }

    /// Values when row `r` of the test part counts `times[r]` times.
    pub(super) fn resampled(&self, wanted: &[Metric], times: &[u32]) -> Vec<Option<f64>> {
        self.drawn(times).measure(wanted)
    }

    fn drawn(&self, times: &[u32]) -> Self {
        let n_outputs = self.kind.n_outputs();
        let drawn: Vec<usize> =
            (0..self.rows.len()).filter(|&at| times[self.rows[at] as usize] > 0).collect();
        let count = |at: usize| f64::from(times[self.rows[at] as usize]);
        let outputs = drawn.iter().flat_map(|&at| &self.outputs[at * n_outputs..][..n_outputs]);
        Self {
            kind: self.kind,
            rows: Vec::new(),
            labels: drawn.iter().map(|&at| self.labels[at]).collect(),
            weights: drawn.iter().map(|&at| self.weights[at] * count(at)).collect(),
            outputs: outputs.copied().collect(),
        }
    }

    fn measure(&self, wanted: &[Metric]) -> Vec<Option<f64>> {
        let value = |&metric: &Metric| {
            let value = match self.kind {
                TargetKind::Multiclass { classes } => self.multiclass(metric, classes.len()),
                _ => single(metric, &self.labels, &self.outputs, &self.weights),
            };
            value.filter(|value| value.is_finite())
        };
        wanted.iter().map(value).collect()
    }

    fn multiclass(&self, metric: Metric, n_classes: usize) -> Option<f64> {
        let (labels, outputs, weights) = (&self.labels, &self.outputs, Some(&*self.weights));
        match metric {
            LogLoss => metrics::multiclass_log_loss(labels, outputs, n_classes, weights),
            Accuracy => metrics::multiclass_accuracy(labels, outputs, n_classes, weights),
            Auc => metrics::macro_auc(labels, outputs, n_classes, weights),
            CalibrationError => {
                let errors = (0..n_classes).map(|class| {
                    let (labels, scores) = self.one_vs_rest(class);
                    metrics::calibration_error(&labels, &scores, weights, CALIBRATION_BINS)
                });
                Some(errors.sum::<Option<f64>>()? / n_classes as f64)
            }
            _ => None,
        }
    }

    /// Labels and scores of one class against the rest.
    pub(super) fn one_vs_rest(&self, class: usize) -> (Vec<f64>, Vec<f64>) {
        let is = |&label: &f64| f64::from(u8::from(label == class as f64));
        let scores = self.outputs.iter().skip(class).step_by(self.kind.n_outputs());
        (self.labels.iter().map(is).collect(), scores.copied().collect())
    }

    pub(super) fn scorecard(&self, wanted: &[Metric], resampler: &Resampler) -> Scorecard {
        scorecards(&[self], wanted, resampler).pop().unwrap_or_default()
    }
}

/// A metric of one output a row.
fn single(metric: Metric, labels: &[f64], scores: &[f64], weights: &[f64]) -> Option<f64> {
    let weight = Some(weights);
    match metric {
        Auc => metrics::auc(labels, scores, weight),
        AveragePrecision => metrics::average_precision(labels, scores, weight),
        LogLoss => metrics::log_loss(labels, scores, weight),
        Brier => metrics::brier(labels, scores, weight),
        CalibrationError => metrics::calibration_error(labels, scores, weight, CALIBRATION_BINS),
        LiftAt1 | LiftAt5 | LiftAt10 | LiftAt20 => {
            metrics::lift_at_depth(labels, scores, weight, metric.depth())
        }
        PrecisionAt1 | PrecisionAt5 | PrecisionAt10 | PrecisionAt20 => {
            metrics::precision_at_depth(labels, scores, weight, metric.depth())
        }
        Rmse => metrics::rmse(labels, scores, weight),
        Mae => metrics::mae(labels, scores, weight),
        RSquared => metrics::r2(labels, scores, weight),
        Spearman => metrics::spearman(labels, scores, weight),
        Gini => metrics::normalized_gini(labels, scores, weight),
        TopDecileShare => value_share(labels, scores, weights, 0.1),
        Accuracy => None,
    }
}

/// Scorecards of several predictions from shared draws.
pub(super) fn scorecards(
    all: &[&Predicted<'_>],
    wanted: &[Metric],
    resampler: &Resampler,
) -> Vec<Scorecard> {
    let draws =
        resampler.run(|times| all.iter().map(|p| p.resampled(wanted, times)).collect::<Vec<_>>());
    let card = |(which, predicted): (usize, &&Predicted<'_>)| {
        let values = predicted.values(wanted).into_iter().enumerate();
        let estimates = values.map(|(slot, (metric, value))| {
            let resampled = draws.iter().map(|draw| draw[which][slot]);
            (metric, resampler.estimate(value, resampled, metric.bounds()))
        });
        estimates.collect()
    };
    all.iter().enumerate().map(card).collect()
}

/// Cumulative share of the weight and of the value, highest score first, one point a distinct
/// score, from (0, 0). Empty where a value is negative or all are 0.
pub(super) fn gain_points(values: &[f64], scores: &[f64], weights: &[f64]) -> Vec<(f64, f64)> {
    let total_weight: f64 = weights.iter().sum();
    let total: f64 = values.iter().zip(weights).map(|(value, weight)| value * weight).sum();
    if !(total > 0.0 && total_weight > 0.0) || values.iter().any(|&value| value < 0.0) {
        return Vec::new();
    }
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let mut points = vec![(0.0, 0.0)];
    let (mut weight, mut value) = (0.0, 0.0);
    for tied in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        for &row in tied {
            weight += weights[row];
            value += values[row] * weights[row];
        }
        points.push((weight / total_weight, value / total));
    }
    points
}

/// Share of all value in the top `share` of the weight; a tie at the border counts in proportion.
fn value_share(values: &[f64], scores: &[f64], weights: &[f64], share: f64) -> Option<f64> {
    let points = gain_points(values, scores, weights);
    let step = points.windows(2).find(|pair| pair[1].0 >= share).or(points.windows(2).last())?;
    let width = step[1].0 - step[0].0;
    let part = if width > 0.0 { ((share - step[0].0) / width).clamp(0.0, 1.0) } else { 1.0 };
    Some(step[0].1 + (step[1].1 - step[0].1) * part)
}
