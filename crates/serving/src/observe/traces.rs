//! A span for every sampled request, as OpenTelemetry's conventions for RPC and HTTP name things.

use std::time::Duration;

use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{Span as _, SpanKind, Status, Tracer, TracerProvider};
use opentelemetry::{Array, Context, KeyValue, StringValue, Value};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::resource::EnvResourceDetector;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, Span};
use tokio::sync::Mutex;
use tonic::Code;
use tonic::codegen::http::HeaderMap;
use tonic::transport::{ClientTlsConfig, Endpoint};

use super::export::{EXPORT_TIMEOUT, Exporting, start};
use super::{End, Found, What};
use crate::ServeError;
use crate::metrics::TraceMetrics;
use crate::options::TraceOptions;

/// Makes spans and sends them.
#[derive(Debug)]
pub(crate) struct Traces {
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
    exporting: Mutex<Option<Exporting>>,
}

/// How often an idle collector is asked whether it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

impl Traces {
    /// Spans go to the collector of the options, which need not be there yet. Within a tokio runtime.
    pub(crate) fn start(options: &TraceOptions, metrics: TraceMetrics) -> Result<Self, ServeError> {
        let refused = |expected| ServeError::Option {
            option: "traces.endpoint",
            found: options.endpoint.clone(),
            expected,
        };
        let url = "the URL of an OTLP collector over gRPC, such as http://127.0.0.1:4317";
        let mut endpoint =
            Endpoint::from_shared(options.endpoint.clone()).map_err(|_| refused(url))?;
        match endpoint.uri().scheme_str() {
            Some("http") => {}
            Some("https") => {
                let tls = ClientTlsConfig::new().with_native_roots();
                endpoint = endpoint.tls_config(tls).map_err(|_| refused("roots of the system"))?;
            }
            _ => return Err(refused(url)),
        }
        // A channel that is given is not told the exporter's own limit.
        let endpoint = endpoint
            .connect_timeout(EXPORT_TIMEOUT)
            .timeout(EXPORT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(EXPORT_TIMEOUT);
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_channel(endpoint.connect_lazy())
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .map_err(|source| ServeError::Resource {
                action: "make the exporter of spans",
                source: source.into(),
            })?;
        Ok(Self::over(exporter, options.sample_ratio, metrics))
    }

    fn over(mut exporter: SpanExporter, ratio: f64, metrics: TraceMetrics) -> Self {
        // What the environment says (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES) comes last and holds.
        let resource = Resource::builder_empty()
            .with_service_name("segue")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_detector(Box::new(EnvResourceDetector::new()))
            .build();
        opentelemetry_sdk::trace::SpanExporter::set_resource(&mut exporter, &resource);
        let (queue, exporting) = start(exporter, EXPORT_TIMEOUT, metrics);
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio)));
        let provider = SdkTracerProvider::builder()
            .with_sampler(sampler)
            .with_resource(resource)
            .with_span_processor(queue)
            .build();
        Self {
            tracer: provider.tracer("segue"),
            propagator: TraceContextPropagator::new(),
            exporting: Mutex::new(Some(exporting)),
        }
    }

    /// The span of a request if it is sampled: as its caller has decided, or else by the ratio.
    pub(super) fn begin(&self, what: What, headers: &HeaderMap) -> Option<RequestSpan> {
        let parent = self.propagator.extract_with_context(&Context::new(), &Headers(headers));
        let (name, attributes) = match what {
            What::Rpc(labels) => (
                format!("{}/{}", labels.grpc_service, labels.grpc_method),
                vec![
                    KeyValue::new("rpc.system", "grpc"),
                    KeyValue::new("rpc.service", labels.grpc_service),
                    KeyValue::new("rpc.method", labels.grpc_method),
                ],
            ),
            What::Page(route) => (route.to_owned(), vec![KeyValue::new("http.route", route)]),
        };
        let builder =
            self.tracer.span_builder(name).with_kind(SpanKind::Server).with_attributes(attributes);
        let span = self.tracer.build_with_context(builder, &parent);
        span.is_recording().then_some(RequestSpan(span))
    }

    pub(super) async fn finish(&self, patience: Duration) {
        if let Some(exporting) = self.exporting.lock().await.take() {
            exporting.finish(patience).await;
        }
    }
}

/// The span of a request. One that is dropped ends without a status: its caller has left.
#[derive(Debug)]
pub(super) struct RequestSpan(Span);

impl RequestSpan {
    /// The trace that it is part of.
    pub(super) fn trace_id(&self) -> String {
        self.0.span_context().trace_id().to_string()
    }

    pub(super) fn end(mut self, end: End, found: &Found) {
        let span = &mut self.0;
        match end {
            End::Rpc(code) => {
                span.set_attribute(KeyValue::new("rpc.grpc.status_code", code as i64));
                if is_our_fault(code) {
                    span.set_status(Status::error(code.description()));
                }
            }
            End::Page(status) => {
                span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
                if status >= 500 {
                    span.set_status(Status::error(""));
                }
            }
        }
        if let Some(first) = found.versions.first() {
            let version = i64::try_from(first.version).unwrap_or(i64::MAX);
            span.set_attribute(KeyValue::new("segue.model", first.model.clone()));
            span.set_attribute(KeyValue::new("segue.version", version));
            span.set_attribute(KeyValue::new("segue.variant", first.variant));
            let names = found.names().into_iter().map(StringValue::from).collect();
            let served_by = Value::Array(Array::String(names));
            span.set_attribute(KeyValue::new("segue.served_by", served_by));
            let n_rows = i64::try_from(found.n_rows()).unwrap_or(i64::MAX);
            span.set_attribute(KeyValue::new("segue.rows", n_rows));
        }
        span.end();
    }
}

/// The codes that the conventions call errors of a server; the others are the caller's.
fn is_our_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

/// Where `traceparent` and `tracestate` are found, on either port.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}
