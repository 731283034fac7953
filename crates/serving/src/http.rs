//! The second port: is the process alive, is it ready, the metrics page, and scores as JSON for those
//! who have no gRPC.

mod api;
mod infer;
mod proto_json;
mod reply;
mod tensor_json;

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::ListenerExt;
use serde_json::json;
use tokio::net::TcpListener;

use crate::ServeError;
use crate::guard::Guard;
use crate::inference_service::Inference;

/// What is behind the port.
#[derive(Debug, Clone)]
pub(crate) struct Pages {
    pub(crate) inference: Inference,
    pub(crate) guard: Arc<Guard>,
}

/// Serves until `done` resolves and what was under way is answered.
pub(crate) async fn serve(
    listener: TcpListener,
    pages: Arc<Pages>,
    done: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics_page))
        .merge(api::routes(&pages))
        .with_state(pages);
    // Answers are small; a socket that cannot take the option is still one.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, routes).with_graceful_shutdown(done).await.map_err(ServeError::Http)
}

/// 200 when scores are given, 503 while loading and while draining; the body says which models.
async fn readiness(State(pages): State<Arc<Pages>>) -> impl IntoResponse {
    let live = &pages.inference.scoring.0.live;
    let readiness = live.readiness();
    let code = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "ready": readiness.ready,
        "draining": readiness.draining,
        "models": readiness.models,
        "errors": live.load_errors(),
    });
    (code, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n"))
}

async fn metrics_page(State(pages): State<Arc<Pages>>) -> impl IntoResponse {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let Guard { metrics, limits, .. } = &*pages.guard;
    metrics.requests.in_flight.set(limits.n_scoring() as i64);
    match metrics.page() {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, OPEN_METRICS)], text),
        Err(error) => {
            let text = format!("cannot write the metrics: {error}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], text)
        }
    }
}
