//! AVX2.

#![allow(unsafe_code, reason = "vector kernels: loads through pointers and calls past detection")]

use std::arch::x86_64::*;

use super::{Kernel, LANES, Lanes, Operand, Task};

kernel_of_level!(Avx2, "avx2,bmi1,popcnt");

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
fn load_pair(low: &f64, high: &f64) -> __m128d {
    // SAFETY: the reference covers the 8 bytes that are read.
    let low = unsafe { _mm_load_sd(low) };
    // SAFETY: the reference covers the 8 bytes that are read.
    unsafe { _mm_loadh_pd(low, high) }
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
fn count_all(thresholds: &[f64], values: &[f64; LANES]) -> [u8; LANES] {
    // Packed twice, four counts each of `a` to `d` lie as `a0 a1 b0 b1 c0 c1 d0 d1`, then those of 2 and 3.
    let in_order = _mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
    let mut counts = [0; LANES];
    let (sixteens, _) = values.as_chunks::<16>();
    for (values, counts) in sixteens.iter().zip(counts.as_chunks_mut::<16>().0) {
        let (fours, _) = values.as_chunks::<4>();
        let values: [__m256d; 4] = std::array::from_fn(|four| load_f64(&fours[four]));
        let mut sums = [_mm256_setzero_si256(); 4];
        for &threshold in thresholds {
            let threshold = _mm256_set1_pd(threshold);
            for (sum, &values) in sums.iter_mut().zip(&values) {
                let above = _mm256_cmp_pd::<_CMP_GT_OQ>(values, threshold);
                *sum = _mm256_sub_epi64(*sum, _mm256_castpd_si256(above));
            }
        }
        let words = _mm256_packs_epi32(
            _mm256_packs_epi32(sums[0], sums[1]),
            _mm256_packs_epi32(sums[2], sums[3]),
        );
        let (low, high) = (_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
        let bytes = _mm_shuffle_epi8(_mm_packus_epi16(low, high), in_order);
        // SAFETY: the reference covers the 16 bytes that are written.
        unsafe { _mm_storeu_si128(counts.as_mut_ptr().cast(), bytes) };
    }
    counts
}

#[inline]
#[target_feature(enable = "avx2")]
fn count_columns(thresholds: &[[f64; 8]], values: &[f64; 8]) -> ([i8; 8], u8) {
    let halves = values.as_chunks::<4>().0;
    let values = [load_f64(&halves[0]), load_f64(&halves[1])];
    let mut counts = [_mm256_setzero_si256(); 2];
    for thresholds in thresholds {
        let thresholds = thresholds.as_chunks::<4>().0;
        for half in 0..2 {
            let above = _mm256_cmp_pd::<_CMP_GT_OQ>(values[half], load_f64(&thresholds[half]));
            counts[half] = _mm256_sub_epi64(counts[half], _mm256_castpd_si256(above));
        }
    }
    let missing = |half: usize| {
        let unordered = _mm256_cmp_pd::<_CMP_UNORD_Q>(values[half], values[half]);
        _mm256_movemask_pd(unordered) as u8
    };
    let mut words = [[0; 32]; 2];
    store(&mut words[0], counts[0]);
    store(&mut words[1], counts[1]);
    (std::array::from_fn(|lane| words[lane / 4][lane % 4 * 8]), missing(0) | missing(1) << 4)
}

#[inline]
#[target_feature(enable = "avx2")]
fn blend(bits: u64, unset: i8, set: i8) -> Lanes {
    let mut out = Lanes::ZERO;
    // The byte of the bits that a lane is in, and its bit there.
    let byte =
        _mm256_setr_epi64x(0, 0x0101_0101_0101_0101, 0x0202_0202_0202_0202, 0x0303_0303_0303_0303);
    let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201u64 as i64);
    for (half, out) in out.0.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let bits = _mm256_set1_epi32((bits >> (32 * half)) as i32);
        let own = _mm256_and_si256(_mm256_shuffle_epi8(bits, byte), bit);
        let is_set = _mm256_cmpeq_epi8(own, bit);
        store(out, _mm256_blendv_epi8(_mm256_set1_epi8(unset), _mm256_set1_epi8(set), is_set));
    }
    out
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn select<const V: usize>(
    codes: &[Lanes; V],
    (mask, threshold): (i8, i8),
    [mut left, mut right]: [Operand; 2],
    out: *mut Lanes,
) {
    let (mask, threshold) = (_mm256_set1_epi8(mask), _mm256_set1_epi8(threshold));
    for (v, codes) in codes.iter().enumerate() {
        // SAFETY: the caller promises `V` vectors.
        let left = unsafe { left.take() };
        // SAFETY: the caller promises `V` vectors.
        let right = unsafe { right.take() };
        let (left, right) = (left.0.as_chunks::<32>().0, right.0.as_chunks::<32>().0);
        let codes = codes.0.as_chunks::<32>().0;
        let choose = |half: usize| {
            let asked = _mm256_and_si256(load(&codes[half]), mask);
            let goes_right = _mm256_cmpgt_epi8(asked, threshold);
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

/// Value by value: a gather is as many loads, and far slower on processors that were kept from leaking by it.
#[inline]
#[target_feature(enable = "avx2")]
fn add_values(values: &[f64; 256], _n_leaves: usize, index: &[Lanes], sums: &mut [[f64; LANES]]) {
    for (index, sums) in index.iter().zip(sums) {
        let (fours, _) = index.0.as_chunks::<4>();
        let (sums, _) = sums.as_chunks_mut::<4>();
        for (four, sum) in fours.iter().zip(sums) {
            let [a, b, c, d] = four.map(|leaf| &values[usize::from(leaf as u8)]);
            let found = _mm256_set_m128d(load_pair(c, d), load_pair(a, b));
            let after = _mm256_add_pd(load_f64(sum), found);
            // SAFETY: the reference covers the 32 bytes that are written.
            unsafe { _mm256_storeu_pd(sum.as_mut_ptr(), after) };
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn greater<const N: usize>(table: &[Lanes; N], index: &Lanes, than: &Lanes) -> u64 {
    let (index, than) = (index.0.as_chunks::<32>().0, than.0.as_chunks::<32>().0);
    let half = |half: usize| {
        let found = look_up_vector(table, load(&index[half]));
        _mm256_movemask_epi8(_mm256_cmpgt_epi8(found, load(&than[half]))) as u32
    };
    u64::from(half(0)) | u64::from(half(1)) << 32
}

#[inline]
#[target_feature(enable = "avx2")]
fn exits(masks: &[u64; 8], left_of: &[[u32; 16]], exits: &mut [u32; 16]) {
    let (masks, _) = masks.as_chunks::<4>();
    let masks = [0, 1].map(|half: usize| {
        // SAFETY: the reference covers the 32 bytes that are read.
        unsafe { _mm256_loadu_si256(masks[half].as_ptr().cast()) }
    });
    let (one, mut at) = (_mm256_set1_epi32(1), _mm256_set1_epi32(left_of.len() as i32));
    // Both halves in one loop: neither has to wait for the other.
    let mut found = [at; 2];
    for left_of in left_of {
        at = _mm256_sub_epi32(at, one);
        let (left_of, _) = left_of.as_chunks::<8>();
        for half in 0..2 {
            let common = _mm256_and_si256(masks[half], load_u32(&left_of[half]));
            let fits = _mm256_cmpeq_epi32(common, _mm256_setzero_si256());
            found[half] = _mm256_blendv_epi8(found[half], at, fits);
        }
    }
    for (exits, found) in exits.as_chunks_mut::<8>().0.iter_mut().zip(found) {
        // SAFETY: the reference covers the 32 bytes that are written.
        unsafe { _mm256_storeu_si256(exits.as_mut_ptr().cast(), found) };
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn look_up<const N: usize>(table: &[Lanes; N], index: &Lanes) -> Lanes {
    let mut out = Lanes::ZERO;
    let (index, _) = index.0.as_chunks::<32>();
    let (halves, _) = out.0.as_chunks_mut::<32>();
    for (index, half) in index.iter().zip(halves) {
        store(half, look_up_vector(table, load(index)));
    }
    out
}

/// The bytes of the table at `columns`: one shuffle for each 16 columns, then a choice bit by bit.
#[inline]
#[target_feature(enable = "avx2")]
fn look_up_vector<const N: usize>(table: &[Lanes; N], columns: __m256i) -> __m256i {
    // A choice reads the top bit of each byte: these bring bits 4, 5, 6 there; bit 7 is there.
    let bit4 = _mm256_slli_epi16::<3>(columns);
    let bit5 = _mm256_slli_epi16::<2>(columns);
    let bit6 = _mm256_slli_epi16::<1>(columns);
    // A shuffle zeroes where the top bit is set.
    let within = _mm256_and_si256(columns, _mm256_set1_epi8(15));
    let sixty_four = |vector: usize| {
        let (tables, _) = table[vector].0.as_chunks::<16>();
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
        1 => sixty_four(0),
        2 => _mm256_blendv_epi8(sixty_four(0), sixty_four(1), bit6),
        _ => {
            let low = _mm256_blendv_epi8(sixty_four(0), sixty_four(1), bit6);
            let high = _mm256_blendv_epi8(sixty_four(2), sixty_four(3), bit6);
            _mm256_blendv_epi8(low, high, columns)
        }
    }
}
