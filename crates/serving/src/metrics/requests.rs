//! Requests of both ports: how many, how they ended, how long they took.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::{MethodLabels, ReasonLabels, latency_histogram};

/// A method and how it ended.
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

/// What is counted of requests.
#[derive(Debug)]
pub(crate) struct RequestMetrics {
    started: Family<MethodLabels, Counter>,
    handled: Family<HandledLabels, Counter>,
    handling: Family<HandledLabels, Histogram, fn() -> Histogram>,
    pub(crate) http: Family<HttpLabels, Histogram, fn() -> Histogram>,
    pub(crate) in_flight: Gauge,
    pub(crate) shed: Family<ReasonLabels, Counter>,
    pub(crate) panics: Counter,
}

impl RequestMetrics {
    pub(super) fn registered(all: &mut Registry) -> Self {
        let metrics = Self {
            started: Family::default(),
            handled: Family::default(),
            handling: Family::new_with_constructor(latency_histogram),
            http: Family::new_with_constructor(latency_histogram),
            in_flight: Gauge::default(),
            shed: Family::default(),
            panics: Counter::default(),
        };
        all.register("grpc_server_started", "RPCs started", metrics.started.clone());
        all.register("grpc_server_handled", "RPCs answered, by code", metrics.handled.clone());
        all.register_with_unit(
            "grpc_server_handling",
            "Time to the answer, for streams to their start",
            Unit::Seconds,
            metrics.handling.clone(),
        );
        all.register_with_unit(
            "http_server_request_duration",
            "Time to the answer of a request of the JSON interface",
            Unit::Seconds,
            metrics.http.clone(),
        );
        all.register(
            "segue_requests_in_flight",
            "Scoring requests being worked on",
            metrics.in_flight.clone(),
        );
        all.register(
            "segue_requests_shed",
            "Requests refused for overload, by the limit that was reached",
            metrics.shed.clone(),
        );
        all.register("segue_panics", "Panics caught and answered", metrics.panics.clone());
        metrics
    }

    /// Handles of a method's counters.
    pub(crate) fn calls(&self, method: MethodLabels) -> MethodCalls {
        MethodCalls {
            started: self.started.get_or_create_owned(&method),
            ended: std::array::from_fn(|_| OnceLock::new()),
            method,
        }
    }

    /// Counts an answered RPC.
    pub(crate) fn answered(&self, calls: &MethodCalls, code: tonic::Code, took: Duration) {
        let Some(slot) = calls.ended.get(code as usize) else { return };
        let (handled, handling) = slot.get_or_init(|| {
            let labels = HandledLabels {
                grpc_service: calls.method.grpc_service,
                grpc_method: calls.method.grpc_method,
                grpc_code: code_name(code),
            };
            let handled = self.handled.get_or_create_owned(&labels);
            (handled, self.handling.get_or_create_owned(&labels))
        });
        handled.inc();
        handling.observe(took.as_secs_f64());
    }
}

/// gRPC's codes, OK to UNAUTHENTICATED.
const N_CODES: usize = 17;

/// A method's counters, so that a request looks up no labels. A code has none before it is seen.
#[derive(Debug)]
pub(crate) struct MethodCalls {
    pub(crate) started: Counter,
    ended: [OnceLock<(Counter, Histogram)>; N_CODES],
    method: MethodLabels,
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
