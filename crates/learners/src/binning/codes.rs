//! The code matrix: one byte a value, row by row.

use rayon::prelude::*;
use segue_dataset::Matrix;

use super::{ColumnBins, MISSING_CODE};

/// Rows coded together, so that a block of codes stays in the first-level cache.
const BLOCK_ROWS: usize = 1024;
/// A row begins at a multiple of this many bytes.
const ROW_ALIGN: usize = 16;

/// Byte codes of a table, row-major: the histogram loop reads a row's codes one after another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeMatrix {
    n_rows: usize,
    n_columns: usize,
    stride: usize,
    codes: Vec<u8>,
}

impl CodeMatrix {
    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Number of columns.
    #[must_use]
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// Codes of a row, shape `(n_columns,)`.
    ///
    /// # Panics
    /// If `row` is out of range.
    #[must_use]
    #[inline]
    pub fn row(&self, row: usize) -> &[u8] {
        let start = row * self.stride;
        &self.codes[start..start + self.n_columns]
    }

    /// One code.
    ///
    /// # Panics
    /// If `row` or `column` is out of range.
    #[must_use]
    #[inline]
    pub fn code(&self, row: usize, column: usize) -> u8 {
        self.codes[row * self.stride + column]
    }
}

pub(super) fn encode(columns: &[ColumnBins], matrix: &Matrix) -> CodeMatrix {
    assert_eq!(columns.len(), matrix.n_columns(), "the binning is of another table");
    let (n_rows, n_columns) = (matrix.n_rows(), columns.len());
    let stride = n_columns.next_multiple_of(ROW_ALIGN).max(ROW_ALIGN);
    let encoders: Vec<Encoder<'_>> = columns.iter().map(Encoder::new).collect();
    let mut codes = vec![MISSING_CODE; n_rows * stride];
    codes.par_chunks_mut(BLOCK_ROWS * stride).enumerate().for_each(|(block, codes)| {
        let first = block * BLOCK_ROWS;
        let rows = first..(first + BLOCK_ROWS).min(n_rows);
        for (column, encoder) in encoders.iter().enumerate() {
            let values = &matrix.column(column)[rows.clone()];
            for (row, &value) in codes.chunks_exact_mut(stride).zip(values) {
                row[column] = encoder.code(value);
            }
        }
    });
    CodeMatrix { n_rows, n_columns, stride, codes }
}

/// A column's coder with its cuts padded to 255, so that the search has a fixed number of steps.
enum Encoder<'a> {
    Number(Box<[f64; 255]>),
    Category(&'a ColumnBins),
}

impl<'a> Encoder<'a> {
    fn new(column: &'a ColumnBins) -> Self {
        match column {
            ColumnBins::Number { cuts } => {
                let mut padded = Box::new([f64::INFINITY; 255]);
                padded[..cuts.len()].copy_from_slice(cuts);
                Self::Number(padded)
            }
            ColumnBins::Category { .. } => Self::Category(column),
        }
    }

    #[inline]
    fn code(&self, value: f64) -> u8 {
        match self {
            Self::Number(cuts) => number_code(cuts, value),
            Self::Category(column) => column.code(value),
        }
    }
}

/// `1 +` the number of cuts below `value`; 0 for NaN. Branch-free: eight halvings.
#[inline]
fn number_code(cuts: &[f64; 255], value: f64) -> u8 {
    let mut below = 0usize;
    for step in [128, 64, 32, 16, 8, 4, 2, 1] {
        below += step * usize::from(cuts[below + step - 1] < value);
    }
    if value.is_nan() { MISSING_CODE } else { (below + 1) as u8 }
}
