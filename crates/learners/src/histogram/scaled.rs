//! Gradients of one round as integers.

use rayon::prelude::*;

use super::packed::{self, Grain};
use super::{Cell, Entry};

/// Rows from which gradients are packed; smaller tables are quick anyway and keep all their bits.
const PACKED_ROWS: usize = 1 << 15;
/// Rows up to which the sums of second derivatives that are whole numbers fit a cell.
const MAX_WHOLE_ROWS: usize = 1 << 26;
/// Bits that the sum of all scaled second derivatives may take, one below the field's width so that
/// rounding up every row cannot overflow it.
const HESSIAN_BITS: i32 = 35;
/// The same for gradients.
const GRADIENT_BITS: i32 = 60;
/// Rows handled together.
const BLOCK_ROWS: usize = 1024;
/// Of so many blocks one is looked at where the largest values are known.
const SAMPLED_BLOCKS: usize = 16;

/// Where gradients come from, block by block.
pub(crate) trait Derivatives: Sync {
    /// Weighted first and second derivatives of rows `first..first + gradients.len()`; second
    /// derivatives are not below 0.
    fn fill(&self, first: usize, gradients: &mut [f64], hessians: &mut [f64]);

    /// Values that no absolute gradient and no second derivative exceeds, if the loss has such bounds. They
    /// spare a look at all rows.
    fn bounds(&self) -> Option<[f64; 2]> {
        None
    }

    /// Whether all are whole numbers, gradients within ±2047 and second derivatives within 511: they
    /// are packed as they are, coarsely.
    fn are_whole(&self) -> bool {
        false
    }
}

/// Scaled gradients of one round and the factors that undo the scaling.
#[derive(Debug, Clone)]
pub(crate) struct Scaled {
    pub(super) rows: Rows,
    /// Packed rows that a word has room for.
    pub(super) block_rows: usize,
    /// Scaled gradient times this is the gradient.
    pub(crate) gradient_unit: f64,
    /// Scaled second derivative times this is the second derivative.
    pub(crate) hessian_unit: f64,
}

#[derive(Debug, Clone)]
pub(super) enum Rows {
    /// Every bit that fits: 60 for the sum of gradients, 35 for that of second derivatives.
    Wide(Vec<Cell>),
    /// 12 and 9 bits a row, or 15 and 12, rounded at random without bias; see [`packed`].
    Packed(Vec<u32>),
}

impl Default for Scaled {
    fn default() -> Self {
        Self {
            rows: Rows::Wide(Vec::new()),
            block_rows: Grain::COARSE.block_rows,
            gradient_unit: 1.0,
            hessian_unit: 1.0,
        }
    }
}

/// What decides the scale: sums and largest values over all rows.
#[derive(Debug, Clone, Copy, Default)]
struct Extent {
    gradient_sum: f64,
    hessian_sum: f64,
    max_gradient: f64,
    max_hessian: f64,
}

impl Extent {
    /// Eight interleaved sums, so that the loop has no chain of additions to wait for.
    fn of(gradients: &[f64], hessians: &[f64]) -> Self {
        let mut lanes = [Self::default(); 8];
        for (gradients, hessians) in gradients.chunks(8).zip(hessians.chunks(8)) {
            for (lane, (gradient, &hessian)) in lanes.iter_mut().zip(gradients.iter().zip(hessians))
            {
                let gradient = gradient.abs();
                lane.gradient_sum += gradient;
                lane.hessian_sum += hessian;
                lane.max_gradient = lane.max_gradient.max(gradient);
                lane.max_hessian = lane.max_hessian.max(hessian);
            }
        }
        lanes.into_iter().fold(Self::default(), Self::and)
    }

    /// Over every `stride`-th block, in block order; sums are brought up to all rows.
    fn over(n_rows: usize, derivatives: &dyn Derivatives, stride: usize) -> Self {
        let extent_of = |index: usize| {
            let block = index * stride;
            let n_seen = BLOCK_ROWS.min(n_rows - block * BLOCK_ROWS);
            (with_block(derivatives, n_rows, block, Self::of), n_seen)
        };
        let n_blocks = n_rows.div_ceil(BLOCK_ROWS).div_ceil(stride);
        let extents: Vec<(Self, usize)> =
            (0..n_blocks).into_par_iter().with_min_len(16).map(extent_of).collect();
        let add = |(a, n): (Self, usize), (b, m): (Self, usize)| (a.and(b), n + m);
        let (extent, n_seen) = extents.into_iter().fold((Self::default(), 0), add);
        let factor = n_rows as f64 / (n_seen as f64).max(1.0);
        Self {
            gradient_sum: extent.gradient_sum * factor,
            hessian_sum: extent.hessian_sum * factor,
            ..extent
        }
    }

    /// With the largest values at their bounds.
    fn within(self, [max_gradient, max_hessian]: [f64; 2]) -> Self {
        Self { max_gradient, max_hessian, ..self }
    }

