//! From the keys of `[learner]` to the parameters of a learner.

use segue_dataset::{Schema, TargetKind};
use segue_learners::{
    BoostingParams, ClassWeight, FeatureShare, ForestParams, Learner, LinfaTreeParams, Monotone,
    SmartcoreForestParams,
};

use super::FitError;
use crate::job::{
    Answer, ClassWeightSection, LearnerKind, LearnerSection, ObjectiveKind, OrAuto, nearest,
};
use crate::read::nearest_first;

/// The learner of a job with its defaults in place of what is unset. What the job says by name of a
/// feature or a class is put in when the rows are there, by `bind`.
#[must_use]
pub fn learner_of(section: &LearnerSection, answer: Answer, seed: u64) -> Learner {
    fn set<T: Copy, U: From<T>>(slot: &mut U, value: Option<T>) {
        if let Some(value) = value {
            *slot = value.into();
        }
    }
    fn set_size(slot: &mut usize, value: Option<u32>) {
        if let Some(value) = value {
            *slot = value as usize;
        }
    }
    match section.kind {
        LearnerKind::Boosting => {
            let objective = section.objective.unwrap_or(ObjectiveKind::usual(answer));
            let objective = objective.with(section.alpha, section.gamma, section.power);
            let mut params =
                BoostingParams { seed, objective: Some(objective), ..BoostingParams::default() };
            set_size(&mut params.n_rounds, section.rounds);
            set_size(&mut params.max_depth, section.max_depth);
            set_size(&mut params.min_rows_in_leaf, section.min_rows_per_leaf);
            set_size(&mut params.max_bins, section.max_bins);
            params.goss = section.goss.map(Into::into);
            params.dart = section.dart.map(Into::into);
            if params.dart.is_some() {
                params.early_stopping_rounds = 0;
            }
            set_size(&mut params.early_stopping_rounds, section.early_stopping_rounds);
            if let Some(OrAuto::Fixed(leaves)) = section.leaves {
                params.n_leaves = leaves as usize;
            }
            if let Some(OrAuto::Fixed(rate)) = section.learning_rate {
                params.learning_rate = rate;
            }
            set(&mut params.min_hessian_in_leaf, section.min_hessian_per_leaf);
            set(&mut params.lambda_l1, section.l1);
            set(&mut params.lambda_l2, section.l2);
            set(&mut params.min_gain, section.min_gain);
            set(&mut params.row_share, section.row_share);
            set(&mut params.column_share, section.column_share);
            set(&mut params.column_share_by_node, section.column_share_by_node);
            set(&mut params.extra_trees, section.extra_trees);
            let categories = &mut params.categories;
            set(&mut categories.smooth, section.cat_smooth);
            set(&mut categories.l2, section.cat_l2);
            set_size(&mut categories.max_categories, section.max_cat_threshold);
            set_size(&mut categories.one_vs_rest_up_to, section.max_cat_to_onehot);
            set_size(&mut categories.min_rows_per_group, section.min_data_per_group);
            if let Some(positive) = section.positive_weight {
                params.class_weight = ClassWeight::Each(vec![1.0, positive]);
            }
            if section.class_weight == Some(ClassWeightSection::Balanced) {
                params.class_weight = ClassWeight::Balanced;
            }
            Learner::Boosting(params)
        }
        LearnerKind::Forest => {
            let mut params = ForestParams { seed, ..ForestParams::default() };
            set_size(&mut params.n_trees, section.trees);
            set_size(&mut params.max_depth, section.max_depth);
            set_size(&mut params.min_rows_in_leaf, section.min_rows_per_leaf);
            if let Some(share) = section.column_share {
                params.features = FeatureShare::Share(share);
            }
            set(&mut params.extra_trees, section.extra_trees);
            set(&mut params.min_gain, section.min_gain);
            set_size(&mut params.max_bins, section.max_bins);
            set(&mut params.bootstrap, section.bootstrap);
            // without bootstrap no row is out of any bag
            params.out_of_bag = section.out_of_bag.unwrap_or(params.bootstrap);
            Learner::Forest(params)
        }
        LearnerKind::LinfaTree => {
            let mut params = LinfaTreeParams::default();
            set_size(&mut params.max_depth, section.max_depth);
            set_size(&mut params.min_rows_in_leaf, section.min_rows_per_leaf);
            set(&mut params.max_rows, section.sample_rows);
            Learner::LinfaTree(params)
        }
        LearnerKind::SmartcoreForest => {
            let mut params = SmartcoreForestParams { seed, ..SmartcoreForestParams::default() };
            set_size(&mut params.n_trees, section.trees);
            set_size(&mut params.max_depth, section.max_depth);
            set_size(&mut params.min_rows_in_leaf, section.min_rows_per_leaf);
            set(&mut params.max_rows, section.sample_rows);
            Learner::SmartcoreForest(params)
        }
    }
}

/// Puts in what the job says by name of a feature or a class.
///
/// # Errors
/// [`FitError::Name`]: a feature or class that these rows do not have, an order on a category.
pub(super) fn bind(
    params: &mut BoostingParams,
    section: &LearnerSection,
    schema: &Schema,
    target: &TargetKind,
) -> Result<(), FitError> {
    if !section.monotone.is_empty() {
        params.monotone = vec![Monotone::Free; schema.len()];
    }
    for (name, &slope) in &section.monotone {
        let column = column_of(schema, name, "monotone")?;
        if schema.features()[column].is_category() {
            let message = format!("{name:?} is a category; only numbers have an order");
            return Err(FitError::Name { key: "monotone", message });
        }
        params.monotone[column] = slope.into();
    }
    for group in &section.interactions {
        let column = |name: &String| Ok(column_of(schema, name, "interactions")? as u32);
        params.interactions.push(group.iter().map(column).collect::<Result<_, FitError>>()?);
    }
    if let (Some(ClassWeightSection::Each(factors)), TargetKind::Multiclass { classes }) =
        (&section.class_weight, target)
    {
        if let Some(name) = factors.keys().find(|name| !classes.contains(name)) {
            let message = format!("the rows have no class {name:?}; {}", nearest(name, classes));
            return Err(FitError::Name { key: "class_weight", message });
        }
        let factor = |class: &String| factors.get(class).copied().unwrap_or(1.0);
        params.class_weight = ClassWeight::Each(classes.iter().map(factor).collect());
    }
    Ok(())
}

fn column_of(schema: &Schema, name: &str, key: &'static str) -> Result<usize, FitError> {
    schema.index_of(name).ok_or_else(|| {
        let names = schema.features().iter().map(|feature| feature.name.as_str());
        let found = nearest_first(name, names);
        let message =
            format!("the rows have no feature {name:?}; nearest first, they have: {found}");
        FitError::Name { key, message }
    })
}
