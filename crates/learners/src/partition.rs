//! Which rows are in which leaf: one array of row numbers, each leaf a range of it.

use std::ops::Range;

use rayon::prelude::*;

use crate::binning::CodeMatrix;
use crate::histogram::{Accumulator, Entry, Histogram, Scaled};
use crate::split::CodeSet;

/// Rows parted before those of the side that is summed are added; they are still in the cache then.
const SUMMED_ROWS: usize = 4096;
/// Rows whose margins one thread moves, leaf by leaf; they stay in its cache.
const CHUNK_ROWS: usize = 16_384;

/// Rows with their gradients, ascending within every leaf's range.
#[derive(Debug, Clone, Default)]
pub(crate) struct Partition {
    entries: Vec<Entry>,
    buffer: Vec<Entry>,
}

/// One leaf's rows while they are split, and as much memory to split them with.
#[derive(Debug)]
pub(crate) struct LeafRows<'a> {
    entries: &'a mut [Entry],
    buffer: &'a mut [Entry],
}

/// Which rows go left: those whose byte of a bundle is one of these states.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    pub(crate) bundle: usize,
    pub(crate) left_states: CodeSet,
}

/// The side whose histogram is summed while rows are split.
#[derive(Clone, Copy)]
pub(crate) struct Summed<'a> {
    pub(crate) left: bool,
    pub(crate) n_rows: usize,
    pub(crate) accumulator: Accumulator<'a>,
}

impl Partition {
    /// All of `rows` (ascending) in one range.
    pub(crate) fn reset(&mut self, rows: &[u32], scaled: &Scaled) {
        self.entries.resize(rows.len(), Entry::default());
        let pairs = self.entries.par_iter_mut().with_min_len(CHUNK_ROWS).zip(rows);
        pairs.for_each(|(entry, &row)| *entry = scaled.entry(row));
        self.buffer.resize(rows.len(), Entry::default());
    }

    pub(crate) fn entries(&self, range: Range<usize>) -> &[Entry] {
        &self.entries[range]
    }

    /// Restores the ascending order of a leaf that was split in vain.
    pub(crate) fn join(&mut self, range: Range<usize>) {
        // Stable on purpose: it finds the two ascending runs and merges them.
        self.entries[range].sort();
    }

    /// Adds each leaf's value to the margins of its rows.
    pub(crate) fn add_to_rows(&self, leaves: &[Range<usize>], values: &[f64], margins: &mut [f64]) {
        margins.par_chunks_mut(CHUNK_ROWS).enumerate().for_each(|(chunk, margins)| {
            let first = (chunk * CHUNK_ROWS) as u32;
            let end = first + margins.len() as u32;
            for (leaf, &value) in leaves.iter().zip(values) {
                let entries = &self.entries[leaf.clone()];
                let entries = &entries[entries.partition_point(|entry| entry.row() < first)..];
                for entry in entries.iter().take_while(|entry| entry.row() < end) {
                    margins[(entry.row() - first) as usize] += value;
                }
            }
        });
    }

    /// Moves the rows of a leaf that the question sends left to its front, on this thread, and returns
    /// their number.
    pub(crate) fn split(
        &mut self,
        range: Range<usize>,
        codes: &CodeMatrix,
        question: Question,
    ) -> usize {
        let (entries, buffer) = (&mut self.entries[range.clone()], &mut self.buffer[range]);
        LeafRows { entries, buffer }.split(codes, question, None).0
    }

    /// The rows of several leaves, whose ranges must ascend without overlap.
    pub(crate) fn leaves(&mut self, ranges: &[Range<usize>]) -> Vec<LeafRows<'_>> {
        let (mut entries, mut buffer) = (self.entries.as_mut_slice(), self.buffer.as_mut_slice());
        let mut begin = 0;
        let mut leaves = Vec::with_capacity(ranges.len());
        for range in ranges {
            let (of_entries, rest_entries) =
                entries[range.start - begin..].split_at_mut(range.len());
            let (of_buffer, rest_buffer) = buffer[range.start - begin..].split_at_mut(range.len());
            leaves.push(LeafRows { entries: of_entries, buffer: of_buffer });
            (entries, buffer, begin) = (rest_entries, rest_buffer, range.end);
        }
        leaves
    }
}

