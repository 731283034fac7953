//! One row: all questions of a tree at once, then the leaf whose path agrees with all answers.
//!
//! A tree of at most 31 nodes is one piece. The answers of its nodes are one mask, a bit for each node
//! at which the row goes right. Each leaf knows the nodes that have it on their left: if one of them was
//! answered with right, the row is not in this leaf, and of the leaves for which none was, the first
//! from the left is the row's (the bit vectors of QuickScorer, Lucchese and others 2015, transposed:
//! leaves are lanes and nodes are bits, so that one test of 32 lanes does it all). It needs no walk, does
//! not depend on the depth or balance of the tree, and has no branch that depends on the row. A larger
//! tree is cut into pieces, the most visited nodes first, and an exit of a piece may lead to another.
//!
//! Codes of numbers are looked up in one table for all pieces. Sets of categories are seldom shared and
//! would outgrow it: the answers of all set nodes stand behind each other in the order of the pieces,
//! and the last vector of a piece's table is its window on them.

mod cut;
mod sets;

use super::encoding::{Encoding, Question};
use super::kernels::{Kernel, LANES, Lanes};
use super::leaves::Leaves;
use crate::Ensemble;
use cut::Cutter;
use sets::SetAnswers;

/// Nodes of a piece, at most.
const MAX_NODES: usize = 31;
/// Exits of a piece, at most.
const MAX_EXITS: usize = MAX_NODES + 1;
/// Vectors of the table that columns are looked up in, at most: a column is a byte.
const MAX_TABLE: usize = 4;
/// Marks an exit that leads to a piece; the others are places of values.
const TO_PIECE: u32 = 1 << 31;
/// Trees whose exits are found before their values are added.
const GROUP: usize = 32;

/// Up to 31 nodes that hang together.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub(super) struct Piece {
    /// Column of each node in the table, as the bits of a `u8`.
    pub(super) columns: [i8; MAX_EXITS],
    /// Right iff the code is greater.
    pub(super) thresholds: [i8; MAX_EXITS],
    /// Nodes that have the exit on their left, as bits; exits from left to right.
    pub(super) left_of: [u32; MAX_EXITS],
}

/// Where the exits of a piece lead.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
struct Exits {
    /// A piece, or a place of a value.
    to: [u32; MAX_EXITS],
}

/// All trees in pieces; piece `t` is the top of tree `t`.
#[derive(Debug, Clone)]
pub(super) struct MaskForest {
    pieces: Vec<Piece>,
    exits: Vec<Exits>,
    /// Where each piece's window on the answers of set nodes begins.
    windows: Vec<u32>,
    n_trees: usize,
    /// Vectors of the table: 1, 2 or 4.
    n_table: usize,
    sets: SetAnswers,
    /// Pieces that a row visits, on average over the training rows.
    visits: f64,
}

impl Piece {
    const EMPTY: Self = Self {
        columns: [0; MAX_EXITS],
        thresholds: [i8::MAX; MAX_EXITS],
        left_of: [u32::MAX; MAX_EXITS],
    };
}

impl Exits {
    const EMPTY: Self = Self { to: [0; MAX_EXITS] };
}

impl MaskForest {
    /// `None` if rows have more columns or sets than the tables can hold.
    pub(super) fn new(
        ensemble: &Ensemble,
        questions: &[Question],
        leaves: &Leaves,
        encoding: &Encoding,
    ) -> Option<Self> {
        let n_numbers = encoding.n_number_bytes();
        let has_sets = encoding.n_byte_columns() > n_numbers;
        let n_table = n_numbers.div_ceil(LANES) + usize::from(has_sets);
        let n_table = n_table.max(1 + usize::from(has_sets)).next_power_of_two();
        if n_table > MAX_TABLE {
            return None;
        }
        let n_trees = ensemble.trees.len();
        let mut cutter = Cutter::new(n_trees, leaves, n_numbers, (n_table - 1) * LANES);
        let mut rest = questions;
        for (index, tree) in ensemble.trees.iter().enumerate() {
            let (questions, behind) = rest.split_at(tree.nodes.len());
            rest = behind;
            cutter.cut(index, tree, questions);
        }
        let sets = SetAnswers::new(&cutter.set_nodes, encoding)?;
        let Cutter { pieces, exits, windows, visits, .. } = cutter;
        Some(Self { pieces, exits, windows, n_trees, n_table, sets, visits })
    }

    /// Pieces that a row visits, on average over the training rows.
    pub(super) fn visits(&self) -> f64 {
        self.visits
    }

