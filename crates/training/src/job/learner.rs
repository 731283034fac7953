//! The learner and its parameters as a job writes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ClassWeightSection, DartSection, GossSection, ObjectiveKind, Slope};

/// Which learner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LearnerKind {
    /// Our histogram gradient boosting.
    #[default]
    Boosting,
    /// Our histogram random forest.
    Forest,
    /// One tree by linfa-trees, on a bounded sample.
    LinfaTree,
    /// The random forest of smartcore, on a bounded sample.
    SmartcoreForest,
}

impl LearnerKind {
    /// The name in job files and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Boosting => "boosting",
            Self::Forest => "forest",
            Self::LinfaTree => "linfa_tree",
            Self::SmartcoreForest => "smartcore_forest",
        }
    }

    /// Keys of `[learner]` that mean something to this learner.
    #[must_use]
    pub fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Boosting => &[
                "objective",
                "alpha",
                "gamma",
                "power",
                "rounds",
                "learning_rate",
                "leaves",
                "max_depth",
                "min_rows_per_leaf",
                "min_hessian_per_leaf",
                "l1",
                "l2",
                "min_gain",
                "row_share",
                "goss",
                "dart",
                "column_share",
                "column_share_by_node",
                "extra_trees",
                "monotone",
                "interactions",
                "max_bins",
                "cat_smooth",
                "cat_l2",
                "max_cat_threshold",
                "max_cat_to_onehot",
                "min_data_per_group",
                "early_stopping_rounds",
                "positive_weight",
                "class_weight",
                "start_from",
            ],
            Self::Forest => &[
                "trees",
                "max_depth",
                "min_rows_per_leaf",
                "min_gain",
                "column_share",
                "extra_trees",
                "max_bins",
                "bootstrap",
                "out_of_bag",
            ],
            Self::LinfaTree => &["max_depth", "min_rows_per_leaf", "sample_rows"],
            Self::SmartcoreForest => &["trees", "max_depth", "min_rows_per_leaf", "sample_rows"],
        }
    }

    /// Whether the learner is slow beside ours and therefore sees a bounded sample.
    #[must_use]
    pub fn is_sampled(self) -> bool {
        matches!(self, Self::LinfaTree | Self::SmartcoreForest)
    }
}

/// A parameter that a job gives, or leaves to be found on the rows by writing `"auto"`: see [`crate::fit`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(
    try_from = "toml::Value",
    into = "toml::Value",
    bound(
        serialize = "T: Clone, toml::Value: From<OrAuto<T>>",
        deserialize = "OrAuto<T>: TryFrom<toml::Value, Error = String>"
    )
)]
pub enum OrAuto<T> {
    /// As given.
    Fixed(T),
    /// To be found.
    Auto,
}

impl TryFrom<toml::Value> for OrAuto<f64> {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        match value {
            toml::Value::Float(number) => Ok(Self::Fixed(number)),
            toml::Value::Integer(number) => Ok(Self::Fixed(number as f64)),
            toml::Value::String(word) if word == "auto" => Ok(Self::Auto),
            other => Err(format!("{other} is neither a number nor \"auto\"")),
        }
    }
}

impl TryFrom<toml::Value> for OrAuto<u32> {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        let bad = |value: &toml::Value| format!("{value} is neither a whole number nor \"auto\"");
        match &value {
            toml::Value::Integer(number) => {
                u32::try_from(*number).map(Self::Fixed).map_err(|_| bad(&value))
            }
            toml::Value::String(word) if word == "auto" => Ok(Self::Auto),
            other => Err(bad(other)),
        }
    }
}

impl<T: Into<toml::Value>> From<OrAuto<T>> for toml::Value {
    fn from(value: OrAuto<T>) -> Self {
        match value {
            OrAuto::Fixed(value) => value.into(),
            OrAuto::Auto => Self::String("auto".to_owned()),
        }
    }
}

