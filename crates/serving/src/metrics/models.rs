//! What is in memory, and how it came there.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::{InfoLabels, ModelLabels, ModelResultLabels, ResultLabels};

/// How loading a version may end.
pub(super) const LOAD_RESULTS: [&str; 2] = ["ok", "failed"];

/// What is counted of models and of the registry.
#[derive(Debug)]
pub(crate) struct ModelMetrics {
    pub(crate) load: Family<ModelResultLabels, Histogram, fn() -> Histogram>,
    pub(crate) swap: Family<ModelLabels, Histogram, fn() -> Histogram>,
    pub(crate) swaps: Family<ModelLabels, Counter>,
    pub(crate) info: Family<InfoLabels, Gauge>,
    pub(crate) generation: Family<ModelLabels, Gauge>,
    pub(crate) registry_stale: Gauge<f64, AtomicU64>,
    pub(crate) promotions: Family<ResultLabels, Counter>,
}

fn load_histogram() -> Histogram {
    Histogram::new([0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0])
}

/// A version that is in memory takes a fraction of a millisecond.
fn swap_histogram() -> Histogram {
    Histogram::new([
        1e-4, 3e-4, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0,
    ])
}

impl ModelMetrics {
    pub(super) fn registered(all: &mut Registry) -> Self {
        let metrics = Self {
            load: Family::new_with_constructor(load_histogram),
            swap: Family::new_with_constructor(swap_histogram),
            swaps: Family::default(),
            info: Family::default(),
            generation: Family::default(),
            registry_stale: Gauge::default(),
            promotions: Family::default(),
        };
        all.register_with_unit(
            "segue_model_load",
            "Time to load, verify and warm a version",
            Unit::Seconds,
            metrics.load.clone(),
        );
        all.register_with_unit(
            "segue_model_swap",
            "Time from the first sight of another champion until requests get it",
            Unit::Seconds,
            metrics.swap.clone(),
        );
        all.register("segue_model_swaps", "Changes of what is served", metrics.swaps.clone());
        all.register("segue_model_info", "1 for every version in memory", metrics.info.clone());
        all.register(
            "segue_registry_generation",
            "State of the aliases that is served",
            metrics.generation.clone(),
        );
        all.register_with_unit(
            "segue_registry_stale",
            "Time since the registry last answered",
            Unit::Seconds,
            metrics.registry_stale.clone(),
        );
        all.register(
            "segue_promotions",
            "Changes of aliases asked for, by how they ended",
            metrics.promotions.clone(),
        );
        metrics
    }

    /// The model is gone: series that nothing adds to would stay for ever.
    pub(crate) fn forget(&self, model: &str) {
        let of_model = ModelLabels { model: model.to_owned() };
        for result in LOAD_RESULTS {
            self.load.remove(&ModelResultLabels { model: model.to_owned(), result });
        }
        self.swap.remove(&of_model);
        self.swaps.remove(&of_model);
        self.generation.remove(&of_model);
    }
}
