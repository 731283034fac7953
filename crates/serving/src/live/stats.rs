//! What a version has done since it was loaded, for clients that ask the server and not Prometheus.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::traffic::Behaviour;

/// Counts of requests, over every protocol. Each is exact; together they are of no one instant.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    rows: AtomicU64,
    answered: Pair,
    refused: Pair,
    last_ms: AtomicU64,
    /// What the guard of the traffic judges.
    pub(crate) behaviour: Behaviour,
}

#[derive(Debug, Default)]
struct Pair {
    count: AtomicU64,
    nanos: AtomicU64,
}

/// How many, and how long together, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) count: u64,
    pub(crate) nanos: u64,
}

impl Stats {
    /// A request of so many rows was answered, at `now_us` by the server's clock.
    pub(crate) fn answered(&self, n_rows: usize, took: Duration, now_us: i64) {
        self.rows.fetch_add(n_rows as u64, Ordering::Relaxed);
        self.answered.add(took);
        if n_rows > 0 {
            self.behaviour.answered(took);
        }
        let now_ms = u64::try_from(now_us / 1000).unwrap_or(0);
        self.last_ms.fetch_max(now_ms, Ordering::Relaxed);
    }

    /// A request found the version and was refused.
    pub(crate) fn refused(&self, took: Duration) {
        self.refused.add(took);
    }

    /// Rows answered.
    pub(crate) fn n_rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Requests answered.
    pub(crate) fn all_answered(&self) -> Counted {
        self.answered.read()
    }

    /// Requests refused.
    pub(crate) fn all_refused(&self) -> Counted {
        self.refused.read()
    }

    /// When a request was last answered, in milliseconds since 1970; 0 for never.
    pub(crate) fn last_ms(&self) -> u64 {
        self.last_ms.load(Ordering::Relaxed)
    }
}

impl Pair {
    fn add(&self, took: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    fn read(&self) -> Counted {
        let (count, nanos) = (&self.count, &self.nanos);
        Counted { count: count.load(Ordering::Relaxed), nanos: nanos.load(Ordering::Relaxed) }
    }
}
