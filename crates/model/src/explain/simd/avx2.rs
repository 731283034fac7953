//! Two registers of AVX.
#![allow(unsafe_code, reason = "vector instructions")]

use std::arch::x86_64::{
    __m256d, _CMP_LE_OQ, _CMP_UNORD_Q, _mm256_add_pd, _mm256_and_pd, _mm256_cmp_pd,
    _mm256_loadu_pd, _mm256_mul_pd, _mm256_or_pd, _mm256_set1_pd, _mm256_storeu_pd, _mm256_sub_pd,
};

use super::{LANES, Simd};

/// Must only be used in functions compiled for AVX2.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(in crate::explain) struct Avx2(__m256d, __m256d);

impl Simd for Avx2 {
    #[inline(always)]
    fn splat(value: f64) -> Self {
        // SAFETY: the caller is compiled for AVX2.
        let half = unsafe { _mm256_set1_pd(value) };
        Self(half, half)
    }

    #[inline(always)]
    fn load(values: &[f64; LANES]) -> Self {
        let (low, high) = (&values[..4], &values[4..]);
        // SAFETY: as above; four numbers are read, no alignment is asked for.
        let low = unsafe { _mm256_loadu_pd(low.as_ptr()) };
        // SAFETY: as above.
        let high = unsafe { _mm256_loadu_pd(high.as_ptr()) };
        Self(low, high)
    }

    #[inline(always)]
    fn values(self) -> [f64; LANES] {
        let mut values = [0.0; LANES];
        let (low, high) = values.split_at_mut(4);
        // SAFETY: as above; four numbers are written.
        unsafe { _mm256_storeu_pd(low.as_mut_ptr(), self.0) };
        // SAFETY: as above.
        unsafe { _mm256_storeu_pd(high.as_mut_ptr(), self.1) };
        values
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        // SAFETY: the caller is compiled for AVX2.
        let low = unsafe { _mm256_add_pd(self.0, other.0) };
        // SAFETY: as above.
        Self(low, unsafe { _mm256_add_pd(self.1, other.1) })
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        // SAFETY: as above.
        let low = unsafe { _mm256_sub_pd(self.0, other.0) };
        // SAFETY: as above.
        Self(low, unsafe { _mm256_sub_pd(self.1, other.1) })
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        // SAFETY: as above.
        let low = unsafe { _mm256_mul_pd(self.0, other.0) };
        // SAFETY: as above.
        Self(low, unsafe { _mm256_mul_pd(self.1, other.1) })
    }

    #[inline(always)]
    fn at_most(self, threshold: f64, missing: bool) -> Self {
        let one_half = |values: __m256d| {
            let (threshold, one) = (Self::splat(threshold).0, Self::splat(1.0).0);
            // SAFETY: as above.
            let mut holds = unsafe { _mm256_cmp_pd::<_CMP_LE_OQ>(values, threshold) };
            if missing {
                // SAFETY: as above.
                let is_nan = unsafe { _mm256_cmp_pd::<_CMP_UNORD_Q>(values, values) };
                // SAFETY: as above.
                holds = unsafe { _mm256_or_pd(holds, is_nan) };
            }
            // SAFETY: as above.
            unsafe { _mm256_and_pd(holds, one) }
        };
        Self(one_half(self.0), one_half(self.1))
    }
}
