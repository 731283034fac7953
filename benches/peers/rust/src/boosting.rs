//! hessboost: boosting, or a forest as one round of parallel trees.

use hessboost::config::{GrowPolicy, QuantizedGrad};
use hessboost::data::FeatureType;
use hessboost::prelude::*;
use serde_json::Value;

use crate::Fit;
use crate::meter::Meter;
use crate::table::{Table, write_values};

/// The measured stretch begins with the values as f32 rows in memory.
pub(crate) fn hessboost(fit: &Fit) -> anyhow::Result<Value> {
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
        params = params.max_depth(fit.leaves.next_power_of_two().ilog2() as usize);
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

/// The values row by row.
pub(crate) fn f32_rows(table: Table) -> Vec<f32> {
    table.to_rows().into_iter().map(|value| value as f32).collect()
}
