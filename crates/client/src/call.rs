//! One call: its deadline, its attempts, its credentials.

use std::error::Error as _;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;
use tonic::metadata::{Ascii, AsciiMetadataKey, MetadataMap, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, TimeoutExpired};

use crate::packed::Schemas;
use crate::{ClientBuilder, Error, Failure, RetryPolicy};

/// A client of one server, or of several that serve the same registry. Clones share connections and
/// schemas.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    transport: Transport,
    deadline: Duration,
    change_deadline: Duration,
    retry: RetryPolicy,
    pub(crate) max_message_bytes: usize,
    pub(crate) schemas: Schemas,
}

/// The connection with the key that every call shows. The generated clients of [`crate::proto`] take it,
/// for calls that have no method here; deadline and retry are then the caller's.
pub type Transport = InterceptedService<Channel, BearerKey>;

/// Puts the key on a request.
#[derive(Debug, Clone)]
pub struct BearerKey(Option<MetadataValue<Ascii>>);

impl Interceptor for BearerKey {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(key) = &self.0 {
            request.metadata_mut().insert("authorization", key.clone());
        }
        Ok(request)
    }
}

/// What one call may differ in from the client's own settings.
#[derive(Debug, Clone, Default)]
pub struct CallOptions {
    pub(crate) deadline: Option<Duration>,
    pub(crate) retry: Option<RetryPolicy>,
    pub(crate) metadata: MetadataMap,
    pub(crate) bad_metadata: Option<String>,
}

impl CallOptions {
    pub(crate) fn header(&mut self, name: &str, value: &str) {
        let pair = (name.parse::<AsciiMetadataKey>(), value.parse::<MetadataValue<Ascii>>());
        match pair {
            (Ok(name), Ok(value)) => drop(self.metadata.insert(name, value)),
            _ => self.bad_metadata = Some(name.to_owned()),
        }
    }
}

/// The settings that every call has, as methods of its builder.
macro_rules! call_options {
    () => {
        /// How long this call may take, over all its attempts; [`Duration::MAX`](std::time::Duration::MAX)
        /// for as long as it takes.
        pub fn deadline(mut self, deadline: std::time::Duration) -> Self {
            self.call.deadline = Some(deadline);
            self
        }

        /// How often this call is tried.
        pub fn retry(mut self, policy: $crate::RetryPolicy) -> Self {
            self.call.retry = Some(policy);
            self
        }

        /// A header of this call, such as `traceparent`.
        pub fn header(mut self, name: &str, value: &str) -> Self {
            self.call.header(name, value);
            self
        }
    };
}
pub(crate) use call_options;

impl Client {
    /// A client of the server at `url`, with the defaults of [`Client::builder`].
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`].
    pub fn connect(url: impl Into<String>) -> Result<Self, Error> {
        Self::builder(url).connect()
    }

    /// Settings of a client of the server at `url`, which is `http://HOST:PORT` or `https://HOST:PORT`.
    #[must_use]
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(url.into())
    }

    pub(crate) fn over(
        channel: Channel,
        key: Option<MetadataValue<Ascii>>,
        deadline: Duration,
        change_deadline: Duration,
        retry: RetryPolicy,
        max_message_bytes: usize,
    ) -> Self {
        let transport = InterceptedService::new(channel, BearerKey(key));
        let schemas = Schemas::default();
        let shared =
            Shared { transport, deadline, change_deadline, retry, max_message_bytes, schemas };
        Self { shared: Arc::new(shared) }
    }

    /// What the generated clients of [`crate::proto`] take.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.shared.transport.clone()
    }

    /// When a call that starts now must be over.
    pub(crate) fn until(&self, options: &CallOptions) -> Instant {
        after(options.deadline.unwrap_or(self.shared.deadline))
    }

    /// The same for a change of the registry.
    pub(crate) fn change_until(&self, options: &CallOptions) -> Instant {
        after(options.deadline.unwrap_or(self.shared.change_deadline))
    }

    /// Sends `request` until it is answered with anything but UNAVAILABLE, attempts run out, or it is
    /// too late.
    pub(crate) async fn unary<Q, A, F>(
        &self,
        options: &CallOptions,
        until: Instant,
        request: Q,
        send: impl Fn(Transport, Request<Q>) -> F,
    ) -> Result<A, Error>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let policy = options.retry.as_ref().unwrap_or(&self.shared.retry);
        let max_attempts = policy.max_attempts.max(1);
        let mut last = Some(request);
        let mut n_attempts = 0;
        loop {
            n_attempts += 1;
            let is_last = n_attempts >= max_attempts;
            let request = if is_last { last.take() } else { last.clone() };
            // It is there: the last attempt alone takes it.
            let Some(request) = request else { return Err(too_late(n_attempts, None)) };
            let request = self.request(options, until, request)?;
            let attempt = send(self.transport(), request);
            let status = match tokio::time::timeout_at(until, attempt).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => status,
                Err(_elapsed) => return Err(too_late(n_attempts, None)),
            };
            if expired(&status) {
                return Err(too_late(n_attempts, None));
            }
            let failed = Error::after(&status, n_attempts);
            if status.code() != Code::Unavailable || is_last {
                return Err(failed);
            }
            let asked = failed.failure().and_then(|failure| failure.retry_delay);
            let next = after(policy.wait(n_attempts, asked));
            if next >= until {
                // Nothing would come of waiting: what the server said is worth more.
                return Err(failed);
            }
            tokio::time::sleep_until(next).await;
        }
    }

    /// The request with its metadata and what is left of its time.
    pub(crate) fn request<Q>(
        &self,
        options: &CallOptions,
        until: Instant,
        message: Q,
    ) -> Result<Request<Q>, Error> {
        if let Some(name) = &options.bad_metadata {
            let expected = "a header of printable ASCII characters".to_owned();
            return Err(Error::Option { option: "header", found: name.clone(), expected });
        }
        let mut request = Request::new(message);
        *request.metadata_mut() = options.metadata.clone();
        request.set_timeout(until.saturating_duration_since(Instant::now()));
        Ok(request)
    }
}

/// What is for ever ends in thirty years: a clock cannot count further than it can.
fn after(wait: Duration) -> Instant {
    const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
    Instant::now() + wait.min(FOR_EVER)
}

/// tonic keeps `grpc-timeout` on this side too, and calls it CANCELLED.
fn expired(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<TimeoutExpired>() {
            return true;
        }
        cause = error.source();
    }
    status.code() == Code::Cancelled && status.message() == TimeoutExpired(()).to_string()
}

/// The answer to a call whose time is up, whoever noticed.
pub(crate) fn too_late(n_attempts: u32, message: Option<&str>) -> Error {
    let message = message.unwrap_or("no answer before the deadline");
    let status = Status::deadline_exceeded(message);
    Failure { n_attempts, ..Failure::from(&status) }.into()
}

/// An id that no other request has, so that the server knows a repeat when it sees one.
pub(crate) fn fresh_id() -> String {
    format!("{:032x}", rand::rng().random::<u128>())
}
