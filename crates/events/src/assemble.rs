//! From events in any order to histories in one order.
//!
//! Events are taken in as they come and kept small: texts are interned at once, ids and properties
//! lie in two flat arrays. [`LogBuilder::finish`] then
//!
//! 1. removes duplicates: of events that share a given id, the one that was known first stays
//!    (of equals, the first by content);
//! 2. drops what came too late and quarantines what claims to be from the future;
//! 3. resolves identity as of its time (module `identity`);
//! 4. sorts each user's events by `(event_ts, seq, event_id bytes)`, then by content.
//!
//! Every rule looks at content only, so neither the order of arrival nor the numbering of symbols
//! can change the result.

mod identity;
mod log;
mod options;
mod single;
mod store;

pub use log::{EventLog, LogCounts};
pub use options::{AnonymousPolicy, AssembleOptions};
pub use single::{HistoryError, history_and_counts_from, history_from};

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

use identity::{Id, Links};
use store::Store;

use crate::{Event, History, HistoryEvent, Micros, Symbol, Symbols};

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
    pub fn finish(mut self) -> EventLog {
        let is_unique = self.mark_unique();
        let is_kept = self.mark_timely(is_unique);
        let links = if self.options.resolve_identity {
            Links::of(&self.store, self.options.max_ids_per_user, &mut self.counts)
        } else {
            Links::none()
        };
        let groups = self.group(&is_kept, &links);
        drop(links);
        self.build(groups)
    }

    /// Whether each row is the one that stays of those that share its given id.
    fn mark_unique(&mut self) -> Vec<bool> {
        let store = &self.store;
        let mut is_kept = vec![true; store.len()];
        let mut hashed: Vec<(u64, u32)> = (0..store.len())
            .filter(|&row| store.row(row).is_given)
            .map(|row| (hash(store.id(row)), row as u32))
            .collect();
        // The hash only brings candidates together; bytes decide.
        hashed.sort_unstable();
        for candidates in hashed.chunk_by(|(a, _), (b, _)| a == b).filter(|rows| rows.len() > 1) {
            let mut rows: Vec<usize> = candidates.iter().map(|&(_, row)| row as usize).collect();
            rows.sort_by(|&a, &b| {
                let by_id = store.id(a).cmp(store.id(b));
                let by_known = || store.row(a).known_ts.cmp(&store.row(b).known_ts);
                by_id.then_with(by_known).then_with(|| store.compare(a, b))
            });
            for same in rows.chunk_by(|&a, &b| store.id(a) == store.id(b)) {
                self.counts.duplicates += same.len() as u64 - 1;
                same[1..].iter().for_each(|&row| is_kept[row] = false);
            }
        }
        is_kept
    }

    /// Takes away what came too late or claims to be from the future.
    fn mark_timely(&mut self, mut is_kept: Vec<bool>) -> Vec<bool> {
        for (row, is_kept) in is_kept.iter_mut().enumerate().filter(|(_, is_kept)| **is_kept) {
            let (event_ts, known_ts) = (self.store.row(row).event_ts, self.store.row(row).known_ts);
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
    fn group(&mut self, is_kept: &[bool], links: &Links) -> Groups {
        let mut groups = Groups { owners: Vec::new(), of_row: vec![Groups::NONE; is_kept.len()] };
        let mut numbers: HashMap<Id, u32> = HashMap::new();
        for row in (0..is_kept.len()).filter(|&row| is_kept[row]) {
            let own = self.store.own_id(row);
            let event_ts = self.store.row(row).event_ts;
            let (owner, linked_ts) = links.resolve(own, event_ts, &self.store.ids);
            if !owner.is_user {
                if self.options.anonymous == AnonymousPolicy::Drop {
                    self.counts.anonymous_dropped += 1;
                    continue;
                }
                self.counts.anonymous_events += 1;
            }
            if let Some(linked_ts) = linked_ts {
                self.store.known_not_before(row, linked_ts);
                self.counts.identity_resolved += 1;
            }
            self.counts.kept += 1;
            groups.of_row[row] = *numbers.entry(owner).or_insert_with(|| {
                groups.owners.push(owner);
                groups.owners.len() as u32 - 1
            });
        }
        groups
    }

    fn build(mut self, groups: Groups) -> EventLog {
        let mut histories = Vec::with_capacity(groups.owners.len());
        let mut span: Option<(Micros, Micros, Micros)> = None;
        let (starts, mut rows) = groups.rows();
        for group in groups.by_text(&self.store.ids) {
            let owner = groups.owners[group];
            if !owner.is_user {
                self.counts.anonymous_profiles += 1;
            }
            let rows = &mut rows[starts[group]..starts[group + 1]];
            rows.sort_unstable_by(|&a, &b| self.store.compare(a as usize, b as usize));
            let history = history(&mut self.store, owner, rows);
            for (&event_ts, &known_ts) in history.event_ts().iter().zip(history.known_ts()) {
                let (first, last, known) = span.unwrap_or((event_ts, event_ts, known_ts));
                span = Some((first.min(event_ts), last.max(event_ts), known.max(known_ts)));
            }
            histories.push(history);
        }
        self.counts.users = histories.len() as u64 - self.counts.anonymous_profiles;
        let (first_ts, last_ts, last_known_ts) = span.unwrap_or_default();
        let (symbols, counts) = (self.store.symbols, self.counts);
        EventLog { symbols, histories, counts, first_ts, last_ts, last_known_ts }
    }
}

/// Which profile each row belongs to.
struct Groups {
    owners: Vec<Id>,
    of_row: Vec<u32>,
}

impl Groups {
    const NONE: u32 = u32::MAX;

    /// Rows by group: `rows[starts[g]..starts[g + 1]]`.
    fn rows(&self) -> (Vec<usize>, Vec<u32>) {
        let mut starts = vec![0usize; self.owners.len() + 1];
        for &group in self.of_row.iter().filter(|&&group| group != Self::NONE) {
            starts[group as usize + 1] += 1;
        }
        for group in 0..self.owners.len() {
            starts[group + 1] += starts[group];
        }
        let mut next = starts.clone();
        let mut rows = vec![0u32; starts[self.owners.len()]];
        for (row, &group) in self.of_row.iter().enumerate() {
            if group != Self::NONE {
                rows[next[group as usize]] = row as u32;
                next[group as usize] += 1;
            }
        }
        (starts, rows)
    }

    /// Groups in the order of their profiles' names.
    fn by_text(&self, ids: &Symbols) -> Vec<usize> {
        let mut named: Vec<(String, bool, usize)> = (0..self.owners.len())
            .map(|group| {
                let owner = self.owners[group];
                (owner.profile(ids), owner.is_user, group)
            })
            .collect();
        named.sort_unstable();
        named.into_iter().map(|(_, _, group)| group).collect()
    }
}

fn history(store: &mut Store, owner: Id, rows: &[u32]) -> History {
    let user = owner.profile(&store.ids);
    let user = store.symbols.intern(&user);
    let n_properties = rows.iter().map(|&row| store.packed(row as usize).len()).sum();
    let mut history = History::with_capacity(user, rows.len(), n_properties);
    let mut properties = Vec::new();
    for &row in rows {
        let row = row as usize;
        properties.clear();
        properties.extend(store.packed(row).iter().map(|packed| packed.unpack()));
        let stored = store.row(row);
        history.push(HistoryEvent {
            event_ts: stored.event_ts,
            known_ts: stored.known_ts,
            kind: stored.kind,
            name: stored.name,
            session: stored.session,
            properties: &properties,
        });
    }
    history
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

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// The id of a row that has none.
const NOBODY: Symbol = Symbol::EMPTY;

#[cfg(test)]
mod tests;
