//! Seeded draws of rows and columns that do not depend on threads or on what else was drawn.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

#[cfg(test)]
mod tests;

/// Rows drawn together by one thread.
const BLOCK_ROWS: usize = 4_096;
/// Seeds the draws of [`spread_rows`]: what a table's cuts are should not hang on the seed of a fit.
const SPREAD: u64 = 0x5b2e_ad01;

/// An independent generator for one thing (a tree, a round) of a seeded fit.
pub(crate) fn generator(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(stream);
    generator
}

/// At most `max` of `n` rows, ascending: all, or one drawn out of each of `max` stretches of equal length.
///
/// Every row is as likely as any other, so that no regular order hides some of them, such as two rows a user
/// of which every second one is looked at. Stretches need not be whole numbers long: a row at the border of
/// two may come twice.
pub(crate) fn spread_rows(n: usize, max: usize) -> Vec<u32> {
    if n <= max {
        return (0..n as u32).collect();
    }
    let length = n as f64 / max as f64;
    let row = |stretch: usize| {
        let place = (hashed(SPREAD, stretch as u64) >> 11) as f64 / (1u64 << 53) as f64;
        (((stretch as f64 + place) * length) as usize).min(n - 1) as u32
    };
    (0..max).map(row).collect()
}

/// The rows of `rows` drawn for a round, each with probability `share`, ascending. Place `i` of the list has
/// word `i` of the generator, so that blocks can be drawn at the same time.
pub(crate) fn draw_rows(rows: &[u32], share: f64, seed: u64, round: u64) -> Vec<u32> {
    let limit = (share * (1u64 << 32) as f64) as u64;
    let of_block = |(block, rows): (usize, &[u32])| {
        let mut generator = generator(seed, round);
        generator.set_word_pos((block * BLOCK_ROWS) as u128);
        let drawn = |_: &u32| u64::from(generator.random::<u32>()) < limit;
        rows.iter().copied().filter(drawn).collect::<Vec<u32>>()
    };
    let blocks = rows.par_chunks(BLOCK_ROWS).enumerate();
    blocks.flat_map_iter(of_block).collect()
}

/// `n` of `rows` (ascending), ascending: each block of them gives its share, drawn without repetition.
///
/// Shares are whole numbers. Where they are rounded up moves with the draw, so that no row is likelier than
/// another.
pub(crate) fn draw_exactly(rows: &[u32], n: usize, seed: u64, round: u64) -> Vec<u32> {
    let (all, n) = (rows.len().max(1) as u64, n.min(rows.len()) as u64);
    let key = hashed(seed, round);
    // Products of two numbers of rows, which have 28 bits each.
    let before = |end: usize| (end as u64 * n + key % all) / all;
    let of_block = |(block, rows): (usize, &[u32])| {
        let first = block * BLOCK_ROWS;
        let n = (before(first + rows.len()) - before(first)) as usize;
        let mut rows = rows.to_vec();
        draw_front(&mut rows, n, &mut generator(key, block as u64));
        rows.truncate(n);
        rows.sort_unstable();
        rows
    };
    let blocks = rows.par_chunks(BLOCK_ROWS).enumerate();
    blocks.flat_map_iter(of_block).collect()
}

/// Brings `n` randomly drawn elements to the front.
pub(crate) fn draw_front(elements: &mut [u32], n: usize, generator: &mut ChaCha8Rng) {
    for index in 0..n.min(elements.len()) {
        let other = generator.random_range(index..elements.len());
        elements.swap(index, other);
    }
}

/// `share` of the ascending `columns`, rounded up, ascending.
pub(crate) fn draw_columns(
    mut columns: Vec<u32>,
    share: f64,
    generator: &mut ChaCha8Rng,
) -> Vec<u32> {
    let n_columns = columns.len();
    let n = ((share * n_columns as f64).ceil() as usize).clamp(1, n_columns.max(1));
    if n < n_columns {
        draw_front(&mut columns, n, generator);
        columns.truncate(n);
        columns.sort_unstable();
    }
    columns
}

/// How often each of `n_rows` rows is drawn in `n_rows` draws with repetition, at most 255 times.
pub(crate) fn bootstrap_counts(n_rows: usize, generator: &mut ChaCha8Rng) -> Vec<u8> {
    let mut counts = vec![0u8; n_rows];
    for _ in 0..n_rows {
        let row = generator.random_range(0..n_rows);
        counts[row] = counts[row].saturating_add(1);
    }
    counts
}

/// 64 random bits of one thing (a node, a column) of a seeded fit: the finaliser of SplitMix64 (Steele,
/// Lea and Flood 2014) over both numbers. Needs no generator and no order.
pub(crate) fn hashed(seed: u64, stream: u64) -> u64 {
    let mut bits = seed ^ stream.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// The random cut of extra-trees (Geurts et al. 2006) over `n` places in order: uniform over the places
/// between the first and the last that have rows, the cut being behind the place. With fewer than two
/// such places, the last one.
pub(crate) fn drawn_cut(n: usize, has_rows: impl Fn(usize) -> bool, draw: u64) -> usize {
    let first = (0..n).position(&has_rows);
    let last = (0..n).rposition(&has_rows);
    match (first, last) {
        (Some(first), Some(last)) if first < last => {
            first + (draw % (last - first) as u64) as usize
        }
        _ => n.saturating_sub(1),
    }
}
