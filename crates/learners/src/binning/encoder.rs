//! From the values of one column to byte codes, a block at a time.
//!
//! Searching 254 cuts takes eight steps, each of which waits for the one before. A grid needs none: the
//! cell of a value says how many cuts lie in lower cells, and only the cuts of its own cell, one or two, are
//! compared with it. Cells are of equal width, or of equal width in the order-preserving bits
//! of a float (about logarithmic), whichever leaves fewer cuts in the fullest cell.

use super::{ColumnBins, MISSING_CODE};

/// Values coded together; a block and its cells stay in the first-level cache.
pub(super) const BLOCK_ROWS: usize = 1024;
/// Cells of a grid: their counts fill an eighth of the first-level cache.
const N_CELLS: usize = 4096;
/// Cuts in one cell that are compared one by one; more are searched by halving.
const MAX_COMPARED: usize = 4;
/// Room for all cuts and the comparisons behind the last.
const PADDED_CUTS: usize = 256 + MAX_COMPARED;

/// A column's coder.
pub(super) enum Encoder<'a> {
    Number(Box<Grid>),
    Category(&'a ColumnBins),
}

impl<'a> Encoder<'a> {
    pub(super) fn new(column: &'a ColumnBins) -> Self {
        match column {
            ColumnBins::Number { cuts } => Self::Number(Box::new(Grid::new(cuts))),
            ColumnBins::Category { .. } => Self::Category(column),
        }
    }

    /// Adds each value's code times `factor` to its state. At most [`BLOCK_ROWS`] values.
    pub(super) fn add_codes(&self, values: &[f64], factor: u8, states: &mut [u8]) {
        match self {
            Self::Number(grid) => grid.add_codes(values, factor, states),
            Self::Category(column) => {
                let pairs = states.iter_mut().zip(values);
                pairs.for_each(|(state, &value)| *state += column.code(value) * factor);
            }
        }
    }
}

/// How a value finds its cell. Larger values never have a lower cell.
#[derive(Debug, Clone, Copy)]
enum Scale {
    /// Cells of equal width from `low` on.
    Linear { low: f64, cells_per_unit: f64 },
    /// Cells of `1 << shift` neighbouring floats from the float with the key `low` on.
    Bits { low: i64, shift: u32 },
}

impl Scale {
    fn linear(cuts: &[f64]) -> Self {
        let (low, high) = ends(cuts);
        let cells_per_unit = (N_CELLS - 1) as f64 / (high - low);
        // Cuts so near to each other or so far apart that the width is no ordinary number share a cell.
        let cells_per_unit = if cells_per_unit.is_normal() { cells_per_unit } else { 0.0 };
        Self::Linear { low, cells_per_unit }
    }

    fn bits(cuts: &[f64]) -> Self {
        let (low, high) = ends(cuts);
        let span = key(high).abs_diff(key(low));
        let shift = (u64::BITS - span.leading_zeros()).saturating_sub(N_CELLS.ilog2());
        Self::Bits { low: key(low), shift }
    }

    /// The cells of a block of values. That of NaN may be any.
    fn cells(self, values: &[f64], cells: &mut [u16; BLOCK_ROWS]) {
        match self {
            Self::Linear { low, cells_per_unit } => {
                linear_cells(values, low, cells_per_unit, cells);
            }
            Self::Bits { low, shift } => bit_cells(values, low, shift, cells),
        }
    }

