//! One row: all questions of a tree at once, then the leaf whose path agrees with all answers.
//!
//! A tree of at most 31 nodes is one piece. The answers of its nodes are one mask, a bit for each node
//! at which the row goes right. Each leaf knows the nodes that have it on their left: if one of them was
//! answered with right, the row is not in this leaf, and of the leaves for which none was, the first
//! from the left is the row's (the bit vectors of QuickScorer, Lucchese and others 2015, transposed:
//! leaves in turn, and sixteen trees side by side). It needs no walk, does not depend on the depth or
//! balance of the tree, and has no branch that depends on the row. A larger tree is cut into pieces, the
//! most visited nodes first, and an exit of a piece may lead to another; all pieces are answered, and
//! the row's way through them is followed afterwards.
//!
//! Codes of numbers are looked up in one table for all pieces. Sets of categories are seldom shared and
//! would outgrow it: what a category answers to all sets of a piece is one mask, known beforehand, and
//! the masks of a row's categories are joined with that of its numbers.

mod cut;
mod sets;

use super::encoding::{Encoded, Encoding, RowNumbers};
use super::kernels::{Kernel, LANES, Lanes, prefetch};
use super::leaves::{LeafRanks, Leaves};
use crate::Ensemble;
use crate::courtesy::giving_way;
use cut::{Cutter, Piece, Way};
use sets::SetAnswers;

/// Nodes of a piece, at most.
const MAX_NODES: usize = 31;
/// Exits of a piece, at most.
const MAX_EXITS: usize = MAX_NODES + 1;
/// Pieces side by side.
const GROUP: usize = 16;
/// Pieces whose nodes share a vector, in the bits of a word.
const PAIR: usize = LANES / MAX_EXITS;
const PAIRS: usize = GROUP / PAIR;
/// Marks an exit that leads to a piece; the others are places of values.
const TO_PIECE: u32 = 1 << 31;

/// Answers of a group's pieces, a bit a node that is answered with right.
type Answers = [u64; PAIRS];

/// Sixteen pieces.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
struct Group {
    /// Column of each node in the table, as the bits of a `u8`.
    columns: [Lanes; PAIRS],
    /// Right iff the code is greater.
    thresholds: [Lanes; PAIRS],
    /// For each exit but the last, from right to left, and each piece, the nodes that have the exit on
    /// their left, as bits.
    left_of: [[u32; GROUP]; MAX_NODES],
    /// Of the piece that has most.
    n_exits: usize,
}

/// All trees in pieces, the pieces of a tree one after another.
#[derive(Debug, Clone)]
pub(super) struct MaskForest {
    groups: Vec<Group>,
    trees: Ways,
    numbers: RowNumbers,
    sets: SetAnswers,
    n_pieces: usize,
}

/// From the exits of pieces to places of values.
#[derive(Debug, Clone)]
enum Ways {
    /// Each tree is a piece, whose exits are its leaves: the place of the first.
    Direct(Vec<u32>),
    Linked {
        trees: Vec<Way>,
        leads: Vec<[u32; MAX_EXITS]>,
    },
}

/// Room for a row.
#[derive(Debug, Clone, Default)]
pub(super) struct MaskRoom {
    of_sets: Vec<Answers>,
    answers: Vec<Answers>,
    exits: Vec<[u32; GROUP]>,
    picked: Vec<f64>,
}

impl Group {
    fn of(pieces: &[Piece]) -> Self {
        let mut group = Self {
            columns: [Lanes::ZERO; PAIRS],
            thresholds: [Lanes([i8::MAX; LANES]); PAIRS],
            left_of: [[0; GROUP]; MAX_NODES],
            n_exits: pieces.iter().map(|piece| piece.n_exits).max().unwrap_or(1),
        };
        for (at, piece) in pieces.iter().enumerate() {
            let lanes = at % PAIR * MAX_EXITS..(at % PAIR + 1) * MAX_EXITS;
            group.columns[at / PAIR].0[lanes.clone()].copy_from_slice(&piece.columns);
            group.thresholds[at / PAIR].0[lanes].copy_from_slice(&piece.thresholds);
            for (exit, &left_of) in piece.left_of[..group.n_exits - 1].iter().enumerate() {
                group.left_of[group.n_exits - 2 - exit][at] = left_of;
            }
        }
        group
    }
}