    fn and(self, other: Self) -> Self {
        Self {
            gradient_sum: self.gradient_sum + other.gradient_sum,
            hessian_sum: self.hessian_sum + other.hessian_sum,
            max_gradient: self.max_gradient.max(other.max_gradient),
            max_hessian: self.max_hessian.max(other.max_hessian),
        }
    }

    /// How rows may be packed: not if they are few, if a heavy tail leaves the others no bits, or if values
    /// are not finite.
    fn grain(&self, n_rows: usize) -> Option<Grain> {
        let sums = [self.gradient_sum, self.hessian_sum];
        if n_rows < PACKED_ROWS || sums.iter().any(|sum| !sum.is_finite()) {
            return None;
        }
        // All 0 have no tail.
        let tail = |max: f64, sum: f64| if max > 0.0 { max * n_rows as f64 / sum } else { 0.0 };
        let gradient_tail = tail(self.max_gradient, self.gradient_sum);
        Grain::of(n_rows, gradient_tail, tail(self.max_hessian, self.hessian_sum))
    }
}

impl Scaled {
    /// What a row adds.
    #[inline]
    pub(crate) fn cell(&self, row: usize) -> Cell {
        self.cell_of(self.entry(row as u32))
    }

    /// What a row of a leaf adds.
    #[inline]
    pub(crate) fn cell_of(&self, entry: Entry) -> Cell {
        match &self.rows {
            Rows::Wide(cells) => cells[entry.row() as usize],
            Rows::Packed(_) => packed::cell(packed::word(entry.stored())),
        }
    }

    /// A row as leaves hold it.
    #[inline]
    pub(crate) fn entry(&self, row: u32) -> Entry {
        let stored = match &self.rows {
            Rows::Wide(_) => 0,
            Rows::Packed(stored) => stored[row as usize],
        };
        Entry::new(row, stored)
    }

    /// Takes the gradients of `n_rows` rows. `dither` seeds the rounding of packed rows; without it rows
    /// are never packed.
    pub(crate) fn refill(
        &mut self,
        n_rows: usize,
        derivatives: &dyn Derivatives,
        dither: Option<u64>,
    ) {
        if derivatives.are_whole() && (PACKED_ROWS..=MAX_WHOLE_ROWS).contains(&n_rows) {
            (self.gradient_unit, self.hessian_unit) = (1.0, 1.0);
            self.block_rows = Grain::COARSE.block_rows;
            self.pack_by(n_rows, derivatives, |gradients, hessians, _, stored| {
                let pairs = gradients.iter().zip(hessians);
                stored.iter_mut().zip(pairs).for_each(|(stored, (&gradient, &hessian))| {
                    *stored = packed::store(gradient as i32, hessian as i32);
                });
            });
            return;
        }
        if let (Some(seed), Some(bounds)) = (dither, derivatives.bounds()) {
            let extent = Extent::over(n_rows, derivatives, SAMPLED_BLOCKS).within(bounds);
            if let Some(grain) = extent.grain(n_rows) {
                self.pack(n_rows, derivatives, &extent, grain, seed);
                return;
            }
        }
        let extent = Extent::over(n_rows, derivatives, 1);
        match dither.zip(extent.grain(n_rows)) {
            Some((seed, grain)) => self.pack(n_rows, derivatives, &extent, grain, seed),
            None => self.widen(n_rows, derivatives, &extent),
        }
    }

    /// Rounds to the nearest integer, in powers of two, so that going back is exact.
    fn widen(&mut self, n_rows: usize, derivatives: &dyn Derivatives, extent: &Extent) {
        self.gradient_unit = power_unit(extent.gradient_sum, GRADIENT_BITS);
        self.hessian_unit = power_unit(extent.hessian_sum, HESSIAN_BITS);
        let (per_gradient, per_hessian) = (1.0 / self.gradient_unit, 1.0 / self.hessian_unit);
        let mut cells = match std::mem::replace(&mut self.rows, Rows::Wide(Vec::new())) {
            Rows::Wide(cells) => cells,
            Rows::Packed(_) => Vec::new(),
        };
        cells.resize(n_rows, Cell::default());
        cells.par_chunks_mut(BLOCK_ROWS).with_min_len(16).enumerate().for_each(|(block, cells)| {
            with_block(derivatives, n_rows, block, |gradients, hessians| {
                for (cell, (gradient, hessian)) in
                    cells.iter_mut().zip(gradients.iter().zip(hessians))
                {
                    let gradient = (gradient * per_gradient).round_ties_even() as i64;
                    let hessian = (hessian * per_hessian).round_ties_even() as u64;
                    *cell = Cell::of_row(gradient, hessian);
                }
            });
        });
        self.rows = Rows::Wide(cells);
    }

