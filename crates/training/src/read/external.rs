//! A log that does not fit in memory, from its blocks on disk to the histories of all users, in the
//! order of their names. What is computed in each step is said in `segue_events`.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use segue_events::{
    AssembleOptions, EventBucket, EventLog, Identity, IdentityBuilder, LinkBucket, LogBuilder,
    LogCounts, LogSpan, Micros, ProfileBucket, ProfileRanges, ProfileSample, Scatter,
};

use super::spill::{Group, Spill};
use super::turns::in_order;
use super::{ReadError, ReadProgress};

/// Buckets of events, of links and of profiles. More than a log of this many times its memory needs,
/// and few enough that the blocks of a full builder are no crumbs.
const N_BUCKETS: usize = 1024;

/// How much memory the events of a log may take, and where they go beyond that.
#[derive(Debug, Clone, Copy)]
pub struct Room<'a> {
    /// Bytes. No result depends on it.
    pub memory: u64,
    /// Folder for temporary files.
    pub folder: &'a Path,
}

impl Room<'_> {
    /// Bytes that events may take while they are read: in the end there are their histories too, and
    /// vectors that grow have room to spare.
    pub(super) fn for_builders(&self) -> usize {
        usize::try_from(self.memory / 4).unwrap_or(usize::MAX)
    }
}

/// Where full builders put their events.
#[derive(Debug)]
pub(super) struct Spilling {
    scatter: Scatter,
    events: Spill,
    links: Spill,
}

impl Spilling {
    pub(super) fn new(folder: &Path) -> Self {
        let spill = || Spill::new(folder, N_BUCKETS);
        Self { scatter: Scatter::new(N_BUCKETS), events: spill(), links: spill() }
    }

    /// Empties a builder.
    pub(super) fn empty(
        &self,
        builder: &mut LogBuilder,
        sample: &mut ProfileSample,
    ) -> Result<(), ReadError> {
        let events = |block: segue_events::Block<'_>| self.events.put(block);
        builder.scatter(&self.scatter, sample, events, |block| self.links.put(block))
    }
}

/// All events of a log, read.
#[derive(Debug)]
pub enum ReadLog {
    /// It fits in memory.
    Whole(EventLog),
    /// It lies on disk, in no order yet.
    Spilled(SpilledLog),
}

impl ReadLog {
    /// Makes the histories ready to be handed out, in the order of their users' names. `progress` is
    /// told of the bytes of temporary files that are done.
    ///
    /// # Errors
    /// Temporary files that cannot be written or read.
    pub fn arrange(self, progress: ReadProgress<'_>) -> Result<ArrangedLog, ReadError> {
        match self {
            Self::Whole(log) => Ok(ArrangedLog::Whole(log)),
            Self::Spilled(log) => log.arrange(progress).map(ArrangedLog::Grouped),
        }
    }

    /// Whether it did not fit in memory.
    #[must_use]
    pub fn is_spilled(&self) -> bool {
        matches!(self, Self::Spilled(_))
    }
}

/// Events and links on disk.
#[derive(Debug)]
pub struct SpilledLog {
    pub(super) spilling: Spilling,
    pub(super) sample: ProfileSample,
    pub(super) counts: LogCounts,
    pub(super) options: AssembleOptions,
    pub(super) n_threads: usize,
    /// Bytes that events may take.
    pub(super) memory: usize,
}

