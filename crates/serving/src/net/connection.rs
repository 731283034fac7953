//! What is known of a connection, and what its caller has left unread.
//!
//! Every answer is counted from the moment it is encoded until its last byte is in the socket's
//! buffer, because the bytes carry the count with them. A caller who opens streams and reads nothing
//! therefore holds no more than a known number of bytes, and not for longer than a known time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use axum::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::certificate::PeerCertificate;
use crate::ServeOptions;

/// Bytes that all connections together may hold.
#[derive(Debug)]
pub(crate) struct Budgets {
    /// Answers that nobody has read yet.
    pub(crate) answers: Budget,
    /// Requests being received.
    pub(crate) requests: Budget,
    answers_per_connection: usize,
}

impl Budgets {
    pub(crate) fn new(options: &ServeOptions) -> Self {
        Self {
            answers: Budget::new(options.net.max_unread_bytes),
            requests: Budget::new(options.net.max_request_bytes),
            answers_per_connection: options.net.max_unread_bytes_per_connection,
        }
    }
}

/// A number of bytes and its limit.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    limit: usize,
}

impl Budget {
    fn new(limit: usize) -> Self {
        Self { used: AtomicUsize::new(0), limit }
    }

    /// Whether so many more fit; if they do they are taken.
    pub(crate) fn take(&self, n_bytes: usize) -> bool {
        let used = self.used.fetch_add(n_bytes, Ordering::Relaxed);
        let fits = used.saturating_add(n_bytes) <= self.limit;
        if !fits {
            self.give_back(n_bytes);
        }
        fits
    }

    pub(crate) fn give_back(&self, n_bytes: usize) {
        self.used.fetch_sub(n_bytes, Ordering::Relaxed);
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) peer: SocketAddr,
    /// What the caller proved to be during the TLS handshake.
    pub(crate) certificate: Option<PeerCertificate>,
    /// Whether the caller has said anything after the handshake.
    pub(super) has_spoken: AtomicBool,
    unread_bytes: AtomicUsize,
    /// Answers by the round of the clock in which they came, modulo [`ROUNDS`].
    unread: [AtomicUsize; ROUNDS],
    round: AtomicU64,
    /// Requests that may yet be answered in this turn of the connection.
    turn: AtomicUsize,
    /// Whether the request that was just found is one of them.
    in_turn: AtomicBool,
    /// Bytes that may yet be read in this turn.
    turn_bytes: AtomicUsize,
    /// Places for streams that anybody may open and that last as long as they like.
    watches: Arc<Semaphore>,
    budgets: Arc<Budgets>,
}

/// Watches of health, and reflections, of one connection. Clients open one, those that share a
/// connection a few.
pub(crate) const WATCHES_PER_CONNECTION: usize = 8;

/// What a connection may do before it is the others' turn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    /// Requests that are answered at once.
    pub(super) n_requests: usize,
    /// Bytes that are read, and what the read that ends them brings beside.
    pub(super) n_bytes: usize,
}

/// This round, the one before, and one that must be empty.
const ROUNDS: usize = 3;

/// Why an answer cannot be kept until its caller reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unread {
    pub(crate) what: &'static str,
    pub(crate) limit: usize,
}

impl Connection {
    pub(crate) fn new(
        peer: SocketAddr,
        certificate: Option<PeerCertificate>,
        budgets: Arc<Budgets>,
    ) -> Self {
        Self {
            peer,
            certificate,
            has_spoken: AtomicBool::new(false),
            unread_bytes: AtomicUsize::new(0),
            unread: Default::default(),
            round: AtomicU64::new(0),
            turn: AtomicUsize::new(0),
            in_turn: AtomicBool::new(false),
            turn_bytes: AtomicUsize::new(0),
            watches: Arc::new(Semaphore::new(WATCHES_PER_CONNECTION)),
            budgets,
        }
    }

    pub(crate) fn budgets(&self) -> &Arc<Budgets> {
        &self.budgets
    }

