//! One tree as arrays over its nodes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Texts;
use crate::Child;
use crate::exchange::expand::{PlainTree, Test};

/// The parent of a root.
const NO_PARENT: i32 = i32::MAX;

/// Arrays over nodes. `f32` has a shorter text than the same number as `f64`, which XGBoost needs.
#[derive(Serialize, Default)]
pub(super) struct WrittenTree {
    base_weights: Vec<f32>,
    categories: Vec<u32>,
    categories_nodes: Vec<usize>,
    categories_segments: Vec<usize>,
    categories_sizes: Vec<usize>,
    default_left: Vec<u8>,
    id: usize,
    left_children: Vec<i32>,
    loss_changes: Vec<f32>,
    parents: Vec<i32>,
    right_children: Vec<i32>,
    split_conditions: Vec<f32>,
    split_indices: Vec<u32>,
    split_type: Vec<u8>,
    sum_hessian: Vec<f32>,
    tree_param: Texts,
}

/// How many numbers are not those of the model.
#[derive(Default)]
pub(super) struct Rounding {
    n_thresholds: usize,
    n_leaves: usize,
}

impl Rounding {
    fn leaf(&mut self, value: f64) -> f32 {
        let single = value as f32;
        self.n_leaves += usize::from(f64::from(single) != value);
        single
    }

    pub(super) fn note(&self, notes: &mut Vec<String>) {
        if self.n_thresholds > 0 {
            notes.push(format!(
                "{} thresholds lie between f32 values: rows of f32 values take the same branches",
                self.n_thresholds
            ));
        }
        if self.n_leaves > 0 {
            notes.push(format!("{} leaves were rounded to f32", self.n_leaves));
        }
    }

    /// The threshold of `value < threshold` that agrees on every `f32`; the largest `f32` stands for
    /// infinity, which JSON cannot write.
    fn threshold(&mut self, test: &Test) -> f32 {
        let (Test::AtMost(threshold) | Test::Below(threshold)) = test else { return 0.0 };
        let nearest = *threshold as f32;
        let wide = f64::from(nearest);
        self.n_thresholds += usize::from(wide != *threshold);
        let single = match test {
            Test::AtMost(_) if wide <= *threshold => nearest.next_up(),
            Test::Below(_) if wide < *threshold => nearest.next_up(),
            _ => nearest,
        };
        single.clamp(f32::MIN, f32::MAX)
    }
}

/// Children of a node stand side by side, as XGBoost grows them.
pub(super) fn written(
    plain: &PlainTree,
    value: impl Fn(u32) -> f64,
    id: usize,
    n_columns: usize,
    rounding: &mut Rounding,
) -> WrittenTree {
    let mut tree = WrittenTree { id, ..WrittenTree::default() };
    let root = if plain.nodes.is_empty() { Child::Leaf(0) } else { Child::Node(0) };
    let mut order = vec![(root, NO_PARENT)];
    let mut at = 0;
    while at < order.len() {
        let (source, parent) = order[at];
        let (mut left, mut right, mut condition, mut feature) = (-1, -1, 0.0f32, 0);
        let (mut default_left, mut kind, mut gain, cover) = (
            false,
            0,
            0.0,
            match source {
                Child::Node(node) => plain.nodes[node as usize].cover,
                Child::Leaf(leaf) => plain.leaves[leaf as usize].cover,
            },
        );
        match source {
            Child::Leaf(leaf) => {
                condition = rounding.leaf(value(plain.leaves[leaf as usize].source))
            }
            Child::Node(node) => {
                let node = &plain.nodes[node as usize];
                (left, right) = (order.len() as i32, order.len() as i32 + 1);
                (feature, gain) = (node.feature, node.gain);
                if let Test::OneOf(set) = &node.test {
                    // categories of the set go right there
                    order.extend([(node.no, at as i32), (node.yes, at as i32)]);
                    (default_left, kind) = (!node.missing_yes, 1);
                    tree.categories_nodes.push(at);
                    tree.categories_segments.push(tree.categories.len());
                    tree.categories.extend(set.codes());
                    let start = tree.categories_segments.last().copied().unwrap_or(0);
                    tree.categories_sizes.push(tree.categories.len() - start);
                } else {
                    order.extend([(node.yes, at as i32), (node.no, at as i32)]);
                    default_left = node.missing_yes;
                    condition = rounding.threshold(&node.test);
                }
            }
        }
        tree.base_weights.push(if left == -1 { condition } else { 0.0 });
        tree.default_left.push(u8::from(default_left));
        tree.left_children.push(left);
        tree.right_children.push(right);
        tree.loss_changes.push(gain as f32);
        tree.parents.push(parent);
        tree.split_conditions.push(condition);
        tree.split_indices.push(feature);
        tree.split_type.push(kind);
        tree.sum_hessian.push(cover as f32);
        at += 1;
    }
    tree.tree_param = BTreeMap::from([
        ("num_deleted", "0".to_owned()),
        ("num_feature", n_columns.to_string()),
        ("num_nodes", order.len().to_string()),
        ("size_leaf_vector", "1".to_owned()),
    ]);
    tree
}
