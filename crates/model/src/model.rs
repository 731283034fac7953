//! A trained model: what it reads, its trees, and how its answer is made.

mod check;
mod score;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::{Arc, OnceLock};

use segue_dataset::{Schema, TargetKind};

use crate::explain::Explainer;
use crate::{Calibration, Ensemble, Scorer};

pub use check::ModelError;
pub use score::{Scores, Scratch};

/// Everything a model is made of, not yet checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelParts {
    /// The columns of a row.
    pub schema: Arc<Schema>,
    /// What is predicted.
    pub target: TargetKind,
    /// Name of the task, such as `churn`; free text.
    pub task: String,
    /// The trees.
    pub ensemble: Ensemble,
    /// Applied after the link.
    pub calibration: Calibration,
    /// Behaviour that each column speaks of, shape `(n_columns,)`: columns that share one are summed
    /// in reasons. Empty: each column is its own, under its name.
    pub behaviours: Vec<String>,
    /// Hash of the feature set that fills the rows; `None` for a model of a ready-made table.
    pub feature_set_hash: Option<String>,
}

/// A model whose parts have been checked against each other; never edited afterwards.
#[derive(Debug, Clone)]
pub struct Model {
    parts: ModelParts,
    /// Worked out once, by the first explanation: models are loaded more often than explained.
    explainer: OnceLock<Explainer>,
    /// Compiled once, because every row needs it.
    scorer: Scorer,
}

impl PartialEq for Model {
    /// Models of equal parts are equal; the rest follows from them.
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts
    }
}

impl Model {
    /// Checks every index, width and number; fills in empty behaviours.
    ///
    /// Afterwards scoring any row of the schema's width gives finite outputs and never panics.
    ///
    /// # Errors
    /// [`ModelError`] names the first part that does not fit.
    pub fn new(mut parts: ModelParts) -> Result<Self, ModelError> {
        if parts.behaviours.is_empty() {
            parts.behaviours =
                parts.schema.features().iter().map(|feature| feature.name.clone()).collect();
        }
        check::check(&parts)?;
        let n_columns = parts.schema.len();
        let scorer = Scorer::compile(&parts.ensemble, n_columns);
        Ok(Self { parts, explainer: OnceLock::new(), scorer })
    }

    /// The parts.
    #[must_use]
    pub fn parts(&self) -> &ModelParts {
        &self.parts
    }

    /// The parts, to build another model from.
    #[must_use]
    pub fn into_parts(self) -> ModelParts {
        self.parts
    }

    /// The columns of a row.
    #[must_use]
    pub fn schema(&self) -> &Arc<Schema> {
        &self.parts.schema
    }

    /// What is predicted.
    #[must_use]
    pub fn target(&self) -> &TargetKind {
        &self.parts.target
    }

    /// Name of the task.
    #[must_use]
    pub fn task(&self) -> &str {
        &self.parts.task
    }

    /// The trees.
    #[must_use]
    pub fn ensemble(&self) -> &Ensemble {
        &self.parts.ensemble
    }

    /// The trees, ready for scoring.
    #[must_use]
    pub fn scorer(&self) -> &Scorer {
        &self.scorer
    }

    pub(crate) fn explainer(&self) -> &Explainer {
        self.explainer.get_or_init(|| Explainer::of(&self.parts.ensemble, self.parts.schema.len()))
    }

    /// The calibration.
    #[must_use]
    pub fn calibration(&self) -> &Calibration {
        &self.parts.calibration
    }

    /// Behaviour of each column, shape `(n_columns,)`.
    #[must_use]
    pub fn behaviours(&self) -> &[String] {
        &self.parts.behaviours
    }

    /// Hash of the feature set that fills the rows, if any.
    #[must_use]
    pub fn feature_set_hash(&self) -> Option<&str> {
        self.parts.feature_set_hash.as_deref()
    }

    /// Outputs of a row: classes of a multiclass target, otherwise 1.
    #[must_use]
    pub fn n_outputs(&self) -> usize {
        self.parts.ensemble.n_outputs()
    }

    /// Class names of a multiclass target, otherwise empty.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        match &self.parts.target {
            TargetKind::Multiclass { classes } => classes,
            TargetKind::Binary | TargetKind::Regression => &[],
        }
    }
}
