//! Blocks of events or links on disk, by bucket, while a log does not fit in memory.
//!
//! The files have no name: the system frees them as soon as nobody has them open, however the process
//! ends. So nothing is left behind after an error, a kill or a loss of power.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use segue_events::{Block, BlockError};

use super::ReadError;

/// Files that the buckets are divided over, in their order: the room of those that have been read is
/// given back one by one.
const N_FILES: usize = 16;

/// Takes blocks from several threads.
#[derive(Debug)]
pub(super) struct Spill {
    folder: PathBuf,
    n_buckets: usize,
    files: Vec<Mutex<SpillFile>>,
}

#[derive(Debug, Default)]
struct SpillFile {
    /// Made when the first block comes.
    file: Option<File>,
    n_bytes: u64,
    blocks: Vec<Place>,
}

/// Where a block is.
#[derive(Debug, Clone, Copy)]
struct Place {
    bucket: usize,
    start: u64,
    n_bytes: usize,
    memory: usize,
}

impl Spill {
    /// Nothing is written before the first block.
    pub(super) fn new(folder: &Path, n_buckets: usize) -> Self {
        let files = (0..N_FILES.min(n_buckets)).map(|_| Mutex::default()).collect();
        Self { folder: folder.to_owned(), n_buckets, files }
    }

    /// Keeps a block.
    pub(super) fn put(&self, block: Block<'_>) -> Result<(), ReadError> {
        let own = &self.files[block.bucket * self.files.len() / self.n_buckets];
        let mut own = lock(own);
        let SpillFile { file, n_bytes, blocks } = &mut *own;
        let mut write = || -> std::io::Result<()> {
            let file = match file {
                Some(file) => file,
                None => file.insert(tempfile::tempfile_in(&self.folder)?),
            };
            file.write_all(block.bytes)
        };
        write().map_err(|source| failed(&self.folder, source))?;
        let (bucket, start, memory) = (block.bucket, *n_bytes, block.memory);
        blocks.push(Place { bucket, start, n_bytes: block.bytes.len(), memory });
        *n_bytes += block.bytes.len() as u64;
        Ok(())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Bytes on disk.
    pub(super) fn n_bytes(&self) -> u64 {
        self.files.iter().map(|file| lock(file).n_bytes).sum()
    }

    /// The buckets, in their order, as many together as take `memory` bytes; at least one. A file is
    /// freed with the last group that has blocks in it.
    pub(super) fn into_groups(self, memory: usize) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for file in self.files {
            let SpillFile { file, mut blocks, .. } =
                file.into_inner().unwrap_or_else(PoisonError::into_inner);
            let Some(file) = file else { continue };
            let file = Arc::new(Mutex::new(file));
            blocks.sort_by_key(|place| (place.bucket, place.start));
            for bucket in blocks.chunk_by(|a, b| a.bucket == b.bucket) {
                let own: usize = bucket.iter().map(|place| place.memory).sum();
                let fits = |group: &Group| group.memory + own <= memory;
                let mut group = match groups.pop_if(|group| fits(group)) {
                    Some(group) => group,
                    None => Group { folder: self.folder.clone(), ..Group::default() },
                };
                group.memory += own;
                group.blocks.extend(bucket.iter().map(|&place| (Arc::clone(&file), place)));
                groups.push(group);
            }
        }
        groups
    }
}

/// Whole buckets, to be read together.
#[derive(Debug, Default)]
pub(super) struct Group {
    folder: PathBuf,
    memory: usize,
    blocks: Vec<(Arc<Mutex<File>>, Place)>,
}

impl Group {
    /// Bytes on disk.
    pub(super) fn n_bytes(&self) -> u64 {
        self.blocks.iter().map(|(_, place)| place.n_bytes as u64).sum()
    }

    /// Hands the blocks to `take`, in the order in which they lie on disk.
    pub(super) fn read(
        mut self,
        mut take: impl FnMut(&[u8]) -> Result<(), BlockError>,
    ) -> Result<(), ReadError> {
        let folder = &self.folder;
        self.blocks.sort_by_key(|(file, place)| (Arc::as_ptr(file), place.start));
        let mut bytes = Vec::new();
        for (file, place) in self.blocks {
            bytes.resize(place.n_bytes, 0);
            let mut file = lock(&file);
            file.seek(SeekFrom::Start(place.start))
                .and_then(|_| file.read_exact(&mut bytes))
                .map_err(|source| failed(folder, source))?;
            drop(file);
            take(&bytes).map_err(|damage| failed(folder, std::io::Error::other(damage)))?;
        }
        Ok(())
    }
}

fn failed(folder: &Path, source: std::io::Error) -> ReadError {
    ReadError::Spill { folder: folder.to_owned(), source }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_come_back_whole_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for (n_buckets, memory) in [(1, 0), (5, 0), (40, 25), (40, 1_000_000)] {
            let spill = Spill::new(folder.path(), n_buckets);
            for round in 0..3u8 {
                for bucket in (0..n_buckets).filter(|bucket| bucket % 7 != 3) {
                    spill.put(Block { bucket, bytes: &[bucket as u8, round], memory: 5 }).unwrap();
                }
            }
            let n_bytes = spill.n_bytes();
            let groups = spill.into_groups(memory);
            let mut found: Vec<Vec<[u8; 2]>> = Vec::new();
            for group in groups {
                let mut own = Vec::new();
                group
                    .read(|bytes| {
                        own.push([bytes[0], bytes[1]]);
                        Ok(())
                    })
                    .unwrap();
                own.sort_unstable();
                assert!(own.len() * 5 <= memory.max(15), "{own:?}");
                assert_eq!(own.len() % 3, 0, "a bucket is divided: {own:?}");
                found.push(own);
            }
            let all = found.concat();
            assert!(all.is_sorted(), "{all:?}");
            assert_eq!(all.len() as u64 * 2, n_bytes);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_takes_no_files_is_named() {
        let spill = Spill::new(Path::new("/nowhere/at/all"), 3);
        let error = spill.put(Block { bucket: 2, bytes: b"a", memory: 1 }).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("/nowhere/at/all") && text.contains("--temp"), "{text}");
    }
}
