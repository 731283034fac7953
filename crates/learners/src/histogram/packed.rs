//! Gradient, second derivative and row count in one 64-bit word, so that a row costs a column one load,
//! one addition and one store.
//!
//! A row's gradient takes 12 bits with its sign and its second derivative 9; a block of 16,384 rows
//! then fits 26, 23 and 15 bits. Words of larger sets are added block by block to [`Cell`]s. Where few rows
//! have nearly all of the gradient, such as positives of which there is one in 300, both take 3 bits more and
//! blocks have 2,048 rows. Values are
//! rounded up or down at random in proportion to their distance, so that sums have no bias (Shi et al.
//! 2022, "Quantized Training of Gradient Boosting Decision Trees", who go down to 2 bits); the draw depends on the
//! row and the seed alone.

use super::{Cell, Entry, ROW_BITS};
use crate::prefetch::prefetch;

/// How finely rows are packed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Grain {
    /// Rows whose words may be added before they are moved to wide cells.
    pub(super) block_rows: usize,
    /// Largest absolute scaled gradient of a row.
    pub(super) max_gradient: f64,
    /// Largest scaled second derivative of a row.
    pub(super) max_hessian: f64,
}

impl Grain {
    pub(super) const COARSE: Self =
        Self { block_rows: 1 << 14, max_gradient: 2047.0, max_hessian: 511.0 };
    /// An eighth of the rows have a word, and each three bits more.
    pub(super) const FINE: Self =
        Self { block_rows: 1 << 11, max_gradient: 16_383.0, max_hessian: 4095.0 };

    /// The coarser one that leaves the means enough steps, given how many times the mean the largest gradient
    /// and the largest second derivative are.
    pub(super) fn of(n_rows: usize, gradient_tail: f64, hessian_tail: f64) -> Option<Self> {
        let room = (LARGEST_HESSIAN_SUM / n_rows as f64).floor();
        let fits = |grain: &Self| {
            gradient_tail * GRADIENT_STEPS <= grain.max_gradient + 1.0
                && hessian_tail * HESSIAN_STEPS <= grain.max_hessian + 1.0
        };
        [Self::COARSE, Self::FINE]
            .map(|grain| Self { max_hessian: grain.max_hessian.min(room), ..grain })
            .into_iter()
            .find(fits)
    }
}

/// Steps that the mean absolute gradient must have, rounded up or down in proportion.
const GRADIENT_STEPS: f64 = 16.0;
/// The same for the mean second derivative.
const HESSIAN_STEPS: f64 = 8.0;
/// What the second derivatives of all rows may sum to: one bit below what a [`Cell`] holds.
const LARGEST_HESSIAN_SUM: f64 = (1u64 << (u64::BITS - ROW_BITS - 1)) as f64;

const HESSIAN_SHIFT: u32 = 15;
const GRADIENT_SHIFT: u32 = 38;
/// Bits of a stored row that hold the second derivative.
const STORED_HESSIAN_BITS: u32 = 16;

/// Words of a bundle. More than 256 so that the words of two bundles do not lie a power of two apart,
/// where state 0 of all bundles would compete for one cache set.
pub(super) const BUNDLE_WORDS: usize = 264;

/// Sums of a block of rows by state.
pub(super) type BundleWords = [u64; BUNDLE_WORDS];

/// A row as it is stored: gradient in the high half, second derivative in the low one.
#[inline]
pub(super) fn store(gradient: i32, hessian: i32) -> u32 {
    (gradient << STORED_HESSIAN_BITS | hessian) as u32
}

/// The word that a stored row adds.
#[inline]
pub(super) fn word(stored: u32) -> u64 {
    let gradient = i64::from(stored as i32 >> STORED_HESSIAN_BITS);
    let hessian = u64::from(stored & ((1 << STORED_HESSIAN_BITS) - 1));
    ((gradient << GRADIENT_SHIFT) as u64).wrapping_add(hessian << HESSIAN_SHIFT | 1)
}

