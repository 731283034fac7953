//! From the files of a version to a model that has proved itself.

use segue_model::{GoldenRow, Holdout, Model, SegmentSet, decode_golden, replay_golden};

use crate::error::RegistryError;
use crate::manifest::Manifest;
use crate::registry::{Registry, version_key};

/// Trees and calibration.
pub const MODEL_FILE: &str = "model.bin";
/// The feature set; absent for a model of a plain table.
pub const FEATURES_FILE: &str = "features.toml";
/// The segments, if any.
pub const SEGMENTS_FILE: &str = "segments.toml";
/// Rows with the exact scores they must get.
pub const GOLDEN_FILE: &str = "golden.jsonl";
/// Distributions at training time, to watch drift against.
pub const PROFILE_FILE: &str = "profile.json";
/// The page that a person reads before promoting.
pub const REPORT_FILE: &str = "report.html";
/// Later rows on which this version and its champion are compared.
pub const HOLDOUT_FILE: &str = "holdout.bin";
/// The job that made it.
pub const JOB_FILE: &str = "job.toml";

/// A version in memory, every byte checked against its manifest.
#[derive(Debug)]
pub struct LoadedVersion {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its model.
    pub model: Model,
    /// Its segments. Their syntax is checked; whether the other models they name are served is for
    /// the server to say.
    pub segments: Option<SegmentSet>,
    /// The text of its feature set; `None` for a model of a plain table.
    pub features_toml: Option<String>,
    /// The golden rows; the model repeats all of them bit for bit.
    pub golden: Vec<GoldenRow>,
}

impl Registry {
    /// Loads a version: checks every file against the manifest, decodes the model and replays the
    /// golden rows bit for bit.
    ///
    /// # Errors
    /// [`RegistryError::DigestMismatch`], [`RegistryError::FileMissing`] or
    /// [`RegistryError::Corrupt`] naming the file, or as [`manifest`](Self::manifest).
    pub fn load(&self, model: &str, version: u64) -> Result<LoadedVersion, RegistryError> {
        let loaded = self.load_unproven(model, version)?;
        match replay_golden(&loaded.model, &loaded.golden) {
            Ok(()) => Ok(loaded),
            Err(error) => Err(self.corrupt(&loaded.manifest, GOLDEN_FILE, error)),
        }
    }

    /// The same without replaying the golden rows, which is then left to a gate.
    pub(crate) fn load_unproven(
        &self,
        model: &str,
        version: u64,
    ) -> Result<LoadedVersion, RegistryError> {
        let manifest = self.manifest(model, version)?;
        for file in manifest.files.keys() {
            self.read_listed(&manifest, file)?;
        }
        let model = Model::decode(&self.read_listed(&manifest, MODEL_FILE)?)
            .map_err(|error| self.corrupt(&manifest, MODEL_FILE, error))?;
        if model.schema().digest().as_str() != manifest.schema_digest() {
            let reason = "its schema is not the one of the manifest";
            return Err(self.corrupt(&manifest, MODEL_FILE, reason));
        }
        let golden = decode_golden(&self.read_text(&manifest, GOLDEN_FILE)?)
            .map_err(|error| self.corrupt(&manifest, GOLDEN_FILE, error))?;
        let optional = |file: &str| {
            let listed = manifest.files.contains_key(file);
            listed.then(|| self.read_text(&manifest, file)).transpose()
        };
        let features_toml = optional(FEATURES_FILE)?;
        let segments = optional(SEGMENTS_FILE)?
            .map(|text| parse_segments(&text))
            .transpose()
            .map_err(|error| self.corrupt(&manifest, SEGMENTS_FILE, error))?;
        Ok(LoadedVersion { manifest, model, segments, features_toml, golden })
    }

    /// The rows that gates score; `None` if the version was published without them.
    pub(crate) fn load_holdout(
        &self,
        manifest: &Manifest,
    ) -> Result<Option<Holdout>, RegistryError> {
        if !manifest.files.contains_key(HOLDOUT_FILE) {
            return Ok(None);
        }
        Holdout::decode(&self.read_listed(manifest, HOLDOUT_FILE)?)
            .map(Some)
            .map_err(|error| self.corrupt(manifest, HOLDOUT_FILE, error))
    }

    fn read_text(&self, manifest: &Manifest, file: &str) -> Result<String, RegistryError> {
        String::from_utf8(self.read_listed(manifest, file)?)
            .map_err(|error| self.corrupt(manifest, file, error))
    }

    fn corrupt(&self, manifest: &Manifest, file: &str, reason: impl ToString) -> RegistryError {
        let key = format!("{}/{file}", version_key(&manifest.model, manifest.version));
        RegistryError::Corrupt { place: self.storage.place(&key), reason: reason.to_string() }
    }
}

/// Reads segments, the error as a sentence.
pub(crate) fn parse_segments(text: &str) -> Result<SegmentSet, String> {
    SegmentSet::parse(text).map_err(|error| error.to_string())
}
