//! `manifest.json`: the manifest as it is written, and its digest.

use std::collections::BTreeMap;
use std::sync::Arc;

use segue_dataset::{Feature, FeatureKind, Schema, TargetKind};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::{FileEntry, MANIFEST_FORMAT, Manifest, VersionSummary};
use crate::gates::{GatePolicy, PolicyWire};
use crate::names::check_file_name;
use crate::sealed::{SealError, seal, unseal};

#[derive(Serialize, Deserialize)]
struct ManifestWire {
    format: u32,
    model: String,
    version: u64,
    digest: String,
    created_by: String,
    created_at_us: i64,
    files: Vec<FileWire>,
    /// Kept as text: the digest is over these bytes, whatever fields a newer writer added.
    summary: Box<RawValue>,
}

#[derive(Serialize, Deserialize)]
struct FileWire {
    path: String,
    size: u64,
    sha256: String,
}

#[derive(Serialize, Deserialize)]
struct SummaryWire {
    task: String,
    target: TargetWire,
    schema_digest: String,
    schema: Vec<FeatureWire>,
    feature_set_hash: Option<String>,
    metrics: BTreeMap<String, Option<f64>>,
    slice_metrics: BTreeMap<String, BTreeMap<String, Option<f64>>>,
    lineage: BTreeMap<String, String>,
    gates: PolicyWire,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum TargetWire {
    Binary,
    Multiclass { classes: Vec<String> },
    Regression,
}

#[derive(Serialize, Deserialize)]
struct FeatureWire {
    name: String,
    #[serde(flatten)]
    kind: KindWire,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum KindWire {
    Number,
    Category { vocabulary: Vec<String> },
}

/// Why bytes are not a manifest.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("{0}")]
    Content(String),
}

/// The summary as it is written, without who and when.
pub(crate) fn summary_text(summary: &VersionSummary) -> Result<Box<RawValue>, serde_json::Error> {
    let json = serde_json::to_string_pretty(&SummaryWire::from(summary))?;
    RawValue::from_string(json)
}

/// Digest of a version: files by name, size and checksum, and the text of the summary. Every part
/// is preceded by its length, so that no two versions share a canonical form.
pub(crate) fn content_digest(files: &BTreeMap<String, FileEntry>, summary: &RawValue) -> String {
    let mut hash = Sha256::new();
    let mut put = |part: &str| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    };
    put("segue version 1");
    for (name, file) in files {
        put(name);
        put(&file.size.to_string());
        put(&file.sha256);
    }
    put(summary.get());
    hex::encode(hash.finalize())
}

/// The bytes of `manifest.json`. `summary` must be the text of the manifest's summary.
pub(crate) fn to_bytes(
    manifest: &Manifest,
    summary: Box<RawValue>,
) -> Result<Vec<u8>, serde_json::Error> {
    let file = |(path, file): (&String, &FileEntry)| FileWire {
        path: path.clone(),
        size: file.size,
        sha256: file.sha256.clone(),
    };
    seal(&ManifestWire {
        format: MANIFEST_FORMAT,
        model: manifest.model.clone(),
        version: manifest.version,
        digest: manifest.digest.clone(),
        created_by: manifest.summary.created_by.clone(),
        created_at_us: manifest.created_at_us,
        files: manifest.files.iter().map(file).collect(),
        summary,
    })
}

/// Reads a manifest and checks its checksum, its digest and its schema.
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Manifest, ManifestError> {
    let wire: ManifestWire = unseal(bytes, MANIFEST_FORMAT)?;
    let entry = |file: FileWire| {
        let FileWire { path, size, sha256 } = file;
        (path, FileEntry { size, sha256 })
    };
    let files: BTreeMap<_, _> = wire.files.into_iter().map(entry).collect();
    for name in files.keys() {
        check_file_name(name).map_err(|error| ManifestError::Content(error.to_string()))?;
    }
    let digest = content_digest(&files, &wire.summary);
    if digest != wire.digest {
        let reason = format!("its files and summary have digest {digest}, it says {}", wire.digest);
        return Err(ManifestError::Content(reason));
    }
    let summary: SummaryWire = serde_json::from_str(wire.summary.get()).map_err(SealError::from)?;
    Ok(Manifest {
        model: wire.model,
        version: wire.version,
        digest,
        files,
        summary: summary.read(wire.created_by)?,
        created_at_us: wire.created_at_us,
    })
}

