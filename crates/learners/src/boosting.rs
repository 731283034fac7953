//! Leaf-wise histogram gradient boosting (Friedman 2001; Ke et al. 2017, LightGBM).

mod dart;
mod goss;
mod gradients;
mod grow;
mod params;
mod place;
mod run;
mod start;
mod table;
#[cfg(test)]
mod tests;

use rayon::prelude::*;
use segue_dataset::{Dataset, FeatureKind};
use segue_model::Tree;

use crate::binning::{Binning, Bundles, CodeMatrix};
use crate::histogram::{Cell, Scaled};
use crate::objective::{RowWeights, weighted_quantile};
use crate::sampling::{draw_columns, draw_rows, generator, hashed};
use crate::split::{Monotone, SplitRules, soft_threshold};
use crate::{FitOptions, Fitted, LearnError, Objective};
use goss::{Sample, draw_by_gradient};
use gradients::{Gradients, Source, class_shares};
use grow::{Grower, Grown, TreeLimits};
pub use params::{BoostingParams, BoostingValidParams, ClassWeight, Dart, Goss};
use place::PathRules;
use run::Run;
use start::check_start;
use table::{Margins, Rows, add_to_all, add_to_unsampled, class_factors};

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
        check_start(start, &objective, train)?;
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

/// Constraints name columns of the table, and only numbers have an order.
fn check_constraints(params: &BoostingParams, train: &Dataset) -> Result<(), LearnError> {
    let features = train.schema().features();
    if !params.monotone.is_empty() && params.monotone.len() != features.len() {
        let (expected, got) = (features.len(), params.monotone.len());
        return Err(LearnError::MonotoneCount { expected, got });
    }
    for (feature, monotone) in features.iter().zip(&params.monotone) {
        if *monotone != Monotone::Free && feature.kind != FeatureKind::Number {
            return Err(LearnError::MonotoneCategory { column: feature.name.clone() });
        }
    }
    for (group, columns) in params.interactions.iter().enumerate() {
        if let Some(&column) = columns.iter().find(|&&column| column as usize >= features.len()) {
            let n_columns = features.len();
            return Err(LearnError::InteractionColumn { group, column, n_columns });
        }
    }
    Ok(())
}

/// Seed of the draws by which the gradients of a tree are rounded, so that no row is rounded the same way tree
/// after tree.
fn rounding_seed(seed: u64, tree: u64) -> u64 {
    hashed(hashed(seed, ROUNDING), tree)
}

