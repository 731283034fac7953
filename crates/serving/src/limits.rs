//! How much is done at once: permits, and what happens without one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::{Metrics, ReasonLabels};
use crate::net::{Budgets, Unread};
use crate::{ServeOptions, ServingError};

/// What a request takes a permit for. Health and reflection need none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Scores, one permit a request or a message of a stream.
    Scoring,
    /// Reads and changes of the registry.
    Registry,
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
    feedback: Gate,
    streams: Gate,
    watches: Gate,
    uploads: Gate,
    retry_after: Duration,
    max_message_bytes: usize,
    metrics: Arc<Metrics>,
}

/// Uploads at once: each may hold as many bytes as the largest version has.
const MAX_UPLOADS: usize = 1;

/// Every connection may have one of its own; clients that balance their load open one.
const MIN_WATCHES: usize = 64;

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
        Self {
            scoring: Gate::new(options.max_in_flight, "scoring requests", "scoring_requests"),
            registry: Gate::new(
                options.max_in_flight_registry,
                "registry requests",
                "registry_requests",
            ),
            feedback: Gate::new(
                options.max_in_flight_feedback,
                "outcome requests",
                "outcome_requests",
            ),
            streams: Gate::new(options.max_streams, "streams", "streams"),
            watches: Gate::new(options.net.max_connections.max(MIN_WATCHES), "watches", "watches"),
            uploads: Gate::new(MAX_UPLOADS, "uploads", "uploads"),
            retry_after: options.retry_after,
            max_message_bytes: options.max_message_bytes,
            metrics,
        }
    }

    /// What a caller is told to wait.
    pub(crate) fn retry_after(&self) -> Duration {
        self.retry_after
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

    /// A permit for a request, `None` for the free lane. Never waits.
    pub(crate) fn enter(&self, lane: Lane) -> Result<Option<Permit>, ServingError> {
        match lane {
            Lane::Scoring => self.take(&self.scoring).map(Some),
            Lane::Registry => self.take(&self.registry).map(Some),
            Lane::Feedback => self.take(&self.feedback).map(Some),
            Lane::Watch => self.take(&self.watches).map(Some),
            Lane::Free => Ok(None),
        }
    }

    /// A permit for a stream that is open.
    pub(crate) fn enter_stream(&self) -> Result<Permit, ServingError> {
        self.take(&self.streams)
    }

    /// A permit for a version that is being uploaded.
    pub(crate) fn enter_upload(&self) -> Result<OwnedSemaphorePermit, ServingError> {
        self.take(&self.uploads)
    }

    /// Of each limit its name, how much of it is in use, and how much there is.
    pub(crate) fn in_use(&self) -> [(&'static str, usize, usize); 6] {
        let Self { scoring, registry, feedback, streams, watches, uploads, .. } = self;
        [scoring, registry, feedback, streams, watches, uploads].map(|gate| {
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
        self.metrics.requests.shed.get_or_create(&ReasonLabels { reason }).inc();
        ServingError::Overloaded { what, limit, retry_after: self.retry_after }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
