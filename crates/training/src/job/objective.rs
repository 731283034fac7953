//! What boosting minimises, as a job writes it.

use segue_learners::Objective;
use serde::{Deserialize, Serialize};

use super::Answer;

/// What boosting minimises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectiveKind {
    /// Log loss of a probability.
    Logistic,
    /// Focal loss of a probability: log loss in which rows that are already right count less.
    Focal,
    /// Log loss of class probabilities.
    Softmax,
    /// Squared error: the mean.
    Squared,
    /// Absolute error: the median.
    Absolute,
    /// Pinball loss: the quantile `alpha`.
    Quantile,
    /// Poisson likelihood: counts, not below 0.
    Poisson,
    /// Tweedie likelihood: amounts not below 0, many of them 0.
    Tweedie,
    /// Gamma likelihood: amounts above 0.
    Gamma,
}

impl ObjectiveKind {
    /// The usual objective of an answer.
    #[must_use]
    pub fn usual(answer: Answer) -> Self {
        match answer {
            Answer::YesNo => Self::Logistic,
            Answer::Class => Self::Softmax,
            Answer::Number => Self::Squared,
        }
    }

    /// What it predicts.
    #[must_use]
    pub fn answer(self) -> Answer {
        match self {
            Self::Logistic | Self::Focal => Answer::YesNo,
            Self::Softmax => Answer::Class,
            _ => Answer::Number,
        }
    }

    /// With its parameters where a job names them, else the usual ones; a quantile without `alpha` has
    /// none, and is refused.
    #[must_use]
    pub fn with(self, alpha: Option<f64>, gamma: Option<f64>, power: Option<f64>) -> Objective {
        match self {
            Self::Logistic => Objective::Logistic,
            Self::Focal => Objective::Focal {
                gamma: gamma.unwrap_or(FOCAL_GAMMA),
                alpha: alpha.unwrap_or(FOCAL_ALPHA),
            },
            Self::Softmax => Objective::Softmax,
            Self::Squared => Objective::Squared,
            Self::Absolute => Objective::Absolute,
            Self::Quantile => Objective::Quantile { alpha: alpha.unwrap_or(f64::NAN) },
            Self::Poisson => Objective::Poisson,
            Self::Tweedie => Objective::Tweedie { power: power.unwrap_or(TWEEDIE_POWER) },
            Self::Gamma => Objective::Gamma,
        }
    }

    /// The name in job files.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.with(None, None, None).name()
    }
}

/// The focal loss of its paper, where a job names nothing else.
const FOCAL_GAMMA: f64 = 2.0;
const FOCAL_ALPHA: f64 = 0.25;
/// Variance power of objective `tweedie` where a job names none.
const TWEEDIE_POWER: f64 = 1.5;