/// Keeps those draws apart from those of the tree's leaves.
const ROUNDING: u64 = 0x0d17;

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

    /// Grows one tree an output and moves the margins.
    fn round(
        &self,
        iteration: usize,
        shrinkage: f64,
        tools: &mut Tools<'_>,
        margins: &mut Margins,
        mut valid: Option<(&CodeMatrix, &mut Margins)>,
    ) -> Result<Vec<Tree>, LearnError> {
        let params = self.params;
        let n_rows = self.train.labels().len();
        if let Objective::Custom(custom) = self.objective {
            custom.check_derivatives(&margins.0[0], self.train.labels())?;
        }
        let softmax = *self.objective == Objective::Softmax;
        let shares = if softmax { class_shares(margins, n_rows) } else { Vec::new() };
        let sample = self.sample(iteration, &tools.rows, margins, &shares);
        let rows = sample.as_ref().map_or(&*tools.rows, |sample| &sample.rows);
        let factors = sample.as_ref().and_then(|sample| sample.factors.as_deref());
        let amplified = factors.map(|factors| self.train.weights.times(factors));
        let weights = amplified.as_ref().unwrap_or(&self.train.weights);
        let max_weight = amplified.as_ref().map_or(self.train.max_weight, RowWeights::largest);
        let mut columns_generator = generator(params.seed, 2 * iteration as u64 + 1);
        let mut trees = Vec::with_capacity(self.base.len());
        for output in 0..self.base.len() {
            let source = self.source(output, margins, &shares);
            let labels = self.train.labels();
            let gradients = Gradients { labels, weights: weights.each(), max_weight, source };
            let tree = (iteration * self.base.len() + output) as u64;
            let scaled = &mut tools.scaled;
            scaled.refill(n_rows, &gradients, Some(rounding_seed(params.seed, tree)));
            let columns = draw_columns(
                (0..self.binning.columns().len() as u32).collect(),
                params.column_share,
                &mut columns_generator,
            );
            let grown = tools.grower.grow(scaled, rows, &columns, hashed(params.seed, tree));
            let values = self.leaf_values(&grown, scaled, &margins.0[output], weights, shrinkage);
            grown.add_to_rows(&values, &mut margins.0[output]);
            if sample.is_some() {
                add_to_unsampled(&grown, &values, rows, self.train.codes, &mut margins.0[output]);
            }
            if let Some((codes, margins)) = &mut valid {
                add_to_all(&grown, &values, codes, &mut margins.0[output]);
            }
            let cover = self.leaf_cover(&grown, factors);
            trees.push(grown.tree.to_tree(self.binning, values, cover, 1));
        }
        Ok(trees)
    }

    /// Rows drawn for a round; `None` if it takes all.
    fn sample(
        &self,
        iteration: usize,
        rows: &[u32],
        margins: &Margins,
        shares: &[f64],
    ) -> Option<Sample> {
        let (params, stream) = (self.params, 2 * iteration as u64);
        if params.row_share < 1.0 {
            let rows = draw_rows(rows, params.row_share, params.seed, stream);
            return Some(Sample { rows, factors: None });
        }
        // The first gradients say little of a row; LightGBM waits as long.
        let goss = params.goss.filter(|_| iteration as f64 > 1.0 / params.learning_rate)?;
        let gradients = |output| Gradients {
            labels: self.train.labels(),
            weights: self.train.weights.each(),
            max_weight: self.train.max_weight,
            source: self.source(output, margins, shares),
        };
        let outputs: Vec<Gradients<'_>> = (0..self.base.len()).map(gradients).collect();
        let n_rows = self.train.labels().len();
        Some(draw_by_gradient(goss, rows, n_rows, &outputs, params.seed, stream))
    }

    fn source<'b>(&'b self, output: usize, margins: &'b Margins, shares: &'b [f64]) -> Source<'b> {
        if *self.objective == Objective::Softmax {
            Source::Shares { shares, n_classes: self.base.len(), class: output }
        } else {
            Source::Margins { objective: self.objective, margins: &margins.0[output] }
        }
    }

    /// Shrunken leaf values: Newton steps from the sums that the histograms hold, or residual quantiles.
    fn leaf_values(
        &self,
        grown: &Grown<'_>,
        scaled: &Scaled,
        margins: &[f64],
        weights: &RowWeights,
        shrinkage: f64,
    ) -> Vec<f64> {
        let params = self.params;
        let newton = |total: Cell| {
            let gradient = total.gradient() as f64 * scaled.gradient_unit;
            let curvature = total.hessian() as f64 * scaled.hessian_unit + params.lambda_l2;
            let step = -soft_threshold(gradient, params.lambda_l1) / curvature;
            if step.is_finite() { step } else { 0.0 }
        };
        let quantile = |leaf: usize, alpha: f64| {
            let residual = |row: usize| (self.train.labels()[row] - margins[row], weights.of(row));
            weighted_quantile(grown.rows(leaf).map(residual).collect(), alpha)
        };
        let value = |leaf: usize| {
            let step = match self.objective.leaf_quantile() {
                Some(alpha) => quantile(leaf, alpha),
                None => newton(grown.total(leaf)),
            };
            shrinkage * grown.bounds(leaf).hold(step)
        };
        (0..grown.tree.n_leaves()).into_par_iter().map(value).collect()
    }

    /// Sums of row weights, without class factors: what explanations weigh branches by.
    fn leaf_cover(&self, grown: &Grown<'_>, factors: Option<&[f64]>) -> Vec<f64> {
        let sum = |leaf: usize| {
            let rows = grown.rows(leaf);
            match (self.train.data.weight(), factors) {
                (Some(weight), Some(factors)) => rows.map(|row| weight[row] * factors[row]).sum(),
                (Some(each), None) | (None, Some(each)) => rows.map(|row| each[row]).sum(),
                (None, None) => rows.len() as f64,
            }
        };
        (0..grown.tree.n_leaves()).into_par_iter().map(sum).collect()
    }
}
