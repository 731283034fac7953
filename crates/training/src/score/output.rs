//! Columns of scores, batch by batch.

use polars::prelude::Column;
use segue_dataset::TargetKind;

use super::{Answers, FileScorer};
use crate::export::column;

/// Answers of a batch, column by column.
pub(super) struct Batch<'a> {
    scorers: &'a [FileScorer],
    n_reasons: usize,
    n_rows: usize,
    outputs: Vec<Vec<Vec<f64>>>,
    segments: Vec<Vec<Option<String>>>,
    reasons: Vec<Vec<String>>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(scorers: &'a [FileScorer], n_reasons: usize) -> Self {
        let n = scorers.len();
        Self {
            scorers,
            n_reasons,
            n_rows: 0,
            outputs: scorers
                .iter()
                .map(|scorer| vec![Vec::new(); scorer.model.n_outputs()])
                .collect(),
            segments: vec![Vec::new(); n],
            reasons: vec![Vec::new(); n],
        }
    }

    pub(super) fn push(&mut self, answers: Answers) {
        self.n_rows += 1;
        for (columns, outputs) in self.outputs.iter_mut().zip(answers.outputs) {
            columns.iter_mut().zip(outputs).for_each(|(column, value)| column.push(value));
        }
        for (column, segment) in self.segments.iter_mut().zip(answers.segments) {
            column.push(segment);
        }
        for (column, reasons) in self.reasons.iter_mut().zip(answers.reasons) {
            column.push(reasons);
        }
    }

    pub(super) fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// `NAME`, or `NAME_CLASS` per class; `NAME_segment`; `NAME_reasons`; `NAME_version`.
    pub(super) fn into_columns(self) -> Vec<Column> {
        let mut columns = Vec::new();
        let models = self.scorers.iter().zip(self.outputs).zip(self.segments).zip(self.reasons);
        for (((scorer, outputs), segments), reasons) in models {
            let name = &scorer.name;
            match scorer.model.target() {
                TargetKind::Multiclass { classes } => {
                    for (class, values) in classes.iter().zip(outputs) {
                        columns.push(column(&format!("{name}_{class}"), values));
                    }
                }
                TargetKind::Binary | TargetKind::Regression => {
                    for values in outputs {
                        columns.push(column(name, values));
                    }
                }
            }
            if scorer.segments.is_some() {
                columns.push(column(&format!("{name}_segment"), segments));
            }
            if self.n_reasons > 0 {
                columns.push(column(&format!("{name}_reasons"), reasons));
            }
            let versions = vec![scorer.version; self.n_rows];
            columns.push(column(&format!("{name}_version"), versions));
        }
        columns
    }
}
