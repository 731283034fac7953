//! Gradient-based one-side sampling (Ke et al. 2017): rows with large gradients always, some of the others,
//! which then count for all of them.
//!
//! Everything runs over fixed blocks of rows or on whole numbers, so that the sample is the same on any number
//! of threads.

use rayon::prelude::*;

use super::gradients::Gradients;
use super::params::Goss;
use crate::histogram::Derivatives;
use crate::sampling::draw_exactly;

/// Rows handled together by one thread.
const BLOCK_ROWS: usize = 4_096;
/// Rows counted together by one thread: enough to be worth a table of counters.
const COUNTED_ROWS: usize = 32_768;
/// Bits of a size looked at in one pass; their counters stay in the first-level cache.
const DIGIT_BITS: u32 = 11;

/// Rows of a round.
pub(super) struct Sample {
    /// Ascending.
    pub(super) rows: Vec<u32>,
    /// How often each row of the table counts, 0 for those that were not drawn; `None` if all drawn
    /// rows count once.
    pub(super) factors: Option<Vec<f64>>,
}

/// Draws from `rows` (ascending) by the absolute gradients, summed over outputs. Among equal ones the lower
/// row is larger.
pub(super) fn draw_by_gradient(
    goss: Goss,
    rows: &[u32],
    n_rows: usize,
    outputs: &[Gradients<'_>],
    seed: u64,
    stream: u64,
) -> Sample {
    let sizes = sizes(n_rows, outputs);
    let (top, others) = divide(rows, &sizes, share(goss.top_rate, rows.len()));
    let n_others = share(goss.other_rate, rows.len()).min(others.len());
    let drawn = draw_exactly(&others, n_others, seed, stream);
    let factor = others.len() as f64 / n_others.max(1) as f64;
    let mut factors = vec![0.0; n_rows];
    factors.par_chunks_mut(BLOCK_ROWS).enumerate().for_each(|(block, factors)| {
        let (first, end) = (block * BLOCK_ROWS, block * BLOCK_ROWS + factors.len());
        for (rows, factor) in [(&top, 1.0), (&drawn, factor)] {
            let before = |end: usize| rows.partition_point(|&row| (row as usize) < end);
            for &row in &rows[before(first)..before(end)] {
                factors[row as usize - first] = factor;
            }
        }
    });
    let counts = |&row: &u32| factors[row as usize] > 0.0;
    let rows = rows.par_iter().copied().with_min_len(BLOCK_ROWS).filter(counts).collect();
    Sample { rows, factors: Some(factors) }
}

fn share(rate: f64, n_rows: usize) -> usize {
    ((rate * n_rows as f64).ceil() as usize).min(n_rows)
}

fn sizes(n_rows: usize, outputs: &[Gradients<'_>]) -> Vec<f64> {
    let mut sizes = vec![0.0; n_rows];
    sizes.par_chunks_mut(BLOCK_ROWS).enumerate().for_each(|(block, sizes)| {
        let (mut gradients, mut hessians) = (vec![0.0; sizes.len()], vec![0.0; sizes.len()]);
        for output in outputs {
            output.fill(block * BLOCK_ROWS, &mut gradients, &mut hessians);
            sizes.iter_mut().zip(&gradients).for_each(|(size, g)| *size += g.abs());
        }
    });
    sizes
}

/// The `n` rows of the largest sizes and the others, both ascending.
fn divide(rows: &[u32], sizes: &[f64], n: usize) -> (Vec<u32>, Vec<u32>) {
    if n == 0 {
        return (Vec::new(), rows.to_vec());
    }
    let key = |row: u32| sizes[row as usize].to_bits();
    let (last, n_equal) = nth_largest(rows, &key, n);
    // Of the rows that equal the last one the lowest are taken: each block has to know of those before it.
    let equal = |rows: &[u32]| rows.iter().filter(|&&row| key(row) == last).count();
    let mut before: Vec<usize> = rows.par_chunks(BLOCK_ROWS).map(equal).collect();
    let mut sum = 0;
    before.iter_mut().for_each(|n| sum += std::mem::replace(n, sum));
    let of_block = |(rows, &before): (&[u32], &usize)| {
        let mut left = n_equal.saturating_sub(before);
        rows.iter().copied().partition::<Vec<u32>, _>(|&row| {
            let takes_equal = key(row) == last && left > 0;
            left -= usize::from(takes_equal);
            takes_equal || key(row) > last
        })
    };
    let blocks: Vec<(Vec<u32>, Vec<u32>)> =
        rows.par_chunks(BLOCK_ROWS).zip(&before).map(of_block).collect();
    let (top, others): (Vec<_>, Vec<_>) = blocks.into_iter().unzip();
    (top.concat(), others.concat())
}

/// The `n`-th largest key (of sizes, which are not below 0 and order as their bits do) and how many of the
/// first `n` have it. Digit by digit from the top, on counts.
fn nth_largest(rows: &[u32], key: &(impl Fn(u32) -> u64 + Sync), n: usize) -> (u64, usize) {
    let (mut known, mut left) = (0u64, n as u64);
    let mut shift = u64::BITS.next_multiple_of(DIGIT_BITS);
    while shift > 0 {
        let above = shift;
        shift -= DIGIT_BITS;
        let digit = |key: u64| (key >> shift) as usize & ((1 << DIGIT_BITS) - 1);
        let count = |rows: &[u32]| {
            let mut counts = vec![0u64; 1 << DIGIT_BITS];
            let keys = rows.iter().map(|&row| key(row));
            keys.filter(|key| key.checked_shr(above).unwrap_or(0) == known)
                .for_each(|key| counts[digit(key)] += 1);
            counts
        };
        let add = |mut a: Vec<u64>, b: Vec<u64>| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
            a
        };
        let counts = rows.par_chunks(COUNTED_ROWS).map(count).reduce_with(add).unwrap_or_default();
        let mut found = 0;
        for (digit, &count) in counts.iter().enumerate().rev() {
            found = digit as u64;
            if count >= left {
                break;
            }
            left -= count;
        }
        known = known << DIGIT_BITS | found;
    }
    (known, left as usize)
}

#[cfg(test)]
mod tests;
