//! A measured fit of our learners.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use segue_dataset::{Dataset, Feature, Matrix, RowKeys, Schema, Target, TargetKind};
use segue_learners::{BoostingParams, ForestParams, Learner};
use segue_model::{Calibration, Model, ModelParts};
use serde::Deserialize;
use serde_json::Value;

use crate::meter::Meter;
use crate::table::{Table, write_values};

/// Which learner.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Boosting,
    Forest,
}

/// Fit a table, then score another one.
#[derive(Debug, Deserialize)]
pub(crate) struct Fit {
    learner: Kind,
    table: PathBuf,
    threads: usize,
    rounds: usize,
    leaves: usize,
    learning_rate: f64,
    min_rows: usize,
    seed: u64,
    /// Scored after the fit, outside of the measured stretch.
    test: Option<PathBuf>,
    /// Where the scores of `test` go.
    scores: Option<PathBuf>,
}

impl Fit {
    fn learner(&self) -> Learner {
        match self.learner {
            Kind::Boosting => Learner::Boosting(BoostingParams {
                n_rounds: self.rounds,
                learning_rate: self.learning_rate,
                n_leaves: self.leaves,
                min_rows_in_leaf: self.min_rows,
                seed: self.seed,
                ..BoostingParams::default()
            }),
            Kind::Forest => Learner::Forest(ForestParams {
                n_trees: self.rounds,
                min_rows_in_leaf: self.min_rows,
                out_of_bag: false,
                seed: self.seed,
                ..ForestParams::default()
            }),
        }
    }

    /// The measured stretch begins with the values as columns in memory: checking and binning are in it.
    pub(crate) fn run(self) -> anyhow::Result<Value> {
        let Table { n_categories, labels, columns } = Table::read(&self.table)?;
        let schema = Arc::new(schema_of(&n_categories)?);
        let target = Target { kind: TargetKind::Binary, values: labels };
        let features = Matrix::from_columns(target.values.len(), columns);
        let learner = self.learner().check()?;

        let meter = Meter::start()?;
        let train = Dataset::new(Arc::clone(&schema), features, target, None, RowKeys::default())?;
        let fitted = segue_learners::fit(&learner, &train, None, self.threads, &|_| {
            ControlFlow::Continue(())
        })?;
        let figures = meter.stop()?;
        drop(train);

        if let (Some(test), Some(scores)) = (self.test, self.scores) {
            let test = Table::read(&test)?;
            let model = Model::new(ModelParts {
                schema,
                target: TargetKind::Binary,
                task: "benches".to_owned(),
                ensemble: fitted.ensemble,
                calibration: Calibration::None,
                behaviours: Vec::new(),
                feature_set_hash: None,
            })?;
            let rows = Matrix::from_columns(test.n_rows(), test.columns);
            write_values(&scores, &model.score_rows(&rows))?;
        }
        Ok(figures)
    }
}

/// Columns `c0`, `c1`, ... with categories `0`, `1`, ...
pub(crate) fn schema_of(n_categories: &[u64]) -> anyhow::Result<Schema> {
    let feature = |(column, &n): (usize, &u64)| match n {
        0 => Feature::number(format!("c{column}")),
        n => Feature::category(format!("c{column}"), (0..n).map(|code| code.to_string()).collect()),
    };
    Ok(Schema::new(n_categories.iter().enumerate().map(feature).collect())?)
}
