//! Has the world changed between the training rows and the test rows? And what is in the columns?

use segue_dataset::{Dataset, FeatureKind};
use serde::{Deserialize, Serialize};

/// Quantile bins of a number, from the training rows.
const N_BINS: usize = 10;
/// Rows added to every bin of both sides, so that an empty bin does not make the index infinite.
const PRIOR_ROWS: f64 = 0.5;

/// Population stability of one feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureDrift {
    /// Feature name.
    pub feature: String,
    /// Population stability index, not below 0. By custom under 0.1 is stable, above 0.25 is not.
    pub psi: f64,
}

/// What one column holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureQuality {
    /// Feature name.
    pub feature: String,
    /// Share of training rows without a value, 0 to 1.
    pub missing_train: f64,
    /// Share of test rows without a value, 0 to 1.
    pub missing_test: f64,
    /// Whether the training rows hold one value only (missing counts as a value).
    pub constant: bool,
    /// Distinct values in the training rows, missing left out.
    pub n_distinct: usize,
    /// Categories: share of test rows whose category training has never seen. 0 for numbers.
    pub unseen_test: f64,
}

/// Population stability per feature, largest first: `sum (q - p) ln (q / p)` over ten quantile bins
/// of the training rows (categories: their codes), and one bin for missing. Weights are not used:
/// drift is about what arrives.
pub(super) fn drift(train: &Dataset, test: &Dataset) -> Vec<FeatureDrift> {
    let features = train.schema().features().iter().enumerate();
    let mut drift: Vec<FeatureDrift> = features
        .map(|(column, feature)| {
            let (before, after) = (train.features().column(column), test.features().column(column));
            let edges = edges(before, &feature.kind);
            let psi = psi(&bin_counts(before, &edges), &bin_counts(after, &edges));
            FeatureDrift { feature: feature.name.clone(), psi }
        })
        .collect();
    drift.sort_by(|a, b| b.psi.total_cmp(&a.psi).then_with(|| a.feature.cmp(&b.feature)));
    drift
}

/// Upper edges of the bins; values above the last edge have a bin of their own.
fn edges(values: &[f64], kind: &FeatureKind) -> Vec<f64> {
    if let FeatureKind::Category { vocabulary } = kind {
        return (-1..vocabulary.len() as i64 - 1).map(|code| code as f64).collect();
    }
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    let mut edges: Vec<f64> = (1..N_BINS)
        .filter_map(|bin| sorted.get((bin * sorted.len() / N_BINS).saturating_sub(1)).copied())
        .collect();
    edges.dedup();
    edges
}

/// Rows per bin; the last entry counts the missing.
fn bin_counts(values: &[f64], edges: &[f64]) -> Vec<f64> {
    let mut counts = vec![0.0; edges.len() + 2];
    for &value in values {
        let bin = if value.is_nan() {
            edges.len() + 1
        } else {
            edges.partition_point(|&edge| edge < value)
        };
        counts[bin] += 1.0;
    }
    counts
}

fn psi(before: &[f64], after: &[f64]) -> f64 {
    // A bin that both sides leave empty is no bin.
    let used: Vec<(f64, f64)> =
        before.iter().copied().zip(after.iter().copied()).filter(|(p, q)| p + q > 0.0).collect();
    let total =
        |side: fn(&(f64, f64)) -> f64| used.iter().map(|pair| side(pair) + PRIOR_ROWS).sum::<f64>();
    let (total_before, total_after) = (total(|pair| pair.0), total(|pair| pair.1));
    let term = |&(p, q): &(f64, f64)| {
        let (p, q) = ((p + PRIOR_ROWS) / total_before, (q + PRIOR_ROWS) / total_after);
        (q - p) * (q / p).ln()
    };
    used.iter().map(term).sum::<f64>().max(0.0)
}

pub(super) fn quality(train: &Dataset, test: &Dataset) -> Vec<FeatureQuality> {
    let features = train.schema().features().iter().enumerate();
    let quality = features.map(|(column, feature)| {
        let (before, after) = (train.features().column(column), test.features().column(column));
        let mut distinct: Vec<u64> =
            before.iter().filter(|value| !value.is_nan()).map(|value| value.to_bits()).collect();
        distinct.sort_unstable();
        distinct.dedup();
        let missing_train = share(before, |value| value.is_nan());
        let n_distinct = distinct.len();
        FeatureQuality {
            feature: feature.name.clone(),
            missing_train,
            missing_test: share(after, |value| value.is_nan()),
            constant: n_distinct + usize::from(missing_train > 0.0) <= 1,
            n_distinct,
            unseen_test: if feature.is_category() {
                share(after, |value| value == segue_dataset::UNSEEN_CATEGORY)
            } else {
                0.0
            },
        }
    });
    quality.collect()
}

fn share(values: &[f64], is: impl Fn(f64) -> bool) -> f64 {
    values.iter().filter(|&&value| is(value)).count() as f64 / values.len().max(1) as f64
}
