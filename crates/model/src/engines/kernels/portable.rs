//! Plain loops, written so that compilers turn them into whatever vectors the target always has.

#![allow(unsafe_code, reason = "operands of a choice are behind pointers")]

use super::{Kernel, LANES, Lanes, Operand};
use crate::engines::masks::Piece;

#[derive(Clone, Copy)]
pub(in crate::engines) struct Portable;

impl Kernel for Portable {
    #[inline(always)]
    fn count_below(self, sorted: &[f64; 16], value: f64) -> usize {
        sorted.iter().map(|&below| usize::from(value > below)).sum()
    }

    #[inline(always)]
    unsafe fn select<const V: usize>(
        self,
        codes: &[Lanes; V],
        threshold: i8,
        [mut left, mut right]: [Operand; 2],
        out: *mut Lanes,
    ) {
        for (v, codes) in codes.iter().enumerate() {
            // SAFETY: the caller promises `V` vectors.
            let mut chosen = unsafe { *left.take() };
            // SAFETY: the caller promises `V` vectors.
            let right = unsafe { *right.take() };
            for ((chosen, &code), &right) in chosen.0.iter_mut().zip(&codes.0).zip(&right.0) {
                let goes_right = -i8::from(code > threshold);
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
    fn exits<const N: usize, const WINDOW: bool>(
        self,
        table: &[Lanes; N],
        windows: [&[i8; LANES]; 2],
        pieces: [&Piece; 2],
    ) -> [u32; 2] {
        let exit = |piece: &Piece, window: &[i8; LANES]| {
            let mut right = 0u32;
            let nodes = piece.columns.iter().zip(&piece.thresholds).enumerate();
            for (node, (&column, &threshold)) in nodes {
                let column = usize::from(column as u8);
                let (vector, lane) = (column / LANES, column % LANES);
                let is_own = WINDOW && vector == N - 1;
                let code = if is_own { window[lane] } else { table[vector].0[lane] };
                right |= u32::from(code > threshold) << node;
            }
            piece.left_of.iter().take_while(|&left_of| right & left_of != 0).count() as u32
        };
        [exit(pieces[0], windows[0]), exit(pieces[1], windows[1])]
    }
}
