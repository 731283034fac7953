//! What Prometheus reads. Labels name models, versions and methods, never users.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// A method of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct MethodLabels {
    pub(crate) grpc_service: &'static str,
    pub(crate) grpc_method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct HandledLabels {
    pub(crate) grpc_service: &'static str,
    pub(crate) grpc_method: &'static str,
    pub(crate) grpc_code: &'static str,
}

/// A page of the HTTP port, by its pattern and not by its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct HttpLabels {
    pub(crate) http_route: &'static str,
    pub(crate) http_response_status_code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ReasonLabels {
    pub(crate) reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ModelLabels {
    pub(crate) model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ModelResultLabels {
    pub(crate) model: String,
    pub(crate) result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct VersionLabels {
    pub(crate) model: String,
    pub(crate) version: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct InfoLabels {
    pub(crate) model: String,
    pub(crate) version: u64,
    pub(crate) digest: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct PredictionLabels {
    pub(crate) model: String,
    pub(crate) version: u64,
    pub(crate) variant: &'static str,
    pub(crate) segment: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct FeatureLabels {
    pub(crate) model: String,
    pub(crate) feature: String,
}

/// Every metric of the server.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) started: Family<MethodLabels, Counter>,
    pub(crate) handled: Family<HandledLabels, Counter>,
    pub(crate) handling: Family<MethodLabels, Histogram, fn() -> Histogram>,
    pub(crate) http: Family<HttpLabels, Histogram, fn() -> Histogram>,
    pub(crate) in_flight: Gauge,
    pub(crate) shed: Family<ReasonLabels, Counter>,
    pub(crate) panics: Counter,
    pub(crate) predictions: Family<PredictionLabels, Counter>,
    pub(crate) score: Family<VersionLabels, Histogram, fn() -> Histogram>,
    pub(crate) compute: Histogram,
    pub(crate) feature_missing: Family<FeatureLabels, Counter>,
    pub(crate) unseen_category: Family<ModelLabels, Counter>,
    pub(crate) segment_errors: Family<ModelLabels, Counter>,
    pub(crate) model_load: Family<ModelResultLabels, Histogram, fn() -> Histogram>,
    pub(crate) swaps: Family<ModelLabels, Counter>,
    pub(crate) model_info: Family<InfoLabels, Gauge>,
    pub(crate) generation: Family<ModelLabels, Gauge>,
    pub(crate) registry_stale: Gauge<f64, AtomicU64>,
    pub(crate) promotions: Family<ReasonLabels, Counter>,
}

fn latency_histogram() -> Histogram {
    Histogram::new([
        50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 0.1, 0.2, 0.5, 1.0,
        2.0, 5.0, 10.0,
    ])
}

fn load_histogram() -> Histogram {
    Histogram::new([0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0])
}

/// Twenty equal parts of a probability; a regression's numbers beyond 1 are only counted.
fn score_histogram() -> Histogram {
    Histogram::new((1..=20).map(|part| f64::from(part) / 20.0))
}

impl Metrics {
    /// All metrics at zero, registered under their names.
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            started: Family::default(),
            handled: Family::default(),
            handling: Family::new_with_constructor(latency_histogram),
            http: Family::new_with_constructor(latency_histogram),
            in_flight: Gauge::default(),
            shed: Family::default(),
            panics: Counter::default(),
            predictions: Family::default(),
            score: Family::new_with_constructor(score_histogram),
            compute: latency_histogram(),
            feature_missing: Family::default(),
            unseen_category: Family::default(),
            segment_errors: Family::default(),
            model_load: Family::new_with_constructor(load_histogram),
            swaps: Family::default(),
            model_info: Family::default(),
            generation: Family::default(),
            registry_stale: Gauge::default(),
            promotions: Family::default(),
        };
        metrics.register_requests();
        metrics.register_models();
        metrics
    }

    fn register_requests(&mut self) {
        let all = &mut self.registry;
        all.register("grpc_server_started", "RPCs started", self.started.clone());
        all.register("grpc_server_handled", "RPCs answered, by code", self.handled.clone());
        all.register_with_unit(
            "grpc_server_handling",
            "Time to the answer, for streams to their start",
            Unit::Seconds,
            self.handling.clone(),
        );
        all.register_with_unit(
            "http_server_request_duration",
            "Time to the answer of a request of the JSON interface",
            Unit::Seconds,
            self.http.clone(),
        );
        all.register("segue_inflight", "Scoring requests being worked on", self.in_flight.clone());
        all.register("segue_shed", "Requests refused for overload", self.shed.clone());
        all.register("segue_panics", "Panics caught and answered", self.panics.clone());
        all.register("segue_predictions", "Predictions given", self.predictions.clone());
        all.register("segue_score", "Scores given", self.score.clone());
        all.register_with_unit(
            "segue_compute",
            "Time in decoding and scoring the rows of a request",
            Unit::Seconds,
            self.compute.clone(),
        );
        all.register(
            "segue_feature_missing",
            "Missing values among scored rows",
            self.feature_missing.clone(),
        );
        all.register(
            "segue_unseen_category",
            "Categories that a vocabulary does not hold",
            self.unseen_category.clone(),
        );
        all.register(
            "segue_segment_errors",
            "Segment conditions that could not be evaluated",
            self.segment_errors.clone(),
        );
    }

    fn register_models(&mut self) {
        let all = &mut self.registry;
        all.register_with_unit(
            "segue_model_load",
            "Time to load, verify and warm a version",
            Unit::Seconds,
            self.model_load.clone(),
        );
        all.register("segue_model_swaps", "Changes of what is served", self.swaps.clone());
        all.register("segue_model_info", "1 for every version in memory", self.model_info.clone());
        all.register(
            "segue_registry_generation",
            "State of the aliases that is served",
            self.generation.clone(),
        );
        all.register_with_unit(
            "segue_registry_stale",
            "Time since the registry last answered",
            Unit::Seconds,
            self.registry_stale.clone(),
        );
        all.register("segue_promotions", "Changes of aliases asked for", self.promotions.clone());
    }

    /// The page of the OpenMetrics text format.
    pub(crate) fn page(&self) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        encode(&mut page, &self.registry)?;
        Ok(page)
    }

    /// Counts an answered RPC.
    pub(crate) fn answered(&self, method: &MethodLabels, code: tonic::Code, took: Duration) {
        let labels = HandledLabels {
            grpc_service: method.grpc_service,
            grpc_method: method.grpc_method,
            grpc_code: code_name(code),
        };
        self.handled.get_or_create(&labels).inc();
        self.handling.get_or_create(method).observe(took.as_secs_f64());
    }
}

/// The code as gRPC's own metrics write it.
pub(crate) fn code_name(code: tonic::Code) -> &'static str {
    use tonic::Code;
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
