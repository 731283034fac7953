//! Where the aliases of a model point and how its traffic is split.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::sealed::sha256_hex;

/// How requests that name neither version nor alias are split.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// The version that gets a share, if any; the champion gets the rest.
    pub canary_version: Option<u64>,
    /// Its share in basis points, 0 to 10000.
    pub canary_basis_points: u32,
    /// Mixed into the hash of the routing key, so that experiments do not pick the same users.
    pub salt: String,
    /// Versions that score a copy of the requests, their answers unseen.
    pub shadow_versions: Vec<u64>,
    /// Share of requests that they get in basis points, 0 to 10000.
    pub shadow_basis_points: u32,
}

impl Traffic {
    /// Every version that gets requests beside the champion: the canary first, then the shadows.
    pub fn versions(&self) -> impl Iterator<Item = &u64> {
        self.canary_version.iter().chain(&self.shadow_versions)
    }
}

/// Everything about a model that can change. Each event holds the whole of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) aliases: BTreeMap<String, u64>,
    pub(crate) traffic: Option<Traffic>,
    /// Highest version number ever seen; the next one is above it even if folders are deleted.
    pub(crate) highest_version: u64,
    /// Generation of the last event that moved an alias or changed the traffic.
    pub(crate) moved_at: u64,
}

impl State {
    /// Changes whenever an alias or the traffic does, and not when a version is published.
    pub(crate) fn etag(&self) -> String {
        let mut text = format!("{}", self.moved_at);
        for (alias, version) in &self.aliases {
            text.push_str(&format!("\n{alias}={version}"));
        }
        if let Some(traffic) = &self.traffic {
            text.push_str(&format!("\n{traffic:?}"));
        }
        format!("{}-{}", self.moved_at, &sha256_hex(text.as_bytes())[..16])
    }
}

/// The present state of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelState {
    /// Name of the model.
    pub model: String,
    /// Where each alias points.
    pub aliases: BTreeMap<String, u64>,
    /// How traffic is split; `None` if all of it goes to the champion.
    pub traffic: Option<Traffic>,
    /// Number of the newest event; 0 before the first.
    pub generation: u64,
    /// Names this state of aliases and traffic. A change that gives it back is refused if either has
    /// moved since.
    pub etag: String,
}

impl ModelState {
    pub(crate) fn new(model: &str, generation: u64, state: State) -> Self {
        let etag = state.etag();
        let State { aliases, traffic, .. } = state;
        Self { model: model.to_owned(), aliases, traffic, generation, etag }
    }
}
