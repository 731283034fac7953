//! Metrics of order: who comes first when rows are sorted by score, descending.

use super::{same_length, weight_of};

/// All rows that share one score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tie {
    pub(super) score: f64,
    pub(super) positive: f64,
    pub(super) negative: f64,
}

/// Ties by descending score; `None` if a score or label of a row with weight is NaN.
pub(super) fn ties(labels: &[f64], scores: &[f64], weight: Option<&[f64]>) -> Option<Vec<Tie>> {
    same_length(labels, scores, weight);
    let mut rows: Vec<usize> =
        (0..labels.len()).filter(|&row| weight_of(weight, row) > 0.0).collect();
    if rows.iter().any(|&row| scores[row].is_nan() || labels[row].is_nan()) {
        return None;
    }
    rows.sort_unstable_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    let mut ties: Vec<Tie> = Vec::new();
    for row in rows {
        let (w, score) = (weight_of(weight, row), scores[row]);
        let (positive, negative) = if labels[row] > 0.5 { (w, 0.0) } else { (0.0, w) };
        match ties.last_mut() {
            Some(last) if last.score == score => {
                last.positive += positive;
                last.negative += negative;
            }
            _ => ties.push(Tie { score, positive, negative }),
        }
    }
    Some(ties)
}

fn totals(ties: &[Tie]) -> (f64, f64) {
    ties.iter().fold((0.0, 0.0), |(p, n), tie| (p + tie.positive, n + tie.negative))
}

/// Area under the ROC curve, in `[0, 1]`; 0.5 is chance.
///
/// The probability that a positive row scores above a negative one, ties counting one half (the
/// Mann-Whitney statistic). `None` if there is one class only.
#[must_use]
pub fn auc(labels: &[f64], scores: &[f64], weight: Option<&[f64]>) -> Option<f64> {
    let ties = ties(labels, scores, weight)?;
    let (positives, negatives) = totals(&ties);
    if !(positives > 0.0 && negatives > 0.0) {
        return None;
    }
    let (mut above, mut won) = (0.0, 0.0);
    for tie in &ties {
        won += tie.negative * (above + 0.5 * tie.positive);
        above += tie.positive;
    }
    Some((won / (positives * negatives)).clamp(0.0, 1.0))
}

/// Average precision, in `(0, 1]`; the base rate is chance.
///
/// The step sum `sum_k (recall_k - recall_{k-1}) * precision_k` over distinct scores, descending: a
/// tie enters as a whole, nothing is interpolated. `None` without a positive row.
#[must_use]
pub fn average_precision(labels: &[f64], scores: &[f64], weight: Option<&[f64]>) -> Option<f64> {
    let ties = ties(labels, scores, weight)?;
    let (positives, _) = totals(&ties);
    if positives <= 0.0 {
        return None;
    }
    let (mut hits, mut seen, mut sum) = (0.0, 0.0, 0.0);
    for tie in &ties {
        hits += tie.positive;
        seen += tie.positive + tie.negative;
        sum += tie.positive * (hits / seen);
    }
    Some((sum / positives).min(1.0))
}

/// What the rows at and above one score hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    /// The score; a row is in when its score is at least this.
    pub threshold: f64,
    /// Share of all weight that is in, in `(0, 1]`: the audience.
    pub depth: f64,
    /// Share of the positive weight that is in (true positive rate).
    pub recall: f64,
    /// Share of the negative weight that is in (false positive rate).
    pub fall_out: f64,
    /// Share of what is in that is positive.
    pub precision: f64,
}

/// One point a distinct score, by descending score: enough to draw ROC, precision-recall, lift and
/// audience-size curves. `None` if there is one class only.
#[must_use]
pub fn curve(labels: &[f64], scores: &[f64], weight: Option<&[f64]>) -> Option<Vec<CurvePoint>> {
    let ties = ties(labels, scores, weight)?;
    let (positives, negatives) = totals(&ties);
    if !(positives > 0.0 && negatives > 0.0) {
        return None;
    }
    let (mut hits, mut misses) = (0.0, 0.0);
    let points = ties.iter().map(|tie| {
        hits += tie.positive;
        misses += tie.negative;
        CurvePoint {
            threshold: tie.score,
            depth: (hits + misses) / (positives + negatives),
            recall: hits / positives,
            fall_out: misses / negatives,
            precision: hits / (hits + misses),
        }
    });
    Some(points.collect())
}

/// What one finds by taking the rows of highest score until a share of the weight is reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AtDepth {
    /// Share of what was taken that is positive, in `[0, 1]`.
    pub precision: f64,
    /// Share of the positives that was taken, in `[0, 1]`; `None` without positives.
    pub recall: Option<f64>,
    /// Precision over the base rate, not below 0; 1 is chance. `None` without positives.
    pub lift: Option<f64>,
}

/// Takes the rows of highest score up to the share `depth` of the total weight.
///
/// A tie at the border is taken in proportion: the value expected if its rows came in random order.
/// `None` if `depth` is not in `(0, 1]` or there is no weight.
#[must_use]
pub fn at_depth(
    labels: &[f64],
    scores: &[f64],
    weight: Option<&[f64]>,
    depth: f64,
) -> Option<AtDepth> {
    if !(depth > 0.0 && depth <= 1.0) {
        return None;
    }
    let ties = ties(labels, scores, weight)?;
    let (positives, negatives) = totals(&ties);
    let total = positives + negatives;
    if total <= 0.0 {
        return None;
    }
    let room = depth * total;
    let (mut hits, mut taken) = (0.0, 0.0);
    for tie in &ties {
        let mass = tie.positive + tie.negative;
        let share = ((room - taken) / mass).min(1.0);
        hits += share * tie.positive;
        taken += share * mass;
        if share < 1.0 {
            break;
        }
    }
    let precision = (hits / taken).min(1.0);
    let has_positives = positives > 0.0;
    Some(AtDepth {
        precision,
        recall: has_positives.then(|| (hits / positives).min(1.0)),
        lift: has_positives.then(|| precision / (positives / total)),
    })
}

/// Precision among the top `depth` of the weight; see [`at_depth`].
#[must_use]
pub fn precision_at_depth(
    labels: &[f64],
    scores: &[f64],
    weight: Option<&[f64]>,
    depth: f64,
) -> Option<f64> {
    at_depth(labels, scores, weight, depth).map(|found| found.precision)
}

/// Recall among the top `depth` of the weight; see [`at_depth`].
#[must_use]
pub fn recall_at_depth(
    labels: &[f64],
    scores: &[f64],
    weight: Option<&[f64]>,
    depth: f64,
) -> Option<f64> {
    at_depth(labels, scores, weight, depth)?.recall
}

/// Lift among the top `depth` of the weight; see [`at_depth`].
#[must_use]
pub fn lift_at_depth(
    labels: &[f64],
    scores: &[f64],
    weight: Option<&[f64]>,
    depth: f64,
) -> Option<f64> {
    at_depth(labels, scores, weight, depth)?.lift
}
