//! Cuts trees into pieces.

use std::collections::BinaryHeap;

use super::sets::SetNode;
use super::{MAX_EXITS, MAX_NODES, TO_PIECE};
use crate::engines::encoding::Question;
use crate::{Child, Tree};

/// Up to 31 nodes that hang together.
pub(super) struct Piece {
    /// Column of each node in the table, as the bits of a `u8`.
    pub(super) columns: [i8; MAX_EXITS],
    /// Right iff the code is greater.
    pub(super) thresholds: [i8; MAX_EXITS],
    /// Nodes that have the exit on their left, as bits; exits from left to right.
    pub(super) left_of: [u32; MAX_EXITS],
    pub(super) n_exits: usize,
}

/// Where a tree begins, and how many pieces the longest way through it has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) top: u32,
    pub(super) n_steps: u32,
}

/// The pieces of the trees so far.
pub(super) struct Cutter {
    n_numbers: usize,
    pub(super) pieces: Vec<Piece>,
    /// Where the exits of each piece lead: to a piece, or to the place of a value.
    pub(super) leads: Vec<[u32; MAX_EXITS]>,
    pub(super) trees: Vec<Way>,
    pub(super) set_nodes: Vec<SetNode>,
    /// Bit of each node of the tree within its piece.
    bits: Vec<u8>,
}

/// A node that is not in the piece.
const NO_BIT: u8 = u8::MAX;

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

impl Cutter {
    /// For byte columns of which the first `n_numbers` are those of numbers.
    pub(super) fn new(n_numbers: usize) -> Self {
        Self {
            n_numbers,
            pieces: Vec::new(),
            leads: Vec::new(),
            trees: Vec::new(),
            set_nodes: Vec::new(),
            bits: Vec::new(),
        }
    }

    /// Cuts the next tree, the values of whose leaves are at `place`.
    pub(super) fn cut(&mut self, tree: &Tree, questions: &[Question], place: impl Fn(u32) -> u32) {
        let top = self.push();
        let mut longest = 1;
        if tree.nodes.is_empty() {
            self.leads[top][0] = place(0);
        }
        self.bits.clear();
        self.bits.resize(tree.nodes.len(), NO_BIT);
        let mut roots = vec![(top, 0u32, longest)];
        roots.truncate(tree.nodes.len());
        while let Some((piece, root, n_steps)) = roots.pop() {
            longest = longest.max(n_steps);
            let nodes = choose(tree, root);
            self.ask(piece, &nodes, questions);
            for (exit, node) in self.lead_out(piece, tree, root, &place) {
                let next = self.push();
                self.leads[piece][exit] = TO_PIECE | next as u32;
                roots.push((next, node, n_steps + 1));
            }
            nodes.iter().for_each(|&node| self.bits[node as usize] = NO_BIT);
        }
        self.trees.push(Way { top: top as u32, n_steps: longest });
    }

    /// Adds a piece of one exit, whose nodes ask what is never answered with right.
    fn push(&mut self) -> usize {
        let (columns, thresholds) = ([0; MAX_EXITS], [i8::MAX; MAX_EXITS]);
        self.pieces.push(Piece { columns, thresholds, left_of: [0; MAX_EXITS], n_exits: 1 });
        self.leads.push([0; MAX_EXITS]);
        self.pieces.len() - 1
    }

    /// Sets the questions of a piece of these nodes.
    fn ask(&mut self, index: usize, nodes: &[u32], questions: &[Question]) {
        let piece = &mut self.pieces[index];
        for (at, &node) in nodes.iter().enumerate() {
            self.bits[node as usize] = at as u8;
            let Question { byte_column, byte, rank_column, .. } = questions[node as usize];
            if usize::from(byte_column) < self.n_numbers {
                piece.columns[at] = byte_column as u8 as i8;
                piece.thresholds[at] = byte;
            } else {
                // Its comparison stays one that nothing exceeds.
                self.set_nodes.push(SetNode { piece: index, node: at, rank_column });
            }
        }
    }

    /// Sets the exits of a piece from left to right; those at which other nodes hang.
    fn lead_out(
        &mut self,
        piece: usize,
        tree: &Tree,
        root: u32,
        place: impl Fn(u32) -> u32,
    ) -> Vec<(usize, u32)> {
        let Piece { left_of, n_exits, .. } = &mut self.pieces[piece];
        *n_exits = 0;
        let (mut open, mut below) = (Vec::with_capacity(MAX_EXITS), Vec::new());
        let mut at = Some((Child::Node(root), 0u32));
        while let Some((child, left_nodes)) = at {
            if let Child::Node(node) = child
                && let bit = self.bits[node as usize]
                && bit != NO_BIT
            {
                let node = &tree.nodes[node as usize];
                open.push((node.right, left_nodes));
                at = Some((node.left, left_nodes | 1 << bit));
                continue;
            }
            left_of[*n_exits] = left_nodes;
            match child {
                Child::Leaf(leaf) => self.leads[piece][*n_exits] = place(leaf),
                Child::Node(node) => below.push((*n_exits, node)),
            }
            *n_exits += 1;
            at = open.pop();
        }
        below
    }
}

/// The nodes of a piece: the most visited ones that hang together from the root down.
fn choose(tree: &Tree, root: u32) -> Vec<u32> {
    if root == 0 && tree.nodes.len() <= MAX_NODES {
        return (0..tree.nodes.len() as u32).collect();
    }
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
