//! Cuts trees into pieces.

use std::collections::BinaryHeap;

use super::{MAX_NODES, Piece, TO_PIECE};
use crate::engines::encoding::Question;
use crate::engines::leaves::Leaves;
use crate::{Child, Tree};

/// The pieces of the trees so far.
pub(super) struct Cutter<'a> {
    leaves: &'a Leaves,
    n_numbers: usize,
    first_window_column: usize,
    pub(super) pieces: Vec<Piece>,
    /// Byte column of each set node, in the order of the windows.
    pub(super) set_nodes: Vec<u16>,
    pub(super) visits: f64,
}

/// A node that may join the piece, ordered by how many training rows reached it, then by age.
#[derive(PartialEq)]
struct Candidate {
    cover: f64,
    node: u32,
    /// Nodes of the piece above it, and those at which the way to it goes right, as bits.
    path: u32,
    right: u32,
}

impl Eq for Candidate {}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.cover.total_cmp(&other.cover).then(other.node.cmp(&self.node))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<'a> Cutter<'a> {
    pub(super) fn new(
        n_trees: usize,
        leaves: &'a Leaves,
        n_numbers: usize,
        first_window_column: usize,
    ) -> Self {
        let pieces = vec![Piece::EMPTY; n_trees];
        Self { leaves, n_numbers, first_window_column, pieces, set_nodes: Vec::new(), visits: 0.0 }
    }

    /// Cuts tree `index`.
    pub(super) fn cut(&mut self, index: usize, tree: &Tree, questions: &[Question]) {
        self.visits += 1.0;
        if tree.nodes.is_empty() {
            let piece = &mut self.pieces[index];
            piece.want[0] = 0;
            piece.exits[0] = self.leaves.place(index, 0);
            return;
        }
        let mut roots = vec![(index, 0u32)];
        while let Some((piece, root)) = roots.pop() {
            for (exit, node) in self.fill(piece, index, tree, questions, root) {
                let cover = tree.nodes[node as usize].cover / tree.nodes[0].cover;
                self.visits += if cover.is_finite() { cover } else { 1.0 };
                let next = self.pieces.len();
                self.pieces[piece].exits[exit] = TO_PIECE | next as u32;
                self.pieces.push(Piece::EMPTY);
                roots.push((next, node));
            }
        }
    }

    /// Fills a piece from its root down; the exits at which other nodes hang.
    fn fill(
        &mut self,
        piece: usize,
        index: usize,
        tree: &Tree,
        questions: &[Question],
        root: u32,
    ) -> Vec<(usize, u32)> {
        let piece = &mut self.pieces[piece];
        let window = self.set_nodes.len();
        piece.window = window as u32;
        let candidate = |node: u32, path, right| {
            let cover = tree.nodes[node as usize].cover;
            Candidate { cover, node, path, right }
        };
        let mut open = BinaryHeap::from([candidate(root, 0, 0)]);
        let (mut n_nodes, mut n_exits) = (0, 0);
        while n_nodes < MAX_NODES
            && let Some(Candidate { node, path, right, .. }) = open.pop()
        {
            let question = questions[node as usize];
            piece.thresholds[n_nodes] = question.byte;
            piece.columns[n_nodes] = if usize::from(question.byte_column) < self.n_numbers {
                question.byte_column as u8 as i8
            } else {
                self.set_nodes.push(question.byte_column);
                (self.first_window_column + self.set_nodes.len() - 1 - window) as u8 as i8
            };
            let bit = 1 << n_nodes;
            let node = &tree.nodes[node as usize];
            for (child, right) in [(node.left, right), (node.right, right | bit)] {
                match child {
                    Child::Node(node) => open.push(candidate(node, path | bit, right)),
                    Child::Leaf(leaf) => {
                        (piece.path[n_exits], piece.want[n_exits]) = (path | bit, right);
                        piece.exits[n_exits] = self.leaves.place(index, leaf);
                        n_exits += 1;
                    }
                }
            }
            n_nodes += 1;
        }
        let rest = open.into_sorted_vec().into_iter().zip(n_exits..);
        rest.map(|(candidate, exit)| {
            (piece.path[exit], piece.want[exit]) = (candidate.path, candidate.right);
            (exit, candidate.node)
        })
        .collect()
    }
}
