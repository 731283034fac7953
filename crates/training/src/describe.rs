//! Segments in words: a shallow tree for each segment, read out as rules.
//!
//! The rows that a version keeps for its gates are scored and assigned to segments. For every segment
//! linfa-trees grows a tree of at most three questions that tells its rows from the rest, twice: over
//! scores and features, which says what the segment *is*, and over features alone, which says who the
//! people in it *are*. A rule is a leaf of mostly segment rows; how often the tree agrees with the real
//! segment is said beside it.

mod condition;
mod grow;
mod show;
#[cfg(test)]
mod tests;
mod words;

use segue_dataset::DatasetError;
use segue_features::{FeatureError, FeatureSet};
use segue_learners::{LearnError, ParamError};
use segue_model::{DecodeError, Holdout, Model, Segment, SegmentSet};
use segue_registry::{HOLDOUT_FILE, Registry, RegistryError};
use serde::Serialize;

use crate::train::assign;

use grow::Table;
use words::Words;

/// Why a version's segments cannot be described.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DescribeError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The version has no segments.
    #[error("{model}/{version} has no segments; name some under [[segments]] in its job")]
    NoSegments {
        /// The model.
        model: String,
        /// The version.
        version: u64,
    },
    /// The version keeps no rows.
    #[error(
        "{model}/{version} keeps no rows to describe its segments on ({HOLDOUT_FILE} is missing or empty); train it again"
    )]
    NoRows {
        /// The model.
        model: String,
        /// The version.
        version: u64,
    },
    /// The rows that it keeps cannot be read.
    #[error("{model}/{version}: {HOLDOUT_FILE}: {source}")]
    Holdout {
        /// The model.
        model: String,
        /// The version.
        version: u64,
        /// Why.
        source: DecodeError,
    },
    /// The rows are those of another model.
    #[error("{model}/{version}: {HOLDOUT_FILE} has another schema or target than model.bin")]
    OtherRows {
        /// The model.
        model: String,
        /// The version.
        version: u64,
    },
    /// The feature set does not read.
    #[error("{model}/{version}: features.toml: {source}")]
    Features {
        /// The model.
        model: String,
        /// The version.
        version: u64,
        /// Why.
        source: FeatureError,
    },
    /// linfa-trees.
    #[error("cannot grow a tree for segment {segment:?}: {source}")]
    Learn {
        /// The segment.
        segment: String,
        /// Why.
        source: LearnError,
    },
    /// The rows do not make a table.
    #[error(transparent)]
    Rows(#[from] DatasetError),
    /// Parameters of the tree out of range.
    #[error(transparent)]
    Params(#[from] ParamError),
}

/// Every segment of a version in words.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SegmentsDescribed {
    /// The model.
    pub model: String,
    /// Its version.
    pub version: u64,
    /// Rows that were looked at: held out, so that the model was not fitted on them.
    pub n_rows: usize,
    /// Rows in no segment.
    pub n_unassigned: usize,
    /// The segments in their order; the first that matches wins.
    pub segments: Vec<SegmentDescribed>,
    /// What to know before reading them.
    pub notes: Vec<String>,
}

/// One segment in words.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SegmentDescribed {
    /// Its name.
    pub name: String,
    /// Its condition.
    pub when: String,
    /// Its description.
    pub description: String,
    /// Rows in it.
    pub n_rows: usize,
    /// Share of all rows, 0 to 1.
    pub share: f64,
    /// What it is: over scores and features. `None` if no row or every row is in it.
    pub by_score: Option<TreeDescribed>,
    /// Who is in it: over features alone. `None` as above.
    pub by_behaviour: Option<TreeDescribed>,
}

/// A shallow tree as rules.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TreeDescribed {
    /// Leaves of mostly segment rows, the largest coverage first. If there is none, the leaf with the
    /// largest share of segment rows.
    pub rules: Vec<Rule>,
    /// Whether the rules decide; false if the one rule is only the nearest.
    pub decides: bool,
    /// Share of rows on which the tree agrees with the real segment, 0 to 1.
    pub fidelity: f64,
    /// The mean of that share among rows in the segment and among rows outside it; 0.5 is no better
    /// than a guess.
    pub balanced_fidelity: f64,
}