    fn cell(self, value: f64) -> usize {
        let mut cells = [0; BLOCK_ROWS];
        self.cells(&[value], &mut cells);
        usize::from(cells[0])
    }
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
fn linear_cells(values: &[f64], low: f64, cells_per_unit: f64, cells: &mut [u16; BLOCK_ROWS]) {
    // Added to a number from 0 to N_CELLS, it leaves the rounded number in the low bits.
    const TO_LOW_BITS: f64 = (1u64 << 52) as f64;
    for (cell, &value) in cells.iter_mut().zip(values) {
        let place = ((value - low) * cells_per_unit).max(0.0).min((N_CELLS - 1) as f64);
        *cell = (place + TO_LOW_BITS).to_bits() as u16;
    }
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
fn bit_cells(values: &[f64], low: i64, shift: u32, cells: &mut [u16; BLOCK_ROWS]) {
    for (cell, &value) in cells.iter_mut().zip(values) {
        // Below the lowest cut all are in its cell; above it the distance is a `u64` in any case.
        let place = (key(value).max(low).wrapping_sub(low) as u64) >> shift;
        *cell = place.min(N_CELLS as u64 - 1) as u16;
    }
}

/// An integer that orders as the value does; both zeros have the same.
#[inline(always)]
fn key(value: f64) -> i64 {
    let bits = (value + 0.0).to_bits() as i64;
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

fn ends(cuts: &[f64]) -> (f64, f64) {
    (cuts.first().copied().unwrap_or(0.0), cuts.last().copied().unwrap_or(0.0))
}

/// The cuts of a number, sorted into cells.
pub(super) struct Grid {
    scale: Scale,
    /// Cuts in lower cells, by cell.
    below: [u8; N_CELLS],
    /// Ascending, then infinities.
    cuts: [f64; PADDED_CUTS],
    /// Cuts in the fullest cell.
    n_compared: usize,
}

impl Grid {
    fn new(cuts: &[f64]) -> Self {
        let linear = Self::over(Scale::linear(cuts), cuts);
        let bits = Self::over(Scale::bits(cuts), cuts);
        if linear.n_compared <= bits.n_compared { linear } else { bits }
    }

    fn over(scale: Scale, cuts: &[f64]) -> Self {
        let mut n_cuts = [0usize; N_CELLS];
        cuts.iter().for_each(|&cut| n_cuts[scale.cell(cut)] += 1);
        let mut n_below = 0;
        let below = n_cuts.map(|n| {
            let before = n_below;
            n_below += n;
            before as u8
        });
        let mut padded = [f64::INFINITY; PADDED_CUTS];
        padded[..cuts.len()].copy_from_slice(cuts);
        let n_compared = n_cuts.into_iter().max().unwrap_or(0);
        Self { scale, below, cuts: padded, n_compared }
    }

    fn add_codes(&self, values: &[f64], factor: u8, states: &mut [u8]) {
        match self.n_compared {
            0 | 1 => self.compare::<1>(values, factor, states),
            2 => self.compare::<2>(values, factor, states),
            3..=MAX_COMPARED => self.compare::<MAX_COMPARED>(values, factor, states),
            _ => {
                let pairs = states.iter_mut().zip(values);
                pairs.for_each(|(state, &value)| *state += self.search(value) * factor);
            }
        }
    }

    /// Codes by cell and comparison with the `N` cuts from the cell's first on: those behind the cell
    /// are above the value.
    fn compare<const N: usize>(&self, values: &[f64], factor: u8, states: &mut [u8]) {
        let mut cells = [0; BLOCK_ROWS];
        self.scale.cells(values, &mut cells);
        for ((state, &value), cell) in states.iter_mut().zip(values).zip(cells) {
            let below = self.below[usize::from(cell) % N_CELLS];
            let near: u8 =
                (0..N).map(|at| u8::from(self.cuts[usize::from(below) + at] < value)).sum();
            *state += code(below + near, value) * factor;
        }
    }

    /// The code by eight halvings, without a branch.
    fn search(&self, value: f64) -> u8 {
        let mut below = 0usize;
        for step in [128, 64, 32, 16, 8, 4, 2, 1] {
            below += step * usize::from(self.cuts[below + step - 1] < value);
        }
        code(below as u8, value)
    }
}

/// The code of a value above `n_below` cuts.
#[inline(always)]
fn code(n_below: u8, value: f64) -> u8 {
    if value.is_nan() { MISSING_CODE } else { n_below + 1 }
}
