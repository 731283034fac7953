//! How good a model is on held-out rows: every figure a person needs to decide whether to promote.
//!
//! [`Evaluation::of`] is a pure function of predictions and labels. It reads no clock and no file,
//! draws its resamples from a seed, and gives the same bits for any number of threads. The result
//! serialises to `evaluation.json`; `report` draws it. A metric that has no meaning on the rows at
//! hand (one class only, no weight) is `None` and is shown as "not defined", never as a number.

mod attribution;
mod baseline;
mod bootstrap;
mod compare;
mod curves;
mod detail;
mod drift;
mod metric;
mod out_of_bag;
mod segments;
mod slices;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};

use segue_dataset::{Dataset, Matrix, TargetKind};
use serde::{Deserialize, Serialize};

pub use attribution::{AttributionPoint, FeatureAttribution, FeatureShare};
pub use baseline::{SingleFeature, best_single_feature};
pub use bootstrap::{BootstrapPlan, Estimate};
pub use compare::{Comparison, Contender};
pub use curves::{
    AudienceRow, CalibrationLine, Curve, GainPoint, HistogramBin, ReliabilityBin, wilson_interval,
};
pub use detail::{ClassDetail, Detail};
pub use drift::{FeatureDrift, FeatureQuality};
pub use metric::{DEPTHS, Metric, Scorecard};
pub use out_of_bag::OutOfBagFigures;
pub use segments::SegmentRow;
pub use slices::{SliceColumn, SliceRow, SliceTable};
pub use verdict::{Level, Recommendation, Verdict};

/// A model's outputs and what they are to be judged against. All row-wise parts are in test order.
#[derive(Debug, Clone)]
pub struct EvaluationInputs<'a> {
    /// Rows the trees were fitted on: base rate, best single feature and drift start from them.
    pub train: &'a Dataset,
    /// Rows that neither fitting nor calibration has seen.
    pub test: &'a Dataset,
    /// Calibrated outputs, shape `(n_test_rows, n_outputs)`.
    pub predictions: &'a Matrix,
    /// Outputs before calibration, same shape, when there was a calibration.
    pub uncalibrated: Option<&'a Matrix>,
    /// Columns to slice by.
    pub slices: Vec<SliceColumn>,
    /// Other learners on the same rows.
    pub others: Vec<OtherLearner>,
    /// Which segment each row falls in, when the model has segments.
    pub segments: Option<SegmentAssignment>,
    /// Share of the split gain per feature name, any order.
    pub importance: Vec<(String, f64)>,
    /// Contributions of a bounded sample of test rows.
    pub contributions: Option<ContributionSample>,
    /// Source rows that did not become events or table rows, by reason.
    pub rejects: Vec<(String, u64)>,
    /// Seed and bounds.
    pub options: EvaluationOptions,
}

/// Another learner's outputs on the same test rows.
#[derive(Debug, Clone)]
pub struct OtherLearner {
    /// Shown name, for example `forest`.
    pub name: String,
    /// Outputs, shape `(n_test_rows, n_outputs)`.
    pub predictions: Matrix,
    /// What a reader must know, for example `fitted on a sample of 20000 rows`; may be empty.
    pub note: String,
}

/// The segment of each test row.
#[derive(Debug, Clone)]
pub struct SegmentAssignment {
    /// Segment names in the order in which they are tried.
    pub names: Vec<String>,
    /// Index into `names`, `None` where no condition matched, shape `(n_test_rows,)`.
    pub of_row: Vec<Option<u32>>,
}

/// Per-feature contributions of some test rows, in margin space.
#[derive(Debug, Clone)]
pub struct ContributionSample {
    /// Test rows explained.
    pub rows: Vec<u32>,
    /// Shape `(rows.len(), n_features)`. For several outputs: the contributions to the row's
    /// most probable class.
    pub values: Matrix,
}

