//! The forests of smartcore and linfa.

use linfa::prelude::{Fit as _, Predict};
use linfa_ensemble::RandomForestParams;
use linfa_trees::DecisionTree;
use ndarray::{Array1, Axis};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde_json::Value;
use smartcore::ensemble::random_forest_classifier::{
    RandomForestClassifier, RandomForestClassifierParameters,
};
use smartcore::linalg::basic::arrays::Array as _;

use crate::Fit;
use crate::meter::Meter;
use crate::plain::{dataset, matrix};
use crate::table::write_values;

/// smartcore predicts classes, no probabilities: the scores are 0 and 1.
pub(crate) fn with_smartcore(fit: &Fit) -> anyhow::Result<Value> {
    let (rows, labels) = matrix(&fit.table)?;
    let parameters = RandomForestClassifierParameters::default()
        .with_n_trees(u16::try_from(fit.rounds)?)
        .with_m(rows.shape().1.isqrt())
        .with_min_samples_leaf(fit.min_rows)
        .with_min_samples_split(2 * fit.min_rows)
        .with_seed(fit.seed);

    let meter = Meter::start()?;
    let model = RandomForestClassifier::fit(&rows, &labels, parameters)?;
    let figures = meter.stop()?;

    let classes: Vec<u32> = model.predict(&matrix(&fit.test)?.0)?;
    let scores: Vec<f64> = classes.into_iter().map(f64::from).collect();
    write_values(&fit.scores, &scores)?;
    Ok(figures)
}

/// linfa's trees vote by class; the score is the share of votes. It draws columns per tree, not per node.
pub(crate) fn with_linfa(fit: &Fit) -> anyhow::Result<Value> {
    let data = dataset(&fit.table)?;
    let n_columns = data.records.ncols() as f64;
    let tree = DecisionTree::params()
        .min_weight_leaf(fit.min_rows as f32)
        .min_weight_split(2.0 * fit.min_rows as f32);
    let parameters = RandomForestParams::new_fixed_rng(tree, SmallRng::seed_from_u64(fit.seed))
        .ensemble_size(fit.rounds)
        .feature_proportion(n_columns.sqrt() / n_columns);

    let meter = Meter::start()?;
    let model = parameters.fit(&data)?;
    let figures = meter.stop()?;

    let rows = dataset(&fit.test)?.records;
    let mut votes = Array1::<f64>::zeros(rows.nrows());
    for (tree, columns) in model.models.iter().zip(&model.model_features) {
        let classes: Array1<usize> = tree.predict(&rows.select(Axis(1), columns));
        votes.zip_mut_with(&classes, |votes, &class| *votes += class as f64);
    }
    votes /= fit.rounds as f64;
    write_values(&fit.scores, votes.as_slice().unwrap_or_default())?;
    Ok(figures)
}
