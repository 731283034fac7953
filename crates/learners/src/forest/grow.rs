//! One tree of the forest, node by node in depth-first order.

use std::ops::Range;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use segue_dataset::TargetKind;

use super::Forest;
use super::classes::{ClassCells, ClassRules};
use crate::code_tree::CodeTree;
use crate::histogram::{Accumulator, Cell, Derivatives, Entry, Layout, Scaled, Workspace};
use crate::partition::{Partition, Question};
use crate::sampling::draw_front;
use crate::split::{Candidate, CategoryRules, ColumnSearch, FEW_ROWS, FewRows, SplitRules};

/// A grown tree and the rows of its leaves.
pub(super) struct Grown {
    pub(super) tree: CodeTree,
    ranges: Vec<Range<usize>>,
    partition: Partition,
}

impl Grown {
    /// Drawn rows of a leaf, ascending.
    pub(super) fn rows(&self, leaf: usize) -> impl Iterator<Item = usize> {
        let entries = self.partition.entries(self.ranges[leaf].clone());
        entries.iter().map(|entry| entry.row() as usize)
    }
}

/// How a node's best question is found.
enum Search<'a> {
    /// One output: the boosting's search with the label as gradient and the weight as second derivative,
    /// which maximises the decrease of the weighted variance (for 0/1, half of Gini's).
    One {
        labels: &'a [f64],
        scaled: Scaled,
        rules: SplitRules,
        layout: Layout,
        workspace: Workspace,
        few: FewRows,
    },
    /// Several classes: Gini.
    Classes { cells: ClassCells<'a>, rules: ClassRules },
}

/// Grows a tree on `rows` (ascending) with their weights.
pub(super) fn grow(
    forest: &Forest<'_>,
    rows: &[u32],
    weight: &(dyn Fn(usize) -> f64 + Sync),
    generator: &mut ChaCha8Rng,
) -> Grown {
    let mut search = Search::new(forest, rows, weight);
    let params = forest.params;
    let max_depth = if params.max_depth == 0 { usize::MAX } else { params.max_depth };
    let mut partition = Partition::default();
    partition.reset(rows, search.scaled());
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
        let node_rows = partition.entries(range.clone());
        let Some(split) = search.best(forest, node_rows, &mut columns, generator) else {
            continue;
        };
        let bundles = forest.codes.bundles();
        let column = split.column as usize;
        let question = Question {
            bundle: bundles.bundle_of(column),
            left_states: bundles.states_of(column, split.left_codes),
        };
        let n_left = partition.split(range.clone(), &forest.codes, question);
        let right = tree.split(leaf, &split, bundles);
        ranges[leaf as usize] = range.start..range.start + n_left;
        ranges.push(range.start + n_left..range.end);
        open.push((right, depth + 1));
        open.push((leaf, depth + 1));
    }
    Grown { tree, ranges, partition }
}

impl<'a> Search<'a> {
    fn new(forest: &'a Forest<'_>, rows: &[u32], weight: &(dyn Fn(usize) -> f64 + Sync)) -> Self {
        let params = forest.params;
        let labels = &forest.data.target().values;
        let n_rows = labels.len();
        let total: f64 = rows.iter().map(|&row| weight(row as usize)).sum();
        let min_gain = params.min_gain * total;
        let min_rows = params.min_rows_in_leaf as u64;
        let mut scaled = Scaled::default();
        if forest.leaf_width > 1 {
            let weights = RowDerivatives { weight, label: &|_| 0.0, are_whole: false };
            scaled.refill(n_rows, &weights, None);
            let cells = ClassCells::new(scaled, labels, forest.leaf_width);
            return Self::Classes { cells, rules: ClassRules { min_rows, min_gain } };
        }
        // Gains do not depend on where labels are centred. 0/1 stay as they are: times the number of
        // draws they are small whole numbers, whose sums need no rounding in any width.
        let are_whole =
            forest.data.weight().is_none() && forest.data.target().kind == TargetKind::Binary;
        let centre = if are_whole { 0.0 } else { forest.centre };
        let label = |row: usize| labels[row] - centre;
        scaled.refill(n_rows, &RowDerivatives { weight, label: &label, are_whole }, None);
        let rules = SplitRules {
            lambda_l1: 0.0,
            lambda_l2: 0.0,
            min_rows,
            min_hessian: 0.0,
            min_gain,
            categories: CategoryRules::exhaustive(),
            monotone: Vec::new(),
        };
        let layout = Layout::new(forest.codes.bundles());
        let (workspace, few) = (Workspace::default(), FewRows::default());
        Self::One { labels, scaled, rules, layout, workspace, few }
    }

