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

/// Room for the sums and gains of all cuts.
#[derive(Debug)]
pub(super) struct Cuts {
    /// Last code on the left of each cut.
    codes: [u8; MAX_CODES],
    gradients: [i64; MAX_CODES],
    words: [u64; MAX_CODES],
    gains: [f64; MAX_CODES],
}

impl Cuts {
    pub(super) fn new() -> Self {
        Self {
            codes: [0; MAX_CODES],
            gradients: [0; MAX_CODES],
            words: [0; MAX_CODES],
            gains: [0.0; MAX_CODES],
        }
    }

    /// Scores (twice the loss decrease of the best leaf values) of both sides of the cut behind each code,
    /// summed, and the first cut with the largest sum: its code and the sum. `None` if the rules
    /// allow no cut. `cells` ascend by code; `before` is on the left of every cut; `total` is the node.
    ///
    /// A cut behind a code without rows parts the node as the cut before it does, or keeps no value on
    /// the left, which the cut behind all values does on the other side: it is not looked at.
    pub(super) fn best(
        &mut self,
        cells: impl Iterator<Item = (u8, Cell)>,
        before: Cell,
        total: Cell,
        rules: &ScanRules,
    ) -> Option<(u8, f64)> {
        let mut left = before;
        let mut n = 0;
        for (code, cell) in cells {
            left.add(cell);
            self.codes[n] = code;
            (self.gradients[n], self.words[n]) = (left.gradient(), left.word());
            n += usize::from(cell.n_rows() > 0);
        }
        let gains = &mut self.gains[..n];
        let sums = (total.gradient(), total.word());
        score_cuts(&self.gradients[..n], &self.words[..n], sums, rules, gains);
        let largest = largest(gains);
        if largest == f64::NEG_INFINITY {
            return None;
        }
        let index = gains.iter().position(|&gain| gain == largest)?;
        Some((self.codes[index], largest))
    }
}

/// The summed score of both sides of each cut; minus infinity where the rules forbid it.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn score_cuts(
    gradients: &[i64],
    words: &[u64],
    total: (i64, u64),
    rules: &ScanRules,
    gains: &mut [f64],
) {
    let n = gains.len();
    let (gradients, words) = (&gradients[..n], &words[..n]);
    let score = |gradient: i64, hessian: u64| {
        let gradient = (gradient as f64 * rules.gradient_unit).abs() - rules.lambda_l1;
        let gradient = if gradient > 0.0 { gradient } else { 0.0 };
        let hessian = hessian as f64 * rules.hessian_unit + rules.lambda_l2;
        let score = gradient * gradient / hessian;
        if hessian > 0.0 { score } else { 0.0 }
    };
    let rows_mask = (1u64 << ROW_BITS) - 1;
    for index in 0..n {
        let (gradient, word) = (gradients[index], words[index]);
        let (right_gradient, right_word) =
            (total.0.wrapping_sub(gradient), total.1.wrapping_sub(word));
        let (hessian, right_hessian) = (word >> ROW_BITS, right_word >> ROW_BITS);
        let enough_rows =
            (word & rows_mask >= rules.min_rows) & (right_word & rows_mask >= rules.min_rows);
        let enough_hessian = (hessian >= rules.min_hessian) & (right_hessian >= rules.min_hessian);
        let sum = score(gradient, hessian) + score(right_gradient, right_hessian);
        gains[index] = if enough_rows & enough_hessian { sum } else { f64::NEG_INFINITY };
    }
}

/// The largest value; the order in which values are compared does not matter.
fn largest(values: &[f64]) -> f64 {
    let mut lanes = [f64::NEG_INFINITY; 8];
    for values in values.chunks(8) {
        for (lane, &value) in lanes.iter_mut().zip(values) {
            *lane = if value > *lane { value } else { *lane };
        }
    }
    lanes.into_iter().fold(f64::NEG_INFINITY, f64::max)
}
