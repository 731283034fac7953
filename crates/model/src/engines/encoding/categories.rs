//! Codes of a feature that is looked up in sets of categories.

use super::ByteColumn;
use super::sets::InsideBits;
use crate::courtesy::giving_way;
use crate::engines::bits;
use crate::engines::kernels::{LANES, TILE, transposed};
use crate::tree::LIGHTGBM_ZERO;

/// Sets that share a byte column.
pub(super) const SETS_OF_BYTE: usize = 8;
/// The bit of a byte that is set inside, where the others are set outside, in all bytes of a word: alone
/// it makes a byte the lowest number, not a positive one.
const LAST_BITS: u64 = 0x8080_8080_8080_8080;

/// What is added to it loses its fraction, and small whole numbers become its last bits.
const WHOLE: f64 = (1u64 << 52) as f64;

/// A feature and all sets that it is looked up in.
///
/// A value becomes an entry: its code, or one for whatever no set holds, or one for missing.
#[derive(Debug, Clone)]
pub(in crate::engines) struct Category {
    feature: usize,
    zero_is_missing: bool,
    /// One more than the largest code of any set.
    n_codes: usize,
    n_sets: usize,
    first_byte_column: usize,
    first_rank_column: usize,
    /// The byte columns of each entry, shape `(n_entries, n_byte_columns)`, with room behind the last for a
    /// whole tile: a bit a set, by [`Self::question`].
    by_entry: Vec<i8>,
}

impl Category {
    /// Number of entries for sets of codes below `n_codes`.
    pub(super) fn n_entries_for(n_codes: usize) -> usize {
        n_codes + 2
    }

    /// The byte columns of so many sets.
    pub(super) fn n_byte_columns_for(n_sets: usize) -> usize {
        n_sets.div_ceil(SETS_OF_BYTE)
    }

    /// What a node asks of the byte column of a set, the first being 0: the bits that count, and the
    /// number that they are greater than iff the row goes right.
    pub(super) fn question(set: usize) -> (i8, i8) {
        match set % SETS_OF_BYTE {
            7 => (i8::MIN, -1),
            bit => (1 << bit, 0),
        }
    }

    /// Takes the next columns for each set of `inside`.
    pub(super) fn new(
        feature: usize,
        zero_is_missing: bool,
        inside: &InsideBits,
        first_byte_column: usize,
        first_rank_column: usize,
    ) -> Self {
        let (n_codes, n_sets) = (inside.n_codes(), inside.n_sets());
        let (n_entries, n_bytes) = (Self::n_entries_for(n_codes), Self::n_byte_columns_for(n_sets));
        let mut by_entry = vec![0; n_entries * n_bytes + TILE - 1];
        for first_set in giving_way((0..n_sets).step_by(bits::SIDE)) {
            let first_byte = first_set / SETS_OF_BYTE;
            let n = (n_bytes - first_byte).min(bits::SIDE / SETS_OF_BYTE);
            for first_entry in (0..n_entries).step_by(bits::SIDE) {
                let word = |set: usize| inside.word(first_set + set, first_entry / bits::SIDE);
                let by_set = bits::transposed(std::array::from_fn(word));
                let entries = by_entry.chunks_mut(n_bytes).skip(first_entry);
                for (bytes, is_inside) in entries.take(n_entries - first_entry).zip(by_set) {
                    let codes = (!is_inside ^ LAST_BITS).to_le_bytes().map(|byte| byte as i8);
                    bytes[first_byte..][..n].copy_from_slice(&codes[..n]);
                }
            }
        }
        Self {
            feature,
            zero_is_missing,
            n_codes,
            n_sets,
            first_byte_column,
            first_rank_column,
            by_entry,
        }
    }

    pub(super) fn feature(&self) -> usize {
        self.feature
    }

    pub(in crate::engines) fn n_entries(&self) -> usize {
        Self::n_entries_for(self.n_codes)
    }

    /// Which of its sets a rank column is.
    pub(in crate::engines) fn place_of(&self, rank_column: usize) -> Option<usize> {
        rank_column.checked_sub(self.first_rank_column).filter(|&place| place < self.n_sets)
    }

    fn n_byte_columns(&self) -> usize {
        Self::n_byte_columns_for(self.n_sets)
    }

    /// The entry of a row's value.
    #[inline(always)]
    pub(in crate::engines) fn entry_of(&self, row: &[f64]) -> usize {
        self.entry(row[self.feature])
    }

    /// Without a branch and without a cast, so that compilers work out several at once.
    #[inline(always)]
    fn entry(&self, value: f64) -> usize {
        let shifted = value + WHOLE;
        let is_whole = (shifted - WHOLE == value) & (value >= 0.0);
        let is_code = is_whole & (value < self.n_codes as f64);
        let code = shifted.to_bits() ^ WHOLE.to_bits();
        let is_zero = self.zero_is_missing & (value.abs() <= LIGHTGBM_ZERO);
        let known = if is_code { code as usize } else { self.n_codes };
        if value.is_nan() | is_zero { self.n_codes + 1 } else { known }
    }

    #[inline(always)]
    pub(super) fn row_ranks(&self, value: f64, ranks: &mut [u16]) {
        let n_bytes = self.n_byte_columns();
        let ranks = &mut ranks[self.first_rank_column..][..self.n_sets];
        let bytes = &self.by_entry[self.entry(value) * n_bytes..][..n_bytes];
        for (ranks, &byte) in ranks.chunks_mut(SETS_OF_BYTE).zip(bytes) {
            let is_outside = byte as u8 ^ LAST_BITS as u8;
            for (bit, rank) in ranks.iter_mut().enumerate() {
                *rank = u16::from(is_outside >> bit & 1);
            }
        }
    }

    /// Sixteen rows and sixteen columns at a time: what lies side by side for a row is to lie so for a column.
    #[inline(always)]
    pub(super) fn block_bytes<const V: usize>(&self, values: &[f64], bytes: &mut [ByteColumn<V>]) {
        let n_bytes = self.n_byte_columns();
        let columns = &mut bytes[self.first_byte_column..][..n_bytes];
        for (index, values) in values.chunks(TILE).enumerate() {
            let (vector, first_lane) = (index * TILE / LANES, index * TILE % LANES);
            let mut places = [0; TILE];
            for (place, &value) in places.iter_mut().zip(values) {
                *place = self.entry(value) * n_bytes;
            }
            for (tile, columns) in columns.chunks_mut(TILE).enumerate() {
                // An entry's last tile may reach into the next entry, whose bytes then become no column.
                let rows = places.map(|place| self.by_entry[place + tile * TILE..].first_chunk());
                let tile = transposed(rows.map(|row| row.unwrap_or(&[0; TILE])));
                for (column, codes) in columns.iter_mut().zip(&tile) {
                    column[vector].0[first_lane..first_lane + TILE].copy_from_slice(codes);
                }
            }
        }
    }
}
