//! Adding rows to a histogram.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use super::packed::{self, BUNDLE_WORDS, BundleWords};
use super::scaled::Rows;
use super::{Cell, Entry, Histogram, Layout, Scaled};
use crate::binning::CodeMatrix;

/// Rows below which packed words are added to wide cells one by one: moving a block of words costs
/// as much as adding so many rows.
const DIRECT_ROWS: usize = 192;
/// Rows of a part that are worth a thread.
const PARALLEL_ROWS: usize = 8_192;

/// Memory of histograms, reused from node to node and tree to tree by all threads.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    histograms: Mutex<Vec<Histogram>>,
    words: Mutex<Vec<Vec<BundleWords>>>,
}

impl Workspace {
    /// A histogram with any content.
    pub(crate) fn take(&self) -> Histogram {
        lock(&self.histograms).pop().unwrap_or_default()
    }

    /// Keeps a histogram for later.
    pub(crate) fn put(&self, histogram: Histogram) {
        lock(&self.histograms).push(histogram);
    }

    fn take_words(&self, n_bundles: usize) -> Vec<BundleWords> {
        let mut words = lock(&self.words).pop().unwrap_or_default();
        words.resize(n_bundles, [0; BUNDLE_WORDS]);
        words
    }

    fn put_words(&self, words: Vec<BundleWords>) {
        lock(&self.words).push(words);
    }
}

/// A pool of plain memory stays usable whatever happened to a thread.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What all nodes of a tree add up: the table, its gradients, the bundles that are looked at.
#[derive(Clone, Copy)]
pub(crate) struct Accumulator<'a> {
    pub(crate) codes: &'a CodeMatrix,
    pub(crate) scaled: &'a Scaled,
    pub(crate) layout: &'a Layout,
    /// Ascending.
    pub(crate) bundles: &'a [u32],
    pub(crate) workspace: &'a Workspace,
}

impl<'a> Accumulator<'a> {
    /// Begins the histogram of a node of about `n_rows` rows.
    pub(crate) fn begin(self, n_rows: usize) -> Sum<'a> {
        let mut histogram = self.workspace.take();
        histogram.clear(self.layout, self.bundles);
        let words = match self.scaled.rows {
            Rows::Packed(_) if n_rows >= DIRECT_ROWS => {
                self.workspace.take_words(self.bundles.len())
            }
            _ => Vec::new(),
        };
        Sum { all: self, histogram, words, n_in_words: 0 }
    }

    /// The histogram of some rows, on this thread.
    pub(crate) fn histogram_of(self, entries: &[Entry]) -> Histogram {
        let mut sum = self.begin(entries.len());
        sum.add(entries);
        sum.finish()
    }

    /// The sum of histograms of parts of the rows.
    pub(crate) fn merge(self, parts: Vec<Option<Histogram>>) -> Option<Histogram> {
        let mut parts = parts.into_iter().flatten();
        let mut merged = parts.next()?;
        for part in parts {
            merged.merge(self.layout, self.bundles, &part);
            self.workspace.put(part);
        }
        Some(merged)
    }

    /// The histogram of some rows, on all threads of the pool.
    pub(crate) fn histogram_in_parallel(self, entries: &[Entry]) -> Histogram {
        let part_rows = entries.len().div_ceil(rayon::current_num_threads()).max(PARALLEL_ROWS);
        let parts: Vec<Option<Histogram>> =
            entries.par_chunks(part_rows).map(|part| Some(self.histogram_of(part))).collect();
        self.merge(parts).unwrap_or_else(|| self.histogram_of(&[]))
    }

    fn has_all_bundles(self) -> bool {
        self.bundles.len() == self.layout.n_bundles()
    }
}

/// A histogram while it is added up.
pub(crate) struct Sum<'a> {
    all: Accumulator<'a>,
    histogram: Histogram,
    /// Packed sums of the rows since the last move to wide cells; empty if rows go to those directly.
    words: Vec<BundleWords>,
    n_in_words: usize,
}

impl Sum<'_> {
    /// Adds rows.
    pub(crate) fn add(&mut self, entries: &[Entry]) {
        if let Rows::Wide(cells) = &self.all.scaled.rows {
            self.add_wide(entries, |entry| cells[entry.row() as usize]);
        } else if self.words.is_empty() {
            self.add_wide(entries, |entry| packed::cell(packed::word(entry.stored())));
        } else {
            let mut rest = entries;
            while !rest.is_empty() {
                let (now, later) = rest.split_at(self.room().min(rest.len()));
                self.add_words(now);
                self.n_in_words += now.len();
                rest = later;
            }
        }
    }

    /// Rows that the words have room for, after moving them if they are full.
    fn room(&mut self) -> usize {
        let block_rows = self.all.scaled.block_rows;
        if self.n_in_words == block_rows {
            self.flush();
        }
        block_rows - self.n_in_words
    }

    fn add_words(&mut self, entries: &[Entry]) {
        let (states, words) = (self.all.codes.by_row(), &mut self.words);
        if let Some(first) = run_start(entries) {
            let codes = self.all.codes;
            let of_bundle = |&bundle: &u32| codes.bundle(bundle as usize);
            let states: Vec<&[u8]> = self.all.bundles.iter().map(of_bundle).collect();
            packed::add_run(words, &states, first, entries);
        } else if self.all.has_all_bundles() {
            packed::add_rows(words, states, entries);
        } else {
            let width = self.all.layout.n_bundles();
            packed::add_rows_of(words, self.all.bundles, states, width, entries);
        }
    }

    fn add_wide(&mut self, entries: &[Entry], cell: impl Fn(Entry) -> Cell) {
        let layout = self.all.layout;
        for &entry in entries {
            let (cell, states) = (cell(entry), self.all.codes.row(entry.row() as usize));
            for &bundle in self.all.bundles {
                let bundle = bundle as usize;
                let at = layout.starts[bundle] + usize::from(states[bundle]);
                self.histogram.cells[at].add(cell);
            }
        }
    }

    /// Moves the words to wide cells.
    fn flush(&mut self) {
        for (words, &bundle) in self.words.iter_mut().zip(self.all.bundles) {
            let cells = &mut self.histogram.cells[self.all.layout.range(bundle as usize)];
            for (cell, word) in cells.iter_mut().zip(words) {
                cell.add(packed::cell(*word));
                *word = 0;
            }
        }
        self.n_in_words = 0;
    }

    /// The histogram.
    pub(crate) fn finish(mut self) -> Histogram {
        if !self.words.is_empty() {
            self.flush();
            self.all.workspace.put_words(self.words);
        }
        self.histogram
    }
}

/// The first row of entries whose rows follow one another. Rows ascend.
fn run_start(entries: &[Entry]) -> Option<usize> {
    let (first, last) = (entries.first()?.row(), entries.last()?.row());
    ((last - first) as usize + 1 == entries.len()).then_some(first as usize)
}
