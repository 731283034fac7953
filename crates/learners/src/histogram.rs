//! Sums of gradients by column and code, in integers.
//!
//! Gradients are scaled to integers once a round, so that sums are exact: they are the same in any
//! order, on any number of threads, and a sibling's histogram is the parent's minus the other child's.

use rayon::prelude::*;

use crate::CodeMatrix;

/// Cells of a column. More than 256 so that the bytes between two columns are an odd number of cache
/// lines (65): at a power of two, code 0 of all columns would compete for one cache set.
const COLUMN_CELLS: usize = 260;
/// Low bits of [`Cell::hessian_rows`] that count rows.
const ROW_BITS: u32 = 28;
/// Rows from which a histogram is built on several threads.
const PARALLEL_ROWS: usize = 16_384;

/// What a histogram sums: gradient, second derivative and number of rows, as integers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    gradient: i64,
    /// Second derivative in the high 36 bits, rows in the low 28.
    hessian_rows: u64,
}

impl Cell {
    /// One row.
    pub(crate) fn of_row(gradient: i64, hessian: u64) -> Self {
        Self { gradient, hessian_rows: hessian << ROW_BITS | 1 }
    }

    #[inline]
    pub(crate) fn add(&mut self, other: Self) {
        self.gradient = self.gradient.wrapping_add(other.gradient);
        self.hessian_rows = self.hessian_rows.wrapping_add(other.hessian_rows);
    }

    #[inline]
    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            gradient: self.gradient.wrapping_sub(other.gradient),
            hessian_rows: self.hessian_rows.wrapping_sub(other.hessian_rows),
        }
    }

    /// Sum of the scaled gradients.
    #[inline]
    pub(crate) fn gradient(self) -> i64 {
        self.gradient
    }

    /// Sum of the scaled second derivatives.
    #[inline]
    pub(crate) fn hessian(self) -> u64 {
        self.hessian_rows >> ROW_BITS
    }

    /// Number of rows.
    #[inline]
    pub(crate) fn n_rows(self) -> u64 {
        self.hessian_rows & ((1 << ROW_BITS) - 1)
    }
}

/// Scaled gradients of one round and the factors that undo the scaling. Factors are powers of two:
/// going back is exact.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scaled {
    /// One a row of the table.
    pub(crate) cells: Vec<Cell>,
    /// Scaled gradient times this is the gradient.
    pub(crate) gradient_unit: f64,
    /// Scaled second derivative times this is the second derivative.
    pub(crate) hessian_unit: f64,
}

/// Bits that the sum of all scaled second derivatives may take, one below the field's width so that
/// rounding up every row cannot overflow it.
const HESSIAN_BITS: i32 = 35;
/// The same for gradients.
const GRADIENT_BITS: i32 = 60;
const SUM_BLOCK: usize = 8_192;

impl Scaled {
    /// Scales so that the sum of all absolute values just fits, rounding to the nearest integer.
    pub(crate) fn refill(&mut self, gradients: &[(f64, f64)]) {
        let partial: Vec<(f64, f64)> = gradients
            .par_chunks(SUM_BLOCK)
            .map(|block| {
                block.iter().fold((0.0, 0.0), |(g, h), &(gradient, hessian)| {
                    (g + gradient.abs(), h + hessian)
                })
            })
            .collect();
        let (gradient_sum, hessian_sum) =
            partial.iter().fold((0.0, 0.0), |(g, h), &(pg, ph)| (g + pg, h + ph));
        self.gradient_unit = unit(gradient_sum, GRADIENT_BITS);
        self.hessian_unit = unit(hessian_sum, HESSIAN_BITS);
        let (per_gradient, per_hessian) = (1.0 / self.gradient_unit, 1.0 / self.hessian_unit);
        self.cells.resize(gradients.len(), Cell::default());
        self.cells.par_chunks_mut(SUM_BLOCK).zip(gradients.par_chunks(SUM_BLOCK)).for_each(
            |(cells, gradients)| {
                for (cell, &(gradient, hessian)) in cells.iter_mut().zip(gradients) {
                    let gradient = (gradient * per_gradient).round_ties_even() as i64;
                    *cell =
                        Cell::of_row(gradient, (hessian * per_hessian).round_ties_even() as u64);
                }
            },
        );
    }
}

/// The power of two in which `sum` takes at most `bits` bits.
fn unit(sum: f64, bits: i32) -> f64 {
    let exponent = if sum > 0.0 && sum.is_finite() { sum.log2().ceil() as i32 } else { 0 };
    // Within the range in which both a power and its inverse are normal numbers.
    2f64.powi((exponent - bits).clamp(-1000, 1000))
}

/// Cells of one column, by code.
#[derive(Debug, Clone, Copy)]
struct ColumnCells([Cell; COLUMN_CELLS]);

/// Cells of all columns of a node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram {
    columns: Vec<ColumnCells>,
}

impl Histogram {
    /// The cells of a column, by code; those past its last code are 0.
    pub(crate) fn column(&self, column: usize) -> &[Cell; COLUMN_CELLS] {
        &self.columns[column].0
    }

    /// Sets all cells to 0.
    pub(crate) fn clear(&mut self, n_columns: usize) {
        self.columns.clear();
        self.columns.resize(n_columns, ColumnCells([Cell::default(); COLUMN_CELLS]));
    }

    /// Becomes the sums of `rows` for `columns`: column `columns[k]` of the table is column `k` here.
    pub(crate) fn build(
        &mut self,
        codes: &CodeMatrix,
        columns: &[u32],
        rows: &[u32],
        cells: &[Cell],
    ) {
        self.clear(columns.len());
        let n_threads = rayon::current_num_threads();
        if n_threads == 1 || rows.len() < PARALLEL_ROWS {
            self.add_rows(codes, columns, rows, cells);
            return;
        }
        let part_rows = rows.len().div_ceil(n_threads);
        let parts: Vec<Self> = rows
            .par_chunks(part_rows)
            .map(|part| {
                let mut histogram = Self::default();
                histogram.clear(columns.len());
                histogram.add_rows(codes, columns, part, cells);
                histogram
            })
            .collect();
        for part in &parts {
            for (sum, part) in self.columns.iter_mut().zip(&part.columns) {
                sum.0.iter_mut().zip(&part.0).for_each(|(sum, part)| sum.add(*part));
            }
        }
    }

    /// Adds `rows` on this thread. The columns must have been made by [`Self::clear`].
    pub(crate) fn add_rows(
        &mut self,
        codes: &CodeMatrix,
        columns: &[u32],
        rows: &[u32],
        cells: &[Cell],
    ) {
        if columns.len() == codes.n_columns() {
            for &row in rows {
                let cell = cells[row as usize];
                for (column, &code) in self.columns.iter_mut().zip(codes.row(row as usize)) {
                    column.0[usize::from(code)].add(cell);
                }
            }
            return;
        }
        for &row in rows {
            let cell = cells[row as usize];
            let row = codes.row(row as usize);
            for (sums, &column) in self.columns.iter_mut().zip(columns) {
                sums.0[usize::from(row[column as usize])].add(cell);
            }
        }
    }

    /// Takes away the sums of a part of the rows.
    pub(crate) fn subtract(&mut self, part: &Self) {
        for (sum, part) in self.columns.iter_mut().zip(&part.columns) {
            sum.0.iter_mut().zip(&part.0).for_each(|(sum, part)| *sum = sum.minus(*part));
        }
    }
}
