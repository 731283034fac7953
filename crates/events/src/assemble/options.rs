//! How strict the assembly of a log is.

use serde::{Deserialize, Serialize};

use crate::Micros;

const MINUTE_US: Micros = 60_000_000;
const DAY_US: Micros = 24 * 60 * MINUTE_US;

/// What becomes of events whose anonymous id never belongs to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnonymousPolicy {
    /// Each anonymous id is a profile of its own, named `anonymous:ID`.
    #[default]
    Keep,
    /// They are dropped and counted.
    Drop,
}

/// Rules of the assembly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AssembleOptions {
    /// An event known more than this after it happened is dropped and counted. 7 days.
    pub lateness_us: Micros,
    /// An event that happened more than this after it was known is quarantined. 5 minutes.
    pub future_tolerance_us: Micros,
    /// Whether anonymous events become a user's once their link is known.
    pub resolve_identity: bool,
    /// Ids that may be linked to one user; the earliest known stay. 50: browsers that forget their
    /// cookies weekly make that many in a year, while one id for a crowd makes thousands.
    pub max_ids_per_user: usize,
    /// What becomes of anonymous events without a user.
    pub anonymous: AnonymousPolicy,
}

impl Default for AssembleOptions {
    fn default() -> Self {
        Self {
            lateness_us: 7 * DAY_US,
            future_tolerance_us: 5 * MINUTE_US,
            resolve_identity: true,
            max_ids_per_user: 50,
            anonymous: AnonymousPolicy::Keep,
        }
    }
}
