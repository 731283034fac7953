//! Profiles divided by name into ranges of about equal weight.

use super::{Identity, Store};
use crate::Micros;

/// Events that are kept to say where the weight lies.
const SAMPLE: usize = 1 << 14;

/// Bytes that an event weighs beside its properties and texts: those of its times and names.
const EVENT_WEIGHT: usize = 64;

#[derive(Debug)]
struct Sampled {
    priority: u64,
    is_user: bool,
    id: String,
    event_ts: Micros,
    weight: usize,
}

/// A sample of the events of a log: those with the smallest hashes.
#[derive(Debug)]
pub struct ProfileSample {
    /// Those with a greater hash cannot be among the smallest any more.
    ceiling: u64,
    events: Vec<Sampled>,
}

impl Default for ProfileSample {
    fn default() -> Self {
        Self { ceiling: u64::MAX, events: Vec::new() }
    }
}

impl ProfileSample {
    pub(super) fn offer(&mut self, store: &Store, row: usize, priority: u64) {
        if priority > self.ceiling {
            return;
        }
        let own = store.own_id(row);
        self.events.push(Sampled {
            priority,
            is_user: own.is_user,
            id: store.ids.text(own.symbol).to_owned(),
            event_ts: store.event_ts(row),
            weight: EVENT_WEIGHT + store.row_memory(row),
        });
        if self.events.len() >= 2 * SAMPLE {
            self.shrink();
        }
    }

    /// Puts two samples together.
    pub fn absorb(&mut self, other: Self) {
        self.ceiling = self.ceiling.min(other.ceiling);
        self.events.extend(other.events);
        self.events.retain(|event| event.priority <= self.ceiling);
        if self.events.len() > SAMPLE {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        let (_, last, _) =
            self.events.select_nth_unstable_by_key(SAMPLE - 1, |event| event.priority);
        self.ceiling = last.priority;
        self.events.truncate(SAMPLE);
    }
}

/// Ranges of names of profiles, by which a log is divided: no result depends on where they end.
#[derive(Debug, Clone, Default)]
pub struct ProfileRanges {
    /// The first name of each range but the first, ascending.
    starts: Vec<String>,
}

impl ProfileRanges {
    /// At most so many ranges, which weigh about the same.
    #[must_use]
    pub fn of(sample: ProfileSample, identity: &Identity, n_ranges: usize) -> Self {
        let mut profiles: Vec<(String, usize)> = sample
            .events
            .into_iter()
            .filter_map(|event| {
                let name = identity.profile(&event.id, event.is_user, event.event_ts)?;
                Some((name, event.weight))
            })
            .collect();
        profiles.sort_unstable();
        let total: usize = profiles.iter().map(|(_, weight)| weight).sum();
        let share = total.div_ceil(n_ranges.max(1)).max(1);
        let mut starts: Vec<String> = Vec::new();
        let (mut before, mut next) = (0, share);
        for (name, weight) in profiles {
            if before >= next && starts.last().is_none_or(|last| *last < name) {
                starts.push(name);
                next = before - before % share + share;
            }
            before += weight;
        }
        Self { starts }
    }

    /// Number of ranges, at least 1.
    #[must_use]
    pub fn n_ranges(&self) -> usize {
        self.starts.len() + 1
    }

    /// The range of a name, from 0.
    pub(super) fn of_name(&self, name: &str) -> usize {
        self.starts.partition_point(|start| start.as_str() <= name)
    }
}