/// Conditions that hold together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rule {
    /// The conditions joined by "and".
    pub text: String,
    /// One condition a column, in the order in which the tree asks.
    pub conditions: Vec<String>,
    /// Rows on which it holds.
    pub n_rows: usize,
    /// Share of the segment's rows on which it holds, 0 to 1.
    pub coverage: f64,
    /// Share of its rows that are in the segment, 0 to 1.
    pub precision: f64,
}

/// Describes the segments of a published version on the rows that it keeps.
///
/// # Errors
/// [`DescribeError`] names the version and the file.
pub fn describe(
    registry: &Registry,
    model: &str,
    version: u64,
) -> Result<SegmentsDescribed, DescribeError> {
    let loaded = registry.load(model, version)?;
    let name = || model.to_owned();
    let segments = loaded.segments.filter(|segments| !segments.is_empty());
    let segments = segments.ok_or_else(|| DescribeError::NoSegments { model: name(), version })?;
    if !loaded.manifest.files.contains_key(HOLDOUT_FILE) {
        return Err(DescribeError::NoRows { model: name(), version });
    }
    let holdout = Holdout::decode(&registry.read(model, version, HOLDOUT_FILE)?)
        .map_err(|source| DescribeError::Holdout { model: name(), version, source })?;
    let features = loaded
        .features_toml
        .as_deref()
        .map(FeatureSet::from_toml)
        .transpose()
        .map_err(|source| DescribeError::Features { model: name(), version, source })?;
    let described = Version {
        name: model,
        version,
        model: &loaded.model,
        segments: &segments,
        features: features.as_ref(),
    };
    described.on(&holdout)
}

/// The parts of a version that a description needs.
struct Version<'a> {
    name: &'a str,
    version: u64,
    model: &'a Model,
    segments: &'a SegmentSet,
    features: Option<&'a FeatureSet>,
}

impl Version<'_> {
    fn on(&self, holdout: &Holdout) -> Result<SegmentsDescribed, DescribeError> {
        let (model, version) = (self.name.to_owned(), self.version);
        if holdout.n_rows() == 0 {
            return Err(DescribeError::NoRows { model, version });
        }
        let Some(outputs) = holdout.score(self.model) else {
            return Err(DescribeError::OtherRows { model, version });
        };
        let rows = holdout.dataset();
        let (assigned, errors) = assign(self.model, self.segments, rows, &outputs, self.name);
        let by_score = Table::with_scores(rows, self.model, &outputs);
        let by_behaviour = Table::of_features(rows);
        let words = Words::new(rows, self.model, self.features);
        let mut segments = Vec::new();
        for (at, segment) in (0u32..).zip(self.segments.segments()) {
            let is_in: Vec<bool> = assigned.of_row.iter().map(|of| *of == Some(at)).collect();
            segments.push(described(segment, &is_in, &by_score, &by_behaviour, &words)?);
        }
        let mut notes: Vec<String> = errors
            .into_iter()
            .map(|(segment, n)| format!("the condition of {segment} failed on {n} rows"))
            .collect();
        let others: Vec<&str> =
            self.segments.models().filter(|other| *other != self.name).collect();
        if !others.is_empty() {
            notes.push(format!(
                "conditions ask for scores of {}, which are not known here: they do not hold",
                others.join(", ")
            ));
        }
        let n_unassigned = assigned.of_row.iter().filter(|of| of.is_none()).count();
        Ok(SegmentsDescribed {
            model,
            version,
            n_rows: rows.n_rows(),
            n_unassigned,
            segments,
            notes,
        })
    }
}

fn described(
    segment: &Segment,
    is_in: &[bool],
    by_score: &Table,
    by_behaviour: &Table,
    words: &Words<'_>,
) -> Result<SegmentDescribed, DescribeError> {
    let n_rows = is_in.iter().filter(|is_in| **is_in).count();
    let tree = |table: &Table| {
        if n_rows == 0 || n_rows == is_in.len() || table.n_columns() == 0 {
            return Ok(None);
        }
        table.describe(&segment.name, is_in, words).map(Some)
    };
    Ok(SegmentDescribed {
        name: segment.name.clone(),
        when: segment.when.clone(),
        description: segment.description.clone(),
        n_rows,
        share: n_rows as f64 / is_in.len() as f64,
        by_score: tree(by_score)?,
        by_behaviour: tree(by_behaviour)?,
    })
}
