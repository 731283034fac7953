//! The JSON interface: `POST /v1/score`, and the REST form of the Open Inference Protocol.
//!
//! Every request passes the same guard as on the gRPC port. Its deadline comes in the header
//! `x-request-timeout-ms`.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use segue_api::inference as pb;
use serde::Deserialize;
use tokio::time::Instant;

use super::asker::Asker;
use super::reply::{Dialect, Reply};
use super::{Pages, infer, proto_json};
use crate::access::{Need, Role, VIEWER};
use crate::guard::Deadline;
use crate::inference_service::{Inference, server_metadata};
use crate::limits::{Lane, Lease};
use crate::metrics::HttpLabels;
use crate::net::OverBudget;
use crate::observe::What;
use crate::{Reason, ServingError};

/// What the guard and the metrics know of a page.
#[derive(Debug, Clone, Copy)]
struct Page {
    route: &'static str,
    lane: Lane,
    dialect: Dialect,
    need: Need,
}

const fn page(route: &'static str, lane: Lane, need: Need) -> Page {
    Page { route, lane, dialect: Dialect::Inference, need }
}

const SCORER: Need = Need::Role(Role::Scorer);

const SCORE: Page = Page { dialect: Dialect::Segue, ..page("/v1/score", Lane::Scoring, SCORER) };
const LIVE: Page = page("/v2/health/live", Lane::Free, Need::Nothing);
const READY: Page = page("/v2/health/ready", Lane::Free, Need::Nothing);
const SERVER: Page = page("/v2", Lane::Free, Need::Known);
const MODEL: Page = page("/v2/models/{model}", Lane::Scoring, Need::Known);
const MODEL_READY: Page = page("/v2/models/{model}/ready", Lane::Free, Need::Nothing);
const MODEL_CONFIG: Page = page("/v2/models/{model}/config", Lane::Scoring, Need::Known);
const MODEL_STATS: Page = page("/v2/models/{model}/stats", Lane::Status, VIEWER);
const MODEL_INFER: Page = page("/v2/models/{model}/infer", Lane::Scoring, SCORER);
const INDEX: Page = page("/v2/repository/index", Lane::Status, VIEWER);
const ELSEWHERE: Page = page("unknown", Lane::Free, Need::Nothing);

type Shared = State<Arc<Pages>>;

pub(super) fn routes(pages: &Pages) -> Router<Arc<Pages>> {
    let mut routes = Router::new()
        .route("/v1/score", post(score))
        .route("/v2", get(server))
        .route("/v2/health/live", get(live))
        .route("/v2/health/ready", get(ready))
        .route("/v2/repository/index", post(index));
    for model in ["/v2/models/{model}", "/v2/models/{model}/versions/{version}"] {
        routes = routes
            .route(model, get(metadata))
            .route(&format!("{model}/ready"), get(model_ready))
            .route(&format!("{model}/config"), get(config))
            .route(&format!("{model}/stats"), get(stats))
            .route(&format!("{model}/infer"), post(model_infer));
    }
    routes
        .fallback(elsewhere)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(pages.inference.scoring.0.options.max_message_bytes))
}

/// The model of a path, and its version or alias if there is one.
#[derive(Debug, Deserialize)]
struct Named {
    model: String,
    #[serde(default)]
    version: String,
}

impl FromRequestParts<Arc<Pages>> for Named {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        pages: &Arc<Pages>,
    ) -> Result<Self, Self::Rejection> {
        match Path::from_request_parts(parts, pages).await {
            Ok(Path(named)) => Ok(named),
            Err(_) => {
                let description = "the path is not UTF-8 text";
                let reason = Reason::ModelNameInvalid;
                let error = ServingError::invalid("model_name", reason, description);
                let response = ELSEWHERE.dialect.error(error);
                pages.count(ELSEWHERE, response.status(), Instant::now());
                Err(response)
            }
        }
    }
}

