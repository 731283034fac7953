//! The layer around every RPC: count it, catch its panic, end it in time, refuse it early.
//!
//! tonic answers an expired deadline with CANCELLED and has no limit over all connections, so both
//! are done here, inside of tonic's own timeout.

mod routes;

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tower::{Layer, Service};

use self::routes::Route;
pub(crate) use self::routes::Routes;
use crate::ServingError;
use crate::limits::{Lane, Limits};
use crate::metrics::Metrics;

/// When the answer must be there. An extension of every request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(pub(crate) Instant);

impl Deadline {
    /// Whether it is too late.
    pub(crate) fn check(self) -> Result<(), ServingError> {
        if Instant::now() < self.0 { Ok(()) } else { Err(ServingError::DeadlineExceeded) }
    }

    /// No later than `timeout` from now.
    pub(crate) fn capped(self, timeout: Option<Duration>) -> Self {
        let cap = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Self(cap.map_or(self.0, |cap| cap.min(self.0)))
    }
}

/// What all guarded services share.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) routes: Routes,
    pub(crate) limits: Arc<Limits>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) max_request_time: Duration,
}

/// Puts a [`Guard`] around a service.
#[derive(Debug, Clone)]
pub(crate) struct GuardLayer(pub(crate) Arc<Guard>);

impl<S> Layer<S> for GuardLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, guard: Arc::clone(&self.0) }
    }
}

/// A service behind a [`Guard`].
#[derive(Debug, Clone)]
pub(crate) struct Guarded<S> {
    inner: S,
    guard: Arc<Guard>,
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let started = Instant::now();
        // The clone takes the place of the service that was found ready.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let guard = Arc::clone(&self.guard);
        let route = guard.routes.find(request.uri().path());
        let deadline = guard.deadline(route, request.headers(), started);
        request.extensions_mut().insert(deadline);
        Box::pin(async move {
            let calls = guard.routes.calls(route);
            calls.started.inc();
            let answer = guard.answer(route, deadline, inner, request).await;
            if let Ok(response) = &answer {
                let code = response_code(response);
                guard.metrics.requests.answered(calls, code, started.elapsed());
            }
            answer
        })
    }
}

impl Guard {
    /// Outermost first: panic, deadline, permit, work. Both ports go through here.
    pub(crate) async fn contain<T>(
        &self,
        method: &'static str,
        lane: Lane,
        deadline: Deadline,
        work: impl Future<Output = T> + Send,
    ) -> Result<T, ServingError> {
        let admitted = async {
            // Before the body is read: what is refused costs nothing.
            let _permit = self.limits.enter(lane)?;
            Ok(work.await)
        };
        let timed = tokio::time::timeout_at(deadline.0, admitted);
        match (CatchPanic { future: Box::pin(timed) }).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_elapsed)) => Err(ServingError::DeadlineExceeded),
            Err(panic) => {
                self.metrics.requests.panics.inc();
                tracing::error!(method, panic = panic_text(&*panic), "handler panicked");
                Err(ServingError::Internal)
            }
        }
    }

    async fn answer<S>(
        &self,
        route: Route,
        deadline: Deadline,
        mut inner: S,
        request: Request<Body>,
    ) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>> + Send,
        S::Future: Send,
    {
        // Called inside, so that a service that panics before its future does not get away.
        let work = async move { inner.call(request).await };
        let answer = self.contain(route.labels.grpc_method, route.lane, deadline, work).await;
        answer.unwrap_or_else(|error| Ok(refusal(error)))
    }

    fn deadline(&self, route: Route, headers: &HeaderMap, started: Instant) -> Deadline {
        let asked =
            headers.get("grpc-timeout").and_then(|value| parse_timeout(value.to_str().ok()?));
        let most = if route.is_stream { FAR } else { self.max_request_time };
        // One tick before the caller's own, so that ours is the answer and not tonic's CANCELLED.
        let asked = asked.map_or(most, |time| time.saturating_sub(Duration::from_millis(1)));
        Deadline(started + asked.min(most))
    }
}

/// Longer than any stream lives.
const FAR: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

fn refusal(error: ServingError) -> Response<Body> {
    Status::from(error).into_http()
}

/// tonic leaves the status of an error beside the answer; a success has none before its trailers.
fn response_code(response: &Response<Body>) -> tonic::Code {
    response.extensions().get::<Status>().map_or(tonic::Code::Ok, Status::code)
}

/// The value of `grpc-timeout`: up to eight digits and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(n * 3600)),
        "M" => Some(Duration::from_secs(n * 60)),
        "S" => Some(Duration::from_secs(n)),
        "m" => Some(Duration::from_millis(n)),
        "u" => Some(Duration::from_micros(n)),
        "n" => Some(Duration::from_nanos(n)),
        _ => None,
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// A future whose panic is an error. It is not polled again after one.
struct CatchPanic<F> {
    future: Pin<Box<F>>,
}

impl<F: Future> Future for CatchPanic<F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.future.as_mut();
        match std::panic::catch_unwind(AssertUnwindSafe(|| future.poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_read_as_the_protocol_says() {
        assert_eq!(parse_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse_timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for bad in ["", "m", "12", "-1S", "123456789S", "1x", "1é"] {
            assert_eq!(parse_timeout(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn what_is_contained_gives_its_permit_back_however_it_ends() {
        let options = crate::ServeOptions { max_in_flight: 1, ..crate::ServeOptions::default() };
        let metrics = Arc::new(Metrics::new());
        let limits = Arc::new(Limits::new(&options, Arc::clone(&metrics)));
        let max_request_time = options.max_request_time;
        let routes = Routes::new(&metrics);
        let guard = Guard { routes, limits, metrics, max_request_time };
        let (now, later) = (Deadline(Instant::now()), Deadline(Instant::now() + FAR));
        let dies = guard.contain("a page", Lane::Scoring, later, async { panic!("no luck") });
        let died: Result<(), _> = dies.await;
        assert!(matches!(died, Err(ServingError::Internal)), "{died:?}");
        assert_eq!(guard.metrics.requests.panics.get(), 1);
        let waits = guard.contain("a page", Lane::Scoring, now, std::future::pending::<()>());
        assert!(matches!(waits.await, Err(ServingError::DeadlineExceeded)));
        let nested = guard.contain("a page", Lane::Scoring, later, async {
            guard.contain("another", Lane::Scoring, later, async {}).await
        });
        assert!(matches!(nested.await, Ok(Err(ServingError::Overloaded { .. }))));
        guard.contain("a page", Lane::Scoring, later, async {}).await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_an_error_with_its_words() {
        let dies = async { panic!("no {}", "luck") };
        let caught: Result<(), _> = CatchPanic { future: Box::pin(dies) }.await;
        let panic: Box<dyn Any + Send> = caught.unwrap_err();
        assert_eq!(panic_text(&*panic), "no luck");
    }
}