/// Seed and bounds of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluationOptions {
    /// Seed of the bootstrap.
    pub seed: u64,
    /// Resamples at most; few rows get all of them, many rows get fewer (never under 200, or this).
    pub max_resamples: usize,
    /// Largest calibration error that needs no warning, 0 to 1.
    pub calibration_bound: f64,
}

impl Default for EvaluationOptions {
    fn default() -> Self {
        Self { seed: 0, max_resamples: 400, calibration_bound: 0.02 }
    }
}

/// What a model predicts, in a form that serialises.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TargetSummary {
    /// Yes or no.
    Binary,
    /// One of several classes.
    Multiclass {
        /// Class names in index order.
        classes: Vec<String>,
    },
    /// A number.
    Regression,
}

impl From<&TargetKind> for TargetSummary {
    fn from(kind: &TargetKind) -> Self {
        match kind {
            TargetKind::Binary => Self::Binary,
            TargetKind::Multiclass { classes } => Self::Multiclass { classes: classes.clone() },
            TargetKind::Regression => Self::Regression,
        }
    }
}

/// How much data the figures rest on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartSize {
    /// Rows.
    pub n_rows: usize,
    /// Distinct users; equals `n_rows` where users are not known.
    pub n_users: usize,
    /// Binary: rows with label 1. Multiclass: rows of the rarest class. Regression: rows above 0.
    pub n_positives: usize,
    /// Weighted mean label; for several classes the share of the most common one. `None` without
    /// rows or weight.
    pub mean_label: Option<f64>,
}

/// Everything measured. Serialises to `evaluation.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// What is predicted.
    pub target: TargetSummary,
    /// Size of the training part.
    pub train: PartSize,
    /// Size of the test part; every figure below is measured on it.
    pub test: PartSize,
    /// How intervals were drawn.
    pub bootstrap: BootstrapPlan,
    /// The model's metrics.
    pub scorecard: Scorecard,
    /// Point values before calibration; empty without calibration.
    pub uncalibrated: BTreeMap<Metric, f64>,
    /// A forest's estimate from its own training rows; other learners, and versions that are measured again,
    /// have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_bag: Option<OutOfBagFigures>,
    /// Base rate, best single feature, other learners: in this order.
    pub comparisons: Vec<Comparison>,
    /// Curves and tables that depend on the kind of target.
    pub detail: Detail,
    /// Metrics per slice.
    pub slices: Vec<SliceTable>,
    /// Gain shares, largest first.
    pub importance: Vec<FeatureShare>,
    /// Contribution summary, largest mean absolute contribution first.
    pub attributions: Vec<FeatureAttribution>,
    /// Rows behind `attributions`.
    pub n_explained: usize,
    /// Population stability per feature from train to test, largest first.
    pub drift: Vec<FeatureDrift>,
    /// Missing shares, constants and unseen categories, in column order.
    pub quality: Vec<FeatureQuality>,
    /// Source rows left out, by reason.
    pub rejects: Vec<(String, u64)>,
    /// Segments in the order in which they are tried, then the rows in none; empty without segments.
    pub segments: Vec<SegmentRow>,
    /// Plain sentences for the person who decides.
    pub verdicts: Vec<Verdict>,
    /// What the sentences add up to.
    pub recommendation: Recommendation,
}

/// Why inputs cannot be evaluated.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum EvaluationError {
    /// A part has another shape than the test rows ask for.
    #[error("{part} is {got_rows} x {got_columns}, the test part needs {rows} x {columns}")]
    Shape {
        /// Which part.
        part: String,
        /// Rows needed.
        rows: usize,
        /// Columns needed.
        columns: usize,
        /// Rows given.
        got_rows: usize,
        /// Columns given.
        got_columns: usize,
    },
    /// An output is not a number.
    #[error("{part} of row {row} is {value}, expected a finite number")]
    NotFinite {
        /// Which part.
        part: String,
        /// Row index.
        row: usize,
        /// What it is.
        value: f64,
    },
    /// Train and test do not share a schema.
    #[error("train has {train} columns and test {test}, both must follow one schema")]
    Schema {
        /// Columns of train.
        train: usize,
        /// Columns of test.
        test: usize,
    },
    /// A row of an assignment or a sample points outside its table.
    #[error("{part} refers to {got}, there are only {limit}")]
    OutOfRange {
        /// Which part.
        part: &'static str,
        /// The index.
        got: usize,
        /// Number of entries.
        limit: usize,
    },
}

