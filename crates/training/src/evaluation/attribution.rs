//! What the model looks at: gain shares, and contributions summed up per feature.

use segue_model::metrics;
use serde::{Deserialize, Serialize};

use super::EvaluationInputs;

/// Points of a feature kept for the picture.
const MAX_POINTS: usize = 240;
/// Features that keep their points.
const FEATURES_WITH_POINTS: usize = 15;

/// A feature's share of the split gain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureShare {
    /// Feature name.
    pub feature: String,
    /// Share of all gain, 0 to 1.
    pub share: f64,
}

/// A feature's contributions over the explained rows, in margin space.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureAttribution {
    /// Feature name.
    pub feature: String,
    /// Mean absolute contribution.
    pub mean_absolute: f64,
    /// Rank correlation of value and contribution, -1 to 1: above 0, a higher value raises the
    /// prediction. `None` for categories and where one side does not vary.
    pub direction: Option<f64>,
    /// A bounded sample for the picture; empty beyond the leading features.
    pub points: Vec<AttributionPoint>,
}

/// One row's contribution of one feature.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AttributionPoint {
    /// Contribution in margin space.
    pub contribution: f64,
    /// Where the value lies among the explained rows, 0 lowest to 1 highest; `None` if missing
    /// or a category.
    pub rank: Option<f64>,
}

pub(super) fn shares(importance: &[(String, f64)]) -> Vec<FeatureShare> {
    let mut shares: Vec<FeatureShare> = importance
        .iter()
        .filter(|(_, share)| share.is_finite() && *share > 0.0)
        .map(|(feature, share)| FeatureShare { feature: feature.clone(), share: *share })
        .collect();
    let by_share = |a: &FeatureShare, b: &FeatureShare| b.share.total_cmp(&a.share);
    shares.sort_by(|a, b| by_share(a, b).then_with(|| a.feature.cmp(&b.feature)));
    shares
}

pub(super) fn attributions(inputs: &EvaluationInputs<'_>) -> Vec<FeatureAttribution> {
    let Some(sample) = inputs.contributions.as_ref().filter(|sample| !sample.rows.is_empty())
    else {
        return Vec::new();
    };
    let features = inputs.test.schema().features().iter().enumerate();
    let mut summed: Vec<(usize, f64)> = features
        .map(|(column, _)| {
            let values = sample.values.column(column);
            (column, values.iter().map(|v| v.abs()).sum::<f64>() / values.len() as f64)
        })
        .filter(|(_, mean)| *mean > 0.0)
        .collect();
    summed.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let entry = |(place, (column, mean_absolute)): (usize, (usize, f64))| {
        let feature = &inputs.test.schema().features()[column];
        let all = inputs.test.features().column(column);
        let values: Vec<f64> = sample.rows.iter().map(|&row| all[row as usize]).collect();
        let contributions = sample.values.column(column);
        let is_number = !feature.is_category();
        FeatureAttribution {
            feature: feature.name.clone(),
            mean_absolute,
            direction: is_number.then(|| direction(&values, contributions)).flatten(),
            points: if place < FEATURES_WITH_POINTS {
                points(&values, contributions, is_number)
            } else {
                Vec::new()
            },
        }
    };
    summed.into_iter().enumerate().map(entry).collect()
}

fn direction(values: &[f64], contributions: &[f64]) -> Option<f64> {
    let present = values.iter().zip(contributions).filter(|(value, _)| !value.is_nan());
    let (values, contributions): (Vec<f64>, Vec<f64>) = present.unzip();
    metrics::spearman(&values, &contributions, None)
}

/// Evenly spaced rows of the sample, so that the choice needs no random numbers.
fn points(values: &[f64], contributions: &[f64], is_number: bool) -> Vec<AttributionPoint> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    let rank = |value: f64| {
        if value.is_nan() || !is_number {
            return None;
        }
        let below = sorted.partition_point(|&other| other < value);
        let upto = sorted.partition_point(|&other| other <= value);
        // Mid-rank, stretched so that the lowest distinct value is 0 and the highest 1.
        let at_most = sorted.len() - upto;
        Some(if below + at_most == 0 { 0.5 } else { below as f64 / (below + at_most) as f64 })
    };
    let kept = values.len().min(MAX_POINTS);
    (0..kept)
        .map(|index| index * values.len() / kept)
        .map(|at| AttributionPoint { contribution: contributions[at], rank: rank(values[at]) })
        .collect()
}
