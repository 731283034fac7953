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
    // One way for both signs: of scores, nobody can predict which it will be.
    let e = libm::exp(-x.abs());
    (if x >= 0.0 { 1.0 } else { e }) / (1.0 + e)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_signs_have_the_bits_of_their_own_formula() {
        let own = |x: f64| {
            let (of_minus_x, of_x) = (libm::exp(-x), libm::exp(x));
            if x >= 0.0 { 1.0 / (1.0 + of_minus_x) } else { of_x / (1.0 + of_x) }
        };
        let special = [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, -5e-324];
        let spread = (-8000..=8000).map(|step| f64::from(step) * 0.1);
        for x in spread.chain(special) {
            assert_eq!(sigmoid(x).to_bits(), own(x).to_bits(), "{x}");
        }
        assert!(sigmoid(f64::NAN).is_nan());
    }
}
