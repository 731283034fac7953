//! Parameters of the boosting, with LightGBM's defaults.

use crate::error::{check_integer, check_real};
use crate::{CategoryRules, Monotone, Objective, ParamError};

/// How much each class counts, on top of row weights.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum ClassWeight {
    /// All the same.
    #[default]
    Equal,
    /// Inverse to the class's share of the row weights, mean 1.
    Balanced,
    /// One factor a class, in class order; for a binary target the factors of 0 and 1.
    Each(Vec<f64>),
}

/// Gradient-based one-side sampling (Ke et al. 2017; LightGBM's `data_sample_strategy=goss`): a round takes the
/// rows with the largest absolute gradients and draws from the others, which count more in return,
/// `others / drawn` times. The first `1 / learning_rate` rounds take all rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Goss {
    /// Share of the rows taken by gradient, 0 to below 1. Default 0.2.
    pub top_rate: f64,
    /// Share of all rows drawn from the others, above 0; at most 1 with `top_rate`. Default 0.1.
    pub other_rate: f64,
}

impl Default for Goss {
    fn default() -> Self {
        Self { top_rate: 0.2, other_rate: 0.1 }
    }
}

/// Dropout of rounds (Rashmi and Gilad-Bachrach 2015; LightGBM's `boosting=dart` with `uniform_drop`): a
/// round that drops `k` earlier rounds grows on what the others leave; its trees are then shrunken by
/// `1 / (k + 1)` and the dropped ones by `k / (k + 1)`, on top of the learning rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dart {
    /// Probability of each earlier round to be dropped, 0 to 1. Default 0.1.
    pub drop_rate: f64,
    /// Probability that a round drops none, 0 to 1. Default 0.5.
    pub skip_drop: f64,
    /// Rounds dropped at once, at most; 0 is no limit. Default 50.
    pub max_drop: usize,
}

impl Default for Dart {
    fn default() -> Self {
        Self { drop_rate: 0.1, skip_drop: 0.5, max_drop: 50 }
    }
}

/// Parameters of the boosting, unchecked. [`BoostingParams::default`] is LightGBM's default model but for
/// 500 rounds with early stopping.
#[derive(Debug, Clone, PartialEq)]
pub struct BoostingParams {
    /// What is minimised; `None` takes the target's usual one (logistic, softmax, squared).
    pub objective: Option<Objective>,
    /// Rounds, at most; a round of softmax grows one tree a class. A fit ends with the first round that finds no
    /// question. If it draws rows, columns, cuts or rounds, such a round counts and adds nothing, and the 100th
    /// in a row ends the fit. Default 500.
    pub n_rounds: usize,
    /// Shrinkage of each tree, above 0 to 1. Default 0.1.
    pub learning_rate: f64,
    /// Leaves a tree, 2 to 65536. Default 31.
    pub n_leaves: usize,
    /// Largest number of questions on a path; 0 is no limit (default).
    pub max_depth: usize,
    /// Rows a leaf must have. Default 20.
    pub min_rows_in_leaf: usize,
    /// Sum of second derivatives a leaf must have. Default 0.001.
    pub min_hessian_in_leaf: f64,
    /// Gain a split must exceed, in the objective's loss summed over rows, times two. Default 0.
    pub min_gain: f64,
    /// L1 penalty on leaf values. Default 0.
    pub lambda_l1: f64,
    /// L2 penalty on leaf values. Default 0.
    pub lambda_l2: f64,
    /// Byte codes a column may use, missing included, 3 to 255. Default 255.
    pub max_bins: usize,
    /// Share of the rows drawn (without repetition) for each round, above 0 to 1. Default 1.
    pub row_share: f64,
    /// Sampling of rows by their gradients; `None` (default) is none. Instead of `row_share`.
    pub goss: Option<Goss>,
    /// Dropout of earlier rounds; `None` (default) is none. Early stopping must be off: no round's trees are
    /// final before the last.
    pub dart: Option<Dart>,
    /// Share of the columns drawn for each tree, above 0 to 1. Default 1.
    pub column_share: f64,
    /// Share of the tree's columns drawn for each node, above 0 to 1; LightGBM's `feature_fraction_bynode`.
    /// Default 1.
    pub column_share_by_node: f64,
    /// Whether a node tries one random cut a column, uniform over the codes between the lowest and the
    /// highest it holds, instead of all (extremely randomised trees, Geurts et al. 2006; LightGBM's
    /// `extra_trees`). A category tries one random set, missing values both sides. Default false.
    pub extra_trees: bool,
    /// How each output's margin may move with each column, in column order; empty (default) is free.
    /// LightGBM's `monotone_constraints`, method "basic". Only for numbers; missing values have no place in
    /// the order.
    pub monotone: Vec<Monotone>,
    /// Groups of columns that may meet on one path from root to leaf; empty (default) lets all meet.
    /// LightGBM's `interaction_constraints`: a node may ask about the columns of every group that
    /// holds all columns asked above it. Columns in no group are one more group together, as in LightGBM's R
    /// package and scikit-learn.
    pub interactions: Vec<Vec<u32>>,
    /// Rules for splitting categories into two sets.
    pub categories: CategoryRules,
    /// Weight of each class.
    pub class_weight: ClassWeight,
    /// Rounds without a better validation loss after which the fit stops; 0 never stops. Default 50.
    pub early_stopping_rounds: usize,
    /// Seed of row and column sampling and of rounding. Default 0.
    pub seed: u64,
}

