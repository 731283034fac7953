//! The assembled log: histories by user, and what became of every event.

use super::{AnonymousPolicy, AssembleOptions};
use crate::{History, Micros, Symbols};

/// Every history of a data set.
#[derive(Debug, Clone)]
pub struct EventLog {
    /// Texts of names, sessions, property keys and values, and users.
    pub symbols: Symbols,
    /// One history per profile, sorted by the user's text.
    pub histories: Vec<History>,
    /// What became of the events.
    pub counts: LogCounts,
    /// Earliest time of an event that was kept; 0 if there is none.
    pub first_ts: Micros,
    /// Latest time of an event that was kept; 0 if there is none.
    pub last_ts: Micros,
    /// Latest time at which an event that was kept became known; 0 if there is none.
    pub last_known_ts: Micros,
}

impl EventLog {
    /// The index of a user's history.
    #[must_use]
    pub fn index_of(&self, user: &str) -> Option<usize> {
        let text = |history: &History| self.symbols.text(history.user());
        self.histories.binary_search_by(|history| text(history).cmp(user)).ok()
    }

    /// Number of events in all histories.
    #[must_use]
    pub fn n_events(&self) -> usize {
        self.histories.iter().map(History::len).sum()
    }
}

/// What became of the events. `read` is the sum of `kept`, `duplicates`, `late_dropped`,
/// `future_quarantined`, `anonymous_dropped` and `without_id`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogCounts {
    /// Events taken in.
    pub read: u64,
    /// Events in the histories.
    pub kept: u64,
    /// Events that another one with the same given id stands for.
    pub duplicates: u64,
    /// Events that became known too late.
    pub late_dropped: u64,
    /// Events from after their receipt.
    pub future_quarantined: u64,
    /// Anonymous events that never became a user's, dropped as the options say.
    pub anonymous_dropped: u64,
    /// Events without any usable id.
    pub without_id: u64,
    /// Placeholder ids (`null`, `-1`, …) that were taken off events.
    pub blocked_ids: u64,
    /// Profiles of a user.
    pub users: u64,
    /// Profiles of an anonymous id.
    pub anonymous_profiles: u64,
    /// Events of those.
    pub anonymous_events: u64,
    /// Distinct links from an id to a user.
    pub identity_edges: u64,
    /// Events that a link gave to a user.
    pub identity_resolved: u64,
    /// Ids that were linked to more than one user; they are divided by time.
    pub identity_conflicts: u64,
    /// Links that were left out because the user had too many ids.
    pub identity_over_cap: u64,
}

impl LogCounts {
    /// Counts a timely event that belongs to a profile, by a link if that was known at some time. Says
    /// whether it is kept.
    pub(super) fn take(
        &mut self,
        is_user: bool,
        linked_ts: Option<Micros>,
        options: &AssembleOptions,
    ) -> bool {
        if !is_user {
            if options.anonymous == AnonymousPolicy::Drop {
                self.anonymous_dropped += 1;
                return false;
            }
            self.anonymous_events += 1;
        }
        self.identity_resolved += u64::from(linked_ts.is_some());
        self.kept += 1;
        true
    }

    /// Adds the counts of another part of the same log.
    pub fn add(&mut self, other: &Self) {
        self.read += other.read;
        self.kept += other.kept;
        self.duplicates += other.duplicates;
        self.late_dropped += other.late_dropped;
        self.future_quarantined += other.future_quarantined;
        self.anonymous_dropped += other.anonymous_dropped;
        self.without_id += other.without_id;
        self.blocked_ids += other.blocked_ids;
        self.users += other.users;
        self.anonymous_profiles += other.anonymous_profiles;
        self.anonymous_events += other.anonymous_events;
        self.identity_edges += other.identity_edges;
        self.identity_resolved += other.identity_resolved;
        self.identity_conflicts += other.identity_conflicts;
        self.identity_over_cap += other.identity_over_cap;
    }

    /// Every count as `(code, what it counts, n)`, in the order to show them.
    #[must_use]
    pub fn table(&self) -> [(&'static str, &'static str, u64); 15] {
        [
            ("read", "events read", self.read),
            ("kept", "events in the histories", self.kept),
            ("duplicates", "duplicates of an event with the same id", self.duplicates),
            ("late_dropped", "dropped: known too long after they happened", self.late_dropped),
            (
                "future_quarantined",
                "quarantined: later than their receipt",
                self.future_quarantined,
            ),
            ("anonymous_dropped", "dropped: anonymous and never a user's", self.anonymous_dropped),
            ("without_id", "dropped: no usable id", self.without_id),
            ("blocked_ids", "placeholder ids taken off", self.blocked_ids),
            ("users", "users", self.users),
            ("anonymous_profiles", "anonymous profiles", self.anonymous_profiles),
            ("anonymous_events", "events of anonymous profiles", self.anonymous_events),
            ("identity_edges", "links from an id to a user", self.identity_edges),
            ("identity_resolved", "events that a link gave to a user", self.identity_resolved),
            ("identity_conflicts", "ids shared by several users", self.identity_conflicts),
            ("identity_over_cap", "links left out: too many ids", self.identity_over_cap),
        ]
    }
}