impl Evaluation {
    /// Measures everything. Cost is bounded: see [`BootstrapPlan`].
    ///
    /// # Errors
    /// [`EvaluationError`] when a part does not fit the test rows.
    pub fn of(inputs: &EvaluationInputs<'_>) -> Result<Self, EvaluationError> {
        check(inputs)?;
        let (train, test) = (inputs.train, inputs.test);
        let kind = &test.target().kind;
        let (n_rows, n_outputs) = (test.n_rows(), kind.n_outputs());
        let resampler = bootstrap::Resampler::new(test.keys(), n_rows, n_outputs, &inputs.options);
        let ours = metric::Predicted::new(test, inputs.predictions);
        let wanted = Metric::of_target(kind);
        let uncalibrated = inputs.uncalibrated.map_or_else(BTreeMap::new, |outputs| {
            let raw = metric::Predicted::new(test, outputs);
            raw.values(&wanted).into_iter().filter_map(|(m, v)| v.map(|v| (m, v))).collect()
        });
        let mut evaluation = Self {
            target: kind.into(),
            train: part_size(train),
            test: part_size(test),
            bootstrap: resampler.plan().clone(),
            scorecard: ours.scorecard(&wanted, &resampler),
            uncalibrated,
            out_of_bag: None,
            comparisons: compare::compare(inputs, &ours, &resampler),
            detail: detail::detail(inputs, &ours, &resampler),
            slices: slices::slices(inputs, &ours, &resampler),
            importance: attribution::shares(&inputs.importance),
            attributions: attribution::attributions(inputs),
            n_explained: inputs.contributions.as_ref().map_or(0, |sample| sample.rows.len()),
            drift: drift::drift(train, test),
            quality: drift::quality(train, test),
            rejects: inputs.rejects.clone(),
            segments: segments::segments(inputs),
            verdicts: Vec::new(),
            recommendation: Recommendation::Promote,
        };
        evaluation.verdicts = verdict::verdicts(&evaluation, &inputs.options);
        evaluation.recommendation = Recommendation::of(&evaluation.verdicts);
        Ok(evaluation)
    }

    /// Point values by metric name, for a registry's manifest, and those out of bag as `out_of_bag_…`. Undefined
    /// metrics are left out.
    #[must_use]
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let mut values = point_values(&self.scorecard);
        values.extend(self.out_of_bag.iter().flat_map(OutOfBagFigures::named));
        values
    }

    /// Point values per slice, keyed `column=label`, then by metric name; `n_rows` beside them.
    #[must_use]
    pub fn slice_metrics(&self) -> BTreeMap<String, BTreeMap<String, f64>> {
        let keyed = self.slices.iter().flat_map(|table| {
            table.rows.iter().map(move |row| {
                let mut values = point_values(&row.scorecard);
                values.insert("n_rows".to_owned(), row.n_rows as f64);
                (format!("{}={}", table.column, row.label), values)
            })
        });
        keyed.collect()
    }
}

fn point_values(scorecard: &Scorecard) -> BTreeMap<String, f64> {
    let defined = scorecard.iter().filter_map(|(metric, estimate)| Some((metric, estimate.value?)));
    defined.map(|(metric, value)| (metric.key().to_owned(), value)).collect()
}

