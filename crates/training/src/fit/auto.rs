//! Parameters that are found on the rows instead of given.

use segue_learners::BoostingParams;

/// Fewest and most leaves that `auto` takes.
const AUTO_LEAVES: (f64, f64) = (4.0, 63.0);

/// Leaves for so many rows.
pub(super) fn leaves_for(n_rows: usize) -> usize {
    ((n_rows as f64).cbrt() / 3.0).round().clamp(AUTO_LEAVES.0, AUTO_LEAVES.1) as usize
}

/// Smallest learning rate that `auto` takes.
pub(super) const SLOWEST_RATE: f64 = 0.01;

/// From the rounds that the rows bear at the rate of `params` to a rate at which they bear half of all.
pub(super) fn slow_down(params: &mut BoostingParams, n_borne: usize) {
    let fast = params.learning_rate;
    let wanted = (params.n_rounds as f64 / 2.0).max(1.0);
    let rate = (fast * n_borne as f64 / wanted).clamp(SLOWEST_RATE.min(fast), fast);
    // two digits that a person can copy into a job
    let digits = 10f64.powi(2 - rate.log10().ceil() as i32);
    params.learning_rate = (rate * digits).round() / digits;
    let longer = fast / params.learning_rate;
    params.early_stopping_rounds = (params.early_stopping_rounds as f64 * longer).round() as usize;
}
