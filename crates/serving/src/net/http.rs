//! HTTP/1.1 for the other port.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;
use tower::Service;

use super::accept::{Port, Served};
use super::answer::{Answer, full};
use super::connection::{Connection, Unread};
use super::io::Io;
use super::request::{BodyBound, Counted};
use crate::limits::Limits;

/// Headers of a request.
const MAX_HEADERS: usize = 64;

/// The routes, for one connection.
#[derive(Clone)]
pub(super) struct Paged {
    routes: Router,
    connection: Arc<Connection>,
    limits: PageLimits,
}

/// What a request of the HTTP port may have.
#[derive(Clone)]
pub(crate) struct PageLimits {
    pub(crate) limits: Arc<Limits>,
    /// Writes that an answer finds no room.
    pub(crate) refuse: Arc<dyn Fn(Unread) -> axum::response::Response + Send + Sync>,
}

type PageFuture = Pin<Box<dyn Future<Output = Result<Response<Answer>, Infallible>> + Send>>;

impl hyper::service::Service<Request<Incoming>> for Paged {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = PageFuture;

    fn call(&self, request: Request<Incoming>) -> PageFuture {
        let Self { routes, connection, limits } = self;
        let (mut routes, connection) = (routes.clone(), Arc::clone(connection));
        let limits = limits.clone();
        let bound = BodyBound::Whole(limits.limits.max_message_bytes());
        let count = |body| Counted::new(body, bound, None, &connection, &limits.limits);
        let mut request = request.map(|body| axum::body::Body::new(count(body)));
        request.extensions_mut().insert(Arc::clone(&connection));
        Box::pin(async move {
            // A router is always ready, and never fails.
            let Ok(response) = routes.call(request).await;
            let (head, body) = response.into_parts();
            Ok(match full(body, &connection).await {
                Ok(answer) => Response::from_parts(head, answer),
                Err(unread) => {
                    // As short as an error is, it need not be counted.
                    let (head, body) = (limits.refuse)(unread).into_parts();
                    Response::from_parts(head, Answer::uncounted(body).await)
                }
            })
        })
    }
}

type Http1 = http1::Connection<TokioIo<Io>, Paged>;

impl Served for Http1 {
    /// Its timeout for headers begins with the connection.
    const BOUNDS_SILENCE: bool = true;

    fn close(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl Port {
    /// Answers with `routes`.
    pub(crate) async fn serve_http(
        self,
        routes: Router,
        limits: PageLimits,
        closing: watch::Receiver<bool>,
    ) {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(self.options.header_timeout)
            .max_headers(MAX_HEADERS)
            .max_header_size(self.options.max_header_bytes as usize);
        let begin = move |io, connection| {
            let paged = Paged { routes: routes.clone(), connection, limits: limits.clone() };
            http1.serve_connection(TokioIo::new(io), paged)
        };
        self.serve(closing, begin).await;
    }
}
