//! Sums of gradients by bundle and state, in integers.
//!
//! Gradients are scaled to integers once a round, so that sums are exact: they are the same in any
//! order, on any number of threads, and a sibling's histogram is the parent's minus the other child's.

mod accumulate;
mod packed;
mod scaled;
#[cfg(test)]
mod tests;

pub(crate) use accumulate::{Accumulator, Workspace};
pub(crate) use scaled::{Derivatives, Scaled};

use crate::binning::Bundles;

/// Low bits of [`Cell::hessian_rows`] that count rows.
pub(crate) const ROW_BITS: u32 = 28;

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

    /// From what [`Self::gradient`] and [`Self::word`] gave.
    pub(crate) fn of_sums(gradient: i64, word: u64) -> Self {
        Self { gradient, hessian_rows: word }
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

    /// Second derivatives and rows in one word, which [`Self::hessian`] and [`Self::n_rows`] take
    /// apart: words add and subtract as the two sums do.
    #[inline]
    pub(crate) fn word(self) -> u64 {
        self.hessian_rows
    }

    /// Number of rows.
    #[inline]
    pub(crate) fn n_rows(self) -> u64 {
        self.hessian_rows & ((1 << ROW_BITS) - 1)
    }
}

/// A row of a leaf with its packed gradients, which travel with it so that nobody has to look them up. One word,
/// so that it moves as one; ascends by row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry(u64);

impl Entry {
    /// `stored` as in [`packed`]; 0 if gradients are not packed.
    #[inline]
    pub(crate) fn new(row: u32, stored: u32) -> Self {
        Self(u64::from(row) << u32::BITS | u64::from(stored))
    }

    #[inline]
    pub(crate) fn row(self) -> u32 {
        (self.0 >> u32::BITS) as u32
    }

    #[inline]
    pub(crate) fn stored(self) -> u32 {
        self.0 as u32
    }
}

/// Where each bundle's cells lie in a histogram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// First cell of each bundle and, last, the number of cells.
    starts: Vec<usize>,
}

impl Layout {
    pub(crate) fn new(bundles: &Bundles) -> Self {
        let mut starts = vec![0];
        let mut end = 0;
        for &n_states in bundles.n_states() {
            end += n_states;
            starts.push(end);
        }
        Self { starts }
    }

    fn range(&self, bundle: usize) -> std::ops::Range<usize> {
        self.starts[bundle]..self.starts[bundle + 1]
    }

    fn n_cells(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }

    /// Number of bundles.
    pub(crate) fn n_bundles(&self) -> usize {
        self.starts.len() - 1
    }
}

/// Cells of all bundles of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Histogram {
    cells: Vec<Cell>,
}

impl Histogram {
    /// Sets the cells of `bundles` to 0.
    pub(crate) fn clear(&mut self, layout: &Layout, bundles: &[u32]) {
        self.cells.resize(layout.n_cells(), Cell::default());
        for &bundle in bundles {
            self.cells[layout.range(bundle as usize)].fill(Cell::default());
        }
    }

    /// The cells of a bundle, by state.
    pub(crate) fn bundle(&self, layout: &Layout, bundle: usize) -> &[Cell] {
        &self.cells[layout.range(bundle)]
    }

    /// Adds the sums of other rows.
    pub(crate) fn merge(&mut self, layout: &Layout, bundles: &[u32], other: &Self) {
        for &bundle in bundles {
            let range = layout.range(bundle as usize);
            let pairs = self.cells[range.clone()].iter_mut().zip(&other.cells[range]);
            pairs.for_each(|(sum, other)| sum.add(*other));
        }
    }

    /// Takes away the sums of a part of the rows.
    pub(crate) fn subtract(&mut self, layout: &Layout, bundles: &[u32], part: &Self) {
        for &bundle in bundles {
            let range = layout.range(bundle as usize);
            let pairs = self.cells[range.clone()].iter_mut().zip(&part.cells[range]);
            pairs.for_each(|(sum, part)| *sum = sum.minus(*part));
        }
    }
}
