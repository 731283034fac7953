//! The job: one TOML file that says where the events are, what is predicted, from what, and how the
//! result is judged.
//!
//! A [`Job`] is what the file says with every default filled in; `segue train --explain` prints it and
//! a published version carries it. Unknown keys, impossible windows and contradictions are
//! [`JobError`]s that name the key and the nearest valid one.

mod check;
mod duration;
mod error;
mod explain;
mod label;
mod learner;
mod objective;
mod options;
mod resolve;
mod source;
mod spine;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use segue_events::RoleMap;
use segue_features::FeatureDefinition;
use segue_registry::{GateMetric, GatePolicy, NewFeatures};
use serde::{Deserialize, Serialize};

pub use duration::Span;
pub use error::JobError;
pub(crate) use error::nearest;
pub use label::{Label, LabelKind, LabelSection};
pub use learner::{LearnerKind, LearnerSection, OrAuto};
pub use objective::ObjectiveKind;
pub use options::{ClassWeightSection, DartSection, GossSection, Slope, StartFrom};
pub use source::{EventsSection, TableSection};
pub use spine::{Spine, SpineSection};

/// What a job predicts. Each task is a label definition and defaults, not a code path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// No activity in the label window.
    Churn,
    /// A request for support in the label window.
    SupportNeed,
    /// A conversion in the label window, by users who have not converted before.
    Conversion,
    /// First use of a feature in the label window.
    Adoption,
    /// Sum of a value over the label window.
    LifetimeValue,
    /// The onboarding step at which help is asked for first in the label window.
    NeedsHelpAt,
}

impl Task {
    /// The name in job files and artefacts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Churn => "churn",
            Self::SupportNeed => "support_need",
            Self::Conversion => "conversion",
            Self::Adoption => "adoption",
            Self::LifetimeValue => "lifetime_value",
            Self::NeedsHelpAt => "needs_help_at",
        }
    }

    /// What it asks for.
    #[must_use]
    pub fn answer(self) -> Answer {
        match self {
            Self::Churn | Self::SupportNeed | Self::Conversion | Self::Adoption => Answer::YesNo,
            Self::NeedsHelpAt => Answer::Class,
            Self::LifetimeValue => Answer::Number,
        }
    }
}

/// What the answer to a job's question is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Yes or no: a probability is predicted.
    YesNo,
    /// One of several classes.
    Class,
    /// A number.
    Number,
}

impl Answer {
    /// In words, for messages.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::YesNo => "a yes or no",
            Self::Class => "one of several classes",
            Self::Number => "a number",
        }
    }
}

/// How rows divide into train, calibrate and test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SplitSection {
    /// `time` (later rows test earlier ones) or `user` (a hash of the user id).
    pub by: SplitBy,
    /// Share of rows for early stopping and calibration.
    pub calibrate: f64,
    /// Share of rows for every reported figure.
    pub test: f64,
    /// With `by = "time"`: whether the latest of the earlier rows calibrate (`time`), or users drawn
    /// from all of them (`user`), for data whose latest stretch is like no other.
    pub calibrate_by: SplitBy,
    /// Least distance between a row and the next part; default: label gap + window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embargo: Option<Span>,
}

/// What divides rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SplitBy {
    /// Time of the row.
    Time,
    /// Hash of the user.
    User,
}

impl Default for SplitSection {
    fn default() -> Self {
        let calibrate_by = SplitBy::Time;
        Self { by: SplitBy::Time, calibrate: 0.2, test: 0.25, calibrate_by, embargo: None }
    }
}

/// Other learners to fit beside the chosen one, as honest comparisons in the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompareSection {
    /// Learner kinds.
    pub learners: Vec<LearnerKind>,
    /// Rows that the linfa and smartcore learners see at most, evenly spaced; they are far slower than
    /// ours.
    pub sample_rows: usize,
}

impl Default for CompareSection {
    fn default() -> Self {
        let learners =
            vec![LearnerKind::Forest, LearnerKind::LinfaTree, LearnerKind::SmartcoreForest];
        Self { learners, sample_rows: 1_000 }
    }
}

/// Named conditions over scores, features and traits; the first that matches names the segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentEntry {
    /// Name of the segment.
    pub name: String,
    /// CEL condition.
    pub when: String,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// What a version must hold to be promoted; stored with the version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatesSection {
    /// Largest calibration error on the test rows.
    pub max_calibration_error: f64,
    /// The metric on which it must not be inferior to the champion; by default the task's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<GateMetric>,
    /// How much worse than the champion that metric may be, at the lower end of its interval.
    pub non_inferiority_margin: f64,
    /// One-sided confidence of that interval, 0.5 to 0.9999.
    pub confidence: f64,
    /// Lowest AUC of any slice of enough rows (binary tasks).
    pub min_slice_auc: f64,
    /// How far the AUC of a slice may lie below that of all rows.
    pub max_slice_drop: f64,
    /// Slices with fewer rows are not judged.
    pub min_slice_rows: u64,
    /// Whether it may ask for features that the champion does not know.
    pub new_features: NewFeatures,
    /// Whether who promotes it must be somebody else than who published it.
    pub distinct_approver: bool,
    /// Rows that it must have scored as a shadow of the champion.
    pub min_shadow_rows: u64,
    /// Share of those rows that may fall into another segment; by default not judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_shadow_flip_rate: Option<f64>,
}

