//! Codes of a feature that is looked up in sets of categories.

use super::ByteColumn;
use crate::CategorySet;
use crate::engines::kernels::{Kernel, LANES, Lanes};
use crate::tree::LIGHTGBM_ZERO;

/// Byte codes of the ranks 0 (inside, left) and 1 (outside, right).
const INSIDE: i8 = -128;
const OUTSIDE: i8 = -127;

/// Entries of a table that a byte can index.
const BYTE_ENTRIES: usize = 256;

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
    /// The same set by set, each padded to whole vectors; empty where indices need more than a byte.
    by_set: Vec<Lanes>,
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
        for (index, lookup) in lookups.iter().enumerate() {
            for code in lookup.set.codes() {
                by_code[code as usize * n_sets + index] = INSIDE;
            }
            if lookup.missing_left {
                by_code[(n_codes + 1) * n_sets + index] = INSIDE;
            }
        }
        let mut by_set = Vec::new();
        if n_entries <= BYTE_ENTRIES {
            let n_vectors = n_entries.div_ceil(LANES).next_power_of_two();
            by_set = vec![Lanes::ZERO; n_sets * n_vectors];
            for (set, table) in by_set.chunks_exact_mut(n_vectors).enumerate() {
                for entry in 0..n_entries {
                    table[entry / LANES].0[entry % LANES] = by_code[entry * n_sets + set];
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
            by_set,
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

    /// Byte codes of all sets for an entry.
    pub(in crate::engines) fn codes_of_entry(&self, entry: usize) -> &[i8] {
        &self.by_code[entry * self.n_sets..][..self.n_sets]
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
        if self.by_set.is_empty() {
            for (row, &value) in values.iter().enumerate() {
                for (column, &code) in columns.iter_mut().zip(self.codes(value)) {
                    *super::lane(column, row) = code;
                }
            }
            return;
        }
        let mut entries = [Lanes::ZERO; V];
        for (row, &value) in values.iter().enumerate() {
            *super::lane(&mut entries, row) = self.entry(value) as u8 as i8;
        }
        match self.by_set.len() / self.n_sets {
            1 => look_up::<K, V, 1>(kernel, &self.by_set, &entries, columns),
            2 => look_up::<K, V, 2>(kernel, &self.by_set, &entries, columns),
            _ => look_up::<K, V, 4>(kernel, &self.by_set, &entries, columns),
        }
    }
}

#[inline(always)]
fn look_up<K: Kernel, const V: usize, const N: usize>(
    kernel: K,
    by_set: &[Lanes],
    entries: &[Lanes; V],
    columns: &mut [ByteColumn<V>],
) {
    let (tables, _) = by_set.as_chunks::<N>();
    for (table, column) in tables.iter().zip(columns) {
        for (entries, codes) in entries.iter().zip(column) {
            *codes = kernel.look_up(table, entries);
        }
    }
}