impl Pages {
    /// Answers a request behind the guard, and counts it.
    async fn answer<F>(
        self: Arc<Self>,
        page: Page,
        asker: Asker,
        work: impl FnOnce(Arc<Self>, Deadline) -> F + Send,
    ) -> Response
    where
        F: Future<Output = Result<Reply, ServingError>> + Send,
    {
        let started = Instant::now();
        let pages = Arc::clone(&self);
        let outcome = async {
            let deadline = self.deadline(&asker.headers, started)?;
            if *self.inference.scoring.0.closing.borrow() {
                return Err(ServingError::Draining);
            }
            asker.authorize(&self.guard, page.route, page.need)?;
            let permit = self.guard.admit(page.lane, asker.connection()?)?;
            let lease = Lease::new(permit, Arc::clone(asker.connection()?.budgets()));
            // What is around it would copy it several times.
            let work = lease.over(Box::pin(work(pages, deadline)));
            self.guard.contain(page.route, None, deadline, work).await?
        };
        let observer = &self.guard.observer;
        let mut watch = observer.begin(What::Page(page.route), &asker.headers, started.into_std());
        let response = match watch.over(outcome).await {
            Ok(reply) => reply.into_response(),
            Err(error) => page.dialect.error(error),
        };
        watch.end_page(response.status().as_u16());
        self.count(page, response.status(), started);
        response
    }

    fn count(&self, page: Page, status: StatusCode, started: Instant) {
        let labels =
            HttpLabels { http_route: page.route, http_response_status_code: status.as_u16() };
        let took = started.elapsed().as_secs_f64();
        self.guard.metrics.requests.http.get_or_create(&labels).observe(took);
    }

    fn deadline(&self, headers: &HeaderMap, started: Instant) -> Result<Deadline, ServingError> {
        let most = self.guard.max_request_time;
        let Some(value) = headers.get(TIMEOUT_HEADER) else { return Ok(Deadline(started + most)) };
        let millis = value.to_str().ok().and_then(|text| text.parse::<u32>().ok());
        let Some(millis) = millis else {
            let description = "expected a whole number of milliseconds";
            return Err(ServingError::invalid(TIMEOUT_HEADER, Reason::FieldInvalid, description));
        };
        Ok(Deadline(started + most.min(Duration::from_millis(millis.into()))))
    }

    /// The body, as long as it is not too long and not packed.
    async fn body(&self, request: Request) -> Result<Bytes, ServingError> {
        let encoding = request.headers().get(header::CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| encoding != "identity") {
            let description = "bodies are taken without compression";
            let field = header::CONTENT_ENCODING.as_str();
            return Err(ServingError::invalid(field, Reason::FieldInvalid, description));
        }
        let limit = self.inference.scoring.0.options.max_message_bytes;
        Bytes::from_request(request, &()).await.map_err(|rejection| match rejection {
            BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
                ServingError::MessageTooLarge { limit }
            }
            rejection => over_budget(&rejection).unwrap_or_else(|| {
                ServingError::invalid("body", Reason::FieldInvalid, "the body ended too early")
            }),
        })
    }
}

/// Whether a body ended because there was no room for it.
fn over_budget(error: &(dyn Error + 'static)) -> Option<ServingError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(over) = error.downcast_ref::<OverBudget>() {
            return Some(over.clone().into());
        }
        cause = error.source();
    }
    None
}

/// Milliseconds that the caller waits; the server's own bound holds as well.
const TIMEOUT_HEADER: &str = "x-request-timeout-ms";

async fn score(State(pages): Shared, request: Request) -> Response {
    let asker = Asker::of(&request);
    let work = |pages: Arc<Pages>, deadline| async move {
        let body = pages.body(request).await?;
        let is_small = body.len() <= infer::INLINE_BYTES;
        let shared = Arc::clone(&pages.inference.scoring.0);
        let score = move || {
            let request = proto_json::read(&body)?;
            let answer = shared.score(&shared.live.snapshot(), request, deadline)?;
            proto_json::score_response(&answer).map(Reply::json)
        };
        if is_small { score() } else { pages.inference.on_pool(deadline, score).await }
    };
    pages.answer(SCORE, asker, work).await
}

