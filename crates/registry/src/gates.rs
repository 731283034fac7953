//! What a version must show before an alias moves to it, and what it showed.

mod bootstrap;
mod holdout;
mod policy;
mod schema;
mod shadow;

use std::collections::BTreeMap;

use segue_model::{Holdout, Model, replay_golden};
use serde::{Deserialize, Serialize};

use crate::error::RegistryError;
use crate::evidence::ShadowCounts;
use crate::load::LoadedVersion;
use crate::manifest::{Manifest, VersionSummary};

pub(crate) use policy::PolicyWire;
pub use policy::{GateMetric, GatePolicy, NewFeatures};
pub(crate) use schema::{changed_kinds, names_missing_in};

/// Why comparing gates say nothing about the first version.
const NO_CHAMPION: &str = "no champion";

const GOLDEN_REPLAY: &str = "golden_replay";
const APPROVAL: &str = "approval";

/// The version that the candidate would replace.
#[derive(Debug)]
pub(crate) struct Incumbent {
    pub(crate) version: u64,
    /// A damaged incumbent must not keep a good candidate out for ever: gates fail, and can be
    /// overridden.
    pub(crate) loaded: Result<(Manifest, Model), RegistryError>,
}

/// Who lets a version in front of users.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Approver<'a> {
    pub(crate) name: &'a str,
    /// Whether it must not be who published the version, whatever the version's own gates say.
    pub(crate) must_differ: bool,
}

/// How a gate ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateOutcome {
    /// The version showed what was asked.
    Passed,
    /// It did not.
    Failed,
    /// There was nothing to ask; the message says why.
    Skipped,
}

/// What one gate found. Kept in the event of the promotion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateResult {
    /// Name, for example `metric_not_inferior`.
    pub gate: String,
    /// Raised whenever the meaning of the gate changes.
    pub gate_version: u32,
    /// How it ended.
    pub outcome: GateOutcome,
    /// One sentence for a person.
    pub message: String,
    /// The figures behind the message and the bounds they were held against; finite numbers only.
    pub measured: BTreeMap<String, f64>,
}

impl GateResult {
    fn new(gate: &str, outcome: GateOutcome, message: impl Into<String>) -> Self {
        Self {
            gate: gate.to_owned(),
            gate_version: 1,
            outcome,
            message: message.into(),
            measured: BTreeMap::new(),
        }
    }

    fn passed_or_failed(gate: &str, passed: bool, message: impl Into<String>) -> Self {
        let outcome = if passed { GateOutcome::Passed } else { GateOutcome::Failed };
        Self::new(gate, outcome, message)
    }

    fn of_version(self, gate_version: u32) -> Self {
        Self { gate_version, ..self }
    }

    /// Keeps a figure; JSON has no other numbers than finite ones.
    fn with(mut self, name: impl Into<String>, value: f64) -> Self {
        if value.is_finite() {
            self.measured.insert(name.into(), value);
        }
        self
    }

    /// Whether the gate stands in the way.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.outcome == GateOutcome::Failed
    }
}

/// Asks all gates, always all of them and in this order.
pub(crate) fn judge(
    candidate: &LoadedVersion,
    holdout: Option<&Holdout>,
    incumbent: Option<&Incumbent>,
    approver: &Approver<'_>,
    evidence: &[ShadowCounts],
) -> Vec<GateResult> {
    type Compare<'a> = &'a dyn Fn(&VersionSummary, &Model) -> GateResult;
    let compared = |name: &str, compare: Compare<'_>| match incumbent {
        None => GateResult::new(name, GateOutcome::Skipped, NO_CHAMPION),
        Some(Incumbent { version, loaded }) => match loaded {
            Ok((manifest, model)) => {
                compare(&manifest.summary, model).with("champion_version", *version as f64)
            }
            Err(error) => {
                let message = format!("not comparable: champion version {version}: {error}");
                GateResult::new(name, GateOutcome::Failed, message)
            }
        },
    };
    let summary = &candidate.manifest.summary;
    vec![
        compared(schema::NAME, &|champion, _| schema::compare(champion, summary)),
        golden_replay(candidate),
        compared(holdout::NOT_INFERIOR, &|_, champion| {
            holdout::not_inferior(champion, candidate, holdout)
        }),
        holdout::calibration_bound(candidate, holdout),
        holdout::slice_floor(candidate, holdout),
        shadow::agreement(summary, incumbent, evidence),
        approval(summary, approver),
    ]
}

/// Whether who gives the version a share of the traffic may; `None` if its gates do not ask. For a
/// share that falls on users, it is what a promotion is.
pub(crate) fn canary_approval(
    candidate: &VersionSummary,
    approver: &Approver<'_>,
) -> Option<GateResult> {
    let result = approval(candidate, approver);
    (result.outcome != GateOutcome::Skipped).then_some(result)
}

/// Four eyes: who promotes is not who published.
fn approval(candidate: &VersionSummary, approver: &Approver<'_>) -> GateResult {
    let Approver { name: approver, must_differ } = *approver;
    let publisher = &candidate.created_by;
    if !(must_differ || candidate.gates.distinct_approver) {
        let message = "nobody asks that the version's approver differ from its publisher";
        return GateResult::new(APPROVAL, GateOutcome::Skipped, message);
    }
    let (passed, message) = if approver.is_empty() {
        (false, format!("published by {publisher:?}, and the request names no approver"))
    } else if principal(approver) == principal(publisher) {
        (false, format!("published and approved by {publisher:?}; someone else must approve"))
    } else {
        (true, format!("published by {publisher:?}, approved by {approver:?}"))
    };
    GateResult::passed_or_failed(APPROVAL, passed, message)
}

/// A server writes an actor as who was authenticated, and after that ` (for NAME)` what the request says.
/// Only the first is somebody, and nobody can be somebody else by saying so.
fn principal(actor: &str) -> &str {
    actor.split_once(" (for ").map_or(actor, |(principal, _)| principal)
}

/// Judgements may be overridden, broken proof may not.
pub(crate) fn can_be_overridden(gate: &GateResult) -> bool {
    gate.gate != GOLDEN_REPLAY
}

fn golden_replay(candidate: &LoadedVersion) -> GateResult {
    let n_rows = candidate.golden.len();
    let (passed, message) = match replay_golden(&candidate.model, &candidate.golden) {
        Ok(()) => (true, format!("all {n_rows} rows score to the same bits")),
        Err(error) => (false, error.to_string()),
    };
    GateResult::passed_or_failed(GOLDEN_REPLAY, passed, message).with("n_rows", n_rows as f64)
}
