//! The model that a job goes on from.

use std::path::{Path, PathBuf};

use segue_dataset::{Dataset, Feature, Schema};
use segue_model::{DecodeError, Model};
use sha2::{Digest, Sha256};

use crate::job::Job;

/// What a version's folder calls its model.
const MODEL_FILE: &str = "model.bin";
/// Features named by an error.
const SHOWN: usize = 3;

/// A model whose trees are kept and gone on from.
#[derive(Debug, Clone)]
pub struct Start {
    /// `MODEL@VERSION`, or the path as the job has it: what the published job says.
    pub name: String,
    /// The model; its trees and their start value are all that is taken from it.
    pub model: Model,
}

/// Why a job cannot go on from a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The file cannot be read.
    #[error("learner.start_from: cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no model.
    #[error("learner.start_from: {}: {source}", path.display())]
    NoModel {
        /// The file.
        path: PathBuf,
        /// Why.
        source: DecodeError,
    },
    /// Nobody has read the model.
    #[error("learner.start_from: {name:?} was not given to the training")]
    NotGiven {
        /// What the job names.
        name: String,
    },
    /// The model cannot be gone on from on these rows.
    #[error("learner.start_from: {name} {reason}")]
    Unfit {
        /// The model.
        name: String,
        /// What is different, and what would help.
        reason: String,
    },
    /// The model has as many rounds as the job asks for.
    #[error(
        "learner.rounds: is {rounds}, but {name} has {has} rounds already, which count; ask for more"
    )]
    NoRounds {
        /// The model.
        name: String,
        /// What the job asks for.
        rounds: usize,
        /// What is there.
        has: usize,
    },
}

impl Start {
    /// Reads a `model.bin`, or that of a folder; `name` is how the job calls it.
    ///
    /// # Errors
    /// [`StartError::Unreadable`] or [`StartError::NoModel`] with the file.
    pub fn read(path: &Path, name: &str) -> Result<Self, StartError> {
        let path = if path.is_dir() { path.join(MODEL_FILE) } else { path.to_owned() };
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(source) => return Err(StartError::Unreadable { path, source }),
        };
        match Model::decode(&bytes) {
            Ok(model) => Ok(Self { name: name.to_owned(), model }),
            Err(source) => Err(StartError::NoModel { path, source }),
        }
    }

    /// SHA-256 of the model's bytes.
    #[must_use]
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(self.model.encode()))
    }

    /// The start that a job asks for, out of what it was given.
    pub(super) fn of<'a>(
        job: &Job,
        given: Option<&'a Self>,
    ) -> Result<Option<&'a Self>, StartError> {
        match (&job.learner.start_from, given) {
            (None, _) => Ok(None),
            (Some(_), Some(start)) => Ok(Some(start)),
            (Some(name), None) => Err(StartError::NotGiven { name: name.clone() }),
        }
    }

    /// Whether its trees can be gone on from on these rows, for so many rounds in all.
    pub(super) fn check(
        &self,
        train: &Dataset,
        feature_set_hash: Option<&str>,
        rounds: usize,
    ) -> Result<(), StartError> {
        let unfit = |reason: String| Err(StartError::Unfit { name: self.name.clone(), reason });
        if self.model.schema().digest() != train.schema().digest() {
            let differences = differences(self.model.schema(), train.schema());
            return unfit(format!("reads other features than these rows have: {differences}"));
        }
        if self.model.target() != &train.target().kind {
            return unfit("answers another question than these rows are labelled with".to_owned());
        }
        if self.model.feature_set_hash() != feature_set_hash {
            return unfit(
                "was trained on features of the same names that are computed otherwise; \
                 take the [features] and [roles] of its job.toml"
                    .to_owned(),
            );
        }
        let ensemble = self.model.ensemble();
        let has = ensemble.trees.len() / ensemble.n_outputs();
        if has >= rounds {
            return Err(StartError::NoRounds { name: self.name.clone(), rounds, has });
        }
        Ok(())
    }
}

/// What one schema has and the other has not.
fn differences(start: &Schema, rows: &Schema) -> String {
    let lacks = |of: &Schema, feature: &Feature| of.index_of(&feature.name).is_none();
    let only_start = start.features().iter().filter(|feature| lacks(rows, feature));
    let only_start = only_start.map(|feature| format!("the rows have no {:?}", feature.name));
    let only_rows = rows.features().iter().filter(|feature| lacks(start, feature));
    let only_rows = only_rows.map(|feature| format!("it knows no {:?}", feature.name));
    let changed = start.features().iter().filter_map(|feature| {
        let other = &rows.features()[rows.index_of(&feature.name)?];
        let what = match (feature.is_category(), other.is_category()) {
            (true, true) if feature.vocabulary() == other.vocabulary() => return None,
            (true, true) => "other categories",
            (false, false) => return None,
            _ => "another kind",
        };
        Some(format!("{:?} has {what}", feature.name))
    });
    let all: Vec<String> = only_start.chain(only_rows).chain(changed).collect();
    match all.len() {
        0 => "they are in another order".to_owned(),
        n if n > SHOWN => format!("{} and {} more", all[..SHOWN].join(", "), n - SHOWN),
        _ => all.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use segue_dataset::{Matrix, RowKeys, Target, TargetKind};
    use segue_model::{Calibration, Combine, Ensemble, Link, ModelParts};

    use super::*;

    fn rows(features: Vec<Feature>, kind: TargetKind) -> Dataset {
        let columns = features.iter().map(|_| vec![0.0; 2]).collect();
        let schema = Arc::new(Schema::new(features).unwrap());
        let target = Target { kind, values: vec![0.0, 1.0] };
        let matrix = Matrix::from_columns(2, columns);
        Dataset::new(schema, matrix, target, None, RowKeys::default()).unwrap()
    }

    #[test]
    fn a_start_must_read_and_answer_the_same() {
        let numbers = || vec![Feature::number("a"), Feature::number("b")];
        let train = rows(numbers(), TargetKind::Binary);
        let parts = ModelParts {
            schema: Arc::clone(train.schema()),
            target: TargetKind::Binary,
            task: "churn".to_owned(),
            ensemble: Ensemble {
                trees: Vec::new(),
                tree_output: Vec::new(),
                base: vec![0.0],
                combine: Combine::Sum,
                link: Link::Logistic,
            },
            calibration: Calibration::None,
            behaviours: Vec::new(),
            feature_set_hash: Some("one".to_owned()),
        };
        let start = Start { name: "m@1".to_owned(), model: Model::new(parts).unwrap() };
        let check = |train: &Dataset, hash, rounds| {
            start.check(train, hash, rounds).map_err(|error| error.to_string())
        };
        assert_eq!(check(&train, Some("one"), 1), Ok(()));
        assert!(check(&train, Some("two"), 1).unwrap_err().contains("computed otherwise"));
        assert!(check(&train, None, 1).unwrap_err().contains("computed otherwise"));
        let message = check(&train, Some("one"), 0).unwrap_err();
        assert!(message.starts_with("learner.rounds: is 0, but m@1 has 0 rounds"), "{message}");
        let other = rows(numbers(), TargetKind::Regression);
        assert!(check(&other, Some("one"), 1).unwrap_err().contains("answers another question"));
        let turned = rows(numbers().into_iter().rev().collect(), TargetKind::Binary);
        assert!(check(&turned, Some("one"), 1).unwrap_err().ends_with("they are in another order"));
    }
}
