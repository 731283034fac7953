//! Constraints of a fit: whether they suit the table, and whether trees from before keep them.

use segue_dataset::{Dataset, Feature, FeatureKind};
use segue_model::{Child, Node, Split, Tree};

use super::params::BoostingParams;
use super::place::PathRules;
use crate::LearnError;
use crate::split::Monotone;

/// Constraints name columns of the table, and only numbers have an order.
pub(super) fn check_constraints(
    params: &BoostingParams,
    train: &Dataset,
) -> Result<(), LearnError> {
    let features = train.schema().features();
    if !params.monotone.is_empty() && params.monotone.len() != features.len() {
        let (expected, got) = (features.len(), params.monotone.len());
        return Err(LearnError::MonotoneCount { expected, got });
    }
    for (feature, monotone) in features.iter().zip(&params.monotone) {
        if *monotone != Monotone::Free && feature.kind != FeatureKind::Number {
            return Err(LearnError::MonotoneCategory { column: feature.name.clone() });
        }
    }
    for (group, columns) in params.interactions.iter().enumerate() {
        if let Some(&column) = columns.iter().find(|&&column| column as usize >= features.len()) {
            let n_columns = features.len();
            return Err(LearnError::InteractionColumn { group, column, n_columns });
        }
    }
    Ok(())
}

/// Whether trees that the fit did not grow keep its constraints; the reason names tree, key and feature.
///
/// A tree keeps `monotone` if at every question about the feature all leaves of the one side lie on the right
/// side of all leaves of the other. Trees grown under the constraint do. One that is monotone in another way,
/// by LightGBM's methods "intermediate" and "advanced" for one, is refused all the same.
pub(super) fn check_trees(
    trees: &[Tree],
    params: &BoostingParams,
    features: &[Feature],
) -> Result<(), String> {
    let rules = PathRules::new(&params.interactions, features.len(), 1.0, false);
    let name = |column: u32| &features[column as usize].name;
    for (index, tree) in trees.iter().enumerate() {
        if let Some(column) = out_of_order(tree, &params.monotone) {
            let side = match params.monotone[column as usize] {
                Monotone::Decreasing => "decreasing",
                _ => "increasing",
            };
            return Err(format!(
                "tree {index} is not {side} in {:?}, as monotone asks; free the feature, or fit from nothing",
                name(column)
            ));
        }
        if let Some((above, below)) = strangers(tree, &rules) {
            let above: Vec<String> = above.iter().map(|&at| format!("{:?}", name(at))).collect();
            return Err(format!(
                "tree {index} asks about {:?} below {}, which no group of interactions lets meet; \
                 add a group, or fit from nothing",
                name(below),
                above.join(", ")
            ));
        }
    }
    Ok(())
}

/// A column at one of whose questions leaves are not in order.
fn out_of_order(tree: &Tree, monotone: &[Monotone]) -> Option<u32> {
    if monotone.is_empty() {
        return None;
    }
    // The lowest and the highest leaf below each node; children come after their parents.
    let mut ends = vec![(0.0, 0.0); tree.nodes.len()];
    for (index, node) in tree.nodes.iter().enumerate().rev() {
        let of = |child: Child| match child {
            Child::Node(node) => ends[node as usize],
            Child::Leaf(leaf) => {
                let value = tree.leaf_values[leaf as usize];
                (value, value)
            }
        };
        let (left, right): ((f64, f64), (f64, f64)) = (of(node.left), of(node.right));
        let (low, high) = (left.0.min(right.0), left.1.max(right.1));
        let fits = match monotone[node.feature as usize] {
            Monotone::Free => true,
            _ if moves_zero(node) => low == high,
            Monotone::Increasing => left.1 <= right.0,
            Monotone::Decreasing => left.0 >= right.1,
        };
        if !fits {
            return Some(node.feature);
        }
        ends[index] = (low, high);
    }
    None
}

/// Whether 0 goes to another side than its place among the numbers (LightGBM's missing type "zero").
fn moves_zero(node: &Node) -> bool {
    let is_left = match node.split {
        Split::AtMost(threshold) => 0.0 <= threshold,
        Split::Below(threshold) => 0.0 < threshold,
        Split::In(_) => return false,
    };
    node.left != node.right && (node.next(0.0) == node.left) != is_left
}

/// The first question about a column that no group holds together with the columns above it: those, and it.
fn strangers(tree: &Tree, rules: &PathRules) -> Option<(Vec<u32>, u32)> {
    if rules.interactions.is_empty() {
        return None;
    }
    // Columns of the path to each node.
    let mut above: Vec<Vec<u32>> = vec![Vec::new(); tree.nodes.len()];
    for (index, node) in tree.nodes.iter().enumerate() {
        let mut path = std::mem::take(&mut above[index]);
        if !path.contains(&node.feature) {
            let holds = |group: &Vec<u32>, column| group.binary_search(&column).is_ok();
            let meet = rules.interactions.iter().any(|group| {
                holds(group, node.feature) && path.iter().all(|&column| holds(group, column))
            });
            if !meet {
                return Some((path, node.feature));
            }
            path.push(node.feature);
        }
        for child in [node.left, node.right] {
            if let Child::Node(child) = child {
                above[child as usize].clone_from(&path);
            }
        }
    }
    None
}
