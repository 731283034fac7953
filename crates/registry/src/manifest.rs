//! What a version is: its files, its schema, where it comes from, how good it is.

mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use segue_dataset::{Schema, TargetKind};

use crate::gates::GatePolicy;

pub(crate) use wire::{content_digest, from_bytes, summary_text, to_bytes};

/// Newest manifest format that this build reads, and the one it writes.
pub const MANIFEST_FORMAT: u32 = 1;

/// The file that makes a folder a version.
pub(crate) const MANIFEST_FILE: &str = "manifest.json";

/// What the publisher says about a version. All of it but `created_by` is part of the digest.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionSummary {
    /// What is predicted, for example `churn`.
    pub task: String,
    /// The kind of output, and the classes of a multiclass model.
    pub target: TargetKind,
    /// The columns of a row.
    pub schema: Arc<Schema>,
    /// Hash of the feature set that computes the columns; `None` for a model of a plain table.
    pub feature_set_hash: Option<String>,
    /// Metrics on held-out rows by name. NaN stands for "not defined on these rows".
    pub metrics: BTreeMap<String, f64>,
    /// The same by slice.
    pub slice_metrics: BTreeMap<String, BTreeMap<String, f64>>,
    /// Where it comes from: digest of the data, learner, parameters, seed, code revision, parent.
    /// Facts that are the same for the same run: an instant here would make each run a new version.
    pub lineage: BTreeMap<String, String>,
    /// Who published it.
    pub created_by: String,
    /// What this version must show to be promoted.
    pub gates: GatePolicy,
}

/// Size and checksum of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// In bytes.
    pub size: u64,
    /// 64 lower-case hex digits.
    pub sha256: String,
}

/// The checked manifest of a version.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Name of the model.
    pub model: String,
    /// From 1.
    pub version: u64,
    /// SHA-256 over the files and the summary: two versions with one digest are the same thing.
    pub digest: String,
    /// Every file but the manifest itself, by name.
    pub files: BTreeMap<String, FileEntry>,
    /// What the publisher said.
    pub summary: VersionSummary,
    /// When it was published, in microseconds UTC.
    pub created_at_us: i64,
}

impl Manifest {
    /// Digest of the schema.
    #[must_use]
    pub fn schema_digest(&self) -> &str {
        self.summary.schema.digest().as_str()
    }
}
