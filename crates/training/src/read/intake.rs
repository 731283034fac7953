//! Where the threads that read put their events: in memory while there is room, then on disk.

use std::sync::atomic::{AtomicUsize, Ordering};

use segue_events::{AssembleOptions, LogBuilder, ProfileSample};

use super::ReadError;
use super::external::Spilling;

/// How much all threads may hold together, and where the rest goes.
pub(super) struct Limit<'a> {
    spilling: &'a Spilling,
    /// Bytes of all builders.
    memory: usize,
    /// Bytes below which a builder is not worth emptying.
    share: usize,
    in_use: AtomicUsize,
}

impl<'a> Limit<'a> {
    /// So many bytes for `n_threads` builders.
    pub(super) fn new(spilling: &'a Spilling, memory: usize, n_threads: usize) -> Self {
        // of equal builders none is below it
        let share = memory / (4 * n_threads.max(1));
        Self { spilling, memory, share, in_use: AtomicUsize::new(0) }
    }
}

/// Where a thread puts its events.
pub(super) struct Intake {
    pub(super) builder: LogBuilder,
    /// Those that went to disk.
    pub(super) sample: ProfileSample,
    /// What it holds by the last look.
    memory: usize,
    pub(super) has_spilled: bool,
}

impl Intake {
    pub(super) fn new(options: AssembleOptions) -> Self {
        let (builder, sample) = (LogBuilder::new(options), ProfileSample::default());
        Self { builder, sample, memory: 0, has_spilled: false }
    }

    /// Makes room if there is too little.
    pub(super) fn make_room(&mut self, limit: &Limit<'_>) -> Result<(), ReadError> {
        let before = std::mem::replace(&mut self.memory, self.builder.memory());
        limit.in_use.fetch_add(self.memory, Ordering::Relaxed);
        let in_use = limit.in_use.fetch_sub(before, Ordering::Relaxed) - before;
        if in_use > limit.memory && self.memory >= limit.share {
            limit.spilling.empty(&mut self.builder, &mut self.sample)?;
            self.has_spilled = true;
            limit.in_use.fetch_sub(std::mem::take(&mut self.memory), Ordering::Relaxed);
        }
        Ok(())
    }
}