impl Default for GatesSection {
    fn default() -> Self {
        let policy = GatePolicy::default();
        Self {
            max_calibration_error: policy.max_calibration_error,
            metric: policy.metric,
            non_inferiority_margin: 0.01,
            confidence: policy.confidence,
            min_slice_auc: policy.slice_min_auc,
            max_slice_drop: policy.slice_max_drop,
            min_slice_rows: policy.slice_min_rows,
            new_features: policy.new_features,
            distinct_approver: policy.distinct_approver,
            min_shadow_rows: policy.min_shadow_rows,
            max_shadow_flip_rate: policy.max_shadow_flip_rate,
        }
    }
}

impl GatesSection {
    /// As the registry keeps them.
    pub(crate) fn policy(&self) -> GatePolicy {
        GatePolicy {
            metric: self.metric,
            margin: self.non_inferiority_margin,
            confidence: self.confidence,
            max_calibration_error: self.max_calibration_error,
            slice_min_auc: self.min_slice_auc,
            slice_max_drop: self.max_slice_drop,
            slice_min_rows: self.min_slice_rows,
            new_features: self.new_features,
            distinct_approver: self.distinct_approver,
            min_shadow_rows: self.min_shadow_rows,
            max_shadow_flip_rate: self.max_shadow_flip_rate,
            ..GatePolicy::default()
        }
    }
}

/// Least data that a fit makes sense on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PreflightSection {
    /// Least rows of each class in the training part (binary and multiclass).
    pub min_rows_per_class: usize,
    /// Least rows in all (regression).
    pub min_rows: usize,
}

impl Default for PreflightSection {
    fn default() -> Self {
        Self { min_rows_per_class: 50, min_rows: 200 }
    }
}

/// The file as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobFile {
    model: String,
    task: Task,
    #[serde(default = "default_seed")]
    seed: u64,
    events: Option<EventsSection>,
    table: Option<TableSection>,
    #[serde(default)]
    roles: BTreeMap<String, Vec<String>>,
    features: Option<FeatureDefinition>,
    #[serde(default)]
    label: LabelSection,
    #[serde(default)]
    eligibility: EligibilitySection,
    #[serde(default)]
    spine: SpineSection,
    #[serde(default)]
    split: SplitSection,
    #[serde(default)]
    preflight: PreflightSection,
    #[serde(default)]
    learner: LearnerSection,
    #[serde(default)]
    compare: CompareSection,
    #[serde(default)]
    slices: SlicesSection,
    #[serde(default)]
    segments: Option<Vec<SegmentEntry>>,
    #[serde(default)]
    gates: GatesSection,
}

fn default_seed() -> u64 {
    42
}

/// Who is asked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EligibilitySection {
    /// A condition over the history at `t`; unset takes the task's default, "" asks everyone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
}

/// Columns whose values cut the test rows into slices for the report and the gates.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlicesSection {
    /// Names of categorical features; unset takes the first three with 2 to 12 categories.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Vec<String>>,
}

/// Where rows come from.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "there is one to a job")]
pub enum Origin {
    /// Raw events, made into rows by the evaluator.
    Events(EventsJob),
    /// A ready-made feature table.
    Table(TableSection),
}

/// Everything that turns events into rows.
#[derive(Debug, Clone)]
pub struct EventsJob {
    /// Files and mapping.
    pub source: EventsSection,
    /// Event names to roles.
    pub roles: RoleMap,
    /// Which features.
    pub features: FeatureDefinition,
    /// What is predicted.
    pub label: Label,
    /// Who is asked: a condition, or everyone.
    pub eligibility: Option<String>,
    /// When they are asked.
    pub spine: Spine,
}

/// A checked job with every default in place.
#[derive(Debug, Clone)]
pub struct Job {
    /// Name under which versions are published.
    pub model: String,
    /// What is predicted.
    pub task: Task,
    /// Seeds everything that draws.
    pub seed: u64,
    /// Where rows come from.
    pub origin: Origin,
    /// How rows divide.
    pub split: SplitSection,
    /// Least data.
    pub preflight: PreflightSection,
    /// The learner and its parameters.
    pub learner: LearnerSection,
    /// Comparisons.
    pub compare: CompareSection,
    /// Slices.
    pub slices: SlicesSection,
    /// Segments, first match wins.
    pub segments: Vec<SegmentEntry>,
    /// Promotion thresholds.
    pub gates: GatesSection,
    /// Folder that relative paths start from: that of the job file.
    pub folder: PathBuf,
}

impl Job {
    /// Seed of the users that calibrate, if they are drawn from all earlier rows.
    pub(crate) fn calibrate_seed(&self) -> Option<u64> {
        (self.split.calibrate_by == SplitBy::User).then_some(self.seed)
    }

    /// Reads and checks a job file.
    ///
    /// # Errors
    /// [`JobError`] names file, line, key, and the nearest valid key or value.
    pub fn read(path: &Path) -> Result<Self, JobError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| JobError::Unreadable { path: path.to_owned(), source })?;
        let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
        Self::parse(&text, path, folder)
    }

    /// Checks the text of a job file; `path` only names it in errors.
    ///
    /// # Errors
    /// As [`Job::read`].
    pub fn parse(text: &str, path: &Path, folder: PathBuf) -> Result<Self, JobError> {
        let file: JobFile =
            toml::from_str(text).map_err(|error| JobError::from_toml(path, text, &error))?;
        file.resolve(path, folder)
    }
}

#[cfg(test)]
mod tests;