impl From<&VersionSummary> for SummaryWire {
    fn from(summary: &VersionSummary) -> Self {
        Self {
            task: summary.task.clone(),
            target: TargetWire::from(&summary.target),
            schema_digest: summary.schema.digest().to_string(),
            schema: summary.schema.features().iter().map(FeatureWire::from).collect(),
            feature_set_hash: summary.feature_set_hash.clone(),
            metrics: to_nullable(&summary.metrics),
            slice_metrics: summary
                .slice_metrics
                .iter()
                .map(|(slice, metrics)| (slice.clone(), to_nullable(metrics)))
                .collect(),
            lineage: summary.lineage.clone(),
            gates: PolicyWire::from(&summary.gates),
        }
    }
}

impl SummaryWire {
    fn read(self, created_by: String) -> Result<VersionSummary, ManifestError> {
        let schema = Schema::new(self.schema.into_iter().map(FeatureWire::read).collect())
            .map_err(|error| ManifestError::Content(error.to_string()))?;
        if schema.digest().as_str() != self.schema_digest {
            let (found, said) = (schema.digest(), self.schema_digest);
            let reason = format!("its schema has digest {found}, it says {said}");
            return Err(ManifestError::Content(reason));
        }
        Ok(VersionSummary {
            task: self.task,
            target: self.target.read(),
            schema: Arc::new(schema),
            feature_set_hash: self.feature_set_hash,
            metrics: from_nullable(self.metrics),
            slice_metrics: self
                .slice_metrics
                .into_iter()
                .map(|(slice, metrics)| (slice, from_nullable(metrics)))
                .collect(),
            lineage: self.lineage,
            created_by,
            gates: GatePolicy::from(self.gates),
        })
    }
}

/// JSON has no NaN: a metric that is not defined is `null`.
fn to_nullable(metrics: &BTreeMap<String, f64>) -> BTreeMap<String, Option<f64>> {
    let nullable = |value: f64| (!value.is_nan()).then_some(value);
    metrics.iter().map(|(name, &value)| (name.clone(), nullable(value))).collect()
}

fn from_nullable(metrics: BTreeMap<String, Option<f64>>) -> BTreeMap<String, f64> {
    metrics.into_iter().map(|(name, value)| (name, value.unwrap_or(f64::NAN))).collect()
}

impl From<&TargetKind> for TargetWire {
    fn from(target: &TargetKind) -> Self {
        match target {
            TargetKind::Binary => Self::Binary,
            TargetKind::Multiclass { classes } => Self::Multiclass { classes: classes.clone() },
            TargetKind::Regression => Self::Regression,
        }
    }
}

impl TargetWire {
    fn read(self) -> TargetKind {
        match self {
            Self::Binary => TargetKind::Binary,
            Self::Multiclass { classes } => TargetKind::Multiclass { classes },
            Self::Regression => TargetKind::Regression,
        }
    }
}

impl From<&Feature> for FeatureWire {
    fn from(feature: &Feature) -> Self {
        let kind = match &feature.kind {
            FeatureKind::Number => KindWire::Number,
            FeatureKind::Category { vocabulary } => {
                KindWire::Category { vocabulary: vocabulary.clone() }
            }
        };
        Self { name: feature.name.clone(), kind }
    }
}

impl FeatureWire {
    fn read(self) -> Feature {
        match self.kind {
            KindWire::Number => Feature::number(self.name),
            KindWire::Category { vocabulary } => Feature::category(self.name, vocabulary),
        }
    }
}
