//! What the boosting minimises: losses, their derivatives, start values.

mod logistic;

use segue_dataset::{Target, TargetKind};
use segue_model::{Link, logit, sigmoid};

use crate::error::check_real;
use crate::{LearnError, ParamError};

pub(crate) use logistic::logistic_derivatives;

/// A loss, with its link. Gradients are those of the loss in the margin; LightGBM's formulas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Objective {
    /// Log loss of a probability behind the logistic link (binary).
    Logistic,
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

    /// The name as jobs write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Logistic => "logistic",
            Self::Softmax => "softmax",
            Self::Squared => "squared",
            Self::Absolute => "absolute",
            Self::Quantile { .. } => "quantile",
            Self::Poisson => "poisson",
            Self::Tweedie { .. } => "tweedie",
            Self::Gamma => "gamma",
        }
    }

    /// From margin to prediction.
    #[must_use]
    pub fn link(self) -> Link {
        match self {
            Self::Logistic => Link::Logistic,
            Self::Softmax => Link::Softmax,
            Self::Squared | Self::Absolute | Self::Quantile { .. } => Link::Identity,
            Self::Poisson | Self::Tweedie { .. } | Self::Gamma => Link::Exp,
        }
    }

    pub(crate) fn check(self) -> Result<(), ParamError> {
        match self {
            Self::Quantile { alpha } => {
                let fits = alpha > 0.0 && alpha < 1.0;
                check_real("quantile_alpha", alpha, fits, "a number between 0 and 1")
            }
            Self::Tweedie { power } => {
                let fits = power > 1.0 && power < 2.0;
                check_real("tweedie_power", power, fits, "a number between 1 and 2")
            }
            _ => Ok(()),
        }
    }

    /// Whether the target's kind and labels suit the objective.
    pub(crate) fn check_target(self, target: &Target) -> Result<(), LearnError> {
        let objective = self.name();
        let (kind, instead, fits) = match target.kind {
            TargetKind::Binary => ("binary", "logistic", self == Self::Logistic),
            TargetKind::Multiclass { .. } => ("multiclass", "softmax", self == Self::Softmax),
            TargetKind::Regression => (
                "regression",
                "squared, absolute, quantile, poisson, tweedie or gamma",
                !matches!(self, Self::Logistic | Self::Softmax),
            ),
        };
        if !fits {
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
    pub(crate) fn base(self, target: &Target, weights: &RowWeights) -> Vec<f64> {
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
        }
    }

    /// The quantile of the residuals that leaves take instead of a Newton step.
    pub(crate) fn leaf_quantile(self) -> Option<f64> {
        match self {
            Self::Absolute => Some(0.5),
            Self::Quantile { alpha } => Some(alpha),
            _ => None,
        }
    }

    /// First and second derivative at a margin, for a row of weight 1. Not for softmax.
    #[inline]
    pub(crate) fn derivatives(self, margin: f64, label: f64) -> (f64, f64) {
        match self {
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
        }
    }

    /// First and second derivative of softmax in the margin of one class, given its probability.
    #[inline]
    pub(crate) fn softmax_derivatives(p: f64, is_label: bool, n_classes: usize) -> (f64, f64) {
        let n_classes = n_classes as f64;
        (p - f64::from(is_label), n_classes / (n_classes - 1.0) * p * (1.0 - p))
    }

    /// Loss of a row of weight 1, given its margins, shape `(n_outputs,)`.
    pub(crate) fn loss(self, margins: &[f64], label: f64) -> f64 {
        let margin = margins[0];
        match self {
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
        }
    }
}

/// How much each row counts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RowWeights {
    /// 1 for all.
    Equal,
    /// Row weight times class factor.
    Each(Vec<f64>),
}

impl RowWeights {
    pub(crate) fn of(&self, row: usize) -> f64 {
        match self {
            Self::Equal => 1.0,
            Self::Each(weights) => weights[row],
        }
    }