impl LeafRows<'_> {
    /// Moves the rows that the question sends left to the front, keeping the order on both sides.
    /// Returns their number and the histogram of the summed side.
    pub(crate) fn split(
        self,
        codes: &CodeMatrix,
        question: Question,
        summed: Option<Summed<'_>>,
    ) -> (usize, Option<Histogram>) {
        let states = codes.bundle(question.bundle);
        let (n_left, histogram) =
            split_part(self.entries, self.buffer, states, &question.table(), summed);
        let n_right = self.entries.len() - n_left;
        self.entries[n_left..].copy_from_slice(&self.buffer[..n_right]);
        (n_left, histogram)
    }

    /// The same on all threads of the pool.
    pub(crate) fn split_in_parallel(
        self,
        codes: &CodeMatrix,
        question: Question,
        summed: Option<Summed<'_>>,
    ) -> (usize, Option<Histogram>) {
        let n_threads = rayon::current_num_threads();
        if n_threads == 1 {
            return self.split(codes, question, summed);
        }
        let Self { entries, buffer } = self;
        let (states, table) = (codes.bundle(question.bundle), question.table());
        let part_rows = entries.len().div_ceil(n_threads).max(1);
        let parts = entries.par_chunks_mut(part_rows).zip(buffer.par_chunks_mut(part_rows));
        let split = |(entries, buffer): (&mut [Entry], &mut [Entry])| {
            split_part(entries, buffer, states, &table, summed)
        };
        let (counts, histograms): (Vec<usize>, Vec<Option<Histogram>>) = parts.map(split).unzip();
        gather(entries, buffer, part_rows, &counts);
        let histogram = summed.and_then(|summed| summed.accumulator.merge(histograms));
        (counts.iter().sum(), histogram)
    }
}

impl Question {
    /// 1 for every state that goes left.
    fn table(&self) -> [u8; 256] {
        std::array::from_fn(|state| u8::from(self.left_states.contains(state as u8)))
    }
}

/// Brings the parts together: all left rows in front, then all right rows, each in order of parts. Left
/// rows are at the front of each part of `entries`, right rows at the front of each part of `buffer`.
fn gather(entries: &mut [Entry], buffer: &[Entry], part_rows: usize, left_counts: &[usize]) {
    let mut n_left = 0;
    for (part, &count) in left_counts.iter().enumerate() {
        let start = part * part_rows;
        entries.copy_within(start..start + count, n_left);
        n_left += count;
    }
    let mut rest = &mut entries[n_left..];
    let mut copies = Vec::with_capacity(left_counts.len());
    for (buffer, &count) in buffer.chunks(part_rows).zip(left_counts) {
        let n_right = buffer.len() - count;
        let (to, after) = rest.split_at_mut(n_right);
        copies.push((to, &buffer[..n_right]));
        rest = after;
    }
    copies.into_par_iter().for_each(|(to, from)| to.copy_from_slice(from));
}

/// Left rows to the front of `entries`, right rows to the front of `buffer`; the summed side is added on the way.
fn split_part(
    entries: &mut [Entry],
    buffer: &mut [Entry],
    states: &[u8],
    goes_left: &[u8; 256],
    summed: Option<Summed<'_>>,
) -> (usize, Option<Histogram>) {
    let mut sum = summed.map(|summed| summed.accumulator.begin(summed.n_rows));
    let mut n_left = 0;
    for begin in (0..entries.len()).step_by(SUMMED_ROWS) {
        let end = (begin + SUMMED_ROWS).min(entries.len());
        let before = n_left;
        n_left = part_rows(&mut entries[..end], begin, n_left, buffer, states, goes_left);
        if let (Some(sum), Some(summed)) = (&mut sum, summed) {
            let added = if summed.left {
                &entries[before..n_left]
            } else {
                &buffer[begin - before..end - n_left]
            };
            sum.add(added);
        }
    }
    (n_left, sum.map(|sum| sum.finish()))
}

/// Parts the rows from `begin` on, behind `n_left` left ones at the front of `entries` and the other ones at the
/// front of `buffer`; returns how many are left then. Without a branch: each row is written to both sides, and
/// one of them moves on. Not inlined, so that all it needs stays in registers.
#[inline(never)]
fn part_rows(
    entries: &mut [Entry],
    begin: usize,
    mut n_left: usize,
    buffer: &mut [Entry],
    states: &[u8],
    goes_left: &[u8; 256],
) -> usize {
    for index in begin..entries.len() {
        let entry = entries[index];
        let left = goes_left[usize::from(states[entry.row() as usize])];
        entries[n_left] = entry;
        buffer[index - n_left] = entry;
        n_left += usize::from(left);
    }
    n_left
}
