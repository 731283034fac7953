//! One tree of the forest, node by node in depth-first order.

use std::ops::Range;

use rand_chacha::ChaCha8Rng;

use super::Forest;
use super::classes::{ClassCells, ClassRules};
use crate::code_tree::CodeTree;
use crate::histogram::{Cell, Histogram, Scaled};
use crate::partition::Partition;
use crate::sampling::draw_front;
use crate::split::{Candidate, CategoryRules, Judge, SplitRules};

/// A grown tree and the rows of its leaves.
pub(super) struct Grown {
    pub(super) tree: CodeTree,
    ranges: Vec<Range<usize>>,
    partition: Partition,
}

impl Grown {
    /// Drawn rows of a leaf, ascending.
    pub(super) fn rows(&self, leaf: usize) -> &[u32] {
        self.partition.rows(self.ranges[leaf].clone())
    }
}

/// How a node's best question is found.
enum Search<'a> {
    /// One output: the boosting's search with the label as gradient and the weight as second derivative,
    /// which maximises the decrease of the weighted variance (for 0/1, half of Gini's).
    One { labels: &'a [f64], scaled: Scaled, rules: SplitRules, histogram: Histogram },
    /// Several classes: Gini.
    Classes { cells: ClassCells<'a>, rules: ClassRules },
}

/// Grows a tree on `rows` (ascending) with their weights.
pub(super) fn grow(
    forest: &Forest<'_>,
    rows: &[u32],
    weight: &dyn Fn(usize) -> f64,
    generator: &mut ChaCha8Rng,
) -> Grown {
    let mut search = Search::new(forest, rows, weight);
    let params = forest.params;
    let max_depth = if params.max_depth == 0 { usize::MAX } else { params.max_depth };
    let mut partition = Partition::default();
    partition.reset(rows);
    let mut tree = CodeTree::root();
    let whole = 0..rows.len();
    let mut ranges = vec![whole];
    let mut open: Vec<(u32, usize)> = vec![(0, 0)];
    let mut columns: Vec<u32> = (0..forest.binning.columns().len() as u32).collect();
    while let Some((leaf, depth)) = open.pop() {
        let range = ranges[leaf as usize].clone();
        if depth >= max_depth || range.len() < 2 * params.min_rows_in_leaf {
            continue;
        }
        let node_rows = partition.rows(range.clone());
        let Some(split) = search.best(forest, node_rows, &mut columns, generator) else {
            continue;
        };
        let n_left = partition.split(range.clone(), &forest.codes, split.column, split.left_codes);
        let right = tree.split(leaf, &split);
        ranges[leaf as usize] = range.start..range.start + n_left;
        ranges.push(range.start + n_left..range.end);
        open.push((right, depth + 1));
        open.push((leaf, depth + 1));
    }
    Grown { tree, ranges, partition }
}

impl<'a> Search<'a> {
    fn new(forest: &'a Forest<'_>, rows: &[u32], weight: &dyn Fn(usize) -> f64) -> Self {
        let params = forest.params;
        let labels = &forest.data.target().values;
        let n_rows = labels.len();
        let total: f64 = rows.iter().map(|&row| weight(row as usize)).sum();
        let min_gain = params.min_gain * total;
        let min_rows = params.min_rows_in_leaf as u64;
        let mut scaled = Scaled::default();
        if forest.leaf_width > 1 {
            let weights: Vec<(f64, f64)> = (0..n_rows).map(|row| (0.0, weight(row))).collect();
            scaled.refill(&weights);
            let cells = ClassCells::new(scaled, labels, forest.leaf_width);
            return Self::Classes { cells, rules: ClassRules { min_rows, min_gain } };
        }
        let gradient = |row: usize| (weight(row) * (labels[row] - forest.centre), weight(row));
        let gradients: Vec<(f64, f64)> = (0..n_rows).map(gradient).collect();
        scaled.refill(&gradients);
        let rules = SplitRules {
            lambda_l1: 0.0,
            lambda_l2: 0.0,
            min_rows,
            min_hessian: 0.0,
            min_gain,
            categories: CategoryRules::exhaustive(),
        };
        Self::One { labels, scaled, rules, histogram: Histogram::default() }
    }

    /// The best question over drawn columns; while none has any, further columns are drawn.
    fn best(
        &mut self,
        forest: &Forest<'_>,
        rows: &[u32],
        columns: &mut [u32],
        generator: &mut ChaCha8Rng,
    ) -> Option<Candidate> {
        if self.is_pure(rows) {
            return None;
        }
        let n_drawn = forest.params.features.of(columns.len());
        let mut rest = columns;
        while !rest.is_empty() {
            let n = n_drawn.min(rest.len());
            draw_front(rest, n, generator);
            let (drawn, undrawn) = rest.split_at_mut(n);
            drawn.sort_unstable();
            let found = self.best_of(forest, rows, drawn);
            if found.is_some() {
                return found;
            }
            rest = undrawn;
        }
        None
    }

    fn is_pure(&self, rows: &[u32]) -> bool {
        match self {
            Self::One { labels, .. } => {
                let first = labels[rows[0] as usize];
                rows.iter().all(|&row| labels[row as usize] == first)
            }
            Self::Classes { cells, .. } => cells.is_pure(rows),
        }
    }

    fn best_of(&mut self, forest: &Forest<'_>, rows: &[u32], drawn: &[u32]) -> Option<Candidate> {
        let bins = |column: u32| &forest.binning.columns()[column as usize];
        let mut best: Option<Candidate> = None;
        let mut offer = |found: Option<Candidate>| {
            if let Some(found) = found
                && best.as_ref().is_none_or(|best| found.gain > best.gain)
            {
                best = Some(found);
            }
        };
        match self {
            Self::One { scaled, rules, histogram, .. } => {
                let mut total = Cell::default();
                rows.iter().for_each(|&row| total.add(scaled.cells[row as usize]));
                histogram.clear(drawn.len());
                histogram.add_rows(&forest.codes, drawn, rows, &scaled.cells);
                let judge = Judge::new(rules, scaled);
                for (index, &column) in drawn.iter().enumerate() {
                    let cells = histogram.column(index);
                    offer(judge.best_split(column, bins(column), cells, total));
                }
            }
            Self::Classes { cells, rules } => {
                for &column in drawn {
                    offer(cells.best_split(&forest.codes, column, bins(column), rows, rules));
                }
            }
        }
        best
    }
}
