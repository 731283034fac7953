//! A single decision tree of `linfa-trees`, read into our form.

use linfa::traits::Fit;
use linfa_trees::{DecisionTree, SplitQuality};
use ndarray::{Array1, Array2};
use segue_dataset::{Dataset, TargetKind};
use segue_model::{Combine, Ensemble, Link, Tree};

use crate::error::check_integer;
use crate::foreign::{ForeignNode, PositionTable};
use crate::learner::{Report, report};
use crate::{Fitted, LearnError, ParamError};

/// linfa keeps class weights in a map of random order, which decides between classes of equal weight.
/// This factor on the weights of class 1 leaves no two classes equal.
const TIE_BREAK: f32 = 1.000_013;

/// Parameters of the linfa tree, unchecked.
///
/// linfa only grows classifiers. It is asked for one question at a time, on the node's own rows: grown at
/// once, linfa-trees 0.8.1 passes over every threshold at which the last of several equal values belongs
/// to a row of another node, and takes every question back that leaves the same class the more frequent
/// on both sides. Where it takes a question back, it is asked again with both classes weighing alike.
/// Leaves carry class shares of the sample (linfa itself keeps the most frequent class). For more than two
/// classes one tree a class against the rest is grown, because linfa sums class weights in random order,
/// which only two classes make exact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinfaTreeParams {
    /// Largest number of questions on a path, 1 to 64. Default 6.
    pub max_depth: usize,
    /// Sampled rows a leaf must have, each counted with its weight over the mean weight. Default 20.
    pub min_rows_in_leaf: usize,
    /// Rows the tree is grown on, at most 100,000: linfa reads all of them for every node. Default 10,000.
    pub max_rows: usize,
}

impl Default for LinfaTreeParams {
    fn default() -> Self {
        Self { max_depth: 6, min_rows_in_leaf: 20, max_rows: 10_000 }
    }
}

impl LinfaTreeParams {
    /// Checks every parameter against its range.
    ///
    /// # Errors
    /// The first parameter that does not fit.
    pub fn check(self) -> Result<LinfaTreeValidParams, ParamError> {
        check_integer("max_depth", self.max_depth, 1, 64)?;
        check_integer("min_rows_in_leaf", self.min_rows_in_leaf, 1, 100_000)?;
        check_integer("max_rows", self.max_rows, 2, 100_000)?;
        Ok(LinfaTreeValidParams(self))
    }
}

/// Linfa tree parameters that are all in range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinfaTreeValidParams(LinfaTreeParams);

impl LinfaTreeValidParams {
    /// The parameters.
    #[must_use]
    pub fn params(&self) -> &LinfaTreeParams {
        &self.0
    }
}

pub(crate) fn fit(
    params: &LinfaTreeValidParams,
    train: &Dataset,
    progress: Report<'_>,
) -> Result<Fitted, LearnError> {
    let params = params.params();
    let table = match train.target().kind {
        TargetKind::Regression => {
            let (learner, instead) = ("linfa_tree", "boosting, forest or smartcore_forest");
            return Err(LearnError::OnlyClassifies { learner, instead });
        }
        _ => PositionTable::new(train, params.max_rows)?,
    };
    let n_classes = train.target().kind.n_outputs();
    let classes: Vec<usize> = if n_classes == 1 { vec![1] } else { (0..n_classes).collect() };
    let mut trees = Vec::with_capacity(classes.len());
    for &class in &classes {
        trees.push(class_tree(params, &table, class, n_classes > 1)?);
        report(progress, trees.len(), classes.len())?;
    }
    Ok(Fitted {
        best_iteration: trees.len(),
        ensemble: Ensemble {
            tree_output: (0..trees.len() as u32).collect(),
            base: vec![0.0; trees.len()],
            combine: Combine::Sum,
            link: if n_classes > 1 { Link::Softmax } else { Link::Identity },
            trees,
        },
        history: Vec::new(),
        learner_name: "linfa_tree",
        out_of_bag: None,
    })
}

/// The tree that tells `class` from the rest. Leaves carry the share of the class or, if `as_log`, the
/// logarithm of its share with one row added on each side, so that softmax gives shares again.
fn class_tree(
    params: &LinfaTreeParams,
    table: &PositionTable,
    class: usize,
    as_log: bool,
) -> Result<Tree, LearnError> {
    let is_class = |label: f64| usize::from(label == class as f64);
    let targets: Vec<usize> = table.labels.iter().map(|&label| is_class(label)).collect();
    let share = |rows: &[u32], added: f64| {
        let (mut of_class, mut total) = (added, 2.0 * added);
        for &row in rows {
            let row = row as usize;
            total += table.weights[row];
            of_class += table.weights[row] * targets[row] as f64;
        }
        of_class / total
    };
    let mean_weight = table.weights.iter().sum::<f64>() / table.weights.len() as f64;
    let mut growing = Growing { params, table, targets: &targets, mean_weight, nodes: Vec::new() };
    growing.grow((0..table.rows.len() as u32).collect(), 0)?;
    let shares = |_: usize, rows: &[u32]| {
        vec![if as_log { share(rows, 1.0).ln() } else { share(rows, 0.0) }]
    };
    Ok(table.tree(&growing.nodes, None, shares))
}

