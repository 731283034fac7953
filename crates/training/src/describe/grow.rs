//! The tree of a segment, and its leaves as rules.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use segue_dataset::{Dataset, Feature, Matrix, RowKeys, Schema, Target, TargetKind};
use segue_learners::{CheckedLearner, LearnError, Learner, LinfaTreeParams, fit};
use segue_model::{Child, Model, Node, Tree};

use super::condition::{Condition, Side};
use super::words::Words;
use super::{DescribeError, Rule, TreeDescribed};

/// Questions from root to leaf at most: what a person keeps in mind.
const MAX_DEPTH: usize = 3;
/// Least rows on each side of a question, whatever the number of rows.
const MIN_ROWS: usize = 5;

/// Rows as a tree sees them. The features come first, in the order of the model's schema.
pub(super) struct Table {
    schema: Arc<Schema>,
    columns: Matrix,
}

impl Table {
    /// The features, then the score, or the probability of each class.
    pub(super) fn with_scores(rows: &Dataset, model: &Model, outputs: &[f64]) -> Self {
        let n_outputs = model.n_outputs();
        let mut features = rows.schema().features().to_vec();
        let mut columns = rows.features().columns().to_vec();
        for output in 0..n_outputs {
            // no feature can be in the way: it would have to be named after this column's own place
            features.push(Feature::number(format!("(score {output} of {})", features.len())));
            columns.push(outputs.iter().skip(output).step_by(n_outputs).copied().collect());
        }
        Self::of(rows, features, columns)
    }

    /// The features alone.
    pub(super) fn of_features(rows: &Dataset) -> Self {
        Self { schema: Arc::clone(rows.schema()), columns: rows.features().clone() }
    }

    fn of(rows: &Dataset, features: Vec<Feature>, columns: Vec<Vec<f64>>) -> Self {
        match Schema::new(features) {
            Ok(schema) => Self {
                schema: Arc::new(schema),
                columns: Matrix::from_columns(rows.n_rows(), columns),
            },
            // a feature of that very name: features alone still describe
            Err(_) => Self::of_features(rows),
        }
    }

    pub(super) fn n_columns(&self) -> usize {
        self.schema.len()
    }

    /// Grows a tree that tells the rows in a segment from the rest, and reads it out.
    pub(super) fn describe(
        &self,
        segment: &str,
        is_in: &[bool],
        words: &Words<'_>,
    ) -> Result<TreeDescribed, DescribeError> {
        let tree = self.tree(segment, is_in)?;
        let mut leaves = vec![Leaf::default(); tree.n_leaves()];
        let mut row = vec![0.0; self.n_columns()];
        for (at, &is_in) in is_in.iter().enumerate() {
            self.columns.copy_row(at, &mut row);
            let leaf = &mut leaves[tree.leaf(&row) as usize];
            leaf.n_rows += 1;
            leaf.n_in += usize::from(is_in);
        }
        Ok(Reading { tree: &tree, leaves: &leaves, words }.describe())
    }

    fn tree(&self, segment: &str, is_in: &[bool]) -> Result<Tree, DescribeError> {
        let values = is_in.iter().map(|&is_in| f64::from(u8::from(is_in))).collect();
        let target = Target { kind: TargetKind::Binary, values };
        let keys = RowKeys::default();
        let (schema, columns) = (Arc::clone(&self.schema), self.columns.clone());
        let data = Dataset::new(schema, columns, target, None, keys)?;
        let params = LinfaTreeParams {
            max_depth: 1,
            min_rows_in_leaf: MIN_ROWS,
            ..LinfaTreeParams::default()
        };
        let mut growing = Growing {
            segment,
            data: &data,
            learner: Learner::LinfaTree(params).check()?,
            min_rows: (is_in.len() / 200).clamp(MIN_ROWS, 50),
            tree: Tree {
                nodes: Vec::new(),
                leaf_values: Vec::new(),
                leaf_cover: Vec::new(),
                leaf_width: 1,
            },
        };
        growing.grow((0..is_in.len() as u32).collect(), 0)?;
        Ok(growing.tree)
    }
}