    /// A place for one more watch, if there is one.
    pub(crate) fn enter_watch(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.watches).try_acquire_owned().ok()
    }

    /// Whether more may be asked before what is there is read.
    pub(crate) fn check_unread(&self) -> Result<(), Unread> {
        let limit = self.budgets.answers_per_connection;
        if self.unread_bytes.load(Ordering::Relaxed) > limit {
            return Err(Unread {
                what: "bytes of answers that this connection has not read",
                limit,
            });
        }
        Ok(())
    }

    /// The same bytes, counted until they are dropped. What is alone on its connection always fits
    /// there.
    pub(crate) fn keep(self: &Arc<Self>, bytes: Bytes) -> Result<Bytes, Unread> {
        let n_bytes = bytes.len();
        let before = self.unread_bytes.fetch_add(n_bytes, Ordering::Relaxed);
        let limit = self.budgets.answers_per_connection;
        if before != 0 && before.saturating_add(n_bytes) > limit {
            self.unread_bytes.fetch_sub(n_bytes, Ordering::Relaxed);
            return Err(Unread {
                what: "bytes of answers that this connection has not read",
                limit,
            });
        }
        if !self.budgets.answers.take(n_bytes) {
            self.unread_bytes.fetch_sub(n_bytes, Ordering::Relaxed);
            let limit = self.budgets.answers.limit();
            return Err(Unread { what: "bytes of answers that callers have not read", limit });
        }
        let round = self.round_slot();
        self.unread[round].fetch_add(1, Ordering::Relaxed);
        Ok(Bytes::from_owner(Kept { bytes, round, connection: Arc::clone(self) }))
    }

    /// Begins a turn.
    pub(super) fn begin_turn(&self, turn: Turn) {
        self.turn.store(turn.n_requests, Ordering::Relaxed);
        self.turn_bytes.store(turn.n_bytes, Ordering::Relaxed);
    }

    /// Whether more may be read in this turn.
    pub(super) fn may_read(&self) -> bool {
        self.turn_bytes.load(Ordering::Relaxed) > 0
    }

    /// Counts what was read.
    pub(super) fn has_read(&self, n_bytes: usize) {
        // Called from the connection's own task alone, so nothing comes between.
        let left = self.turn_bytes.load(Ordering::Relaxed);
        self.turn_bytes.store(left.saturating_sub(n_bytes), Ordering::Relaxed);
    }

    /// Has the request that was just found answered in this turn, if there is room for one more.
    pub(crate) fn take_turn(&self) {
        // Called from the connection's own task alone, so nothing comes between.
        let left = self.turn.load(Ordering::Relaxed);
        if left > 0 {
            self.turn.store(left - 1, Ordering::Relaxed);
            self.in_turn.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the request that was just found is to be answered in this turn. Asked once a request.
    pub(super) fn is_in_turn(&self) -> bool {
        self.in_turn.swap(false, Ordering::Relaxed)
    }

    /// Begins a new round of the clock. `false` if an answer from before the last one is still
    /// unread.
    pub(super) fn next_round(&self) -> bool {
        let round = self.round.load(Ordering::Relaxed);
        // Those of the round before this one have had a whole round of time.
        let oldest = ((round + 2) % ROUNDS as u64) as usize;
        if self.unread[oldest].load(Ordering::Relaxed) != 0 {
            return false;
        }
        self.round.store(round + 1, Ordering::Relaxed);
        true
    }

    fn round_slot(&self) -> usize {
        (self.round.load(Ordering::Relaxed) % ROUNDS as u64) as usize
    }
}

/// Bytes of an answer on their way out.
struct Kept {
    bytes: Bytes,
    round: usize,
    connection: Arc<Connection>,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let n_bytes = self.bytes.len();
        self.connection.unread_bytes.fetch_sub(n_bytes, Ordering::Relaxed);
        self.connection.unread[self.round].fetch_sub(1, Ordering::Relaxed);
        self.connection.budgets.answers.give_back(n_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(per_connection: usize, all: usize) -> Arc<Connection> {
        let mut options = ServeOptions::default();
        options.net.max_unread_bytes_per_connection = per_connection;
        options.net.max_unread_bytes = all;
        let budgets = Arc::new(Budgets::new(&options));
        Arc::new(Connection::new(([127, 0, 0, 1], 1).into(), None, budgets))
    }

    #[test]
    fn bytes_are_counted_until_their_last_part_is_dropped() {
        let connection = connection(100, 1000);
        let mut whole = connection.keep(Bytes::from(vec![7; 60])).unwrap();
        let part = whole.split_to(10);
        drop(whole);
        assert!(connection.keep(Bytes::from(vec![7; 41])).is_err());
        drop(part);
        assert_eq!(connection.budgets.answers.used(), 0);
        let alone = connection.keep(Bytes::from(vec![7; 500])).expect("one always fits");
        assert!(connection.check_unread().is_err());
        drop(alone);
        connection.check_unread().unwrap();
        assert!(connection.keep(Bytes::from(vec![7; 1001])).is_err(), "but not beyond all");
        assert_eq!(connection.unread_bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn an_answer_may_stay_for_the_round_it_came_in_and_one_more() {
        let connection = connection(100, 1000);
        for _ in 0..5 {
            assert!(connection.next_round());
        }
        let answer = connection.keep(Bytes::from_static(b"a")).unwrap();
        assert!(connection.next_round());
        let second = connection.keep(Bytes::from_static(b"b")).unwrap();
        assert!(!connection.next_round());
        drop(answer);
        assert!(connection.next_round());
        assert!(!connection.next_round());
        drop(second);
        assert!(connection.next_round());
    }
}
