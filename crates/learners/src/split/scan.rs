//! The best cut of one number, over all its cuts at once.
//!
//! The running sums are integers; the gains of all cuts are then computed side by side, so that the two
//! divisions of each cut cost a fraction of what they cost one after the other.

use crate::histogram::{Cell, ROW_BITS};

/// Codes of a column, at most.
const MAX_CODES: usize = 256;

/// The rules of a scan, in the units of one round.
#[derive(Debug, Clone, Copy)]
pub(super) struct ScanRules {
    pub(super) gradient_unit: f64,
    pub(super) hessian_unit: f64,
    pub(super) lambda_l1: f64,
    pub(super) lambda_l2: f64,
    /// Rows a side must have, at least 1.
    pub(super) min_rows: u64,
    /// Second derivatives a side must have, in units.
    pub(super) min_hessian: u64,
}

/// The cuts of one number: their sums, and room for their gains.
#[derive(Debug)]
pub(crate) struct Cuts {
    n_cuts: usize,
    /// Last code on the left of each cut.
    codes: [u8; MAX_CODES],
    /// Sums of the values on the left of each cut, without missing ones.
    gradients: [i64; MAX_CODES],
    words: [u64; MAX_CODES],
    gains: [f64; MAX_CODES],
}

/// The best of some cuts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// Last code on the left.
    pub(super) code: u8,
    /// Sums of the left side.
    pub(super) left: Cell,
    /// Scores (twice the loss decrease of the best leaf values) of both sides, summed.
    pub(super) score: f64,
}

impl Cuts {
    pub(crate) fn new() -> Self {
        Self {
            n_cuts: 0,
            codes: [0; MAX_CODES],
            gradients: [0; MAX_CODES],
            words: [0; MAX_CODES],
            gains: [0.0; MAX_CODES],
        }
    }

    /// Takes the cells of values, ascending by code, at most 255.
    ///
    /// A cut behind a code without rows parts the node as the cut before it does, or keeps no value on
    /// the left, which the cut behind all values does on the other side: it is not looked at.
    pub(super) fn fill(&mut self, cells: impl Iterator<Item = (u8, Cell)>) {
        let mut left = Cell::default();
        let mut n = 0;
        for (code, cell) in cells {
            left.add(cell);
            self.codes[n] = code;
            (self.gradients[n], self.words[n]) = (left.gradient(), left.word());
            n += usize::from(cell.n_rows() > 0);
        }
        self.n_cuts = n;
    }

    /// The first cut with the largest score, `None` if the rules allow no cut. `before` is on the left of every cut
    /// besides the values; `total` is the node.
    pub(super) fn best(&mut self, before: Cell, total: Cell, rules: &ScanRules) -> Option<Cut> {
        let n = self.n_cuts;
        let gains = &mut self.gains[..n];
        let score = score_cuts(
            &self.gradients[..n],
            &self.words[..n],
            [before, total].map(|cell| (cell.gradient(), cell.word())),
            rules,
            gains,
        );
        if score == f64::NEG_INFINITY {
            return None;
        }
        let index = gains.iter().position(|&gain| gain == score)?;
        let mut left = Cell::of_sums(self.gradients[index], self.words[index]);
        left.add(before);
        Some(Cut { code: self.codes[index], left, score })
    }
}

/// Gains compared side by side.
const LANES: usize = 8;

