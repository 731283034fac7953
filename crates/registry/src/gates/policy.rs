//! The thresholds of the gates. They travel in the manifest of the version that they judge.

use serde::{Deserialize, Serialize};

/// The metric on which a version must not be inferior to the champion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GateMetric {
    /// Area under the ROC curve; binary only, higher is better.
    Auc,
    /// Area under the precision-recall curve; binary only, higher is better.
    AveragePrecision,
    /// Mean negative log probability of the truth; binary and multiclass, lower is better.
    LogLoss,
    /// Mean squared error of the probability; binary only, lower is better.
    Brier,
    /// Root of the mean squared error; regression only, lower is better.
    Rmse,
    /// Mean absolute error; regression only, lower is better.
    Mae,
}

impl GateMetric {
    /// The name in messages, the same as in a job file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auc => "auc",
            Self::AveragePrecision => "average_precision",
            Self::LogLoss => "log_loss",
            Self::Brier => "brier",
            Self::Rmse => "rmse",
            Self::Mae => "mae",
        }
    }
}

/// Whether a version may ask for features that the champion did not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NewFeatures {
    /// Only if its own feature set computes them from events: a caller need not send them.
    #[default]
    Computed,
    /// Always; callers that send named features must change first.
    Allow,
    /// Never.
    Forbid,
}

/// Thresholds of all gates. Every field has a default, so that a job names only what it changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatePolicy {
    /// Default: `auc` for binary, `log_loss` for multiclass, `rmse` for regression.
    pub metric: Option<GateMetric>,
    /// How much worse than the champion is still not inferior. Default 0.005. In units of the metric;
    /// a share of the champion's value for `rmse` and `mae`.
    pub margin: f64,
    /// One-sided confidence of the lower bound, between 0.5 and 1. Default 0.95. Rows count as
    /// independent: `holdout.bin` carries neither users nor times, so that a version holds nobody's
    /// history. Where a user has several rows the bound is too near, and a higher value is in place;
    /// the intervals of the report, which knows the users, are the ones to read then.
    pub confidence: f64,
    /// Resamples of the paired bootstrap. Default 500.
    pub bootstrap_samples: u32,
    /// Largest calibration error on the holdout. Default 0.05.
    pub max_calibration_error: f64,
    /// Lowest AUC of any slice. Default 0.5.
    pub slice_min_auc: f64,
    /// How far the AUC of a slice may lie below the AUC of all rows. Default 0.15.
    pub slice_max_drop: f64,
    /// Slices with fewer rows are not judged. Default 200.
    pub slice_min_rows: u64,
    /// Slices with fewer rows of either label are not judged. Default 20.
    pub slice_min_class_rows: u64,
    /// Default [`NewFeatures::Computed`].
    pub new_features: NewFeatures,
    /// Whether who promotes the version must be somebody else than who published it. Default no.
    pub distinct_approver: bool,
    /// Rows that the version must have scored as a shadow of the one it replaces. Default 0: none.
    /// Only a server counts them, so such a version is promoted through one.
    pub min_shadow_rows: u64,
    /// Share of those rows, 0 to 1, that may fall into another segment. Default none: not judged.
    pub max_shadow_flip_rate: Option<f64>,
}

impl Default for GatePolicy {
    fn default() -> Self {
        Self {
            metric: None,
            margin: 0.005,
            confidence: 0.95,
            bootstrap_samples: 500,
            max_calibration_error: 0.05,
            slice_min_auc: 0.5,
            slice_max_drop: 0.15,
            slice_min_rows: 200,
            slice_min_class_rows: 20,
            new_features: NewFeatures::default(),
            distinct_approver: false,
            min_shadow_rows: 0,
            max_shadow_flip_rate: None,
        }
    }
}

impl GatePolicy {
    /// Checks that every threshold means something.
    ///
    /// # Errors
    /// A sentence that names the first field out of range, what it is and what it may be.
    pub fn check(&self) -> Result<(), String> {
        let bounds = [
            ("margin", self.margin, 0.0, 1.0),
            ("confidence", self.confidence, 0.5, 0.9999),
            ("bootstrap_samples", f64::from(self.bootstrap_samples), 100.0, 100_000.0),
            ("max_calibration_error", self.max_calibration_error, 0.0, 1.0),
            ("slice_min_auc", self.slice_min_auc, 0.0, 1.0),
            ("slice_max_drop", self.slice_max_drop, 0.0, 1.0),
            ("max_shadow_flip_rate", self.max_shadow_flip_rate.unwrap_or(0.0), 0.0, 1.0),
        ];
        for (field, value, low, high) in bounds {
            if !(low..=high).contains(&value) {
                return Err(format!("gates.{field} is {value}, expected {low} to {high}"));
            }
        }
        Ok(())
    }
}

/// The policy in a manifest. Unlike a job it may hold fields that this build does not know.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PolicyWire {
    metric: Option<GateMetric>,
    margin: f64,
    confidence: f64,
    bootstrap_samples: u32,
    max_calibration_error: f64,
    slice_min_auc: f64,
    slice_max_drop: f64,
    slice_min_rows: u64,
    slice_min_class_rows: u64,
    new_features: NewFeatures,
    /// Left out while it is off, so that the same run has the digest it always had.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    distinct_approver: bool,
    #[serde(skip_serializing_if = "is_zero")]
    min_shadow_rows: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_shadow_flip_rate: Option<f64>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Default for PolicyWire {
    fn default() -> Self {
        Self::from(&GatePolicy::default())
    }
}

impl From<&GatePolicy> for PolicyWire {
    fn from(policy: &GatePolicy) -> Self {
        Self {
            metric: policy.metric,
            margin: policy.margin,
            confidence: policy.confidence,
            bootstrap_samples: policy.bootstrap_samples,
            max_calibration_error: policy.max_calibration_error,
            slice_min_auc: policy.slice_min_auc,
            slice_max_drop: policy.slice_max_drop,
            slice_min_rows: policy.slice_min_rows,
            slice_min_class_rows: policy.slice_min_class_rows,
            new_features: policy.new_features,
            distinct_approver: policy.distinct_approver,
            min_shadow_rows: policy.min_shadow_rows,
            max_shadow_flip_rate: policy.max_shadow_flip_rate,
        }
    }
}

impl From<PolicyWire> for GatePolicy {
    fn from(wire: PolicyWire) -> Self {
        Self {
            metric: wire.metric,
            margin: wire.margin,
            confidence: wire.confidence,
            bootstrap_samples: wire.bootstrap_samples,
            max_calibration_error: wire.max_calibration_error,
            slice_min_auc: wire.slice_min_auc,
            slice_max_drop: wire.slice_max_drop,
            slice_min_rows: wire.slice_min_rows,
            slice_min_class_rows: wire.slice_min_class_rows,
            new_features: wire.new_features,
            distinct_approver: wire.distinct_approver,
            min_shadow_rows: wire.min_shadow_rows,
            max_shadow_flip_rate: wire.max_shadow_flip_rate,
        }
    }
}
