//! hessboost: boosting, or a forest as one round of parallel trees. Of smartcore and linfa what comes
//! nearest to boosting for two classes, with depth-wise trees.

use hessboost::config::{GrowPolicy, QuantizedGrad};
use hessboost::data::FeatureType;
use hessboost::prelude::*;
use linfa::prelude::{Fit as _, Predict};
use linfa_ensemble::AdaBoostParams;
use linfa_trees::DecisionTree;
use ndarray::Array1;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde_json::Value;
use smartcore::xgboost::{XGRegressor, XGRegressorParameters};

use crate::Fit;
use crate::meter::Meter;
use crate::plain::{dataset, matrix};
use crate::table::{Table, write_values};

/// The measured stretch begins with the values as f32 rows in memory.
pub(crate) fn with_hessboost(fit: &Fit) -> anyhow::Result<Value> {
    let table = Table::read(&fit.table)?;
    let (n_rows, n_columns) = (table.n_rows(), table.columns.len());
    let labels: Vec<f32> = table.labels.iter().map(|&label| label as f32).collect();
    let kind = |&n: &u64| if n > 0 { FeatureType::Categorical } else { FeatureType::Numerical };
    let kinds: Vec<FeatureType> = table.n_categories.iter().map(kind).collect();
    let rows = f32_rows(table);

    let mut params = TrainingParams::builder()
        .objective(Objective::BinaryLogistic(RegLoss::default()))
        .tree_method(TreeMethod::Hist)
        .eta(fit.learning_rate)
        .nthread(fit.threads)
        .seed(fit.seed);
    let mut rounds = fit.rounds;
    if fit.learner == "forest" {
        params = params
            .eta(1.0)
            .num_parallel_tree(fit.rounds)
            .subsample(0.632)
            .colsample_bynode((n_columns as f64).sqrt() / n_columns as f64)
            .max_depth(16)
            .min_child_weight(fit.min_rows as f64 / 4.0)
            .lambda(0.0);
        rounds = 1;
    } else if fit.flags.depth_wise {
        params = params.max_depth(depth(fit) as usize);
    } else {
        params = params.grow_policy(GrowPolicy::LossGuide).unlimited_depth().max_leaves(fit.leaves);
    }
    if fit.flags.quantized {
        params = params.quantized(QuantizedGrad::builder().build()?);
    }
    let params = params.build()?;

    let meter = Meter::start()?;
    let data = DMatrix::from_dense_vec(rows, n_rows, n_columns)?
        .with_labels(&labels)?
        .with_feature_types(&kinds)?;
    let model = train(&params, &data, rounds)?;
    let figures = meter.stop()?;

    let scores = model.predict_rows(&f32_rows(Table::read(&fit.test)?), Iterations::Best)?;
    let scores: Vec<f64> = scores.as_slice().iter().copied().map(f64::from).collect();
    write_values(&fit.scores, &scores)?;
    Ok(figures)
}

/// Squared loss on labels of 0 and 1, by sorting the rows of every node: smartcore has no other.
pub(crate) fn with_smartcore(fit: &Fit) -> anyhow::Result<Value> {
    let (rows, labels) = matrix(&fit.table)?;
    let parameters = XGRegressorParameters::default()
        .with_n_estimators(fit.rounds)
        .with_learning_rate(fit.learning_rate)
        .with_max_depth(u16::try_from(depth(fit))?)
        .with_min_child_weight(fit.min_rows)
        .with_seed(fit.seed);

    let meter = Meter::start()?;
    let model = XGRegressor::fit(&rows, &labels, parameters)?;
    let figures = meter.stop()?;

    write_values(&fit.scores, &model.predict(&matrix(&fit.test)?.0)?)?;
    Ok(figures)
}

/// AdaBoost; the score is the weighted share of votes.
pub(crate) fn with_linfa(fit: &Fit) -> anyhow::Result<Value> {
    let data = dataset(&fit.table)?;
    let tree = DecisionTree::params()
        .max_depth(Some(depth(fit) as usize))
        .min_weight_leaf(fit.min_rows as f32)
        .min_weight_split(2.0 * fit.min_rows as f32);
    let parameters = AdaBoostParams::new_fixed_rng(tree, SmallRng::seed_from_u64(fit.seed))
        .n_estimators(fit.rounds)
        .learning_rate(fit.learning_rate);

    let meter = Meter::start()?;
    let model = parameters.fit(&data)?;
    let figures = meter.stop()?;

    let rows = dataset(&fit.test)?.records;
    let mut votes = Array1::<f64>::zeros(rows.nrows());
    for (tree, &weight) in model.models.iter().zip(model.weights()) {
        let classes: Array1<usize> = tree.predict(&rows);
        votes.zip_mut_with(&classes, |votes, &class| *votes += weight * class as f64);
    }
    votes /= model.weights().iter().sum::<f64>();
    write_values(&fit.scores, votes.as_slice().unwrap_or_default())?;
    Ok(figures)
}

/// Whose full tree has as many leaves, or one more.
fn depth(fit: &Fit) -> u32 {
    fit.leaves.next_power_of_two().ilog2()
}

/// The values row by row.
pub(crate) fn f32_rows(table: Table) -> Vec<f32> {
    table.to_rows().into_iter().map(|value| value as f32).collect()
}
