//! From a model's questions to codes: after it, every node asks `code > threshold` of a small integer.
//!
//! A feature's distinct thresholds are sorted once, and a value becomes its rank among them. Which
//! comparison a node makes only changes the table: `value < t` is `value <= next smaller number`.
//! Where missing values go is the column's business, not the node's: for each missing rule that
//! nodes of a feature use there is a variant of the column, in which a missing value has the rank that
//! sends it the right way.
//!
//! There are two forms of the codes. *Ranks* are `u16`, one column a variant or a set of categories, 0
//! inside and 1 outside. *Bytes* are `i8`, one column for each 255 thresholds of a variant, which says where a
//! value lies within them, all below or all above if it lies outside of them; and one for each eight sets
//! of a category, of which a node asks one bit.

mod categories;
mod compile;
mod numbers;
mod row;
mod sets;

pub(super) use compile::{Encoded, Question, encode};
pub(super) use row::RowNumbers;
pub(super) use sets::InsideBits;

use super::kernels::{Kernel, LANES, Lanes};
use categories::Category;
use numbers::Number;

/// How rows become codes.
#[derive(Debug, Clone, Default)]
pub(super) struct Encoding {
    numbers: Vec<Number>,
    categories: Vec<Category>,
    n_features: usize,
    n_byte_columns: usize,
    n_number_bytes: usize,
    n_rank_columns: usize,
}

/// Codes of a block of up to `V * 64` rows: a byte column is `V` vectors.
pub(super) type ByteColumn<const V: usize> = [Lanes; V];

impl Encoding {
    pub(super) fn n_byte_columns(&self) -> usize {
        self.n_byte_columns
    }

    /// At least one, so that a leaf, which asks nothing, has something to read.
    pub(super) fn n_rank_columns(&self) -> usize {
        self.n_rank_columns.max(1)
    }

    /// Byte columns of numbers, which come before those of sets.
    pub(super) fn n_number_bytes(&self) -> usize {
        self.n_number_bytes
    }

    pub(super) fn categories(&self) -> &[Category] {
        &self.categories
    }

    /// The encoding of one row's numbers; `None` if they have more byte columns than a look-up tells apart.
    pub(super) fn of_row(&self) -> Option<RowNumbers> {
        RowNumbers::new(&self.numbers, self.n_features, self.n_number_bytes)
    }

    /// Byte codes of one row as the first of a block.
    ///
    /// # Panics
    /// If the row has not all features, or `bytes` not all byte columns.
    #[inline(always)]
    pub(super) fn row_in_block<K: Kernel>(
        &self,
        kernel: K,
        row: &[f64],
        bytes: &mut [ByteColumn<1>],
    ) {
        for number in &self.numbers {
            number.block_bytes(kernel, &row[number.feature()..][..1], bytes);
        }
        for category in &self.categories {
            category.block_bytes(&row[category.feature()..][..1], bytes);
        }
    }

    /// Rank codes of one row.
    ///
    /// # Panics
    /// If the row has not all features, or `ranks` not all rank columns.
    #[inline(always)]
    pub(super) fn row_ranks<K: Kernel>(&self, kernel: K, row: &[f64], ranks: &mut [u16]) {
        for number in &self.numbers {
            number.row_ranks(kernel, row[number.feature()], ranks);
        }
        for category in &self.categories {
            category.row_ranks(row[category.feature()], ranks);
        }
    }

    /// Byte codes of up to `V * 64` rows from `start` on; lanes beyond the table keep old codes.
    ///
    /// # Panics
    /// If a column is missing or shorter than `start`, or `bytes` has not all byte columns.
    #[inline(always)]
    pub(super) fn block_bytes<K: Kernel, const V: usize>(
        &self,
        kernel: K,
        columns: &[Vec<f64>],
        rows: std::ops::Range<usize>,
        bytes: &mut [ByteColumn<V>],
    ) {
        for number in &self.numbers {
            number.block_bytes(kernel, &columns[number.feature()][rows.clone()], bytes);
        }
        for category in &self.categories {
            category.block_bytes(&columns[category.feature()][rows.clone()], bytes);
        }
    }

    /// Rank codes of rows, row-major, shape `(n_rows, n_rank_columns)`.
    ///
    /// # Panics
    /// If a column is missing or too short, or `ranks` has not all rows.
    #[inline(always)]
    pub(super) fn block_ranks<K: Kernel>(
        &self,
        kernel: K,
        columns: &[Vec<f64>],
        rows: std::ops::Range<usize>,
        ranks: &mut [u16],
    ) {
        for number in &self.numbers {
            let values = &columns[number.feature()][rows.clone()];
            for (&value, row) in values.iter().zip(ranks.chunks_exact_mut(self.n_rank_columns())) {
                number.row_ranks(kernel, value, row);
            }
        }
        for category in &self.categories {
            let values = &columns[category.feature()][rows.clone()];
            for (&value, row) in values.iter().zip(ranks.chunks_exact_mut(self.n_rank_columns())) {
                category.row_ranks(value, row);
            }
        }
    }
}

/// A byte by its place in vectors.
#[inline(always)]
fn lane(vectors: &mut [Lanes], at: usize) -> &mut i8 {
    &mut vectors[at / LANES].0[at % LANES]
}
