//! How the traffic is split, and what that did.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use segue_registry::DIFFERENCE_BOUNDS;

use super::{GuardLabels, ModelLabels, ReasonLabels, ShadowErrorLabels, VersionLabels};

/// What is counted of canaries, of shadows, and of the guard over them.
#[derive(Debug)]
pub(crate) struct TrafficMetrics {
    pub(crate) canary_share: Family<ModelLabels, Gauge>,
    pub(crate) canary_keyless: Family<ModelLabels, Counter>,
    pub(crate) canary_fallbacks: Family<ModelLabels, Counter>,
    pub(crate) shadow_rows: Family<VersionLabels, Counter>,
    pub(crate) shadow_abs_diff: Family<VersionLabels, Histogram, fn() -> Histogram>,
    pub(crate) shadow_flips: Family<VersionLabels, Counter>,
    pub(crate) shadow_errors: Family<ShadowErrorLabels, Counter>,
    pub(crate) shadow_dropped: Family<ReasonLabels, Counter>,
    pub(crate) guard_actions: Family<GuardLabels, Counter>,
    pub(crate) guard_looks: Counter,
}

/// Why a shadow has no score of a row.
const SHADOW_ERRORS: [&str; 2] = ["unreadable", "scoring"];

fn difference_histogram() -> Histogram {
    Histogram::new(DIFFERENCE_BOUNDS)
}

impl TrafficMetrics {
    pub(super) fn registered(all: &mut Registry) -> Self {
        let metrics = Self {
            canary_share: Family::default(),
            canary_keyless: Family::default(),
            canary_fallbacks: Family::default(),
            shadow_rows: Family::default(),
            shadow_abs_diff: Family::new_with_constructor(difference_histogram),
            shadow_flips: Family::default(),
            shadow_errors: Family::default(),
            shadow_dropped: Family::default(),
            guard_actions: Family::default(),
            guard_looks: Counter::default(),
        };
        metrics.register_shadows(all);
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

    /// Takes what was counted of a version as a shadow off the page.
    pub(super) fn forget(&self, shadow: &VersionLabels) {
        self.shadow_rows.remove(shadow);
        self.shadow_abs_diff.remove(shadow);
        self.shadow_flips.remove(shadow);
        let VersionLabels { model, version } = shadow;
        for reason in SHADOW_ERRORS {
            let (model, version) = (model.clone(), *version);
            self.shadow_errors.remove(&ShadowErrorLabels { model, version, reason });
        }
    }

    fn register_shadows(&self, all: &mut Registry) {
        all.register(
            "segue_shadow_rows",
            "Rows that a shadow scored beside the champion",
            self.shadow_rows.clone(),
        );
        all.register(
            "segue_shadow_abs_diff",
            "Absolute difference of a shadow's score to the champion's",
            self.shadow_abs_diff.clone(),
        );
        all.register(
            "segue_shadow_segment_flips",
            "Rows that a shadow puts into another segment than the champion",
            self.shadow_flips.clone(),
        );
        all.register(
            "segue_shadow_errors",
            "Rows that a shadow cannot read or score",
            self.shadow_errors.clone(),
        );
        all.register(
            "segue_shadow_dropped",
            "Rows that no shadow scored because too many waited",
            self.shadow_dropped.clone(),
        );
        all.register(
            "segue_guard_actions",
            "Breaches of the guard's bounds, by what was done about them",
            self.guard_actions.clone(),
        );
        all.register(
            "segue_guard_looks",
            "Looks of the guard at all models; it stands still if it is off",
            self.guard_looks.clone(),
        );
    }
}
