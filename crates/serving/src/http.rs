//! The second port: is the process alive, is it ready, and the metrics page.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;

use crate::ServeError;
use crate::limits::Limits;
use crate::live::LiveModels;
use crate::metrics::Metrics;

#[derive(Debug, Clone)]
struct Page {
    live: Arc<LiveModels>,
    limits: Arc<Limits>,
    metrics: Arc<Metrics>,
}

/// Serves until it is dropped.
pub(crate) async fn serve(
    listener: TcpListener,
    live: Arc<LiveModels>,
    limits: Arc<Limits>,
    metrics: Arc<Metrics>,
) -> Result<(), ServeError> {
    let pages = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics_page))
        .with_state(Page { live, limits, metrics });
    axum::serve(listener, pages).await.map_err(ServeError::Http)
}

/// 200 when scores are given, 503 while loading and while draining; the body says which models.
async fn readiness(State(page): State<Page>) -> impl IntoResponse {
    let readiness = page.live.readiness();
    let code = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "ready": readiness.ready,
        "draining": readiness.draining,
        "models": readiness.models,
        "errors": page.live.load_errors(),
    });
    (code, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n"))
}

async fn metrics_page(State(page): State<Page>) -> impl IntoResponse {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    page.metrics.in_flight.set(page.limits.n_scoring() as i64);
    match page.metrics.page() {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, OPEN_METRICS)], text),
        Err(error) => {
            let text = format!("cannot write the metrics: {error}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], text)
        }
    }
}
