//! A single decision tree of `linfa-trees`, read into our form.

use std::ops::ControlFlow;

use linfa::traits::Fit;
use linfa_trees::{DecisionTree, SplitQuality, TreeNode};
use ndarray::{Array1, Array2};
use segue_dataset::{Dataset, TargetKind};
use segue_model::{Combine, Ensemble, Link, Tree};

use crate::error::check_integer;
use crate::foreign::{ForeignNode, PositionTable};
use crate::{Fitted, LearnError, ParamError, Progress};

/// linfa keeps class weights in a map of random order, which decides between classes of equal weight.
/// This factor on the weights of class 1 leaves no two classes equal.
const TIE_BREAK: f32 = 1.000_013;

/// Parameters of the linfa tree, unchecked.
///
/// linfa only grows classifiers. Leaves carry class shares of the sample (linfa itself keeps the most
/// frequent class). For more than two classes one tree a class against the rest is grown, because linfa
/// sums class weights in random order, which only two classes make exact.
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
    progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
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
        let report = Progress {
            iteration: trees.len(),
            n_iterations: classes.len(),
            train_loss: f64::NAN,
            valid_loss: None,
        };
        if progress(report).is_break() {
            return Err(LearnError::Cancelled { iteration: trees.len() });
        }
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
    let targets: Array1<usize> = table.labels.iter().map(|&label| is_class(label)).collect();
    let share = |rows: &[u32], added: f64| {
        let (mut of_class, mut total) = (added, 2.0 * added);
        for &row in rows {
            let row = row as usize;
            total += table.weights[row];
            of_class += table.weights[row] * is_class(table.labels[row]) as f64;
        }
        of_class / total
    };
    let nodes = if targets.iter().all(|&target| target == targets[0]) {
        vec![ForeignNode::Leaf]
    } else {
        flatten(linfa_tree(params, table, targets)?.root_node())
    };
    let shares = |_: usize, rows: &[u32]| {
        vec![if as_log { share(rows, 1.0).ln() } else { share(rows, 0.0) }]
    };
    Ok(table.tree(&nodes, None, shares))
}

/// linfa's own tree on the sample.
fn linfa_tree(
    params: &LinfaTreeParams,
    table: &PositionTable,
    targets: Array1<usize>,
) -> Result<DecisionTree<f64, usize>, LearnError> {
    let shape = (table.rows.len(), table.n_columns());
    let records = Array2::from_shape_vec(shape, table.values.clone())
        .map_err(|error| LearnError::Library { library: "linfa", reason: error.to_string() })?;
    let mean_weight = table.weights.iter().sum::<f64>() / table.weights.len() as f64;
    let weights: Array1<f32> = (table.weights.iter().zip(&targets))
        .map(|(&weight, &target)| {
            (weight / mean_weight) as f32 * if target == 1 { TIE_BREAK } else { 1.0 }
        })
        .collect();
    let dataset = linfa::Dataset::new(records, targets).with_weights(weights);
    let min_rows = params.min_rows_in_leaf as f32;
    let tree = DecisionTree::params()
        .split_quality(SplitQuality::Gini)
        .max_depth(Some(params.max_depth))
        .min_weight_split(2.0 * min_rows)
        .min_weight_leaf(min_rows)
        .fit(&dataset)?;
    Ok(tree)
}

/// linfa's nodes as a list, parents first.
fn flatten(root: &TreeNode<f64, usize>) -> Vec<ForeignNode> {
    let mut nodes = vec![ForeignNode::Leaf];
    let mut open = vec![(root, 0)];
    while let Some((node, index)) = open.pop() {
        let children: Vec<&TreeNode<f64, usize>> =
            node.children().into_iter().filter_map(|child| child.as_deref()).collect();
        let (false, &[left, right]) = (node.is_leaf(), children.as_slice()) else { continue };
        let (column, threshold, _) = node.split();
        let first = nodes.len();
        nodes[index] = ForeignNode::Split { column, threshold, left: first, right: first + 1 };
        nodes.extend([ForeignNode::Leaf, ForeignNode::Leaf]);
        open.extend([(left, first), (right, first + 1)]);
    }
    nodes
}

#[cfg(test)]
mod tests;
