//! A tree over byte codes while it grows, and its translation to values.

use segue_model::{Child, MissingRule, Node, Tree};

use crate::binning::{Binning, Bundles, MISSING_CODE};
use crate::split::{Candidate, CodeSet};

/// An inner node over codes.
#[derive(Debug, Clone)]
struct CodeNode {
    column: u32,
    at_most: Option<u8>,
    left_codes: CodeSet,
    /// The byte that holds the column, and its states that go left.
    bundle: u32,
    left_states: CodeSet,
    gain: f64,
    left: Child,
    right: Child,
}

/// A binary tree over codes; grows by turning a leaf into a node.
#[derive(Debug, Clone, Default)]
pub(crate) struct CodeTree {
    nodes: Vec<CodeNode>,
    /// Node above each leaf and whether the leaf is its left child; `None` for the root.
    parents: Vec<Option<(u32, bool)>>,
}

impl CodeTree {
    /// A tree of one leaf.
    pub(crate) fn root() -> Self {
        Self { nodes: Vec::new(), parents: vec![None] }
    }

    pub(crate) fn n_leaves(&self) -> usize {
        self.parents.len()
    }

    /// Turns `leaf` into a node. The leaf stays as its left child; the right child is the new last leaf,
    /// whose index is returned.
    pub(crate) fn split(&mut self, leaf: u32, split: &Candidate, bundles: &Bundles) -> u32 {
        let node = self.nodes.len() as u32;
        let new_leaf = self.parents.len() as u32;
        if let Some((parent, is_left)) = self.parents[leaf as usize] {
            let parent = &mut self.nodes[parent as usize];
            *(if is_left { &mut parent.left } else { &mut parent.right }) = Child::Node(node);
        }
        self.nodes.push(CodeNode {
            column: split.column,
            at_most: split.at_most,
            left_codes: split.left_codes,
            bundle: bundles.bundle_of(split.column as usize) as u32,
            left_states: bundles.states_of(split.column as usize, split.left_codes),
            gain: split.gain,
            left: Child::Leaf(leaf),
            right: Child::Leaf(new_leaf),
        });
        self.parents[leaf as usize] = Some((node, true));
        self.parents.push(Some((node, false)));
        new_leaf
    }

    /// The leaf that a row of the code matrix falls into.
    #[inline]
    pub(crate) fn leaf(&self, states: &[u8]) -> u32 {
        let mut at = if self.nodes.is_empty() { Child::Leaf(0) } else { Child::Node(0) };
        loop {
            match at {
                Child::Leaf(leaf) => return leaf,
                Child::Node(node) => {
                    let node = &self.nodes[node as usize];
                    let left = node.left_states.contains(states[node.bundle as usize]);
                    at = if left { node.left } else { node.right };
                }
            }
        }
    }

    /// The same tree over values. `leaf_values` holds `leaf_width` values a leaf, `leaf_cover` the sums
    /// of row weights; covers of inner nodes are sums over their leaves.
    pub(crate) fn to_tree(
        &self,
        binning: &Binning,
        leaf_values: Vec<f64>,
        leaf_cover: Vec<f64>,
        leaf_width: u32,
    ) -> Tree {
        let to_node = |node: &CodeNode| {
            let bins = &binning.columns()[node.column as usize];
            let split = match node.at_most {
                Some(code) => bins.at_most(code),
                None => bins.one_of(&node.left_codes.value_codes().collect::<Vec<_>>()),
            };
            let missing = if node.left_codes.contains(MISSING_CODE) {
                MissingRule::Left
            } else {
                MissingRule::Right
            };
            let (feature, gain) = (node.column, node.gain);
            Node { feature, split, missing, left: node.left, right: node.right, gain, cover: 0.0 }
        };
        let mut nodes: Vec<Node> = self.nodes.iter().map(to_node).collect();
        fill_cover(&mut nodes, &leaf_cover);
        Tree { nodes, leaf_values, leaf_cover, leaf_width }
    }
}

/// Covers of inner nodes from those of the leaves; children come after their parents.
pub(crate) fn fill_cover(nodes: &mut [Node], leaf_cover: &[f64]) {
    for index in (0..nodes.len()).rev() {
        let cover_of = |child| match child {
            Child::Node(node) => nodes[node as usize].cover,
            Child::Leaf(leaf) => leaf_cover[leaf as usize],
        };
        nodes[index].cover = cover_of(nodes[index].left) + cover_of(nodes[index].right);
    }
}
