//! What the boosting minimises: losses, their derivatives, start values.

mod custom;
mod focal;
mod logistic;
#[cfg(test)]
mod tests;
mod weights;

use segue_dataset::{Target, TargetKind};
use segue_model::{Link, logit, sigmoid};

use crate::error::check_real;
use crate::{LearnError, ParamError};

pub use custom::{Custom, CustomObjective};
use focal::Focal;
pub(crate) use logistic::logistic_derivatives;
use weights::weighted;
pub(crate) use weights::{RowWeights, weighted_quantile};

/// A loss, with its link. Gradients are those of the loss in the margin; LightGBM's formulas.
#[derive(Debug, Clone, PartialEq)]
pub enum Objective {
    /// Log loss of a probability behind the logistic link (binary).
    Logistic,
    /// Focal loss behind the logistic link (binary; Lin et al. 2017): log loss in which rows that are
    /// already right count less. Its probabilities are not calibrated: calibrate them on other rows.
    Focal {
        /// How fast easy rows lose weight, not below 0; 0 is the log loss times `alpha`. The paper's is 2.
        gamma: f64,
        /// Weight of class 1, between 0 and 1; class 0 has the rest. The paper's is 0.25.
        alpha: f64,
    },
    /// Log loss of class probabilities behind softmax (multiclass); one tree a class and round.
    Softmax,
    /// Half the squared error (regression).
    Squared,
    /// Absolute error; leaf values are medians (regression).
    Absolute,
    /// Pinball loss; leaf values are quantiles (regression).
    Quantile {
        /// The quantile, between 0 and 1.
        alpha: f64,
    },
    /// Poisson likelihood behind the log link; labels not below 0.
    Poisson,
    /// Tweedie likelihood behind the log link; labels not below 0 (amounts with many zeros).
    Tweedie {
        /// Variance power, between 1 and 2.
        power: f64,
    },
    /// Gamma likelihood behind the log link; labels above 0.
    Gamma,
    /// A loss of the caller's (binary or regression).
    Custom(Custom),
}

/// Poisson's second derivative is enlarged by `exp` of this, which bounds a step (LightGBM's default).
const POISSON_MAX_DELTA: f64 = 0.7;
/// Smallest mean whose logarithm starts a fit behind the log link.
const SMALLEST_MEAN: f64 = 1e-9;

impl Objective {
    /// The usual objective of a target.
    #[must_use]
    pub fn default_for(kind: &TargetKind) -> Self {
        match kind {
            TargetKind::Binary => Self::Logistic,
            TargetKind::Multiclass { .. } => Self::Softmax,
            TargetKind::Regression => Self::Squared,
        }
    }

    /// A loss of the caller's.
    pub fn custom(objective: impl CustomObjective + 'static) -> Self {
        Self::Custom(Custom::new(objective))
    }

