//! AVX-512 with VBMI.

#![allow(unsafe_code, reason = "vector kernels: loads through pointers and calls past detection")]

use std::arch::x86_64::*;

use super::{Kernel, LANES, Lanes, Operand, Task};
use crate::engines::masks::Piece;

/// Made only by [`run`], which only [`super::Instructions`] calls, after detection.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

/// Compiles and runs a task for this level.
pub(super) fn run<T: Task>(task: T) -> T::Output {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx2,bmi1,popcnt")]
    fn with_features<T: Task>(task: T) -> T::Output {
        task.run(Avx512(()))
    }
    // SAFETY: `Level::Avx512` exists only where all of these were detected.
    unsafe { with_features(task) }
}

impl Kernel for Avx512 {
    #[inline(always)]
    fn count_below(self, sorted: &[f64; 16], value: f64) -> usize {
        // SAFETY: a value of this type exists only where the features were detected.
        unsafe { count_below(sorted, value) }
    }

    #[inline(always)]
    unsafe fn select<const V: usize>(
        self,
        codes: &[Lanes; V],
        threshold: i8,
        [left, right]: [Operand; 2],
        out: *mut Lanes,
    ) {
        // SAFETY: a value of this type exists only where the features were detected; the rest is the
        // caller's promise.
        unsafe { select(codes, threshold, [left, right], out) }
    }

    #[inline(always)]
    fn add_values(
        self,
        values: &[f64; 256],
        n_leaves: usize,
        index: &[Lanes],
        sums: &mut [[f64; LANES]],
    ) {
        // SAFETY: a value of this type exists only where the features were detected.
        unsafe { add_values(values, n_leaves, index, sums) }
    }

    #[inline(always)]
    fn look_up<const N: usize>(self, table: &[Lanes; N], index: &Lanes) -> Lanes {
        // SAFETY: a value of this type exists only where the features were detected.
        unsafe { look_up_lanes(table, index) }
    }

    #[inline(always)]
    fn exits<const N: usize, const WINDOW: bool>(
        self,
        table: &[Lanes; N],
        windows: [&[i8; LANES]; 2],
        pieces: [&Piece; 2],
    ) -> [u32; 2] {
        // SAFETY: a value of this type exists only where the features were detected.
        unsafe { exits::<N, WINDOW>(table, windows, pieces) }
    }
}

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
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn select<const V: usize>(
    codes: &[Lanes; V],
    threshold: i8,
    [mut left, mut right]: [Operand; 2],
    out: *mut Lanes,
) {
    let threshold = _mm512_set1_epi8(threshold);
    for (v, codes) in codes.iter().enumerate() {
        let goes_right = _mm512_cmpgt_epi8_mask(load(&codes.0), threshold);
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
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,bmi1")]
fn exits<const N: usize, const WINDOW: bool>(
    table: &[Lanes; N],
    windows: [&[i8; LANES]; 2],
    pieces: [&Piece; 2],
) -> [u32; 2] {
    let columns = join(&pieces[0].columns, &pieces[1].columns);
    let thresholds = join(&pieces[0].thresholds, &pieces[1].thresholds);
    let codes = if WINDOW {
        let last = |window: &[i8; LANES]| load(window);
        let (first, second) = (last(windows[0]), last(windows[1]));
        // The upper 32 lanes belong to the second piece.
        const SECOND: u64 = 0xffff_ffff << 32;
        match N {
            1 | 2 => {
                let shared = load(&table[0].0);
                let both = _mm512_permutex2var_epi8(shared, columns, first);
                let of_second = _mm512_permutex2var_epi8(shared, columns, second);
                _mm512_mask_blend_epi8(SECOND, both, of_second)
            }
            _ => {
                let low = _mm512_permutex2var_epi8(load(&table[0].0), columns, load(&table[1].0));
                let shared = load(&table[2].0);
                let both = _mm512_permutex2var_epi8(shared, columns, first);
                let of_second = _mm512_permutex2var_epi8(shared, columns, second);
                let high = _mm512_mask_blend_epi8(SECOND, both, of_second);
                _mm512_mask_blend_epi8(_mm512_movepi8_mask(columns), low, high)
            }
        }
    } else {
        look_up(table, columns)
    };
    let right = _mm512_cmpgt_epi8_mask(codes, thresholds);
    [exit(right as u32, pieces[0]), exit((right >> 32) as u32, pieces[1])]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn join(a: &[i8; 32], b: &[i8; 32]) -> __m512i {
    // SAFETY: the reference covers the 32 bytes that are read.
    let a = unsafe { _mm256_loadu_si256(a.as_ptr().cast()) };
    // SAFETY: the reference covers the 32 bytes that are read.
    let b = unsafe { _mm256_loadu_si256(b.as_ptr().cast()) };
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(a), b)
}

#[inline]
#[target_feature(enable = "avx512f,bmi1")]
fn exit(right: u32, piece: &Piece) -> u32 {
    let right = _mm512_set1_epi32(right as i32);
    let (left_of, _) = piece.left_of.as_chunks::<16>();
    let low = _mm512_testn_epi32_mask(right, load_u32(&left_of[0]));
    let high = _mm512_testn_epi32_mask(right, load_u32(&left_of[1]));
    (u32::from(low) | u32::from(high) << 16).trailing_zeros()
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn look_up_lanes<const N: usize>(table: &[Lanes; N], index: &Lanes) -> Lanes {
    let mut out = Lanes::ZERO;
    store(&mut out, look_up(table, load(&index.0)));
    out
}

/// The bytes of the table at `index`, whose bits beyond the table are ignored.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn look_up<const N: usize>(table: &[Lanes; N], index: __m512i) -> __m512i {
    let pair =
        |low: usize| _mm512_permutex2var_epi8(load(&table[low].0), index, load(&table[low + 1].0));
    match N {
        1 => _mm512_permutexvar_epi8(index, load(&table[0].0)),
        2 => pair(0),
        _ => _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), pair(0), pair(2)),
    }
}
