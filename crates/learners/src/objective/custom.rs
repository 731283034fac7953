//! Losses of the caller's.

use std::fmt;
use std::sync::Arc;

use rayon::prelude::*;
use segue_dataset::TargetKind;
use segue_model::Link;

use super::RowWeights;
use crate::LearnError;

/// Rows checked together by one thread.
const BLOCK_ROWS: usize = 4_096;

/// A loss with one margin a row, for a binary target (labels 0 and 1) or a regression.
///
/// Every function must give the same for the same arguments; they are called from several threads, in
/// any order. Row weights and class weights are multiplied in by the boosting.
pub trait CustomObjective: Send + Sync {
    /// Name in messages.
    fn name(&self) -> &'static str;

    /// From margin to prediction. Models of a binary target take [`Link::Logistic`] or
    /// [`Link::Identity`].
    fn link(&self) -> Link;

    /// Whether the loss is meant for a target of this kind. A multiclass target never is.
    fn fits(&self, kind: &TargetKind) -> bool;

    /// The margin that a fit starts from, finite; best the constant with the least loss. `weights` has one
    /// entry a label, or is `None` if all are 1.
    fn base(&self, labels: &[f64], weights: Option<&[f64]>) -> f64;

    /// First and second derivative of the loss in the margin. Both finite, the second not below 0; a second
    /// derivative that is not the true one but an upper bound of it makes steps shorter.
    fn derivatives(&self, margin: f64, label: f64) -> (f64, f64);

    /// The loss, for reports and early stopping.
    fn loss(&self, margin: f64, label: f64) -> f64;
}

/// A shared [`CustomObjective`]. Two are equal if they are one.
#[derive(Clone)]
pub struct Custom(Arc<dyn CustomObjective>);

impl Custom {
    pub(super) fn new(objective: impl CustomObjective + 'static) -> Self {
        Self(Arc::new(objective))
    }

    pub(super) fn name(&self) -> &'static str {
        self.0.name()
    }

    pub(super) fn link(&self) -> Link {
        self.0.link()
    }

    pub(super) fn fits(&self, kind: &TargetKind) -> bool {
        !matches!(kind, TargetKind::Multiclass { .. }) && self.0.fits(kind)
    }

    pub(super) fn base(&self, labels: &[f64], weights: &RowWeights) -> f64 {
        self.0.base(labels, weights.each())
    }

    pub(super) fn derivatives(&self, margin: f64, label: f64) -> (f64, f64) {
        self.0.derivatives(margin, label)
    }

    pub(super) fn loss(&self, margin: f64, label: f64) -> f64 {
        self.0.loss(margin, label)
    }

    /// Whether all derivatives are as [`CustomObjective::derivatives`] must give them; the error names the
    /// first row where they are not.
    pub(crate) fn check_derivatives(
        &self,
        margins: &[f64],
        labels: &[f64],
    ) -> Result<(), LearnError> {
        let rows = margins.par_iter().zip(labels).with_min_len(BLOCK_ROWS).enumerate();
        let bad = |(row, (&margin, &label)): (usize, (&f64, &f64))| {
            let (first, second) = self.derivatives(margin, label);
            let fits = first.is_finite() && second.is_finite() && second >= 0.0;
            (!fits).then(|| LearnError::Derivatives {
                objective: self.name(),
                row,
                margin,
                first,
                second,
            })
        };
        rows.find_map_first(bad).map_or(Ok(()), Err)
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Custom").field(&self.name()).finish()
    }
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
