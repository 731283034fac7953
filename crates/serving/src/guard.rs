//! The layer around every RPC: count it, catch its panic, end it in time, refuse it early.
//!
//! tonic answers an expired deadline with CANCELLED and has no limit over all connections, so both
//! are done here, in place of tonic's own.

mod audit;
mod ending;
mod routes;
mod standing;

use std::any::Any;
use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::header::WWW_AUTHENTICATE;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tower::Service;

pub use self::audit::AUDIT_TARGET;
pub(crate) use self::audit::challenge;
use self::ending::End;
pub(crate) use self::ending::StreamEnd;
use self::routes::Route;
pub(crate) use self::routes::Routes;
pub(crate) use self::standing::Standing;
use crate::ServingError;
use crate::access::{Access, Need};
use crate::limits::{Lane, Lease, Limits, Permit};
use crate::metrics::Metrics;
use crate::net::{Answer, BodyBound, Connection, Counted, Lost, StreamPlace, full};
use crate::observe::{Observer, What};

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
    /// For how long a stream may say nothing.
    pub(crate) max_stream_silence: Duration,
    /// `None`: everybody may do everything.
    pub(crate) access: Option<Arc<Access>>,
    pub(crate) observer: Observer,
}

/// A service behind a [`Guard`], for one connection.
#[derive(Debug, Clone)]
pub(crate) struct Guarded<S> {
    inner: S,
    guard: Arc<Guard>,
    connection: Arc<Connection>,
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<S> Guarded<S> {
    pub(crate) fn new(inner: S, guard: Arc<Guard>, connection: Arc<Connection>) -> Self {
        Self { inner, guard, connection }
    }
}

impl<S> hyper::service::Service<Request<Incoming>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Answering;

    /// Called by the connection as soon as the headers are there, so that permits bound what waits
    /// for a thread of the runtime as well, and a refusal is made at once.
    fn call(&self, request: Request<Incoming>) -> Answering {
        let started = Instant::now();
        let Self { guard, connection, .. } = self;
        let route = guard.routes.find(request.uri().path());
        guard.routes.calls(route).started.inc();
        let (mut head, body) = request.into_parts();
        let (what, started_at) = (What::Rpc(route.labels), started.into_std());
        let mut watch = guard.observer.begin(what, &head.headers, started_at);
        let deadline = guard.deadline(route, &head.headers, started);
        let method = route.labels.grpc_method;
        let admitted = guard
            .authorize(method, route.need, &head.headers, connection)
            .and_then(|caller| Ok((caller, guard.hold(route, connection)?)));
        let (caller, held) = match admitted {
            Ok(admitted) => admitted,
            Err(error) => {
                let response = refusal(error);
                connection.take_turn();
                guard.ended(route, response_code(&response), started.elapsed());
                watch.end(response_code(&response));
                return Answering::Refused(Some(Box::new(response)));
            }
        };
        if route.is_short {
            connection.take_turn();
        }
        head.extensions.insert(deadline);
        let changes = route.need.changes().then_some(caller);
        if let Some(caller) = &changes {
            head.extensions.insert(caller.clone());
        }
        let standing = Standing::of(guard, route, &head.headers, connection);
        if let Some(standing) = &standing {
            head.extensions.insert(standing.clone());
        }
        let lease = if let Held::Lease(lease) = &held { Some(Arc::clone(lease)) } else { None };
        let body = Counted::new(body, guard.body_bound(route), lease, connection, &guard.limits)
            .within(route.is_stream.then_some(guard.max_stream_silence));
        let request = Request::from_parts(head, body.for_grpc());
        let (inner, guard) = (self.inner.clone(), Arc::clone(guard));
        let (permit, lease, place) = match held {
            Held::Permit(permit) => (permit, None, None),
            Held::Lease(lease) => (None, Some(lease), None),
            Held::Watch(place) => (None, None, Some(place)),
        };
        let work = guard.worked_on(route, (place, standing), inner, request, connection);
        let (connection, opened_after) = (Arc::clone(connection), None);
        let is_told = false;
        let mut end = End { guard, route, started, changes, connection, opened_after, is_told };
        Answering::Work(Box::pin(async move {
            let outcome = {
                let guard = &end.guard;
                let contained = pin!(async {
                    match lease {
                        None => guard.contain(method, permit, deadline, work).await,
                        Some(lease) => {
                            guard.contain(method, None, deadline, lease.over(work)).await
                        }
                    }
                });
                watch.over(contained).await
            };
            let mut response = outcome.flatten().unwrap_or_else(refusal);
            let code = response_code(&response);
            if route.is_streamed && code == tonic::Code::Ok {
                // A success has no status before the end of its stream.
                let end = response.body_mut().tell_end(StreamEnd::new(end, watch));
                if let Some(end) = end {
                    end.tell(code);
                }
            } else {
                end.tell(code);
                watch.end(code);
            }
            Ok(response)
        }))
    }
}

/// What a request holds while it is worked on.
enum Held {
    /// Of work that ends with its future.
    Permit(Option<Permit>),
    /// Of work that may be done elsewhere.
    Lease(Arc<Lease>),
    /// Of a stream that mostly waits, for as long as it is open.
    Watch(StreamPlace),
}

/// An answer that is there, or is being worked on.
pub(crate) enum Answering {
    Refused(Option<Box<Response<Answer>>>),
    Work(BoxFuture<Result<Response<Answer>, Infallible>>),
}

impl Future for Answering {
    type Output = Result<Response<Answer>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Refused(response) => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(*response)))
            }
            Self::Work(work) => work.as_mut().poll(context),
        }
    }
}

