//! Monotone constraints: between what the values of a node's leaves must lie.
//!
//! LightGBM's "basic" method. A split of a constrained column parts the node's interval in the middle of
//! its two leaf values, and all leaves below stay on their side; so no later split can undo the order.

/// How predictions may move with a number, all other columns held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Monotone {
    /// Any way.
    #[default]
    Free,
    /// Never down as the number grows (LightGBM's 1).
    Increasing,
    /// Never up as the number grows (LightGBM's -1).
    Decreasing,
}

impl Monotone {
    /// Whether low numbers may have the leaf value `left` and high ones `right`.
    pub(super) fn allows(self, left: f64, right: f64) -> bool {
        match self {
            Self::Free => true,
            Self::Increasing => left <= right,
            Self::Decreasing => left >= right,
        }
    }
}

/// An interval of leaf values before shrinkage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bounds {
    low: f64,
    high: f64,
}

impl Bounds {
    pub(crate) const FREE: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY };

    /// The nearest value inside.
    pub(crate) fn hold(self, value: f64) -> f64 {
        value.max(self.low).min(self.high)
    }

    /// The best value inside for a leaf with these sums, penalties included.
    pub(super) fn value(self, gradient: f64, hessian: f64) -> f64 {
        self.hold(if hessian > 0.0 { -gradient / hessian } else { 0.0 })
    }

    /// Twice the loss decrease of that value.
    pub(super) fn score(self, gradient: f64, hessian: f64) -> f64 {
        let value = self.value(gradient, hessian);
        -(2.0 * gradient + hessian * value) * value
    }

    /// The bounds of both children of a split whose leaf values would be `left` and `right`.
    pub(crate) fn split(self, monotone: Monotone, left: f64, right: f64) -> [Self; 2] {
        let middle = self.hold(left / 2.0 + right / 2.0);
        let (below, above) = (Self { high: middle, ..self }, Self { low: middle, ..self });
        match monotone {
            Monotone::Free => [self, self],
            Monotone::Increasing => [below, above],
            Monotone::Decreasing => [above, below],
        }
    }
}
