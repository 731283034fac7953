//! How many predictions a version has given, by variant and segment. Looked up once each: labels are
//! texts, and a row is scored in less time than they take to be made and found.

use std::sync::OnceLock;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::Variant;
use crate::metrics::PredictionLabels;

/// Counters of one version.
#[derive(Debug)]
pub(crate) struct PredictionCounters {
    model: String,
    version: u64,
    all: Family<PredictionLabels, Counter>,
    /// By segment, the empty name for none; then by variant. What was never given is not on the page.
    by_segment: Vec<(String, [OnceLock<Counter>; Variant::ALL.len()])>,
}

impl PredictionCounters {
    /// For a version with these segments.
    pub(super) fn new<'a>(
        model: &str,
        version: u64,
        segments: impl Iterator<Item = &'a str>,
        all: &Family<PredictionLabels, Counter>,
    ) -> Self {
        let names = std::iter::once("").chain(segments);
        let by_segment = names.map(|name| (name.to_owned(), Default::default())).collect();
        Self { model: model.to_owned(), version, all: all.clone(), by_segment }
    }

    /// Counts a prediction.
    pub(crate) fn inc(&self, variant: Variant, segment: &str) {
        let look_up = || self.all.get_or_create_owned(&self.labels(variant, segment));
        match self.by_segment.iter().find(|(name, _)| name == segment) {
            Some((_, by_variant)) => by_variant[variant as usize].get_or_init(look_up).inc(),
            None => look_up().inc(),
        };
    }

    /// Takes everything off the page.
    pub(crate) fn forget(&self) {
        for (segment, _) in &self.by_segment {
            for variant in Variant::ALL {
                self.all.remove(&self.labels(variant, segment));
            }
        }
    }

    fn labels(&self, variant: Variant, segment: &str) -> PredictionLabels {
        PredictionLabels {
            model: self.model.clone(),
            version: self.version,
            variant: variant.name(),
            segment: segment.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prediction_is_counted_where_it_belongs() {
        let all = Family::default();
        let segments = ["at risk", "steady"];
        let counters = PredictionCounters::new("churn", 3, segments.into_iter(), &all);
        let mut n_given = 0;
        for (segment, times) in [("", 1), ("at risk", 2), ("steady", 3), ("not listed", 4)] {
            for variant in Variant::ALL {
                for _ in 0..times {
                    counters.inc(variant, segment);
                }
                let labels = PredictionLabels {
                    model: "churn".to_owned(),
                    version: 3,
                    variant: variant.name(),
                    segment: segment.to_owned(),
                };
                assert_eq!(all.get_or_create(&labels).get(), times, "{labels:?}");
                n_given += times;
            }
        }
        assert_eq!(n_given, 30);
    }
}
