//! How much is done at once: permits, and what happens without one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::{Metrics, ReasonLabels};
use crate::net::{Budgets, OverBudget, Unread, WATCHES_PER_CONNECTION};
use crate::{ServeOptions, ServingError};

/// What a request takes a permit for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Scores, one permit a request or a message of a stream.
    Scoring,
    /// Reads of the registry.
    Registry,
    /// Its changes: however many read it, and however long that takes, a rollback finds room.
    Changes,
    /// Answers from memory about the server, for which no registry need answer.
    Status,
    /// Outcomes, one permit a request or a stream.
    Feedback,
    /// Streams that mostly wait: health and reflection. The permit lasts as long as the stream.
    Watch,
    /// Always let in; what runs for long takes its permits itself.
    Free,
}

/// A place among the requests that are worked on, until it is dropped.
pub(crate) type Permit = OwnedSemaphorePermit;

/// What a request holds until the last of its work is done, wherever that is done and also if its
/// caller has left: otherwise requests that are given up would queue without a bound.
#[derive(Debug)]
pub(crate) struct Lease {
    _permit: Option<Permit>,
    n_bytes: AtomicUsize,
    budgets: Arc<Budgets>,
}

tokio::task_local! {
    static LEASE: Arc<Lease>;
}

impl Lease {
    pub(crate) fn new(permit: Option<Permit>, budgets: Arc<Budgets>) -> Arc<Self> {
        Arc::new(Self { _permit: permit, n_bytes: AtomicUsize::new(0), budgets })
    }

    /// Bytes that were taken from the budget of requests, and that what was made of them still takes.
    pub(crate) fn keep_bytes(&self, n_bytes: usize) {
        self.n_bytes.fetch_add(n_bytes, Ordering::Relaxed);
    }

    /// Does work that may take [`Lease::here`] along.
    pub(crate) async fn over<F: Future>(self: Arc<Self>, work: F) -> F::Output {
        LEASE.scope(self, work).await
    }

    /// The lease of the request that is under way on this task, for its work elsewhere.
    pub(crate) fn here() -> Option<Arc<Self>> {
        LEASE.try_with(Arc::clone).ok()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budgets.requests.give_back(*self.n_bytes.get_mut());
    }
}

/// The permits of the whole process.
#[derive(Debug)]
pub(crate) struct Limits {
    scoring: Gate,
    registry: Gate,
    changes: Gate,
    status: Gate,
    feedback: Gate,
    performance: Gate,
    streams: Gate,
    watches: Gate,
    uploads: Gate,
    retry_after: Duration,
    max_message_bytes: usize,
    metrics: Arc<Metrics>,
}

/// Uploads at once: each may hold as many bytes as the largest version has.
const MAX_UPLOADS: usize = 1;

/// Each is short, and asked by people and by what watches servers.
const MAX_STATUS: usize = 64;

/// Questions about performance at once: each reads the log.
const MAX_MEASURING: usize = 2;

#[derive(Debug)]
struct Gate {
    permits: Arc<Semaphore>,
    limit: usize,
    what: &'static str,
    /// Label of the metric.
    reason: &'static str,
}

impl Gate {
    fn new(limit: usize, what: &'static str, reason: &'static str) -> Self {
        let permits = Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS)));
        Self { permits, limit, what, reason }
    }
}

impl Limits {
    /// Limits as the options say.
    pub(crate) fn new(options: &ServeOptions, metrics: Arc<Metrics>) -> Self {
        // Whatever others do, a connection gets those that it may have.
        let max_watches = options.net.max_connections.saturating_mul(WATCHES_PER_CONNECTION);
        Self {
            scoring: Gate::new(options.max_in_flight, "scoring requests", "scoring_requests"),
            registry: Gate::new(
                options.max_in_flight_registry,
                "registry requests",
                "registry_requests",
            ),
            changes: Gate::new(
                options.max_in_flight_registry,
                "changes of the registry",
                "registry_changes",
            ),
            status: Gate::new(MAX_STATUS, "questions about the server", "status_requests"),
            feedback: Gate::new(
                options.max_in_flight_feedback,
                "outcome requests",
                "outcome_requests",
            ),
            performance: Gate::new(MAX_MEASURING, "questions about performance", "performance"),
            streams: Gate::new(options.max_streams, "streams", "streams"),
            watches: Gate::new(max_watches, "watches", "watches"),
            uploads: Gate::new(MAX_UPLOADS, "uploads", "uploads"),
            retry_after: options.retry_after,
            max_message_bytes: options.max_message_bytes,
            metrics,
        }
    }

    /// Bytes that a request may have.
    pub(crate) fn max_message_bytes(&self) -> usize {
        self.max_message_bytes
    }