async fn model_infer(State(pages): Shared, named: Named, request: Request) -> Response {
    let asker = Asker::of(&request);
    let work = |pages: Arc<Pages>, deadline| async move {
        let json_bytes = infer::json_bytes(request.headers())?;
        let body = pages.body(request).await?;
        infer::answer(&pages.inference, named.model, named.version, body, json_bytes, deadline)
            .await
    };
    pages.answer(MODEL_INFER, asker, work).await
}

/// Answers a question that needs no body.
async fn ask(
    pages: Arc<Pages>,
    page: Page,
    asker: Asker,
    question: impl FnOnce(&Inference) -> Result<Reply, ServingError> + Send,
) -> Response {
    let work = |pages: Arc<Pages>, _| async move { question(&pages.inference) };
    pages.answer(page, asker, work).await
}

async fn live(State(pages): Shared, asker: Asker) -> Response {
    ask(pages, LIVE, asker, |_| Ok(Reply::json(br#"{"live":true}"#.to_vec()))).await
}

async fn ready(State(pages): Shared, asker: Asker) -> Response {
    ask(pages, READY, asker, |inference| Ok(Reply::ready(inference.is_ready()))).await
}

async fn server(State(pages): Shared, asker: Asker) -> Response {
    ask(pages, SERVER, asker, |_| {
        proto_json::plain("inference.ServerMetadataResponse", &server_metadata()).map(Reply::json)
    })
    .await
}

async fn model_ready(State(pages): Shared, named: Named, asker: Asker) -> Response {
    ask(pages, MODEL_READY, asker, |inference| {
        Ok(Reply::ready(inference.is_model_ready(&named.model, &named.version)))
    })
    .await
}

async fn metadata(State(pages): Shared, named: Named, asker: Asker) -> Response {
    ask(pages, MODEL, asker, |inference| {
        let metadata = inference.model_metadata_of(&named.model, &named.version)?;
        proto_json::plain("inference.ModelMetadataResponse", &metadata).map(Reply::json)
    })
    .await
}

async fn config(State(pages): Shared, named: Named, asker: Asker) -> Response {
    ask(pages, MODEL_CONFIG, asker, |inference| {
        let config = inference.model_config_of(&named.model, &named.version)?;
        proto_json::plain("inference.ModelConfig", &config).map(Reply::json)
    })
    .await
}

async fn stats(State(pages): Shared, named: Named, asker: Asker) -> Response {
    ask(pages, MODEL_STATS, asker, |inference| {
        let stats = inference.statistics_of(&named.model, &named.version)?;
        proto_json::plain("inference.ModelStatisticsResponse", &stats).map(Reply::json)
    })
    .await
}

/// The body may ask for versions in memory only; what comes back is a bare list.
async fn index(State(pages): Shared, request: Request) -> Response {
    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        #[serde(default)]
        ready: bool,
    }
    let asker = Asker::of(&request);
    let work = |pages: Arc<Pages>, _| async move {
        let body = pages.body(request).await?;
        let asked: Asked =
            if body.is_empty() { Asked::default() } else { proto_json::parse(&body)? };
        let asked = pb::RepositoryIndexRequest { ready: asked.ready, ..Default::default() };
        let index = pages.inference.index(&asked)?;
        let models = index.models.iter();
        let models: Vec<Vec<u8>> = models
            .map(|one| proto_json::plain("inference.RepositoryIndexResponse.ModelIndex", one))
            .collect::<Result<_, _>>()?;
        Ok(Reply::json([b"[", &models.join(&b","[..])[..], b"]"].concat()))
    };
    pages.answer(INDEX, asker, work).await
}

async fn elsewhere(State(pages): Shared) -> Response {
    unserved(&pages, StatusCode::NOT_FOUND, "no such page; /v1/score and /v2 are served")
}

async fn wrong_method(State(pages): Shared) -> Response {
    let what = "no such method of this page: scores and the repository's index are asked for with \
                POST, everything else with GET";
    unserved(&pages, StatusCode::METHOD_NOT_ALLOWED, what)
}

fn unserved(pages: &Pages, status: StatusCode, what: &'static str) -> Response {
    let started = Instant::now();
    let mut response = ELSEWHERE.dialect.error(ServingError::Unimplemented { what });
    *response.status_mut() = status;
    pages.count(ELSEWHERE, status, started);
    response
}
