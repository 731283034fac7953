//! One link of the audit trail: who changed what and why, and the state after it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::gates::GateResult;
use crate::sealed::{SealError, seal, sha256_hex, unseal};
use crate::state::{ARCHIVING_FORMAT, State, Traffic};

/// Newest event format that this build reads.
///
/// An event is written in the oldest format that can say it: 2 only where versions are archived, so
/// that a build that does not know of them refuses to go on instead of forgetting it.
pub const EVENT_FORMAT: u32 = 2;

/// From where to where an alias moved; `None` is "not set".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasMove {
    /// Version before.
    pub from: Option<u64>,
    /// Version after.
    pub to: Option<u64>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// A version appeared.
    Published {
        /// Its number.
        version: u64,
        /// Its digest.
        digest: String,
        /// SHA-256 of its `manifest.json`.
        manifest_sha256: String,
    },
    /// An alias moved through the gates.
    Promoted {
        /// The alias.
        alias: String,
        /// Version before.
        from: Option<u64>,
        /// Version after.
        to: u64,
        /// Digest of the version after.
        digest: String,
    },
    /// An alias moved back.
    RolledBack {
        /// The alias.
        alias: String,
        /// Version before.
        from: u64,
        /// Version after.
        to: u64,
        /// Digest of the version after.
        digest: String,
    },
    /// Aliases moved without gates, all at once.
    AliasesMoved {
        /// By alias.
        moves: BTreeMap<String, AliasMove>,
    },
    /// The traffic was split anew.
    TrafficChanged {
        /// Policy before.
        from: Option<Traffic>,
        /// Policy after.
        to: Option<Traffic>,
    },
    /// A version was taken out of use.
    Archived {
        /// The version.
        version: u64,
        /// Its digest.
        digest: String,
    },
    /// An archived version may be used again.
    Restored {
        /// The version.
        version: u64,
        /// Its digest.
        digest: String,
    },
}

impl Action {
    /// The oldest format that knows this action.
    pub(crate) fn format(&self) -> u32 {
        match self {
            Self::Archived { .. } | Self::Restored { .. } => ARCHIVING_FORMAT,
            _ => 1,
        }
    }
}

/// An event as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EventWire {
    pub(crate) format: u32,
    pub(crate) model: String,
    pub(crate) generation: u64,
    /// SHA-256 of the file of the event before; `None` for the first.
    pub(crate) prev_sha256: Option<String>,
    pub(crate) time_us: i64,
    pub(crate) actor: String,
    pub(crate) reason: String,
    pub(crate) request_id: String,
    pub(crate) action: Action,
    pub(crate) gates: Vec<GateResult>,
    pub(crate) gates_overridden: bool,
    pub(crate) state: State,
}

/// One checked event of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRecord {
    /// Unique in the registry of its model: generation and the first digits of the checksum.
    pub event_id: String,
    /// Whose event it is.
    pub model: String,
    /// SHA-256 of the file, which the next event repeats.
    pub sha256: String,
    /// SHA-256 of the file before; `None` for the first event.
    pub prev_sha256: Option<String>,
    /// From 1, without gaps.
    pub generation: u64,
    /// When, in microseconds UTC.
    pub time_us: i64,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Of the request; empty if it had none.
    pub request_id: String,
    /// What.
    pub action: Action,
    /// What the gates found; empty unless an alias was promoted.
    pub gates: Vec<GateResult>,
    /// Whether a failed gate was overridden.
    pub gates_overridden: bool,
    /// Where each alias points afterwards.
    pub aliases: BTreeMap<String, u64>,
    /// How traffic is split afterwards.
    pub traffic: Option<Traffic>,
    /// Versions that are archived afterwards.
    pub archived: BTreeSet<u64>,
    pub(crate) state: State,
}

impl EventWire {
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        seal(self)
    }
}

impl EventRecord {
    /// Reads and checks the bytes of one event on its own; the chain is not looked at.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        let wire: EventWire = unseal(bytes, EVENT_FORMAT)?;
        Ok(Self::new(wire, sha256_hex(bytes)))
    }

    fn new(wire: EventWire, sha256: String) -> Self {
        Self {
            event_id: format!("{}-{}", wire.generation, &sha256[..12]),
            model: wire.model,
            sha256,
            prev_sha256: wire.prev_sha256,
            generation: wire.generation,
            time_us: wire.time_us,
            actor: wire.actor,
            reason: wire.reason,
            request_id: wire.request_id,
            action: wire.action,
            gates: wire.gates,
            gates_overridden: wire.gates_overridden,
            aliases: wire.state.aliases.clone(),
            traffic: wire.state.traffic.clone(),
            archived: wire.state.archived.clone(),
            state: wire.state,
        }
    }
}
