//! Are the segments large enough to mean anything, and do their outcomes differ?

use std::collections::BTreeSet;

use segue_dataset::TargetKind;
use serde::{Deserialize, Serialize};

use super::EvaluationInputs;
use super::curves::{rows_per_weight, wilson_interval};

/// A segment with fewer users says nothing.
pub(super) const MIN_USERS: usize = 30;
/// A segment with fewer positives has no outcome rate to speak of.
pub(super) const MIN_POSITIVES: usize = 10;

/// One segment on the test rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentRow {
    /// Name; `None` for the rows that no condition matched.
    pub name: Option<String>,
    /// Rows.
    pub n_rows: usize,
    /// Distinct users; rows where users are not known.
    pub n_users: usize,
    /// Rows with a label above 0; for several classes the rows themselves.
    pub n_positives: usize,
    /// Share of all rows, 0 to 1.
    pub share: f64,
    /// Weighted mean label; for several classes `None`.
    pub outcome: Option<f64>,
    /// 95 % Wilson interval of a rate; `None` for other targets or without rows.
    pub interval: Option<(f64, f64)>,
    /// Weighted mean prediction; for several classes `None`.
    pub mean_prediction: Option<f64>,
    /// Why its figures are not to be trusted: fewer than 30 users, or fewer than 10 positives.
    pub too_small: Option<String>,
}

pub(super) fn segments(inputs: &EvaluationInputs<'_>) -> Vec<SegmentRow> {
    let Some(assignment) = &inputs.segments else { return Vec::new() };
    let named = (0u32..).zip(&assignment.names).map(|(index, name)| (Some(index), Some(name)));
    named
        .chain([(None, None)])
        .map(|(index, name)| {
            let rows: Vec<usize> =
                (0..assignment.of_row.len()).filter(|&r| assignment.of_row[r] == index).collect();
            segment(inputs, name.cloned(), &rows)
        })
        .collect()
}

fn segment(inputs: &EvaluationInputs<'_>, name: Option<String>, rows: &[usize]) -> SegmentRow {
    let test = inputs.test;
    let kind = &test.target().kind;
    let labels: Vec<f64> = rows.iter().map(|&row| test.target().values[row]).collect();
    let weights: Vec<f64> =
        rows.iter().map(|&row| test.weight().map_or(1.0, |weight| weight[row])).collect();
    let total: f64 = weights.iter().sum();
    let mean = |values: &mut dyn Iterator<Item = f64>| {
        let sum: f64 = values.zip(&weights).map(|(value, weight)| value * weight).sum();
        (total > 0.0 && kind.n_outputs() == 1).then(|| sum / total)
    };
    let users: BTreeSet<&str> =
        rows.iter().filter_map(|&row| test.keys().user.get(row)).map(|user| &**user).collect();
    let n_users = if test.keys().user.is_empty() { rows.len() } else { users.len() };
    let outcome = mean(&mut labels.iter().copied());
    let is_binary = *kind == TargetKind::Binary;
    let n_positives = match kind {
        TargetKind::Multiclass { .. } => rows.len(),
        _ => labels.iter().filter(|&&label| label > 0.0).count(),
    };
    let effective = total * rows_per_weight(&weights);
    SegmentRow {
        n_rows: rows.len(),
        n_users,
        n_positives,
        share: rows.len() as f64 / test.n_rows().max(1) as f64,
        outcome,
        interval: outcome.filter(|_| is_binary).map(|rate| wilson_interval(rate, effective)),
        mean_prediction: mean(&mut rows.iter().map(|&row| inputs.predictions.column(0)[row])),
        too_small: name.is_some().then(|| too_small(n_users, n_positives, is_binary)).flatten(),
        name,
    }
}

fn too_small(n_users: usize, n_positives: usize, is_binary: bool) -> Option<String> {
    if n_users < MIN_USERS {
        Some(format!("too small: {n_users} users, at least {MIN_USERS} are needed"))
    } else if is_binary && n_positives < MIN_POSITIVES {
        Some(format!("too few positives: {n_positives}, at least {MIN_POSITIVES} are needed"))
    } else {
        None
    }
}
