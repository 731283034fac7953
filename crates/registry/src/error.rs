//! What can go wrong, told so that the caller knows what to do next.

use std::io;

use crate::gates::GateResult;

/// Why a registry refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The location is not a path or a URL that can be opened.
    #[error("cannot open the registry at {location}: {reason}")]
    Location {
        /// As given.
        location: String,
        /// What the URL parser or the store said.
        reason: String,
    },
    /// The location needs a store that this build leaves out.
    #[error(
        "cannot open the registry at {location}: {scheme}:// needs the cargo feature {feature:?}, \
         build with --features {feature}"
    )]
    FeatureNotBuilt {
        /// As given.
        location: String,
        /// Scheme of the URL.
        scheme: String,
        /// The feature to build with.
        feature: &'static str,
    },
    /// A name does not have the form of a name.
    #[error("{what} {name:?} is not valid, expected {expected}")]
    NameInvalid {
        /// Model, alias or file.
        what: &'static str,
        /// As given.
        name: String,
        /// The form it must have.
        expected: &'static str,
    },
    /// No model of this name.
    #[error("model {model:?} is not in the registry at {location}, which holds {known}")]
    ModelNotFound {
        /// As given.
        model: String,
        /// The registry.
        location: String,
        /// The models that there are.
        known: String,
    },
    /// No such version, or its folder has no manifest that verifies.
    #[error("model {model:?} has no version {version}, it has {known}")]
    VersionNotFound {
        /// The model.
        model: String,
        /// As given.
        version: u64,
        /// The versions that there are.
        known: String,
    },
    /// No such alias.
    #[error("model {model:?} has no alias {alias:?}, it has {known}")]
    AliasNotFound {
        /// The model.
        model: String,
        /// As given.
        alias: String,
        /// The aliases that there are.
        known: String,
    },
    /// This alias moves only through the gates.
    #[error("alias {alias:?} moves only by promotion or rollback")]
    AliasProtected {
        /// The alias.
        alias: String,
    },
    /// An alias has held one version only.
    #[error(
        "alias {alias:?} of model {model:?} has no earlier version to roll back to, \
         name one to go to"
    )]
    NothingToRollBack {
        /// The model.
        model: String,
        /// The alias.
        alias: String,
    },
    /// An alias cannot go back to where it never was.
    #[error(
        "alias {alias:?} of model {model:?} never pointed to version {version}, only to {held}; \
         promote the version instead"
    )]
    NeverHeld {
        /// The model.
        model: String,
        /// The alias.
        alias: String,
        /// As given.
        version: u64,
        /// The versions it has pointed to.
        held: String,
    },
    /// The caller decided on an older state than the present one.
    #[error(
        "model {model:?} has changed: the request was made on etag {given:?}, it is now {current:?}; \
         read the model again and decide anew"
    )]
    EtagMismatch {
        /// The model.
        model: String,
        /// As given.
        given: String,
        /// The present one.
        current: String,
    },
    /// Somebody else moved the model between our checks and our commit.
    #[error(
        "model {model:?} was changed by someone else while this change was checked \
         (now at generation {generation}); nothing was written, read it again and retry"
    )]
    Conflict {
        /// The model.
        model: String,
        /// The present generation.
        generation: u64,
    },
    /// A request id was used for something else before.
    #[error(
        "request id {request_id:?} was used for another change of model {model:?} \
         (generation {generation}); use a new one"
    )]
    RequestIdReused {
        /// The model.
        model: String,
        /// As given.
        request_id: String,
        /// The change it was used for.
        generation: u64,
    },
    /// At least one gate failed; all results are given.
    #[error("{}", failed_gates(.0))]
    GateFailed(Vec<GateResult>),
    /// The version exists with other content.
    #[error(
        "version {version} of model {model:?} exists with other content (digest {existing}, offered \
         {offered}); a version never changes, publish without a number to get a new one"
    )]
    VersionImmutable {
        /// The model.
        model: String,
        /// The version.
        version: u64,
        /// Digest of what is there.
        existing: String,
        /// Digest of what was offered.
        offered: String,
    },
    /// The version number was passed over or used before, and numbers are never reused.
    #[error("version {version} of model {model:?} cannot be used, the next free one is {next}")]
    VersionNotFree {
        /// The model.
        model: String,
        /// As given.
        version: u64,
        /// The next one.
        next: u64,
    },
    /// The version was taken out of use.
    #[error(
        "version {version} of model {model:?} is archived; restore it first, or take another version"
    )]
    VersionArchived {
        /// The model.
        model: String,
        /// The version.
        version: u64,
    },
    /// A version cannot be archived while something points at it.
    #[error(
        "version {version} of model {model:?} cannot be archived, it is in use by {users}; \
         move them to another version first"
    )]
    VersionInUse {
        /// The model.
        model: String,
        /// The version.
        version: u64,
        /// What points at it.
        users: String,
    },
    /// What was to be published does not hold together.
    #[error("cannot publish model {model:?}: {reason}")]
    DraftInvalid {
        /// The model.
        model: String,
        /// What is wrong.
        reason: String,
    },
    /// What was uploaded is not what its manifest announces.
    #[error("cannot take the upload of model {model:?}: {file}: {reason}")]
    UploadInvalid {
        /// The model.
        model: String,
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A traffic policy does not hold together.
    #[error("traffic of model {model:?}: {field} is {reason}")]
    TrafficInvalid {
        /// The model.
        model: String,
        /// Field of the policy.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A file is not the one that was published.
    #[error(
        "{place} is damaged: SHA-256 {found}, the manifest says {expected}; \
         restore the file or use another version"
    )]
    DigestMismatch {
        /// Path or URL of the file.
        place: String,
        /// What the manifest says.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// A file that the manifest lists is gone, or it does not list the file.
    #[error("{place} is missing: {reason}")]
    FileMissing {
        /// Path or URL of the file.
        place: String,
        /// Who expected it.
        reason: String,
    },
    /// A file cannot be read as what it should be.
    #[error("{place} cannot be used: {reason}")]
    Corrupt {
        /// Path or URL of the file.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// A file was written in a format that this build does not know.
    #[error("{place} has format {found}, this build reads up to {supported}; use a newer build")]
    FormatUnsupported {
        /// Path or URL of the file.
        place: String,
        /// Its format.
        found: u32,
        /// The newest one known.
        supported: u32,
    },
    /// The storage failed.
    #[error("{place}: {source}")]
    Io {
        /// Path or URL.
        place: String,
        /// What the storage said.
        source: io::Error,
    },
}

impl RegistryError {
    pub(crate) fn io(place: impl Into<String>, source: io::Error) -> Self {
        Self::Io { place: place.into(), source }
    }
}

fn failed_gates(gates: &[GateResult]) -> String {
    let failed: Vec<String> = gates
        .iter()
        .filter(|gate| gate.failed())
        .map(|gate| format!("{}: {}", gate.gate, gate.message))
        .collect();
    format!("{} of {} gates failed: {}", failed.len(), gates.len(), failed.join("; "))
}

/// The first names of a list for a message, `none` if there are none.
pub(crate) fn list_some<T: ToString>(names: impl IntoIterator<Item = T>) -> String {
    const SHOWN: usize = 12;
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    match names.len() {
        0 => "none".to_owned(),
        n if n <= SHOWN => names.join(", "),
        n => format!("{} and {} more", names[..SHOWN].join(", "), n - SHOWN),
    }
}
