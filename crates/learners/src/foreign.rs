//! Borrowed learners on a table they can read, and their trees in our form.
//!
//! linfa and smartcore know neither missing values nor categories, and take long on many rows. They are
//! given an evenly drawn sample in which each value is its *position*: the number of its byte-code
//! interval, or the rank of its category by mean label. Missing takes the sample's median position. A
//! threshold on positions is a threshold on values, a set of categories, and a side for missing, so
//! that the trees read back score raw rows without imputation.

use segue_dataset::{Dataset, TargetKind};
use segue_model::{Child, MissingRule, Node, Split, Tree};

use crate::LearnError;
use crate::binning::{Binning, Bundles, ColumnBins, MISSING_CODE};
use crate::code_tree::fill_cover;
use crate::sampling::spread_rows;

/// The sample in positions.
pub(crate) struct PositionTable {
    binning: Binning,
    columns: Vec<Positions>,
    /// Sampled rows of the table, ascending, all of positive weight.
    pub(crate) rows: Vec<u32>,
    /// Shape `(rows.len(), n_columns)`, row-major.
    pub(crate) values: Vec<f64>,
    pub(crate) labels: Vec<f64>,
    pub(crate) weights: Vec<f64>,
}

/// Positions of one column's codes.
struct Positions {
    /// Value codes by position.
    order: Vec<u8>,
    /// Position by value code; missing has the median position.
    of_code: [u8; 256],
}

/// A node of a borrowed tree. Left iff `position <= threshold`; children are indices into the list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ForeignNode {
    Leaf,
    Split { column: usize, threshold: f64, left: usize, right: usize },
}

impl PositionTable {
    /// Samples at most `max_rows` rows with positive weight, drawn evenly out of them.
    pub(crate) fn new(data: &Dataset, max_rows: usize) -> Result<Self, LearnError> {
        let weight = |row: u32| data.weight().map_or(1.0, |weight| weight[row as usize]);
        let rows: Vec<u32> = (0..data.n_rows() as u32).filter(|&row| weight(row) > 0.0).collect();
        let places = spread_rows(rows.len(), max_rows).into_iter();
        let rows: Vec<u32> = places.map(|place| rows[place as usize]).collect();
        let sample = data.select(&rows);
        let labels = sample.target().values.clone();
        if sample.target().kind != TargetKind::Regression
            && labels.iter().all(|&label| label == labels[0])
        {
            return Err(LearnError::SingleClass { class: labels[0] as usize });
        }
        let weights: Vec<f64> = rows.iter().map(|&row| weight(row)).collect();
        let binning = Binning::learn(&sample, 255)?;
        let codes = binning.encode(Bundles::one_a_column(binning.columns()), sample.features());
        let columns: Vec<Positions> = (binning.columns().iter().enumerate())
            .map(|(column, bins)| {
                let codes: Vec<u8> = (0..rows.len()).map(|row| codes.code(row, column)).collect();
                Positions::new(bins, &codes, &labels, &weights)
            })
            .collect();
        let mut values = Vec::with_capacity(rows.len() * columns.len());
        for row in 0..rows.len() {
            let row = codes.row(row).iter().zip(&columns);
            values.extend(row.map(|(&code, column)| f64::from(column.of_code[usize::from(code)])));
        }
        Ok(Self { binning, columns, rows, values, labels, weights })
    }

    pub(crate) fn n_columns(&self) -> usize {
        self.columns.len()
    }

    /// Positions of a sampled row, shape `(n_columns,)`.
    pub(crate) fn row(&self, row: usize) -> &[f64] {
        let n = self.n_columns();
        &self.values[row * n..(row + 1) * n]
    }

    /// A borrowed tree in our form, with covers and gains from the sample.
    ///
    /// `leaf_values` gives the values of a leaf from its index in `nodes` and its sampled rows. Gains are
    /// the decrease of the weighted sum of squares (numbers) or of Gini impurity (classes).
    pub(crate) fn tree(
        &self,
        nodes: &[ForeignNode],
        n_classes: Option<usize>,
        leaf_values: impl Fn(usize, &[u32]) -> Vec<f64>,
    ) -> Tree {
        let mut reader = Reader {
            table: self,
            foreign: nodes,
            n_classes,
            leaf_values: &leaf_values,
            tree: Tree {
                nodes: Vec::new(),
                leaf_values: Vec::new(),
                leaf_cover: Vec::new(),
                leaf_width: 1,
            },
        };
        reader.read(0, &(0..self.rows.len() as u32).collect::<Vec<_>>());
        let mut tree = reader.tree;
        fill_cover(&mut tree.nodes, &tree.leaf_cover);
        tree
    }

