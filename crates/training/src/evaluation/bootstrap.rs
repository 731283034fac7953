//! Intervals: users are drawn with replacement, and every metric is measured again.
//!
//! A user's rows are not independent, so users are resampled, not rows (cluster bootstrap). The
//! draws are shared by everything measured: the difference of two models comes from the same users
//! and is far tighter than the difference of two intervals. Cost is bounded: beyond
//! [`ROWS_PER_RESAMPLE`] rows only so many users are drawn each time, and the spread is scaled by
//! the square root of the share drawn (m-out-of-n bootstrap, Bickel, Götze and van Zwet 1997).

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rayon::prelude::*;
use segue_dataset::RowKeys;
use serde::{Deserialize, Serialize};

use super::EvaluationOptions;

/// Rows drawn per resample at most.
const ROWS_PER_RESAMPLE: usize = 50_000;
/// Rows over all resamples, as long as there are at least [`MIN_RESAMPLES`].
const ROWS_IN_ALL: usize = 12_000_000;
/// Fewer resamples would make the ends of a 95 % interval a matter of luck.
const MIN_RESAMPLES: usize = 200;
/// An interval needs a value in at least this share of the resamples.
const MIN_DEFINED_SHARE: f64 = 0.5;

/// A value and its 95 % interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Measured on all rows; `None` where the metric is not defined.
    pub value: Option<f64>,
    /// Spread of the resampled values from 2.5 % to 97.5 % around `value`, which it always holds;
    /// `None` when the metric was undefined in half of the resamples or more.
    pub interval: Option<(f64, f64)>,
}

impl Estimate {
    /// A value without an interval.
    #[must_use]
    pub fn exact(value: Option<f64>) -> Self {
        Self { value, interval: None }
    }
}

/// How the intervals were drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BootstrapPlan {
    /// Seed.
    pub seed: u64,
    /// Times that users were drawn.
    pub n_resamples: usize,
    /// Distinct users (rows, where users are not known).
    pub n_users: usize,
    /// Users drawn each time; fewer than `n_users` on large data.
    pub n_drawn: usize,
    /// Whether users were known, so that their rows stayed together.
    pub by_user: bool,
}

/// Draws users and measures.
pub(super) struct Resampler {
    plan: BootstrapPlan,
    user_of_row: Vec<u32>,
}

impl Resampler {
    /// A model with several outputs costs as much a row, and gets so many rows fewer.
    pub(super) fn new(
        keys: &RowKeys,
        n_rows: usize,
        n_outputs: usize,
        options: &EvaluationOptions,
    ) -> Self {
        let rows_per_resample = ROWS_PER_RESAMPLE / n_outputs.clamp(1, 10);
        let by_user = !keys.user.is_empty();
        let (user_of_row, n_users) = if by_user {
            // Numbered in text order, so that the draws do not depend on the order of rows.
            let mut number: BTreeMap<&str, u32> =
                keys.user.iter().map(|user| (&**user, 0)).collect();
            (0u32..).zip(number.values_mut()).for_each(|(index, slot)| *slot = index);
            (keys.user.iter().map(|user| number[&**user]).collect(), number.len())
        } else {
            ((0u32..).take(n_rows).collect::<Vec<_>>(), n_rows)
        };
        let share = (rows_per_resample as f64 / n_rows.max(1) as f64).min(1.0);
        let n_drawn = ((n_users as f64 * share).round() as usize).max(usize::from(n_users > 0));
        let affordable = ROWS_IN_ALL / n_outputs.max(1) / n_rows.clamp(1, rows_per_resample);
        let least = MIN_RESAMPLES.min(options.max_resamples);
        let n_resamples = affordable.clamp(least, options.max_resamples.max(least));
        let plan = BootstrapPlan { seed: options.seed, n_resamples, n_users, n_drawn, by_user };
        Self { plan, user_of_row }
    }

    pub(super) fn plan(&self) -> &BootstrapPlan {
        &self.plan
    }

    /// Times each user is drawn in resample `index`, a function of the seed and the index alone.
    fn draw(&self, index: usize) -> Vec<u32> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.plan.seed);
        rng.set_stream(index as u64 + 1);
        let mut times = vec![0u32; self.plan.n_users];
        for _ in 0..self.plan.n_drawn {
            // Multiply-shift on 64 bits: the bias is below 2^-32 for any number of users here.
            let user = (u128::from(rng.next_u64()) * self.plan.n_users as u128) >> 64;
            times[user as usize] += 1;
        }
        times
    }

    /// Calls `measure` with the times that each row is drawn, once a resample; results in order.
    pub(super) fn run<T: Send>(&self, measure: impl Fn(&[u32]) -> T + Sync) -> Vec<T> {
        if self.plan.n_users == 0 {
            return Vec::new();
        }
        (0..self.plan.n_resamples)
            .into_par_iter()
            .map(|index| {
                let of_user = self.draw(index);
                let of_row: Vec<u32> =
                    self.user_of_row.iter().map(|&user| of_user[user as usize]).collect();
                measure(&of_row)
            })
            .collect()
    }

    /// The interval of a metric from its value on all rows and its resampled values, kept within
    /// `bounds`.
    ///
    /// The resampled values are centred on the value: a calibration error, for one, grows with
    /// noise, so that its resamples lie above it as a whole.
    pub(super) fn estimate(
        &self,
        value: Option<f64>,
        resampled: impl Iterator<Item = Option<f64>>,
        bounds: (f64, f64),
    ) -> Estimate {
        let Some(point) = value else { return Estimate::default() };
        let mut defined: Vec<f64> = resampled.flatten().filter(|v| v.is_finite()).collect();
        let needed = (self.plan.n_resamples as f64 * MIN_DEFINED_SHARE).max(2.0);
        if (defined.len() as f64) < needed {
            return Estimate::exact(value);
        }
        defined.sort_by(f64::total_cmp);
        let centre = quantile_sorted(&defined, 0.5);
        let scale = (self.plan.n_drawn as f64 / self.plan.n_users as f64).sqrt();
        let end = |share: f64| point + (quantile_sorted(&defined, share) - centre) * scale;
        let interval = (end(0.025).max(bounds.0).min(point), end(0.975).min(bounds.1).max(point));
        Estimate { value, interval: Some(interval) }
    }
}

/// Quantile of sorted values with linear interpolation; `sorted` must not be empty.
pub(super) fn quantile_sorted(sorted: &[f64], share: f64) -> f64 {
    let position = share.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let (below, part) = (position.floor() as usize, position.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * part
}
