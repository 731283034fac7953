//! From the files of a version to a model that has proved itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

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
    /// The bytes of its profile; `None` if it was published without one.
    pub profile: Option<Vec<u8>>,
    /// How long reading and decoding took.
    pub took: Duration,
}

impl Registry {
    /// Loads a version: checks every file against the manifest, decodes the model and replays the
    /// golden rows bit for bit.
    ///
    /// # Errors
    /// [`RegistryError::DigestMismatch`], [`RegistryError::FileMissing`] or
    /// [`RegistryError::Corrupt`] naming the file, or as [`manifest`](Self::manifest).
    pub fn load(&self, model: &str, version: u64) -> Result<LoadedVersion, RegistryError> {
        let (loaded, _) = self.load_unproven(model, version)?;
        match replay_golden(&loaded.model, &loaded.golden) {
            Ok(()) => Ok(loaded),
            Err(error) => Err(self.corrupt(&loaded.manifest, GOLDEN_FILE, error)),
        }
    }

    /// The same without replaying the golden rows, which is then left to a gate; and the bytes of its
    /// holdout, if it has one.
    pub(crate) fn load_unproven(
        &self,
        model: &str,
        version: u64,
    ) -> Result<(LoadedVersion, Option<Vec<u8>>), RegistryError> {
        let started = Instant::now();
        let manifest = self.manifest(model, version)?;
        let mut files = self.read_once(&manifest)?;
        let model = self.decode_model(&manifest, files.remove(MODEL_FILE))?;
        let golden = self.text(&manifest, GOLDEN_FILE, files.remove(GOLDEN_FILE))?;
        let golden =
            decode_golden(&golden).map_err(|error| self.corrupt(&manifest, GOLDEN_FILE, error))?;
        let mut optional = |file: &str| {
            let bytes = files.remove(file);
            bytes.map(|bytes| self.text(&manifest, file, Some(bytes))).transpose()
        };
        let features_toml = optional(FEATURES_FILE)?;
        let segments = optional(SEGMENTS_FILE)?
            .map(|text| parse_segments(&text))
            .transpose()
            .map_err(|error| self.corrupt(&manifest, SEGMENTS_FILE, error))?;
        let (profile, holdout) = (files.remove(PROFILE_FILE), files.remove(HOLDOUT_FILE));
        let took = started.elapsed();
        let loaded =
            LoadedVersion { manifest, model, segments, features_toml, golden, profile, took };
        Ok((loaded, holdout))
    }

    /// Manifest and model alone: all that is asked of a version that another is compared with.
    pub(crate) fn load_model(
        &self,
        model: &str,
        version: u64,
    ) -> Result<(Manifest, Model), RegistryError> {
        let manifest = self.manifest(model, version)?;
        let bytes = self.read_listed(&manifest, MODEL_FILE)?;
        let model = self.decode_model(&manifest, Some(bytes))?;
        Ok((manifest, model))
    }

    /// Reads and checks every file, each once, and keeps those that are needed afterwards. A version may
    /// be large and its storage far away.
    fn read_once(&self, manifest: &Manifest) -> Result<BTreeMap<String, Vec<u8>>, RegistryError> {
        const NEEDED: [&str; 6] =
            [MODEL_FILE, GOLDEN_FILE, FEATURES_FILE, SEGMENTS_FILE, PROFILE_FILE, HOLDOUT_FILE];
        let mut kept = BTreeMap::new();
        for file in manifest.files.keys() {
            let bytes = self.read_listed(manifest, file)?;
            if NEEDED.contains(&file.as_str()) {
                kept.insert(file.clone(), bytes);
            }
        }
        Ok(kept)
    }

    fn decode_model(
        &self,
        manifest: &Manifest,
        bytes: Option<Vec<u8>>,
    ) -> Result<Model, RegistryError> {
        let bytes = bytes.map_or_else(|| self.read_listed(manifest, MODEL_FILE), Ok)?;
        let model =
            Model::decode(&bytes).map_err(|error| self.corrupt(manifest, MODEL_FILE, error))?;
        if model.schema().digest().as_str() != manifest.schema_digest() {
            let reason = "its schema is not the one of the manifest";
            return Err(self.corrupt(manifest, MODEL_FILE, reason));
        }
        Ok(model)
    }

    /// The rows that gates score.
    pub(crate) fn decode_holdout(
        &self,
        manifest: &Manifest,
        bytes: &[u8],
    ) -> Result<Holdout, RegistryError> {
        Holdout::decode(bytes).map_err(|error| self.corrupt(manifest, HOLDOUT_FILE, error))
    }

    /// Of a file that the manifest does not list, reading it says so.
    fn text(
        &self,
        manifest: &Manifest,
        file: &str,
        bytes: Option<Vec<u8>>,
    ) -> Result<String, RegistryError> {
        let bytes = bytes.map_or_else(|| self.read_listed(manifest, file), Ok)?;
        String::from_utf8(bytes).map_err(|error| self.corrupt(manifest, file, error))
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
