//! Exponential and logarithm of the scoring path.
//!
//! They come from `libm` in pure Rust, not from the platform, so that a version's golden rows give
//! the same bits on every machine.

/// `e^x`, held at the largest finite number instead of infinity.
#[must_use]
pub(crate) fn exp(x: f64) -> f64 {
    libm::exp(x).min(f64::MAX)
}

/// `1 / (1 + exp(-x))`, without overflow for any `x`.
#[must_use]
pub fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + libm::exp(-x))
    } else {
        let e = libm::exp(x);
        e / (1.0 + e)
    }
}

/// `ln(p / (1 - p))`, with `p` kept `1e-15` away from 0 and 1. NaN stays NaN.
#[must_use]
pub fn logit(p: f64) -> f64 {
    let p = p.clamp(1e-15, 1.0 - 1e-15);
    libm::log(p) - libm::log1p(-p)
}

/// Softmax, shifted by the largest margin so that nothing overflows.
pub fn softmax_in_place(margins: &mut [f64]) {
    let largest = margins.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    margins.iter_mut().for_each(|value| *value = libm::exp(*value - largest));
    let sum: f64 = margins.iter().sum();
    margins.iter_mut().for_each(|value| *value /= sum);
}
