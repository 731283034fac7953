//! Byte codes of one row's numbers, without a branch that depends on the row.
//!
//! The row is read in blocks of eight columns. What is searched, a *slot*, is a column of a block: its
//! thresholds are one chunk, which the variants of a feature share. Ranks are found slot by slot, or
//! eight slots at once where thresholds are few, and become byte columns by one look-up for all.

use super::numbers::{LOWEST, MISSING, Number, TINY};
use crate::engines::kernels::{Kernel, LANES, Lanes};
use crate::engines::thresholds::Chunk;
use crate::tree::LIGHTGBM_ZERO;

/// Vectors of byte columns and of slots, at most: either is a byte to a look-up.
const MAX_VECTORS: usize = 4;
/// Columns of a block.
const BLOCK: usize = 8;
const BLOCKS_OF_VECTOR: usize = LANES / BLOCK;

/// How one row's numbers become byte codes.
#[derive(Debug, Clone)]
pub(in crate::engines) struct RowNumbers {
    /// The features that the blocks are of, if not all.
    picked: Vec<u32>,
    blocks: Vec<Block>,
    /// Thresholds of few, shape `(n, 8)`: those of the first block, of the second, and so on.
    few: Vec<[f64; BLOCK]>,
    many: Vec<Many>,
    columns: Vec<Columns>,
    zero_is_missing: bool,
}

/// Eight columns next to each other.
#[derive(Debug, Clone)]
struct Block {
    first: usize,
    n_few: usize,
}

/// A slot of more than a few thresholds.
#[derive(Debug, Clone)]
struct Many {
    column: usize,
    slot: usize,
    chunk: Chunk,
}

/// Up to 64 byte columns.
#[derive(Debug, Clone)]
struct Columns {
    slots: Lanes,
    /// Kinds of value that get the substitute.
    kinds: Lanes,
    substitutes: Lanes,
}

impl RowNumbers {
    /// For rows of `n_features`; `None` if there are more byte columns or slots than a look-up tells
    /// apart.
    pub(super) fn new(numbers: &[Number], n_features: usize, n_columns: usize) -> Option<Self> {
        let mut picked: Vec<u32> = Vec::new();
        // Chunks beyond a feature's first are slots of a copy of the feature.
        let is_simple = (BLOCK..=MAX_VECTORS * LANES).contains(&n_features)
            && numbers.iter().all(|number| number.chunks().len() == 1);
        if !is_simple {
            for number in numbers {
                picked.extend(vec![number.feature() as u32; number.chunks().len()]);
            }
            picked.resize(picked.len().next_multiple_of(BLOCK).max(BLOCK), 0);
        }
        let width = if is_simple { n_features } else { picked.len() };
        let n_blocks = width.div_ceil(BLOCK);
        let n_vectors = n_columns.max(n_blocks * BLOCK).div_ceil(LANES).max(1).next_power_of_two();
        if n_vectors > MAX_VECTORS {
            return None;
        }
        // The last block may overlap the one before.
        let block = |at: usize| Block { first: (at * BLOCK).min(width - BLOCK), n_few: 0 };
        let none = Columns { slots: Lanes::ZERO, kinds: Lanes::ZERO, substitutes: Lanes::ZERO };
        let mut row = Self {
            picked,
            blocks: (0..n_blocks).map(block).collect(),
            few: Vec::new(),
            many: Vec::new(),
            columns: vec![none; n_vectors],
            zero_is_missing: false,
        };
        let mut few = vec![Vec::new(); n_blocks];
        let mut n_picked = 0;
        for number in numbers {
            for (at, chunk) in number.chunks().iter().enumerate() {
                let column = if is_simple { number.feature() } else { n_picked };
                n_picked += 1;
                let slot = row.slot_of(column);
                row.lead_to_columns(number, at, slot);
                match chunk.few() {
                    Some(thresholds) => few[slot / BLOCK].push((slot % BLOCK, thresholds)),
                    None => row.many.push(Many { column, slot, chunk: chunk.clone() }),
                }
            }
        }
        for (block, few) in row.blocks.iter_mut().zip(few) {
            block.n_few = few.iter().map(|(_, thresholds)| thresholds.len()).max().unwrap_or(0);
            for at in 0..block.n_few {
                let mut thresholds = [f64::INFINITY; BLOCK];
                for &(lane, of_lane) in &few {
                    thresholds[lane] = of_lane.get(at).copied().unwrap_or(f64::INFINITY);
                }
                row.few.push(thresholds);
            }
        }
        Some(row)
    }

