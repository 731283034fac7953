//! Isotonic calibration: pool adjacent violators, then a line through the blocks' centres.

use super::{Calibration, weighted_rows};

/// Rows pooled into one value.
#[derive(Clone, Copy)]
struct Block {
    weight: f64,
    /// Weighted sums.
    scored: f64,
    positive: f64,
}

impl Block {
    fn value(&self) -> f64 {
        self.positive / self.weight
    }

    fn join(&mut self, other: &Self) {
        self.weight += other.weight;
        self.scored += other.scored;
        self.positive += other.positive;
    }
}

/// Least-squares monotone fit (pool adjacent violators; Ayer and others 1955).
///
/// Equal probabilities are pooled first. Each block gives one knot at its weighted mean probability,
/// and lines run between knots: unlike steps they keep nearly the whole ranking. Values are kept
/// within `[1 / (n + 2), (n + 1) / (n + 2)]` for `n` rows of positive weight, so that no row is
/// called certain because a small block happened to be pure.
///
/// `None` without rows of weight, or with a NaN. One class only gives a constant near 0 or 1.
///
/// # Panics
/// If the slices differ in length.
#[must_use]
pub fn fit_isotonic(
    probabilities: &[f64],
    labels: &[f64],
    weight: Option<&[f64]>,
) -> Option<Calibration> {
    let (mut rows, weight_of) = weighted_rows(probabilities, labels, weight);
    if rows.is_empty() {
        return None;
    }
    rows.sort_unstable_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]).then(a.cmp(&b)));
    let mut blocks: Vec<Block> = Vec::new();
    for tie in rows.chunk_by(|&a, &b| probabilities[a] == probabilities[b]) {
        let sum = |f: &dyn Fn(usize) -> f64| tie.iter().map(|&row| weight_of(row) * f(row)).sum();
        let mut block = Block {
            weight: sum(&|_| 1.0),
            scored: sum(&|row| probabilities[row]),
            positive: sum(&|row| labels[row]),
        };
        while let Some(last) = blocks.last() {
            if last.value() < block.value() {
                break;
            }
            block.join(last);
            blocks.pop();
        }
        blocks.push(block);
    }
    let n = rows.len() as f64;
    let (floor, ceiling) = (1.0 / (n + 2.0), (n + 1.0) / (n + 2.0));
    let (mut knots, mut values): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    for block in &blocks {
        let knot = block.scored / block.weight;
        // Centres can coincide only by rounding; the later block then speaks for both.
        if knots.last().is_some_and(|&last| knot <= last) {
            knots.pop();
            values.pop();
        }
        knots.push(knot);
        values.push(block.value().clamp(floor, ceiling));
    }
    Some(Calibration::Isotonic { knots, values })
}

/// The line through the knots at `x`; NaN stays NaN.
pub(super) fn interpolate(knots: &[f64], values: &[f64], x: f64) -> f64 {
    let right = knots.partition_point(|&knot| knot < x);
    if right == knots.len() {
        return values.last().map_or(x, |&last| if x.is_nan() { x } else { last });
    }
    if right == 0 {
        return if x.is_nan() { x } else { values[0] };
    }
    let (x0, x1, y0, y1) = (knots[right - 1], knots[right], values[right - 1], values[right]);
    let share = (x - x0) / (x1 - x0);
    // Written so that neither end can be overshot by rounding.
    (y0 + share * (y1 - y0)).clamp(y0, y1)
}

pub(super) fn fault(knots: &[f64], values: &[f64]) -> Option<String> {
    if knots.is_empty() || knots.len() != values.len() {
        return Some(format!("{} knots and {} values", knots.len(), values.len()));
    }
    if !knots.iter().all(|knot| knot.is_finite()) || !knots.is_sorted_by(|a, b| a < b) {
        return Some("knots must be finite and strictly ascending".to_owned());
    }
    let in_range = values.iter().all(|value| (0.0..=1.0).contains(value));
    (!in_range || !values.is_sorted()).then(|| "values must ascend within [0, 1]".to_owned())
}
