//! Leaf-wise histogram gradient boosting (Friedman 2001; Ke et al. 2017, LightGBM).

mod constraints;
mod dart;
mod goss;
mod gradients;
mod grow;
mod params;
mod place;
mod round;
mod run;
mod start;
mod table;
#[cfg(test)]
mod tests;

use segue_dataset::Dataset;

use crate::binning::{Binning, Bundles};
use crate::histogram::Scaled;
use crate::split::{Monotone, SplitRules};
use crate::{FitOptions, Fitted, LearnError, Objective};
use constraints::check_constraints;
use grow::{Grower, TreeLimits};
pub use params::{BoostingParams, BoostingValidParams, ClassWeight, Dart, Goss};
use place::PathRules;
use run::Run;
use start::check_start;
use table::{Margins, Rows, class_factors};

pub(crate) fn fit(
    params: &BoostingValidParams,
    train: &Dataset,
    valid: Option<&Dataset>,
    options: &FitOptions<'_>,
) -> Result<Fitted, LearnError> {
    let params = params.params();
    let objective =
        params.objective.clone().unwrap_or_else(|| Objective::default_for(&train.target().kind));
    objective.check_target(train.target())?;
    check_constraints(params, train)?;
    if let Some(start) = options.start {
        check_start(start, &objective, params, train)?;
    }
    // A table without weight has no loss to stop at.
    let has_weight = |data: &&Dataset| match data.weight() {
        Some(weight) => weight.iter().any(|&weight| weight > 0.0),
        None => data.n_rows() > 0,
    };
    let valid = valid.filter(has_weight);
    if let Some(valid) = valid {
        objective.check_target(valid.target())?;
    }
    let class_factors = class_factors(&params.class_weight, train)?;
    let binning = Binning::learn(train, params.max_bins)?;
    let bundles = Bundles::joint(binning.columns());
    let codes = binning.encode(bundles.clone(), train.features());
    let train = Rows::new(train, &codes, &class_factors);
    let base = match options.start {
        Some(start) => start.base.clone(),
        None => objective.base(train.data.target(), &train.weights),
    };
    if let Some(&value) = base.iter().find(|base| !base.is_finite()) {
        return Err(LearnError::StartValue { objective: objective.name(), value });
    }
    let valid_codes = valid.map(|valid| binning.encode(bundles, valid.features()));
    let valid =
        valid.zip(valid_codes.as_ref()).map(|(data, codes)| Rows::new(data, codes, &class_factors));
    let boosting =
        Boosting { params, objective: &objective, binning: &binning, train: &train, base: &base };
    Run::new(&boosting, valid.as_ref(), options).fit()
}

/// One fit: what does not change from round to round.
struct Boosting<'a> {
    params: &'a BoostingParams,
    objective: &'a Objective,
    binning: &'a Binning,
    train: &'a Rows<'a>,
    base: &'a [f64],
}

/// What rounds reuse.
struct Tools<'a> {
    /// Rows that count, ascending.
    rows: Vec<u32>,
    grower: Grower<'a>,
    scaled: Scaled,
}

impl<'a> Tools<'a> {
    fn new(boosting: &Boosting<'a>) -> Self {
        let train = boosting.train;
        let counts = |&row: &u32| train.weights.of(row as usize) > 0.0;
        Self {
            rows: (0..train.labels().len() as u32).filter(counts).collect(),
            grower: Grower::new(train.codes, boosting.binning, boosting.limits()),
            scaled: Scaled::default(),
        }
    }
}

impl Boosting<'_> {
    fn limits(&self) -> TreeLimits {
        let params = self.params;
        TreeLimits {
            n_leaves: params.n_leaves,
            max_depth: if params.max_depth == 0 { usize::MAX } else { params.max_depth },
            rules: SplitRules {
                lambda_l1: params.lambda_l1,
                lambda_l2: params.lambda_l2,
                min_rows: params.min_rows_in_leaf as u64,
                min_hessian: params.min_hessian_in_leaf,
                min_gain: params.min_gain,
                categories: params.categories.clone(),
                // All free is no constraint, and searched as fast.
                monotone: if params.monotone.iter().all(|&monotone| monotone == Monotone::Free) {
                    Vec::new()
                } else {
                    params.monotone.clone()
                },
            },
            paths: PathRules::new(
                &params.interactions,
                self.binning.columns().len(),
                params.column_share_by_node,
                params.extra_trees,
            ),
        }
    }
}
