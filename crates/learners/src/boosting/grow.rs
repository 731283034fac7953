//! One tree, leaf by leaf: always the leaf whose best question gains most.

use std::ops::Range;

use rayon::prelude::*;

use crate::code_tree::CodeTree;
use crate::histogram::{Cell, Histogram, Scaled};
use crate::partition::Partition;
use crate::split::{Candidate, Judge, SplitRules};
use crate::{Binning, CodeMatrix};

/// What bounds a tree.
#[derive(Debug, Clone)]
pub(super) struct TreeLimits {
    pub(super) n_leaves: usize,
    /// `usize::MAX` is no limit.
    pub(super) max_depth: usize,
    pub(super) rules: SplitRules,
}

/// Grows trees over one table; keeps its memory from tree to tree.
pub(super) struct Grower<'a> {
    codes: &'a CodeMatrix,
    binning: &'a Binning,
    limits: TreeLimits,
    partition: Partition,
    spare: Vec<Histogram>,
}

/// A leaf that may still be split.
struct Leaf {
    range: Range<usize>,
    depth: usize,
    total: Cell,
    histogram: Option<Histogram>,
    best: Option<Candidate>,
}

/// A grown tree and the rows of its leaves.
pub(super) struct Grown<'a> {
    pub(super) tree: CodeTree,
    ranges: Vec<Range<usize>>,
    partition: &'a Partition,
}

impl Grown<'_> {
    /// Training rows of a leaf, ascending.
    pub(super) fn rows(&self, leaf: usize) -> &[u32] {
        self.partition.rows(self.ranges[leaf].clone())
    }
}

impl<'a> Grower<'a> {
    pub(super) fn new(codes: &'a CodeMatrix, binning: &'a Binning, limits: TreeLimits) -> Self {
        Self { codes, binning, limits, partition: Partition::default(), spare: Vec::new() }
    }

    /// Grows a tree on `rows` (ascending), looking at `columns` (ascending) only.
    pub(super) fn grow(&mut self, scaled: &Scaled, rows: &[u32], columns: &[u32]) -> Grown<'_> {
        self.partition.reset(rows);
        let mut tree = CodeTree::root();
        let mut leaves = vec![self.root(scaled, rows, columns)];
        while leaves.len() < self.limits.n_leaves {
            let Some((index, split)) = take_best(&mut leaves) else { break };
            tree.split(index as u32, &split);
            let last = leaves.len() + 1 == self.limits.n_leaves;
            let right = self.split_leaf(&mut leaves[index], &split, scaled, columns, last);
            leaves.push(right);
        }
        self.spare.extend(leaves.iter_mut().filter_map(|leaf| leaf.histogram.take()));
        let ranges = leaves.into_iter().map(|leaf| leaf.range).collect();
        Grown { tree, ranges, partition: &self.partition }
    }

    fn root(&mut self, scaled: &Scaled, rows: &[u32], columns: &[u32]) -> Leaf {
        let mut histogram = self.spare.pop().unwrap_or_default();
        histogram.build(self.codes, columns, rows, &scaled.cells);
        let mut total = Cell::default();
        histogram.column(0).iter().for_each(|&cell| total.add(cell));
        let range = 0..rows.len();
        let mut leaf = Leaf { range, depth: 0, total, histogram: Some(histogram), best: None };
        leaf.best = self.best_split(&leaf, scaled, columns);
        leaf
    }

    /// Splits `leaf`, which becomes the left child, and returns the right one. The smaller child's
    /// histogram is summed over its rows, the larger one's is what remains of the parent's.
    fn split_leaf(
        &mut self,
        leaf: &mut Leaf,
        split: &Candidate,
        scaled: &Scaled,
        columns: &[u32],
        last: bool,
    ) -> Leaf {
        let range = leaf.range.clone();
        let n_left =
            self.partition.split(range.clone(), self.codes, split.column, split.left_codes);
        let middle = range.start + n_left;
        let depth = leaf.depth + 1;
        let child = |range, total| Leaf { range, depth, total, histogram: None, best: None };
        let parent = leaf.histogram.take();
        *leaf = child(range.start..middle, split.left);
        let mut right = child(middle..range.end, split.right);
        let (smaller, larger) = if leaf.range.len() <= right.range.len() {
            (leaf, &mut right)
        } else {
            (&mut right, leaf)
        };
        let splittable = |leaf: &Leaf| {
            let enough = leaf.total.n_rows() >= 2 * self.limits.rules.min_rows.max(1);
            !last && enough && leaf.depth < self.limits.max_depth
        };
        let (split_smaller, split_larger) = (splittable(smaller), splittable(larger));
        let Some(mut parent) = parent.filter(|_| split_smaller || split_larger) else {
            return right;
        };
        let mut histogram = self.spare.pop().unwrap_or_default();
        let rows = self.partition.rows(smaller.range.clone());
        histogram.build(self.codes, columns, rows, &scaled.cells);
        parent.subtract(&histogram);
        larger.histogram = Some(parent);
        smaller.histogram = Some(histogram);
        let search = |leaf: &Leaf, wanted| {
            if wanted { self.best_split(leaf, scaled, columns) } else { None }
        };
        let (of_smaller, of_larger) =
            rayon::join(|| search(smaller, split_smaller), || search(larger, split_larger));
        for (leaf, best) in [(smaller, of_smaller), (larger, of_larger)] {
            leaf.best = best;
            if leaf.best.is_none() {
                self.spare.extend(leaf.histogram.take());
            }
        }
        right
    }

    fn best_split(&self, leaf: &Leaf, scaled: &Scaled, columns: &[u32]) -> Option<Candidate> {
        let histogram = leaf.histogram.as_ref()?;
        let judge = Judge::new(&self.limits.rules, scaled);
        let of_column = |(index, &column): (usize, &u32)| {
            let bins = &self.binning.columns()[column as usize];
            judge.best_split(column, bins, histogram.column(index), leaf.total)
        };
        let found: Vec<Option<Candidate>> =
            columns.par_iter().enumerate().with_min_len(8).map(of_column).collect();
        // In column order, and only a larger gain wins: the lowest column among equals.
        found
            .into_iter()
            .flatten()
            .reduce(|best, next| if next.gain > best.gain { next } else { best })
    }
}

/// The leaf with the largest gain (the oldest among equals) and its question.
fn take_best(leaves: &mut [Leaf]) -> Option<(usize, Candidate)> {
    let mut best: Option<(usize, f64)> = None;
    for (index, leaf) in leaves.iter().enumerate() {
        if let Some(split) = &leaf.best
            && best.is_none_or(|(_, gain)| split.gain > gain)
        {
            best = Some((index, split.gain));
        }
    }
    let (index, _) = best?;
    Some((index, leaves[index].best.take()?))
}
