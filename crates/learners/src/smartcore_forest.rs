//! The random forest of `smartcore`, read into our form.
//!
//! smartcore keeps its trees private; they are read from its serde form.

use segue_dataset::{Dataset, TargetKind};
use segue_model::{Combine, Ensemble, Link, Tree};
use serde::Serialize;
use serde_json::Value;
use smartcore::ensemble::random_forest_classifier::{
    RandomForestClassifier, RandomForestClassifierParameters,
};
use smartcore::ensemble::random_forest_regressor::{
    RandomForestRegressor, RandomForestRegressorParameters,
};
use smartcore::linalg::basic::matrix::DenseMatrix;

use crate::error::check_integer;
use crate::foreign::{ForeignNode, PositionTable};
use crate::learner::{Report, report};
use crate::{Fitted, LearnError, ParamError};

/// Parameters of smartcore's forest, unchecked. It ignores row weights.
///
/// A probability is the share of trees that vote for the class, as smartcore itself votes; a number is
/// the mean of the trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmartcoreForestParams {
    /// Trees, 1 to 10,000. Default 100.
    pub n_trees: usize,
    /// Largest number of questions on a path, 1 to 64. Default 12.
    pub max_depth: usize,
    /// Rows a leaf must have. Default 5.
    pub min_rows_in_leaf: usize,
    /// Rows the forest is grown on, at most 100,000: smartcore uses one thread. Default 10,000.
    pub max_rows: usize,
    /// Seed of its draws. Default 0.
    pub seed: u64,
}

impl Default for SmartcoreForestParams {
    fn default() -> Self {
        Self { n_trees: 100, max_depth: 12, min_rows_in_leaf: 5, max_rows: 10_000, seed: 0 }
    }
}

impl SmartcoreForestParams {
    /// Checks every parameter against its range.
    ///
    /// # Errors
    /// The first parameter that does not fit.
    pub fn check(self) -> Result<SmartcoreForestValidParams, ParamError> {
        check_integer("n_trees", self.n_trees, 1, 10_000)?;
        check_integer("max_depth", self.max_depth, 1, 64)?;
        check_integer("min_rows_in_leaf", self.min_rows_in_leaf, 1, 100_000)?;
        check_integer("max_rows", self.max_rows, 2, 100_000)?;
        Ok(SmartcoreForestValidParams(self))
    }
}

/// Smartcore forest parameters that are all in range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmartcoreForestValidParams(SmartcoreForestParams);

impl SmartcoreForestValidParams {
    /// The parameters.
    #[must_use]
    pub fn params(&self) -> &SmartcoreForestParams {
        &self.0
    }
}

type Classifier = RandomForestClassifier<f64, u32, DenseMatrix<f64>, Vec<u32>>;
type Regressor = RandomForestRegressor<f64, f64, DenseMatrix<f64>, Vec<f64>>;

pub(crate) fn fit(
    params: &SmartcoreForestValidParams,
    train: &Dataset,
    progress: Report<'_>,
) -> Result<Fitted, LearnError> {
    let params = params.params();
    let table = PositionTable::new(train, params.max_rows)?;
    let kind = &train.target().kind;
    let trees = if *kind == TargetKind::Regression {
        read_trees(&regressor(params, &table)?, &table, Leaf::Number)?
    } else {
        let leaf = Leaf::Vote { n_outputs: kind.n_outputs() };
        read_trees(&classifier(params, &table)?, &table, leaf)?
    };
    let n_trees = trees.len();
    report(progress, n_trees, n_trees)?;
    Ok(Fitted {
        best_iteration: n_trees,
        ensemble: Ensemble {
            tree_output: vec![0; n_trees],
            trees,
            base: vec![0.0; kind.n_outputs()],
            combine: Combine::Mean,
            link: Link::Identity,
        },
        history: Vec::new(),
        learner_name: "smartcore_forest",
        out_of_bag: None,
    })
}

fn library_error(reason: impl ToString) -> LearnError {
    LearnError::Library { library: "smartcore", reason: reason.to_string() }
}

fn matrix(table: &PositionTable) -> Result<DenseMatrix<f64>, LearnError> {
    DenseMatrix::new(table.rows.len(), table.n_columns(), table.values.clone(), false)
        .map_err(library_error)
}