/// A tree in the making, one question at a time on the node's own rows, both sides of the segment with
/// the same weight.
///
/// Grown deeper at once, linfa passes over every threshold whose last equal value belongs to a row of
/// another node, and counts and categories are full of equal values. And linfa takes a question back
/// when the same class is the more frequent on both sides, as it is around every small segment; with
/// equal weights that happens only to questions that tell nothing.
struct Growing<'a> {
    segment: &'a str,
    data: &'a Dataset,
    learner: CheckedLearner,
    /// Least rows on each side of a question, not weighted.
    min_rows: usize,
    tree: Tree,
}

impl Growing<'_> {
    fn grow(&mut self, rows: Vec<u32>, depth: usize) -> Result<Child, DescribeError> {
        let question = if depth < MAX_DEPTH { self.question(&rows)? } else { None };
        let split = question.map(|node| {
            let values = self.data.features().column(node.feature as usize);
            let goes_left = |row: &u32| node.next(values[*row as usize]) == node.left;
            let (left, right): (Vec<u32>, Vec<u32>) = rows.iter().partition(|row| goes_left(row));
            (node, left, right)
        });
        let split = split.filter(|(_, left, right)| left.len().min(right.len()) >= self.min_rows);
        let Some((node, left, right)) = split else {
            let label = |row: &u32| self.data.target().values[*row as usize];
            let n_in: f64 = rows.iter().map(label).sum();
            self.tree.leaf_values.push(n_in / (rows.len() as f64).max(1.0));
            self.tree.leaf_cover.push(rows.len() as f64);
            return Ok(Child::Leaf(self.tree.leaf_cover.len() as u32 - 1));
        };
        let at = self.tree.nodes.len();
        self.tree.nodes.push(node);
        let left = self.grow(left, depth + 1)?;
        let right = self.grow(right, depth + 1)?;
        let node = &mut self.tree.nodes[at];
        (node.left, node.right) = (left, right);
        Ok(Child::Node(at as u32))
    }

    /// The best question for these rows; `None` if no question tells them apart.
    fn question(&self, rows: &[u32]) -> Result<Option<Node>, DescribeError> {
        let subset = self.data.select(rows);
        let labels = &subset.target().values;
        let n_in = labels.iter().filter(|label| **label == 1.0).count();
        let n_out = labels.len() - n_in;
        if n_in == 0 || n_out == 0 {
            return Ok(None);
        }
        let weight =
            |label: &f64| if *label == 1.0 { 1.0 / n_in as f64 } else { 1.0 / n_out as f64 };
        let weights = labels.iter().map(weight).collect();
        let (schema, features) = (Arc::clone(subset.schema()), subset.features().clone());
        let target = subset.target().clone();
        let subset = Dataset::new(schema, features, target, Some(weights), RowKeys::default())?;
        match fit(&self.learner, &subset, None, 1, &|_| ControlFlow::Continue(())) {
            Ok(fitted) => {
                let tree = fitted.ensemble.trees.into_iter().next();
                Ok(tree.and_then(|tree| tree.nodes.into_iter().next()))
            }
            Err(LearnError::SingleClass { .. }) => Ok(None),
            Err(source) => Err(DescribeError::Learn { segment: self.segment.to_owned(), source }),
        }
    }
}

/// Rows that fall into a leaf.
#[derive(Debug, Clone, Copy, Default)]
struct Leaf {
    n_rows: usize,
    n_in: usize,
}

impl Leaf {
    /// Whether most of its rows are in the segment.
    fn decides_in(self) -> bool {
        2 * self.n_in > self.n_rows
    }

    fn precision(self) -> f64 {
        if self.n_rows == 0 { 0.0 } else { self.n_in as f64 / self.n_rows as f64 }
    }

    fn and(self, other: Self) -> Self {
        Self { n_rows: self.n_rows + other.n_rows, n_in: self.n_in + other.n_in }
    }
}

/// A path from the root: the conditions by column, and the columns in the order of the questions.
#[derive(Debug, Clone, Default)]
struct Path {
    conditions: BTreeMap<usize, Condition>,
    order: Vec<usize>,
}

impl Path {
    fn with(&self, column: usize, side: Side<'_>) -> Self {
        let mut path = self.clone();
        if !path.order.contains(&column) {
            path.order.push(column);
        }
        path.conditions.entry(column).or_default().narrow(side);
        path
    }
}

