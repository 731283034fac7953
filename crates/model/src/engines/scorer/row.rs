//! One row.

use super::{Codes, EngineScratch};
use crate::engines::kernels::{Kernel, Task};

/// Adds the values of all trees for a row.
pub(super) struct AddRow<'a> {
    pub(super) codes: &'a Codes,
    pub(super) row: &'a [f64],
    pub(super) scratch: &'a mut EngineScratch,
    pub(super) sums: &'a mut [f64],
}

impl Task for AddRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) {
        let Self { codes, row, scratch, sums } = self;
        let Codes { encoding, leaves, .. } = codes;
        if let Some(masks) = &codes.masks {
            masks.add_row(kernel, encoding, leaves, row, &mut scratch.masks, sums);
        } else if let Some(walk) = &codes.walk {
            scratch.ranks.resize(encoding.n_rank_columns(), 0);
            encoding.row_ranks(kernel, row, &mut scratch.ranks);
            walk.add_row(leaves, &scratch.ranks, sums);
        } else {
            scratch.fit::<1>(codes);
            let bytes = scratch.bytes.as_chunks_mut::<1>().0;
            encoding.row_in_block(kernel, row, bytes);
            super::block::add_trees::<K, 1>(kernel, codes, 1, scratch);
            super::block::copy_sums(&scratch.sums, 1, sums.len(), sums);
        }
    }
}
