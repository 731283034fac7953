//! Plain loops, written so that compilers turn them into whatever vectors the target always has.

#![allow(unsafe_code, reason = "operands of a choice are behind pointers")]

use super::{Kernel, LANES, Lanes, Operand};

#[derive(Clone, Copy)]
pub(in crate::engines) struct Portable;

impl Kernel for Portable {
    #[inline(always)]
    fn count_below(self, sorted: &[f64; 16], value: f64) -> usize {
        sorted.iter().map(|&below| usize::from(value > below)).sum()
    }

    #[inline(always)]
    fn count_all(self, thresholds: &[f64], values: &[f64; LANES]) -> [u8; LANES] {
        let mut counts = [0; LANES];
        for below in thresholds {
            for (count, value) in counts.iter_mut().zip(values) {
                *count += u8::from(value > below);
            }
        }
        counts
    }

    #[inline(always)]
    fn count_columns(self, thresholds: &[[f64; 8]], values: &[f64; 8]) -> ([i8; 8], u8) {
        let mut counts = [0; 8];
        for thresholds in thresholds {
            for ((count, value), below) in counts.iter_mut().zip(values).zip(thresholds) {
                *count += i8::from(value > below);
            }
        }
        let missing =
            values.iter().rev().fold(0, |bits, value| bits << 1 | u8::from(value.is_nan()));
        (counts, missing)
    }

    #[inline(always)]
    fn blend(self, bits: u64, unset: i8, set: i8) -> Lanes {
        let lane = |lane: usize| unset ^ (-((bits >> lane & 1) as i8) & (unset ^ set));
        Lanes(std::array::from_fn(lane))
    }

    #[inline(always)]
    unsafe fn select<const V: usize>(
        self,
        codes: &[Lanes; V],
        (mask, threshold): (i8, i8),
        [mut left, mut right]: [Operand; 2],
        out: *mut Lanes,
    ) {
        for (v, codes) in codes.iter().enumerate() {
            // SAFETY: the caller promises `V` vectors.
            let mut chosen = unsafe { *left.take() };
            // SAFETY: the caller promises `V` vectors.
            let right = unsafe { *right.take() };
            for ((chosen, &code), &right) in chosen.0.iter_mut().zip(&codes.0).zip(&right.0) {
                let goes_right = -i8::from(code & mask > threshold);
                *chosen ^= (*chosen ^ right) & goes_right;
            }
            // SAFETY: the caller promises `V` vectors.
            unsafe { *out.wrapping_add(v) = chosen };
        }
    }

    #[inline(always)]
    fn add_values(
        self,
        values: &[f64; 256],
        _n_leaves: usize,
        index: &[Lanes],
        sums: &mut [[f64; LANES]],
    ) {
        for (index, sums) in index.iter().zip(sums) {
            for (&leaf, sum) in index.0.iter().zip(sums) {
                *sum += values[usize::from(leaf as u8)];
            }
        }
    }

    #[inline(always)]
    fn look_up<const N: usize>(self, table: &[Lanes; N], index: &Lanes) -> Lanes {
        let mut out = Lanes::ZERO;
        for (out, &at) in out.0.iter_mut().zip(&index.0) {
            let at = usize::from(at as u8);
            *out = table[at / LANES % N].0[at % LANES];
        }
        out
    }

    #[inline(always)]
    fn greater<const N: usize>(self, table: &[Lanes; N], index: &Lanes, than: &Lanes) -> u64 {
        let found = self.look_up(table, index);
        let lanes = found.0.iter().zip(&than.0).enumerate();
        lanes.fold(0, |bits, (lane, (found, than))| bits | u64::from(found > than) << lane)
    }

    #[inline(always)]
    fn exits(self, masks: &[u64; 8], left_of: &[[u32; 16]], exits: &mut [u32; 16]) {
        let masks: [u32; 16] = std::array::from_fn(|at| (masks[at / 2] >> (at % 2 * 32)) as u32);
        *exits = [left_of.len() as u32; 16];
        for (at, left_of) in left_of.iter().rev().enumerate().rev() {
            for ((exit, mask), left_of) in exits.iter_mut().zip(&masks).zip(left_of) {
                *exit = if mask & left_of == 0 { at as u32 } else { *exit };
            }
        }
    }
}
