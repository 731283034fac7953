//! Logs larger than memory, in three steps over blocks of bytes. Where the blocks are kept is up to the
//! caller: this crate knows no files.
//!
//! 1. *Scatter*: a builder that is full gives its events away, by the hash of their own id, so that
//!    duplicates meet in one bucket, and the links that they show, by the hash of the id that is
//!    linked, so that all links of an id meet ([`LogBuilder::scatter`]).
//! 2. *Regroup*: the links become an [`Identity`]. Then, bucket by bucket, duplicates and what is not
//!    timely are taken away, and every other event goes to the profile that it belongs to, in the
//!    range of names where that lies ([`EventBucket::regroup`]).
//! 3. *Assemble*: range by range, in the order of names, the histories ([`ProfileBucket::finish`]).
//!
//! Every rule of the assembly looks at events that meet: duplicates by their id, links by the id that
//! they start from, the order of a history by its profile. So each step runs the code of a log in
//! memory on less of it, and the histories and counts of all ranges together are those of the whole.
//!
//! Memory holds one bucket, and what must be known of everybody: the links that say something new,
//! and a sample of the events, to divide the profiles into ranges of equal weight.

mod ranges;

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

pub use ranges::{ProfileRanges, ProfileSample};

use super::identity::{Id, Link, Links, collect, to_runs};
use super::store::{BlockReader, BlockWriter, Dictionary, write_number, write_signed};
use super::uniform::Uniform;
use super::{
    ANONYMOUS_PREFIX, AnonymousPolicy, AssembleOptions, BlockError, EventLog, LogBuilder,
    LogCounts, NOBODY, Store,
};
use crate::{Micros, Symbol, Symbols};

/// Bytes that a link takes in memory, its texts apart.
const LINK_BYTES: usize = size_of::<Link>();

/// Events or links on their way out of memory.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    /// The bucket that they belong to, from 0.
    pub bucket: usize,
    /// The block. Blocks of a bucket may be kept and read in any order.
    pub bytes: &'a [u8],
    /// Bytes of memory, about, that they will take when they are read.
    pub memory: usize,
}

/// Says which bucket an event or a link belongs to: one for all builders of a log.
#[derive(Debug, Clone)]
pub struct Scatter {
    hasher: RandomState,
    n_buckets: usize,
}

impl Scatter {
    /// So many buckets, at least one, of events and as many of links.
    #[must_use]
    pub fn new(n_buckets: usize) -> Self {
        Self { hasher: RandomState::default(), n_buckets: n_buckets.max(1) }
    }

    /// Number of buckets.
    #[must_use]
    pub fn n_buckets(&self) -> usize {
        self.n_buckets
    }

    fn bucket(&self, hash: u64) -> usize {
        (hash % self.n_buckets as u64) as usize
    }
}

