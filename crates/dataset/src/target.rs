//! What a row is asked to predict.

/// The kind of a target and thereby of a model's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetKind {
    /// 0.0 or 1.0; the model gives the probability of 1.
    Binary,
    /// A class index; the model gives one probability a class.
    Multiclass {
        /// Class names in index order, at least two.
        classes: Vec<String>,
    },
    /// A real number.
    Regression,
}

impl TargetKind {
    /// Outputs of a model for this target: one a class, otherwise one.
    #[must_use]
    pub fn n_outputs(&self) -> usize {
        match self {
            Self::Multiclass { classes } => classes.len(),
            Self::Binary | Self::Regression => 1,
        }
    }
}

/// Labels of all rows, shape `(n_rows,)`, never missing.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// How the values read.
    pub kind: TargetKind,
    /// 0/1, class index, or the number.
    pub values: Vec<f64>,
}