    fn scaled(&self) -> &Scaled {
        match self {
            Self::One { scaled, .. } => scaled,
            Self::Classes { cells, .. } => cells.scaled(),
        }
    }

    /// The best question over drawn columns; while none has any, further columns are drawn.
    fn best(
        &mut self,
        forest: &Forest<'_>,
        rows: &[Entry],
        columns: &mut [u32],
        generator: &mut ChaCha8Rng,
    ) -> Option<Candidate> {
        if self.is_pure(rows) {
            return None;
        }
        let n_drawn = forest.params.features.of(columns.len());
        let draw = forest.params.extra_trees.then(|| generator.random());
        let mut rest = columns;
        while !rest.is_empty() {
            let n = n_drawn.min(rest.len());
            draw_front(rest, n, generator);
            let (drawn, undrawn) = rest.split_at_mut(n);
            drawn.sort_unstable();
            let found = self.best_of(forest, rows, drawn, draw);
            if found.is_some() {
                return found;
            }
            rest = undrawn;
        }
        None
    }

    fn is_pure(&self, rows: &[Entry]) -> bool {
        match self {
            Self::One { labels, .. } => {
                let first = labels[rows[0].row() as usize];
                rows.iter().all(|entry| labels[entry.row() as usize] == first)
            }
            Self::Classes { cells, .. } => cells.is_pure(rows),
        }
    }

    /// `draw` is the node's for random cuts, if only those are tried.
    fn best_of(
        &mut self,
        forest: &Forest<'_>,
        rows: &[Entry],
        drawn: &[u32],
        draw: Option<u64>,
    ) -> Option<Candidate> {
        match self {
            Self::One { scaled, rules, layout, workspace, few, .. } => {
                let search = ColumnSearch {
                    rules,
                    scaled,
                    binning: &forest.binning,
                    bundles: forest.codes.bundles(),
                    layout,
                    columns: drawn,
                    bounds: None,
                    draw,
                };
                if rows.len() < FEW_ROWS {
                    return search.best_of_few(rows, &forest.codes, few);
                }
                let accumulator = Accumulator {
                    codes: &forest.codes,
                    scaled,
                    layout,
                    // A forest's columns have a byte each.
                    bundles: drawn,
                    workspace,
                };
                let histogram = accumulator.histogram_of(rows);
                let mut total = Cell::default();
                let first = histogram.bundle(layout, drawn[0] as usize);
                first.iter().for_each(|&cell| total.add(cell));
                let best = search.best(&histogram, total, false);
                workspace.put(histogram);
                best
            }
            Self::Classes { cells, rules } => {
                let mut best: Option<Candidate> = None;
                for &column in drawn {
                    let bins = &forest.binning.columns()[column as usize];
                    let found = cells.best_split(&forest.codes, column, bins, rows, rules, draw);
                    if let Some(found) = found
                        && best.as_ref().is_none_or(|best| found.gain > best.gain)
                    {
                        best = Some(found);
                    }
                }
                best
            }
        }
    }
}

/// The forest's gradients: weighted centred labels, and weights as second derivatives.
struct RowDerivatives<'a> {
    weight: &'a (dyn Fn(usize) -> f64 + Sync),
    label: &'a (dyn Fn(usize) -> f64 + Sync),
    /// Weights are counts up to 255 and labels 0 or 1.
    are_whole: bool,
}

impl Derivatives for RowDerivatives<'_> {
    fn fill(&self, first: usize, gradients: &mut [f64], hessians: &mut [f64]) {
        for (row, (gradient, hessian)) in (first..).zip(gradients.iter_mut().zip(hessians)) {
            *hessian = (self.weight)(row);
            *gradient = *hessian * (self.label)(row);
        }
    }

    fn are_whole(&self) -> bool {
        self.are_whole
    }
}