    /// Adds the values of all trees for a row; `answers` is room that is reused.
    #[inline(always)]
    pub(super) fn add_row<K: Kernel>(
        &self,
        kernel: K,
        encoding: &Encoding,
        leaves: &Leaves,
        row: &[f64],
        answers: &mut Vec<i8>,
        sums: &mut [f64],
    ) {
        let mut table = [Lanes::ZERO; MAX_TABLE];
        encoding.row_number_bytes(kernel, row, &mut table);
        self.sets.answer(encoding, row, answers);
        let row = Row { kernel, forest: self, leaves, answers };
        let has_sets = self.sets.n_nodes() > 0;
        match (self.n_table, has_sets) {
            (1, _) => row.add::<1, false>(table.first_chunk(), sums),
            (2, false) => row.add::<2, false>(table.first_chunk(), sums),
            (2, true) => row.add::<2, true>(table.first_chunk(), sums),
            (_, false) => row.add::<4, false>(table.first_chunk(), sums),
            (_, true) => row.add::<4, true>(table.first_chunk(), sums),
        }
    }
}

/// A row on its way through the trees.
struct Row<'a, K> {
    kernel: K,
    forest: &'a MaskForest,
    leaves: &'a Leaves,
    answers: &'a [i8],
}

impl<K: Kernel> Row<'_, K> {
    #[inline(always)]
    fn add<const N: usize, const WINDOW: bool>(
        &self,
        table: Option<&[Lanes; N]>,
        sums: &mut [f64],
    ) {
        let Some(table) = table else { return };
        let n_trees = self.forest.n_trees;
        let has_links = self.forest.pieces.len() > n_trees;
        let mut exits = [0; GROUP];
        for first in (0..n_trees).step_by(GROUP) {
            let trees = first..n_trees.min(first + GROUP);
            let (tops, last_top) = self.forest.pieces[trees.clone()].as_chunks::<2>();
            let (leads, last_lead) = self.forest.exits[trees.clone()].as_chunks::<2>();
            let (pairs, _) = exits.as_chunks_mut::<2>();
            for (pair, ((top, lead), found)) in tops.iter().zip(leads).zip(&mut *pairs).enumerate()
            {
                let windows = [first + 2 * pair, first + 2 * pair + 1];
                *found = self.exits::<N, WINDOW>(table, windows, top.each_ref(), lead.each_ref());
            }
            if let ([top], [lead]) = (last_top, last_lead) {
                let windows = [trees.end - 1; 2];
                pairs[tops.len()] = self.exits::<N, WINDOW>(table, windows, [top; 2], [lead; 2]);
            }
            let exits = &mut exits[..trees.len()];
            if has_links {
                self.follow::<N, WINDOW>(table, exits);
            }
            self.leaves.add_places(first, exits, sums);
        }
    }

    /// Goes on from exits that lead to pieces until all are places.
    #[inline(always)]
    fn follow<const N: usize, const WINDOW: bool>(&self, table: &[Lanes; N], exits: &mut [u32]) {
        let mut open = [0usize; GROUP + 1];
        loop {
            let mut n_open = 0;
            for (index, &exit) in exits.iter().enumerate() {
                open[n_open] = index;
                n_open += usize::from(exit & TO_PIECE != 0);
            }
            if n_open == 0 {
                return;
            }
            for pair in open[..n_open].chunks(2) {
                let (i, j) = (pair[0], pair[pair.len() - 1]);
                let [a, b] = [exits[i], exits[j]].map(|exit| (exit & !TO_PIECE) as usize);
                let MaskForest { pieces, exits: leads, .. } = self.forest;
                let (both, leads) = ([&pieces[a], &pieces[b]], [&leads[a], &leads[b]]);
                let found = self.exits::<N, WINDOW>(table, [a, b], both, leads);
                [exits[i], exits[j]] = found;
            }
        }
    }

    /// Where two pieces lead.
    #[inline(always)]
    fn exits<const N: usize, const WINDOW: bool>(
        &self,
        table: &[Lanes; N],
        [a, b]: [usize; 2],
        pieces: [&Piece; 2],
        leads: [&Exits; 2],
    ) -> [u32; 2] {
        let window = |piece: usize| {
            if !WINDOW {
                return &Lanes::ZERO.0;
            }
            let from = self.forest.windows[piece] as usize;
            self.answers[from..].first_chunk().unwrap_or(&Lanes::ZERO.0)
        };
        let [at_a, at_b] = self.kernel.exits::<N, WINDOW>(table, [window(a), window(b)], pieces);
        [leads[0].to[at_a as usize % MAX_EXITS], leads[1].to[at_b as usize % MAX_EXITS]]
    }
}
