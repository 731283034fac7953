//! Leaf-wise histogram gradient boosting (Friedman 2001; Ke et al. 2017, LightGBM).

mod gradients;
mod grow;
mod params;
mod place;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use rayon::prelude::*;
use segue_dataset::{Dataset, FeatureKind, TargetKind};
use segue_model::{Combine, Ensemble, Tree};

use crate::binning::{Binning, Bundles, CodeMatrix};
use crate::histogram::{Cell, Scaled};
use crate::objective::{RowWeights, weighted_quantile};
use crate::sampling::{draw_columns, draw_rows, generator, hashed};
use crate::split::{Monotone, SplitRules, soft_threshold};
use crate::{Fitted, LearnError, LossPoint, Objective, Progress};
use gradients::{Gradients, Source, class_shares};
use grow::{Grower, Grown, TreeLimits};
pub use params::{BoostingParams, BoostingValidParams, ClassWeight};
use place::PathRules;

/// Training rows on which the training loss is watched, at most; evenly spaced.
const WATCHED_ROWS: usize = 16_384;
/// Rows handled together by one thread.
const BLOCK_ROWS: usize = 4_096;

pub(crate) fn fit(
    params: &BoostingValidParams,
    train: &Dataset,
    valid: Option<&Dataset>,
    progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
) -> Result<Fitted, LearnError> {
    let params = params.params();
    let objective =
        params.objective.clone().unwrap_or_else(|| Objective::default_for(&train.target().kind));
    objective.check_target(train.target())?;
    check_constraints(params, train)?;
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
    let base = objective.base(train.data.target(), &train.weights);
    if let Some(&value) = base.iter().find(|base| !base.is_finite()) {
        return Err(LearnError::StartValue { objective: objective.name(), value });
    }
    let valid_codes = valid.map(|valid| binning.encode(bundles, valid.features()));
    let valid = valid.zip(valid_codes.as_ref()).map(|(data, codes)| {
        let rows = Rows::new(data, codes, &class_factors);
        let margins = Margins::constant(&base, data.n_rows());
        (rows, margins)
    });
    let run =
        Boosting { params, objective: &objective, binning: &binning, train: &train, base: &base };
    run.fit(valid, progress)
}

/// A table as the boosting reads it.
struct Rows<'a> {
    data: &'a Dataset,
    codes: &'a CodeMatrix,
    weights: RowWeights,
    max_weight: f64,
}

impl<'a> Rows<'a> {
    fn new(data: &'a Dataset, codes: &'a CodeMatrix, class_factors: &[f64]) -> Self {
        let factor = |label: f64| class_factors.get(label as usize).copied().unwrap_or(1.0);
        let weight = |row: usize| data.weight().map_or(1.0, |weight| weight[row]);
        let weights = if data.weight().is_none() && class_factors.is_empty() {
            RowWeights::Equal
        } else {
            let labels = data.target().values.iter().enumerate();
            RowWeights::Each(labels.map(|(row, &label)| weight(row) * factor(label)).collect())
        };
        let max_weight =
            weights.each().map_or(1.0, |each| each.iter().copied().fold(0.0, f64::max));
        Self { data, codes, weights, max_weight }
    }

    fn labels(&self) -> &[f64] {
        &self.data.target().values
    }

    /// Weighted mean loss over every `stride`-th row; block sums in block order.
    fn loss(&self, objective: &Objective, margins: &Margins, stride: usize) -> f64 {
        let rows: Vec<usize> = (0..self.labels().len()).step_by(stride).collect();
        let partial: Vec<(f64, f64)> = rows
            .par_chunks(BLOCK_ROWS)
            .map(|rows| {
                let mut row_margins = vec![0.0; margins.n_outputs()];
                rows.iter().fold((0.0, 0.0), |(loss, weight), &row| {
                    margins.copy_row(row, &mut row_margins);
                    let row_loss = objective.loss(&row_margins, self.labels()[row]);
                    (loss + self.weights.of(row) * row_loss, weight + self.weights.of(row))
                })
            })
            .collect();
        let (loss, weight) = partial.iter().fold((0.0, 0.0), |(a, b), &(c, d)| (a + c, b + d));
        loss / weight
    }
}

/// Margins of all rows, output by output.
struct Margins(Vec<Vec<f64>>);

impl Margins {
    fn constant(base: &[f64], n_rows: usize) -> Self {
        Self(base.iter().map(|&base| vec![base; n_rows]).collect())
    }

    fn n_outputs(&self) -> usize {
        self.0.len()
    }

