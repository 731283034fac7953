//! Blocks of rows.

use std::ops::Range;

use segue_dataset::Matrix;

use super::{Codes, EngineScratch, FEW, MANY};
use crate::engines::kernels::{Kernel, LANES, Lanes, Task};

/// Adds the values of all trees for up to 256 rows, into the scratch's sums.
pub(super) struct AddBlock<'a> {
    pub(super) codes: &'a Codes,
    pub(super) table: &'a Matrix,
    pub(super) rows: Range<usize>,
    pub(super) scratch: &'a mut EngineScratch,
}

impl Task for AddBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) {
        if self.rows.len() > LANES {
            self.add::<K, MANY>(kernel);
        } else {
            self.add::<K, FEW>(kernel);
        }
    }
}

impl AddBlock<'_> {
    #[inline(always)]
    fn add<K: Kernel, const V: usize>(self, kernel: K) {
        let Self { codes, table, rows, scratch } = self;
        scratch.fit::<V>(codes);
        if codes.select.takes_some() {
            let bytes = scratch.bytes.as_chunks_mut::<V>().0;
            codes.encoding.block_bytes(kernel, table.columns(), rows.clone(), bytes);
        }
        if codes.walk.is_some() && !codes.select.takes_all() {
            let n_ranks = rows.len() * codes.encoding.n_rank_columns();
            scratch.ranks.resize(n_ranks, 0);
            codes.encoding.block_ranks(kernel, table.columns(), rows.clone(), &mut scratch.ranks);
        }
        add_trees::<K, V>(kernel, codes, rows.len(), scratch);
    }
}

/// Adds the values of all trees for the codes in the scratch.
#[inline(always)]
pub(super) fn add_trees<K: Kernel, const V: usize>(
    kernel: K,
    codes: &Codes,
    n_rows: usize,
    scratch: &mut EngineScratch,
) {
    let EngineScratch { bytes, ranks, sums, places, work, .. } = scratch;
    let (bytes, sums) = (bytes.as_chunks::<V>().0, sums.as_chunks_mut::<V>().0);
    let n_rank_columns = codes.encoding.n_rank_columns();
    let places = &mut places[..n_rows];
    for tree in 0..codes.leaves.n_trees() {
        match (&codes.walk, codes.select.has(tree)) {
            (Some(walk), false) => {
                walk.find_places(tree, ranks, n_rank_columns, places);
                codes.leaves.add_places_of_rows(tree, places, sums);
            }
            _ => {
                let index: [Lanes; V] = codes.select.leaves(kernel, tree, bytes, work);
                codes.leaves.add_index(kernel, tree, &index, sums);
            }
        }
    }
}

/// Sums of `n_rows` rows, row by row.
pub(super) fn copy_sums(sums: &[[f64; LANES]], n_rows: usize, n_outputs: usize, out: &mut [f64]) {
    let n_vectors = sums.len() / n_outputs;
    for (output, sums) in sums.chunks_exact(n_vectors).enumerate() {
        let of_rows = sums.as_flattened()[..n_rows].iter();
        for (out, &sum) in out.iter_mut().skip(output).step_by(n_outputs).zip(of_rows) {
            *out = sum;
        }
    }
}

impl EngineScratch {
    /// Room for a block of `V * 64` rows, with sums of 0.0.
    pub(super) fn fit<const V: usize>(&mut self, codes: &Codes) {
        self.bytes.resize(V * codes.encoding.n_byte_columns(), Lanes::ZERO);
        self.sums.clear();
        self.sums.resize(V * codes.leaves.n_outputs(), [0.0; LANES]);
        self.places.resize(V * LANES, 0);
        self.work.fit();
    }
}
