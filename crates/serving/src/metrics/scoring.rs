//! What was scored, and how it looked.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::{FeatureLabels, ModelLabels, PredictionLabels, VersionLabels, latency_histogram};

/// What is counted of rows and scores.
#[derive(Debug)]
pub(crate) struct ScoringMetrics {
    pub(crate) predictions: Family<PredictionLabels, Counter>,
    pub(crate) score: Family<VersionLabels, Histogram, fn() -> Histogram>,
    pub(crate) compute: Histogram,
    pub(crate) feature_missing: Family<FeatureLabels, Counter>,
    pub(crate) unseen_category: Family<ModelLabels, Counter>,
    pub(crate) segment_errors: Family<ModelLabels, Counter>,
}

/// Twenty equal parts of a probability; a regression's numbers beyond 1 are only counted.
fn score_histogram() -> Histogram {
    Histogram::new((1..=20).map(|part| f64::from(part) / 20.0))
}

impl ScoringMetrics {
    pub(super) fn registered(all: &mut Registry) -> Self {
        let metrics = Self {
            predictions: Family::default(),
            score: Family::new_with_constructor(score_histogram),
            compute: latency_histogram(),
            feature_missing: Family::default(),
            unseen_category: Family::default(),
            segment_errors: Family::default(),
        };
        all.register("segue_predictions", "Predictions given", metrics.predictions.clone());
        all.register("segue_score", "Scores given", metrics.score.clone());
        all.register_with_unit(
            "segue_compute",
            "Time in decoding and scoring the rows of a request",
            Unit::Seconds,
            metrics.compute.clone(),
        );
        all.register(
            "segue_feature_missing",
            "Missing values among scored rows",
            metrics.feature_missing.clone(),
        );
        all.register(
            "segue_unseen_category",
            "Categories that a vocabulary does not hold",
            metrics.unseen_category.clone(),
        );
        all.register(
            "segue_segment_errors",
            "Segment conditions that could not be evaluated",
            metrics.segment_errors.clone(),
        );
        metrics
    }
}
