//! Spans on their way to the collector.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::ReasonLabels;

/// What is counted of spans.
#[derive(Debug, Clone)]
pub(crate) struct TraceMetrics {
    exported: Counter,
    dropped: Family<ReasonLabels, Counter>,
}

impl TraceMetrics {
    pub(super) fn registered(all: &mut Registry) -> Self {
        let metrics = Self { exported: Counter::default(), dropped: Family::default() };
        all.register(
            "segue_spans_exported",
            "Spans that the collector has taken",
            metrics.exported.clone(),
        );
        all.register(
            "segue_spans_dropped",
            "Sampled spans that the collector did not get",
            metrics.dropped.clone(),
        );
        for reason in ["queue_full", "export_failed"] {
            metrics.dropped(reason, 0);
        }
        metrics
    }

    pub(crate) fn exported(&self, n_spans: u64) {
        self.exported.inc_by(n_spans);
    }

    pub(crate) fn dropped(&self, reason: &'static str, n_spans: u64) {
        self.dropped.get_or_create(&ReasonLabels { reason }).inc_by(n_spans);
    }
}
