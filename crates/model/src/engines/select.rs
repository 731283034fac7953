//! Blocks of rows: every node chooses, for 64 rows at a time, between the leaves of its two sides.
//!
//! From the bottom up, a node compares the codes of its column with its threshold and blends the leaf
//! indices that its children chose: one comparison and one blend for 64 rows, whatever way they go.
//! Nothing depends on the data, so nothing is mispredicted, and the cost is the number of nodes, not
//! the depth. The root's choice is the leaf of each row.

#![allow(unsafe_code, reason = "places that the compiled steps keep within the work")]

use super::encoding::{ByteColumn, Question};
use super::kernels::{self, Kernel, LANES, Lanes};
use crate::{Child, Tree};

/// Leaves that a byte can tell apart.
pub(super) const MAX_LEAVES: usize = 256;
/// Choices that wait for their parent, at most: a tree of 256 leaves needs no more than 9.
const MAX_WAITING: usize = 9;
/// Vectors of a choice, at most.
const MAX_VECTORS: usize = 4;
/// Vectors of the work: leaf indices, then waiting choices.
const WORK: usize = MAX_LEAVES + MAX_WAITING * MAX_VECTORS;

/// What a node chooses from, in bytes of the work.
#[derive(Debug, Clone, Copy)]
struct Operand {
    /// Place of the first vector.
    place: u16,
    /// A leaf: 0, the same for all rows. A choice: a vector, one for each 64 rows.
    stride: u16,
}

/// One node.
#[derive(Debug, Clone, Copy)]
struct Step {
    left: Operand,
    right: Operand,
    column: u16,
    /// Where the choice waits, in bytes of the work.
    out: u16,
    /// The bits of the codes that count, and what they are greater than to go right.
    mask: i8,
    threshold: i8,
}

/// The nodes of all trees that have few enough leaves, children before parents.
#[derive(Debug, Clone, Default)]
pub(super) struct SelectForest {
    steps: Vec<Step>,
    /// Steps of each tree: from the one before's end to here.
    ends: Vec<usize>,
    taken: Vec<bool>,
    n_taken: usize,
}

/// Leaf indices, each in a vector of its own, then waiting choices.
#[derive(Debug, Clone, Default)]
pub(super) struct Work(Vec<Lanes>);

impl Work {
    pub(super) fn fit(&mut self) {
        if self.0.is_empty() {
            self.0.extend((0..=u8::MAX).map(|leaf| Lanes([leaf as i8; LANES])));
            self.0.resize(WORK, Lanes::ZERO);
        }
    }
}

impl SelectForest {
    /// Whether a tree has few enough leaves.
    pub(super) fn takes(tree: &Tree) -> bool {
        tree.n_leaves() <= MAX_LEAVES
    }

    /// Adds the next tree, or leaves it out; `ranks` are what its leaves are known by.
    pub(super) fn push(&mut self, tree: Option<&Tree>, ranks: &[u32], questions: &[Question]) {
        if let Some(tree) = tree {
            self.n_taken += 1;
            self.push_steps(tree, ranks, questions);
        }
        self.taken.push(tree.is_some());
        self.ends.push(self.steps.len());
    }

    /// Whether a tree was not left out.
    #[inline(always)]
    pub(super) fn has(&self, tree: usize) -> bool {
        self.taken[tree]
    }

    pub(super) fn takes_all(&self) -> bool {
        self.n_taken == self.taken.len()
    }

    pub(super) fn takes_some(&self) -> bool {
        self.n_taken > 0 || self.taken.is_empty()
    }

    fn push_steps(&mut self, tree: &Tree, ranks: &[u32], questions: &[Question]) {
        if tree.nodes.is_empty() {
            return;
        }
        let waiting = waiting(tree);
        // A node and where its choice is to wait; below is set once its children are done.
        let mut open = vec![(0u32, 0u8, false)];
        while let Some((index, out, below)) = open.pop() {
            let node = &tree.nodes[index as usize];
            let need = |child| match child {
                Child::Node(node) => waiting[node as usize],
                Child::Leaf(_) => 0,
            };
            let (left, right) = (need(node.left), need(node.right));
            let both = left > 0 && right > 0;
            let left_out = out + u8::from(both && left < right);
            let right_out = out + u8::from(both && left >= right);
            if below {
                let question = questions[index as usize];
                self.steps.push(Step {
                    left: Operand::of(node.left, ranks, left_out),
                    right: Operand::of(node.right, ranks, right_out),
                    column: question.byte_column,
                    mask: question.mask,
                    threshold: question.byte,
                    out: Operand::waiting(out).place,
                });
                continue;
            }
            open.push((index, out, true));
            let (left, right) = ((node.left, left_out), (node.right, right_out));
            // The last is done first: the one that needs more room, while nothing waits yet.
            let children = if left_out == out { [right, left] } else { [left, right] };
            for (child, out) in children {
                if let Child::Node(child) = child {
                    open.push((child, out, false));
                }
            }
        }
    }

    /// The leaf of each row in a tree, from its codes.
    #[inline(always)]
    pub(super) fn leaves<K: Kernel, const V: usize>(
        &self,
        kernel: K,
        tree: usize,
        bytes: &[ByteColumn<V>],
        work: &mut Work,
    ) -> [Lanes; V] {
        let from = if tree == 0 { 0 } else { self.ends[tree - 1] };
        let steps = &self.steps[from..self.ends[tree]];
        if steps.is_empty() {
            return [Lanes::ZERO; V];
        }
        assert!(V <= MAX_VECTORS && work.0.len() == WORK, "work must fit");
        let lanes = work.0.as_mut_ptr();
        let operand = |of: Operand| kernels::Operand {
            // SAFETY: `Operand` makes no place beyond the work.
            first: unsafe { lanes.byte_add(usize::from(of.place)) },
            stride: usize::from(of.stride),
        };
        for &step in steps {
            let codes = &bytes[usize::from(step.column)];
            let operands = [operand(step.left), operand(step.right)];
            // SAFETY: `Operand` makes no place beyond the work.
            let out = unsafe { lanes.byte_add(usize::from(step.out)) };
            // SAFETY: a leaf is one vector with stride 0, a choice is `MAX_VECTORS` of them.
            unsafe { kernel.select(codes, (step.mask, step.threshold), operands, out) };
        }
        let lanes = &work.0;
        let mut index = [Lanes::ZERO; V];
        index.copy_from_slice(&lanes[MAX_LEAVES..MAX_LEAVES + V]);
        index
    }
}

impl Operand {
    fn of(child: Child, ranks: &[u32], out: u8) -> Self {
        match child {
            Child::Leaf(leaf) => {
                Self { place: ranks[leaf as usize] as u16 * LANES as u16, stride: 0 }
            }
            Child::Node(_) => Self::waiting(out),
        }
    }

    fn waiting(out: u8) -> Self {
        let place = MAX_LEAVES + usize::from(out) * MAX_VECTORS;
        Self { place: (place * LANES) as u16, stride: LANES as u16 }
    }
}

/// Choices that wait at once while a node is worked out (Sethi and Ullman 1970).
fn waiting(tree: &Tree) -> Vec<u8> {
    let mut waiting = vec![0u8; tree.nodes.len()];
    for (index, node) in tree.nodes.iter().enumerate().rev() {
        let of = |child| match child {
            Child::Node(node) => waiting[node as usize],
            Child::Leaf(_) => 0,
        };
        let (left, right) = (of(node.left), of(node.right));
        waiting[index] = if left == right && left > 0 { left + 1 } else { left.max(right).max(1) };
    }
    waiting
}
