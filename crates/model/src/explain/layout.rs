//! What lies side by side: rows, or the quadrature points of one row.

use std::marker::PhantomData;

use super::program::Curve;
use super::simd::{self, LANES, Simd};

/// One arrangement of rows and points. Both do the same operations on every row and point, so that a
/// row gets the same bits in both.
pub(super) trait Layout {
    /// A number of every row.
    type Rows: Copy;
    /// A number of every row at every point of a group.
    type Points: Copy;

    fn rows(value: impl FnMut(usize) -> f64) -> Self::Rows;

    fn row(rows: Self::Rows, row: usize) -> f64;

    fn plus(a: Self::Rows, b: Self::Rows) -> Self::Rows;

    fn minus(a: Self::Rows, b: Self::Rows) -> Self::Rows;

    fn times(a: Self::Rows, b: Self::Rows) -> Self::Rows;

    /// See [`Simd::at_most`].
    fn at_most(rows: Self::Rows, threshold: f64, missing: bool) -> Self::Rows;

    /// The same number for every row and point.
    fn everywhere(value: f64) -> Self::Points;

    /// A number of every point, the same for every row.
    fn of_points(values: &[f64; LANES]) -> Self::Points;

    fn sum(a: &Self::Points, b: &Self::Points) -> Self::Points;

    fn difference(a: &Self::Points, b: &Self::Points) -> Self::Points;

    /// `of * (share + pull * known)`.
    fn leftward(
        of: &Self::Points,
        share: f64,
        pull: Self::Rows,
        known: &[f64; LANES],
    ) -> Self::Points;

    /// Sum over points of `a * b * slope`, in the order of [`Simd::sum`].
    fn integral(a: &Self::Points, b: &Self::Points, curve: &Curve) -> Self::Rows;
}

/// Eight rows side by side, `Q` points one after another.
#[derive(Debug)]
pub(super) struct ByRows<S, const Q: usize>(PhantomData<S>);

impl<S: Simd, const Q: usize> ByRows<S, Q> {
    #[inline(always)]
    fn each(mut of: [S; Q], operation: impl Fn(S, usize) -> S) -> [S; Q] {
        for (q, value) in of.iter_mut().enumerate() {
            *value = operation(*value, q);
        }
        of
    }
}

impl<S: Simd, const Q: usize> Layout for ByRows<S, Q> {
    type Rows = S;
    type Points = [S; Q];

    #[inline(always)]
    fn rows(value: impl FnMut(usize) -> f64) -> S {
        S::load(&std::array::from_fn(value))
    }

    #[inline(always)]
    fn row(rows: S, row: usize) -> f64 {
        rows.values()[row]
    }

    #[inline(always)]
    fn plus(a: S, b: S) -> S {
        a.plus(b)
    }

    #[inline(always)]
    fn minus(a: S, b: S) -> S {
        a.minus(b)
    }

    #[inline(always)]
    fn times(a: S, b: S) -> S {
        a.times(b)
    }

    #[inline(always)]
    fn at_most(rows: S, threshold: f64, missing: bool) -> S {
        rows.at_most(threshold, missing)
    }

    #[inline(always)]
    fn everywhere(value: f64) -> [S; Q] {
        [S::splat(value); Q]
    }

    #[inline(always)]
    fn of_points(values: &[f64; LANES]) -> [S; Q] {
        Self::each(Self::everywhere(0.0), |_, q| S::splat(values[q]))
    }

    #[inline(always)]
    fn sum(a: &[S; Q], b: &[S; Q]) -> [S; Q] {
        Self::each(*a, |a, q| a.plus(b[q]))
    }

    #[inline(always)]
    fn difference(a: &[S; Q], b: &[S; Q]) -> [S; Q] {
        Self::each(*a, |a, q| a.minus(b[q]))
    }

    #[inline(always)]
    fn leftward(of: &[S; Q], share: f64, pull: S, known: &[f64; LANES]) -> [S; Q] {
        let share = S::splat(share);
        Self::each(*of, |of, q| of.times(share.plus(pull.times(S::splat(known[q])))))
    }

    #[inline(always)]
    fn integral(a: &[S; Q], b: &[S; Q], curve: &Curve) -> S {
        let mut terms = Self::each(*a, |a, q| a.times(b[q]).times(S::splat(curve.slope[q])));
        let mut half = LANES / 2;
        while half > 0 {
            for q in half..Q.min(2 * half) {
                terms[q - half] = terms[q - half].plus(terms[q]);
            }
            half /= 2;
        }
        terms[0]
    }
}

/// The points of one row side by side; those that a group does not have weigh nothing.
#[derive(Debug)]
pub(super) struct ByPoints<S>(PhantomData<S>);

impl<S: Simd> Layout for ByPoints<S> {
    type Rows = f64;
    type Points = S;

    #[inline(always)]
    fn rows(mut value: impl FnMut(usize) -> f64) -> f64 {
        value(0)
    }

    #[inline(always)]
    fn row(rows: f64, _: usize) -> f64 {
        rows
    }

    #[inline(always)]
    fn plus(a: f64, b: f64) -> f64 {
        a + b
    }

    #[inline(always)]
    fn minus(a: f64, b: f64) -> f64 {
        a - b
    }

    #[inline(always)]
    fn times(a: f64, b: f64) -> f64 {
        a * b
    }

    #[inline(always)]
    fn at_most(rows: f64, threshold: f64, missing: bool) -> f64 {
        simd::at_most(rows, threshold, missing)
    }

    #[inline(always)]
    fn everywhere(value: f64) -> S {
        S::splat(value)
    }

    #[inline(always)]
    fn of_points(values: &[f64; LANES]) -> S {
        S::load(values)
    }

    #[inline(always)]
    fn sum(a: &S, b: &S) -> S {
        a.plus(*b)
    }

    #[inline(always)]
    fn difference(a: &S, b: &S) -> S {
        a.minus(*b)
    }

    #[inline(always)]
    fn leftward(of: &S, share: f64, pull: f64, known: &[f64; LANES]) -> S {
        of.times(S::splat(share).plus(S::splat(pull).times(S::load(known))))
    }

    #[inline(always)]
    fn integral(a: &S, b: &S, curve: &Curve) -> f64 {
        a.times(*b).times(S::load(&curve.slope)).sum()
    }
}
