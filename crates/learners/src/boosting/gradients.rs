//! Derivatives of the loss at the current margins, block by block.

use rayon::prelude::*;
use segue_model::softmax_in_place;

use super::Margins;
use crate::Objective;
use crate::histogram::Derivatives;
use crate::objective::logistic_derivatives;

/// Rows handled together by one thread.
const BLOCK_ROWS: usize = 4_096;

/// One output's derivatives, weighted.
pub(super) struct Gradients<'a> {
    pub(super) labels: &'a [f64],
    /// Row weights times class factors; `None` is 1 for all.
    pub(super) weights: Option<&'a [f64]>,
    /// The largest of them.
    pub(super) max_weight: f64,
    pub(super) source: Source<'a>,
}

/// What the derivatives are computed from.
pub(super) enum Source<'a> {
    /// Margins of the one output.
    Margins { objective: &'a Objective, margins: &'a [f64] },
    /// Class probabilities, shape `(n_rows, n_classes)`, and the class that the output is of.
    Shares { shares: &'a [f64], n_classes: usize, class: usize },
}

impl Derivatives for Gradients<'_> {
    fn fill(&self, first: usize, gradients: &mut [f64], hessians: &mut [f64]) {
        let rows = first..first + gradients.len();
        let labels = &self.labels[rows.clone()];
        match &self.source {
            Source::Margins { objective: Objective::Logistic, margins } => {
                logistic_derivatives(&margins[rows.clone()], labels, gradients, hessians);
            }
            Source::Margins { objective, margins } => {
                let margins = &margins[rows.clone()];
                let out = gradients.iter_mut().zip(hessians.iter_mut());
                for ((gradient, hessian), (&margin, &label)) in out.zip(margins.iter().zip(labels))
                {
                    (*gradient, *hessian) = objective.derivatives(margin, label);
                }
            }
            Source::Shares { shares, n_classes, class } => {
                let out = gradients.iter_mut().zip(hessians.iter_mut());
                let shares = shares[rows.start * n_classes..].chunks_exact(*n_classes);
                for ((gradient, hessian), (shares, &label)) in out.zip(shares.zip(labels)) {
                    let is_label = label == *class as f64;
                    (*gradient, *hessian) =
                        Objective::softmax_derivatives(shares[*class], is_label, *n_classes);
                }
            }
        }
        if let Some(weights) = self.weights {
            let out = gradients.iter_mut().zip(hessians.iter_mut());
            for ((gradient, hessian), weight) in out.zip(&weights[rows]) {
                *gradient *= weight;
                *hessian *= weight;
            }
        }
    }

    fn bounds(&self) -> Option<[f64; 2]> {
        match &self.source {
            Source::Margins { objective: Objective::Logistic, .. } => {
                Some([self.max_weight, self.max_weight / 4.0])
            }
            Source::Shares { n_classes, .. } => {
                let n_classes = *n_classes as f64;
                Some([self.max_weight, self.max_weight * n_classes / (n_classes - 1.0) / 4.0])
            }
            _ => None,
        }
    }
}

/// Class probabilities of all rows, shape `(n_rows, n_classes)`.
pub(super) fn class_shares(margins: &Margins, n_rows: usize) -> Vec<f64> {
    let n_classes = margins.n_outputs();
    let mut shares = vec![0.0; n_rows * n_classes];
    shares.par_chunks_mut(n_classes).with_min_len(BLOCK_ROWS).enumerate().for_each(
        |(row, shares)| {
            margins.copy_row(row, shares);
            softmax_in_place(shares);
        },
    );
    shares
}