impl Guard {
    /// A permit for a request, unless its connection has left too many answers unread.
    pub(crate) fn admit(
        &self,
        lane: Lane,
        connection: &Connection,
    ) -> Result<Option<Permit>, ServingError> {
        if lane != Lane::Free {
            connection.check_unread().map_err(|unread| self.limits.unread(unread))?;
        }
        self.limits.enter(lane)
    }

    /// What a request holds from now on.
    fn hold(&self, route: Route, connection: &Connection) -> Result<Held, ServingError> {
        let permit = self.admit(route.lane, connection)?;
        Ok(match permit {
            Some(permit) if route.lane == Lane::Watch => {
                let place = connection.enter_watch();
                let place = place.ok_or_else(|| self.limits.watches_of_connection())?;
                Held::Watch((permit, place))
            }
            Some(permit) if route.is_leased => {
                Held::Lease(Lease::new(Some(permit), Arc::clone(connection.budgets())))
            }
            permit => Held::Permit(permit),
        })
    }

    /// Outermost first: panic, deadline, permit, work. Both ports go through here.
    pub(crate) async fn contain<T>(
        &self,
        method: &'static str,
        permit: Option<Permit>,
        deadline: Deadline,
        work: impl Future<Output = T> + Send,
    ) -> Result<T, ServingError> {
        let admitted = async {
            let _permit = permit;
            work.await
        };
        let timed = tokio::time::timeout_at(deadline.0, admitted);
        match caught(&self.metrics, method, timed).await? {
            Ok(answer) => Ok(answer),
            Err(_elapsed) => Err(ServingError::DeadlineExceeded),
        }
    }

    /// The work of a request up to its answer, in one place of memory, so that what is put around it, a
    /// deadline and what is told of it, moves a pointer. A future that is handed to another is kept there
    /// twice, as an argument and as what is waited for: a few of them one around another made 62 kB of a
    /// request.
    fn worked_on<S>(
        &self,
        route: Route,
        (place, standing): (Option<StreamPlace>, Option<Standing>),
        mut inner: S,
        request: Request<Body>,
        connection: &Arc<Connection>,
    ) -> BoxFuture<Result<Response<Answer>, ServingError>>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send + 'static,
        S::Future: Send,
    {
        let (limits, connection) = (Arc::clone(&self.limits), Arc::clone(connection));
        Box::pin(async move {
            let mut lost = standing.map(|standing| -> Lost { Box::pin(standing.lost()) });
            // Called inside, so that a service that panics before its future does not get away.
            let called = async { inner.call(request).await };
            let Ok(response) = match &mut lost {
                None => called.await,
                Some(lost) => tokio::select! {
                    biased;
                    error = lost => return Err(error),
                    response = called => response,
                },
            };
            let (head, body) = response.into_parts();
            let answer = if route.is_streamed {
                Answer::stream(body, connection, limits, place, lost)
            } else {
                full(body, &connection).await.map_err(|unread| limits.unread(unread))?
            };
            Ok(Response::from_parts(head, answer))
        })
    }

    fn ended(&self, route: Route, code: tonic::Code, took: Duration) {
        self.metrics.requests.answered(self.routes.calls(route), code, took);
    }

    /// How many bytes of a request may come, and how they are counted.
    fn body_bound(&self, route: Route) -> BodyBound {
        if route.need == Need::Nothing {
            BodyBound::Tiny
        } else if route.is_stream {
            BodyBound::Messages
        } else {
            BodyBound::Whole(self.limits.max_message_bytes())
        }
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

fn refusal(error: ServingError) -> Response<Answer> {
    let challenge = challenge(&error);
    let mut response = Status::from(error).into_http::<()>().map(|()| Answer::empty());
    if let Some(challenge) = challenge {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// tonic leaves the status of an error beside the answer; a success has none before its trailers.
fn response_code<B>(response: &Response<B>) -> tonic::Code {
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

/// Does `work`; a panic is counted, logged and an internal error.
pub(crate) async fn caught<T>(
    metrics: &Metrics,
    method: &'static str,
    work: impl Future<Output = T> + Send,
) -> Result<T, ServingError> {
    let mut work = pin!(work);
    // Not polled again after a panic, which is an answer.
    let unwound =
        poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        });
    unwound.await.map_err(|panic| {
        metrics.requests.panics.inc();
        tracing::error!(method, panic = panic_text(&*panic), "handler panicked");
        ServingError::Internal
    })
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
        let observer = Observer::new(None, None);
        let max_stream_silence = options.net.max_stream_silence;
        let access = None;
        let guard = Guard {
            routes,
            limits,
            metrics,
            max_request_time,
            max_stream_silence,
            access,
            observer,
        };
        let (now, later) = (Deadline(Instant::now()), Deadline(Instant::now() + FAR));
        let enter = || guard.limits.enter(Lane::Scoring);
        let permit = enter().unwrap();
        let dies = guard.contain("a page", permit, later, async { panic!("no luck") });
        let died: Result<(), _> = dies.await;
        assert!(matches!(died, Err(ServingError::Internal)), "{died:?}");
        assert_eq!(guard.metrics.requests.panics.get(), 1);
        let permit = enter().unwrap();
        let waits = guard.contain("a page", permit, now, std::future::pending::<()>());
        assert!(matches!(waits.await, Err(ServingError::DeadlineExceeded)));
        let permit = enter().unwrap();
        let nested = guard.contain("a page", permit, later, async { enter().map(drop) });
        assert!(matches!(nested.await, Ok(Err(ServingError::Overloaded { .. }))));
        enter().unwrap();
    }

    #[test]
    fn a_panic_has_its_words() {
        let panics: [fn(); 2] = [|| panic!("no luck"), || panic!("no {}", "luck")];
        for panics in panics {
            assert_eq!(panic_text(&*catch_unwind(panics).unwrap_err()), "no luck");
        }
        assert_eq!(panic_text(&7), "no message");
    }
}