/// smartcore's own classifier on the sample.
fn classifier(
    params: &SmartcoreForestParams,
    table: &PositionTable,
) -> Result<Classifier, LearnError> {
    let forest = RandomForestClassifierParameters::default()
        .with_n_trees(params.n_trees as u16)
        .with_max_depth(params.max_depth as u16)
        .with_min_samples_leaf(params.min_rows_in_leaf)
        .with_seed(params.seed);
    let labels: Vec<u32> = table.labels.iter().map(|&label| label as u32).collect();
    Classifier::fit(&matrix(table)?, &labels, forest).map_err(library_error)
}

/// smartcore's own regressor on the sample.
fn regressor(
    params: &SmartcoreForestParams,
    table: &PositionTable,
) -> Result<Regressor, LearnError> {
    let forest = RandomForestRegressorParameters::default()
        .with_n_trees(params.n_trees)
        .with_max_depth(params.max_depth as u16)
        .with_min_samples_leaf(params.min_rows_in_leaf)
        .with_seed(params.seed);
    Regressor::fit(&matrix(table)?, &table.labels, forest).map_err(library_error)
}

/// What a leaf says.
#[derive(Clone, Copy)]
enum Leaf {
    /// The mean of its rows.
    Number,
    /// A vote for one class. One output is the vote for the second of two classes.
    Vote { n_outputs: usize },
}

/// Reads all trees from the forest's serde form.
fn read_trees(
    forest: &impl Serialize,
    table: &PositionTable,
    leaf: Leaf,
) -> Result<Vec<Tree>, LearnError> {
    let value = serde_json::to_value(forest).map_err(library_error)?;
    let classes: Vec<usize> = value["classes"]
        .as_array()
        .map(|classes| {
            classes.iter().filter_map(|class| class.as_u64().map(|c| c as usize)).collect()
        })
        .unwrap_or_default();
    let trees = find_trees(&value).ok_or_else(|| library_error("its serde form has no trees"))?;
    trees.iter().map(|tree| read_tree(tree, &classes, table, leaf)).collect()
}

/// The regressor wraps a base forest that holds the trees; the classifier holds them itself.
fn find_trees(value: &Value) -> Option<&Vec<Value>> {
    if let Some(trees) = value["trees"].as_array() {
        return Some(trees);
    }
    value.as_object()?.values().find_map(|inner| inner.as_object().and(find_trees(inner)))
}

fn read_tree(
    tree: &Value,
    classes: &[usize],
    table: &PositionTable,
    leaf: Leaf,
) -> Result<Tree, LearnError> {
    let malformed = || library_error("the serde form of a tree is not as expected");
    let nodes = find_nodes(tree).ok_or_else(malformed)?;
    let mut outputs = Vec::with_capacity(nodes.len());
    let mut foreign = Vec::with_capacity(nodes.len());
    for (index, node) in nodes.iter().enumerate() {
        outputs.push(node["output"].as_f64().ok_or_else(malformed)?);
        let child = |name: &str| node[name].as_u64().map(|child| child as usize);
        foreign.push(match (child("true_child"), child("false_child")) {
            (Some(left), Some(right)) => {
                let column = child("split_feature").filter(|&column| column < table.n_columns());
                let threshold = node["split_value"].as_f64();
                let (Some(column), Some(threshold)) = (column, threshold) else {
                    return Err(malformed());
                };
                if left.min(right) <= index || left.max(right) >= nodes.len() {
                    return Err(malformed());
                }
                ForeignNode::Split { column, threshold, left, right }
            }
            _ => ForeignNode::Leaf,
        });
    }
    if foreign.is_empty() {
        return Err(malformed());
    }
    let n_classes = match leaf {
        Leaf::Number => None,
        Leaf::Vote { n_outputs } => Some(n_outputs.max(2)),
    };
    let values = |index: usize, _: &[u32]| match leaf {
        Leaf::Number => vec![outputs[index]],
        Leaf::Vote { n_outputs } => {
            let class = classes.get(outputs[index] as usize).copied();
            let first = if n_outputs == 1 { 1 } else { 0 };
            (first..first + n_outputs).map(|of| f64::from(class == Some(of))).collect()
        }
    };
    Ok(table.tree(&foreign, n_classes, values))
}

fn find_nodes(tree: &Value) -> Option<&Vec<Value>> {
    if let Some(nodes) = tree["nodes"].as_array() {
        return Some(nodes);
    }
    tree.as_object()?.values().find_map(|inner| inner.as_object().and(find_nodes(inner)))
}

#[cfg(test)]
mod tests;
