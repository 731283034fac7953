//! Trees of any size: a walk from node to node over ranks, sixteen walks side by side.
//!
//! A step is a load, a comparison and an addition, and waits for the one before; sixteen at once fill
//! the waiting time. The two children of a node lie next to each other, so that the answer is added to
//! the place of the left one. A leaf asks what is never answered with yes and leads to itself.

use super::encoding::{Encoded, Question};
use super::leaves::{LeafRanks, Leaves};
use crate::courtesy::giving_way;
use crate::{Child, Ensemble, Tree};

/// Walks side by side.
const WALKS: usize = 16;
/// Steps between looks at whether all walks have ended.
const STRIDE: usize = 4;

#[derive(Debug, Clone, Copy)]
struct WalkNode {
    column: u16,
    /// Right iff the rank is greater; a leaf has the largest rank.
    rank: u16,
    /// The left child; the right one is behind it. A leaf: itself.
    left: u32,
}

/// All nodes and leaves of all trees.
#[derive(Debug, Clone)]
pub(super) struct WalkForest {
    nodes: Vec<WalkNode>,
    /// Place of the value of each node that is a leaf.
    places: Vec<u32>,
    roots: Vec<u32>,
}

impl WalkForest {
    /// `None` if there are more nodes than places, or more columns than a node can tell apart.
    pub(super) fn new(
        ensemble: &Ensemble,
        Encoded { encoding, questions, .. }: &Encoded,
        (leaves, ranks): (&Leaves, &LeafRanks),
    ) -> Option<Self> {
        u16::try_from(encoding.n_rank_columns()).ok()?;
        let n_nodes: usize = ensemble.trees.iter().map(|tree| 2 * tree.nodes.len() + 1).sum();
        u32::try_from(n_nodes).ok()?;
        let mut forest = Self {
            nodes: Vec::with_capacity(n_nodes),
            places: Vec::with_capacity(n_nodes),
            roots: Vec::with_capacity(ensemble.trees.len()),
        };
        let mut rest = &questions[..];
        for (index, tree) in giving_way(ensemble.trees.iter().enumerate()) {
            let (questions, behind) = rest.split_at(tree.nodes.len());
            rest = behind;
            let ranks = ranks.of_tree(index);
            forest.push(tree, questions, |leaf| leaves.place(index, ranks[leaf as usize]));
        }
        Some(forest)
    }

    fn push(&mut self, tree: &Tree, questions: &[Question], place: impl Fn(u32) -> u32) {
        self.roots.push(self.nodes.len() as u32);
        let root = if tree.nodes.is_empty() { Child::Leaf(0) } else { Child::Node(0) };
        let mut open = vec![(self.reserve(1), root)];
        while let Some((at, child)) = open.pop() {
            match child {
                Child::Leaf(leaf) => self.places[at as usize] = place(leaf),
                Child::Node(index) => {
                    let node = &tree.nodes[index as usize];
                    let question = questions[index as usize];
                    let left = self.reserve(2);
                    self.nodes[at as usize] =
                        WalkNode { column: question.rank_column as u16, rank: question.rank, left };
                    open.push((left, node.left));
                    open.push((left + 1, node.right));
                }
            }
        }
    }

    /// Places for nodes, leaves until they are filled.
    fn reserve(&mut self, n: u32) -> u32 {
        let first = self.nodes.len() as u32;
        for at in first..first + n {
            self.nodes.push(WalkNode { column: 0, rank: u16::MAX, left: at });
            self.places.push(0);
        }
        first
    }

    /// Adds the values of all trees for one row of ranks.
    #[inline(never)]
    pub(super) fn add_row(&self, leaves: &Leaves, ranks: &[u16], sums: &mut [f64]) {
        for (group, roots) in self.roots.chunks(WALKS).enumerate() {
            let mut at = [self.roots[0]; WALKS];
            at[..roots.len()].copy_from_slice(roots);
            self.walk(&mut at, [ranks; WALKS]);
            let mut places = [0; WALKS];
            for (place, at) in places.iter_mut().zip(at) {
                *place = self.places[at as usize];
            }
            leaves.add_places(group * WALKS, &places[..roots.len()], sums);
        }
    }

    /// The places of a tree's values for rows of ranks, shape `(n_rows, n_rank_columns)`.
    #[inline(never)]
    pub(super) fn find_places(
        &self,
        tree: usize,
        ranks: &[u16],
        n_rank_columns: usize,
        places: &mut [u32],
    ) {
        for (group, places) in places.chunks_mut(WALKS).enumerate() {
            let mut at = [self.roots[tree]; WALKS];
            let row = |walk: usize| {
                let row = group * WALKS + walk.min(places.len() - 1);
                &ranks[row * n_rank_columns..][..n_rank_columns]
            };
            self.walk(&mut at, std::array::from_fn(row));
            for (place, at) in places.iter_mut().zip(at) {
                *place = self.places[at as usize];
            }
        }
    }

    #[inline(always)]
    fn walk(&self, at: &mut [u32; WALKS], ranks: [&[u16]; WALKS]) {
        loop {
            for _ in 0..STRIDE {
                for (at, ranks) in at.iter_mut().zip(ranks) {
                    let node = self.nodes[*at as usize];
                    let right = ranks[usize::from(node.column)] > node.rank;
                    *at = node.left + u32::from(right);
                }
            }
            let ended = |&at: &u32| self.nodes[at as usize].left == at;
            if at.iter().all(ended) {
                return;
            }
        }
    }
}
