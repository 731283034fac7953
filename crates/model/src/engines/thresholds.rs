//! The sorted thresholds of one feature, searched as a tree of 16 by 16.

use super::kernels::{Kernel, LANES};

/// Thresholds of a chunk: one less than a byte has values, so that a rank fits into a byte.
pub(super) const CHUNK: usize = 255;
const FAN: usize = 16;
/// Thresholds that are counted rather than searched, at most.
const FEW: usize = FAN;

/// Distinct thresholds of a feature, ascending, cut into chunks whose ranks fit into a byte.
#[derive(Debug, Clone)]
pub(super) struct Thresholds {
    chunks: Vec<Chunk>,
    /// Largest threshold of each chunk but the last.
    last: Vec<f64>,
}

/// Up to 255 thresholds; what is left over is infinity, which nothing exceeds.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub(super) struct Chunk {
    /// The largest of each block.
    pivots: [f64; FAN],
    blocks: [[f64; FAN]; FAN],
    /// How many there are, if they are few; otherwise 0.
    n_few: usize,
}

impl Chunk {
    fn new(sorted: &[f64]) -> Self {
        let mut blocks = [[f64::INFINITY; FAN]; FAN];
        blocks.as_flattened_mut()[..sorted.len()].copy_from_slice(sorted);
        let n_finite = sorted.partition_point(|&threshold| threshold < f64::INFINITY);
        let n_few = if n_finite <= FEW { n_finite } else { 0 };
        Self { pivots: blocks.map(|block| block[FAN - 1]), blocks, n_few }
    }

    /// All thresholds that something exceeds, if they are few.
    pub(super) fn few(&self) -> Option<&[f64]> {
        (self.n_few > 0).then_some(&self.blocks[0][..self.n_few])
    }

    /// Number of thresholds below `value`; 0 for NaN.
    #[inline(always)]
    pub(super) fn rank<K: Kernel>(&self, kernel: K, value: f64) -> u8 {
        // The last pivot is infinity, so that at most 15 are exceeded; the mask tells the compiler.
        let block = kernel.count_below(&self.pivots, value) % FAN;
        (block * FAN + kernel.count_below(&self.blocks[block], value)) as u8
    }
}

impl Thresholds {
    /// Of thresholds that ascend strictly and are not NaN.
    pub(super) fn new(sorted: &[f64]) -> Self {
        let chunks: Vec<Chunk> = sorted.chunks(CHUNK).map(Chunk::new).collect();
        let inner = chunks.len().saturating_sub(1) * CHUNK;
        let last = sorted[..inner].chunks(CHUNK).map(|chunk| chunk[CHUNK - 1]).collect();
        Self { chunks, last }
    }

    pub(super) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    pub(super) fn n_chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Number of thresholds below `value`, as the chunk and the rank within it; 0 for NaN.
    #[inline(always)]
    pub(super) fn rank<K: Kernel>(&self, kernel: K, value: f64) -> (usize, u8) {
        let chunk =
            if self.last.is_empty() { 0 } else { self.last.partition_point(|&last| value > last) };
        (chunk, self.chunks[chunk].rank(kernel, value))
    }

    /// Ranks within the only chunk.
    #[inline(always)]
    pub(super) fn ranks_of_one_chunk<K: Kernel>(
        &self,
        kernel: K,
        values: &[f64; LANES],
    ) -> [u8; LANES] {
        let chunk = &self.chunks[0];
        if let Some(few) = chunk.few() {
            return kernel.count_all(few, values);
        }
        let mut ranks = [0; LANES];
        for (rank, &value) in ranks.iter_mut().zip(values) {
            *rank = chunk.rank(kernel, value);
        }
        ranks
    }
}
