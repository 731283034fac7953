//! Scoring files: feature tables or raw events in, one row of scores a case out, in bounded memory.

mod answers;
mod csv_rows;
mod events;
mod features;
mod output;

use std::path::Path;

use segue_features::{FeatureError, FeatureSet};
use segue_model::{Model, SegmentSet};
use segue_registry::LoadedVersion;

use crate::read::ReadError;
use crate::write::WriteError;

pub use events::{EventScoring, score_events};
pub(crate) use features::matrix_of;
pub use features::score_features;

/// Why a file cannot be scored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// The input.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The output.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A feature set that does not read.
    #[error(transparent)]
    Features(#[from] FeatureError),
    /// A feature set that is not the one that the model was trained on: its rows would be scored as if
    /// they were.
    #[error(
        "the features.toml of model {model:?} version {version} has {what} {found}, but its model was \
         trained on {expected}; publish the version again with the feature set it was trained on"
    )]
    OtherFeatureSet {
        /// The model.
        model: String,
        /// Its version.
        version: u64,
        /// Hash or schema.
        what: &'static str,
        /// What the model says.
        expected: String,
        /// What the feature set has.
        found: String,
    },
    /// A model of a plain table cannot be fed events.
    #[error(
        "model {model:?} was trained on a ready-made table and knows no events; give it --features"
    )]
    NoFeatureSet {
        /// The model.
        model: String,
    },
}

/// A version ready to score files.
#[derive(Debug)]
pub struct FileScorer {
    /// Name under which its columns appear.
    pub name: String,
    /// Its number.
    pub version: u64,
    /// The model.
    pub model: Model,
    /// Its segments, if any.
    pub segments: Option<SegmentSet>,
    /// How its rows are computed from events, if they are.
    pub feature_set: Option<FeatureSet>,
}

impl FileScorer {
    /// Takes a loaded version.
    ///
    /// # Errors
    /// If its feature set does not read, or is not the model's.
    pub fn new(loaded: LoadedVersion) -> Result<Self, ScoreError> {
        let feature_set = loaded.features_toml.as_deref().map(FeatureSet::from_toml).transpose()?;
        if let Some(set) = &feature_set {
            let hashes = (loaded.model.feature_set_hash().unwrap_or("none"), set.hash());
            let digests = (loaded.model.schema().digest().as_str(), set.schema().digest().as_str());
            for (what, (expected, found)) in [("hash", hashes), ("schema", digests)] {
                if expected != found {
                    return Err(ScoreError::OtherFeatureSet {
                        model: loaded.manifest.model,
                        version: loaded.manifest.version,
                        what,
                        expected: expected.to_owned(),
                        found: found.to_owned(),
                    });
                }
            }
        }
        Ok(Self {
            name: loaded.manifest.model.clone(),
            version: loaded.manifest.version,
            model: loaded.model,
            segments: loaded.segments,
            feature_set,
        })
    }

    /// How its rows are computed from events.
    ///
    /// # Errors
    /// [`ScoreError::NoFeatureSet`] if they are not.
    pub fn features(&self) -> Result<&FeatureSet, ScoreError> {
        let none = || ScoreError::NoFeatureSet { model: self.name.clone() };
        self.feature_set.as_ref().ok_or_else(none)
    }
}

/// What scoring did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScoreSummary {
    /// Rows written.
    pub n_rows: u64,
    /// Values that were neither a number nor missing where a number was expected; read as missing.
    pub n_bad_numbers: u64,
    /// Categories that the model does not know.
    pub n_unseen_categories: u64,
    /// Conditions of segments that could not be evaluated on a row, and so did not hold.
    pub n_segment_errors: u64,
}

impl ScoreSummary {
    /// Adds what was found in other rows.
    fn add(&mut self, other: Self) {
        self.n_rows += other.n_rows;
        self.n_bad_numbers += other.n_bad_numbers;
        self.n_unseen_categories += other.n_unseen_categories;
        self.n_segment_errors += other.n_segment_errors;
    }
}

/// Told rows done and rows in all (0: not known).
pub type ScoreProgress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// How much of a row's score is explained, in columns of text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Explain {
    /// Reasons a row, 0 for none.
    pub n_reasons: usize,
    /// Pairs of features that act together, a row, 0 for none.
    pub n_interactions: usize,
}

/// What to write where.
#[derive(Clone, Copy)]
pub struct ScoreTarget<'a> {
    /// `.parquet` or `.csv`.
    pub path: &'a Path,
    /// What is told of each row beside its score.
    pub explain: Explain,
    /// Threads; nothing that is written depends on it.
    pub n_threads: usize,
    /// Told how far it is.
    pub progress: ScoreProgress<'a>,
}