impl LogBuilder {
    /// Bytes of memory that the events take, but for the room that vectors keep to grow into.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.store.memory()
    }

    /// What became of the events so far; those that were scattered are counted too.
    #[must_use]
    pub fn counts(&self) -> LogCounts {
        self.counts
    }

    /// Gives away every event, as blocks to `put_events`, and the links that they show, to `put_links`.
    /// The builder is empty afterwards, but for its counts.
    ///
    /// # Errors
    /// The first error of the takers.
    pub fn scatter<E>(
        &mut self,
        scatter: &Scatter,
        sample: &mut ProfileSample,
        mut put_events: impl FnMut(Block<'_>) -> Result<(), E>,
        put_links: impl FnMut(Block<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let store = std::mem::replace(&mut self.store, Store::new(Symbols::new()));
        let hash_of = |row: usize| match store.event_id(row) {
            // nobody's duplicate: anywhere will do
            [] => scatter.hasher.hash_one((store.event_ts(row), row)),
            id => scatter.hasher.hash_one(id),
        };
        let buckets = Buckets::of(scatter.n_buckets, store.len(), |row| {
            let hash = hash_of(row);
            sample.offer(&store, row, scatter.hasher.hash_one(hash));
            Some(scatter.bucket(hash))
        });
        buckets.put(&store, &mut put_events)?;
        if self.options.resolve_identity && !store.has_no_links() {
            put_links_of(&store, scatter, put_links)?;
        }
        Ok(())
    }
}

/// Rows by bucket.
struct Buckets {
    /// By bucket: one past the last of its `rows`.
    ends: Vec<usize>,
    rows: Vec<u32>,
}

impl Buckets {
    /// Rows whose bucket is `None` go nowhere.
    fn of(n_buckets: usize, n: usize, bucket_of: impl FnMut(usize) -> Option<usize>) -> Self {
        let buckets: Vec<Option<usize>> = (0..n).map(bucket_of).collect();
        let mut ends = vec![0usize; n_buckets + 1];
        buckets.iter().flatten().for_each(|bucket| ends[bucket + 1] += 1);
        for bucket in 0..n_buckets {
            ends[bucket + 1] += ends[bucket];
        }
        let mut rows = vec![0u32; ends[n_buckets]];
        for (row, bucket) in buckets.iter().enumerate() {
            if let Some(bucket) = bucket {
                // what begins as the end of the bucket before becomes the end of this one
                rows[ends[*bucket]] = row as u32;
                ends[*bucket] += 1;
            }
        }
        ends.truncate(n_buckets);
        Self { ends, rows }
    }

    fn put<E>(
        &self,
        store: &Store,
        put: &mut impl FnMut(Block<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut writer = BlockWriter::default();
        self.each(|bucket, rows| {
            let (bytes, memory) = store.block(rows, &mut writer);
            put(Block { bucket, bytes, memory })
        })
    }

    /// The buckets that have rows.
    fn each<E>(&self, mut take: impl FnMut(usize, &[u32]) -> Result<(), E>) -> Result<(), E> {
        let mut start = 0;
        for (bucket, &end) in self.ends.iter().enumerate() {
            if end > start {
                take(bucket, &self.rows[start..end])?;
            }
            start = end;
        }
        Ok(())
    }
}

fn put_links_of<E>(
    store: &Store,
    scatter: &Scatter,
    mut put: impl FnMut(Block<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let links = collect(store);
    let buckets = Buckets::of(scatter.n_buckets, links.len(), |at| {
        let from = links[at].from;
        let hash = scatter.hasher.hash_one((from.is_user, store.ids.text(from.symbol)));
        Some(scatter.bucket(hash))
    });
    let (mut ids, mut body, mut block) = (Dictionary::default(), Vec::new(), Vec::new());
    buckets.each(|bucket, rows| {
        body.clear();
        write_number(&mut body, rows.len() as u64);
        for &at in rows {
            let Link { from, event_ts, known_ts, to } = links[at as usize];
            let from_number = ids.number(from.symbol);
            write_number(&mut body, from_number << 1 | u64::from(from.is_user));
            write_number(&mut body, ids.number(to));
            write_signed(&mut body, event_ts);
            write_signed(&mut body, known_ts.wrapping_sub(event_ts));
        }
        block.clear();
        let memory = rows.len() * LINK_BYTES + ids.write(&store.ids, &mut block);
        block.extend_from_slice(&body);
        put(Block { bucket, bytes: &block, memory })
    })
}

/// The links of whole buckets, while they are read.
#[derive(Debug, Default)]
pub struct LinkBucket {
    ids: Symbols,
    links: Vec<Link>,
}

impl LinkBucket {
    /// Takes in a block of links.
    ///
    /// # Errors
    /// If the block is not as it was written.
    pub fn read(&mut self, block: &[u8]) -> Result<(), BlockError> {
        let mut reader = BlockReader(block);
        let ids = reader.texts(&mut self.ids)?;
        for _ in 0..reader.number()? {
            let from = reader.number()?;
            let place = usize::try_from(from >> 1).map_err(|_| BlockError)?;
            let symbol = *ids.get(place).ok_or(BlockError)?;
            let to = reader.symbol(&ids)?;
            let event_ts = reader.signed()?;
            let known_ts = event_ts.wrapping_add(reader.signed()?);
            let from = Id { is_user: from & 1 == 1, symbol };
            self.links.push(Link { from, event_ts, known_ts, to });
        }
        reader.end()
    }

    /// Leaves only what says something new. Every block of the buckets must have been read.
    pub fn settle(&mut self) {
        to_runs(&mut self.links, &self.ids);
    }
}

/// Who everybody is: the links of a whole log.
#[derive(Debug)]
pub struct Identity {
    ids: Symbols,
    links: Links,
    options: AssembleOptions,
    counts: LogCounts,
}

/// Puts the links of all buckets together.
#[derive(Debug, Default)]
pub struct IdentityBuilder {
    ids: Symbols,
    runs: Vec<Link>,
}

impl IdentityBuilder {
    /// Takes in the [settled](LinkBucket::settle) links of some buckets; their order does not matter.
    pub fn add(&mut self, bucket: LinkBucket) {
        let mut numbers: Vec<Option<Symbol>> = vec![None; bucket.ids.len()];
        let mut renumbered = |symbol: Symbol| {
            let intern = || self.ids.intern(bucket.ids.text(symbol));
            *numbers[symbol.index()].get_or_insert_with(intern)
        };
        self.runs.extend(bucket.links.into_iter().map(|link| Link {
            from: Id { is_user: link.from.is_user, symbol: renumbered(link.from.symbol) },
            to: renumbered(link.to),
            ..link
        }));
    }

    /// Decides which links hold.
    #[must_use]
    pub fn finish(self, options: AssembleOptions) -> Identity {
        let mut counts = LogCounts::default();
        let links = Links::of_runs(self.runs, options.max_ids_per_user, &self.ids, &mut counts);
        Identity { ids: self.ids, links, options, counts }
    }
}

impl Identity {
    /// What became of the links.
    #[must_use]
    pub fn counts(&self) -> LogCounts {
        self.counts
    }

    /// [`Links::resolve`] for an id of another table: the owner is of [`Identity::ids`] if a link led to
    /// it, and the id itself if not.
    fn resolve(&self, own: Symbol, is_user: bool, event_ts: Micros) -> (Id, Option<Micros>) {
        self.links.resolve(Id { is_user, symbol: own }, event_ts, &self.ids)
    }

    /// Name of the profile that an id's event belongs to; `None` if nobody keeps it.
    fn profile(&self, id: &str, is_user: bool, event_ts: Micros) -> Option<String> {
        let (text, is_user) = match self.ids.get(id) {
            None => (id, is_user),
            Some(own) => {
                let (owner, _) = self.resolve(own, is_user, event_ts);
                (self.ids.text(owner.symbol), owner.is_user)
            }
        };
        match (is_user, self.options.anonymous) {
            (true, _) => Some(text.to_owned()),
            (false, AnonymousPolicy::Keep) => Some(format!("{ANONYMOUS_PREFIX}{text}")),
            (false, AnonymousPolicy::Drop) => None,
        }
    }
}

/// First and last times of events that were kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSpan {
    /// Earliest time of an event.
    pub first_ts: Micros,
    /// Latest time of an event.
    pub last_ts: Micros,
    /// Latest time at which an event became known.
    pub last_known_ts: Micros,
}

impl LogSpan {
    /// The span of both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            first_ts: self.first_ts.min(other.first_ts),
            last_ts: self.last_ts.max(other.last_ts),
            last_known_ts: self.last_known_ts.max(other.last_known_ts),
        }
    }
}

