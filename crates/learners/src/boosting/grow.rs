//! One tree, leaf by leaf: always the leaf whose best question gains most.
//!
//! Large leaves are split by all threads together. Small leaves would keep threads waiting for each other,
//! so the next few in line are split at the same time, one a thread, before it is known that all
//! of them will be needed. The tree takes the splits in order of gain all the same; one that was made in vain is
//! forgotten. How many are made ahead does not depend on the number of threads.

use std::ops::Range;

use rayon::prelude::*;

use super::place::{PathRules, Place};
use crate::binning::{Binning, CodeMatrix};
use crate::code_tree::CodeTree;
use crate::histogram::{Accumulator, Cell, Entry, Histogram, Layout, Scaled, Workspace};
use crate::partition::{LeafRows, Partition, Question, Summed};
use crate::split::{Bounds, Candidate, ColumnSearch, SplitRules};

/// Rows from which all threads split a leaf together.
const LARGE_ROWS: usize = 32_768;
/// Small leaves split at the same time.
const AHEAD: usize = 4;

/// What bounds a tree.
#[derive(Debug, Clone)]
pub(super) struct TreeLimits {
    pub(super) n_leaves: usize,
    /// `usize::MAX` is no limit.
    pub(super) max_depth: usize,
    pub(super) rules: SplitRules,
    pub(super) paths: PathRules,
}

/// Grows trees over one table; keeps its memory from tree to tree.
pub(super) struct Grower<'a> {
    codes: &'a CodeMatrix,
    binning: &'a Binning,
    limits: TreeLimits,
    layout: Layout,
    partition: Partition,
    workspace: Workspace,
}

/// A leaf that may still be split.
struct Leaf {
    range: Range<usize>,
    depth: usize,
    place: Place,
    total: Cell,
    histogram: Option<Histogram>,
    best: Option<Candidate>,
    /// Left and right, if it has been split ahead of its turn.
    children: Option<Box<(Leaf, Leaf)>>,
}

/// A grown tree and the rows of its leaves.
pub(super) struct Grown<'a> {
    pub(super) tree: CodeTree,
    ranges: Vec<Range<usize>>,
    totals: Vec<Cell>,
    bounds: Vec<Bounds>,
    partition: &'a Partition,
}

impl Grown<'_> {
    /// Training rows of a leaf, ascending.
    pub(super) fn rows(&self, leaf: usize) -> impl ExactSizeIterator<Item = usize> {
        let entries = self.partition.entries(self.ranges[leaf].clone());
        entries.iter().map(|entry| entry.row() as usize)
    }

    /// Gradients and second derivatives of a leaf, in the units of the round.
    pub(super) fn total(&self, leaf: usize) -> Cell {
        self.totals[leaf]
    }

    /// Between what a leaf's value must lie, before shrinkage.
    pub(super) fn bounds(&self, leaf: usize) -> Bounds {
        self.bounds[leaf]
    }

    /// Adds each leaf's value to its rows.
    pub(super) fn add_to_rows(&self, values: &[f64], margins: &mut [f64]) {
        self.partition.add_to_rows(&self.ranges, values, margins);
    }
}

impl<'a> Grower<'a> {
    pub(super) fn new(codes: &'a CodeMatrix, binning: &'a Binning, limits: TreeLimits) -> Self {
        let layout = Layout::new(codes.bundles());
        let (partition, workspace) = (Partition::default(), Workspace::default());
        Self { codes, binning, limits, layout, partition, workspace }
    }

