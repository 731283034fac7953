//! What a request turned out to be about: for its span, for its line in the log, and for the line of
//! one that was slow. Never a user, never the value of a feature.
//!
//! Rows are scored far from where a request is measured, sometimes on another thread. What is found out
//! on the way ([`note`]) travels in a task-local of the request, and only if somebody will read it.

mod export;
mod traces;

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use tonic::codegen::http::{HeaderMap, HeaderValue};
use tracing::Level;

use self::traces::RequestSpan;
pub(crate) use self::traces::Traces;
use crate::live::Selected;
use crate::metrics::{MethodLabels, code_name};

/// Target of the lines about single requests: at debug every one, at warn those that were slow.
const REQUEST: &str = "segue::request";

/// Watches every request of both ports.
#[derive(Debug)]
pub(crate) struct Observer {
    slow_after: Option<Duration>,
    traces: Option<Traces>,
}

/// A request that is under way.
#[derive(Debug)]
pub(crate) struct Watch {
    what: What,
    started: Instant,
    slow_after: Option<Duration>,
    is_logged: bool,
    /// Whether it has begun a stream, whose length says nothing of how quick the server is.
    is_open: bool,
    /// As the caller sent it. It is read if a line is written.
    traceparent: Option<HeaderValue>,
    /// Large, and seldom there.
    span: Option<Box<RequestSpan>>,
    found: Found,
}

/// What was asked for, in words that there are only so many of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    /// A method of the gRPC port.
    Rpc(MethodLabels),
    /// A page of the HTTP port, by its pattern.
    Page(&'static str),
}

/// How a request ended.
#[derive(Debug, Clone, Copy)]
enum End {
    Rpc(tonic::Code),
    Page(u16),
}

/// What was found out on the way; nothing if nothing was scored, or nobody was to know.
#[derive(Debug, Clone, Default)]
struct Found {
    /// Those that answered.
    versions: Vec<Version>,
    /// What the caller calls it, or was told to.
    request_id: Option<String>,
}

/// A version that answered, and for how many rows.
#[derive(Debug, Clone)]
struct Version {
    model: String,
    version: u64,
    variant: &'static str,
    n_rows: usize,
}

/// Who would read what is found out, and when that is known only later: from when on.
#[derive(Debug)]
struct Story {
    is_wanted: bool,
    slow_at: Option<Instant>,
    found: RefCell<Found>,
}

tokio::task_local! {
    static STORY: Story;
}

impl Observer {
    /// Requests of at least `slow_after` are told, and spans go to `traces`.
    pub(crate) fn new(slow_after: Option<Duration>, traces: Option<Traces>) -> Self {
        Self { slow_after, traces }
    }

    /// Begins to watch; `headers` may name the span that this request belongs to.
    pub(crate) fn begin(&self, what: What, headers: &HeaderMap, started: Instant) -> Watch {
        Watch {
            what,
            started,
            slow_after: self.slow_after,
            is_logged: tracing::enabled!(target: REQUEST, Level::DEBUG),
            is_open: false,
            traceparent: headers.get(TRACEPARENT).cloned(),
            span: self.traces.as_ref().and_then(|traces| traces.begin(what, headers)).map(Box::new),
            found: Found::default(),
        }
    }

    /// Sends what is left of the spans, for as long as `patience` at the most.
    pub(crate) async fn finish(&self, patience: Duration) {
        if let Some(traces) = &self.traces {
            traces.finish(patience).await;
        }
    }
}

impl Watch {
    /// Does the work of the request, and remembers what it was about.
    pub(crate) async fn over<F: Future>(&mut self, work: F) -> F::Output {
        let story = Story {
            is_wanted: self.is_logged || self.span.is_some(),
            slow_at: self.slow_after.map(|after| self.started + after),
            found: RefCell::default(),
        };
        let mut told = pin!(STORY.scope(story, work));
        let output = told.as_mut().await;
        if let Some(story) = told.take_value() {
            self.found = story.found.into_inner();
        }
        output
    }

    /// The stream has begun. If that took long, it is told now.
    pub(crate) fn opened(&mut self) {
        let took = self.started.elapsed();
        if self.is_slow(took) {
            self.log(End::Rpc(tonic::Code::Ok), took, true);
        }
        self.is_open = true;
    }

    fn is_slow(&self, took: Duration) -> bool {
        !self.is_open && self.slow_after.is_some_and(|after| took >= after)
    }

    /// The RPC has ended.
    pub(crate) fn end(self, code: tonic::Code) {
        self.ended(End::Rpc(code));
    }

    /// The request of a page has ended.
    pub(crate) fn end_page(self, status: u16) {
        self.ended(End::Page(status));
    }

    fn ended(self, end: End) {
        let took = self.started.elapsed();
        let is_slow = self.is_slow(took);
        if is_slow || self.is_logged {
            self.log(end, took, is_slow);
        }
        if let Some(span) = self.span {
            span.end(end, &self.found);
        }
    }