/// The sums that a word holds.
#[inline]
pub(super) fn cell(word: u64) -> Cell {
    let rows = word & ((1 << HESSIAN_SHIFT) - 1);
    let hessian = word >> HESSIAN_SHIFT & ((1 << (GRADIENT_SHIFT - HESSIAN_SHIFT)) - 1);
    Cell { gradient: word as i64 >> GRADIENT_SHIFT, hessian_rows: hessian << ROW_BITS | rows }
}

/// Bundles whose bytes are read together; the loop over them is unrolled.
const TILE: usize = 8;
/// Rows between asking for a row's bytes and reading them.
const PREFETCH_ROWS: usize = 16;

/// Rows of which a bundle is summed before the next one.
const RUN_ROWS: usize = 1024;

/// Adds the words of rows that follow one another, from `first` on: bundle by bundle, four at a time, so that
/// all sums stay in the first-level cache and no addition waits for the one before.
pub(super) fn add_run(sums: &mut [BundleWords], states: &[&[u8]], first: usize, entries: &[Entry]) {
    let mut words = [0; RUN_ROWS];
    for (run, entries) in entries.chunks(RUN_ROWS).enumerate() {
        let words = &mut words[..entries.len()];
        words.iter_mut().zip(entries).for_each(|(to, entry)| *to = word(entry.stored()));
        let rows = first + run * RUN_ROWS..first + run * RUN_ROWS + entries.len();
        let mut sums = sums.chunks_exact_mut(4);
        let mut states = states.chunks_exact(4);
        for (sums, states) in (&mut sums).zip(&mut states) {
            let ([a, b, c, d], [of_a, of_b, of_c, of_d]) = (sums, states) else { continue };
            let of_ab = of_a[rows.clone()].iter().zip(&of_b[rows.clone()]);
            let of_cd = of_c[rows.clone()].iter().zip(&of_d[rows.clone()]);
            for (((&a_state, &b_state), (&c_state, &d_state)), &word) in
                of_ab.zip(of_cd).zip(&*words)
            {
                add(a, a_state, word);
                add(b, b_state, word);
                add(c, c_state, word);
                add(d, d_state, word);
            }
        }
        for (sums, states) in sums.into_remainder().iter_mut().zip(states.remainder()) {
            states[rows.clone()]
                .iter()
                .zip(&*words)
                .for_each(|(&state, &word)| add(sums, state, word));
        }
    }
}

#[inline(always)]
fn add(sums: &mut BundleWords, state: u8, word: u64) {
    let sum = &mut sums[usize::from(state)];
    *sum = sum.wrapping_add(word);
}

/// Adds the words of the given rows; `states` is row-major, a byte a bundle, `sums` one entry a bundle.
pub(super) fn add_rows(sums: &mut [BundleWords], states: &[u8], entries: &[Entry]) {
    let width = sums.len();
    for (index, entry) in entries.iter().enumerate() {
        if let Some(ahead) = entries.get(index + PREFETCH_ROWS) {
            let first = ahead.row() as usize * width;
            prefetch(states, first);
            prefetch(states, first + width - 1);
        }
        let word = word(entry.stored());
        let states = &states[entry.row() as usize * width..][..width];
        let mut tiles = sums.chunks_exact_mut(TILE);
        let mut of_tiles = states.chunks_exact(TILE);
        for (sums, states) in (&mut tiles).zip(&mut of_tiles) {
            for (sums, &state) in sums.iter_mut().zip(states) {
                add(sums, state, word);
            }
        }
        for (sums, &state) in tiles.into_remainder().iter_mut().zip(of_tiles.remainder()) {
            add(sums, state, word);
        }
    }
}

/// Adds the words of the given rows for some of the bundles.
pub(super) fn add_rows_of(
    sums: &mut [BundleWords],
    bundles: &[u32],
    states: &[u8],
    width: usize,
    entries: &[Entry],
) {
    for (index, entry) in entries.iter().enumerate() {
        if let Some(ahead) = entries.get(index + PREFETCH_ROWS) {
            prefetch(states, ahead.row() as usize * width + bundles[0] as usize);
        }
        let word = word(entry.stored());
        let states = &states[entry.row() as usize * width..][..width];
        for (sums, &bundle) in sums.iter_mut().zip(bundles) {
            add(sums, states[bundle as usize], word);
        }
    }
}
