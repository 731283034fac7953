//! Metrics of numeric predictions.

use super::{mean_over, same_length, weight_of};

/// Weighted mean of `values`.
#[must_use]
pub fn weighted_mean(values: &[f64], weight: Option<&[f64]>) -> Option<f64> {
    same_length(values, values, weight);
    mean_over(values.len(), weight, |row| values[row])
}

/// Root of the mean squared error, in the unit of the label, not below 0.
#[must_use]
pub fn rmse(labels: &[f64], predictions: &[f64], weight: Option<&[f64]>) -> Option<f64> {
    same_length(labels, predictions, weight);
    mean_over(labels.len(), weight, |row| (predictions[row] - labels[row]).powi(2)).map(f64::sqrt)
}

/// Mean absolute error, in the unit of the label, not below 0.
#[must_use]
pub fn mae(labels: &[f64], predictions: &[f64], weight: Option<&[f64]>) -> Option<f64> {
    same_length(labels, predictions, weight);
    mean_over(labels.len(), weight, |row| (predictions[row] - labels[row]).abs())
}

/// Share of the labels' variance that is explained: 1 is perfect, 0 is the mean, below is worse.
///
/// `None` if all labels are equal.
#[must_use]
pub fn r2(labels: &[f64], predictions: &[f64], weight: Option<&[f64]>) -> Option<f64> {
    same_length(labels, predictions, weight);
    if is_constant(labels, weight) {
        return None;
    }
    let mean = weighted_mean(labels, weight)?;
    let variance = mean_over(labels.len(), weight, |row| (labels[row] - mean).powi(2))?;
    let error = rmse(labels, predictions, weight)?.powi(2);
    (variance > 0.0).then(|| 1.0 - error / variance)
}

/// Whether all rows with weight share one value. Asked of the values themselves, because a variance
/// of equal values need not come out as 0.
fn is_constant(values: &[f64], weight: Option<&[f64]>) -> bool {
    let mut counted = (0..values.len()).filter(|&row| weight_of(weight, row) > 0.0);
    let Some(first) = counted.next() else { return true };
    counted.all(|row| values[row] == values[first])
}

/// Rows with weight, ordered by `key` ascending; `None` if a key is NaN.
fn order_by(key: &[f64], weight: Option<&[f64]>) -> Option<Vec<usize>> {
    let mut rows: Vec<usize> = (0..key.len()).filter(|&row| weight_of(weight, row) > 0.0).collect();
    if rows.iter().any(|&row| key[row].is_nan()) {
        return None;
    }
    rows.sort_unstable_by(|&a, &b| key[a].total_cmp(&key[b]).then(a.cmp(&b)));
    Some(rows)
}

/// Middle of the weight that each row's tie takes up, rows sorted by value.
fn mid_ranks(values: &[f64], weight: Option<&[f64]>) -> Option<Vec<f64>> {
    let order = order_by(values, weight)?;
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0.0;
    for tie in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let mass: f64 = tie.iter().map(|&row| weight_of(weight, row)).sum();
        tie.iter().for_each(|&row| ranks[row] = before + 0.5 * mass);
        before += mass;
    }
    Some(ranks)
}

/// Spearman's rank correlation, in `[-1, 1]`: the weighted Pearson correlation of weighted mid-ranks
/// (a tie shares its middle rank). `None` if either side is constant.
#[must_use]
pub fn spearman(labels: &[f64], predictions: &[f64], weight: Option<&[f64]>) -> Option<f64> {
    same_length(labels, predictions, weight);
    if is_constant(labels, weight) || is_constant(predictions, weight) {
        return None;
    }
    let (a, b) = (mid_ranks(labels, weight)?, mid_ranks(predictions, weight)?);
    let (mean_a, mean_b) = (weighted_mean(&a, weight)?, weighted_mean(&b, weight)?);
    let moment = |x: &[f64], mean_x: f64, y: &[f64], mean_y: f64| {
        mean_over(x.len(), weight, |row| (x[row] - mean_x) * (y[row] - mean_y))
    };
    let covariance = moment(&a, mean_a, &b, mean_b)?;
    let scale = (moment(&a, mean_a, &a, mean_a)? * moment(&b, mean_b, &b, mean_b)?).sqrt();
    (scale > 0.0).then(|| (covariance / scale).clamp(-1.0, 1.0))
}

/// Gini coefficient of the order by prediction over that of the perfect order, at most 1; 0 is
/// chance, below 0 is worse.
///
/// The Lorenz curve runs over rows by descending prediction, a tie as one straight piece (so row
/// order within it does not matter). Made for values such as lifetime value, where the order and
/// the concentration in few users matter more than the error in money. `None` if a label is
/// negative, all labels are equal (nearly, even), or their sum is 0.
#[must_use]
pub fn normalized_gini(labels: &[f64], predictions: &[f64], weight: Option<&[f64]>) -> Option<f64> {
    same_length(labels, predictions, weight);
    let is_negative = |row: usize| labels[row] < 0.0 && weight_of(weight, row) > 0.0;
    if is_constant(labels, weight) || (0..labels.len()).any(is_negative) {
        return None;
    }
    let perfect = gini(labels, labels, weight)?;
    // Labels that differ in their last digits only have no order to find.
    (perfect > 1e-12).then_some(())?;
    Some(gini(labels, predictions, weight)? / perfect)
}

/// Twice the area between the Lorenz curve (descending key) and the diagonal.
fn gini(labels: &[f64], key: &[f64], weight: Option<&[f64]>) -> Option<f64> {
    let order = order_by(key, weight)?;
    let mass = |rows: &[usize]| rows.iter().map(|&row| weight_of(weight, row)).sum::<f64>();
    let value =
        |rows: &[usize]| rows.iter().map(|&row| weight_of(weight, row) * labels[row]).sum::<f64>();
    let (total_mass, total_value) = (mass(&order), value(&order));
    if total_value <= 0.0 {
        return None;
    }
    let (mut area, mut height) = (0.0, 0.0);
    for tie in order.chunk_by(|&a, &b| key[a] == key[b]).rev() {
        let (dx, dy) = (mass(tie) / total_mass, value(tie) / total_value);
        area += dx * (height + 0.5 * dy);
        height += dy;
    }
    Some(2.0 * area - 1.0)
}
