//! One row, or eight rows side by side.

use std::ops::{Add, Mul, Sub};

/// The values of one row (`f64`) or of several ([`F64x8`]) under the same operations.
///
/// No operation mixes lanes, and none is fused: a row gets the same bits alone, in any lane, and on
/// every machine.
pub(super) trait Lanes:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self>
{
    /// Rows side by side.
    const N: usize;

    fn splat(value: f64) -> Self;

    fn from_fn(value: impl FnMut(usize) -> f64) -> Self;

    fn lane(&self, lane: usize) -> f64;

    /// 1 where the value is at most `threshold`, or where it is NaN and `missing` says so; else 0.
    fn at_most(self, threshold: f64, missing: bool) -> Self;
}

fn is_at_most(value: f64, threshold: f64, missing: bool) -> bool {
    (value <= threshold) | (value.is_nan() & missing)
}

impl Lanes for f64 {
    const N: usize = 1;

    #[inline(always)]
    fn splat(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn from_fn(mut value: impl FnMut(usize) -> f64) -> Self {
        value(0)
    }

    #[inline(always)]
    fn lane(&self, _: usize) -> f64 {
        *self
    }

    #[inline(always)]
    fn at_most(self, threshold: f64, missing: bool) -> Self {
        if is_at_most(self, threshold, missing) { 1.0 } else { 0.0 }
    }
}

/// Eight rows: one register of AVX-512, two of AVX2, four of SSE2 or NEON.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct F64x8([f64; 8]);

impl Lanes for F64x8 {
    const N: usize = 8;

    #[inline(always)]
    fn splat(value: f64) -> Self {
        Self([value; 8])
    }

    #[inline(always)]
    fn from_fn(value: impl FnMut(usize) -> f64) -> Self {
        Self(std::array::from_fn(value))
    }

    #[inline(always)]
    fn lane(&self, lane: usize) -> f64 {
        self.0[lane]
    }

    #[inline(always)]
    fn at_most(self, threshold: f64, missing: bool) -> Self {
        let mut out = [0.0; 8];
        for (out, value) in out.iter_mut().zip(self.0) {
            *out = if is_at_most(value, threshold, missing) { 1.0 } else { 0.0 };
        }
        Self(out)
    }
}

macro_rules! lane_by_lane {
    ($($operation:ident $method:ident $assign:tt),*) => {$(
        impl $operation for F64x8 {
            type Output = Self;

            #[inline(always)]
            fn $method(mut self, other: Self) -> Self {
                for (value, other) in self.0.iter_mut().zip(other.0) {
                    *value $assign other;
                }
                self
            }
        }
    )*};
}

lane_by_lane!(Add add +=, Sub sub -=, Mul mul *=);
