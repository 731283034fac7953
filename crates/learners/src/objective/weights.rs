//! How much rows count, and quantiles that respect it.

use rayon::prelude::*;

/// Rows that are worth a thread.
const BLOCK_ROWS: usize = 4_096;

/// How much each row counts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RowWeights {
    /// 1 for all.
    Equal,
    /// Row weight times class factor.
    Each(Vec<f64>),
}

impl RowWeights {
    pub(crate) fn of(&self, row: usize) -> f64 {
        match self {
            Self::Equal => 1.0,
            Self::Each(weights) => weights[row],
        }
    }

    pub(crate) fn each(&self) -> Option<&[f64]> {
        match self {
            Self::Equal => None,
            Self::Each(weights) => Some(weights),
        }
    }

    /// Each row's weight times its factor.
    pub(crate) fn times(&self, factors: &[f64]) -> Self {
        let of_row = |(row, factor): (usize, &f64)| self.of(row) * factor;
        Self::Each(factors.par_iter().enumerate().with_min_len(BLOCK_ROWS).map(of_row).collect())
    }

    /// The largest weight.
    pub(crate) fn largest(&self) -> f64 {
        let of = |each: &[f64]| {
            each.par_iter().with_min_len(BLOCK_ROWS).copied().reduce(|| 0.0, f64::max)
        };
        self.each().map_or(1.0, of)
    }

    pub(super) fn sum(&self, n_rows: usize) -> f64 {
        self.each().map_or(n_rows as f64, |weights| weights.iter().sum())
    }
}

/// Labels with their weights, in row order.
pub(super) fn weighted<'a>(
    labels: &'a [f64],
    weights: &'a RowWeights,
) -> impl Iterator<Item = (f64, f64)> + 'a {
    labels.iter().enumerate().map(|(row, &label)| (label, weights.of(row)))
}

/// The weighted quantile of `(value, weight)` pairs: the value at which the weight below reaches
/// `alpha` of the total, or the middle of two values where it is reached exactly between them.
pub(crate) fn weighted_quantile(mut pairs: Vec<(f64, f64)>, alpha: f64) -> f64 {
    pairs.retain(|&(_, weight)| weight > 0.0);
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = pairs.iter().map(|&(_, weight)| weight).sum();
    let wanted = alpha * total;
    let mut below = 0.0;
    for (index, &(value, weight)) in pairs.iter().enumerate() {
        below += weight;
        if below > wanted {
            return value;
        }
        if below == wanted {
            return pairs.get(index + 1).map_or(value, |&(next, _)| value / 2.0 + next / 2.0);
        }
    }
    pairs.last().map_or(0.0, |&(value, _)| value)
}