/// `[learner]`: unset parameters take the learner's defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LearnerSection {
    /// Which learner.
    pub kind: LearnerKind,
    /// What boosting minimises; unset takes the usual one of the answer (logistic, softmax, squared).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objective: Option<ObjectiveKind>,
    /// The quantile that objective `quantile` predicts, or the weight of positive rows in objective
    /// `focal`, between 0 and 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// How fast rows that are already right lose weight in objective `focal`, not below 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gamma: Option<f64>,
    /// Variance power of objective `tweedie`, between 1 (counts) and 2 (amounts).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<f64>,
    /// Most boosting rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounds: Option<u32>,
    /// Trees of a forest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trees: Option<u32>,
    /// Share of each tree's step that is taken, above 0 to 1, or `"auto"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<OrAuto<f64>>,
    /// Most leaves of a tree, or `"auto"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaves: Option<OrAuto<u32>>,
    /// Most splits between root and leaf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_depth: Option<u32>,
    /// Least rows in a leaf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_rows_per_leaf: Option<u32>,
    /// Least sum of hessians in a leaf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_hessian_per_leaf: Option<f64>,
    /// L1 penalty on leaf values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l1: Option<f64>,
    /// L2 penalty on leaf values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l2: Option<f64>,
    /// Least gain of a split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_gain: Option<f64>,
    /// Share of rows that each tree sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row_share: Option<f64>,
    /// Sampling of rows by their gradients, instead of `row_share`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goss: Option<GossSection>,
    /// Dropout of earlier rounds, without early stopping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dart: Option<DartSection>,
    /// Share of columns that each tree (boosting) or node (forest) sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column_share: Option<f64>,
    /// Share of a tree's columns that each node sees (boosting).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column_share_by_node: Option<f64>,
    /// Whether a node tries one random question a column instead of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_trees: Option<bool>,
    /// How the answer may move with features, by name of the feature; with classes, the margin of each.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub monotone: BTreeMap<String, Slope>,
    /// Groups of features, by name, that may meet on one path of a tree; features in none are one more
    /// group. Empty lets all meet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interactions: Vec<Vec<String>>,
    /// Most bins of a column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bins: Option<u32>,
    /// How strongly the order of categories in a node is drawn towards no effect, and the rows that a category
    /// needs to take part in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cat_smooth: Option<f64>,
    /// L2 penalty on leaf values, on top of `l2`, in splits by a set of categories.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cat_l2: Option<f64>,
    /// Most categories in a set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cat_threshold: Option<u32>,
    /// Categories in a node up to which one is split from the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cat_to_onehot: Option<u32>,
    /// Rows by which a set of categories grows before it is judged again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_data_per_group: Option<u32>,
    /// Whether each tree of a forest draws its rows with repetition; without, all see all rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<bool>,
    /// Whether a forest predicts each training row by the trees that did not draw it. Unset is true, and
    /// false without `bootstrap`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_of_bag: Option<bool>,
    /// Rounds without a better calibration loss after which boosting stops; 0 never stops. Unset is 50,
    /// and 0 with `dart`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stopping_rounds: Option<u32>,
    /// Weight of positive rows relative to negative ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positive_weight: Option<f64>,
    /// Weight of each class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_weight: Option<ClassWeightSection>,
    /// A model whose trees are kept and gone on from: `MODEL@ALIAS` or `MODEL@VERSION` of the registry, or
    /// a path to a `model.bin` or its folder. Its rounds count towards `rounds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_from: Option<String>,
    /// Rows that a linfa or smartcore learner sees at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_rows: Option<usize>,
}

impl LearnerSection {
    /// Names of the parameters that are set.
    pub(super) fn set_keys(&self) -> Vec<String> {
        let table = toml::Table::try_from(self).unwrap_or_default();
        table.into_iter().map(|(key, _)| key).filter(|key| key != "kind").collect()
    }

    /// Whether the fit may end before its last round.
    #[must_use]
    pub fn stops_early(&self) -> bool {
        match self.early_stopping_rounds {
            Some(rounds) => rounds > 0,
            None => self.kind == LearnerKind::Boosting && self.dart.is_none(),
        }
    }
}

/// The key of `[learner]` behind a parameter of a learner.
pub(super) fn key_of(parameter: &str) -> &str {
    match parameter {
        "n_rounds" => "rounds",
        "n_trees" => "trees",
        "n_leaves" => "leaves",
        "min_rows_in_leaf" => "min_rows_per_leaf",
        "min_hessian_in_leaf" => "min_hessian_per_leaf",
        "lambda_l1" => "l1",
        "lambda_l2" => "l2",
        "class_weight" => "positive_weight",
        "features" => "column_share",
        "max_rows" => "sample_rows",
        "quantile_alpha" | "focal_alpha" => "alpha",
        "focal_gamma" => "gamma",
        "tweedie_power" => "power",
        "top_rate" => "goss.top",
        "other_rate" => "goss.other",
        "drop_rate" => "dart.drop",
        "skip_drop" => "dart.skip",
        same => same,
    }
}