    /// The name as jobs write it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Logistic => "logistic",
            Self::Softmax => "softmax",
            Self::Squared => "squared",
            Self::Absolute => "absolute",
            Self::Quantile { .. } => "quantile",
            Self::Poisson => "poisson",
            Self::Tweedie { .. } => "tweedie",
            Self::Gamma => "gamma",
            Self::Focal { .. } => "focal",
            Self::Custom(custom) => custom.name(),
        }
    }

    /// From margin to prediction.
    #[must_use]
    pub fn link(&self) -> Link {
        match self {
            Self::Logistic | Self::Focal { .. } => Link::Logistic,
            Self::Softmax => Link::Softmax,
            Self::Squared | Self::Absolute | Self::Quantile { .. } => Link::Identity,
            Self::Poisson | Self::Tweedie { .. } | Self::Gamma => Link::Exp,
            Self::Custom(custom) => custom.link(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ParamError> {
        match *self {
            Self::Quantile { alpha } => {
                let fits = alpha > 0.0 && alpha < 1.0;
                check_real("quantile_alpha", alpha, fits, "a number between 0 and 1")
            }
            Self::Tweedie { power } => {
                let fits = power > 1.0 && power < 2.0;
                check_real("tweedie_power", power, fits, "a number between 1 and 2")
            }
            Self::Focal { gamma, alpha } => {
                let fits = gamma.is_finite() && gamma >= 0.0;
                check_real("focal_gamma", gamma, fits, "a finite number not below 0")?;
                let fits = alpha > 0.0 && alpha < 1.0;
                check_real("focal_alpha", alpha, fits, "a number between 0 and 1")
            }
            _ => Ok(()),
        }
    }

    /// Whether the target's kind and labels suit the objective.
    pub(crate) fn check_target(&self, target: &Target) -> Result<(), LearnError> {
        let objective = self.name();
        let custom = match self {
            Self::Custom(custom) => Some(custom.fits(&target.kind)),
            _ => None,
        };
        let (kind, instead, fits) = match target.kind {
            TargetKind::Binary => {
                let fits = matches!(self, Self::Logistic | Self::Focal { .. });
                ("binary", "logistic or focal", fits)
            }
            TargetKind::Multiclass { .. } => ("multiclass", "softmax", *self == Self::Softmax),
            TargetKind::Regression => (
                "regression",
                "squared, absolute, quantile, poisson, tweedie or gamma",
                !matches!(self, Self::Logistic | Self::Focal { .. } | Self::Softmax),
            ),
        };
        if !custom.unwrap_or(fits) {
            return Err(LearnError::ObjectiveTarget { objective, target: kind, instead });
        }
        let (allowed, expected): (fn(f64) -> bool, _) = match self {
            Self::Poisson | Self::Tweedie { .. } => (|label| label >= 0.0, "a number not below 0"),
            Self::Gamma => (|label| label > 0.0, "a number above 0"),
            _ => return Ok(()),
        };
        match target.values.iter().position(|&label| !allowed(label)) {
            Some(row) => {
                Err(LearnError::Label { row, value: target.values[row], objective, expected })
            }
            None => Ok(()),
        }
    }

    /// Best constant margin of each output, shape `(n_outputs,)`. Sums run in row order.
    pub(crate) fn base(&self, target: &Target, weights: &RowWeights) -> Vec<f64> {
        let labels = &target.values;
        let total = weights.sum(labels.len());
        let mean = || weighted(labels, weights).map(|(y, w)| y * w).sum::<f64>() / total;
        match self {
            Self::Logistic => vec![logit(mean())],
            Self::Softmax => (0..target.kind.n_outputs())
                .map(|class| {
                    let of_class = weighted(labels, weights).filter(|&(y, _)| y == class as f64);
                    let share = of_class.map(|(_, w)| w).sum::<f64>() / total;
                    share.max(SMALLEST_MEAN).ln()
                })
                .collect(),
            Self::Squared => vec![mean()],
            Self::Absolute | Self::Quantile { .. } => {
                let pairs = weighted(labels, weights).collect();
                vec![weighted_quantile(pairs, self.leaf_quantile().unwrap_or(0.5))]
            }
            Self::Poisson | Self::Tweedie { .. } | Self::Gamma => {
                vec![mean().max(SMALLEST_MEAN).ln()]
            }
            &Self::Focal { gamma, alpha } => vec![Focal { gamma, alpha }.base(mean())],
            Self::Custom(custom) => vec![custom.base(labels, weights)],
        }
    }

    /// The quantile of the residuals that leaves take instead of a Newton step.
    pub(crate) fn leaf_quantile(&self) -> Option<f64> {
        match *self {
            Self::Absolute => Some(0.5),
            Self::Quantile { alpha } => Some(alpha),
            _ => None,
        }
    }

    /// First and second derivative at a margin, for a row of weight 1. Not for softmax.
    #[inline]
    pub(crate) fn derivatives(&self, margin: f64, label: f64) -> (f64, f64) {
        match *self {
            Self::Logistic | Self::Softmax => {
                let p = sigmoid(margin);
                (p - label, p * (1.0 - p))
            }
            Self::Squared => (margin - label, 1.0),
            Self::Absolute => (f64::from(margin > label) - f64::from(margin < label), 1.0),
            Self::Quantile { alpha } => (f64::from(margin >= label) - alpha, 1.0),
            Self::Poisson => (margin.exp() - label, (margin + POISSON_MAX_DELTA).exp()),
            Self::Tweedie { power } => {
                let (low, high) = (1.0 - power, 2.0 - power);
                let (a, b) = (label * (low * margin).exp(), (high * margin).exp());
                (b - a, high * b - low * a)
            }
            Self::Gamma => {
                let ratio = label * (-margin).exp();
                (1.0 - ratio, ratio)
            }
            Self::Focal { gamma, alpha } => Focal { gamma, alpha }.derivatives(margin, label),
            Self::Custom(ref custom) => custom.derivatives(margin, label),
        }
    }

    /// First and second derivative of softmax in the margin of one class, given its probability.
    #[inline]
    pub(crate) fn softmax_derivatives(p: f64, is_label: bool, n_classes: usize) -> (f64, f64) {
        let n_classes = n_classes as f64;
        (p - f64::from(is_label), n_classes / (n_classes - 1.0) * p * (1.0 - p))
    }

    /// Loss of a row of weight 1, given its margins, shape `(n_outputs,)`.
    pub(crate) fn loss(&self, margins: &[f64], label: f64) -> f64 {
        let margin = margins[0];
        match *self {
            Self::Logistic => {
                let signed = if label == 1.0 { margin } else { -margin };
                (-signed).max(0.0) + (-signed.abs()).exp().ln_1p()
            }
            Self::Softmax => {
                let largest = margins.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = margins.iter().map(|margin| (margin - largest).exp()).sum();
                largest + sum.ln() - margins[label as usize]
            }
            Self::Squared => (margin - label).powi(2) / 2.0,
            Self::Absolute => (margin - label).abs(),
            Self::Quantile { alpha } => {
                let residual = label - margin;
                if residual >= 0.0 { alpha * residual } else { (alpha - 1.0) * residual }
            }
            Self::Poisson => margin.exp() - label * margin,
            Self::Tweedie { power } => {
                let (low, high) = (1.0 - power, 2.0 - power);
                (high * margin).exp() / high - label * (low * margin).exp() / low
            }
            Self::Gamma => label * (-margin).exp() + margin,
            Self::Focal { gamma, alpha } => Focal { gamma, alpha }.loss(margin, label),
            Self::Custom(ref custom) => custom.loss(margin, label),
        }
    }
}