/// What [`EventBucket::regroup`] did.
#[derive(Debug, Clone, Copy)]
pub struct Regrouped {
    /// What became of the events. Those of [`LogBuilder::counts`] are not among them, nor are profiles.
    pub counts: LogCounts,
    /// Span of the events that were kept, if any was.
    pub span: Option<LogSpan>,
}

/// The events of whole buckets of [`LogBuilder::scatter`].
#[derive(Debug)]
pub struct EventBucket(LogBuilder);

impl EventBucket {
    /// No event yet.
    #[must_use]
    pub fn new(options: AssembleOptions) -> Self {
        Self(LogBuilder::new(options))
    }

    /// Takes in a block of events.
    ///
    /// # Errors
    /// If the block is not as it was written.
    pub fn read(&mut self, block: &[u8]) -> Result<(), BlockError> {
        self.0.store.read_block(block)
    }

    /// Takes away duplicates and what is not timely, gives each other event to its profile, and puts
    /// them as blocks by range. Every block of the buckets must have been read.
    ///
    /// # Errors
    /// The first error of `put`.
    pub fn regroup<E>(
        self,
        identity: &Identity,
        ranges: &ProfileRanges,
        mut put: impl FnMut(Block<'_>) -> Result<(), E>,
    ) -> Result<Regrouped, E> {
        let Self(mut builder) = self;
        let is_unique = builder.mark_unique();
        let is_kept = builder.mark_timely(is_unique);
        let is_owned = builder.give_to_owners(&is_kept, identity);
        let LogBuilder { store, counts, .. } = builder;

        // by profile, users first: the range of its name, found once
        let mut range_of = [vec![None; store.ids.len()], vec![None; store.ids.len()]];
        let mut span: Option<LogSpan> = None;
        let buckets = Buckets::of(ranges.n_ranges(), store.len(), |row| {
            if !is_owned[row] {
                return None;
            }
            let (first_ts, last_known_ts) = (store.event_ts(row), store.known_ts(row));
            let own = LogSpan { first_ts, last_ts: first_ts, last_known_ts };
            span = Some(span.map_or(own, |span| span.with(own)));
            let owner = store.own_id(row);
            let range = &mut range_of[usize::from(!owner.is_user)][owner.symbol.index()];
            Some(*range.get_or_insert_with(|| ranges.of_name(&owner.profile(&store.ids))))
        });
        buckets.put(&store, &mut put)?;
        Ok(Regrouped { counts, span })
    }
}

impl LogBuilder {
    /// Names the owner of each row in the place of the ids that it came with, and moves its known time
    /// to when that was known; says which rows have one.
    fn give_to_owners(&mut self, is_kept: &[bool], identity: &Identity) -> Vec<bool> {
        let store = &mut self.store;
        let linked: Vec<Option<Symbol>> =
            store.ids.iter().map(|(_, text)| identity.ids.get(text)).collect();
        let mut owners = Symbols::new();
        let (mut users, mut anonymous) = (Uniform::new(NOBODY), Uniform::new(NOBODY));
        let mut is_owned = vec![false; store.len()];
        for (row, is_owned) in is_owned.iter_mut().enumerate() {
            let own = store.own_id(row);
            let (owner, linked_ts) = match linked[own.symbol.index()] {
                None => (own, None),
                Some(symbol) => identity.resolve(symbol, own.is_user, store.event_ts(row)),
            };
            let taken = is_kept[row] && self.counts.take(owner.is_user, linked_ts, &self.options);
            if !taken {
                users.push(NOBODY);
                anonymous.push(NOBODY);
                continue;
            }
            *is_owned = true;
            let is_linked = linked[own.symbol.index()].is_some();
            let text = if is_linked {
                identity.ids.text(owner.symbol)
            } else {
                store.ids.text(owner.symbol)
            };
            let symbol = owners.intern(text);
            users.push(if owner.is_user { symbol } else { NOBODY });
            anonymous.push(if owner.is_user { NOBODY } else { symbol });
            if let Some(linked_ts) = linked_ts {
                store.known_not_before(row, linked_ts);
            }
        }
        store.assign(owners, users, anonymous);
        is_owned
    }
}

/// The events of whole ranges of profiles.
#[derive(Debug)]
pub struct ProfileBucket(LogBuilder);

impl ProfileBucket {
    /// No event yet.
    #[must_use]
    pub fn new(options: AssembleOptions) -> Self {
        Self(LogBuilder::new(options))
    }

    /// Takes in a block of [`EventBucket::regroup`].
    ///
    /// # Errors
    /// If the block is not as it was written.
    pub fn read(&mut self, block: &[u8]) -> Result<(), BlockError> {
        self.0.store.read_block(block)
    }

    /// The histories of the profiles, sorted by name; its counts are those of profiles alone. Every
    /// block of the ranges must have been read.
    #[must_use]
    pub fn finish(self) -> EventLog {
        let Self(mut builder) = self;
        // every event is here because it was kept, and was counted then
        builder.options.anonymous = AnonymousPolicy::Keep;
        let is_kept = vec![true; builder.store.len()];
        let groups = builder.group(&is_kept, &Links::none(), 1);
        builder.counts = LogCounts::default();
        builder.build(groups, 1)
    }
}

#[cfg(test)]
mod tests;
