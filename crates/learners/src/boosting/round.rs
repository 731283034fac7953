//! One round: a tree an output, grown on the rows and columns that the round draws.

use rayon::prelude::*;
use segue_model::Tree;

use super::goss::{Sample, draw_by_gradient};
use super::gradients::{Gradients, Source, class_shares};
use super::grow::Grown;
use super::table::{Margins, add_to_all, add_to_unsampled, shift};
use super::{Boosting, Tools};
use crate::binning::CodeMatrix;
use crate::histogram::{Cell, Scaled};
use crate::objective::{RowWeights, weighted_quantile};
use crate::sampling::{draw_columns, draw_rows, generator, hashed};
use crate::split::soft_threshold;
use crate::{LearnError, Objective};

/// Seed of the draws by which the gradients of a tree are rounded, so that no row is rounded the same way tree
/// after tree.
pub(super) fn rounding_seed(seed: u64, tree: u64) -> u64 {
    hashed(hashed(seed, ROUNDING), tree)
}

/// Keeps those draws apart from those of the tree's leaves.
const ROUNDING: u64 = 0x0d17;

impl Boosting<'_> {
    /// Whether rounds draw rows, columns, cuts or earlier rounds: one that finds no question then says little
    /// of the next.
    pub(super) fn is_drawn(&self) -> bool {
        let params = self.params;
        params.row_share < 1.0
            || params.column_share < 1.0
            || params.column_share_by_node < 1.0
            || params.extra_trees
            || params.goss.is_some()
            || params.dart.is_some()
    }

    /// Grows one tree an output and moves the margins. If no tree finds a question, all are 0 and nothing
    /// moves: a mean over a few drawn rows would be noise.
    pub(super) fn round(
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
        let mut trees: Vec<Tree> = Vec::with_capacity(self.base.len());
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
            if grown.tree.n_leaves() > 1 {
                grown.add_to_rows(&values, &mut margins.0[output]);
                if sample.is_some() {
                    let codes = self.train.codes;
                    add_to_unsampled(&grown, &values, rows, codes, &mut margins.0[output]);
                }
                if let Some((codes, margins)) = &mut valid {
                    add_to_all(&grown, &values, codes, &mut margins.0[output]);
                }
            }
            let cover = self.leaf_cover(&grown, factors);
            trees.push(grown.tree.to_tree(self.binning, values, cover, 1));
        }
        let barren = trees.iter().all(|tree| tree.nodes.is_empty());
        let of_one_leaf = |(_, tree): &(usize, &mut Tree)| tree.nodes.is_empty();
        for (output, tree) in trees.iter_mut().enumerate().filter(of_one_leaf) {
            if barren {
                tree.leaf_values.fill(0.0);
                continue;
            }
            shift(&mut margins.0[output], tree.leaf_values[0]);
            if let Some((_, margins)) = &mut valid {
                shift(&mut margins.0[output], tree.leaf_values[0]);
            }
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
