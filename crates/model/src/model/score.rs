//! From a row to an answer.

use segue_dataset::{Matrix, TargetKind};

use super::Model;

/// Room for one row's scoring, reused from row to row so that scoring does not allocate.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
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
        let Scratch { margins, raw, outputs } = scratch;
        margins.resize(self.n_outputs(), 0.0);
        self.ensemble().margins(row, margins);
        raw.clone_from(margins);
        self.ensemble().link(raw);
        if *self.target() != TargetKind::Regression {
            // A mean of probabilities may leave [0, 1] by one rounding.
            raw.iter_mut().for_each(|value| *value = value.clamp(0.0, 1.0));
        }
        outputs.clone_from(raw);
        self.calibration().apply(outputs);
        Scores { margins, raw, outputs }
    }

    /// Outputs of all rows, row-major, shape `(n_rows, n_outputs)`.
    ///
    /// # Panics
    /// If the matrix is not as wide as the schema.
    #[must_use]
    pub fn score_rows(&self, features: &Matrix) -> Vec<f64> {
        self.rows_by(features, |scores| scores.outputs)
    }

    /// Predictions before calibration of all rows, row-major, shape `(n_rows, n_outputs)`:
    /// what a calibration is fitted on.
    ///
    /// # Panics
    /// If the matrix is not as wide as the schema.
    #[must_use]
    pub fn raw_rows(&self, features: &Matrix) -> Vec<f64> {
        self.rows_by(features, |scores| scores.raw)
    }

    fn rows_by(&self, features: &Matrix, pick: fn(Scores<'_>) -> &[f64]) -> Vec<f64> {
        let mut scratch = Scratch::default();
        let mut row = vec![0.0; features.n_columns()];
        let mut out = Vec::with_capacity(features.n_rows() * self.n_outputs());
        for index in 0..features.n_rows() {
            features.copy_row(index, &mut row);
            out.extend_from_slice(pick(self.score(&row, &mut scratch)));
        }
        out
    }
}