    pub(crate) fn each(&self) -> Option<&[f64]> {
        match self {
            Self::Equal => None,
            Self::Each(weights) => Some(weights),
        }
    }

    fn sum(&self, n_rows: usize) -> f64 {
        self.each().map_or(n_rows as f64, |weights| weights.iter().sum())
    }
}

/// Labels with their weights, in row order.
fn weighted<'a>(
    labels: &'a [f64],
    weights: &'a RowWeights,
) -> impl Iterator<Item = (f64, f64)> + 'a {
    labels.iter().enumerate().map(|(row, &label)| (label, weights.of(row)))
}

/// The weighted quantile of `(value, weight)` pairs: the value at which the weight below reaches
/// `alpha` of the total, or the middle of two values where it is reached exactly between them.
pub(crate) fn weighted_quantile(mut pairs: Vec<(f64, f64)>, alpha: f64) -> f64 {
    pairs.retain(|&(_, weight)| weight > 0.0);
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = pairs.iter().map(|&(_, weight)| weight).sum();
    let wanted = alpha * total;
    let mut below = 0.0;
    for (index, &(value, weight)) in pairs.iter().enumerate() {
        below += weight;
        if below > wanted {
            return value;
        }
        if below == wanted {
            return pairs.get(index + 1).map_or(value, |&(next, _)| value / 2.0 + next / 2.0);
        }
    }
    pairs.last().map_or(0.0, |&(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Objective; 7] = [
        Objective::Logistic,
        Objective::Squared,
        Objective::Absolute,
        Objective::Quantile { alpha: 0.3 },
        Objective::Poisson,
        Objective::Tweedie { power: 1.4 },
        Objective::Gamma,
    ];

    #[test]
    fn gradients_are_the_slopes_of_the_losses() {
        for objective in ALL {
            for (margin, label) in [(0.3, 1.0), (-1.2, 1.0), (2.0, 1.0), (-0.4, 0.0)] {
                if objective == Objective::Gamma && label == 0.0 {
                    continue;
                }
                let step = 1e-6;
                let slope = (objective.loss(&[margin + step], label)
                    - objective.loss(&[margin - step], label))
                    / (2.0 * step);
                let (gradient, hessian) = objective.derivatives(margin, label);
                assert!((slope - gradient).abs() < 1e-6, "{objective:?} {slope} {gradient}");
                assert!(hessian > 0.0, "{objective:?}");
            }
        }
    }

    #[test]
    fn softmax_gradient_is_the_slope_of_its_loss() {
        let margins = [0.2, -0.7, 1.1];
        let sum: f64 = margins.iter().map(|margin: &f64| margin.exp()).sum();
        for class in 0..3 {
            let mut shifted = margins;
            shifted[class] += 1e-6;
            let slope = (Objective::Softmax.loss(&shifted, 2.0)
                - Objective::Softmax.loss(&margins, 2.0))
                / 1e-6;
            let p = margins[class].exp() / sum;
            let (gradient, _) = Objective::softmax_derivatives(p, class == 2, 3);
            assert!((slope - gradient).abs() < 1e-5);
        }
    }

    #[test]
    fn weighted_quantile_equals_that_of_repeated_rows() {
        let weighted = vec![(3.0, 1.0), (1.0, 2.0), (2.0, 3.0), (9.0, 0.0)];
        let repeated = [1.0, 1.0, 2.0, 2.0, 2.0, 3.0].map(|value| (value, 1.0)).to_vec();
        for alpha in [0.1, 1.0 / 3.0, 0.5, 0.9] {
            let (a, b) = (
                weighted_quantile(weighted.clone(), alpha),
                weighted_quantile(repeated.clone(), alpha),
            );
            assert_eq!(a, b, "{alpha}");
        }
        assert_eq!(weighted_quantile(vec![(1.0, 1.0), (2.0, 1.0)], 0.5), 1.5);
    }
}
