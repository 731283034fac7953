//! AVX-512 with VBMI.

#![allow(unsafe_code, reason = "vector kernels: loads through pointers and calls past detection")]

use std::arch::x86_64::*;

use super::{Kernel, LANES, Lanes, Operand, Task};

kernel_of_level!(Avx512, "avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx2,bmi1,popcnt");

#[inline]
#[target_feature(enable = "avx512f")]
fn load(lanes: &[i8; LANES]) -> __m512i {
    // SAFETY: the reference covers the 64 bytes that are read.
    unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(lanes: &mut Lanes, vector: __m512i) {
    // SAFETY: the reference covers the 64 bytes that are written.
    unsafe { _mm512_storeu_si512(lanes.0.as_mut_ptr().cast(), vector) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_f64(values: &[f64; 8]) -> __m512d {
    // SAFETY: the reference covers the 64 bytes that are read.
    unsafe { _mm512_loadu_pd(values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store_f64(values: &mut [f64; 8], vector: __m512d) {
    // SAFETY: the reference covers the 64 bytes that are written.
    unsafe { _mm512_storeu_pd(values.as_mut_ptr(), vector) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_u32(values: &[u32; 16]) -> __m512i {
    // SAFETY: the reference covers the 64 bytes that are read.
    unsafe { _mm512_loadu_si512(values.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,popcnt")]
fn count_below(sorted: &[f64; 16], value: f64) -> usize {
    let value = _mm512_set1_pd(value);
    let (halves, _) = sorted.as_chunks::<8>();
    let low = _mm512_cmp_pd_mask::<_CMP_GT_OQ>(value, load_f64(&halves[0]));
    let high = _mm512_cmp_pd_mask::<_CMP_GT_OQ>(value, load_f64(&halves[1]));
    (u32::from(low) | u32::from(high) << 8).count_ones() as usize
}

#[inline]
#[target_feature(enable = "avx512f")]
fn count_all(thresholds: &[f64], values: &[f64; LANES]) -> [u8; LANES] {
    let one = _mm512_set1_epi64(1);
    let mut counts = [0; LANES];
    for (values, counts) in values.as_chunks().0.iter().zip(counts.as_chunks_mut().0) {
        let values = load_f64(values);
        let mut count = _mm512_setzero_si512();
        for &threshold in thresholds {
            let above = _mm512_cmp_pd_mask::<_CMP_GT_OQ>(values, _mm512_set1_pd(threshold));
            count = _mm512_mask_add_epi64(count, above, count, one);
        }
        *counts = _mm_cvtsi128_si64(_mm512_cvtepi64_epi8(count)).to_le_bytes();
    }
    counts
}

#[inline]
#[target_feature(enable = "avx512f")]
fn count_columns(thresholds: &[[f64; 8]], values: &[f64; 8]) -> ([i8; 8], u8) {
    let values = load_f64(values);
    let one = _mm512_set1_epi64(1);
    let mut count = _mm512_setzero_si512();
    for thresholds in thresholds {
        let above = _mm512_cmp_pd_mask::<_CMP_GT_OQ>(values, load_f64(thresholds));
        count = _mm512_mask_add_epi64(count, above, count, one);
    }
    let missing = _mm512_cmp_pd_mask::<_CMP_UNORD_Q>(values, values);
    (_mm_cvtsi128_si64(_mm512_cvtepi64_epi8(count)).to_le_bytes().map(|byte| byte as i8), missing)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn blend(bits: u64, unset: i8, set: i8) -> Lanes {
    let mut out = Lanes::ZERO;
    store(&mut out, _mm512_mask_set1_epi8(_mm512_set1_epi8(unset), bits, set));
    out
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn select<const V: usize>(
    codes: &[Lanes; V],
    (mask, threshold): (i8, i8),
    [mut left, mut right]: [Operand; 2],
    out: *mut Lanes,
) {
    let (mask, threshold) = (_mm512_set1_epi8(mask), _mm512_set1_epi8(threshold));
    for (v, codes) in codes.iter().enumerate() {
        let asked = _mm512_and_si512(load(&codes.0), mask);
        let goes_right = _mm512_cmpgt_epi8_mask(asked, threshold);
        // SAFETY: the caller promises `V` vectors.
        let left = unsafe { left.take() };
        // SAFETY: the caller promises `V` vectors.
        let right = unsafe { right.take() };
        let chosen = _mm512_mask_blend_epi8(goes_right, load(&left.0), load(&right.0));
        // SAFETY: the caller promises `V` vectors.
        unsafe { _mm512_store_si512(out.wrapping_add(v).cast(), chosen) };
    }
}

/// Up to 64 leaves live in registers and are looked up by permutation; more are gathered.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn add_values(values: &[f64; 256], n_leaves: usize, index: &[Lanes], sums: &mut [[f64; LANES]]) {
    let (tables, _) = values.as_chunks::<8>();
    if n_leaves <= 16 {
        let (a, b) = (load_f64(&tables[0]), load_f64(&tables[1]));
        for_each_eight(index, sums, |at, sum| _mm512_add_pd(sum, _mm512_permutex2var_pd(a, at, b)));
    } else if n_leaves <= 32 {
        let (a, b) = (load_f64(&tables[0]), load_f64(&tables[1]));
        let (c, d) = (load_f64(&tables[2]), load_f64(&tables[3]));
        for_each_eight(index, sums, |at, sum| {
            let upper = _mm512_test_epi64_mask(at, _mm512_set1_epi64(16));
            let (low, high) = (_mm512_permutex2var_pd(a, at, b), _mm512_permutex2var_pd(c, at, d));
            _mm512_add_pd(sum, _mm512_mask_blend_pd(upper, low, high))
        });
    } else {
        for_each_eight(index, sums, |at, sum| {
            // SAFETY: an index is a byte, and there is a value for every byte.
            let found = unsafe { _mm512_i64gather_pd::<8>(at, values.as_ptr()) };
            _mm512_add_pd(sum, found)
        });
    }
}

/// Calls `step` with eight indices as 64-bit lanes and their sums.
#[inline(always)]
fn for_each_eight(
    index: &[Lanes],
    sums: &mut [[f64; LANES]],
    step: impl Fn(__m512i, __m512d) -> __m512d,
) {
    for (index, sums) in index.iter().zip(sums) {
        let (eights, _) = index.0.as_chunks::<8>();
        let (sums, _) = sums.as_chunks_mut::<8>();
        for (eight, sum) in eights.iter().zip(sums) {
            // SAFETY: only called from functions with the features.
            let at = unsafe { widen(eight) };
            // SAFETY: only called from functions with the features.
            let before = unsafe { load_f64(sum) };
            let after = step(at, before);
            // SAFETY: only called from functions with the features.
            unsafe { store_f64(sum, after) };
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn widen(eight: &[i8; 8]) -> __m512i {
    // SAFETY: the reference covers the 8 bytes that are read.
    _mm512_cvtepu8_epi64(unsafe { _mm_loadl_epi64(eight.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn greater<const N: usize>(table: &[Lanes; N], index: &Lanes, than: &Lanes) -> u64 {
    _mm512_cmpgt_epi8_mask(look_up_vector(table, load(&index.0)), load(&than.0))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn exits(masks: &[u64; 8], left_of: &[[u32; 16]], exits: &mut [u32; 16]) {
    // SAFETY: the reference covers the 64 bytes that are read.
    let masks = unsafe { _mm512_loadu_si512(masks.as_ptr().cast()) };
    let one = _mm512_set1_epi32(1);
    let mut at = _mm512_set1_epi32(left_of.len() as i32);
    let mut found = at;
    for left_of in left_of {
        at = _mm512_sub_epi32(at, one);
        found = _mm512_mask_mov_epi32(found, _mm512_testn_epi32_mask(masks, load_u32(left_of)), at);
    }
    // SAFETY: the reference covers the 64 bytes that are written.
    unsafe { _mm512_storeu_si512(exits.as_mut_ptr().cast(), found) };
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn look_up<const N: usize>(table: &[Lanes; N], index: &Lanes) -> Lanes {
    let mut out = Lanes::ZERO;
    store(&mut out, look_up_vector(table, load(&index.0)));
    out
}

/// The bytes of the table at `index`, whose bits beyond the table are ignored.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn look_up_vector<const N: usize>(table: &[Lanes; N], index: __m512i) -> __m512i {
    let pair =
        |low: usize| _mm512_permutex2var_epi8(load(&table[low].0), index, load(&table[low + 1].0));
    match N {
        1 => _mm512_permutexvar_epi8(index, load(&table[0].0)),
        2 => pair(0),
        _ => _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), pair(0), pair(2)),
    }
}
