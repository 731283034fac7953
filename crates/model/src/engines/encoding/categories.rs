//! Codes of a feature that is looked up in sets of categories.

use super::ByteColumn;
use crate::CategorySet;
use crate::courtesy::giving_way;
use crate::engines::kernels::{Kernel, LANES, Lanes};
use crate::tree::LIGHTGBM_ZERO;

/// Byte codes of the ranks 0 (inside, left) and 1 (outside, right).
const INSIDE: i8 = -128;
const OUTSIDE: i8 = -127;

/// Entries whose bits make a vector.
const VECTOR_ENTRIES: usize = 8 * LANES;
/// Vectors of bits a set, at most, for which all are looked through; beyond, sets are copied row by row.
const MAX_VECTORS: usize = 8;

/// A set, and where a missing value goes.
#[derive(Debug, Clone)]
pub(super) struct Lookup<'a> {
    pub(super) set: &'a CategorySet,
    pub(super) missing_left: bool,
}

/// A feature and all sets that it is looked up in.
///
/// A value becomes an index: its code, or one place for whatever no set holds, or one for missing.
#[derive(Debug, Clone)]
pub(in crate::engines) struct Category {
    feature: usize,
    zero_is_missing: bool,
    /// One more than the largest code of any set.
    n_codes: usize,
    n_sets: usize,
    first_byte_column: usize,
    first_rank_column: usize,
    /// Byte codes, shape `(n_codes + 2, n_sets)`: one row of codes is one copy.
    by_code: Vec<i8>,
    /// The entries outside of each set, as bits, in `n_vectors` vectors; empty if that would be too many.
    outside: Vec<Lanes>,
    n_vectors: usize,
}

impl Category {
    /// Number of table entries for sets of codes below `n_codes`.
    pub(super) fn n_entries_for(n_codes: usize) -> usize {
        n_codes + 2
    }

    /// Takes the next columns for each of `lookups`.
    pub(super) fn new(
        feature: usize,
        zero_is_missing: bool,
        n_codes: usize,
        lookups: &[Lookup<'_>],
        first_byte_column: usize,
        first_rank_column: usize,
    ) -> Self {
        let n_sets = lookups.len();
        let n_entries = Self::n_entries_for(n_codes);
        let mut by_code = vec![OUTSIDE; n_entries * n_sets];
        for (index, lookup) in giving_way(lookups.iter().enumerate()) {
            for code in lookup.set.codes() {
                by_code[code as usize * n_sets + index] = INSIDE;
            }
            if lookup.missing_left {
                by_code[(n_codes + 1) * n_sets + index] = INSIDE;
            }
        }
        let n_vectors = n_entries.div_ceil(VECTOR_ENTRIES);
        let mut outside = Vec::new();
        if n_vectors <= MAX_VECTORS {
            outside = vec![Lanes([-1; LANES]); n_sets * n_vectors];
            let sets = lookups.iter().zip(outside.chunks_exact_mut(n_vectors));
            for (lookup, outside) in giving_way(sets) {
                let missing = lookup.missing_left.then_some(n_codes as u32 + 1);
                for entry in lookup.set.codes().chain(missing) {
                    *super::lane(outside, entry as usize / 8) &= !(1 << (entry % 8));
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
            by_code,
            outside,
            n_vectors,
        }
    }

    pub(super) fn feature(&self) -> usize {
        self.feature
    }

    pub(in crate::engines) fn n_entries(&self) -> usize {
        Self::n_entries_for(self.n_codes)
    }

    /// Which of its sets a byte column is.
    pub(in crate::engines) fn place_of(&self, byte_column: usize) -> Option<usize> {
        byte_column.checked_sub(self.first_byte_column).filter(|&place| place < self.n_sets)
    }

    fn codes_of_entry(&self, entry: usize) -> &[i8] {
        &self.by_code[entry * self.n_sets..][..self.n_sets]
    }

    /// The entries inside of each set.
    pub(in crate::engines) fn entries_inside(&self) -> Vec<Vec<u32>> {
        let mut inside = vec![Vec::new(); self.n_sets];
        for (entry, codes) in giving_way(self.by_code.chunks_exact(self.n_sets).enumerate()) {
            for (inside, &code) in inside.iter_mut().zip(codes) {
                if code == INSIDE {
                    inside.push(entry as u32);
                }
            }
        }
        inside
    }

    /// The entry of a row's value.
    #[inline(always)]
    pub(in crate::engines) fn entry_of(&self, row: &[f64]) -> usize {
        self.entry(row[self.feature])
    }

    #[inline(always)]
    fn entry(&self, value: f64) -> usize {
        if value.is_nan() || self.zero_is_missing && value.abs() <= LIGHTGBM_ZERO {
            return self.n_codes + 1;
        }
        // Casts saturate, so that what is no code does not come back the same or lies beyond.
        let code = value as u32;
        let is_code = f64::from(code) == value && (code as usize) < self.n_codes;
        if is_code { code as usize } else { self.n_codes }
    }

    #[inline(always)]
    fn codes(&self, value: f64) -> &[i8] {
        self.codes_of_entry(self.entry(value))
    }

    #[inline(always)]
    pub(super) fn row_ranks(&self, value: f64, ranks: &mut [u16]) {
        let ranks = &mut ranks[self.first_rank_column..][..self.n_sets];
        for (rank, &code) in ranks.iter_mut().zip(self.codes(value)) {
            *rank = u16::from(code != INSIDE);
        }
    }

    #[inline(always)]
    pub(super) fn block_bytes<K: Kernel, const V: usize>(
        &self,
        kernel: K,
        values: &[f64],
        bytes: &mut [ByteColumn<V>],
    ) {
        let columns = &mut bytes[self.first_byte_column..][..self.n_sets];
        if self.outside.is_empty() {
            for (row, &value) in values.iter().enumerate() {
                for (column, &code) in columns.iter_mut().zip(self.codes(value)) {
                    *super::lane(column, row) = code;
                }
            }
            return;
        }
        // Of each row's entry: its bit in the vector that has it, none in others, and the byte of the bit.
        let (mut places, mut bits) = ([Lanes::ZERO; V], [[Lanes::ZERO; V]; MAX_VECTORS]);
        for (row, &value) in values.iter().enumerate() {
            let entry = self.entry(value);
            *super::lane(&mut places, row) = (entry / 8 % LANES) as i8;
            *super::lane(&mut bits[entry / VECTOR_ENTRIES], row) = 1 << (entry % 8);
        }
        let bits = &bits[..self.n_vectors];
        for (outside, column) in self.outside.chunks_exact(self.n_vectors).zip(columns) {
            for (v, codes) in column.iter_mut().enumerate() {
                let mut is_outside = 0;
                for (outside, bits) in outside.iter().zip(bits) {
                    is_outside |= kernel.test(outside, &places[v], &bits[v]);
                }
                *codes = kernel.blend(is_outside, INSIDE, OUTSIDE);
            }
        }
    }
}