    /// Grows a tree on `rows` (ascending), looking at `columns` (ascending) only. `key` seeds the draws of
    /// its leaves.
    pub(super) fn grow(
        &mut self,
        scaled: &Scaled,
        rows: &[u32],
        columns: &[u32],
        key: u64,
    ) -> Grown<'_> {
        self.partition.reset(rows, scaled);
        let mut bundles: Vec<u32> = columns
            .iter()
            .map(|&column| self.codes.bundles().bundle_of(column as usize) as u32)
            .collect();
        bundles.sort_unstable();
        bundles.dedup();
        let accumulator = Accumulator {
            codes: self.codes,
            scaled,
            layout: &self.layout,
            bundles: &bundles,
            workspace: &self.workspace,
        };
        let search = ColumnSearch {
            rules: &self.limits.rules,
            scaled,
            binning: self.binning,
            bundles: self.codes.bundles(),
            layout: &self.layout,
            columns,
            bounds: None,
            draw: None,
        };
        let round = Round { accumulator, search, limits: &self.limits };
        let mut tree = CodeTree::root();
        let mut leaves = vec![round.root(self.partition.entries(0..rows.len()), key)];
        loop {
            let n_left = self.limits.n_leaves - leaves.len();
            let line = next_in_line(&leaves, n_left.min(AHEAD));
            let Some(&next) = line.first() else { break };
            if leaves[next].children.is_none() {
                round.split_next(&mut leaves, &line, n_left == 1, &mut self.partition);
            }
            let leaf = &mut leaves[next];
            let (Some(split), Some(children)) = (leaf.best.take(), leaf.children.take()) else {
                break;
            };
            tree.split(next as u32, &split, self.codes.bundles());
            let (left, right) = *children;
            leaves[next] = left;
            leaves.push(right);
        }
        leaves.iter_mut().for_each(|leaf| round.close(leaf, &mut self.partition));
        let totals = leaves.iter().map(|leaf| leaf.total).collect();
        let bounds = leaves.iter().map(|leaf| leaf.place.bounds()).collect();
        let ranges = leaves.into_iter().map(|leaf| leaf.range).collect();
        Grown { tree, ranges, totals, bounds, partition: &self.partition }
    }
}

/// The first `n` leaves in order of gain, the oldest first among equals.
fn next_in_line(leaves: &[Leaf], n: usize) -> Vec<usize> {
    let mut line: Vec<(f64, usize)> = leaves
        .iter()
        .enumerate()
        .filter_map(|(index, leaf)| leaf.best.as_ref().map(|split| (split.gain, index)))
        .collect();
    line.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    line.into_iter().take(n).map(|(_, index)| index).collect()
}

/// What all leaves of a tree share.
struct Round<'a> {
    accumulator: Accumulator<'a>,
    search: ColumnSearch<'a>,
    limits: &'a TreeLimits,
}