struct Reading<'a> {
    tree: &'a Tree,
    leaves: &'a [Leaf],
    words: &'a Words<'a>,
}

impl Reading<'_> {
    fn describe(&self) -> TreeDescribed {
        let total = self.leaves.iter().fold(Leaf::default(), |sum, leaf| sum.and(*leaf));
        let root = if self.tree.nodes.is_empty() { Child::Leaf(0) } else { Child::Node(0) };
        let mut found = Vec::new();
        self.collect(root, Path::default(), &|leaf| leaf.decides_in(), &mut found);
        let decides = !found.is_empty();
        if !decides {
            let best = self.leaves.iter().map(|leaf| leaf.precision()).fold(0.0, f64::max);
            self.collect(root, Path::default(), &|leaf| leaf.precision() == best, &mut found);
            found.sort_by_key(|(_, leaf)| std::cmp::Reverse(leaf.n_rows));
            found.truncate(1);
        }
        let mut rules: Vec<Rule> =
            found.into_iter().map(|(path, leaf)| self.rule(&path, leaf, total.n_in)).collect();
        rules.sort_by(|a, b| b.coverage.total_cmp(&a.coverage).then(a.text.cmp(&b.text)));
        let (fidelity, balanced_fidelity) = self.fidelity(total);
        TreeDescribed { rules, decides, fidelity, balanced_fidelity }
    }

    /// Paths to what is `wanted`; a question whose both sides are wanted is left out.
    fn collect(
        &self,
        at: Child,
        path: Path,
        wanted: &dyn Fn(Leaf) -> bool,
        found: &mut Vec<(Path, Leaf)>,
    ) {
        if let Some((is_wanted, leaf)) = self.uniform(at, wanted) {
            if is_wanted && leaf.n_rows > 0 {
                found.push((path, leaf));
            }
            return;
        }
        // a leaf is always uniform
        let Child::Node(node) = at else { return };
        let node = &self.tree.nodes[node as usize];
        let column = node.feature as usize;
        self.collect(node.left, path.with(column, Side::Yes(node)), wanted, found);
        self.collect(node.right, path.with(column, Side::No(node)), wanted, found);
    }

    /// Whether all leaves below are wanted, or none is, and their rows together.
    fn uniform(&self, at: Child, wanted: &dyn Fn(Leaf) -> bool) -> Option<(bool, Leaf)> {
        match at {
            Child::Leaf(leaf) => {
                let leaf = self.leaves[leaf as usize];
                Some((wanted(leaf), leaf))
            }
            Child::Node(node) => {
                let node = &self.tree.nodes[node as usize];
                let (left, a) = self.uniform(node.left, wanted)?;
                let (right, b) = self.uniform(node.right, wanted)?;
                (left == right).then_some((left, a.and(b)))
            }
        }
    }

    fn rule(&self, path: &Path, leaf: Leaf, n_in_segment: usize) -> Rule {
        let words = |column: &usize| {
            path.conditions.get(column).and_then(|condition| self.words.say(*column, condition))
        };
        let conditions: Vec<String> = path.order.iter().filter_map(words).collect();
        let text =
            if conditions.is_empty() { "anyone".to_owned() } else { conditions.join(" and ") };
        let coverage = leaf.n_in as f64 / n_in_segment.max(1) as f64;
        Rule { text, conditions, n_rows: leaf.n_rows, coverage, precision: leaf.precision() }
    }

    fn fidelity(&self, total: Leaf) -> (f64, f64) {
        let (mut right_in, mut right_out) = (0, 0);
        for leaf in self.leaves {
            if leaf.decides_in() {
                right_in += leaf.n_in;
            } else {
                right_out += leaf.n_rows - leaf.n_in;
            }
        }
        let share = |n: usize, of: usize| if of == 0 { 1.0 } else { n as f64 / of as f64 };
        let n_out = total.n_rows - total.n_in;
        let balanced = (share(right_in, total.n_in) + share(right_out, n_out)) / 2.0;
        (share(right_in + right_out, total.n_rows), balanced)
    }
}
