//! Which user an anonymous event belongs to, and from when that is known.
//!
//! An event that carries a user and an anonymous id links the two; an alias links its previous id
//! (as an anonymous id and as a former user) to its user. A link holds from the time of its event
//! and is known from that event's known time. Links are taken from every event, also from one that
//! is itself dropped as late or future: that two ids are one person does not go stale.
//!
//! *One id, several users* (a shared device): the id belongs, at each time, to the user of the last
//! link at or before it; before the first link, to the first. Of links at the same time, the later
//! known, then the greater user text counts.
//!
//! *From when it is known*: an event that a link gives to a user is visible from the later of its
//! own known time and the link's: the earliest known time among those links of the unbroken run to
//! that user that lie at or before the event (for an event before the first link: in the whole
//! first run). From that moment on, whatever is known decides the same. So what a history shows at
//! `t` is what a log built from only the events known by `t` shows there; a link that comes to be
//! known late can hide an event from both users in between, but never reveal one early.
//!
//! *Too many ids*: of the ids of one user the earliest known stay (then by time, then by text), so
//! a later link never takes an earlier one away.
//!
//! *Alias after alias* is followed, at most [`MAX_STEPS`] times; of users that are aliases in a
//! circle the smallest text stands for all.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::store::{Store, text_order};
use super::{ANONYMOUS_PREFIX, LogCounts, NOBODY};
use crate::{Micros, Symbol, Symbols};

/// Aliases followed in a chain.
const MAX_STEPS: usize = 16;

/// A user or an anonymous id: two name spaces, the same text in both is two ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) is_user: bool,
    pub(super) symbol: Symbol,
}

impl Id {
    /// Name of the profile.
    pub(super) fn profile(self, ids: &Symbols) -> Cow<'_, str> {
        let text = ids.text(self.symbol);
        if self.is_user { text.into() } else { format!("{ANONYMOUS_PREFIX}{text}").into() }
    }
}

/// From when on, and known since when, an id is a user's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) from: Id,
    pub(super) event_ts: Micros,
    pub(super) known_ts: Micros,
    pub(super) to: Symbol,
}

/// Links by the id they start from, each id's in the order of time.
#[derive(Debug)]
pub(super) struct Links {
    /// Sorted by `from`, `event_ts`. Neighbours from one id lead to different users, or to the same
    /// and the later was known before.
    runs: Vec<Link>,
}

impl Links {
    pub(super) fn none() -> Self {
        Self { runs: Vec::new() }
    }

    /// Every link that the events show, without those beyond `max_ids` of a user.
    pub(super) fn of(store: &Store, max_ids: usize, counts: &mut LogCounts) -> Self {
        let mut links = collect(store);
        to_runs(&mut links, &store.ids);
        Self::of_runs(links, max_ids, &store.ids, counts)
    }

    /// Runs of whole ids ([`to_runs`]), each id's together, without those beyond `max_ids` of a user.
    pub(super) fn of_runs(
        mut runs: Vec<Link>,
        max_ids: usize,
        ids: &Symbols,
        counts: &mut LogCounts,
    ) -> Self {
        // stable: an id's own links stay in their order
        runs.sort_by_key(|link| link.from);
        let kept = within_cap(&runs, max_ids, ids, counts);
        runs.retain(|link| kept.contains_key(&(link.from, link.to)));
        merge(&mut runs);
        let is_shared = |of_id: &[Link]| of_id.iter().any(|link| link.to != of_id[0].to);
        counts.identity_conflicts =
            runs.chunk_by(|a, b| a.from == b.from).filter(|of_id| is_shared(of_id)).count() as u64;
        Self { runs }
    }

    /// The profile that an id's event at `event_ts` belongs to, and from when that is known;
    /// `None` if no link was needed.
    #[inline]
    pub(super) fn resolve(&self, id: Id, event_ts: Micros, ids: &Symbols) -> (Id, Option<Micros>) {
        if self.runs.is_empty() { (id, None) } else { self.follow(id, event_ts, ids) }
    }

