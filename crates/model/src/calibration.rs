//! From a model's probability to one that means what it says.
//!
//! Fitted on rows the trees have not seen, as a function of the probability after the link. Monotone
//! in every kind, so that ranking metrics change by ties at most.

mod choose;
mod isotonic;
mod platt;
#[cfg(test)]
mod tests;

pub use choose::{CalibrationChoice, choose, choose_multiclass, fit_linear};
pub use isotonic::fit_isotonic;
pub use platt::fit_platt;

use crate::numeric::{logit, sigmoid};

/// Monotone map from raw prediction to calibrated prediction.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Calibration {
    /// The prediction itself.
    None,
    /// `sigmoid(slope * logit(p) + intercept)` (Platt 1999); `p` is kept `1e-15` off 0 and 1.
    Platt {
        /// Not below 0.
        slope: f64,
        /// Log-odds at `p = 0.5`.
        intercept: f64,
    },
    /// Piecewise linear through the knots, constant beyond the first and last.
    Isotonic {
        /// Raw probabilities, strictly ascending.
        knots: Vec<f64>,
        /// Calibrated probabilities at the knots, ascending, in `[0, 1]`.
        values: Vec<f64>,
    },
    /// `slope * value + intercept`, held at the largest finite numbers, for regression.
    Linear {
        /// Not below 0.
        slope: f64,
        /// In the unit of the target.
        intercept: f64,
    },
    /// One calibration a class, applied each to its own; afterwards the row is divided by its sum.
    PerClass(Vec<Calibration>),
}

/// Rows of positive weight, and the weight of a row; no rows if one of them has a probability or a
/// label that is NaN.
///
/// # Panics
/// If the slices differ in length.
fn weighted_rows<'a>(
    probabilities: &[f64],
    labels: &[f64],
    weight: Option<&'a [f64]>,
) -> (Vec<usize>, impl Fn(usize) -> f64 + Copy + 'a) {
    assert_eq!(probabilities.len(), labels.len(), "one probability a label");
    assert!(weight.is_none_or(|weight| weight.len() == labels.len()), "one weight a label");
    let weight_of = move |row: usize| weight.map_or(1.0, |weight| weight[row]);
    let mut rows: Vec<usize> = (0..labels.len()).filter(|&row| weight_of(row) > 0.0).collect();
    if rows.iter().any(|&row| probabilities[row].is_nan() || labels[row].is_nan()) {
        rows.clear();
    }
    (rows, weight_of)
}

impl Calibration {
    /// Word for reports: `none`, `platt`, `isotonic`, `linear` or `per class`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Platt { .. } => "platt",
            Self::Isotonic { .. } => "isotonic",
            Self::Linear { .. } => "linear",
            Self::PerClass(_) => "per class",
        }
    }

    /// The calibrated value of one output. [`Calibration::PerClass`] has no meaning for one value
    /// and leaves it as it is.
    #[must_use]
    pub fn value(&self, raw: f64) -> f64 {
        match self {
            Self::None | Self::PerClass(_) => raw,
            Self::Platt { slope, intercept } => sigmoid(slope * logit(raw) + intercept),
            Self::Isotonic { knots, values } => isotonic::interpolate(knots, values, raw),
            Self::Linear { slope, intercept } => {
                (slope * raw + intercept).clamp(f64::MIN, f64::MAX)
            }
        }
    }

    /// Calibrates all outputs of a row in place, shape `(n_outputs,)`.
    pub fn apply(&self, outputs: &mut [f64]) {
        let Self::PerClass(classes) = self else {
            outputs.iter_mut().for_each(|output| *output = self.value(*output));
            return;
        };
        for (output, class) in outputs.iter_mut().zip(classes) {
            *output = class.value(*output);
        }
        let sum: f64 = outputs.iter().sum();
        if sum > 0.0 {
            outputs.iter_mut().for_each(|output| *output /= sum);
        } else {
            // Every class was calibrated to 0: nothing is known, so nothing is preferred.
            let even = 1.0 / outputs.len() as f64;
            outputs.fill(even);
        }
    }

    /// What is wrong with the numbers, if anything.
    pub(crate) fn fault(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Platt { slope, intercept } | Self::Linear { slope, intercept } => {
                let fits = slope.is_finite() && *slope >= 0.0 && intercept.is_finite();
                (!fits).then(|| {
                    format!("slope {slope} and intercept {intercept}, expected finite, slope not below 0")
                })
            }
            Self::Isotonic { knots, values } => isotonic::fault(knots, values),
            Self::PerClass(classes) => classes.iter().enumerate().find_map(|(class, inner)| {
                if matches!(inner, Self::PerClass(_)) {
                    return Some(format!("class {class} is itself a list of classes"));
                }
                inner.fault().map(|fault| format!("class {class}: {fault}"))
            }),
        }
    }
}
