//! Derivatives of the log loss, many rows at a time.

/// `log2(e)`.
const LOG2_E: f64 = std::f64::consts::LOG2_E;
/// `ln(2)` in two parts: the high one has so few bits that its product with an exponent is exact.
const LN2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
/// Adding and taking away this number rounds to an integer, and leaves it in the low bits.
const ROUNDER: f64 = 6_755_399_441_055_744.0;
/// `1 / n!` by `n`.
const OVER_FACTORIAL: [f64; 14] = {
    let mut over = [1.0; 14];
    let (mut n, mut factorial) = (1, 1.0);
    while n < over.len() {
        factorial *= n as f64;
        over[n] = 1.0 / factorial;
        n += 1;
    }
    over
};
/// Beyond it the probability is 0 or 1 to the last bit, and the exponential still a normal number.
const LARGEST_MARGIN: f64 = 700.0;

/// First and second derivative of the log loss in the margin, for rows of weight 1: `p - y` and
/// `p (1 - p)`. All slices have one length.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
pub(crate) fn logistic_derivatives(
    margins: &[f64],
    labels: &[f64],
    gradients: &mut [f64],
    hessians: &mut [f64],
) {
    let n = margins.len();
    let (labels, gradients, hessians) = (&labels[..n], &mut gradients[..n], &mut hessians[..n]);
    for row in 0..n {
        let p = 1.0 / (1.0 + exp(-margins[row]));
        gradients[row] = p - labels[row];
        hessians[row] = p * (1.0 - p);
    }
}

/// `e^x` within two units of the last place for `|x| <= 700`, held there beyond; without branches, so that
/// the loop around it runs on vectors. Cody and Waite's reduction, then the Taylor polynomial of degree 13,
/// whose next term is below `5e-18` on the reduced range.
#[inline(always)]
fn exp(x: f64) -> f64 {
    let x = x.clamp(-LARGEST_MARGIN, LARGEST_MARGIN);
    let shifted = x * LOG2_E + ROUNDER;
    let exponent = shifted - ROUNDER;
    let r = x - exponent * LN2_HIGH - exponent * LN2_LOW;
    // Pairs of terms first (Estrin's scheme): term after term, each would wait for the one before.
    let [two, four] = [r * r, r * r * (r * r)];
    let low = (1.0 + r) + (0.5 + r * OVER_FACTORIAL[3]) * two;
    let middle = OVER_FACTORIAL[4]
        + r * OVER_FACTORIAL[5]
        + (OVER_FACTORIAL[6] + r * OVER_FACTORIAL[7]) * two;
    let high = OVER_FACTORIAL[8]
        + r * OVER_FACTORIAL[9]
        + (OVER_FACTORIAL[10] + r * OVER_FACTORIAL[11]) * two;
    let highest = OVER_FACTORIAL[12] + r * OVER_FACTORIAL[13];
    let sum = low + (middle + (high + highest * four) * four) * four;
    // The integer is in the low bits of `shifted`; moved to the exponent's place it is the power of two.
    let power = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1023 << 52));
    sum * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_are_those_of_the_plain_formula() {
        let margins: Vec<f64> =
            (-6_900..=6_900).map(|step| f64::from(step) * 0.01 + 0.003).collect();
        let labels: Vec<f64> = (0..margins.len()).map(|row| f64::from(row as u32 % 2)).collect();
        let mut gradients = vec![0.0; margins.len()];
        let mut hessians = vec![0.0; margins.len()];
        logistic_derivatives(&margins, &labels, &mut gradients, &mut hessians);
        for (row, &margin) in margins.iter().enumerate() {
            let p = segue_model::sigmoid(margin);
            let (gradient, hessian) = (p - labels[row], p * (1.0 - p));
            assert!((gradients[row] - gradient).abs() <= 4e-16, "{margin}");
            assert!((hessians[row] - hessian).abs() <= 4e-16, "{margin}");
        }
    }

    #[test]
    fn the_exponential_is_right_to_two_units_and_stays_finite() {
        for step in -70_000..=70_000 {
            let x = f64::from(step) * 0.01;
            let (got, expected) = (exp(x), x.exp());
            assert!((got / expected - 1.0).abs() <= 4.5e-16, "{x}: {got} {expected}");
        }
        assert!(exp(1e300).is_finite() && exp(-1e300) > 0.0);
    }
}