impl MaskForest {
    /// `None` if rows have more columns or sets than the tables can hold.
    pub(super) fn new(
        ensemble: &Ensemble,
        encoded: &Encoded,
        (leaves, ranks): (&Leaves, &LeafRanks),
    ) -> Option<Self> {
        let Encoded { encoding, questions, .. } = encoded;
        let numbers = encoding.of_row()?;
        let mut cutter = Cutter::new(encoding.n_number_bytes());
        let mut rest = &questions[..];
        for (index, tree) in giving_way(ensemble.trees.iter().enumerate()) {
            let (questions, behind) = rest.split_at(tree.nodes.len());
            rest = behind;
            let ranks = ranks.of_tree(index);
            cutter.cut(tree, questions, |leaf| leaves.place(index, ranks[leaf as usize]));
        }
        let Cutter { pieces, leads, trees, set_nodes, .. } = cutter;
        let groups: Vec<Group> = pieces.chunks(GROUP).map(Group::of).collect();
        let sets = SetAnswers::new(groups.len(), &set_nodes, encoded)?;
        let n_pieces = pieces.len();
        let trees = if n_pieces == trees.len() {
            Ways::Direct((0..n_pieces).map(|tree| leaves.place(tree, 0)).collect())
        } else {
            Ways::Linked { trees, leads }
        };
        Some(Self { groups, trees, numbers, sets, n_pieces })
    }

    /// Pieces of all trees; a row is asked the questions of all.
    pub(super) fn n_pieces(&self) -> usize {
        self.n_pieces
    }

    /// Adds the values of all trees for a row; `room` is reused.
    #[inline(always)]
    pub(super) fn add_row<K: Kernel>(
        &self,
        kernel: K,
        encoding: &Encoding,
        leaves: &Leaves,
        row: &[f64],
        room: &mut MaskRoom,
        sums: &mut [f64],
    ) {
        prefetch(row);
        self.sets.answer(encoding, row, &mut room.of_sets);
        room.answers.resize(self.groups.len(), [0; PAIRS]);
        room.exits.resize(self.groups.len(), [0; GROUP]);
        match self.numbers.n_vectors() {
            1 => self.add_by_codes::<K, 1>(kernel, leaves, row, room, sums),
            2 => self.add_by_codes::<K, 2>(kernel, leaves, row, room, sums),
            _ => self.add_by_codes::<K, 4>(kernel, leaves, row, room, sums),
        }
    }

    #[inline(always)]
    fn add_by_codes<K: Kernel, const N: usize>(
        &self,
        kernel: K,
        leaves: &Leaves,
        row: &[f64],
        room: &mut MaskRoom,
        sums: &mut [f64],
    ) {
        let MaskRoom { of_sets, answers, exits, picked } = room;
        let table: [Lanes; N] = self.numbers.codes(kernel, self.numbers.pick(row, picked));
        // All groups before the first exit: answers are stored as words and read as vectors, which wait
        // until the words have arrived.
        for ((group, of_sets), answers) in self.groups.iter().zip(of_sets).zip(&mut *answers) {
            group.ask(kernel, &table, of_sets, answers);
        }
        let groups = self.groups.iter().zip(&*answers).zip(&mut *exits);
        for (at, ((group, answers), exits)) in groups.enumerate() {
            kernel.exits(answers, &group.left_of[..group.n_exits.min(MAX_EXITS) - 1], exits);
            if let Ways::Direct(places) = &self.trees {
                let first = &places[at * GROUP..];
                exits.iter_mut().zip(first).for_each(|(exit, first)| *exit += first);
                leaves.add_places(at * GROUP, &exits[..first.len().min(GROUP)], sums);
            }
        }
        if let Ways::Linked { trees, leads } = &self.trees {
            follow(trees, leads, leaves, exits.as_flattened(), sums);
        }
    }
}

impl Group {
    /// Answers the questions about numbers, by their codes, and joins the answers to those about sets.
    #[inline(always)]
    fn ask<K: Kernel, const N: usize>(
        &self,
        kernel: K,
        table: &[Lanes; N],
        of_sets: &Answers,
        answers: &mut Answers,
    ) {
        let questions = self.columns.iter().zip(&self.thresholds);
        for (((columns, thresholds), of_sets), answers) in questions.zip(of_sets).zip(answers) {
            *answers = kernel.greater(table, columns, thresholds) | of_sets;
        }
    }
}

/// Adds the values that the ways through the pieces of each tree lead to.
#[inline(always)]
fn follow(
    trees: &[Way],
    leads: &[[u32; MAX_EXITS]],
    leaves: &Leaves,
    exits: &[u32],
    sums: &mut [f64],
) {
    let mut places = [0; GROUP];
    for (group, trees) in trees.chunks(GROUP).enumerate() {
        for (place, &Way { top, n_steps }) in places.iter_mut().zip(trees) {
            let mut to = top | TO_PIECE;
            // As many steps as the longest way has, so that no branch depends on the row.
            for _ in 0..n_steps {
                let piece = (to & !TO_PIECE) as usize;
                let is_piece = to & TO_PIECE != 0;
                let piece = if is_piece { piece } else { 0 };
                let next = leads[piece][exits[piece] as usize % MAX_EXITS];
                to = if is_piece { next } else { to };
            }
            *place = to;
        }
        leaves.add_places(group * GROUP, &places[..trees.len()], sums);
    }
}
