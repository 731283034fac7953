use super::*;

const ALL: [Objective; 9] = [
    Objective::Logistic,
    Objective::Focal { gamma: 2.0, alpha: 0.25 },
    Objective::Focal { gamma: 0.5, alpha: 0.8 },
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

#[test]
fn focal_loss_by_hand_and_without_focus() {
    // Halfway: -0.25 * 0.5^2 * ln 0.5, and for the other class three times that.
    let focal = Objective::Focal { gamma: 2.0, alpha: 0.25 };
    let half = std::f64::consts::LN_2 / 16.0;
    assert!((focal.loss(&[0.0], 1.0) - half).abs() < 1e-15);
    assert!((focal.loss(&[0.0], 0.0) - 3.0 * half).abs() < 1e-15);
    let plain = Objective::Focal { gamma: 0.0, alpha: 0.5 };
    for (margin, label) in [(-800.0, 1.0), (-3.0, 0.0), (0.4, 1.0), (800.0, 0.0)] {
        let (gradient, hessian) = plain.derivatives(margin, label);
        let (of_log, of_log_second) = Objective::Logistic.derivatives(margin, label);
        assert!((2.0 * gradient - of_log).abs() < 1e-15);
        assert!((2.0 * hessian - of_log_second).abs() < 1e-15);
        assert!(
            (2.0 * plain.loss(&[margin], label) - Objective::Logistic.loss(&[margin], label)).abs()
                < 1e-12
        );
    }
}

#[test]
fn focal_steps_are_at_most_too_short_and_its_start_has_no_slope() {
    for (gamma, alpha) in [(0.5, 0.5), (2.0, 0.25), (5.0, 0.9)] {
        let focal = Objective::Focal { gamma, alpha };
        for margin in (-40..=40).map(|step| f64::from(step) / 4.0) {
            let step = 1e-5;
            let slope = |margin| focal.derivatives(margin, 1.0).0;
            let second = (slope(margin + step) - slope(margin - step)) / (2.0 * step);
            let (_, bound) = focal.derivatives(margin, 1.0);
            assert!(bound > 0.0 && bound >= second - 1e-9, "{margin} {second} {bound}");
        }
        let kind = TargetKind::Binary;
        let target = Target { kind, values: vec![1.0, 0.0, 0.0, 0.0, 0.0] };
        let base = focal.base(&target, &RowWeights::Equal)[0];
        let slope: f64 = target.values.iter().map(|&y| focal.derivatives(base, y).0).sum();
        assert!(slope.abs() < 1e-9, "{base} {slope}");
    }
}