    fn copy_row(&self, row: usize, out: &mut [f64]) {
        out.iter_mut().zip(&self.0).for_each(|(value, margins)| *value = margins[row]);
    }
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

/// Factor of each class; empty means 1 for all.
fn class_factors(weight: &ClassWeight, train: &Dataset) -> Result<Vec<f64>, LearnError> {
    let n_classes = match &train.target().kind {
        TargetKind::Binary => 2,
        TargetKind::Multiclass { classes } => classes.len(),
        TargetKind::Regression if *weight == ClassWeight::Equal => return Ok(Vec::new()),
        TargetKind::Regression => return Err(LearnError::ClassWeightTarget),
    };
    match weight {
        ClassWeight::Equal => Ok(Vec::new()),
        ClassWeight::Each(factors) if factors.len() == n_classes => Ok(factors.clone()),
        ClassWeight::Each(factors) => {
            Err(LearnError::ClassWeightCount { expected: n_classes, got: factors.len() })
        }
        ClassWeight::Balanced => {
            let mut sums = vec![0.0; n_classes];
            for (row, &label) in train.target().values.iter().enumerate() {
                sums[label as usize] += train.weight().map_or(1.0, |weight| weight[row]);
            }
            let n_present = sums.iter().filter(|&&sum| sum > 0.0).count() as f64;
            let mean = sums.iter().sum::<f64>() / n_present;
            Ok(sums.iter().map(|&sum| if sum > 0.0 { mean / sum } else { 1.0 }).collect())
        }
    }
}

/// One fit: what does not change from round to round.
struct Boosting<'a> {
    params: &'a BoostingParams,
    objective: &'a Objective,
    binning: &'a Binning,
    train: &'a Rows<'a>,
    base: &'a [f64],
}

