//! AVX2.

#![allow(unsafe_code, reason = "vector kernels: loads through pointers and calls past detection")]

use std::arch::x86_64::*;

use super::{Kernel, LANES, Lanes, Operand, Task};
use crate::engines::masks::Piece;

/// Made only by [`run`], which only [`super::Instructions`] calls, after detection.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

/// Compiles and runs a task for this level.
pub(super) fn run<T: Task>(task: T) -> T::Output {
    #[target_feature(enable = "avx2,bmi1,popcnt")]
    fn with_features<T: Task>(task: T) -> T::Output {
        task.run(Avx2(()))
    }
    // SAFETY: `Level::Avx2` and wider levels exist only where these were detected.
    unsafe { with_features(task) }
}

impl Kernel for Avx2 {
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
        _n_leaves: usize,
        index: &[Lanes],
        sums: &mut [[f64; LANES]],
    ) {
        // SAFETY: a value of this type exists only where the features were detected.
        unsafe { add_values(values, index, sums) }
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
        let exit = |at: usize| unsafe { exit::<N, WINDOW>(table, windows[at], pieces[at]) };
        [exit(0), exit(1)]
    }
}

#[inline]
#[target_feature(enable = "avx")]
fn load_f64(values: &[f64; 4]) -> __m256d {
    // SAFETY: the reference covers the 32 bytes that are read.
    unsafe { _mm256_loadu_pd(values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx")]
fn load(bytes: &[i8; 32]) -> __m256i {
    // SAFETY: the reference covers the 32 bytes that are read.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx")]
fn store(bytes: &mut [i8; 32], vector: __m256i) {
    // SAFETY: the reference covers the 32 bytes that are written.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), vector) }
}

#[inline]
#[target_feature(enable = "avx")]
fn load_u32(values: &[u32; 8]) -> __m256i {
    // SAFETY: the reference covers the 32 bytes that are read.
    unsafe { _mm256_loadu_si256(values.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn count_below(sorted: &[f64; 16], value: f64) -> usize {
    let value = _mm256_set1_pd(value);
    let (quarters, _) = sorted.as_chunks::<4>();
    let above = |quarter: usize| {
        _mm256_castpd_si256(_mm256_cmp_pd::<_CMP_GT_OQ>(value, load_f64(&quarters[quarter])))
    };
    // Packing twice leaves two bytes a comparison, in an order that counting does not mind.
    let pairs = _mm256_packs_epi32(above(0), above(1));
    let others = _mm256_packs_epi32(above(2), above(3));
    let bytes = _mm256_movemask_epi8(_mm256_packs_epi16(pairs, others));
    bytes.count_ones() as usize / 2
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn select<const V: usize>(
    codes: &[Lanes; V],
    threshold: i8,
    [mut left, mut right]: [Operand; 2],
    out: *mut Lanes,
) {
    let threshold = _mm256_set1_epi8(threshold);
    for (v, codes) in codes.iter().enumerate() {
        // SAFETY: the caller promises `V` vectors.
        let left = unsafe { left.take() };
        // SAFETY: the caller promises `V` vectors.
        let right = unsafe { right.take() };
        let (left, right) = (left.0.as_chunks::<32>().0, right.0.as_chunks::<32>().0);
        let codes = codes.0.as_chunks::<32>().0;
        let choose = |half: usize| {
            let goes_right = _mm256_cmpgt_epi8(load(&codes[half]), threshold);
            _mm256_blendv_epi8(load(&left[half]), load(&right[half]), goes_right)
        };
        let (low, high) = (choose(0), choose(1));
        let out = out.wrapping_add(v).cast::<__m256i>();
        // SAFETY: the first half of one of the `V` vectors that the caller promises.
        unsafe { _mm256_store_si256(out, low) };
        // SAFETY: the second half.
        unsafe { _mm256_store_si256(out.wrapping_add(1), high) };
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn add_values(values: &[f64; 256], index: &[Lanes], sums: &mut [[f64; LANES]]) {
    for (index, sums) in index.iter().zip(sums) {
        let (fours, _) = index.0.as_chunks::<4>();
        let (sums, _) = sums.as_chunks_mut::<4>();
        for (four, sum) in fours.iter().zip(sums) {
            // SAFETY: the reference covers the 4 bytes that are read.
            let at = _mm256_cvtepu8_epi64(unsafe { _mm_loadu_si32(four.as_ptr().cast()) });
            // SAFETY: an index is a byte, and there is a value for every byte.
            let found = unsafe { _mm256_i64gather_pd::<8>(values.as_ptr(), at) };
            let after = _mm256_add_pd(load_f64(sum), found);
            // SAFETY: the reference covers the 32 bytes that are written.
            unsafe { _mm256_storeu_pd(sum.as_mut_ptr(), after) };
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,bmi1")]
fn exit<const N: usize, const WINDOW: bool>(
    table: &[Lanes; N],
    window: &[i8; LANES],
    piece: &Piece,
) -> u32 {
    let columns = load(&piece.columns);
    let mut vectors = [window; N];
    for vector in 0..N - usize::from(WINDOW) {
        vectors[vector] = &table[vector].0;
    }
    let codes = look_up(vectors, columns);
    let right = _mm256_cmpgt_epi8(codes, load(&piece.thresholds));
    let right = _mm256_set1_epi32(_mm256_movemask_epi8(right));
    let (left_of, _) = piece.left_of.as_chunks::<8>();
    let taken = |quarter: usize| {
        let left = _mm256_and_si256(right, load_u32(&left_of[quarter]));
        let taken = _mm256_cmpeq_epi32(left, _mm256_setzero_si256());
        _mm256_movemask_ps(_mm256_castsi256_ps(taken)) as u32
    };
    (taken(0) | taken(1) << 8 | taken(2) << 16 | taken(3) << 24).trailing_zeros()
}

#[inline]
#[target_feature(enable = "avx2")]
fn look_up_lanes<const N: usize>(table: &[Lanes; N], index: &Lanes) -> Lanes {
    let mut out = Lanes::ZERO;
    let (index, _) = index.0.as_chunks::<32>();
    let (halves, _) = out.0.as_chunks_mut::<32>();
    let mut vectors = [&table[0].0; N];
    for (vector, lanes) in vectors.iter_mut().zip(table) {
        *vector = &lanes.0;
    }
    for (index, half) in index.iter().zip(halves) {
        let found = look_up(vectors, load(index));
        store(half, found);
    }
    out
}

/// The bytes of the table at `columns`: one shuffle for each 16 columns, then a choice bit by bit.
#[inline]
#[target_feature(enable = "avx2")]
fn look_up<const N: usize>(table: [&[i8; LANES]; N], columns: __m256i) -> __m256i {
    // A choice reads the top bit of each byte: these bring bits 4, 5, 6 there; bit 7 is there.
    let bit4 = _mm256_slli_epi16::<3>(columns);
    let bit5 = _mm256_slli_epi16::<2>(columns);
    let bit6 = _mm256_slli_epi16::<1>(columns);
    // A shuffle zeroes where the top bit is set.
    let within = _mm256_and_si256(columns, _mm256_set1_epi8(15));
    let sixty_four = |bytes: &[i8; LANES]| {
        let (tables, _) = bytes.as_chunks::<16>();
        let sixteen = |table: usize| {
            // SAFETY: the reference covers the 16 bytes that are read.
            let table = unsafe { _mm_loadu_si128(tables[table].as_ptr().cast()) };
            _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), within)
        };
        let low = _mm256_blendv_epi8(sixteen(0), sixteen(1), bit4);
        let high = _mm256_blendv_epi8(sixteen(2), sixteen(3), bit4);
        _mm256_blendv_epi8(low, high, bit5)
    };
    match N {
        1 => sixty_four(table[0]),
        2 => _mm256_blendv_epi8(sixty_four(table[0]), sixty_four(table[1]), bit6),
        _ => {
            let low = _mm256_blendv_epi8(sixty_four(table[0]), sixty_four(table[1]), bit6);
            let high = _mm256_blendv_epi8(sixty_four(table[2]), sixty_four(table[3]), bit6);
            _mm256_blendv_epi8(low, high, columns)
        }
    }
}
