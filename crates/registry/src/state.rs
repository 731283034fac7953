//! Where the aliases of a model point and how its traffic is split.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::error::RegistryError;
use crate::names::CHAMPION;
use crate::sealed::sha256_hex;

/// The first format of events and of `state.json` that knows archived versions.
pub(crate) const ARCHIVING_FORMAT: u32 = 2;

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
    /// Versions that nothing may point at. Left out while there are none, as older builds wrote it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) archived: BTreeSet<u64>,
    /// Highest version number ever seen; the next one is above it even if folders are deleted.
    pub(crate) highest_version: u64,
    /// Generation of the last event that was not a publication.
    pub(crate) moved_at: u64,
}

impl State {
    /// The oldest format that can say it.
    pub(crate) fn format(&self) -> u32 {
        if self.archived.is_empty() { 1 } else { ARCHIVING_FORMAT }
    }

    /// Fails if the version is archived.
    pub(crate) fn check_usable(&self, model: &str, version: u64) -> Result<(), RegistryError> {
        if self.archived.contains(&version) {
            let model = model.to_owned();
            return Err(RegistryError::VersionArchived { model, version });
        }
        Ok(())
    }

    /// After the champion has moved: none of these versions is a canary. The shadows stay.
    pub(crate) fn end_canary(&mut self, alias: &str, versions: &[u64]) {
        let Some(traffic) = self.traffic.as_mut().filter(|_| alias == CHAMPION) else { return };
        if !traffic.canary_version.is_some_and(|canary| versions.contains(&canary)) {
            return;
        }
        traffic.canary_version = None;
        traffic.canary_basis_points = 0;
        if traffic.shadow_versions.is_empty() {
            self.traffic = None;
        }
    }

    /// What points at the version, for a person; empty if nothing does.
    pub(crate) fn users_of(&self, version: u64) -> Vec<String> {
        let aliases = self.aliases.iter().filter(|(_, to)| **to == version);
        let mut users: Vec<String> = aliases.map(|(alias, _)| format!("alias {alias}")).collect();
        if let Some(traffic) = &self.traffic {
            if traffic.canary_version == Some(version) {
                users.push("the canary of the traffic".to_owned());
            }
            if traffic.shadow_versions.contains(&version) {
                users.push("a shadow of the traffic".to_owned());
            }
        }
        users
    }

    /// Changes whenever an alias, the traffic or what is archived does, and not when a version is
    /// published.
    pub(crate) fn etag(&self) -> String {
        let mut text = format!("{}", self.moved_at);
        for (alias, version) in &self.aliases {
            text.push_str(&format!("\n{alias}={version}"));
        }
        if let Some(traffic) = &self.traffic {
            text.push_str(&format!("\n{traffic:?}"));
        }
        for version in &self.archived {
            text.push_str(&format!("\narchived {version}"));
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
    /// Versions that nothing may point at until they are restored.
    pub archived: BTreeSet<u64>,
    /// Names this state of aliases, traffic and archived versions. A change that gives it back is
    /// refused if any has moved since.
    pub etag: String,
}

impl ModelState {
    pub(crate) fn new(model: &str, generation: u64, state: State) -> Self {
        let etag = state.etag();
        let State { aliases, traffic, archived, .. } = state;
        Self { model: model.to_owned(), aliases, traffic, archived, generation, etag }
    }
}