impl Boosting<'_> {
    fn fit(
        &self,
        mut valid: Option<(Rows<'_>, Margins)>,
        progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
    ) -> Result<Fitted, LearnError> {
        let n_rounds = self.params.n_rounds;
        let n_rows = self.train.labels().len();
        let rows: Vec<u32> =
            (0..n_rows as u32).filter(|&row| self.train.weights.of(row as usize) > 0.0).collect();
        let mut margins = Margins::constant(self.base, n_rows);
        let mut grower = Grower::new(self.train.codes, self.binning, self.limits());
        let mut scaled = Scaled::default();
        let mut trees: Vec<Tree> = Vec::new();
        let mut history: Vec<LossPoint> = Vec::new();
        let mut best = (0, f64::INFINITY);
        let patience = self.params.early_stopping_rounds;
        let watched = n_rows.div_ceil(WATCHED_ROWS).max(1);
        for iteration in 1..=n_rounds {
            let valid_margins = valid.as_mut().map(|(rows, margins)| (rows.codes, margins));
            let round = self.round(
                iteration,
                &rows,
                &mut margins,
                valid_margins,
                &mut grower,
                &mut scaled,
            )?;
            if round.iter().all(|tree| tree.nodes.is_empty()) {
                break;
            }
            trees.extend(round);
            let train_loss = self.train.loss(self.objective, &margins, watched);
            let valid_loss =
                valid.as_ref().map(|(rows, margins)| rows.loss(self.objective, margins, 1));
            history.push(LossPoint { iteration, train_loss, valid_loss });
            let report = Progress { iteration, n_iterations: n_rounds, train_loss, valid_loss };
            if progress(report).is_break() {
                return Err(LearnError::Cancelled { iteration });
            }
            match valid_loss {
                Some(loss) if patience > 0 => {
                    if loss < best.1 {
                        best = (iteration, loss);
                    } else if iteration - best.0 >= patience {
                        break;
                    }
                }
                _ => best.0 = iteration,
            }
        }
        trees.truncate(best.0 * self.base.len());
        Ok(self.fitted(trees, best.0, history))
    }

    fn fitted(&self, trees: Vec<Tree>, best_iteration: usize, history: Vec<LossPoint>) -> Fitted {
        let n_outputs = self.base.len() as u32;
        let ensemble = Ensemble {
            tree_output: (0..trees.len() as u32).map(|tree| tree % n_outputs).collect(),
            trees,
            base: self.base.to_vec(),
            combine: Combine::Sum,
            link: self.objective.link(),
        };
        Fitted { ensemble, best_iteration, history, learner_name: "boosting", out_of_bag: None }
    }

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
        all_rows: &[u32],
        margins: &mut Margins,
        mut valid: Option<(&CodeMatrix, &mut Margins)>,
        grower: &mut Grower<'_>,
        scaled: &mut Scaled,
    ) -> Result<Vec<Tree>, LearnError> {
        let params = self.params;
        let sampled = (params.row_share < 1.0)
            .then(|| draw_rows(all_rows, params.row_share, params.seed, 2 * iteration as u64));
        let rows = sampled.as_deref().unwrap_or(all_rows);
        let mut columns_generator = generator(params.seed, 2 * iteration as u64 + 1);
        let mut trees = Vec::with_capacity(self.base.len());
        let n_rows = self.train.labels().len();
        if let Objective::Custom(custom) = self.objective {
            custom.check_derivatives(&margins.0[0], self.train.labels())?;
        }
        let softmax = *self.objective == Objective::Softmax;
        let shares = if softmax { class_shares(margins, n_rows) } else { Vec::new() };
        for output in 0..self.base.len() {
            let source = if softmax {
                Source::Shares { shares: &shares, n_classes: self.base.len(), class: output }
            } else {
                Source::Margins { objective: self.objective, margins: &margins.0[output] }
            };
            let weights = self.train.weights.each();
            let (labels, max_weight) = (self.train.labels(), self.train.max_weight);
            let gradients = Gradients { labels, weights, max_weight, source };
            let dither = (iteration * self.base.len() + output) as u64;
            scaled.refill(n_rows, &gradients, Some(params.seed ^ dither << 32 ^ dither));
            let columns = draw_columns(
                (0..self.binning.columns().len() as u32).collect(),
                params.column_share,
                &mut columns_generator,
            );
            let grown = grower.grow(scaled, rows, &columns, hashed(params.seed, dither));
            let values = self.leaf_values(&grown, scaled, &margins.0[output]);
            grown.add_to_rows(&values, &mut margins.0[output]);
            if sampled.is_some() {
                add_to_unsampled(&grown, &values, rows, self.train.codes, &mut margins.0[output]);
            }
            if let Some((codes, margins)) = &mut valid {
                add_to_all(&grown, &values, codes, &mut margins.0[output]);
            }
            let cover = self.leaf_cover(&grown);
            trees.push(grown.tree.to_tree(self.binning, values, cover, 1));
        }
        Ok(trees)
    }

    /// Shrunken leaf values: Newton steps from the sums that the histograms hold, or residual quantiles.
    fn leaf_values(&self, grown: &Grown<'_>, scaled: &Scaled, margins: &[f64]) -> Vec<f64> {
        let params = self.params;
        let newton = |total: Cell| {
            let gradient = total.gradient() as f64 * scaled.gradient_unit;
            let curvature = total.hessian() as f64 * scaled.hessian_unit + params.lambda_l2;
            let step = -soft_threshold(gradient, params.lambda_l1) / curvature;
            if step.is_finite() { step } else { 0.0 }
        };
        let quantile = |leaf: usize, alpha: f64| {
            let residual =
                |row: usize| (self.train.labels()[row] - margins[row], self.train.weights.of(row));
            weighted_quantile(grown.rows(leaf).map(residual).collect(), alpha)
        };
        let value = |leaf: usize| {
            let step = match self.objective.leaf_quantile() {
                Some(alpha) => quantile(leaf, alpha),
                None => newton(grown.total(leaf)),
            };
            params.learning_rate * grown.bounds(leaf).hold(step)
        };
        (0..grown.tree.n_leaves()).into_par_iter().map(value).collect()
    }

    /// Sums of row weights, without class factors: what explanations weigh branches by.
    fn leaf_cover(&self, grown: &Grown<'_>) -> Vec<f64> {
        let sum = |leaf: usize| {
            let rows = grown.rows(leaf);
            match self.train.data.weight() {
                Some(weight) => rows.map(|row| weight[row]).sum(),
                None => rows.len() as f64,
            }
        };
        (0..grown.tree.n_leaves()).map(sum).collect()
    }
}

/// Moves the margins of all rows but `sampled` (ascending), which have been moved already.
fn add_to_unsampled(
    grown: &Grown<'_>,
    values: &[f64],
    sampled: &[u32],
    codes: &CodeMatrix,
    margins: &mut [f64],
) {
    let mut sampled = sampled.iter().peekable();
    for (row, margin) in (0u32..).zip(margins) {
        if sampled.next_if(|&&next| next == row).is_none() {
            *margin += values[grown.tree.leaf(codes.row(row as usize)) as usize];
        }
    }
}

/// Moves the margins of all rows.
fn add_to_all(grown: &Grown<'_>, values: &[f64], codes: &CodeMatrix, margins: &mut [f64]) {
    margins.par_iter_mut().with_min_len(BLOCK_ROWS).enumerate().for_each(|(row, margin)| {
        *margin += values[grown.tree.leaf(codes.row(row)) as usize];
    });
}
