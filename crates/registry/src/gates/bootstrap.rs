//! Paired bootstrap: how sure are we that the new version is not worse on these rows?
//!
//! Rows are drawn with replacement and both versions are scored on the same draw (Efron and
//! Tibshirani 1993, percentile interval). The seed is fixed, so that a gate asked twice answers the
//! same. Rows of one user are drawn as if they were independent, because the holdout does not say
//! whose they are: with several rows a user the bound is a little too confident.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Draws before others have their turn.
const DRAWS_AT_ONCE: u64 = 8;

/// The seed of every gate.
const SEED: u64 = 0x5e67_7565_6761_7465;

/// A metric of weighted predictions; `None` if it is not defined on these rows.
pub(super) type Metric<'a> = &'a dyn Fn(&[f64], &[f64], &[f64]) -> Option<f64>;

/// Predictions of one version, its rows in an order in which the metric is quick.
#[derive(Debug)]
pub(super) struct Predictions {
    /// Row of the holdout at each place.
    rows: Vec<u32>,
    labels: Vec<f64>,
    outputs: Vec<f64>,
}

impl Predictions {
    /// `outputs` is row-major, shape `(n_rows, n_outputs)`. Rows are ordered by falling first output,
    /// because metrics of order sort them, and sorting what is sorted takes one pass.
    pub(super) fn new(labels: &[f64], outputs: &[f64]) -> Self {
        let n_outputs = outputs.len().checked_div(labels.len()).unwrap_or(1);
        let first = |row: u32| outputs[row as usize * n_outputs];
        let mut rows: Vec<u32> = (0..labels.len() as u32).collect();
        rows.sort_by(|&a, &b| first(b).total_cmp(&first(a)));
        let of_row = |&row: &u32| &outputs[row as usize * n_outputs..][..n_outputs];
        Self {
            labels: rows.iter().map(|&row| labels[row as usize]).collect(),
            outputs: rows.iter().flat_map(of_row).copied().collect(),
            rows,
        }
    }

    /// The metric under `weight`, shape `(n_rows,)` in the order of the holdout.
    pub(super) fn value(
        &self,
        metric: Metric<'_>,
        weight: &[f64],
        room: &mut Vec<f64>,
    ) -> Option<f64> {
        room.clear();
        room.extend(self.rows.iter().map(|&row| weight[row as usize]));
        metric(&self.labels, &self.outputs, room)
    }
}

/// Differences `minuend - subtrahend` of the metric over all draws, ascending. Draws on which the metric is not defined
/// (one class only) are drawn again, up to a bound.
pub(super) fn differences(
    metric: Metric<'_>,
    minuend: &Predictions,
    subtrahend: &Predictions,
    weight: &[f64],
    samples: u32,
) -> Vec<f64> {
    let n_rows = weight.len() as u32;
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let (mut drawn, mut room) = (vec![0.0; weight.len()], Vec::with_capacity(weight.len()));
    let mut differences = Vec::with_capacity(samples as usize);
    for draw in 0..u64::from(samples) * 2 {
        if differences.len() == samples as usize || n_rows == 0 {
            break;
        }
        drawn.fill(0.0);
        for _ in 0..n_rows {
            let row = rng.random_range(0..n_rows) as usize;
            drawn[row] += weight[row];
        }
        let left = minuend.value(metric, &drawn, &mut room);
        let right = subtrahend.value(metric, &drawn, &mut room);
        if let (Some(left), Some(right)) = (left, right) {
            differences.push(left - right);
        }
        if draw % DRAWS_AT_ONCE == DRAWS_AT_ONCE - 1 {
            // A promotion is judged where others want to have rows scored.
            std::thread::yield_now();
        }
    }
    differences.sort_by(f64::total_cmp);
    differences
}

/// The value that a share of `share` of the sorted values lies below (nearest rank, rounded down).
pub(super) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let rank = (share * sorted.len() as f64).floor() as usize;
    sorted.get(rank.min(last)).copied()
}

#[cfg(test)]
mod tests {
    use segue_model::metrics;

    use super::*;

    #[test]
    fn the_order_of_rows_does_not_change_the_metric() {
        let labels = [0.0, 1.0, 1.0, 0.0, 1.0, 0.0];
        let scores = [0.2, 0.9, 0.2, 0.1, 0.4, 0.6];
        let weight = [1.0, 2.0, 0.0, 3.0, 1.0, 1.0];
        let auc: Metric<'_> = &|labels, scores, weight| metrics::auc(labels, scores, Some(weight));
        let ordered = Predictions::new(&labels, &scores);
        let expected = metrics::auc(&labels, &scores, Some(&weight));
        assert_eq!(ordered.value(auc, &weight, &mut Vec::new()), expected);
    }

    #[test]
    fn a_version_equals_itself_on_every_draw() {
        let labels: Vec<f64> = (0..50).map(|row| f64::from(row % 3 == 0)).collect();
        let scores: Vec<f64> = (0..50).map(|row| f64::from(row * 7 % 11)).collect();
        let auc: Metric<'_> = &|labels, scores, weight| metrics::auc(labels, scores, Some(weight));
        let one = Predictions::new(&labels, &scores);
        let differences = differences(auc, &one, &one, &[1.0; 50], 100);
        assert_eq!(differences, vec![0.0; 100]);
    }

    /// Mean difference of squared errors: the bootstrap spread must be the one of a mean.
    #[test]
    fn the_spread_is_that_of_a_mean() {
        let n = 400;
        let labels: Vec<f64> = (0..n).map(|row| f64::from(row % 2)).collect();
        let left: Vec<f64> = (0..n).map(|row| f64::from(row % 7) / 7.0).collect();
        let right = vec![0.0; labels.len()];
        let mean: Metric<'_> = &|_, values, weight| metrics::weighted_mean(values, Some(weight));
        let (left, right) = (Predictions::new(&labels, &left), Predictions::new(&labels, &right));
        let found = differences(mean, &left, &right, &vec![1.0; labels.len()], 2000);
        let expected_sd = (4.0_f64 / 49.0).sqrt() / f64::from(n).sqrt();
        let half_width = (quantile(&found, 0.95).unwrap() - quantile(&found, 0.05).unwrap()) / 2.0;
        assert!((half_width / (1.645 * expected_sd) - 1.0).abs() < 0.1, "{half_width}");
    }
}