    fn slot_of(&self, column: usize) -> usize {
        let block = column / BLOCK;
        block * BLOCK + column - self.blocks[block].first
    }

    /// Sets the byte columns that read a slot.
    fn lead_to_columns(&mut self, number: &Number, chunk: usize, slot: usize) {
        for (column, kinds, substitute) in number.columns_of_chunk(chunk) {
            let columns = &mut self.columns[column / LANES];
            columns.slots.0[column % LANES] = slot as u8 as i8;
            columns.kinds.0[column % LANES] = kinds as i8;
            columns.substitutes.0[column % LANES] = substitute;
            self.zero_is_missing |= kinds & TINY != 0;
        }
    }

    /// Vectors of columns: 1, 2 or 4.
    pub(in crate::engines) fn n_vectors(&self) -> usize {
        self.columns.len()
    }

    /// The row of the blocks; `room` is reused.
    #[inline(always)]
    pub(in crate::engines) fn pick<'a>(&self, row: &'a [f64], room: &'a mut Vec<f64>) -> &'a [f64] {
        if self.picked.is_empty() {
            return row;
        }
        room.clear();
        room.extend(self.picked.iter().map(|&feature| row[feature as usize]));
        room
    }

    /// The codes of a row of [`Self::pick`]; `N` is [`Self::n_vectors`].
    #[inline(always)]
    pub(in crate::engines) fn codes<K: Kernel, const N: usize>(
        &self,
        kernel: K,
        row: &[f64],
    ) -> [Lanes; N] {
        let (mut ranks, mut missing) = ([Lanes::ZERO; N], [[0; BLOCKS_OF_VECTOR]; N]);
        let mut few = &self.few[..];
        for (at, block) in self.blocks.iter().enumerate() {
            let (own, rest) = few.split_at(block.n_few);
            few = rest;
            let Some(values) = row[block.first..].first_chunk() else { continue };
            let (of_block, missing_in_block) = kernel.count_columns(own, values);
            let (vector, place) = (at / BLOCKS_OF_VECTOR % N, at % BLOCKS_OF_VECTOR);
            ranks[vector].0.as_chunks_mut().0[place] = of_block;
            missing[vector][place] = missing_in_block;
        }
        for Many { column, slot, chunk } in &self.many {
            let rank = chunk.rank(kernel, row[*column]) as i8;
            ranks[slot / LANES % N].0[slot % LANES] = rank;
        }
        let mut kinds = [Lanes::ZERO; N];
        for (kinds, missing) in kinds.iter_mut().zip(missing) {
            *kinds = kernel.blend(u64::from_le_bytes(missing), 0, MISSING as i8);
        }
        if self.zero_is_missing {
            self.add_zeros(row, &mut kinds);
        }
        let mut codes = [Lanes::ZERO; N];
        for (columns, codes) in self.columns.iter().zip(&mut codes) {
            let found = kernel.look_up(&ranks, &columns.slots);
            let kinds = kernel.look_up(&kinds, &columns.slots);
            for lane in 0..LANES {
                // Written without a choice, of which compilers make one lane at a time.
                let is_kind = -i8::from(kinds.0[lane] & columns.kinds.0[lane] != 0);
                let difference = found.0[lane] ^ columns.substitutes.0[lane];
                codes.0[lane] = found.0[lane] ^ (difference & is_kind) ^ LOWEST as i8;
            }
        }
        codes
    }

    #[inline(always)]
    fn add_zeros<const N: usize>(&self, row: &[f64], kinds: &mut [Lanes; N]) {
        for (at, block) in self.blocks.iter().enumerate() {
            let kinds = &mut kinds[at / BLOCKS_OF_VECTOR % N].0.as_chunks_mut::<BLOCK>().0;
            let of_block = &mut kinds[at % BLOCKS_OF_VECTOR];
            for (kinds, value) in of_block.iter_mut().zip(&row[block.first..]) {
                *kinds |= i8::from(value.abs() <= LIGHTGBM_ZERO) * TINY as i8;
            }
        }
    }
}
