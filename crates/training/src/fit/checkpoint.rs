//! What a long fit keeps on disk, so that the same fit, started again after it was killed, goes on from there
//! and ends with the same bytes.

use std::path::PathBuf;
use std::sync::Arc;

use segue_model::{Calibration, Ensemble, Model, ModelParts};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{FitError, Fitting};
use crate::job::{LearnerKind, LearnerSection};
use crate::rows::dataset_digest;
use crate::watch::Watch;
use crate::write::write_file;

/// The format that [`Head`] begins.
const FORMAT: u32 = 1;

/// Where a fit keeps its trees, and how often. The file is of one fit only: the same parameters, rows and
/// start. Whoever publishes the model removes it.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    /// The file, written whole or not at all.
    pub path: PathBuf,
    /// Rounds from one to the next, at least 1.
    pub every: usize,
    /// Called after each.
    pub saved: fn(),
}

impl Checkpoints {
    /// Removes what is kept, if anything is.
    ///
    /// # Errors
    /// [`FitError::Checkpoint`] with the file.
    pub fn remove(&self) -> Result<(), FitError> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(self.fault(format!("cannot be removed: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// Whether a fit of this learner can be taken up again to the same bytes.
    pub(crate) fn check(&self, section: &LearnerSection) -> Result<(), FitError> {
        if section.kind != LearnerKind::Boosting {
            let kind = section.kind.name();
            return Err(self.fault(format!("learner {kind:?} keeps none; only boosting does")));
        }
        if section.dart.is_some() {
            let reason = "learner.dart changes trees that are there already, so that a fit cannot be \
                          taken up again; train without a checkpoint";
            return Err(self.fault(reason));
        }
        Ok(())
    }

    fn fault(&self, reason: impl Into<String>) -> FitError {
        FitError::Checkpoint { path: self.path.clone(), reason: reason.into() }
    }
}

/// The first line of a checkpoint; a model follows.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    segue_checkpoint: u32,
    /// SHA-256 of all that the fit depends on.
    fit: String,
    finds_rate: bool,
    n_borne: Option<usize>,
}

/// What a run left.
pub(super) struct Kept {
    /// Whether the trees are of the fit that only finds the learning rate.
    pub(super) finds_rate: bool,
    /// Rounds that the rows bear, where that fit is done.
    pub(super) n_borne: Option<usize>,
    pub(super) ensemble: Ensemble,
}

/// Writes and reads the checkpoints of one fit.
pub(super) struct Keeper<'a> {
    into: &'a Checkpoints,
    fitting: &'a Fitting<'a>,
    watch: &'a dyn Watch,
    fit: String,
}

impl<'a> Keeper<'a> {
    /// Makes the folder.
    pub(super) fn new(
        into: &'a Checkpoints,
        fitting: &'a Fitting<'a>,
        watch: &'a dyn Watch,
    ) -> Result<Self, FitError> {
        if let Some(folder) = into.path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|error| into.fault(format!("cannot make its folder: {error}")))?;
        }
        Ok(Self { into, fitting, watch, fit: fingerprint(fitting) })
    }

    pub(super) fn every(&self) -> usize {
        self.into.every.max(1)
    }

    /// A checkpoint that cannot be written is told of, and does not end a fit that could have gone on.
    pub(super) fn write(&self, kept: &Kept) {
        let head = Head {
            segue_checkpoint: FORMAT,
            fit: self.fit.clone(),
            finds_rate: kept.finds_rate,
            n_borne: kept.n_borne,
        };
        let written = self.bytes(&head, kept).and_then(|bytes| {
            write_file(&self.into.path, &bytes).map_err(|error| error.to_string())
        });
        match written {
            Ok(()) => (self.into.saved)(),
            Err(error) => self.watch.note(&format!("no checkpoint was kept: {error}")),
        }
    }

    fn bytes(&self, head: &Head, kept: &Kept) -> Result<Vec<u8>, String> {
        let mut bytes = serde_json::to_vec(head).map_err(|error| error.to_string())?;
        bytes.push(b'\n');
        let model = Model::new(ModelParts {
            schema: Arc::clone(self.fitting.train.schema()),
            target: self.fitting.train.target().kind.clone(),
            task: String::new(),
            ensemble: kept.ensemble.clone(),
            calibration: Calibration::None,
            behaviours: Vec::new(),
            feature_set_hash: None,
        });
        bytes.extend(model.map_err(|error| error.to_string())?.encode());
        Ok(bytes)
    }

    /// What an earlier run of this fit left, if any did.
    pub(super) fn read(&self) -> Result<Option<Kept>, FitError> {
        let bytes = match std::fs::read(&self.into.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.into.fault(format!("cannot be read: {error}"))),
        };
        let none = || self.into.fault("is no checkpoint; remove it, or name another folder");
        let end = bytes.iter().position(|&byte| byte == b'\n').ok_or_else(none)?;
        let head: Head = serde_json::from_slice(&bytes[..end]).map_err(|_| none())?;
        if head.segue_checkpoint != FORMAT || head.fit != self.fit {
            let reason = "is of another fit: the job's [learner] or seed, its rows, or segue have changed \
                          since; remove it to begin anew, or name another folder";
            return Err(self.into.fault(reason));
        }
        let model = Model::decode(&bytes[end + 1..]).map_err(|_| none())?;
        let rounds = model.ensemble().trees.len() / model.ensemble().n_outputs();
        self.watch.note(&format!("going on from {rounds} rounds in {}", self.into.path.display()));
        let ensemble = model.into_parts().ensemble;
        Ok(Some(Kept { finds_rate: head.finds_rate, n_borne: head.n_borne, ensemble }))
    }
}

/// SHA-256 of all that the trees depend on.
fn fingerprint(fitting: &Fitting<'_>) -> String {
    let mut hash = Sha256::new();
    let section = serde_json::to_string(fitting.section).unwrap_or_default();
    let target = &fitting.train.target().kind;
    let plain = format!("{}\n{}\n{target:?}\n{section}", env!("CARGO_PKG_VERSION"), fitting.seed);
    hash.update(plain);
    for rows in [fitting.train, fitting.valid] {
        hash.update(dataset_digest(rows));
    }
    if let Some(start) = fitting.start {
        hash.update(format!("{start:?}"));
    }
    hex::encode(hash.finalize())
}
