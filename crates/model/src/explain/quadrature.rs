//! Gauss-Legendre quadrature on `[0, 1]`.

/// Points and weights: `sum w_q f(x_q)` is the integral of any polynomial of degree below twice the
/// number of points.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Quadrature {
    pub(super) points: Vec<f64>,
    pub(super) weights: Vec<f64>,
}

impl Quadrature {
    /// Points that integrate the gradient along paths of at most `length` different features to the
    /// last digit, at least 1.
    ///
    /// Along such a path the gradient is a polynomial of degree `length - 1`, so that half as many
    /// points are exact. Far fewer do for long paths: on the ellipse where `|z| + |1 - z| = a` it is
    /// at most `a^length` times its bound on `[0, 1]`, as it is a mean of products of `z` and
    /// `1 - z`. With Trefethen's bound for Gauss quadrature (SIAM Review 50, 2008, theorem 4.5) and
    /// the best ellipse, `n` points are wrong by less than about `exp(-2 n^2 / length)` of it, which
    /// is below 1e-18 from `n = 4.6 sqrt(length)` on.
    pub(super) fn points_for(length: usize) -> usize {
        let by_degree = length.div_ceil(2);
        let by_ellipse = (4.6 * (length as f64).sqrt()).ceil() as usize;
        by_degree.min(by_ellipse).max(1)
    }

    /// The rule with `n >= 1` points: roots of the Legendre polynomial by Newton's method from
    /// Tricomi's starting values.
    pub(super) fn gauss_legendre(n: usize) -> Self {
        let (mut points, mut weights) = (vec![0.0; n], vec![0.0; n]);
        for index in 0..n.div_ceil(2) {
            let start = (index as f64 + 0.75) / (n as f64 + 0.5);
            let mut x = (std::f64::consts::PI * start).cos();
            let mut slope = 0.0;
            for _ in 0..100 {
                let (value, derivative) = legendre(n, x);
                slope = derivative;
                let step = value / derivative;
                x -= step;
                if step.abs() < 1e-16 {
                    break;
                }
            }
            let weight = 1.0 / ((1.0 - x * x) * slope * slope);
            let (low, high) = (index, n - 1 - index);
            (points[low], weights[low]) = (0.5 * (1.0 - x), weight);
            (points[high], weights[high]) = (0.5 * (1.0 + x), weight);
        }
        Self { points, weights }
    }
}

/// Legendre polynomial of degree `n >= 1` and its derivative at `x`, `|x| < 1`.
fn legendre(n: usize, x: f64) -> (f64, f64) {
    let (mut before, mut value) = (1.0, x);
    for degree in 2..=n {
        let k = degree as f64;
        let next = ((2.0 * k - 1.0) * x * value - (k - 1.0) * before) / k;
        (before, value) = (value, next);
    }
    (value, n as f64 * (x * value - before) / (x * x - 1.0))
}