    /// Counts a refusal because of answers that were not read.
    pub(crate) fn unread(&self, unread: Unread) -> ServingError {
        let Unread { what, limit } = unread;
        self.refuse("unread_answers", what, limit)
    }

    /// Counts a refusal because of bytes of requests that are being received.
    pub(crate) fn request_bytes(&self, limit: usize) -> OverBudget {
        self.count("request_bytes");
        OverBudget { limit, retry_after: self.retry_after }
    }

    /// Counts a refusal because of watches that the connection has already.
    pub(crate) fn watches_of_connection(&self) -> ServingError {
        self.refuse("watches", "watches of this connection", WATCHES_PER_CONNECTION)
    }

    /// A permit for a request, `None` for the free lane. Never waits.
    pub(crate) fn enter(&self, lane: Lane) -> Result<Option<Permit>, ServingError> {
        match lane {
            Lane::Scoring => self.take(&self.scoring).map(Some),
            Lane::Registry => self.take(&self.registry).map(Some),
            Lane::Changes => self.take(&self.changes).map(Some),
            Lane::Status => self.take(&self.status).map(Some),
            Lane::Feedback => self.take(&self.feedback).map(Some),
            Lane::Watch => self.take(&self.watches).map(Some),
            Lane::Free => Ok(None),
        }
    }

    /// A permit for a stream that is open.
    pub(crate) fn enter_stream(&self) -> Result<Permit, ServingError> {
        self.take(&self.streams)
    }

    /// A permit for a question about performance, which may go on after its caller has left.
    pub(crate) fn enter_performance(&self) -> Result<Permit, ServingError> {
        self.take(&self.performance)
    }

    /// A permit for a version that is being uploaded.
    pub(crate) fn enter_upload(&self) -> Result<OwnedSemaphorePermit, ServingError> {
        self.take(&self.uploads)
    }

    /// Of each limit its name, how much of it is in use, and how much there is.
    pub(crate) fn in_use(&self) -> [(&'static str, usize, usize); 9] {
        let Self { scoring, registry, changes, status, feedback, .. } = self;
        let Self { performance, streams, watches, uploads, .. } = self;
        let gates =
            [scoring, registry, changes, status, feedback, performance, streams, watches, uploads];
        gates.map(|gate| {
            let in_use = gate.limit.saturating_sub(gate.permits.available_permits());
            (gate.reason, in_use, gate.limit)
        })
    }

    /// Scoring requests being worked on.
    pub(crate) fn n_scoring(&self) -> usize {
        self.scoring.limit.saturating_sub(self.scoring.permits.available_permits())
    }

    fn take(&self, gate: &Gate) -> Result<Permit, ServingError> {
        let permit = Arc::clone(&gate.permits).try_acquire_owned();
        permit.map_err(|_| self.refuse(gate.reason, gate.what, gate.limit))
    }

    fn refuse(&self, reason: &'static str, what: &'static str, limit: usize) -> ServingError {
        self.count(reason);
        ServingError::Overloaded { what, limit, retry_after: self.retry_after }
    }

    fn count(&self, reason: &'static str) {
        self.metrics.requests.shed.get_or_create(&ReasonLabels { reason }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_counted() {
        let metrics = Arc::new(Metrics::new());
        let limits = Limits::new(&ServeOptions::default(), Arc::clone(&metrics));
        let _measuring = [(); MAX_MEASURING].map(|()| limits.enter_performance().unwrap());
        let refused = limits.enter_performance().unwrap_err();
        assert!(matches!(refused, ServingError::Overloaded { limit: MAX_MEASURING, .. }));
        let told = |reason| metrics.requests.shed.get_or_create(&ReasonLabels { reason }).get();
        assert_eq!(told("performance"), 1);
    }

    #[tokio::test]
    async fn a_lease_lasts_until_the_last_of_its_work() {
        let options = ServeOptions { max_in_flight: 1, ..ServeOptions::default() };
        let budgets = Arc::new(Budgets::new(&options));
        let limits = Limits::new(&options, Arc::new(Metrics::new()));
        let permit = limits.enter(Lane::Scoring).unwrap();
        assert!(budgets.requests.take(100));
        let lease = Lease::new(permit, Arc::clone(&budgets));
        lease.keep_bytes(100);
        assert!(Lease::here().is_none());
        let elsewhere = lease.over(async { Lease::here() }).await;
        assert_eq!(budgets.requests.used(), 100);
        assert!(limits.enter(Lane::Scoring).is_err());
        drop(elsewhere);
        assert_eq!(budgets.requests.used(), 0);
        limits.enter(Lane::Scoring).unwrap();
    }
}
