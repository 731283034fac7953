//! Plain loops, written so that compilers turn them into whatever vectors the target always has.

use super::{Kernel, LANES, Lanes};
use crate::engines::masks::Piece;

#[derive(Clone, Copy)]
pub(in crate::engines) struct Portable;

impl Kernel for Portable {
    #[inline(always)]
    fn count_below(self, sorted: &[f64; 16], value: f64) -> usize {
        sorted.iter().map(|&below| usize::from(value > below)).sum()
    }

    #[inline(always)]
    fn select(self, codes: &Lanes, threshold: i8, left: &Lanes, right: &Lanes) -> Lanes {
        let mut out = *left;
        for ((out, &code), &right) in out.0.iter_mut().zip(&codes.0).zip(&right.0) {
            let right_lane = -i8::from(code > threshold);
            *out ^= (*out ^ right) & right_lane;
        }
        out
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
        Lanes(index.0.map(|at| table[usize::from(at as u8) / LANES % N].0[at as u8 as usize % LANES]))
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
                let (vector, lane) = (usize::from(column) / LANES, usize::from(column) % LANES);
                let is_own = WINDOW && vector == N - 1;
                let code = if is_own { window[lane] } else { table[vector].0[lane] };
                right |= u32::from(code > threshold) << node;
            }
            let paths = piece.path.iter().zip(&piece.want);
            paths.take_while(|&(path, want)| right & path != *want).count() as u32
        };
        [exit(pieces[0], windows[0]), exit(pieces[1], windows[1])]
    }
}