    fn log(&self, end: End, took: Duration, is_slow: bool) {
        let method = match self.what {
            What::Rpc(labels) => format!("{}/{}", labels.grpc_service, labels.grpc_method),
            What::Page(route) => route.to_owned(),
        };
        let code = match end {
            End::Rpc(code) => code_name(code).to_owned(),
            End::Page(status) => status.to_string(),
        };
        let took_ms = took.as_secs_f64() * 1e3;
        let rows = self.found.n_rows();
        let served_by = self.found.names().join(", ");
        // What a request has none of is left out.
        let trace_id = self.trace_id();
        let trace_id = trace_id.as_deref();
        let request_id = self.found.request_id.as_deref();
        if is_slow {
            tracing::warn!(
                target: REQUEST, method, code, took_ms, rows, served_by, trace_id, request_id,
                "slow request"
            );
        } else {
            tracing::debug!(
                target: REQUEST, method, code, took_ms, rows, served_by, trace_id, request_id,
                "request"
            );
        }
    }
}

impl Watch {
    /// The trace that it is part of, also if it is not sampled.
    fn trace_id(&self) -> Option<String> {
        let of_caller = || trace_id_of(self.traceparent.as_ref()?.as_bytes());
        self.span.as_deref().map(RequestSpan::trace_id).or_else(of_caller)
    }
}

/// Header of the W3C's trace context: `VERSION-TRACE-PARENT-FLAGS`.
const TRACEPARENT: &str = "traceparent";

/// Its second part, 32 hexadecimal digits; `None` of anything else, so that nobody writes into the log.
fn trace_id_of(header: &[u8]) -> Option<String> {
    let trace_id = header.split(|byte| *byte == b'-').nth(1)?;
    let is_good = trace_id.len() == 32 && trace_id.iter().all(u8::is_ascii_hexdigit);
    is_good.then(|| trace_id.iter().map(|byte| char::from(*byte)).collect())
}

impl Found {
    /// Each as `MODEL/VERSION VARIANT`.
    fn names(&self) -> Vec<String> {
        let each = self.versions.iter();
        each.map(|one| format!("{}/{} {}", one.model, one.version, one.variant)).collect()
    }

    /// Rows that were scored; all models of a request score the same ones.
    fn n_rows(&self) -> usize {
        let first = self.versions.first().map(|one| &one.model);
        self.versions.iter().filter(|one| Some(&one.model) == first).map(|one| one.n_rows).sum()
    }
}

/// The request has this id, known at `now`. Longer ones are cut: they are their callers' own.
pub(crate) fn name(request_id: &str, now: Instant) {
    let _ = STORY.try_with(|story| {
        if story.is_wanted_at(now) {
            let end = request_id.floor_char_boundary(MAX_ID_BYTES);
            story.found.borrow_mut().request_id = Some(request_id[..end].to_owned());
        }
    });
}

/// Bytes of a request's id that a line has.
const MAX_ID_BYTES: usize = 128;

impl Story {
    fn is_wanted_at(&self, now: Instant) -> bool {
        self.is_wanted || self.slow_at.is_some_and(|slow_at| now >= slow_at)
    }
}

/// So many rows of this request were answered by `selected`, known at `now`.
pub(crate) fn note(selected: &Selected, n_rows: usize, now: Instant) {
    // Outside of a request there is nobody to tell.
    let _ = STORY.try_with(|story| {
        if !story.is_wanted_at(now) {
            return;
        }
        let version = Version {
            model: selected.served.name.clone(),
            version: selected.served.version,
            variant: selected.variant.name(),
            n_rows,
        };
        story.found.borrow_mut().versions.push(version);
    });
}

/// What a thread of the pool needs to [`note`] for the request that it works for.
#[derive(Debug)]
pub(crate) struct Errand(Option<Story>);

/// What it found.
#[derive(Debug)]
pub(crate) struct Report(Found);

impl Errand {
    /// Of the request that is under way on this task.
    pub(crate) fn here() -> Self {
        // The answer may come back when the request has become slow, so the versions are kept.
        let take = |story: &Story| Story {
            is_wanted: story.is_wanted || story.slow_at.is_some(),
            slow_at: story.slow_at,
            found: RefCell::default(),
        };
        Self(STORY.try_with(take).ok())
    }

    /// Does work that may note.
    pub(crate) fn run<T>(self, work: impl FnOnce() -> T) -> (T, Report) {
        let Some(story) = self.0 else { return (work(), Report(Found::default())) };
        STORY.sync_scope(story, || {
            let done = work();
            (done, Report(STORY.with(|story| story.found.take())))
        })
    }
}

impl Report {
    /// Hands over to the request that is under way on this task.
    pub(crate) fn deliver(self) {
        let Found { versions, request_id } = self.0;
        let _ = STORY.try_with(|story| {
            let mut found = story.found.borrow_mut();
            found.versions.extend(versions);
            found.request_id = found.request_id.take().or(request_id);
        });
    }
}
