//! One register of AVX-512.
#![allow(unsafe_code, reason = "vector instructions")]

use std::arch::x86_64::{
    __m512d, _CMP_LE_OQ, _CMP_UNORD_Q, _mm512_add_pd, _mm512_cmp_pd_mask, _mm512_loadu_pd,
    _mm512_maskz_mov_pd, _mm512_mul_pd, _mm512_set1_pd, _mm512_storeu_pd, _mm512_sub_pd,
};

use super::{LANES, Simd};

/// Must only be used in functions compiled for AVX-512.
#[derive(Debug, Clone, Copy)]
pub(in crate::explain) struct Avx512(__m512d);

impl Simd for Avx512 {
    #[inline(always)]
    fn splat(value: f64) -> Self {
        // SAFETY: the caller is compiled for AVX-512.
        Self(unsafe { _mm512_set1_pd(value) })
    }

    #[inline(always)]
    fn load(values: &[f64; LANES]) -> Self {
        // SAFETY: as above; eight numbers are read, no alignment is asked for.
        Self(unsafe { _mm512_loadu_pd(values.as_ptr()) })
    }

    #[inline(always)]
    fn values(self) -> [f64; LANES] {
        let mut values = [0.0; LANES];
        // SAFETY: as above; eight numbers are written.
        unsafe { _mm512_storeu_pd(values.as_mut_ptr(), self.0) };
        values
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_add_pd(self.0, other.0) })
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_sub_pd(self.0, other.0) })
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_mul_pd(self.0, other.0) })
    }

    #[inline(always)]
    fn at_most(self, threshold: f64, missing: bool) -> Self {
        let threshold = Self::splat(threshold);
        // SAFETY: as above.
        let mut holds = unsafe { _mm512_cmp_pd_mask::<_CMP_LE_OQ>(self.0, threshold.0) };
        if missing {
            // SAFETY: as above.
            holds |= unsafe { _mm512_cmp_pd_mask::<_CMP_UNORD_Q>(self.0, self.0) };
        }
        let one = Self::splat(1.0);
        // SAFETY: as above.
        Self(unsafe { _mm512_maskz_mov_pd(holds, one.0) })
    }
}
