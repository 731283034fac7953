//! Metrics per slice: a model that is good on average may fail those who arrive from one channel.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bootstrap::Resampler;
use super::metric::{Metric, Predicted, Scorecard, scorecards};
use super::{EvaluationInputs, TargetSummary};

/// Labels of one slice column at most; the rest are pooled as [`OTHER_LABEL`].
const MAX_LABELS: usize = 12;
/// Label of the pooled rest.
const OTHER_LABEL: &str = "(all others)";

/// A column to slice by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceColumn {
    /// Column name.
    pub name: String,
    /// Label of each test row, shape `(n_test_rows,)`.
    pub labels: Vec<String>,
}

/// Metrics of all labels of one column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SliceTable {
    /// Column name.
    pub column: String,
    /// Most rows first; the pooled rest, if any, last.
    pub rows: Vec<SliceRow>,
}

/// Metrics of one slice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SliceRow {
    /// Label.
    pub label: String,
    /// Rows.
    pub n_rows: usize,
    /// Rows with a label above 0.
    pub n_positives: usize,
    /// Weighted mean label; for several classes `None`.
    pub mean_label: Option<f64>,
    /// Weighted mean prediction; for several classes `None`.
    pub mean_prediction: Option<f64>,
    /// Metrics with intervals.
    pub scorecard: Scorecard,
}

pub(super) fn slices(
    inputs: &EvaluationInputs<'_>,
    ours: &Predicted<'_>,
    resampler: &Resampler,
) -> Vec<SliceTable> {
    let wanted = metrics_of_slice(&ours.kind.into());
    let grouped: Vec<Vec<(String, Vec<u32>)>> =
        inputs.slices.iter().map(|column| group(&column.labels)).collect();
    let predicted: Vec<Predicted<'_>> = grouped
        .iter()
        .flatten()
        .map(|(_, rows)| Predicted::on_rows(inputs.test, inputs.predictions, rows.clone()))
        .collect();
    // One pass over the resamples for all slices: each draw costs as much as all users.
    let cards = scorecards(&predicted.iter().collect::<Vec<_>>(), &wanted, resampler);
    let mut measured = predicted.iter().zip(cards);
    let table = |(column, groups): (&SliceColumn, Vec<(String, Vec<u32>)>)| {
        let rows = groups.into_iter().zip(measured.by_ref());
        let rows = rows.map(|((label, _), (predicted, scorecard))| {
            let is_number = predicted.kind.n_outputs() == 1;
            let mean = |values: &[f64]| {
                segue_model::metrics::weighted_mean(values, Some(&predicted.weights))
            };
            SliceRow {
                label,
                n_rows: predicted.labels.len(),
                n_positives: predicted.labels.iter().filter(|&&label| label > 0.0).count(),
                mean_label: is_number.then(|| mean(&predicted.labels)).flatten(),
                mean_prediction: is_number.then(|| mean(&predicted.outputs)).flatten(),
                scorecard,
            }
        });
        SliceTable { column: column.name.clone(), rows: rows.collect() }
    };
    inputs.slices.iter().zip(grouped).map(table).collect()
}

fn metrics_of_slice(target: &TargetSummary) -> Vec<Metric> {
    match target {
        TargetSummary::Binary => {
            vec![Metric::Auc, Metric::LogLoss, Metric::CalibrationError, Metric::LiftAt10]
        }
        TargetSummary::Multiclass { .. } => vec![Metric::Auc, Metric::LogLoss, Metric::Accuracy],
        TargetSummary::Regression => vec![Metric::Rmse, Metric::Mae, Metric::Spearman],
    }
}

/// Rows by label: most rows first, ties by label, the tail pooled.
fn group(labels: &[String]) -> Vec<(String, Vec<u32>)> {
    let mut rows: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (row, label) in (0u32..).zip(labels) {
        rows.entry(label).or_default().push(row);
    }
    let mut groups: Vec<(String, Vec<u32>)> =
        rows.into_iter().map(|(label, rows)| (label.to_owned(), rows)).collect();
    groups.sort_by_key(|(_, rows)| std::cmp::Reverse(rows.len()));
    if groups.len() > MAX_LABELS {
        let mut rest: Vec<u32> =
            groups.split_off(MAX_LABELS - 1).into_iter().flat_map(|(_, rows)| rows).collect();
        rest.sort_unstable();
        groups.push((OTHER_LABEL.to_owned(), rest));
    }
    groups
}