impl SpilledLog {
    fn arrange(self, progress: ReadProgress<'_>) -> Result<GroupedLog, ReadError> {
        let Self { spilling, sample, mut counts, options, n_threads, memory } = self;
        let Spilling { events, links, .. } = spilling;
        let n_bytes_total = links.n_bytes() + events.n_bytes();
        let mut n_bytes = links.n_bytes();
        let folder = events.folder().to_owned();
        let memory = memory / n_threads.max(1);

        let identity = identify(&Groups::of(links, memory), options, n_threads)?;
        counts.add(&identity.counts());
        progress(n_bytes, n_bytes_total);

        let ranges = ProfileRanges::of(sample, &identity, N_BUCKETS);
        let profiles = Spill::new(&folder, ranges.n_ranges());
        let groups = Groups::of(events, memory);
        let regroup = |index: usize, (): &mut ()| {
            let group = groups.take(index);
            let n_bytes = group.n_bytes();
            let mut bucket = EventBucket::new(options);
            group.read(|block| bucket.read(block))?;
            Ok((n_bytes, bucket.regroup(&identity, &ranges, |block| profiles.put(block))?))
        };
        let mut span: Option<LogSpan> = None;
        in_order(
            groups.len(),
            n_threads,
            || (),
            regroup,
            |(n_done, regrouped)| {
                counts.add(&regrouped.counts);
                span = match (span, regrouped.span) {
                    (Some(a), Some(b)) => Some(a.with(b)),
                    (a, b) => a.or(b),
                };
                n_bytes += n_done;
                progress(n_bytes, n_bytes_total);
                Ok::<(), ReadError>(())
            },
        )?;
        // histories and scores stand beside the events
        let groups = Groups::of(profiles, memory / 2);
        Ok(GroupedLog { groups, options, counts, span })
    }
}

fn identify(
    groups: &Groups,
    options: AssembleOptions,
    n_threads: usize,
) -> Result<Identity, ReadError> {
    let read = |index: usize, (): &mut ()| {
        let mut bucket = LinkBucket::default();
        groups.take(index).read(|block| bucket.read(block))?;
        bucket.settle();
        Ok(bucket)
    };
    let mut identity = IdentityBuilder::default();
    in_order(
        groups.len(),
        n_threads,
        || (),
        read,
        |bucket| {
            identity.add(bucket);
            Ok::<(), ReadError>(())
        },
    )?;
    Ok(identity.finish(options))
}

/// Groups of buckets, each to be read once.
#[derive(Debug)]
struct Groups(Vec<Mutex<Option<Group>>>);

impl Groups {
    fn of(spill: Spill, memory: usize) -> Self {
        Self(spill.into_groups(memory).into_iter().map(|group| Mutex::new(Some(group))).collect())
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    /// A group; nothing if it was taken before.
    fn take(&self, index: usize) -> Group {
        self.0[index].lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }
}

/// A log whose histories are ready to be handed out.
#[derive(Debug)]
pub enum ArrangedLog {
    /// In memory.
    Whole(EventLog),
    /// On disk, by user.
    Grouped(GroupedLog),
}

impl ArrangedLog {
    /// Latest time of an event that was kept, or at which one became known; 0 if there is none.
    #[must_use]
    pub fn last_instant(&self) -> Micros {
        match self {
            Self::Whole(log) => log.last_known_ts.max(log.last_ts),
            Self::Grouped(log) => log.span.map_or(0, |span| span.last_known_ts.max(span.last_ts)),
        }
    }

    /// Number of users, if it is known before they are handed out.
    #[must_use]
    pub fn n_users(&self) -> Option<u64> {
        match self {
            Self::Whole(log) => Some(log.histories.len() as u64),
            Self::Grouped(_) => None,
        }
    }
}

/// Events on disk, by ranges of users' names.
#[derive(Debug)]
pub struct GroupedLog {
    groups: Groups,
    options: AssembleOptions,
    counts: LogCounts,
    span: Option<LogSpan>,
}

impl GroupedLog {
    /// What became of the events. Profiles are not counted: they are not known yet.
    #[must_use]
    pub fn counts(&self) -> LogCounts {
        self.counts
    }

    /// Number of parts that the users are handed out in, in the order of their names.
    pub(crate) fn n_parts(&self) -> usize {
        self.groups.len()
    }

    /// The log of the users of a part. Each part can be had once.
    pub(crate) fn part(&self, index: usize) -> Result<EventLog, ReadError> {
        let mut bucket = ProfileBucket::new(self.options);
        self.groups.take(index).read(|block| bucket.read(block))?;
        Ok(bucket.finish())
    }
}
