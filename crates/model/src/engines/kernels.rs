//! The few vector operations that every engine is made of, once for each level of instructions.
//!
//! An engine is a [`Task`], generic over its [`Kernel`]; [`Instructions::run`] compiles it once a level
//! and picks the level at run time. What a task calls must be inlined to be compiled for the level.

#![allow(
    unsafe_code,
    reason = "operands of a choice are behind pointers, of either stride; vectors"
)]

#[cfg(target_arch = "x86_64")]
#[macro_use]
mod level;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;
mod transpose;

use super::instructions::{Instructions, Level};
pub(super) use transpose::{TILE, transposed};

/// For compiling, where speed does not matter.
pub(super) const PORTABLE: portable::Portable = portable::Portable;

/// Rows of one vector of codes.
pub(super) const LANES: usize = 64;

/// One byte for each of 64 rows, or 64 bytes of one row.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Lanes(pub(super) [i8; LANES]);

impl Lanes {
    pub(super) const ZERO: Self = Self([0; LANES]);
}

/// One vector for all rows (stride 0), or one for each 64 rows (stride 64 bytes).
#[derive(Clone, Copy)]
pub(super) struct Operand {
    pub(super) first: *const Lanes,
    pub(super) stride: usize,
}

impl Operand {
    /// The vector for the first rows; afterwards that for the next.
    ///
    /// # Safety
    /// There is such a vector.
    #[inline(always)]
    unsafe fn take<'a>(&mut self) -> &'a Lanes {
        let vector = self.first;
        self.first = vector.wrapping_byte_add(self.stride);
        // SAFETY: as the caller promises.
        unsafe { &*vector }
    }
}

/// Vector operations; what each returns is the same at every level.
pub(super) trait Kernel: Copy {
    /// Number of `sorted` values below `value`; 0 for NaN.
    fn count_below(self, sorted: &[f64; 16], value: f64) -> usize;

    /// For each value the number of `thresholds`, at most 255, below it; 0 for NaN.
    fn count_all(self, thresholds: &[f64], values: &[f64; LANES]) -> [u8; LANES];

    /// For each of eight values the number of thresholds below it, shape `(n, 8)`, and as bits which of
    /// the values are NaN, for which the number is 0.
    fn count_columns(self, thresholds: &[[f64; 8]], values: &[f64; 8]) -> ([i8; 8], u8);

    /// `set` in the lanes of set bits, otherwise `unset`.
    fn blend(self, bits: u64, unset: i8, set: i8) -> Lanes;

    /// For each lane of `V` vectors the right operand where `codes & mask > threshold`, else the left one.
    ///
    /// # Safety
    /// `V` vectors can be read from each operand, and written to `out`.
    unsafe fn select<const V: usize>(
        self,
        codes: &[Lanes; V],
        mask_and_threshold: (i8, i8),
        operands: [Operand; 2],
        out: *mut Lanes,
    );

    /// Adds `values[index]` to the sum of each lane, the indices being bytes below `n_leaves`.
    fn add_values(
        self,
        values: &[f64; 256],
        n_leaves: usize,
        index: &[Lanes],
        sums: &mut [[f64; LANES]],
    );

    /// For each lane the entry of the table at `index`, a byte below `N * 64`.
    fn look_up<const N: usize>(self, table: &[Lanes; N], index: &Lanes) -> Lanes;

    /// The lanes, as bits, where the table's byte at `index`, as [`Self::look_up`] finds it, is greater.
    fn greater<const N: usize>(self, table: &[Lanes; N], index: &Lanes, than: &Lanes) -> u64;

    /// For each of sixteen masks, two a word, how many of `left_of` are behind the last that has no bit in
    /// common with it; all if there is none.
    fn exits(self, masks: &[u64; 8], left_of: &[[u32; 16]], exits: &mut [u32; 16]);
}

/// Asks for all of a row at once, which otherwise comes from memory line by line.
#[inline(always)]
pub(super) fn prefetch(row: &[f64]) {
    #[cfg(target_arch = "x86_64")]
    for line in row.chunks(8) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: prefetching changes nothing, wherever the pointer leads.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = row;
}

/// Work that is compiled for each level.
pub(super) trait Task {
    type Output;
    /// The work; `#[inline(always)]`, as is what it calls.
    fn run<K: Kernel>(self, kernel: K) -> Self::Output;
}

impl Instructions {
    /// Runs a task on this level.
    pub(super) fn run<T: Task>(self, task: T) -> T::Output {
        match self.level() {
            Level::Portable => task.run(portable::Portable),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => avx2::run(task),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => avx512::run(task),
        }
    }
}