/// The summed score of both sides of each cut, minus infinity where the rules forbid it; and the largest.
///
/// `a / b + c / d` is taken as `(a d + c b) / (b d)`: divisions are what limits the loop. Both are scaled by the node's
/// second derivative, so that no product leaves the range in which the quotients are.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn score_cuts(
    gradients: &[i64],
    words: &[u64],
    [before, total]: [(i64, u64); 2],
    rules: &ScanRules,
    gains: &mut [f64],
) -> f64 {
    let n = gains.len();
    let (gradients, words) = (&gradients[..n], &words[..n]);
    // The square of the gradient and what divides it; 0 and 1 where nothing may be divided.
    let fraction = |gradient: i64, hessian: u64| {
        let gradient = (of_signed(gradient) * rules.gradient_unit).abs() - rules.lambda_l1;
        let gradient = if gradient > 0.0 { gradient } else { 0.0 };
        let hessian = of_hessian(hessian) * rules.hessian_unit + rules.lambda_l2;
        let is_divisor = hessian > 0.0;
        let square = if is_divisor { gradient * gradient } else { 0.0 };
        (square, if is_divisor { hessian } else { 1.0 })
    };
    let scale = 1.0 / fraction(0, total.1 >> ROW_BITS).1;
    let rows_mask = (1u64 << ROW_BITS) - 1;
    for index in 0..n {
        let gradient = gradients[index].wrapping_add(before.0);
        let word = words[index].wrapping_add(before.1);
        let (right_gradient, right_word) =
            (total.0.wrapping_sub(gradient), total.1.wrapping_sub(word));
        let (hessian, right_hessian) = (word >> ROW_BITS, right_word >> ROW_BITS);
        let enough_rows =
            (word & rows_mask >= rules.min_rows) & (right_word & rows_mask >= rules.min_rows);
        let enough_hessian = (hessian >= rules.min_hessian) & (right_hessian >= rules.min_hessian);
        let (left, right) = (fraction(gradient, hessian), fraction(right_gradient, right_hessian));
        let numerator = left.0 * (right.1 * scale) + right.0 * (left.1 * scale);
        let score = numerator / (left.1 * right.1 * scale);
        gains[index] = if enough_rows & enough_hessian { score } else { f64::NEG_INFINITY };
    }
    // Whole chunks, so that the lanes stay in registers.
    let (chunks, rest) = gains.as_chunks::<LANES>();
    let mut lanes = [f64::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, &gain) in lanes.iter_mut().zip(chunk) {
            *lane = if gain > *lane { gain } else { *lane };
        }
    }
    lanes
        .iter()
        .chain(rest)
        .fold(f64::NEG_INFINITY, |most, &gain| if gain > most { gain } else { most })
}

/// `value as f64`, in steps that AVX2 has: both halves of the bits become parts of numbers that are 2^52 and 2^84
/// too large, and one rounded addition brings them together.
#[inline(always)]
fn of_signed(value: i64) -> f64 {
    const LOW: u64 = 0x4330_0000_0000_0000; // 2^52
    const HIGH: u64 = 0x4530_0000_0000_0000; // 2^84
    /// What both parts are too large by, the flipped sign among it.
    const EXCESS: f64 = ((1u128 << 84) + (1 << 63) + (1 << 52)) as f64;
    let bits = value as u64;
    let high = f64::from_bits((bits ^ 1 << 63) >> 32 | HIGH) - EXCESS;
    high + f64::from_bits(bits & 0xffff_ffff | LOW)
}

/// `value as f64` of a value below 2^52.
#[inline(always)]
fn of_hessian(value: u64) -> f64 {
    const SHIFT: u64 = 1 << 52;
    f64::from_bits(value | 0x4330_0000_0000_0000) - SHIFT as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_become_the_nearest_numbers() {
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..10_000 {
            bits = bits.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
            for shift in [0, 1, 9, 10, 11, 12, 31, 32, 33, 50, 63] {
                let value = bits as i64 >> shift;
                assert_eq!(of_signed(value).to_bits(), (value as f64).to_bits(), "{value}");
            }
            let value = bits >> 12;
            assert_eq!(of_hessian(value).to_bits(), (value as f64).to_bits(), "{value}");
        }
        for value in [0, 1, -1, i64::MAX, i64::MIN, i64::MIN + 1] {
            assert_eq!(of_signed(value).to_bits(), (value as f64).to_bits(), "{value}");
        }
    }
}
