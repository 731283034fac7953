//! Comparisons in single precision as thresholds on `f64`.
//!
//! A library that reads `x as f32` before it compares splits the `f64` line at the midpoint between two
//! neighbouring `f32`; who owns the midpoint is decided by rounding half to even.

use crate::Split;

/// The question `(x as f32) < threshold`. Never true for negative infinity.
pub(super) fn below_single(threshold: f32) -> Split {
    if threshold == f32::NEG_INFINITY {
        return Split::Below(f64::NEG_INFINITY);
    }
    let lower = threshold.next_down();
    let midpoint = (widened(lower) + widened(threshold)) / 2.0;
    if lower.to_bits() & 1 == 0 { Split::AtMost(midpoint) } else { Split::Below(midpoint) }
}

/// The question `(x as f32) <= threshold`.
pub(super) fn at_most_single(threshold: f32) -> Split {
    if threshold == f32::INFINITY {
        return Split::AtMost(f64::INFINITY);
    }
    below_single(threshold.next_up())
}

/// Infinity stands where the next `f32` would be: values from the midpoint on round to it.
fn widened(value: f32) -> f64 {
    if value.is_infinite() {
        f64::from(value.signum()) * 2.0f64.powi(128)
    } else {
        f64::from(value)
    }
}
