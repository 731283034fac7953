//! From events in any order to histories in one order.
//!
//! Events are taken in as they come and kept small: texts are interned at once, ids and properties
//! lie in two flat arrays. [`LogBuilder::finish`] then
//!
//! 1. removes duplicates: of events that share a given id, the one that was known first stays
//!    (of equals, the first by content);
//! 2. drops what came too late and quarantines what claims to be from the future;
//! 3. resolves identity as of its time (module `identity`);
//! 4. sorts each user's events by `(event_ts, seq, event_id bytes)`, then by content, which is all
//!    that orders events without an id.
//!
//! Every rule looks at content only, so neither the order of arrival nor the numbering of symbols
//! can change the result; builders that were filled apart are put together ([`LogBuilder::absorb`]).
//! A log larger than memory is assembled bucket by bucket with the same rules (module `external`).

mod external;
mod groups;
mod identity;
mod log;
mod options;
mod single;
mod store;
mod uniform;

pub use external::{
    Block, EventBucket, Identity, IdentityBuilder, LinkBucket, LogSpan, ProfileBucket,
    ProfileRanges, ProfileSample, Regrouped, Scatter,
};
pub use log::{EventLog, LogCounts};
pub use options::{AnonymousPolicy, AssembleOptions};
pub use single::{HistoryError, history_and_counts_from, history_from};
pub use store::BlockError;

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use groups::Groups;
use identity::Links;
pub(crate) use store::{Store, Stretch};
pub(crate) use uniform::Rows;

use crate::{Event, History, Symbol, Symbols};

/// Profiles without a user are named by their anonymous id after this, so that they can never be
/// mistaken for a user of the same id.
pub const ANONYMOUS_PREFIX: &str = "anonymous:";

/// Collects events and builds the log.
#[derive(Debug)]
pub struct LogBuilder {
    options: AssembleOptions,
    store: Store,
    counts: LogCounts,
    /// Events without any id belong to one unnamed user instead of being dropped.
    is_single: bool,
}

impl LogBuilder {
    /// An empty log.
    #[must_use]
    pub fn new(options: AssembleOptions) -> Self {
        Self::with_symbols(options, Symbols::new(), false)
    }

    fn with_symbols(options: AssembleOptions, symbols: Symbols, is_single: bool) -> Self {
        Self { options, store: Store::new(symbols), counts: LogCounts::default(), is_single }
    }

    /// Takes in one event. The order of calls does not matter.
    pub fn push(&mut self, event: Event) {
        self.counts.read += 1;
        let ids = [&event.user_id, &event.anonymous_id, &event.previous_id]
            .map(|id| usable(id.as_deref(), &mut self.counts.blocked_ids));
        if ids[0].is_none() && ids[1].is_none() && !self.is_single {
            self.counts.without_id += 1;
            return;
        }
        self.store.push(&event, ids);
    }

    /// Takes over every event of another builder of the same options.
    pub fn absorb(&mut self, other: Self) {
        self.counts.read += other.counts.read;
        self.counts.without_id += other.counts.without_id;
        self.counts.blocked_ids += other.counts.blocked_ids;
        self.store.absorb(other.store);
    }

    /// Takes in events by their symbols; their ids name somebody.
    pub(crate) fn push_stretch(&mut self, stretch: &Stretch<'_>) {
        self.counts.read += stretch.event_ts.len() as u64;
        self.store.push_stretch(stretch);
    }

