//! What is to be published, and whether it holds together.

use std::collections::BTreeMap;

use segue_model::{Holdout, Model, decode_golden, replay_golden};

use crate::error::RegistryError;
use crate::load::{
    FEATURES_FILE, GOLDEN_FILE, HOLDOUT_FILE, MODEL_FILE, SEGMENTS_FILE, parse_segments,
};
use crate::manifest::{MANIFEST_FILE, VersionSummary};
use crate::names::check_file_name;

/// What is to become a version.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Name of the model.
    pub model: String,
    /// Every file by name. `model.bin` and `golden.jsonl` must be there, and `features.toml` exactly
    /// if the summary has a feature-set hash; `manifest.json` must not.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What to say about it.
    pub summary: VersionSummary,
}

impl Draft {
    /// Reads every file that scoring or a gate will read, so that nothing broken is ever published.
    pub(crate) fn check(&self) -> Result<(), RegistryError> {
        let invalid = |reason| RegistryError::DraftInvalid { model: self.model.clone(), reason };
        for name in self.files.keys() {
            check_file_name(name)?;
        }
        if self.files.contains_key(MANIFEST_FILE) {
            return Err(invalid(format!("{MANIFEST_FILE} is written by the registry")));
        }
        self.summary.check().map_err(invalid)?;
        let model = self.check_model().map_err(invalid)?;
        self.check_golden(&model).map_err(invalid)?;
        self.check_features().map_err(invalid)?;
        if self.files.contains_key(SEGMENTS_FILE) {
            parse_segments(self.text(SEGMENTS_FILE).map_err(invalid)?).map_err(invalid)?;
        }
        self.check_holdout(&model).map_err(invalid)
    }

    fn bytes(&self, name: &str) -> Result<&[u8], String> {
        let bytes = self.files.get(name).ok_or_else(|| format!("{name} is missing"))?;
        Ok(bytes)
    }

    fn text(&self, name: &str) -> Result<&str, String> {
        str::from_utf8(self.bytes(name)?).map_err(|error| format!("{name} is not UTF-8: {error}"))
    }

    fn check_model(&self) -> Result<Model, String> {
        let model = Model::decode(self.bytes(MODEL_FILE)?)
            .map_err(|error| format!("{MODEL_FILE}: {error}"))?;
        let summary = &self.summary;
        if model.schema().digest() != summary.schema.digest() {
            let (model, summary) = (model.schema().digest(), summary.schema.digest());
            return Err(format!("{MODEL_FILE} has schema {model}, the summary says {summary}"));
        }
        if *model.target() != summary.target {
            let (model, summary) = (model.target(), &summary.target);
            return Err(format!("{MODEL_FILE} predicts {model:?}, the summary says {summary:?}"));
        }
        if model.feature_set_hash() != summary.feature_set_hash.as_deref() {
            let (model, summary) = (model.feature_set_hash(), &summary.feature_set_hash);
            return Err(format!("{MODEL_FILE} has feature set {model:?}, the summary {summary:?}"));
        }
        Ok(model)
    }

    fn check_golden(&self, model: &Model) -> Result<(), String> {
        let named = |error: String| format!("{GOLDEN_FILE}: {error}");
        let rows = decode_golden(self.text(GOLDEN_FILE)?).map_err(|e| named(e.to_string()))?;
        if rows.is_empty() {
            return Err(named(
                "it has no rows, so nothing would prove how the model scores".into(),
            ));
        }
        replay_golden(model, &rows).map_err(|error| named(error.to_string()))
    }

    fn check_features(&self) -> Result<(), String> {
        let hash = self.summary.feature_set_hash.is_some();
        match (hash, self.files.contains_key(FEATURES_FILE)) {
            (true, false) => Err(format!("{FEATURES_FILE} is missing, the summary has its hash")),
            (false, true) => {
                Err(format!("{FEATURES_FILE} is there, the summary has no hash of it"))
            }
            (true, true) => self.text(FEATURES_FILE).map(drop),
            (false, false) => Ok(()),
        }
    }

    fn check_holdout(&self, model: &Model) -> Result<(), String> {
        let Some(bytes) = self.files.get(HOLDOUT_FILE) else { return Ok(()) };
        let holdout = Holdout::decode(bytes).map_err(|error| format!("{HOLDOUT_FILE}: {error}"))?;
        let dataset = holdout.dataset();
        if dataset.schema().digest() != model.schema().digest() {
            return Err(format!("{HOLDOUT_FILE} has another schema than {MODEL_FILE}"));
        }
        if dataset.target().kind != *model.target() {
            return Err(format!("{HOLDOUT_FILE} has another target than {MODEL_FILE}"));
        }
        Ok(())
    }
}

impl VersionSummary {
    fn check(&self) -> Result<(), String> {
        self.gates.check()?;
        let by_slice = self.slice_metrics.iter().flat_map(|(slice, metrics)| {
            metrics.iter().map(move |(name, &value)| (format!("{name} of slice {slice:?}"), value))
        });
        let of_all = self.metrics.iter().map(|(name, &value)| (name.clone(), value));
        match of_all.chain(by_slice).find(|(_, value)| value.is_infinite()) {
            Some((name, value)) => Err(format!("metric {name} is {value}, expected a number")),
            None => Ok(()),
        }
    }
}
