//! Losses of the caller's.

use segue_model::Link;

use super::*;
use crate::CustomObjective;

/// The squared error, or nonsense where `breaks` says.
struct Squared {
    breaks: fn(f64) -> bool,
}

impl CustomObjective for Squared {
    fn name(&self) -> &'static str {
        "own"
    }

    fn link(&self) -> Link {
        Link::Identity
    }

    fn fits(&self, kind: &TargetKind) -> bool {
        *kind == TargetKind::Regression
    }

    fn base(&self, labels: &[f64], weights: Option<&[f64]>) -> f64 {
        assert!(weights.is_none());
        labels.iter().sum::<f64>() / labels.len() as f64
    }

    fn derivatives(&self, margin: f64, label: f64) -> (f64, f64) {
        (margin - label, if (self.breaks)(label) { -1.0 } else { 1.0 })
    }

    fn loss(&self, margin: f64, label: f64) -> f64 {
        (margin - label).powi(2) / 2.0
    }
}

#[test]
fn a_loss_of_ones_own_fits_as_the_built_in_one() {
    let data = mixed(2_000, 8, TargetKind::Regression);
    let own = Objective::custom(Squared { breaks: |_| false });
    let own = BoostingParams { objective: Some(own), ..small() };
    assert_eq!(own.objective, own.clone().objective);
    let built_in = BoostingParams { objective: Some(Objective::Squared), ..small() };
    assert_eq!(fit_with(own, &data, None, 2).unwrap(), fit_with(built_in, &data, None, 2).unwrap());
}

#[test]
fn what_a_loss_of_ones_own_may_not_give_is_an_error() {
    let own = |breaks| BoostingParams {
        objective: Some(Objective::custom(Squared { breaks })),
        ..small()
    };
    let error = |params, data: &Dataset| fit_with(params, data, None, 1).unwrap_err().to_string();
    let data = number_table(vec![1., 2., 3.], TargetKind::Regression, vec![0., 6., 3.]);
    assert_eq!(
        error(own(|label| label == 6.0), &data),
        "objective own gives row 1 at margin 3 the derivatives -3 and -1, expected finite numbers, \
         the second not below 0"
    );
    let infinite = number_table(vec![1., 2.], TargetKind::Regression, vec![f64::MAX, f64::MAX]);
    assert_eq!(
        error(own(|_| false), &infinite),
        "objective own gives the start value inf, expected a finite number"
    );
    assert_eq!(
        error(own(|_| false), &mixed(50, 1, TargetKind::Binary)),
        "objective own does not fit a binary target; use logistic or focal"
    );
    let focal = Objective::Focal { gamma: -1.0, alpha: 0.5 };
    let checked = BoostingParams { objective: Some(focal), ..small() }.check();
    assert!(matches!(checked, Err(ParamError::Real { field: "focal_gamma", .. })));
}
