//! From nodes that name each other to a tree with parents before children.

use crate::{CategorySet, Child, MissingRule, Node, Split, Tree};

/// The question of a foreign node, categories still as the file writes them.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ForeignSplit {
    /// Ours already.
    Number(Split),
    /// Yes iff the value is one of these, ascending.
    OneOf(Vec<f64>),
}

/// A foreign node. `yes` and `no` are indices into the list of nodes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ForeignNode {
    Leaf {
        values: Vec<f64>,
        cover: f64,
    },
    Inner {
        feature: usize,
        split: ForeignSplit,
        missing: MissingRule,
        yes: usize,
        no: usize,
        gain: f64,
        cover: f64,
    },
}

/// Nodes in the order of the file.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct ForeignTree {
    pub(super) nodes: Vec<ForeignNode>,
    pub(super) root: usize,
}

/// A node that makes the list no tree.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Misplaced {
    /// Index of the node.
    pub(super) node: usize,
    /// What is wrong with it.
    pub(super) fault: &'static str,
}

/// Inner nodes breadth first; leaves keep the order of the file, so that their numbers are its own.
/// Nodes that nothing leads to are left out. `code_of` gives the code of a category of a column.
pub(super) fn assemble(
    tree: &ForeignTree,
    leaf_width: usize,
    code_of: impl Fn(usize, f64) -> Option<u32>,
) -> Result<Tree, Misplaced> {
    let order = reach(tree)?;
    let mut place = vec![Child::Leaf(0); tree.nodes.len()];
    let mut n_inner = 0;
    for &index in &order {
        if let ForeignNode::Inner { .. } = tree.nodes[index] {
            place[index] = Child::Node(n_inner);
            n_inner += 1;
        }
    }
    let mut leaves: Vec<usize> = order.clone();
    leaves.retain(|&index| matches!(tree.nodes[index], ForeignNode::Leaf { .. }));
    leaves.sort_unstable();
    let mut leaf_values = Vec::with_capacity(leaves.len() * leaf_width);
    let mut leaf_cover = Vec::with_capacity(leaves.len());
    for (number, &index) in (0u32..).zip(&leaves) {
        place[index] = Child::Leaf(number);
        if let ForeignNode::Leaf { values, cover } = &tree.nodes[index] {
            leaf_values.extend_from_slice(values);
            leaf_cover.push(*cover);
        }
    }
    let nodes = order.iter().filter_map(|&index| match &tree.nodes[index] {
        ForeignNode::Leaf { .. } => None,
        ForeignNode::Inner { feature, split, missing, yes, no, gain, cover } => Some(Node {
            feature: *feature as u32,
            split: match split {
                ForeignSplit::Number(split) => split.clone(),
                ForeignSplit::OneOf(values) => Split::In(CategorySet::from_codes(
                    values.iter().filter_map(|&value| code_of(*feature, value)),
                )),
            },
            missing: *missing,
            left: place[*yes],
            right: place[*no],
            gain: if gain.is_finite() { *gain } else { 0.0 },
            cover: *cover,
        }),
    });
    Ok(Tree { nodes: nodes.collect(), leaf_values, leaf_cover, leaf_width: leaf_width as u32 })
}

/// The nodes that the root leads to, breadth first, each reached once.
fn reach(tree: &ForeignTree) -> Result<Vec<usize>, Misplaced> {
    let fault = |node, fault| Err(Misplaced { node, fault });
    if tree.root >= tree.nodes.len() {
        return fault(tree.root, "the root is not there");
    }
    let mut seen = vec![false; tree.nodes.len()];
    seen[tree.root] = true;
    let mut order = vec![tree.root];
    let mut at = 0;
    while at < order.len() {
        if let ForeignNode::Inner { yes, no, .. } = tree.nodes[order[at]] {
            for child in [yes, no] {
                match seen.get_mut(child) {
                    None => return fault(order[at], "leads to a node that is not there"),
                    Some(true) => return fault(order[at], "leads to a node that has a parent"),
                    Some(seen) => *seen = true,
                }
                order.push(child);
            }
        }
        at += 1;
    }
    Ok(order)
}
