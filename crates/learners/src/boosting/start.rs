//! Whether trees from before can be the beginning of a fit.

use std::sync::Arc;

use segue_dataset::Dataset;
use segue_model::{Calibration, Combine, Ensemble, Model, ModelParts};

use super::constraints::check_trees;
use super::params::BoostingParams;
use crate::{LearnError, Objective};

/// The ensemble must be one that a fit on this table with this objective and these constraints could have given.
pub(super) fn check_start(
    start: &Ensemble,
    objective: &Objective,
    params: &BoostingParams,
    train: &Dataset,
) -> Result<(), LearnError> {
    let fault = |reason: String| Err(LearnError::Start { reason });
    let parts = ModelParts {
        schema: Arc::clone(train.schema()),
        target: train.target().kind.clone(),
        task: String::new(),
        ensemble: start.clone(),
        calibration: Calibration::None,
        behaviours: Vec::new(),
        feature_set_hash: None,
    };
    if let Err(error) = Model::new(parts) {
        return fault(error.to_string());
    }
    if start.combine != Combine::Sum {
        return fault("it averages trees, boosting sums them".to_owned());
    }
    if start.link != objective.link() {
        let (found, expected) = (start.link, objective.link());
        return fault(format!("its link is {found:?}, the objective's is {expected:?}"));
    }
    let n_outputs = start.base.len();
    let in_rounds = |(tree, &output): (usize, &u32)| output as usize == tree % n_outputs;
    let whole = start.trees.len().is_multiple_of(n_outputs);
    if !whole || !start.tree_output.iter().enumerate().all(in_rounds) {
        return fault(format!("its trees are not rounds of one for each of {n_outputs} outputs"));
    }
    if let Some(tree) = start.trees.iter().position(|tree| tree.leaf_width != 1) {
        return fault(format!("leaves of tree {tree} hold more than one value"));
    }
    check_trees(&start.trees, params, train.schema().features())
        .map_err(|reason| LearnError::Start { reason })
}
