//! The second port: is the process alive, is it ready, the metrics page, and scores as JSON for those
//! who have no gRPC.

mod api;
mod asker;
mod infer;
mod proto_json;
mod reply;
mod tensor_json;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use self::asker::Asker;
use self::reply::Dialect;
use crate::access::Need;
use crate::guard::Guard;
use crate::inference_service::Inference;
use crate::net::{Budgets, PageLimits};
use crate::scoring_service::Shared;

/// What is behind the port.
#[derive(Debug, Clone)]
pub(crate) struct Pages {
    pub(crate) inference: Inference,
    pub(crate) guard: Arc<Guard>,
    pub(crate) budgets: Arc<Budgets>,
    /// Who may see the metrics.
    pub(crate) metrics_need: Need,
}

/// Every page of the port.
pub(crate) fn routes(pages: Arc<Pages>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics_page))
        .merge(api::routes(&pages))
        .with_state(pages)
}

/// What a request of the port may have, and how an answer without room is refused.
pub(crate) fn limits(guard: &Arc<Guard>) -> PageLimits {
    let limits = Arc::clone(&guard.limits);
    PageLimits {
        limits: Arc::clone(&limits),
        refuse: Arc::new(move |unread| Dialect::Inference.error(limits.unread(unread))),
    }
}

/// 200 when scores are given, 503 while loading and while draining; the body says which models.
/// They are for those who may look around.
async fn readiness(State(pages): State<Arc<Pages>>, asker: Asker) -> impl IntoResponse {
    let live = &pages.inference.scoring.0.live;
    let readiness = live.readiness();
    let code = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut body = json!({ "ready": readiness.ready, "draining": readiness.draining });
    // Probes ask without credentials, and are not refused for it.
    if pages.guard.access.is_none() || asker.may_view(&pages.guard) {
        body["models"] = json!(readiness.models);
        body["errors"] = json!(live.load_errors());
    }
    (code, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n"))
}

async fn metrics_page(State(pages): State<Arc<Pages>>, asker: Asker) -> Response {
    if let Err(error) = asker.authorize(&pages.guard, "/metrics", pages.metrics_need) {
        return Dialect::Segue.error(error);
    }
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let Guard { metrics, limits, .. } = &*pages.guard;
    pages.inference.scoring.0.recorder.before_scrape();
    metrics.requests.in_flight.set(limits.n_scoring() as i64);
    let Shared { live, options, .. } = &*pages.inference.scoring.0;
    // One look may be under way, and the next is due after an interval.
    let stale = live.registry_stale(2 * options.poll_interval);
    metrics.models.registry_stale.set(stale.as_secs_f64());
    metrics.net.unread_bytes.set(pages.budgets.answers.used() as i64);
    metrics.net.request_bytes.set(pages.budgets.requests.used() as i64);
    match metrics.page() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            let text = format!("cannot write the metrics: {error}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
        }
    }
}
