//! How the traffic is split, and what that did.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::ModelLabels;

/// What is counted of canaries.
#[derive(Debug)]
pub(crate) struct TrafficMetrics {
    pub(crate) canary_share: Family<ModelLabels, Gauge>,
    pub(crate) canary_keyless: Family<ModelLabels, Counter>,
    pub(crate) canary_fallbacks: Family<ModelLabels, Counter>,
}

impl TrafficMetrics {
    pub(super) fn registered(all: &mut Registry) -> Self {
        let metrics = Self {
            canary_share: Family::default(),
            canary_keyless: Family::default(),
            canary_fallbacks: Family::default(),
        };
        all.register(
            "segue_canary_basis_points",
            "Share of the traffic that the canary gets, 0 without one or if it cannot be loaded",
            metrics.canary_share.clone(),
        );
        all.register(
            "segue_canary_keyless",
            "Rows that the champion answered because they have no key to split the traffic by",
            metrics.canary_keyless.clone(),
        );
        all.register(
            "segue_canary_fallbacks",
            "Rows of the canary that the champion answered because the canary cannot read them",
            metrics.canary_fallbacks.clone(),
        );
        metrics
    }
}
