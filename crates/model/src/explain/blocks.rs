//! Many rows in blocks of eight, or one row, through all trees.

use segue_dataset::Matrix;

use super::layout::{ByPoints, ByRows};
use super::program::Program;
use super::registers::Task;
use super::simd::{LANES, Simd};
use super::sweep::{Answers, add_gradient, most_nodes};
use crate::{Ensemble, Tree};

/// Blocks that go through a tree before the next tree: it stays in the nearest cache meanwhile.
const MAX_BLOCKS: usize = 16;
/// Blocks are fewer where rows are so wide that more values than this would lie between two trees.
const MAX_VALUES: usize = 16 * 1024;

/// Sums of the trees' contributions, not yet divided by the number of trees, for every row.
pub(super) struct OfRows<'a> {
    pub(super) ensemble: &'a Ensemble,
    pub(super) programs: &'a [Program],
    pub(super) rows: &'a Matrix,
    /// Zeros, shape `(n_rows, n_outputs, n_columns)`.
    pub(super) out: &'a mut [f64],
}

/// The same for one row.
pub(super) struct OfRow<'a> {
    pub(super) ensemble: &'a Ensemble,
    pub(super) programs: &'a [Program],
    pub(super) row: &'a [f64],
    /// Zeros, shape `(n_outputs, n_columns)`.
    pub(super) out: &'a mut [f64],
}

impl Task for OfRows<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { ensemble, programs, rows, out } = self;
        let (n_columns, n_outputs) = (rows.n_columns(), ensemble.n_outputs());
        if n_columns == 0 {
            return;
        }
        let in_block = n_columns * (1 + n_outputs) * LANES;
        let n_blocks = (MAX_VALUES / in_block).clamp(1, MAX_BLOCKS);
        let zero = S::splat(0.0);
        let mut blocks = Blocks {
            n_columns,
            n_outputs,
            values: vec![zero; n_blocks * n_columns],
            sums: vec![zero; n_blocks * n_outputs * n_columns],
            answers: Answers::for_programs(programs, zero),
            room: vec![zero; most_nodes(programs) * LANES],
        };
        let out_of_row = n_outputs * n_columns;
        for (nth, out) in out.chunks_mut(n_blocks * LANES * out_of_row).enumerate() {
            let n_rows = out.len() / out_of_row;
            blocks.fill(rows, nth * n_blocks * LANES, n_rows);
            for (program, (tree, &output)) in programs.iter().zip(ensemble.numbered_trees()) {
                blocks.add(program, tree, output as usize, n_rows.div_ceil(LANES));
            }
            for (row, out) in out.chunks_mut(out_of_row).enumerate() {
                let sums = &blocks.sums[row / LANES * out_of_row..];
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out = sum.values()[row % LANES];
                }
            }
        }
    }
}

impl Task for OfRow<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { ensemble, programs, row, out } = self;
        let n_columns = row.len();
        let mut answers = Answers::for_programs(programs, 0.0);
        let mut room = vec![S::splat(0.0); most_nodes(programs)];
        for (program, (tree, &output)) in programs.iter().zip(ensemble.numbered_trees()) {
            answers.ask::<ByPoints<S>>(program, tree, row);
            for (k, output) in tree.outputs(output as usize).enumerate() {
                let out = &mut out[output * n_columns..][..n_columns];
                add_gradient::<ByPoints<S>>(program, tree, k, &answers.pull, &mut room, out);
            }
        }
    }
}

/// Some blocks of rows, and what they have gathered so far.
struct Blocks<S> {
    /// Not 0.
    n_columns: usize,
    n_outputs: usize,
    /// Shape `(n_blocks, n_columns)`.
    values: Vec<S>,
    /// Shape `(n_blocks, n_outputs, n_columns)`.
    sums: Vec<S>,
    answers: Answers<S>,
    room: Vec<S>,
}

impl<S: Simd> Blocks<S> {
    /// Takes rows from `first` on, at least one; the last fills what the last block lacks.
    #[inline(always)]
    fn fill(&mut self, rows: &Matrix, first: usize, n_rows: usize) {
        for (block, values) in self.values.chunks_mut(self.n_columns).enumerate() {
            for (value, column) in values.iter_mut().zip(rows.columns()) {
                let row = |lane: usize| first + (block * LANES + lane).min(n_rows - 1);
                *value = S::load(&std::array::from_fn(|lane| column[row(lane)]));
            }
        }
        self.sums.fill(S::splat(0.0));
    }

    #[inline(always)]
    fn add(&mut self, program: &Program, tree: &Tree, output: usize, n_blocks: usize) {
        match program.group {
            1 => self.add_by_group::<1>(program, tree, output, n_blocks),
            2 => self.add_by_group::<2>(program, tree, output, n_blocks),
            3 => self.add_by_group::<3>(program, tree, output, n_blocks),
            4 => self.add_by_group::<4>(program, tree, output, n_blocks),
            5 => self.add_by_group::<5>(program, tree, output, n_blocks),
            6 => self.add_by_group::<6>(program, tree, output, n_blocks),
            7 => self.add_by_group::<7>(program, tree, output, n_blocks),
            _ => self.add_by_group::<LANES>(program, tree, output, n_blocks),
        }
    }

    #[inline(always)]
    fn add_by_group<const Q: usize>(
        &mut self,
        program: &Program,
        tree: &Tree,
        output: usize,
        n_blocks: usize,
    ) {
        let Self { n_columns, n_outputs, ref values, ref mut sums, .. } = *self;
        let room = self.room.as_chunks_mut::<Q>().0;
        let blocks = values.chunks(n_columns).zip(sums.chunks_mut(n_outputs * n_columns));
        for (values, sums) in blocks.take(n_blocks) {
            self.answers.ask::<ByRows<S, Q>>(program, tree, values);
            for (k, output) in tree.outputs(output).enumerate() {
                let out = &mut sums[output * n_columns..][..n_columns];
                add_gradient::<ByRows<S, Q>>(program, tree, k, &self.answers.pull, room, out);
            }
        }
    }
}
