//! The code matrix: the states of a table's bundles, a byte each.

use rayon::prelude::*;
use segue_dataset::Matrix;

use super::encoder::{BLOCK_ROWS, Encoder};
use super::{Bundles, ColumnBins};

/// Byte codes of a table, twice: row by row for histograms, which read all bytes of a row, and bundle by
/// bundle for splitting leaves, which reads one byte of every row and would else fetch a cache line for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CodeMatrix {
    n_rows: usize,
    bundles: Bundles,
    /// Shape `(n_rows, n_bundles)`, without padding.
    by_row: Vec<u8>,
    /// Shape `(n_bundles, n_rows)`.
    by_bundle: Vec<u8>,
}

impl CodeMatrix {
    /// Which columns share a byte.
    pub(crate) fn bundles(&self) -> &Bundles {
        &self.bundles
    }

    /// States of a row, shape `(n_bundles,)`.
    #[inline]
    pub(crate) fn row(&self, row: usize) -> &[u8] {
        let width = self.bundles.len();
        &self.by_row[row * width..][..width]
    }

    /// All states, shape `(n_rows, n_bundles)`.
    pub(crate) fn by_row(&self) -> &[u8] {
        &self.by_row
    }

    /// States of a bundle, shape `(n_rows,)`.
    pub(crate) fn bundle(&self, bundle: usize) -> &[u8] {
        &self.by_bundle[bundle * self.n_rows..][..self.n_rows]
    }

    /// The code of one column.
    #[inline]
    pub(crate) fn code(&self, row: usize, column: usize) -> u8 {
        self.bundles.code(column, self.bundle(self.bundles.bundle_of(column))[row])
    }
}

pub(super) fn encode(columns: &[ColumnBins], bundles: Bundles, matrix: &Matrix) -> CodeMatrix {
    assert_eq!(columns.len(), matrix.n_columns(), "the binning is of another table");
    let n_rows = matrix.n_rows();
    let by_bundle = encode_by_bundle(columns, &bundles, matrix);
    let by_row = transpose(&by_bundle, n_rows, bundles.len());
    CodeMatrix { n_rows, bundles, by_row, by_bundle }
}

fn encode_by_bundle(columns: &[ColumnBins], bundles: &Bundles, matrix: &Matrix) -> Vec<u8> {
    let n_rows = matrix.n_rows();
    let mut members: Vec<Vec<(usize, Encoder<'_>)>> = Vec::new();
    members.resize_with(bundles.len(), Vec::new);
    for (column, bins) in columns.iter().enumerate() {
        members[bundles.bundle_of(column)].push((column, Encoder::new(bins)));
    }
    let mut states = vec![0; n_rows * bundles.len()];
    let encode = |(bundle, states): (usize, &mut [u8])| {
        states.par_chunks_mut(BLOCK_ROWS).enumerate().for_each(|(block, states)| {
            let first = block * BLOCK_ROWS;
            for (column, encoder) in &members[bundle] {
                let values = &matrix.column(*column)[first..first + states.len()];
                encoder.add_codes(values, bundles.factor(*column), states);
            }
        });
    };
    states.par_chunks_mut(n_rows.max(1)).enumerate().for_each(encode);
    states
}

/// From shape `(n_bundles, n_rows)` to `(n_rows, n_bundles)`.
fn transpose(by_bundle: &[u8], n_rows: usize, n_bundles: usize) -> Vec<u8> {
    let mut by_row = vec![0; by_bundle.len()];
    by_row.par_chunks_mut(BLOCK_ROWS * n_bundles.max(1)).enumerate().for_each(|(block, by_row)| {
        let first = block * BLOCK_ROWS;
        for bundle in 0..n_bundles {
            let states = &by_bundle[bundle * n_rows + first..];
            for (row, &state) in by_row.chunks_exact_mut(n_bundles).zip(states) {
                row[bundle] = state;
            }
        }
    });
    by_row
}
