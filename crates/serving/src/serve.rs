//! From bound sockets to a clean end.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use segue_api::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use segue_api::v1::model_registry_service_server::ModelRegistryServiceServer;
use segue_api::v1::scoring_service_server::ScoringServiceServer;
use segue_registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::Server;
use tonic::transport::server::{Router, TcpIncoming};
use tonic_health::pb::health_server::HealthServer;
use tower::layer::util::{Identity, Stack};

use crate::guard::{Guard, GuardLayer, Routes};
use crate::health::HealthChecks;
use crate::http::Pages;
use crate::inference_service::Inference;
use crate::limits::Limits;
use crate::live::{LiveModels, Loader};
use crate::metrics::Metrics;
use crate::pool::ScoringPool;
use crate::registry_service::ModelRegistry;
use crate::scoring_service::Scoring;
use crate::traffic::Shadows;
use crate::{ServeError, ServeOptions, http};

/// Serves until `shutdown` resolves and what was under way is answered.
///
/// gRPC is on `grpc`; `/healthz`, `/readyz`, `/metrics` and the JSON interface (`/v1/score`, `/v2`)
/// are on `http`. Both sockets accept at once;
/// health says NOT_SERVING until the models are loaded. When `shutdown` resolves, health says
/// NOT_SERVING again while requests are still taken for `pre_drain`; then nothing new is taken,
/// streams end with UNAVAILABLE, and after `drain_timeout` at the latest this returns.
///
/// # Errors
/// [`ServeError`] if an option is out of range, a thread cannot be started, or a socket fails.
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
    let shadows = Arc::new(Shadows::start(options.max_shadow_rows, &metrics)?);
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
    );
    let model_registry = ModelRegistry {
        registry,
        live: Arc::clone(&live),
        loader: loader.clone(),
        metrics: Arc::clone(&metrics),
        limits: Arc::clone(&limits),
        max_upload_bytes: options.max_upload_bytes,
        max_upload_time: options.max_upload_time,
        closing: is_closing.clone(),
        shadows,
    };
    let guard = Arc::new(Guard {
        routes: Routes::new(&metrics),
        limits: Arc::clone(&limits),
        metrics: Arc::clone(&metrics),
        max_request_time: options.max_request_time,
    });
    let inference = Inference { scoring: scoring.clone(), registry: model_registry.clone() };
    let pages = Arc::new(Pages { inference: inference.clone(), guard: Arc::clone(&guard) });
    let services = Services { scoring, model_registry, inference, health };
    let server = services.router(&options, GuardLayer(guard))?;
    let grpc = server.serve_with_incoming_shutdown(
        TcpIncoming::from(grpc).with_nodelay(Some(true)),
        until_true(is_closing),
    );
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
        let outcome = grpc.await.map_err(ServeError::Grpc);
        grpc_over.send_replace(true);
        outcome
    };
    // The metrics page stays until the last request of the other port is answered.
    let http = http::serve(http, pages, until_true(is_grpc_over));
    let outcome = tokio::select! {
        outcome = async { tokio::try_join!(grpc, http) } => outcome.map(|_| ()),
        () = drain => Ok(()),
    };
    loader.stop();
    outcome
}

/// What is behind the gRPC port, beside reflection.
struct Services {
    scoring: Scoring,
    model_registry: ModelRegistry,
    inference: Inference,
    health: HealthChecks,
}

impl Services {
    fn router(
        self,
        options: &ServeOptions,
        guard: GuardLayer,
    ) -> Result<Router<Stack<GuardLayer, Identity>>, ServeError> {
        let bytes = options.max_message_bytes;
        let scoring = ScoringServiceServer::new(self.scoring).max_decoding_message_size(bytes);
        let models =
            ModelRegistryServiceServer::new(self.model_registry).max_decoding_message_size(bytes);
        let inference =
            GrpcInferenceServiceServer::new(self.inference).max_decoding_message_size(bytes);
        Ok(guarded_server(options, guard)
            .add_service(scoring)
            .add_service(models)
            .add_service(inference)
            .add_service(HealthServer::new(self.health))
            .add_service(reflection().build_v1().map_err(reflection_error)?)
            .add_service(reflection().build_v1alpha().map_err(reflection_error)?))
    }
}

/// The transport, and the guard around whatever it is to serve.
fn guarded_server(
    options: &ServeOptions,
    guard: GuardLayer,
) -> Server<Stack<GuardLayer, Identity>> {
    Server::builder()
        .layer(guard)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(options.max_streams_per_connection)
        .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_RESETS))
}

/// Streams that a caller opened and took back before they were looked at; hyper's own default of 20
/// closes connections of callers with short deadlines.
const MAX_PENDING_RESETS: usize = 1024;

const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Resolves when the value is true, or can no longer become it.
async fn until_true(mut flag: watch::Receiver<bool>) {
    // An error says that the sender has gone, which is as good.
    let _ = flag.wait_for(|flag| *flag).await;
}

fn reflection<'a>() -> tonic_reflection::server::Builder<'a> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(segue_api::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

fn reflection_error(source: tonic_reflection::server::Error) -> ServeError {
    ServeError::Resource { action: "describe the services", source: source.into() }
}
