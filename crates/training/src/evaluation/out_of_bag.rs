//! A forest on its own training rows, each predicted by the trees that did not draw it.

use std::collections::BTreeMap;

use segue_dataset::{Dataset, Matrix, TargetKind};
use serde::{Deserialize, Serialize};

use super::Metric;
use super::metric::Predicted;

/// What the out-of-bag predictions of a forest are worth, before calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutOfBagFigures {
    /// Training rows that some tree did not draw; the figures are of those.
    pub n_rows: usize,
    /// Point values; undefined ones are left out.
    pub metrics: BTreeMap<Metric, f64>,
}

impl OutOfBagFigures {
    /// Measures predictions of the training rows, shape `(n_rows, n_outputs)` row-major, NaN for a row that
    /// every tree drew.
    #[must_use]
    pub fn of(train: &Dataset, predictions: &[f64]) -> Self {
        let kind = &train.target().kind;
        let outputs = Matrix::from_rows(kind.n_outputs(), predictions);
        let is_known = |&row: &u32| !outputs.column(0)[row as usize].is_nan();
        let rows: Vec<u32> = (0u32..).take(train.n_rows()).filter(is_known).collect();
        let n_rows = rows.len();
        let values = Predicted::on_rows(train, &outputs, rows).values(Self::shown(kind));
        let metrics = values.into_iter().filter_map(|(metric, value)| Some((metric, value?)));
        Self { n_rows, metrics: metrics.collect() }
    }

    fn shown(kind: &TargetKind) -> &'static [Metric] {
        match kind {
            TargetKind::Binary | TargetKind::Multiclass { .. } => &[Metric::Auc, Metric::LogLoss],
            TargetKind::Regression => &[Metric::Rmse],
        }
    }

    /// Values by name, for a registry's manifest.
    pub(super) fn named(&self) -> impl Iterator<Item = (String, f64)> {
        let metrics = self.metrics.iter().map(|(metric, &value)| (metric.key(), value));
        let named = metrics.chain([("rows", self.n_rows as f64)]);
        named.map(|(name, value)| (format!("out_of_bag_{name}"), value))
    }
}
