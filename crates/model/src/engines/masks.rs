//! One row: all questions of a tree at once, then the leaf whose path agrees with all answers.
//!
//! A tree of at most 31 nodes is one piece. The answers of its nodes are one mask; each leaf knows the
//! nodes on its path and the answers that it wants of them, and one comparison of 32 lanes finds the
//! only leaf that is content. It needs no walk, does not depend on the depth or balance of the tree,
//! and has no branch that depends on the row. A larger tree is cut into pieces, the most visited nodes
//! first, and an exit of a piece may lead to another piece.
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
    /// Nodes on the path to each exit, as bits.
    pub(super) path: [u32; MAX_EXITS],
    /// Those of them at which the path goes right; no answer is like it where there is no exit.
    pub(super) want: [u32; MAX_EXITS],
    /// A piece, or a place of a value.
    exits: [u32; MAX_EXITS],
    /// Where its window on the answers of set nodes begins.
    window: u32,
}

impl Piece {
    const EMPTY: Self = Self {
        columns: [0; MAX_EXITS],
        thresholds: [i8::MAX; MAX_EXITS],
        path: [0; MAX_EXITS],
        want: [u32::MAX; MAX_EXITS],
        exits: [0; MAX_EXITS],
        window: 0,
    };
}

/// All trees in pieces; piece `t` is the top of tree `t`.
#[derive(Debug, Clone)]
pub(super) struct MaskForest {
    pieces: Vec<Piece>,
    n_trees: usize,
    /// Vectors of the table: 1, 2 or 4.
    n_table: usize,
    sets: SetAnswers,
    /// Pieces that a row visits, on average over the training rows.
    visits: f64,
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
        Some(Self { pieces: cutter.pieces, n_trees, n_table, sets, visits: cutter.visits })
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
        let row = Row { kernel, leaves, answers };
        let has_sets = self.sets.n_nodes() > 0;
        match (self.n_table, has_sets) {
            (1, _) => self.add::<K, 1, false>(&row, table.first_chunk(), sums),
            (2, false) => self.add::<K, 2, false>(&row, table.first_chunk(), sums),
            (2, true) => self.add::<K, 2, true>(&row, table.first_chunk(), sums),
            (_, false) => self.add::<K, 4, false>(&row, table.first_chunk(), sums),
            (_, true) => self.add::<K, 4, true>(&row, table.first_chunk(), sums),
        }
    }

    #[inline(always)]
    fn add<K: Kernel, const N: usize, const WINDOW: bool>(
        &self,
        row: &Row<'_, K>,
        table: Option<&[Lanes; N]>,
        sums: &mut [f64],
    ) {
        let Some(table) = table else { return };
        let has_links = self.pieces.len() > self.n_trees;
        let mut exits = [0; GROUP];
        for (group, tops) in self.pieces[..self.n_trees].chunks(GROUP).enumerate() {
            for (pair, exits) in tops.chunks(2).zip(exits.chunks_exact_mut(2)) {
                let found = row.exits::<N, WINDOW>(table, [&pair[0], &pair[pair.len() - 1]]);
                exits.copy_from_slice(&found);
            }
            let exits = &mut exits[..tops.len()];
            if has_links {
                self.follow::<K, N, WINDOW>(row, table, exits);
            }
            row.leaves.add_places(group * GROUP, exits, sums);
        }
    }

    /// Goes on from exits that lead to pieces until all are places.
    #[inline(always)]
    fn follow<K: Kernel, const N: usize, const WINDOW: bool>(
        &self,
        row: &Row<'_, K>,
        table: &[Lanes; N],
        exits: &mut [u32],
    ) {
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
                let piece = |exit: u32| &self.pieces[(exit & !TO_PIECE) as usize];
                let found = row.exits::<N, WINDOW>(table, [piece(exits[i]), piece(exits[j])]);
                [exits[i], exits[j]] = found;
            }
        }
    }
}

/// What all pieces share while a row is scored.
struct Row<'a, K> {
    kernel: K,
    leaves: &'a Leaves,
    answers: &'a [i8],
}

impl<K: Kernel> Row<'_, K> {
    #[inline(always)]
    fn exits<const N: usize, const WINDOW: bool>(
        &self,
        table: &[Lanes; N],
        pieces: [&Piece; 2],
    ) -> [u32; 2] {
        let window = |piece: &Piece| {
            if !WINDOW {
                return &Lanes::ZERO.0;
            }
            self.answers[piece.window as usize..].first_chunk().unwrap_or(&Lanes::ZERO.0)
        };
        let windows = [window(pieces[0]), window(pieces[1])];
        let [a, b] = self.kernel.exits::<N, WINDOW>(table, windows, pieces);
        [pieces[0].exits[a as usize % MAX_EXITS], pieces[1].exits[b as usize % MAX_EXITS]]
    }
}
