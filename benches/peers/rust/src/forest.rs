//! The forests of smartcore and linfa. Neither knows missing values: they become -999 beforehand.

use ::linfa::prelude::{Fit as _, Predict};
use linfa_ensemble::RandomForestParams;
use linfa_trees::DecisionTree;
use ndarray::{Array1, Array2, Axis};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde_json::Value;
use smartcore::ensemble::random_forest_classifier::{
    RandomForestClassifier, RandomForestClassifierParameters,
};
use smartcore::linalg::basic::matrix::DenseMatrix;

use crate::Fit;
use crate::meter::Meter;
use crate::table::{Table, write_values};

const MISSING: f64 = -999.0;

fn read(path: &std::path::Path) -> anyhow::Result<Table> {
    let mut table = Table::read(path)?;
    for value in table.columns.iter_mut().flatten().filter(|value| value.is_nan()) {
        *value = MISSING;
    }
    Ok(table)
}

/// smartcore predicts classes, no probabilities: the scores are 0 and 1.
pub(crate) fn smartcore(fit: &Fit) -> anyhow::Result<Value> {
    let matrix = |table: Table| {
        let (n_rows, n_columns) = (table.n_rows(), table.columns.len());
        DenseMatrix::new(n_rows, n_columns, table.columns.concat(), true)
    };
    let mut table = read(&fit.table)?;
    let labels: Vec<u32> = std::mem::take(&mut table.labels).iter().map(|&l| l as u32).collect();
    let n_columns = table.columns.len();
    table.labels = vec![0.0; labels.len()];
    let rows = matrix(table)?;
    let parameters = RandomForestClassifierParameters::default()
        .with_n_trees(u16::try_from(fit.rounds)?)
        .with_m(n_columns.isqrt())
        .with_min_samples_leaf(fit.min_rows)
        .with_min_samples_split(2 * fit.min_rows)
        .with_seed(fit.seed);

    let meter = Meter::start()?;
    let model = RandomForestClassifier::fit(&rows, &labels, parameters)?;
    let figures = meter.stop()?;

    let classes: Vec<u32> = model.predict(&matrix(read(&fit.test)?)?)?;
    let scores: Vec<f64> = classes.into_iter().map(f64::from).collect();
    write_values(&fit.scores, &scores)?;
    Ok(figures)
}

/// linfa's trees vote by class; the score is the share of votes. It draws columns per tree, not per node.
pub(crate) fn linfa(fit: &Fit) -> anyhow::Result<Value> {
    let array = |table: &Table| {
        Array2::from_shape_vec((table.n_rows(), table.columns.len()), table.to_rows())
    };
    let table = read(&fit.table)?;
    let n_columns = table.columns.len() as f64;
    let labels: Array1<usize> = table.labels.iter().map(|&label| label as usize).collect();
    let data = ::linfa::Dataset::new(array(&table)?, labels);
    drop(table);
    let tree = DecisionTree::params()
        .min_weight_leaf(fit.min_rows as f32)
        .min_weight_split(2.0 * fit.min_rows as f32);
    let parameters = RandomForestParams::new_fixed_rng(tree, SmallRng::seed_from_u64(fit.seed))
        .ensemble_size(fit.rounds)
        .feature_proportion(n_columns.sqrt() / n_columns);

    let meter = Meter::start()?;
    let model = parameters.fit(&data)?;
    let figures = meter.stop()?;

    let rows = array(&read(&fit.test)?)?;
    let mut votes = Array1::<f64>::zeros(rows.nrows());
    for (tree, columns) in model.models.iter().zip(&model.model_features) {
        let classes: Array1<usize> = tree.predict(&rows.select(Axis(1), columns));
        votes.zip_mut_with(&classes, |votes, &class| *votes += class as f64);
    }
    votes /= fit.rounds as f64;
    write_values(&fit.scores, votes.as_slice().unwrap_or_default())?;
    Ok(figures)
}
