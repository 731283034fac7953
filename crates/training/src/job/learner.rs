//! The learner and its parameters as a job writes them.

use serde::{Deserialize, Serialize};

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
                "column_share",
                "max_bins",
                "early_stopping_rounds",
                "positive_weight",
            ],
            Self::Forest => &["trees", "max_depth", "min_rows_per_leaf", "column_share"],
            Self::LinfaTree => &["max_depth", "min_rows_per_leaf", "sample_rows"],
            Self::SmartcoreForest => &["trees", "max_depth", "min_rows_per_leaf", "sample_rows"],
        }
    }
}

/// `[learner]`: unset parameters take the learner's defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LearnerSection {
    /// Which learner.
    pub kind: LearnerKind,
    /// Most boosting rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounds: Option<u32>,
    /// Trees of a forest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trees: Option<u32>,
    /// Share of each tree's step that is taken, above 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Most leaves of a tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaves: Option<u32>,
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
    /// Share of columns that each tree (boosting) or node (forest) sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column_share: Option<f64>,
    /// Most bins of a column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bins: Option<u32>,
    /// Rounds without a better calibration loss after which boosting stops; 0 never stops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stopping_rounds: Option<u32>,
    /// Weight of positive rows relative to negative ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positive_weight: Option<f64>,
    /// Rows that a linfa or smartcore learner sees at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_rows: Option<usize>,
}

impl LearnerSection {
    /// Names of the parameters that are set.
    pub(super) fn set_keys(&self) -> Vec<&'static str> {
        let set = [
            ("rounds", self.rounds.is_some()),
            ("trees", self.trees.is_some()),
            ("learning_rate", self.learning_rate.is_some()),
            ("leaves", self.leaves.is_some()),
            ("max_depth", self.max_depth.is_some()),
            ("min_rows_per_leaf", self.min_rows_per_leaf.is_some()),
            ("min_hessian_per_leaf", self.min_hessian_per_leaf.is_some()),
            ("l1", self.l1.is_some()),
            ("l2", self.l2.is_some()),
            ("min_gain", self.min_gain.is_some()),
            ("row_share", self.row_share.is_some()),
            ("column_share", self.column_share.is_some()),
            ("max_bins", self.max_bins.is_some()),
            ("early_stopping_rounds", self.early_stopping_rounds.is_some()),
            ("positive_weight", self.positive_weight.is_some()),
            ("sample_rows", self.sample_rows.is_some()),
        ];
        set.into_iter().filter(|(_, set)| *set).map(|(key, _)| key).collect()
    }
}