/// A question: left iff the column's position is at most the threshold.
type Question = (usize, f64);

/// A tree in the making, one question at a time on the node's own rows.
struct Growing<'a> {
    params: &'a LinfaTreeParams,
    table: &'a PositionTable,
    /// 1 for the class, 0 for the rest.
    targets: &'a [usize],
    mean_weight: f64,
    /// Parents first.
    nodes: Vec<ForeignNode>,
}

impl Growing<'_> {
    /// Grows the subtree of some sampled rows; its index.
    fn grow(&mut self, rows: Vec<u32>, depth: usize) -> Result<usize, LearnError> {
        let index = self.nodes.len();
        self.nodes.push(ForeignNode::Leaf);
        if depth < self.params.max_depth
            && let Some((column, threshold)) = self.question(&rows)?
        {
            let (left, right) = self.divide(rows, (column, threshold));
            let left = self.grow(left, depth + 1)?;
            let right = self.grow(right, depth + 1)?;
            self.nodes[index] = ForeignNode::Split { column, threshold, left, right };
        }
        Ok(index)
    }

    /// linfa's question for these rows; `None` if none tells them apart.
    fn question(&self, rows: &[u32]) -> Result<Option<Question>, LearnError> {
        let mut of_class = [0.0; 2];
        for &row in rows {
            of_class[self.targets[row as usize]] += self.weight(row);
        }
        if of_class.contains(&0.0) {
            return Ok(None);
        }
        let least = self.params.min_rows_in_leaf as f64;
        if let Some(question) = self.ask(rows, [1.0; 2], least)? {
            return Ok(Some(question));
        }
        let half = 0.5 * (of_class[0] + of_class[1]);
        let factors = of_class.map(|weight| half / weight);
        // No leaf of enough rows weighs less than this; linfa knows no other bound than weight.
        let least_weight = least * factors[0].min(factors[1]);
        let question = self.ask(rows, factors, least_weight)?;
        Ok(question.filter(|&question| {
            let (left, right) = self.divide(rows.to_vec(), question);
            let weight = |rows: &[u32]| rows.iter().map(|&row| self.weight(row)).sum::<f64>();
            weight(&left).min(weight(&right)) >= least
        }))
    }

    fn weight(&self, row: u32) -> f64 {
        self.table.weights[row as usize] / self.mean_weight
    }

    fn divide(&self, rows: Vec<u32>, (column, threshold): Question) -> (Vec<u32>, Vec<u32>) {
        rows.into_iter().partition(|&row| self.table.row(row as usize)[column] <= threshold)
    }

    /// linfa's own tree of one question on these rows, with the classes' weights times `factors`;
    /// `None` if it is a leaf.
    fn ask(
        &self,
        rows: &[u32],
        factors: [f64; 2],
        least_weight: f64,
    ) -> Result<Option<Question>, LearnError> {
        let n_columns = self.table.n_columns();
        let values = rows.iter().flat_map(|&row| self.table.row(row as usize)).copied().collect();
        let records = Array2::from_shape_vec((rows.len(), n_columns), values)
            .map_err(|error| LearnError::Library { library: "linfa", reason: error.to_string() })?;
        let targets: Array1<usize> = rows.iter().map(|&row| self.targets[row as usize]).collect();
        let weights = rows.iter().zip(&targets).map(|(&row, &target)| {
            let tie_break = if target == 1 { TIE_BREAK } else { 1.0 };
            (self.weight(row) * factors[target]) as f32 * tie_break
        });
        let weights: Array1<f32> = weights.collect();
        let dataset = linfa::Dataset::new(records, targets).with_weights(weights);
        let tree = DecisionTree::params()
            .split_quality(SplitQuality::Gini)
            .max_depth(Some(1))
            .min_weight_split(2.0)
            .min_weight_leaf(least_weight as f32)
            .fit(&dataset)?;
        let root = tree.root_node();
        let (column, threshold, _) = root.split();
        Ok((!root.is_leaf()).then_some((column, threshold)))
    }
}

#[cfg(test)]
mod tests;
