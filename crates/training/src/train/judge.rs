//! A model against held-out rows: figures, reasons and segments.

use segue_dataset::{Dataset, Matrix, TargetKind};
use segue_model::{Calibration, Model, SegmentInputs, SegmentSet, Traits};

use super::{Parts, TrainError};
use crate::evaluation::{
    ContributionSample, Evaluation, EvaluationInputs, EvaluationOptions, OtherLearner,
    SegmentAssignment, SliceColumn,
};
use crate::job::Job;
use crate::rows::Prepared;

/// Test rows that are explained for the report.
const MAX_EXPLAINED_ROWS: usize = 1_000;

/// What judging gives.
#[derive(Debug)]
pub struct Judged {
    /// The figures.
    pub evaluation: Evaluation,
    /// Calibrated outputs of the test rows, row-major.
    pub outputs: Vec<f64>,
    /// Conditions of segments that failed (not: did not match), by segment.
    pub segment_errors: Vec<(String, u64)>,
}

/// Scores the test rows and measures everything.
///
/// # Errors
/// If predictions do not fit the rows.
pub fn judge(
    model: &Model,
    segments: &SegmentSet,
    prepared: &Prepared,
    parts: &Parts,
    others: Vec<OtherLearner>,
    job: &Job,
) -> Result<Judged, TrainError> {
    let test = &parts.test;
    let n_outputs = model.n_outputs();
    let outputs = model.score_rows(test.features());
    let predictions = Matrix::from_rows(n_outputs, &outputs);
    let uncalibrated = (*model.calibration() != Calibration::None)
        .then(|| Matrix::from_rows(n_outputs, &model.raw_rows(test.features())));
    let (assignment, segment_errors) = assign(model, segments, test, &outputs, &job.model);
    let slices = prepared.slices.iter().map(|slice| SliceColumn {
        name: slice.name.clone(),
        labels: prepared.split.test.iter().map(|&row| slice.values[row as usize].clone()).collect(),
    });
    let evaluation = Evaluation::of(&EvaluationInputs {
        train: &parts.train,
        test,
        predictions: &predictions,
        uncalibrated: uncalibrated.as_ref(),
        slices: slices.collect(),
        others,
        segments: (!segments.is_empty()).then_some(assignment),
        importance: importance(model),
        contributions: Some(contributions(model, test)),
        rejects: prepared.facts.counts.clone(),
        options: EvaluationOptions { seed: job.seed, ..EvaluationOptions::default() },
    })?;
    Ok(Judged { evaluation, outputs, segment_errors })
}

/// Segment of each row, and how often conditions failed.
pub(crate) fn assign(
    model: &Model,
    segments: &SegmentSet,
    test: &Dataset,
    outputs: &[f64],
    name: &str,
) -> (SegmentAssignment, Vec<(String, u64)>) {
    let names: Vec<String> = segments.names().map(str::to_owned).collect();
    let mut errors = vec![0u64; names.len()];
    let mut row = vec![0.0; test.features().n_columns()];
    let (n_outputs, traits) = (model.n_outputs(), Traits::default());
    let of_row = (0..test.n_rows()).map(|index| {
        test.features().copy_row(index, &mut row);
        let answers = &outputs[index * n_outputs..][..n_outputs];
        let class_scores: Vec<(&str, f64)> =
            model.classes().iter().map(String::as_str).zip(answers.iter().copied()).collect();
        let score = answers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let assigned = segments.assign(&SegmentInputs {
            score,
            scores: &[(name, score)],
            class_scores: &class_scores,
            schema: model.schema(),
            row: &row,
            traits: &traits,
        });
        for (segment, _) in &assigned.errors {
            if let Some(at) = names.iter().position(|name| name == segment) {
                errors[at] += 1;
            }
        }
        let position = |segment: &str| names.iter().position(|name| name == segment);
        assigned.segment.and_then(position).map(|at| at as u32)
    });
    let of_row = of_row.collect();
    let errors = names.iter().cloned().zip(errors).filter(|(_, n)| *n > 0).collect();
    (SegmentAssignment { names, of_row }, errors)
}

/// Share of the split gain by feature.
fn importance(model: &Model) -> Vec<(String, f64)> {
    let mut gains = vec![0.0; model.schema().len()];
    for node in model.ensemble().trees.iter().flat_map(|tree| &tree.nodes) {
        gains[node.feature as usize] += node.gain;
    }
    let total: f64 = gains.iter().sum();
    let names = model.schema().features().iter().map(|feature| feature.name.clone());
    names
        .zip(gains)
        .filter(|(_, gain)| *gain > 0.0)
        .map(|(name, gain)| (name, gain / total))
        .collect()
}

fn contributions(model: &Model, test: &Dataset) -> ContributionSample {
    let n_rows = test.n_rows();
    let n_kept = n_rows.min(MAX_EXPLAINED_ROWS);
    let rows: Vec<u32> = (0..n_kept).map(|kept| (kept * n_rows / n_kept) as u32).collect();
    let features = test.features().select(&rows);
    let explanations = model.explain_rows(&features);
    let mut row = vec![0.0; features.n_columns()];
    let mut values = Vec::with_capacity(rows.len() * row.len());
    let mut scratch = segue_model::Scratch::default();
    for kept in 0..rows.len() {
        let output = match model.target() {
            TargetKind::Multiclass { .. } => {
                features.copy_row(kept, &mut row);
                model.score(&row, &mut scratch).best()
            }
            TargetKind::Binary | TargetKind::Regression => 0,
        };
        values.extend_from_slice(explanations.contributions(kept, output));
    }
    let values = Matrix::from_rows(row.len(), &values);
    ContributionSample { rows, values }
}
