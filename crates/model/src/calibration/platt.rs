//! Platt scaling: a logistic curve over the log-odds of the raw probability.

use super::{Calibration, weighted_rows};
use crate::numeric::{logit, sigmoid};

const MAX_STEPS: usize = 100;
/// Mean gradient a row, below which the fit stands still.
const TOLERANCE: f64 = 1e-10;

/// Maximum likelihood fit of slope and intercept by Newton's method with step halving (Platt 1999,
/// with the numerics of Lin, Lin and Weng 2007).
///
/// Targets are smoothed as Platt proposes: `(P + 1) / (P + 2)` for positives and `1 / (N + 2)` for
/// negatives, `P` and `N` being the weights of the classes scaled so that the mean weight is 1. A
/// slope below 0 would turn the ranking around; the fit is then the best constant (slope 0).
///
/// `None` without rows of weight, with one class only, or with a NaN.
///
/// # Panics
/// If the slices differ in length.
#[must_use]
pub fn fit_platt(
    probabilities: &[f64],
    labels: &[f64],
    weight: Option<&[f64]>,
) -> Option<Calibration> {
    let (rows, weight_of) = weighted_rows(probabilities, labels, weight);
    let total: f64 = rows.iter().map(|&row| weight_of(row)).sum();
    let scale = rows.len() as f64 / total;
    let positive: f64 =
        rows.iter().filter(|&&row| labels[row] > 0.5).map(|&row| weight_of(row) * scale).sum();
    let negative = rows.len() as f64 - positive;
    if !(positive > 1e-9 && negative > 1e-9) {
        return None;
    }
    let (high, low) = ((positive + 1.0) / (positive + 2.0), 1.0 / (negative + 2.0));
    let points: Vec<Point> = rows
        .iter()
        .map(|&row| Point {
            x: logit(probabilities[row]),
            target: if labels[row] > 0.5 { high } else { low },
            weight: weight_of(row) * scale,
        })
        .collect();
    let (slope, intercept) = newton(&points, (positive + 1.0) / (negative + 1.0));
    if slope >= 0.0 {
        return Some(Calibration::Platt { slope, intercept });
    }
    let rate = points.iter().map(|point| point.weight * point.target).sum::<f64>()
        / points.iter().map(|point| point.weight).sum::<f64>();
    Some(Calibration::Platt { slope: 0.0, intercept: logit(rate) })
}

struct Point {
    x: f64,
    target: f64,
    weight: f64,
}

/// Cross entropy of the targets, stable for any margin.
fn loss(points: &[Point], slope: f64, intercept: f64) -> f64 {
    let of = |point: &Point| {
        let margin = slope * point.x + intercept;
        let softplus = margin.max(0.0) + (-margin.abs()).exp().ln_1p();
        point.weight * (softplus - point.target * margin)
    };
    points.iter().map(of).sum()
}

fn newton(points: &[Point], odds: f64) -> (f64, f64) {
    let n = points.len() as f64;
    let (mut slope, mut intercept) = (0.0, odds.ln());
    let mut current = loss(points, slope, intercept);
    for _ in 0..MAX_STEPS {
        let (mut ga, mut gb, mut haa, mut hab, mut hbb) = (0.0, 0.0, 1e-12, 0.0, 1e-12);
        for point in points {
            let p = sigmoid(slope * point.x + intercept);
            let (g, h) = (point.weight * (p - point.target), point.weight * p * (1.0 - p));
            ga += g * point.x;
            gb += g;
            haa += h * point.x * point.x;
            hab += h * point.x;
            hbb += h;
        }
        if ga.abs().max(gb.abs()) < TOLERANCE * n {
            break;
        }
        let determinant = haa * hbb - hab * hab;
        let newton_step =
            ((hab * gb - hbb * ga) / determinant, (hab * ga - haa * gb) / determinant);
        // Constant scores make the matrix singular: then only the intercept moves.
        let (da, db) = if determinant > 1e-12 * haa * hbb { newton_step } else { (0.0, -gb / hbb) };
        let mut step = 1.0;
        let moved = loop {
            let (a, b) = (slope + step * da, intercept + step * db);
            let next = loss(points, a, b);
            if next < current {
                (slope, intercept, current) = (a, b, next);
                break true;
            }
            step *= 0.5;
            if step < 1e-10 {
                break false;
            }
        };
        if !moved {
            break;
        }
    }
    (slope, intercept)
}