    pub(crate) fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// Number of events taken in.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.counts.read
    }

    /// Whether no event was taken in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.read == 0
    }

    /// Builds the log.
    #[must_use]
    pub fn finish(self) -> EventLog {
        self.finish_on(1)
    }

    /// [`LogBuilder::finish`] on so many threads, which changes nothing but the time it takes.
    #[must_use]
    pub fn finish_on(mut self, n_threads: usize) -> EventLog {
        let is_unique = self.mark_unique();
        let is_kept = self.mark_timely(is_unique);
        let links = if self.options.resolve_identity && !self.store.has_no_links() {
            Links::of(&self.store, self.options.max_ids_per_user, &mut self.counts)
        } else {
            Links::none()
        };
        let groups = self.group(&is_kept, &links, n_threads);
        drop((links, is_kept));
        self.build(groups, n_threads)
    }

    /// Whether each row is the one that stays of those that share its given id.
    fn mark_unique(&mut self) -> Vec<bool> {
        let store = &self.store;
        let mut is_kept = vec![true; store.len()];
        if store.has_no_event_ids() {
            return is_kept;
        }
        let hasher = RandomState::default();
        let mut hashed: Vec<(u64, u32)> = (0..store.len())
            .filter(|&row| !store.event_id(row).is_empty())
            .map(|row| (hasher.hash_one(store.event_id(row)), row as u32))
            .collect();
        // The hash only brings candidates together; bytes decide.
        hashed.sort_unstable();
        for candidates in hashed.chunk_by(|(a, _), (b, _)| a == b).filter(|rows| rows.len() > 1) {
            let mut rows: Vec<usize> = candidates.iter().map(|&(_, row)| row as usize).collect();
            rows.sort_by(|&a, &b| {
                let by_id = store.event_id(a).cmp(store.event_id(b));
                let by_known = || store.known_ts(a).cmp(&store.known_ts(b));
                by_id.then_with(by_known).then_with(|| store.compare(a, b))
            });
            for same in rows.chunk_by(|&a, &b| store.event_id(a) == store.event_id(b)) {
                self.counts.duplicates += same.len() as u64 - 1;
                same[1..].iter().for_each(|&row| is_kept[row] = false);
            }
        }
        is_kept
    }

    /// Takes away what came too late or claims to be from the future.
    fn mark_timely(&mut self, mut is_kept: Vec<bool>) -> Vec<bool> {
        if self.store.is_known_at_once() {
            return is_kept;
        }
        for (row, is_kept) in is_kept.iter_mut().enumerate().filter(|(_, is_kept)| **is_kept) {
            let (event_ts, known_ts) = (self.store.event_ts(row), self.store.known_ts(row));
            if event_ts > known_ts.saturating_add(self.options.future_tolerance_us) {
                self.counts.future_quarantined += 1;
                *is_kept = false;
            } else if known_ts > event_ts.saturating_add(self.options.lateness_us) {
                self.counts.late_dropped += 1;
                *is_kept = false;
            }
        }
        is_kept
    }

    /// Gives each row to its profile, and moves its known time to when that was known.
    fn group(&mut self, is_kept: &[bool], links: &Links, n_threads: usize) -> Groups {
        let groups = Groups::of(&self.store, is_kept, links, &self.options, n_threads);
        groups.counts().for_each(|counts| self.counts.add(counts));
        for (row, linked_ts) in groups.linked() {
            self.store.known_not_before(row, linked_ts);
        }
        groups
    }

    fn build(mut self, groups: Groups, n_threads: usize) -> EventLog {
        let profiles = groups.by_name(&self.store.ids);
        let n_anonymous = profiles.owners().filter(|owner| !owner.is_user).count() as u64;
        let users: Vec<Symbol> = profiles
            .owners()
            .map(|owner| self.store.symbols.intern(&owner.profile(&self.store.ids)))
            .collect();
        self.store.forget_ids();
        let histories = profiles.histories(&self.store, &users, n_threads);
        self.counts.anonymous_profiles = n_anonymous;
        self.counts.users = histories.len() as u64 - n_anonymous;
        let first = histories.iter().filter_map(|history| history.event_ts().first()).min();
        let last = histories.iter().filter_map(|history| history.event_ts().last()).max();
        EventLog {
            first_ts: first.copied().unwrap_or_default(),
            last_ts: last.copied().unwrap_or_default(),
            last_known_ts: histories
                .iter()
                .filter_map(History::last_known_ts)
                .max()
                .unwrap_or_default(),
            symbols: self.store.symbols,
            histories,
            counts: self.counts,
        }
    }
}

/// An id that names somebody, trimmed.
fn usable<'a>(id: Option<&'a str>, n_blocked: &mut u64) -> Option<&'a str> {
    let id = id?.trim();
    if crate::is_blocked_id(id) {
        *n_blocked += u64::from(!id.is_empty());
        return None;
    }
    Some(id)
}

/// The id of a row that has none.
pub(crate) const NOBODY: Symbol = Symbol::EMPTY;

#[cfg(test)]
mod tests;