impl Default for BoostingParams {
    fn default() -> Self {
        Self {
            objective: None,
            n_rounds: 500,
            learning_rate: 0.1,
            n_leaves: 31,
            max_depth: 0,
            min_rows_in_leaf: 20,
            min_hessian_in_leaf: 1e-3,
            min_gain: 0.0,
            lambda_l1: 0.0,
            lambda_l2: 0.0,
            max_bins: 255,
            row_share: 1.0,
            goss: None,
            dart: None,
            column_share: 1.0,
            column_share_by_node: 1.0,
            extra_trees: false,
            monotone: Vec::new(),
            interactions: Vec::new(),
            categories: CategoryRules::default(),
            class_weight: ClassWeight::Equal,
            early_stopping_rounds: 50,
            seed: 0,
        }
    }
}

impl BoostingParams {
    /// Checks every parameter against its range.
    ///
    /// # Errors
    /// The first parameter that does not fit.
    pub fn check(self) -> Result<BoostingValidParams, ParamError> {
        check_boosting(&self)?;
        Ok(BoostingValidParams(self))
    }
}

/// Boosting parameters that are all in range.
#[derive(Debug, Clone, PartialEq)]
pub struct BoostingValidParams(BoostingParams);

impl BoostingValidParams {
    /// The parameters.
    #[must_use]
    pub fn params(&self) -> &BoostingParams {
        &self.0
    }
}

fn check_boosting(params: &BoostingParams) -> Result<(), ParamError> {
    check_integer("n_rounds", params.n_rounds, 1, 1_000_000)?;
    check_integer("n_leaves", params.n_leaves, 2, 65_536)?;
    check_integer("max_bins", params.max_bins, 3, 255)?;
    let unit = |field, value: f64| {
        check_real(field, value, value > 0.0 && value <= 1.0, "a number above 0, at most 1")
    };
    unit("learning_rate", params.learning_rate)?;
    unit("row_share", params.row_share)?;
    unit("column_share", params.column_share)?;
    unit("column_share_by_node", params.column_share_by_node)?;
    check_goss(params)?;
    check_dart(params)?;
    let not_negative = |field, value: f64| {
        check_real(field, value, value.is_finite() && value >= 0.0, "a finite number not below 0")
    };
    not_negative("min_hessian_in_leaf", params.min_hessian_in_leaf)?;
    not_negative("min_gain", params.min_gain)?;
    not_negative("lambda_l1", params.lambda_l1)?;
    not_negative("lambda_l2", params.lambda_l2)?;
    params.categories.check()?;
    if let Some(objective) = &params.objective {
        objective.check()?;
    }
    if let ClassWeight::Each(weights) = &params.class_weight {
        for &weight in weights {
            check_real(
                "class_weight",
                weight,
                weight.is_finite() && weight > 0.0,
                "a finite number above 0",
            )?;
        }
    }
    Ok(())
}

fn check_goss(params: &BoostingParams) -> Result<(), ParamError> {
    let Some(Goss { top_rate, other_rate }) = params.goss else { return Ok(()) };
    let fits = (0.0..1.0).contains(&top_rate);
    check_real("top_rate", top_rate, fits, "a number not below 0, below 1")?;
    let fits = other_rate > 0.0 && top_rate + other_rate <= 1.0;
    check_real("other_rate", other_rate, fits, "a number above 0, with top_rate at most 1")?;
    if params.row_share < 1.0 {
        return Err(ParamError::Contradiction {
            field: "row_share",
            other: "goss",
            reason: "both draw the rows of a round; remove one",
        });
    }
    Ok(())
}

fn check_dart(params: &BoostingParams) -> Result<(), ParamError> {
    let Some(dart) = params.dart else { return Ok(()) };
    for (field, value) in [("drop_rate", dart.drop_rate), ("skip_drop", dart.skip_drop)] {
        check_real(field, value, (0.0..=1.0).contains(&value), "a number from 0 to 1")?;
    }
    if params.early_stopping_rounds > 0 {
        return Err(ParamError::Contradiction {
            field: "early_stopping_rounds",
            other: "dart",
            reason: "later rounds change earlier trees, so that no best round can be kept; set it to 0",
        });
    }
    Ok(())
}