impl Round<'_> {
    fn root(&self, entries: &[Entry], key: u64) -> Leaf {
        let histogram = self.accumulator.histogram_in_parallel(entries);
        let mut total = Cell::default();
        let first = self.accumulator.bundles[0] as usize;
        histogram.bundle(self.accumulator.layout, first).iter().for_each(|&cell| total.add(cell));
        let place = Place::root(key, &self.limits.paths);
        let best = self.best(&histogram, total, &place, true);
        let (range, histogram) = (0..entries.len(), Some(histogram));
        Leaf { range, depth: 0, place, total, histogram, best, children: None }
    }

    /// The search as it is at a place, but for the columns.
    fn search_at(&self, place: &Place) -> ColumnSearch<'_> {
        let constrained = !self.limits.rules.monotone.is_empty();
        ColumnSearch {
            bounds: constrained.then(|| place.bounds()),
            draw: place.draw(&self.limits.paths),
            ..self.search
        }
    }

    fn best(
        &self,
        histogram: &Histogram,
        total: Cell,
        place: &Place,
        parallel: bool,
    ) -> Option<Candidate> {
        let columns = place.columns(self.search.columns, &self.limits.paths);
        let search = ColumnSearch { columns: &columns, ..self.search_at(place) };
        search.best(histogram, total, parallel)
    }

    /// Splits the first leaf in line and, if it is small, the small ones behind it.
    fn split_next(
        &self,
        leaves: &mut [Leaf],
        line: &[usize],
        last: bool,
        partition: &mut Partition,
    ) {
        let first = &mut leaves[line[0]];
        if first.range.len() >= LARGE_ROWS {
            let rows = partition.leaves(std::slice::from_ref(&first.range)).pop();
            rows.into_iter().for_each(|rows| self.split(first, rows, last));
            return;
        }
        let mut batch: Vec<&mut Leaf> = leaves
            .iter_mut()
            .enumerate()
            .filter(|(index, leaf)| {
                line.contains(index) && leaf.children.is_none() && leaf.range.len() < LARGE_ROWS
            })
            .map(|(_, leaf)| leaf)
            .collect();
        batch.sort_by_key(|leaf| leaf.range.start);
        let ranges: Vec<Range<usize>> = batch.iter().map(|leaf| leaf.range.clone()).collect();
        let rows = partition.leaves(&ranges);
        batch.into_par_iter().zip(rows).for_each(|(leaf, rows)| self.split(leaf, rows, last));
    }

    /// Makes a leaf's children. The smaller one's histogram is summed over its rows, the larger one's is
    /// what remains of the parent's. The children of the last split need none.
    fn split(&self, leaf: &mut Leaf, rows: LeafRows<'_>, last: bool) {
        let Some(split) = &leaf.best else { return };
        let n_left = split.left.n_rows() as usize;
        let middle = leaf.range.start + n_left;
        let monotone = &self.limits.rules.monotone;
        let [left_place, right_place] = leaf.place.split(
            split,
            monotone.get(split.column as usize).copied().unwrap_or_default(),
            &self.search_at(&leaf.place).judge(),
            &self.limits.paths,
        );
        let child = |range, place, total| Leaf {
            range,
            depth: leaf.depth + 1,
            place,
            total,
            histogram: None,
            best: None,
            children: None,
        };
        let mut left = child(leaf.range.start..middle, left_place, split.left);
        let mut right = child(middle..leaf.range.end, right_place, split.right);
        let sum_left = left.range.len() <= right.range.len();
        let wanted = !last && (self.may_split(&left) || self.may_split(&right));
        let summed = wanted.then(|| Summed {
            left: sum_left,
            n_rows: left.range.len().min(right.range.len()),
            accumulator: self.accumulator,
        });
        let bundles = self.search.bundles;
        let column = split.column as usize;
        let question = Question {
            bundle: bundles.bundle_of(column),
            left_states: bundles.states_of(column, split.left_codes),
        };
        let large = leaf.range.len() >= LARGE_ROWS;
        let codes = self.accumulator.codes;
        let (n_parted, histogram) = if large {
            rows.split_in_parallel(codes, question, summed)
        } else {
            rows.split(codes, question, summed)
        };
        // Leaves that keep all their rows would be split for ever.
        assert_eq!(n_parted, n_left, "the rows of a leaf are not those of its histogram");
        if let (Some(of_smaller), Some(mut parent)) = (histogram, leaf.histogram.take()) {
            parent.subtract(self.accumulator.layout, self.accumulator.bundles, &of_smaller);
            let (smaller, larger) =
                if sum_left { (&mut left, &mut right) } else { (&mut right, &mut left) };
            (smaller.histogram, larger.histogram) = (Some(of_smaller), Some(parent));
            rayon::join(|| self.search_in(&mut left, large), || self.search_in(&mut right, large));
        }
        leaf.children = Some(Box::new((left, right)));
    }

    fn may_split(&self, leaf: &Leaf) -> bool {
        let enough = leaf.total.n_rows() >= 2 * self.limits.rules.min_rows.max(1);
        enough && leaf.depth < self.limits.max_depth
    }

    /// Finds the leaf's best question; without one its histogram goes back.
    fn search_in(&self, leaf: &mut Leaf, parallel: bool) {
        let Some(histogram) = leaf.histogram.take() else { return };
        if self.may_split(leaf) {
            leaf.best = self.best(&histogram, leaf.total, &leaf.place, parallel);
        }
        if leaf.best.is_some() {
            leaf.histogram = Some(histogram);
        } else {
            self.accumulator.workspace.put(histogram);
        }
    }

    /// Takes back what a leaf of the finished tree still holds.
    fn close(&self, leaf: &mut Leaf, partition: &mut Partition) {
        let put = |leaf: &mut Leaf| {
            leaf.histogram.take().into_iter().for_each(|h| self.accumulator.workspace.put(h));
        };
        put(leaf);
        if let Some(children) = leaf.children.take() {
            let (mut left, mut right) = *children;
            put(&mut left);
            put(&mut right);
            partition.join(leaf.range.clone());
        }
    }
}
