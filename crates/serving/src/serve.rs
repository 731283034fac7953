//! From bound sockets to a clean end.

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use segue_api::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use segue_api::v1::admin_service_server::AdminServiceServer;
use segue_api::v1::feedback_service_server::FeedbackServiceServer;
use segue_api::v1::model_registry_service_server::ModelRegistryServiceServer;
use segue_api::v1::scoring_service_server::ScoringServiceServer;
use segue_registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic_health::pb::health_server::HealthServer;
use tower::Service;

use crate::access::{Access, Need, VIEWER};
use crate::admin_service::Admin;
use crate::feedback_service::Feedback;
use crate::guard::{Guard, Routes};
use crate::health::HealthChecks;
use crate::http::Pages;
use crate::inference_service::Inference;
use crate::limits::Limits;
use crate::live::{LiveModels, Loader};
use crate::metrics::Metrics;
use crate::net::{Budgets, Port, Tls, TlsPort};
use crate::observe::{Observer, Traces};
use crate::pool::ScoringPool;
use crate::prediction_log::Recorder;
use crate::registry_service::ModelRegistry;
use crate::scoring_service::Scoring;
use crate::traffic::{Shadows, TrafficGuard};
use crate::{AccessOptions, ServeError, ServeOptions, http, reload};

/// Serves until `shutdown` resolves and what was under way is answered.
///
/// gRPC is on `grpc`; `/healthz`, `/readyz`, `/metrics` and the JSON interface (`/v1/score`, `/v2`)
/// are on `http`. Both sockets accept at once;
/// health says NOT_SERVING until the models are loaded. When `shutdown` resolves, health says
/// NOT_SERVING again while requests are still taken for `pre_drain`; then nothing new is taken,
/// streams end with UNAVAILABLE, and after `drain_timeout` at the latest this returns.
///
/// # Errors
/// [`ServeError`] if an option is out of range, certificates or the access file are not good, or a
/// thread cannot be started.
pub async fn run(
    grpc: TcpListener,
    http: TcpListener,
    options: ServeOptions,
    registry: Registry,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    options.check()?;
    let metrics = Arc::new(Metrics::new());
    let live = Arc::new(LiveModels::new(options.required_models.clone()));
    let pool = ScoringPool::new(options.n_scoring_threads, Arc::clone(&metrics))?;
    let (loader, _loader_thread) = Loader::start(
        registry.clone(),
        Arc::clone(&live),
        Arc::clone(&metrics),
        options.poll_interval,
    )?;
    let log = options.prediction_log.as_ref();
    let recorder = Recorder::start(log, options.drift_window, metrics.log.clone())?;
    let shadows = Arc::new(Shadows::start(options.max_shadow_rows, registry.clone(), &metrics)?);
    let traffic_guard = options.guard.is_on().then(|| {
        let (live, metrics) = (Arc::clone(&live), Arc::clone(&metrics));
        TrafficGuard::new(registry.clone(), live, loader.clone(), metrics, &options.guard)
    });
    let _traffic_guard =
        traffic_guard.map(|guard| guard.start(options.guard.interval)).transpose()?;
    let (closing, is_closing) = watch::channel(false);
    let health = HealthChecks { readiness: live.watch_readiness(), closing: is_closing.clone() };
    let limits = Arc::new(Limits::new(&options, Arc::clone(&metrics)));
    let scoring = Scoring::new(
        Arc::clone(&live),
        pool,
        Arc::clone(&limits),
        (Arc::clone(&metrics), Arc::clone(&shadows)),
        options.clone(),
        is_closing.clone(),
        Arc::clone(&recorder),
    );
    let location = registry.location().to_owned();
    let admin = Admin::new(
        Arc::clone(&live),
        Arc::clone(&limits),
        options.clone(),
        location,
        Arc::clone(&recorder),
    );
    let feedback = Feedback::start(scoring.clone())?;
    let model_registry = ModelRegistry {
        registry,
        live: Arc::clone(&live),
        loader: loader.clone(),
        metrics: Arc::clone(&metrics),
        limits: Arc::clone(&limits),
        max_upload_bytes: options.max_upload_bytes,
        max_upload_time: options.max_upload_time,
        closing: is_closing.clone(),
        shadows: Arc::clone(&shadows),
        distinct_approver: options.distinct_approver,
    };
    let access = access(&options)?;
    let traces = options.traces.as_ref();
    let traces = traces.map(|traces| Traces::start(traces, metrics.traces.clone())).transpose()?;
    let guard = Arc::new(Guard {
        routes: Routes::new(&metrics),
        limits: Arc::clone(&limits),
        metrics: Arc::clone(&metrics),
        max_request_time: options.max_request_time,
        max_stream_silence: options.net.max_stream_silence,
        access: access.clone(),
        observer: Observer::new(options.slow_request, traces),
    });
    let tls = options.net.tls.clone().map(Tls::open).transpose()?.map(Arc::new);
    let budgets = Arc::new(Budgets::new(&options));
    let port = |name, listener, tls_port, max_connections| Port {
        name,
        listener,
        tls: tls.clone().map(|tls| (tls, tls_port)),
        max_connections,
        max_in_turn: options.max_in_flight,
        options: options.net.clone(),
        budgets: Arc::clone(&budgets),
        metrics: Arc::clone(&metrics),
    };
    let grpc_port = port("grpc", grpc, TlsPort::Grpc, options.net.max_connections);
    let http_port = port("http", http, TlsPort::Http, options.net.max_http_connections);
    let inference = Inference { scoring: scoring.clone(), registry: model_registry.clone() };
    let pages = Arc::new(Pages {
        inference: inference.clone(),
        guard: Arc::clone(&guard),
        budgets: Arc::clone(&budgets),
        metrics_need: if options.access.open_metrics { Need::Nothing } else { VIEWER },
    });
    let (page_limits, routes) = (http::limits(&guard), http::routes(pages));
    let services =
        Services { scoring, model_registry, admin, feedback: feedback.clone(), inference, health };
    let services = services.routed(&options)?;
    let max_streams = options.max_streams_per_connection;
    let grpc = grpc_port.serve_grpc(services, Arc::clone(&guard), max_streams, is_closing);
    let drain = async {
        shutdown.await;
        tracing::info!("shutting down");
        live.drain();
        tokio::time::sleep(options.pre_drain).await;
        closing.send_replace(true);
        tokio::time::sleep(options.drain_timeout).await;
        tracing::warn!("requests still ran at the end of the drain and were given up");
    };
    let (grpc_over, is_grpc_over) = watch::channel(false);
    let grpc = async {
        grpc.await;
        grpc_over.send_replace(true);
    };
    // The metrics page stays until the last request of the other port is answered.
    let http = http_port.serve_http(routes, page_limits, is_grpc_over);
    let AccessOptions { reload_interval, reload, .. } = options.access.clone();
    tokio::select! {
        ((), ()) = async { tokio::join!(grpc, http) } => {}
        () = drain => {}
        () = reload::follow(tls, access, reload_interval, reload, Arc::clone(&metrics)) => {}
    }
    loader.stop();
    finish(recorder, feedback, shadows).await;
    guard.observer.finish(LAST_SPANS).await;
    Ok(())
}

