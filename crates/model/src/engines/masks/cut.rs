//! Cuts trees into pieces.

use std::collections::BinaryHeap;

use super::{Exits, MAX_NODES, Piece, TO_PIECE};
use crate::engines::encoding::Question;
use crate::engines::leaves::Leaves;
use crate::{Child, Tree};

/// The pieces of the trees so far.
pub(super) struct Cutter<'a> {
    leaves: &'a Leaves,
    n_numbers: usize,
    first_window_column: usize,
    pub(super) pieces: Vec<Piece>,
    pub(super) exits: Vec<Exits>,
    pub(super) windows: Vec<u32>,
    /// Byte column of each set node, in the order of the windows.
    pub(super) set_nodes: Vec<u16>,
    pub(super) visits: f64,
}

/// A node that may join the piece, ordered by how many training rows reached it, then by age.
#[derive(PartialEq)]
struct Candidate {
    cover: f64,
    node: u32,
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
        Self {
            leaves,
            n_numbers,
            first_window_column,
            pieces: vec![Piece::EMPTY; n_trees],
            exits: vec![Exits::EMPTY; n_trees],
            windows: vec![0; n_trees],
            set_nodes: Vec::new(),
            visits: 0.0,
        }
    }

    /// Cuts tree `index`.
    pub(super) fn cut(&mut self, index: usize, tree: &Tree, questions: &[Question]) {
        self.visits += 1.0;
        if tree.nodes.is_empty() {
            self.pieces[index].left_of[0] = 0;
            self.exits[index].to[0] = self.leaves.place(index, 0);
            return;
        }
        let mut roots = vec![(index, 0u32)];
        while let Some((piece, root)) = roots.pop() {
            let nodes = choose(tree, root);
            self.ask(piece, &nodes, questions);
            for (exit, node) in self.lead_out(piece, index, tree, &nodes) {
                let cover = tree.nodes[node as usize].cover / tree.nodes[0].cover;
                self.visits += if cover.is_finite() { cover } else { 1.0 };
                let next = self.pieces.len();
                self.exits[piece].to[exit] = TO_PIECE | next as u32;
                self.pieces.push(Piece::EMPTY);
                self.exits.push(Exits::EMPTY);
                self.windows.push(0);
                roots.push((next, node));
            }
        }
    }

    /// Sets the questions of a piece of these nodes.
    fn ask(&mut self, piece: usize, nodes: &[u32], questions: &[Question]) {
        let window = self.set_nodes.len();
        self.windows[piece] = window as u32;
        let piece = &mut self.pieces[piece];
        for (at, &node) in nodes.iter().enumerate() {
            let question = questions[node as usize];
            let column = if usize::from(question.byte_column) < self.n_numbers {
                question.byte_column.into()
            } else {
                self.set_nodes.push(question.byte_column);
                self.first_window_column + self.set_nodes.len() - 1 - window
            };
            piece.columns[at] = column as u8 as i8;
            piece.thresholds[at] = question.byte;
        }
    }

    /// Sets the exits of a piece from left to right; those at which other nodes hang.
    fn lead_out(
        &mut self,
        piece: usize,
        index: usize,
        tree: &Tree,
        nodes: &[u32],
    ) -> Vec<(usize, u32)> {
        let left_of = &mut self.pieces[piece].left_of;
        let to = &mut self.exits[piece].to;
        let mut n_exits = 0;
        let mut below = Vec::new();
        let mut open = vec![(Child::Node(nodes[0]), 0u32)];
        while let Some((child, left_nodes)) = open.pop() {
            let own = |node| nodes.iter().position(|&own| own == node);
            if let Child::Node(node) = child
                && let Some(at) = own(node)
            {
                let node = &tree.nodes[node as usize];
                open.push((node.right, left_nodes));
                open.push((node.left, left_nodes | 1 << at));
                continue;
            }
            left_of[n_exits] = left_nodes;
            match child {
                Child::Leaf(leaf) => to[n_exits] = self.leaves.place(index, leaf),
                Child::Node(node) => below.push((n_exits, node)),
            }
            n_exits += 1;
        }
        below
    }
}

/// The nodes of a piece: the most visited ones that hang together from the root down.
fn choose(tree: &Tree, root: u32) -> Vec<u32> {
    let candidate = |node: u32| Candidate { cover: tree.nodes[node as usize].cover, node };
    let mut nodes = Vec::with_capacity(MAX_NODES);
    let mut open = BinaryHeap::from([candidate(root)]);
    while nodes.len() < MAX_NODES
        && let Some(Candidate { node, .. }) = open.pop()
    {
        nodes.push(node);
        let node = &tree.nodes[node as usize];
        for child in [node.left, node.right] {
            if let Child::Node(child) = child {
                open.push(candidate(child));
            }
        }
    }
    nodes
}