fn part_size(dataset: &Dataset) -> PartSize {
    let target = dataset.target();
    let labels = &target.values;
    let n_users = if dataset.keys().user.is_empty() {
        labels.len()
    } else {
        dataset.keys().user.iter().collect::<BTreeSet<_>>().len()
    };
    let weight = |row: usize| dataset.weight().map_or(1.0, |weight| weight[row]);
    let total: f64 = (0..labels.len()).map(weight).sum();
    let share = |amount: f64| (total > 0.0).then(|| amount / total);
    let mean_of = |value: &dyn Fn(f64) -> f64| {
        share(labels.iter().enumerate().map(|(row, &label)| weight(row) * value(label)).sum())
    };
    let (n_positives, mean_label) = match &target.kind {
        TargetKind::Multiclass { classes } => {
            let count = |class: usize| labels.iter().filter(|&&l| l == class as f64).count();
            let shares = (0..classes.len())
                .filter_map(|class| mean_of(&|label| f64::from(u8::from(label == class as f64))));
            ((0..classes.len()).map(count).min().unwrap_or(0), shares.reduce(f64::max))
        }
        _ => (labels.iter().filter(|&&label| label > 0.0).count(), mean_of(&|label| label)),
    };
    PartSize { n_rows: labels.len(), n_users, n_positives, mean_label }
}

fn check(inputs: &EvaluationInputs<'_>) -> Result<(), EvaluationError> {
    let (n_rows, n_features) = (inputs.test.n_rows(), inputs.test.schema().len());
    let n_outputs = inputs.test.target().kind.n_outputs();
    let train = inputs.train.schema().len();
    if train != n_features {
        return Err(EvaluationError::Schema { train, test: n_features });
    }
    check_outputs("the predictions", inputs.predictions, n_rows, n_outputs)?;
    if let Some(outputs) = inputs.uncalibrated {
        check_outputs("the uncalibrated predictions", outputs, n_rows, n_outputs)?;
    }
    for other in &inputs.others {
        let part = format!("the predictions of {}", other.name);
        check_outputs(&part, &other.predictions, n_rows, n_outputs)?;
    }
    for slice in &inputs.slices {
        check_shape(&format!("slice {:?}", slice.name), (slice.labels.len(), 1), (n_rows, 1))?;
    }
    if let Some(segments) = &inputs.segments {
        check_shape("the segment assignment", (segments.of_row.len(), 1), (n_rows, 1))?;
        let limit = segments.names.len();
        let outside = segments.of_row.iter().flatten().find(|&&index| index as usize >= limit);
        if let Some(&got) = outside {
            let (part, got) = ("the segment assignment", got as usize);
            return Err(EvaluationError::OutOfRange { part, got, limit });
        }
    }
    if let Some(sample) = &inputs.contributions {
        let got = (sample.values.n_rows(), sample.values.n_columns());
        check_shape("the contribution sample", got, (sample.rows.len(), n_features))?;
        if let Some(&row) = sample.rows.iter().find(|&&row| row as usize >= n_rows) {
            let (part, got) = ("the contribution sample", row as usize);
            return Err(EvaluationError::OutOfRange { part, got, limit: n_rows });
        }
    }
    Ok(())
}

fn check_shape(
    part: &str,
    got: (usize, usize),
    needed: (usize, usize),
) -> Result<(), EvaluationError> {
    if got == needed {
        return Ok(());
    }
    let ((got_rows, got_columns), (rows, columns)) = (got, needed);
    Err(EvaluationError::Shape { part: part.to_owned(), rows, columns, got_rows, got_columns })
}

fn check_outputs(
    part: &str,
    outputs: &Matrix,
    n_rows: usize,
    n_outputs: usize,
) -> Result<(), EvaluationError> {
    check_shape(part, (outputs.n_rows(), outputs.n_columns()), (n_rows, n_outputs))?;
    for column in outputs.columns() {
        if let Some(row) = column.iter().position(|value| !value.is_finite()) {
            let part = part.to_owned();
            return Err(EvaluationError::NotFinite { part, row, value: column[row] });
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
