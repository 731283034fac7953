//! Which predictions are in the log: what a recorded outcome is told, without reading the log for it.
//!
//! Numbers of a server are consecutive, so a set of them is a set of bits. A million predictions take
//! 0.13 MB when all are logged and about 13 MB when one in a hundred is. Hours of this process are
//! kept as they are written, others are read from their files when an outcome asks for them; the ones
//! that were asked for longest ago leave first.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
#[cfg(test)]
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use parquet::errors::ParquetError;

use super::columns::{ColumnValues, TableReader};
use super::folder::{FileName, Folder};
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
    /// Listings of the folder, and files read.
    #[cfg(test)]
    pub(super) n_looks: (AtomicU64, AtomicU64),
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
    files: HashSet<FileName>,
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
        Self {
            folder,
            server,
            known: Mutex::default(),
            #[cfg(test)]
            n_looks: Default::default(),
        }
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

    /// Of each prediction whether it is in the log. May read files: not for a request's thread.
    ///
    /// Misses are usual, of predictions that were not sampled or that other servers made. So the folder
    /// is listed once for all of them, and only files that have not been read are opened.
    pub(crate) fn have(&self, ids: &[PredictionId]) -> Vec<bool> {
        let mut found = Vec::with_capacity(ids.len());
        let mut missing: BTreeMap<Hour, Vec<usize>> = BTreeMap::new();
        let mut known = self.lock();
        for (place, id) in ids.iter().enumerate() {
            let hour = (id.hour(), id.server());
            found.push(known.asked(hour, id.number()));
            // The hours of this process are kept as they are written, unless they had to leave.
            let is_all = id.server() == self.server && known.hours.contains_key(&hour);
            if !found[place] && !is_all {
                missing.entry(hour).or_default().push(place);
            }
        }
        // Who writes the log must not wait for what is read of it.
        drop(known);
        if missing.is_empty() {
            return found;
        }
        #[cfg(test)]
        self.n_looks.0.fetch_add(1, Ordering::Relaxed);
        let Ok(names) = self.folder.names() else { return found };
        let mut files: BTreeMap<Hour, Vec<(FileName, PathBuf)>> = BTreeMap::new();
        for (name, path) in names {
            let hour = (name.hour, name.server);
            if missing.contains_key(&hour) {
                files.entry(hour).or_default().push((name, path));
            }
        }
        for (hour, files) in files {
            self.read(hour, files);
            let mut known = self.lock();
            for place in missing.get(&hour).into_iter().flatten() {
                found[*place] = known.asked(hour, ids[*place].number());
            }
            known.shrink();
        }
        found
    }

    /// Reads the files of an hour that have not been read.
    fn read(&self, hour: Hour, mut files: Vec<(FileName, PathBuf)>) {
        if let Some(bits) = self.lock().hours.get(&hour) {
            files.retain(|(name, _)| !bits.files.contains(name));
        }
        for (name, path) in files {
            #[cfg(test)]
            self.n_looks.1.fetch_add(1, Ordering::Relaxed);
            match ids_of(&path) {
                Ok(ids) => {
                    let mut known = self.lock();
                    for id in ids {
                        known.set(id);
                    }
                    known.hours.entry(hour).or_default().files.insert(name);
                }
                // Tried again when its hour is asked for again.
                Err(error) => {
                    tracing::debug!(%error, file = %path.display(), "a file of the log cannot be read");
                }
            }
        }
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

/// The ids of a file.
fn ids_of(path: &Path) -> Result<Vec<PredictionId>, ParquetError> {
    let table = TableReader::open(path)?;
    let mut ids = Vec::new();
    for group in 0..table.n_groups() {
        for column in table.read(group, &["prediction_id"])? {
            if let ColumnValues::Text(texts) = column.values {
                ids.extend(texts.iter().flatten().filter_map(|text| PredictionId::parse(text)));
            }
        }
    }
    Ok(ids)
}
