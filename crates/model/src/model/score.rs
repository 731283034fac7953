//! From a row to an answer.

use std::ops::Range;

use segue_dataset::{Matrix, TargetKind};

use super::Model;
use crate::{Calibration, EngineScratch, Link};

/// Rows whose margins are worked out together; several blocks of the engines. In tests few, so that tables
/// have several of them.
const BLOCK_ROWS: usize = if cfg!(test) { 5 } else { 1024 };

/// Room for scoring, reused from row to row so that scoring does not allocate.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    engine: EngineScratch,
    /// Margins of a block of rows.
    block: Vec<f64>,
    margins: Vec<f64>,
    raw: Vec<f64>,
    outputs: Vec<f64>,
}

/// The three stages of one row's answer, each of shape `(n_outputs,)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores<'a> {
    /// Sum (or mean) of trees plus base.
    pub margins: &'a [f64],
    /// After the link: probabilities, or the predicted number.
    pub raw: &'a [f64],
    /// After calibration: the answer. Binary: the probability of 1. Multiclass: one probability a
    /// class, summing to 1. Regression: the number.
    pub outputs: &'a [f64],
}

impl Scores<'_> {
    /// Binary: the probability. Regression: the number. Multiclass: the probability of the most
    /// probable class.
    #[must_use]
    pub fn score(&self) -> f64 {
        self.outputs[self.best()]
    }

    /// Output with the largest value, the first of equals; 0 where there is one output.
    #[must_use]
    pub fn best(&self) -> usize {
        let mut best = 0;
        for (output, value) in self.outputs.iter().enumerate() {
            if *value > self.outputs[best] {
                best = output;
            }
        }
        best
    }
}

impl Model {
    /// Scores one row of the schema's columns. Same row, same bits, on every machine.
    ///
    /// # Panics
    /// If the row is not as wide as the schema.
    pub fn score<'a>(&self, row: &[f64], scratch: &'a mut Scratch) -> Scores<'a> {
        assert_eq!(row.len(), self.schema().len(), "row must have one value a column");
        let Scratch { engine, margins, raw, outputs, .. } = scratch;
        margins.resize(self.n_outputs(), 0.0);
        self.scorer.margins(row, engine, margins);
        self.answer(margins, raw, outputs);
        Scores { margins, raw, outputs }
    }

    /// Scores all rows of a table, a block of them at a time, and hands the scores of each to `read` with
    /// its index, in order: those of [`Self::score`], bit for bit.
    ///
    /// # Panics
    /// If the matrix is not as wide as the schema.
    pub fn score_each(
        &self,
        features: &Matrix,
        scratch: &mut Scratch,
        mut read: impl FnMut(usize, Scores<'_>),
    ) {
        let Scratch { engine, block, raw, outputs, .. } = scratch;
        for start in (0..features.n_rows()).step_by(BLOCK_ROWS) {
            let rows = start..features.n_rows().min(start + BLOCK_ROWS);
            block.resize(rows.len() * self.n_outputs(), 0.0);
            self.scorer.margins_of_rows(features, rows.clone(), engine, block);
            for (row, margins) in rows.zip(block.chunks_exact(self.n_outputs())) {
                self.answer(margins, raw, outputs);
                read(row, Scores { margins, raw, outputs });
            }
        }
    }

    /// From margins to predictions and answers.
    fn answer(&self, margins: &[f64], raw: &mut Vec<f64>, outputs: &mut Vec<f64>) {
        raw.clear();
        raw.extend_from_slice(margins);
        self.ensemble().link(raw);
        if *self.target() != TargetKind::Regression {
            // A mean of probabilities may leave [0, 1] by one rounding.
            raw.iter_mut().for_each(|value| *value = value.clamp(0.0, 1.0));
        }
        outputs.clone_from(raw);
        self.calibration().apply(outputs);
    }

    /// Whether no value of an answer depends on the others.
    fn answers_value_by_value(&self) -> bool {
        let is_shared = matches!(self.ensemble().link, Link::Softmax)
            || matches!(self.calibration(), Calibration::PerClass(_));
        !is_shared
    }

    /// Outputs of all rows, row-major, shape `(n_rows, n_outputs)`.
    ///
    /// # Panics
    /// If the matrix is not as wide as the schema.
    #[must_use]
    pub fn score_rows(&self, features: &Matrix) -> Vec<f64> {
        let mut out = vec![0.0; features.n_rows() * self.n_outputs()];
        self.score_range(features, 0..features.n_rows(), &mut Scratch::default(), &mut out);
        out
    }

    /// Outputs of the rows `rows` into `out`, row-major, shape `(rows.len(), n_outputs)`.
    ///
    /// No row's outputs depend on the rows around it: threads may share a table in ranges of any size,
    /// best of a few hundred rows or more.
    ///
    /// # Panics
    /// If the matrix is not as wide as the schema, or `rows` or the length of `out` is out of range.
    pub fn score_range(
        &self,
        features: &Matrix,
        rows: Range<usize>,
        scratch: &mut Scratch,
        out: &mut [f64],
    ) {
        self.range_by(features, rows, scratch, out, |scores| scores.outputs);
    }

    /// Predictions before calibration of all rows, row-major, shape `(n_rows, n_outputs)`:
    /// what a calibration is fitted on.
    ///
    /// # Panics
    /// If the matrix is not as wide as the schema.
    #[must_use]
    pub fn raw_rows(&self, features: &Matrix) -> Vec<f64> {
        let mut out = vec![0.0; features.n_rows() * self.n_outputs()];
        let (rows, scratch) = (0..features.n_rows(), &mut Scratch::default());
        self.range_by(features, rows, scratch, &mut out, |scores| scores.raw);
        out
    }

    fn range_by(
        &self,
        features: &Matrix,
        rows: Range<usize>,
        scratch: &mut Scratch,
        out: &mut [f64],
        pick: fn(Scores<'_>) -> &[f64],
    ) {
        let n_outputs = self.n_outputs();
        assert_eq!(out.len(), rows.len() * n_outputs, "out must have n_outputs values a row");
        let Scratch { engine, block, raw, outputs, .. } = scratch;
        let starts = rows.clone().step_by(BLOCK_ROWS);
        for (start, out) in starts.zip(out.chunks_mut(BLOCK_ROWS * n_outputs)) {
            block.resize(out.len(), 0.0);
            let block_rows = start..rows.end.min(start + BLOCK_ROWS);
            self.scorer.margins_of_rows(features, block_rows, engine, block);
            // Where every value is an answer of its own, a block of them is answered like a row.
            let n_at_once = if self.answers_value_by_value() { out.len() } else { n_outputs };
            let margins = block.chunks_exact(n_at_once);
            for (margins, out) in margins.zip(out.chunks_exact_mut(n_at_once)) {
                self.answer(margins, raw, outputs);
                out.copy_from_slice(pick(Scores { margins, raw, outputs }));
            }
        }
    }
}