    fn follow(&self, id: Id, event_ts: Micros, ids: &Symbols) -> (Id, Option<Micros>) {
        let mut path = vec![id];
        let mut known: Option<Micros> = None;
        while let Some(link) = self.at(path[path.len() - 1], event_ts) {
            known = known.max(Some(link.known_ts));
            let next = Id { is_user: true, symbol: link.to };
            if let Some(start) = path.iter().position(|&seen| seen == next) {
                let by_text = |a: &&Id, b: &&Id| text_order(ids, a.symbol, b.symbol);
                let owner = path[start..].iter().min_by(by_text).copied().unwrap_or(next);
                return (owner, known);
            }
            if path.len() > MAX_STEPS {
                break;
            }
            path.push(next);
        }
        (path[path.len() - 1], known)
    }

    /// The link that holds at a time.
    fn at(&self, id: Id, event_ts: Micros) -> Option<Link> {
        let start = self.runs.partition_point(|link| link.from < id);
        let own = &self.runs[start..];
        let own = &own[..own.partition_point(|link| link.from == id)];
        match own.partition_point(|link| link.event_ts <= event_ts) {
            0 => own.chunk_by(|a, b| a.to == b.to).next()?.last().copied(),
            after => Some(own[after - 1]),
        }
    }
}

/// Every link of the events, in their order.
pub(super) fn collect(store: &Store) -> Vec<Link> {
    let mut links = Vec::new();
    for row in (0..store.len()).filter(|&row| store.user(row) != NOBODY) {
        let to = store.user(row);
        let (event_ts, known_ts) = (store.event_ts(row), store.known_ts(row));
        let mut link = |is_user, symbol| {
            links.push(Link { from: Id { is_user, symbol }, event_ts, known_ts, to });
        };
        let [anonymous, previous] = store.other_ids(row);
        if anonymous != NOBODY {
            link(false, anonymous);
        }
        if previous != NOBODY {
            link(false, previous);
            if previous != to {
                link(true, previous);
            }
        }
    }
    links
}

/// Sorts links and leaves out those that say nothing new. All links of an id must be among them: one
/// to another user in between is what makes a repeated link matter.
pub(super) fn to_runs(links: &mut Vec<Link>, ids: &Symbols) {
    links.sort_by(|a, b| {
        (a.from, a.event_ts, a.known_ts)
            .cmp(&(b.from, b.event_ts, b.known_ts))
            .then_with(|| text_order(ids, a.to, b.to))
    });
    merge(links);
}

/// Of neighbours between the same two ids, leaves out those that were not known any earlier.
fn merge(links: &mut Vec<Link>) {
    links.dedup_by(|later, earlier| {
        let is_same = later.from == earlier.from && later.to == earlier.to;
        is_same && later.known_ts >= earlier.known_ts
    });
}

/// The links `(from, to)` that stay, with the earliest `(known_ts, event_ts)` of each.
fn within_cap(
    links: &[Link],
    max_ids: usize,
    ids: &Symbols,
    counts: &mut LogCounts,
) -> BTreeMap<(Id, Symbol), (Micros, Micros)> {
    let mut first: BTreeMap<(Id, Symbol), (Micros, Micros)> = BTreeMap::new();
    for link in links {
        let found = (link.known_ts, link.event_ts);
        let earliest = first.entry((link.from, link.to)).or_insert(found);
        *earliest = found.min(*earliest);
    }
    counts.identity_edges = first.len() as u64;
    let mut by_user: Vec<_> = first.iter().map(|(&(from, to), &when)| (to, when, from)).collect();
    by_user.sort_by(|&(to_a, when_a, from_a), &(to_b, when_b, from_b)| {
        let by_text = || -> Ordering { text_order(ids, from_a.symbol, from_b.symbol) };
        (to_a, when_a)
            .cmp(&(to_b, when_b))
            .then_with(by_text)
            .then_with(|| from_a.is_user.cmp(&from_b.is_user))
    });
    let mut over = Vec::new();
    for of_user in by_user.chunk_by(|(a, ..), (b, ..)| a == b) {
        over.extend(of_user.iter().skip(max_ids).map(|&(to, _, from)| (from, to)));
    }
    counts.identity_over_cap = over.len() as u64;
    for link in over {
        first.remove(&link);
    }
    first
}
