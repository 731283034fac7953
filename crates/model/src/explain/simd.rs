//! Eight numbers under one operation, with whatever registers there are.
//!
//! No operation is fused and sums have one order, so that all kinds give the same bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

#[cfg(target_arch = "x86_64")]
pub(super) use {avx2::Avx2, avx512::Avx512};

/// Numbers side by side.
pub(super) const LANES: usize = 8;

/// Eight numbers.
pub(super) trait Simd: Copy {
    fn splat(value: f64) -> Self;

    fn load(values: &[f64; LANES]) -> Self;

    fn values(self) -> [f64; LANES];

    fn plus(self, other: Self) -> Self;

    fn minus(self, other: Self) -> Self;

    fn times(self, other: Self) -> Self;

    /// 1 where the number is at most `threshold`, or where it is NaN and `missing` says so; else 0.
    fn at_most(self, threshold: f64, missing: bool) -> Self;

    /// `((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7))`.
    #[inline(always)]
    fn sum(self) -> f64 {
        let [a, b, c, d, e, f, g, h] = self.values();
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }
}

/// 1 if the value is at most `threshold`, or NaN and `missing` says so; else 0.
#[inline(always)]
pub(super) fn at_most(value: f64, threshold: f64, missing: bool) -> f64 {
    if (value <= threshold) | (value.is_nan() & missing) { 1.0 } else { 0.0 }
}

/// What every machine can do; the compiler finds the registers.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Portable([f64; LANES]);

impl Portable {
    #[inline(always)]
    fn with(mut self, other: Self, operation: impl Fn(f64, f64) -> f64) -> Self {
        for (value, other) in self.0.iter_mut().zip(other.0) {
            *value = operation(*value, other);
        }
        self
    }
}

impl Simd for Portable {
    #[inline(always)]
    fn splat(value: f64) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    fn load(values: &[f64; LANES]) -> Self {
        Self(*values)
    }

    #[inline(always)]
    fn values(self) -> [f64; LANES] {
        self.0
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.with(other, |a, b| a + b)
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        self.with(other, |a, b| a - b)
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        self.with(other, |a, b| a * b)
    }

    #[inline(always)]
    fn at_most(self, threshold: f64, missing: bool) -> Self {
        self.with(self, |value, _| at_most(value, threshold, missing))
    }
}
