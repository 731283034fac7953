//! Codes of a feature that is compared with thresholds.

use super::ByteColumn;
use crate::engines::kernels::{Kernel, LANES, Lanes, PORTABLE};
use crate::engines::thresholds::{CHUNK, Chunk, Thresholds};
use crate::tree::{LIGHTGBM_ZERO, MissingRule};

/// Byte codes are ranks moved into the range of `i8`, whose comparison every machine has.
pub(super) const LOWEST: u8 = 0x80;

/// A feature, its thresholds under all missing rules, and its columns.
#[derive(Debug, Clone)]
pub(super) struct Number {
    feature: usize,
    thresholds: Thresholds,
    variants: Vec<Variant>,
}

/// The columns of one missing rule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variant {
    /// Kinds of value that get the substitute: [`MISSING`], and [`TINY`] where zero is missing.
    kinds: u8,
    /// Rank of such values.
    substitute: (usize, u8),
    first_byte_column: usize,
    rank_column: usize,
}

pub(super) const MISSING: u8 = 1;
pub(super) const TINY: u8 = 2;

#[inline(always)]
fn kinds_of(value: f64) -> u8 {
    // NaN is not at most anything, so a value has at most one kind.
    (u8::from(value.is_nan()) * MISSING) | (u8::from(value.abs() <= LIGHTGBM_ZERO) * TINY)
}

#[inline(always)]
fn values_kinds(values: &[f64; LANES]) -> [u8; LANES] {
    let mut kinds = [0; LANES];
    for (kinds, &value) in kinds.iter_mut().zip(values) {
        *kinds = kinds_of(value);
    }
    kinds
}

impl Variant {
    fn new(
        rule: MissingRule,
        thresholds: &Thresholds,
        first_byte_column: usize,
        rank_column: usize,
    ) -> Self {
        let above_all = (thresholds.n_chunks() - 1, u8::MAX);
        let (kinds, substitute) = match rule {
            MissingRule::Left => (MISSING, (0, 0)),
            MissingRule::Right => (MISSING, above_all),
            MissingRule::AsZero => (MISSING, thresholds.rank(PORTABLE, 0.0)),
            MissingRule::ZeroLeft => (MISSING | TINY, (0, 0)),
            MissingRule::ZeroRight => (MISSING | TINY, above_all),
        };
        Self { kinds, substitute, first_byte_column, rank_column }
    }

    #[inline(always)]
    fn choose(&self, kinds: u8, found: (usize, u8)) -> (usize, u8) {
        if kinds & self.kinds == 0 { found } else { self.substitute }
    }
}

/// Rank of a value within the thresholds of one chunk, all or none of which it exceeds if it lies in
/// another.
#[inline(always)]
fn rank_in_chunk(asked: usize, (chunk, rank): (usize, u8)) -> u8 {
    let outside = if asked < chunk { u8::MAX } else { 0 };
    if asked == chunk { rank } else { outside }
}

impl Number {
    /// Takes the next columns for each of `rules`.
    pub(super) fn new(
        feature: usize,
        sorted: &[f64],
        rules: &[MissingRule],
        first_byte_column: usize,
        first_rank_column: usize,
    ) -> Self {
        let thresholds = Thresholds::new(sorted);
        let variants = rules.iter().enumerate().map(|(index, &rule)| {
            let byte_column = first_byte_column + index * thresholds.n_chunks();
            Variant::new(rule, &thresholds, byte_column, first_rank_column + index)
        });
        Self { feature, variants: variants.collect(), thresholds }
    }

    pub(super) fn feature(&self) -> usize {
        self.feature
    }

    pub(super) fn n_chunks(&self) -> usize {
        self.thresholds.n_chunks()
    }

    pub(super) fn chunks(&self) -> &[Chunk] {
        self.thresholds.chunks()
    }

    /// The byte columns of a chunk, one a missing rule: place, the kinds of value that get the
    /// substitute, and its rank within the chunk.
    pub(super) fn columns_of_chunk(&self, chunk: usize) -> impl Iterator<Item = (usize, u8, i8)> {
        self.variants.iter().map(move |variant| {
            let substitute = rank_in_chunk(chunk, variant.substitute);
            (variant.first_byte_column + chunk, variant.kinds, substitute as i8)
        })
    }

    #[inline(always)]
    pub(super) fn row_ranks<K: Kernel>(&self, kernel: K, value: f64, ranks: &mut [u16]) {
        let found = self.thresholds.rank(kernel, value);
        let kinds = kinds_of(value);
        for variant in &self.variants {
            let (chunk, rank) = variant.choose(kinds, found);
            ranks[variant.rank_column] = (chunk * CHUNK) as u16 + u16::from(rank);
        }
    }

    #[inline(always)]
    pub(super) fn block_bytes<K: Kernel, const V: usize>(
        &self,
        kernel: K,
        values: &[f64],
        bytes: &mut [ByteColumn<V>],
    ) {
        if self.n_chunks() > 1 {
            return self.block_bytes_of_chunks(kernel, values, bytes);
        }
        let mut padded = [0.0; LANES];
        for (v, values) in values.chunks(LANES).enumerate() {
            let values = values.first_chunk().unwrap_or_else(|| {
                padded[..values.len()].copy_from_slice(values);
                &padded
            });
            let ranks = self.thresholds.ranks_of_one_chunk(kernel, values);
            let kinds = values_kinds(values);
            for &Variant { kinds: own, substitute: (_, substitute), first_byte_column, .. } in
                &self.variants
            {
                let mut codes = Lanes::ZERO;
                for ((code, &rank), &kinds) in codes.0.iter_mut().zip(&ranks).zip(&kinds) {
                    let chosen = if kinds & own == 0 { rank } else { substitute };
                    *code = (chosen ^ LOWEST) as i8;
                }
                bytes[first_byte_column][v] = codes;
            }
        }
    }

    #[inline(always)]
    fn block_bytes_of_chunks<K: Kernel, const V: usize>(
        &self,
        kernel: K,
        values: &[f64],
        bytes: &mut [ByteColumn<V>],
    ) {
        for (row, &value) in values.iter().enumerate() {
            let found = self.thresholds.rank(kernel, value);
            let kinds = kinds_of(value);
            for variant in &self.variants {
                let found = variant.choose(kinds, found);
                let columns = &mut bytes[variant.first_byte_column..][..self.n_chunks()];
                for (chunk, column) in columns.iter_mut().enumerate() {
                    *super::lane(column, row) = (rank_in_chunk(chunk, found) ^ LOWEST) as i8;
                }
            }
        }
    }
}
