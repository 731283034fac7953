//! Which predictions are in the log: what a recorded outcome is told, without reading the log for it.
//!
//! Numbers of a server are consecutive, so a set of them is a set of bits. A million predictions take
//! 0.13 MB when all are logged and about 13 MB when one in a hundred is. Hours of this process are
//! kept as they are written, others are read from their files when an outcome asks for them; the ones
//! that were asked for longest ago leave first.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::columns::{ColumnValues, TableReader};
use super::folder::Folder;
use super::id::{PredictionId, ServerId};
use crate::metrics::LogMetrics;

/// Bits of a block.
const BLOCK_BITS: u64 = 4096;

/// Blocks in memory over all hours: 32 MiB.
const MAX_BLOCKS: usize = 1 << 16;

type Hour = (i64, ServerId);

/// The predictions that are in the log.
#[derive(Debug)]
pub(crate) struct LoggedIds {
    folder: Folder,
    server: ServerId,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    hours: HashMap<Hour, Bits>,
    n_blocks: usize,
    /// Counts questions, so that the oldest is known.
    clock: u64,
    /// Outcomes whose prediction is not in the log yet.
    awaited: BTreeSet<PredictionId>,
}

#[derive(Debug, Default)]
struct Bits {
    blocks: HashMap<u64, Box<[u64; (BLOCK_BITS / 64) as usize]>>,
    asked: u64,
    /// Files that have been read.
    n_files: usize,
}

impl Bits {
    /// Whether a block was added.
    fn set(&mut self, number: u64) -> bool {
        let n_before = self.blocks.len();
        let block = self.blocks.entry(number / BLOCK_BITS).or_insert_with(|| Box::new([0; 64]));
        let bit = number % BLOCK_BITS;
        block[(bit / 64) as usize] |= 1 << (bit % 64);
        self.blocks.len() > n_before
    }

    fn has(&self, number: u64) -> bool {
        let bit = number % BLOCK_BITS;
        self.blocks
            .get(&(number / BLOCK_BITS))
            .is_some_and(|block| block[(bit / 64) as usize] >> (bit % 64) & 1 == 1)
    }
}

impl LoggedIds {
    /// Nothing known; `server` is this process.
    pub(crate) fn new(folder: Folder, server: ServerId) -> Self {
        Self { folder, server, known: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These are in the log now. Outcomes that waited for one of them are counted.
    pub(crate) fn add(&self, ids: &[PredictionId], metrics: &LogMetrics) {
        let mut known = self.lock();
        for id in ids {
            known.set(*id);
            if known.awaited.remove(id) {
                metrics.outcomes_matched_later.inc();
            }
        }
        known.shrink();
    }

    /// An outcome of this prediction waits for it. `max` bounds how many are remembered.
    pub(crate) fn wait_for(&self, id: PredictionId, max: usize) {
        let mut known = self.lock();
        known.awaited.insert(id);
        while known.awaited.len() > max {
            known.awaited.pop_first();
        }
    }

    /// Whether the prediction is in the log. May read files: not for a request's thread.
    pub(crate) fn has(&self, id: PredictionId) -> bool {
        let hour = (id.hour(), id.server());
        let mut known = self.lock();
        if known.asked(hour, id.number()) {
            return true;
        }
        // The hours of this process are kept as they are written, unless they had to leave.
        if id.server() == self.server && known.hours.contains_key(&hour) {
            return false;
        }
        let n_read = known.hours.get(&hour).map_or(0, |bits| bits.n_files);
        // Who writes the log must not wait for what is read of it.
        drop(known);
        let Ok(mut files) = self.folder.files_of(&(hour.0..=hour.0)) else { return false };
        files.retain(|file| file.name.server == id.server());
        if files.len() == n_read {
            return false;
        }
        for file in &files {
            let ids = ids_of(&file.path);
            let mut known = self.lock();
            for id in ids {
                known.set(id);
            }
        }
        let mut known = self.lock();
        known.hours.entry(hour).or_default().n_files = files.len();
        let found = known.asked(hour, id.number());
        known.shrink();
        found
    }
}

impl Known {
    fn set(&mut self, id: PredictionId) {
        let bits = self.hours.entry((id.hour(), id.server())).or_default();
        self.n_blocks += usize::from(bits.set(id.number()));
        bits.asked = self.clock;
    }

    fn asked(&mut self, hour: Hour, number: u64) -> bool {
        self.clock += 1;
        let Some(bits) = self.hours.get_mut(&hour) else { return false };
        bits.asked = self.clock;
        bits.has(number)
    }

    /// Lets go of the hours asked for longest ago. An hour that is still being written is asked for
    /// with every write, and an hour alone stays however large it is.
    fn shrink(&mut self) {
        while self.n_blocks > MAX_BLOCKS && self.hours.len() > 1 {
            let oldest = self.hours.iter().min_by_key(|(_, bits)| bits.asked);
            let Some(hour) = oldest.map(|(hour, _)| *hour) else { return };
            if let Some(bits) = self.hours.remove(&hour) {
                self.n_blocks -= bits.blocks.len();
            }
        }
    }
}

/// The ids of a file; none of one that cannot be read.
fn ids_of(path: &std::path::Path) -> Vec<PredictionId> {
    let Ok(table) = TableReader::open(path) else { return Vec::new() };
    let mut ids = Vec::new();
    for group in 0..table.n_groups() {
        let Ok(columns) = table.read(group, &["prediction_id"]) else { return ids };
        for column in columns {
            if let ColumnValues::Text(texts) = column.values {
                ids.extend(texts.iter().flatten().filter_map(|text| PredictionId::parse(text)));
            }
        }
    }
    ids
}