    fn pack(
        &mut self,
        n_rows: usize,
        derivatives: &dyn Derivatives,
        extent: &Extent,
        grain: Grain,
        seed: u64,
    ) {
        self.block_rows = grain.block_rows;
        let largest = [grain.max_gradient, grain.max_hessian];
        self.gradient_unit = value_unit(extent.max_gradient, grain.max_gradient);
        self.hessian_unit = value_unit(extent.max_hessian, grain.max_hessian);
        let per_unit = [1.0 / self.gradient_unit, 1.0 / self.hessian_unit];
        self.pack_by(n_rows, derivatives, |gradients, hessians, first, stored| {
            round_block(gradients, hessians, per_unit, largest, seed, first, stored);
        });
    }

    /// Fills packed rows block by block: `of_block` gets the derivatives and the first row.
    fn pack_by(
        &mut self,
        n_rows: usize,
        derivatives: &dyn Derivatives,
        of_block: impl Fn(&[f64], &[f64], u32, &mut [u32]) + Sync,
    ) {
        let mut stored = match std::mem::replace(&mut self.rows, Rows::Packed(Vec::new())) {
            Rows::Packed(stored) => stored,
            Rows::Wide(_) => Vec::new(),
        };
        stored.resize(n_rows, 0);
        stored.par_chunks_mut(BLOCK_ROWS).with_min_len(16).enumerate().for_each(
            |(block, stored)| {
                with_block(derivatives, n_rows, block, |gradients, hessians| {
                    of_block(gradients, hessians, (block * BLOCK_ROWS) as u32, stored);
                });
            },
        );
        self.rows = Rows::Packed(stored);
    }
}

/// Runs `then` on the derivatives of a block.
fn with_block<T>(
    derivatives: &dyn Derivatives,
    n_rows: usize,
    block: usize,
    then: impl FnOnce(&[f64], &[f64]) -> T,
) -> T {
    let first = block * BLOCK_ROWS;
    let n = BLOCK_ROWS.min(n_rows - first);
    let (mut gradients, mut hessians) = ([0.0; BLOCK_ROWS], [0.0; BLOCK_ROWS]);
    derivatives.fill(first, &mut gradients[..n], &mut hessians[..n]);
    then(&gradients[..n], &hessians[..n])
}

/// Rounds at random without bias: the floor of the scaled value plus a draw from `[0, 1)`.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn round_block(
    gradients: &[f64],
    hessians: &[f64],
    [per_gradient, per_hessian]: [f64; 2],
    [max_gradient, max_hessian]: [f64; 2],
    seed: u64,
    first: u32,
    stored: &mut [u32],
) {
    const DRAW: f64 = 1.0 / 65_536.0;
    let seed = (seed ^ seed >> 32) as u32;
    let n = stored.len().min(gradients.len()).min(hessians.len());
    let (gradients, hessians, stored) = (&gradients[..n], &hessians[..n], &mut stored[..n]);
    for index in 0..n {
        let bits = mix(seed ^ (first + index as u32).wrapping_mul(0x9e37_79b9));
        let (of_gradient, of_hessian) = ((bits >> 16) as i32, (bits & 0xffff) as i32);
        let gradient = gradients[index] * per_gradient + f64::from(of_gradient) * DRAW;
        let hessian = hessians[index] * per_hessian + f64::from(of_hessian) * DRAW;
        // The bounds hold but for the rounding of one product.
        let gradient = integer(within(gradient.floor(), -max_gradient, max_gradient));
        let hessian = integer(within(hessian.floor(), 0.0, max_hessian));
        stored[index] = packed::store(gradient, hessian);
    }
}

/// `clamp` without its check of the ends, which would stand in the way of vectors; what is no number becomes `low`.
#[inline(always)]
fn within(value: f64, low: f64, high: f64) -> f64 {
    let value = if value > low { value } else { low };
    if value < high { value } else { high }
}

/// A whole number of at most 31 bits as an integer. `as` would look for what does not fit, value by value.
#[inline(always)]
fn integer(whole: f64) -> i32 {
    /// Adding it leaves the integer in the low bits: 1.5 times 2^52.
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    (whole + SHIFT).to_bits() as i32
}

/// The finaliser of MurmurHash3 (Appleby): every bit of the input moves every bit of the output.
#[inline(always)]
fn mix(mut bits: u32) -> u32 {
    bits ^= bits >> 16;
    bits = bits.wrapping_mul(0x85eb_ca6b);
    bits ^= bits >> 13;
    bits = bits.wrapping_mul(0xc2b2_ae35);
    bits ^ bits >> 16
}

/// The power of two in which `sum` takes at most `bits` bits.
fn power_unit(sum: f64, bits: i32) -> f64 {
    let exponent = if sum > 0.0 && sum.is_finite() { sum.log2().ceil() as i32 } else { 0 };
    // Within the range in which both a power and its inverse are normal numbers.
    2f64.powi((exponent - bits).clamp(-1000, 1000))
}

/// The unit in which `largest` is `steps`.
fn value_unit(largest: f64, steps: f64) -> f64 {
    let unit = largest / steps;
    if unit >= f64::MIN_POSITIVE { unit } else { 1.0 }
}
