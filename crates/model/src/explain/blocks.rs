//! Many rows in blocks of eight, or one row, through all trees.

use segue_dataset::Matrix;

use super::lanes::{F64x8, Lanes};
use super::program::{MAX_GROUP, Program};
use super::registers::Registers;
use super::sweep::Buffers;
use crate::{Ensemble, Tree};

/// Blocks that go through a tree before the next tree: it stays in the nearest cache meanwhile.
const MAX_BLOCKS: usize = 16;
/// Blocks are fewer where rows are so wide that more values than this would lie between two trees.
const MAX_VALUES: usize = 16 * 1024;

/// Sums of the trees' contributions for every row, not yet divided by the number of trees; shape
/// `(n_rows, n_outputs, n_columns)`.
pub(super) fn add_rows(
    registers: Registers,
    ensemble: &Ensemble,
    programs: &[Program],
    rows: &Matrix,
    out: &mut [f64],
) {
    let (n_columns, n_outputs) = (rows.n_columns(), ensemble.n_outputs());
    if n_columns == 0 {
        return;
    }
    let a_block = n_columns * (1 + n_outputs) * F64x8::N;
    let n_blocks = (MAX_VALUES / a_block).clamp(1, MAX_BLOCKS);
    let mut buffers = Buffers::for_programs(programs);
    let mut values = vec![F64x8::splat(0.0); n_blocks * n_columns];
    let mut sums = vec![F64x8::splat(0.0); n_blocks * n_outputs * n_columns];
    let step = n_blocks * F64x8::N;
    for (first, out) in
        (0..rows.n_rows()).step_by(step).zip(out.chunks_mut(step * n_outputs * n_columns))
    {
        let n_rows = step.min(rows.n_rows() - first);
        let n_blocks = n_rows.div_ceil(F64x8::N);
        for (block, values) in values.chunks_mut(n_columns).take(n_blocks).enumerate() {
            for (value, column) in values.iter_mut().zip(rows.columns()) {
                let row = |lane: usize| (first + block * F64x8::N + lane).min(rows.n_rows() - 1);
                *value = F64x8::from_fn(|lane| column[row(lane)]);
            }
        }
        sums.fill(F64x8::splat(0.0));
        let (values, sums) =
            (&values[..n_blocks * n_columns], &mut sums[..n_blocks * n_outputs * n_columns]);
        registers.run(&mut Work {
            ensemble,
            programs,
            n_columns,
            buffers: &mut buffers,
            values,
            sums,
        });
        for (row, out) in out.chunks_mut(n_outputs * n_columns).enumerate() {
            let sums = &sums[row / F64x8::N * n_outputs * n_columns..];
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum.lane(row % F64x8::N));
        }
    }
}

/// The same for one row, shape `(n_outputs, n_columns)`.
pub(super) fn add_row(
    registers: Registers,
    ensemble: &Ensemble,
    programs: &[Program],
    row: &[f64],
    out: &mut [f64],
) {
    let mut buffers = Buffers::<f64>::for_programs(programs);
    let n_columns = row.len();
    if n_columns > 0 {
        let (values, sums) = (row, out);
        registers.run(&mut Work {
            ensemble,
            programs,
            n_columns,
            buffers: &mut buffers,
            values,
            sums,
        });
    }
}

/// Trees and some blocks of rows.
pub(super) struct Work<'a, V> {
    ensemble: &'a Ensemble,
    programs: &'a [Program],
    /// Not 0.
    n_columns: usize,
    buffers: &'a mut Buffers<V>,
    /// Shape `(n_blocks, n_columns)`.
    values: &'a [V],
    /// Shape `(n_blocks, n_outputs, n_columns)`.
    sums: &'a mut [V],
}

impl<V: Lanes> Work<'_, V> {
    /// Inlined everywhere, so that it is compiled for its caller's registers.
    #[inline(always)]
    pub(super) fn run(&mut self) {
        let trees = self.ensemble.trees.iter().zip(&self.ensemble.tree_output);
        for (program, (tree, &output)) in self.programs.iter().zip(trees) {
            match program.group {
                1 => self.tree::<1>(program, tree, output as usize),
                2 => self.tree::<2>(program, tree, output as usize),
                3 => self.tree::<3>(program, tree, output as usize),
                4 => self.tree::<4>(program, tree, output as usize),
                5 => self.tree::<5>(program, tree, output as usize),
                6 => self.tree::<6>(program, tree, output as usize),
                7 => self.tree::<7>(program, tree, output as usize),
                _ => self.tree::<MAX_GROUP>(program, tree, output as usize),
            }
        }
    }

    #[inline(always)]
    fn tree<const Q: usize>(&mut self, program: &Program, tree: &Tree, output: usize) {
        let (n_columns, n_outputs) = (self.n_columns, self.ensemble.n_outputs());
        let width = tree.leaf_width as usize;
        let first = if width == 1 { output } else { 0 };
        let blocks = self.values.chunks(n_columns).zip(self.sums.chunks_mut(n_outputs * n_columns));
        for (values, sums) in blocks {
            self.buffers.ask(program, tree, values);
            for (k, sums) in sums[first * n_columns..].chunks_mut(n_columns).take(width).enumerate()
            {
                self.buffers.add_gradient::<Q>(program, tree, k, sums);
            }
        }
    }
}
