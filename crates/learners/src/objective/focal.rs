//! Focal loss (Lin et al. 2017, "Focal Loss for Dense Object Detection").

use segue_model::sigmoid;

/// Steps of the bisection for the start value; the interval is then below `1e-13`.
const BISECTIONS: usize = 50;
/// Beyond it a start value is as good as certain.
const LARGEST_BASE: f64 = 30.0;

/// `-a (1 - p)^gamma ln p`, with `p` the probability of the row's own class and `a` its weight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Focal {
    pub(super) gamma: f64,
    pub(super) alpha: f64,
}

impl Focal {
    /// Weight of the label's class and the margin towards it.
    fn towards(self, margin: f64, label: f64) -> (f64, f64) {
        if label == 1.0 { (self.alpha, margin) } else { (1.0 - self.alpha, -margin) }
    }

    pub(super) fn loss(self, margin: f64, label: f64) -> f64 {
        let (weight, x) = self.towards(margin, label);
        -weight * sigmoid(-x).powf(self.gamma) * ln_sigmoid(x)
    }

    /// The second derivative is without its one negative term, `gamma q ln p`, so that it is positive
    /// everywhere and never below the true one: a step is at most too short. At gamma 0 nothing is
    /// missing.
    pub(super) fn derivatives(self, margin: f64, label: f64) -> (f64, f64) {
        let (weight, x) = self.towards(margin, label);
        let (p, q) = (sigmoid(x), sigmoid(-x));
        let (ln_p, factor) = (ln_sigmoid(x), weight * q.powf(self.gamma));
        let slope = factor * (self.gamma * p * ln_p - q);
        let curvature = factor * p * ((2.0 * self.gamma + 1.0) * q - self.gamma.powi(2) * p * ln_p);
        (if label == 1.0 { slope } else { -slope }, curvature)
    }

    /// The constant margin at which the loss of a table with this share of class 1 has no slope, by
    /// bisection.
    pub(super) fn base(self, positive_share: f64) -> f64 {
        let slope = |margin: f64| {
            positive_share * self.derivatives(margin, 1.0).0
                + (1.0 - positive_share) * self.derivatives(margin, 0.0).0
        };
        let (mut low, mut high) = (-LARGEST_BASE, LARGEST_BASE);
        for _ in 0..BISECTIONS {
            let middle = (low + high) / 2.0;
            if slope(middle) < 0.0 { low = middle } else { high = middle }
        }
        (low + high) / 2.0
    }
}

/// `ln(1 / (1 + e^-x))` without overflow.
fn ln_sigmoid(x: f64) -> f64 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}