/// Has what was predicted written, and what shadows have shown. What takes longer is left in journals,
/// which the next start reads.
async fn finish(recorder: Arc<Recorder>, feedback: Feedback, shadows: Arc<Shadows>) {
    let finish = tokio::task::spawn_blocking(move || {
        feedback.finish();
        recorder.finish();
        shadows.evidence.keep_all();
    });
    if tokio::time::timeout(FINISH_TIMEOUT, finish).await.is_err() {
        tracing::warn!("the prediction log was not closed in time; the next start goes on with it");
    }
}

/// How long the end of the prediction log may take.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

/// The access file; without one, a certificate that callers must show is enough.
fn access(options: &ServeOptions) -> Result<Option<Arc<Access>>, ServeError> {
    let asks_for_certificates = options.net.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    let access = match &options.access.file {
        Some(path) => Some(Access::open(path)?),
        None => asks_for_certificates.then(Access::by_certificate_alone),
    };
    Ok(access.map(Arc::new))
}

/// What is behind the gRPC port, beside reflection.
struct Services {
    scoring: Scoring,
    model_registry: ModelRegistry,
    admin: Admin,
    feedback: Feedback,
    inference: Inference,
    health: HealthChecks,
}

impl Services {
    fn routed(self, options: &ServeOptions) -> Result<Routed, ServeError> {
        let bytes = options.max_message_bytes;
        let models =
            ModelRegistryServiceServer::new(self.model_registry).max_decoding_message_size(bytes);
        let feedback = FeedbackServiceServer::new(self.feedback).max_decoding_message_size(bytes);
        let inference =
            GrpcInferenceServiceServer::new(self.inference).max_decoding_message_size(bytes);
        let others = tonic::service::Routes::new(models)
            .add_service(AdminServiceServer::new(self.admin).max_decoding_message_size(bytes))
            .add_service(feedback)
            .add_service(inference)
            .add_service(HealthServer::new(self.health).max_decoding_message_size(bytes))
            .add_service(reflection().build_v1().map_err(reflection_error)?)
            .add_service(reflection().build_v1alpha().map_err(reflection_error)?)
            .prepare();
        let scoring = ScoringServiceServer::new(self.scoring).max_decoding_message_size(bytes);
        Ok(Routed { scoring, others })
    }
}

/// The services by their paths: scores first, without the way through a router.
#[derive(Debug, Clone)]
struct Routed {
    scoring: ScoringServiceServer<Scoring>,
    others: tonic::service::Routes,
}

impl Service<Request<Body>> for Routed {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // So are all of them, always.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path().starts_with(SCORING_PATH) {
            self.scoring.call(request)
        } else {
            Box::pin(self.others.call(request))
        }
    }
}

/// How long the end waits for the last spans to be sent.
const LAST_SPANS: Duration = Duration::from_secs(2);

const SCORING_PATH: &str = "/segue.v1.ScoringService/";

fn reflection<'a>() -> tonic_reflection::server::Builder<'a> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(segue_api::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

fn reflection_error(source: tonic_reflection::server::Error) -> ServeError {
    ServeError::Resource { action: "describe the services", source: source.into() }
}
