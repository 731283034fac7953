//! What Prometheus reads. Labels name models, versions and methods, never users.
//!
//! A group of metrics is a file and a struct that registers itself. `docs/metrics.md` lists them all,
//! and a test holds the two against each other.

mod labels;
mod log;
mod models;
mod net;
mod requests;
mod scoring;
#[cfg(test)]
mod tests;
mod traces;
mod traffic;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub(crate) use self::labels::{
    FeatureLabels, GuardLabels, InfoLabels, MethodLabels, ModelLabels, ModelResultLabels,
    PredictionLabels, ReasonLabels, ResultLabels, ShadowErrorLabels, VersionLabels,
};
pub(crate) use self::log::{DriftLabels, DriftOutputLabels, LogMetrics};
use self::models::{LOAD_RESULTS, ModelMetrics};
use self::net::NetMetrics;
pub(crate) use self::net::{ConnectionLabels, DeniedLabels, PortLabels};
use self::requests::RequestMetrics;
pub(crate) use self::requests::{HttpLabels, MethodCalls, code_name};
use self::scoring::ScoringMetrics;
pub(crate) use self::traces::TraceMetrics;
use self::traffic::TrafficMetrics;
use crate::live::ServedVersion;

/// Every metric of the server.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) requests: RequestMetrics,
    pub(crate) scoring: ScoringMetrics,
    pub(crate) models: ModelMetrics,
    pub(crate) traffic: TrafficMetrics,
    pub(crate) net: NetMetrics,
    pub(crate) log: LogMetrics,
    pub(crate) traces: TraceMetrics,
}

impl Metrics {
    /// All metrics at zero, registered under their names.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        Self {
            requests: RequestMetrics::registered(&mut registry),
            scoring: ScoringMetrics::registered(&mut registry),
            models: ModelMetrics::registered(&mut registry),
            traffic: TrafficMetrics::registered(&mut registry),
            net: NetMetrics::registered(&mut registry),
            log: LogMetrics::registered(&mut registry),
            traces: TraceMetrics::registered(&mut registry),
            registry,
        }
    }

    /// A model is looked after from now on. What alerts wait for is on the page before it happens:
    /// Prometheus sees no increase in a series that begins at 1.
    pub(crate) fn meet(&self, model: &str) {
        for action in GUARD_ACTIONS {
            let labels = GuardLabels { model: model.to_owned(), action };
            let _ = self.traffic.guard_actions.get_or_create(&labels);
        }
        for result in LOAD_RESULTS {
            let labels = ModelResultLabels { model: model.to_owned(), result };
            let _ = self.models.load.get_or_create(&labels);
        }
    }

    /// A version is no longer in memory, and nobody holds it: series that nothing adds to would stay for
    /// ever, and there is no end of versions.
    pub(crate) fn forget(&self, gone: &ServedVersion) {
        let (model, version) = (gone.name.clone(), gone.version);
        gone.counters.predictions.forget();
        let of_version = VersionLabels { model, version };
        self.scoring.score.remove(&of_version);
        self.traffic.forget(&of_version);
    }

    /// The page of the OpenMetrics text format.
    pub(crate) fn page(&self) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

/// What a guard's action may come to.
const GUARD_ACTIONS: [&str; 4] = ["canary_stopped", "rolled_back", "state_moved", "failed"];

/// Seconds from 50 microseconds to 10 seconds.
fn latency_histogram() -> Histogram {
    Histogram::new([
        50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 0.1, 0.2, 0.5, 1.0,
        2.0, 5.0, 10.0,
    ])
}
