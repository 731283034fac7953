//! Why a feature definition, a condition or a label is refused, always with the way out.

use std::fmt;

use segue_dataset::SchemaError;

/// The valid value closest to a wrong one, if any is close; reads as `, did you mean "x"?`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nearest(pub Option<String>);

impl Nearest {
    /// The candidate with the smallest edit distance to `wrong`, ties by text, if at most a third
    /// of its letters (at least two) differ.
    pub fn of<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        let folded = wrong.to_lowercase();
        let best = candidates
            .into_iter()
            .map(|text| (strsim::damerau_levenshtein(&folded, &text.to_lowercase()), text))
            .min();
        let close = |&(distance, text): &(usize, &str)| {
            distance <= (text.chars().count().max(wrong.chars().count()) / 3).max(2)
        };
        Self(best.filter(close).map(|(_, text)| text.to_owned()))
    }
}

impl fmt::Display for Nearest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(text) => write!(f, ", did you mean {text:?}?"),
            None => Ok(()),
        }
    }
}

/// Everything that can be wrong with features. `feature` is the name, or `features.grid[2]` where
/// there is none yet.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum FeatureError {
    /// A key that no operator has.
    #[error("feature {feature:?}: unknown key {key:?}{nearest}")]
    UnknownKey {
        /// The feature.
        feature: String,
        /// The key.
        key: String,
        /// A key that exists.
        nearest: Nearest,
    },
    /// A key of other operators.
    #[error("feature {feature:?}: key {key:?} has no meaning for op {op:?}, which takes {takes}")]
    KeyNotForOperator {
        /// The feature.
        feature: String,
        /// The key.
        key: String,
        /// The operator.
        op: String,
        /// Keys of the operator, separated by commas.
        takes: String,
    },
    /// A key of single features and grids, beside them.
    #[error(
        "[features] itself has no key {key:?}, only {takes}; write it under [[features.feature]] or [[features.grid]]"
    )]
    KeyOfFeature {
        /// The key.
        key: String,
        /// Keys of the section, separated by commas.
        takes: String,
    },
    /// A key that the operator needs is not there.
    #[error("feature {feature:?}: key {key:?} is missing, expected {expected}")]
    MissingKey {
        /// The feature.
        feature: String,
        /// The key.
        key: String,
        /// What it should hold.
        expected: String,
    },
    /// A value of the wrong type or out of range.
    #[error("feature {feature:?}: key {key:?} is {found}, expected {expected}")]
    BadValue {
        /// The feature.
        feature: String,
        /// The key.
        key: String,
        /// What it holds.
        found: String,
        /// What it should hold, with the nearest valid value where there is one.
        expected: String,
    },
    /// A text that is none of the known ones.
    #[error("feature {feature:?}: key {key:?} names {found:?}, which does not exist{nearest}")]
    UnknownName {
        /// The feature.
        feature: String,
        /// The key.
        key: String,
        /// The text.
        found: String,
        /// One that exists.
        nearest: Nearest,
    },
    /// Two features share a name.
    #[error("feature {name:?} is defined twice, give one of them another name")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// The definition yields nothing.
    #[error(
        "no feature is defined, write auto = true, a [[features.grid]] or a [[features.feature]]"
    )]
    NoFeature,
    /// The text is not TOML of the expected shape.
    #[error("features are not readable: {reason}")]
    Toml {
        /// What the reader says.
        reason: String,
    },
    /// Written by another format version.
    #[error("feature set has format version {found}, this program reads version {supported}")]
    FormatVersion {
        /// The file's.
        found: i64,
        /// Ours.
        supported: i64,
    },
    /// The file was edited after it was written.
    #[error("feature set has hash {found}, its head says {expected}; the file was changed")]
    Hash {
        /// What the content hashes to.
        found: String,
        /// What the file says.
        expected: String,
    },
    /// A vocabulary is not there or not a vocabulary.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A condition or label does not read.
    #[error("condition {text:?}: at character {position}: found {found}, expected {expected}")]
    Condition {
        /// The whole text.
        text: String,
        /// Character offset, from 1.
        position: usize,
        /// What stands there.
        found: String,
        /// What should.
        expected: String,
    },
    /// A label window that cannot be.
    #[error("label: {key} is {found}, expected {expected}")]
    Label {
        /// The setting.
        key: &'static str,
        /// Its value.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A request lacks a required field or has one of the wrong type.
    #[error("request field {field:?}: found {found}, expected {expected}")]
    RequestField {
        /// The field.
        field: String,
        /// What the request holds.
        found: String,
        /// What it should hold.
        expected: String,
    },
    /// A row of the spine points nowhere.
    #[error("row {row} names history {history}, but there are {n_histories}")]
    NoSuchHistory {
        /// The row.
        row: usize,
        /// Its history index.
        history: usize,
        /// How many histories there are.
        n_histories: usize,
    },
}