    /// The question `position <= threshold` on values, and where missing goes.
    fn question(&self, column: usize, threshold: f64) -> (Split, MissingRule) {
        let positions = &self.columns[column];
        let n_left = (threshold.floor() + 1.0).clamp(0.0, positions.order.len() as f64) as usize;
        let bins = &self.binning.columns()[column];
        let split = match bins {
            ColumnBins::Number { .. } => bins.at_most(n_left as u8),
            ColumnBins::Category { .. } => bins.one_of(&positions.order[..n_left]),
        };
        let imputed = f64::from(positions.of_code[usize::from(MISSING_CODE)]);
        (split, if imputed <= threshold { MissingRule::Left } else { MissingRule::Right })
    }

    /// Weight, and what impurity is made of: class weights, or the weighted sum of labels.
    fn sums(&self, rows: &[u32], n_classes: Option<usize>) -> (f64, Vec<f64>) {
        let mut sums = vec![0.0; n_classes.unwrap_or(1)];
        let mut total = 0.0;
        for &row in rows {
            let (label, weight) = (self.labels[row as usize], self.weights[row as usize]);
            total += weight;
            match n_classes {
                Some(_) => sums[label as usize] += weight,
                None => sums[0] += weight * label,
            }
        }
        (total, sums)
    }

    fn score(&self, rows: &[u32], n_classes: Option<usize>) -> f64 {
        let (total, sums) = self.sums(rows, n_classes);
        if total > 0.0 { sums.iter().map(|sum| sum * sum).sum::<f64>() / total } else { 0.0 }
    }
}

impl Positions {
    fn new(bins: &ColumnBins, codes: &[u8], labels: &[f64], weights: &[f64]) -> Self {
        let n_values = bins.n_codes() - 1;
        let mut order: Vec<u8> = (1..=n_values as u8).collect();
        if bins.is_category() {
            // Unseen and unnamed categories come last: no question can send them left.
            let mut sums = [(0.0f64, 0.0f64); 256];
            for ((&code, label), weight) in codes.iter().zip(labels).zip(weights) {
                let sum = &mut sums[usize::from(code)];
                *sum = (sum.0 + weight * label, sum.1 + weight);
            }
            let other = n_values as u8;
            let key = |code: u8| {
                let (sum, weight) = sums[usize::from(code)];
                let mean = if weight > 0.0 { sum / weight } else { f64::INFINITY };
                (code == other, mean)
            };
            order.sort_by(|&a, &b| {
                let (a_key, b_key) = (key(a), key(b));
                a_key.0.cmp(&b_key.0).then(a_key.1.total_cmp(&b_key.1)).then(a.cmp(&b))
            });
        }
        let mut of_code = [0u8; 256];
        for (position, &code) in order.iter().enumerate() {
            of_code[usize::from(code)] = position as u8;
        }
        let present = codes.iter().filter(|&&code| code != MISSING_CODE);
        let mut present: Vec<u8> = present.map(|&code| of_code[usize::from(code)]).collect();
        present.sort_unstable();
        let middle = present.len().saturating_sub(1) / 2;
        of_code[usize::from(MISSING_CODE)] = present.get(middle).copied().unwrap_or(0);
        Self { order, of_code }
    }
}

struct Reader<'a, F> {
    table: &'a PositionTable,
    foreign: &'a [ForeignNode],
    n_classes: Option<usize>,
    leaf_values: &'a F,
    tree: Tree,
}

impl<F: Fn(usize, &[u32]) -> Vec<f64>> Reader<'_, F> {
    /// Reads the subtree at `index`; parents are pushed before their children.
    fn read(&mut self, index: usize, rows: &[u32]) -> Child {
        let ForeignNode::Split { column, threshold, left, right } = self.foreign[index] else {
            let values = (self.leaf_values)(index, rows);
            self.tree.leaf_width = values.len() as u32;
            self.tree.leaf_values.extend(values);
            self.tree.leaf_cover.push(self.table.sums(rows, self.n_classes).0);
            return Child::Leaf(self.tree.leaf_cover.len() as u32 - 1);
        };
        let goes_left = |row: &u32| self.table.row(*row as usize)[column] <= threshold;
        let (left_rows, right_rows): (Vec<u32>, Vec<u32>) =
            rows.iter().partition(|row| goes_left(row));
        let score = |rows: &[u32]| self.table.score(rows, self.n_classes);
        let gain = (score(&left_rows) + score(&right_rows) - score(rows)).max(0.0);
        let (split, missing) = self.table.question(column, threshold);
        let node = self.tree.nodes.len();
        let pending = Child::Leaf(0);
        let feature = column as u32;
        self.tree.nodes.push(Node {
            feature,
            split,
            missing,
            left: pending,
            right: pending,
            gain,
            cover: 0.0,
        });
        let left = self.read(left, &left_rows);
        self.tree.nodes[node].left = left;
        let right = self.read(right, &right_rows);
        self.tree.nodes[node].right = right;
        Child::Node(node as u32)
    }
}

#[cfg(test)]
pub(crate) mod tests;
