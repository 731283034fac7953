//! Versions, aliases, promotion gates and the audit trail.
//!
//! A registry is a folder, or a prefix of an object store, and nothing else: no database and no
//! daemon, so any number of processes may publish, promote and serve from one root.
//!
//! ```text
//! FORMAT                          number of this layout
//! <model>/versions/<N>/           immutable; N is never reused
//!     manifest.json               written last: every file's size and SHA-256, schema, lineage, metrics
//!     model.bin features.toml segments.toml golden.jsonl profile.json report.html holdout.bin job.toml
//! <model>/events/<generation>.json  append-only, each with the SHA-256 of the one before
//! <model>/state.json              a cache of the newest event
//! ```
//!
//! - **Publishing** writes a folder beside its place, syncs it, and renames it. A folder without a
//!   manifest that verifies is not a version.
//! - **Committing** is creating `events/<generation>.json`, which fails if it exists: the commit and
//!   the compare-and-swap are one step. An event holds the whole state after it, so any number of
//!   aliases move at once.
//! - **A crash** at any step leaves the old or the new state. `state.json` is believed about nothing
//!   but where to begin to look, and is brought up to date on opening.
//!
//! On an object store the same keys are written by conditional create; the `model.bin` of a version
//! claims its number, and the manifest, written last, makes it a version.

mod archive;
mod chain;
mod changes;
mod clock;
mod diff;
mod draft;
mod error;
mod event;
mod evidence;
mod gates;
mod load;
mod manifest;
mod names;
mod promote;
mod publish;
mod registry;
mod rollback;
mod sealed;
mod state;
mod steps;
mod storage;
#[cfg(test)]
mod tests;
mod upload;
mod verify;

pub use archive::ArchiveRequest;
pub use changes::{AliasRequest, Applied, TrafficRequest};
pub use diff::{Changed, Diff, VocabularyDiff};
pub use draft::Draft;
pub use error::RegistryError;
pub use event::{Action, AliasMove, EVENT_FORMAT, EventRecord};
pub use evidence::{DIFFERENCE_BOUNDS, ShadowCounts};
pub use gates::{GateMetric, GateOutcome, GatePolicy, GateResult, NewFeatures};
pub use load::{
    FEATURES_FILE, GOLDEN_FILE, HOLDOUT_FILE, JOB_FILE, LoadedVersion, MODEL_FILE, PROFILE_FILE,
    REPORT_FILE, SEGMENTS_FILE,
};
pub use manifest::{FileEntry, MANIFEST_FORMAT, Manifest, VersionSummary};
pub use names::{CHAMPION, check_alias_name, check_model_name};
pub use promote::{PromoteRequest, Promoted};
pub use publish::{PublishRequest, Published};
pub use registry::{Choice, LAYOUT_FORMAT, Registry};
pub use rollback::{RollbackRequest, RolledBack};
pub use state::{ModelState, Traffic};
pub use steps::{FaultPlan, StepHook};
pub use upload::{MAX_FILES, Upload};
pub use verify::{Finding, VerifyReport};
