//! Of which models everything has been tried once.
//!
//! A server that starts is not ready before: a canary that is still being loaded has no share, and an
//! alias whose version is gives nothing. What failed was tried too, so that one broken canary keeps no
//! replica out of service, and what comes later makes nobody unready.

use std::collections::BTreeSet;

use segue_registry::Traffic;

use super::{LiveModel, Snapshot};

/// Models, and whether those that were found at the start are all among them.
#[derive(Debug, Default)]
pub(super) struct Tried {
    pub(super) models: BTreeSet<String>,
    pub(super) all: bool,
}

impl Tried {
    /// Takes in what is in memory now, and what `has_failed`.
    pub(super) fn look(&mut self, snapshot: &Snapshot, has_failed: impl Fn(&str, u64) -> bool) {
        self.models.retain(|name| snapshot.models.contains_key(name));
        for (name, live) in &snapshot.models {
            if !self.models.contains(name) && is_tried(live, |version| has_failed(name, version)) {
                self.models.insert(name.clone());
            }
        }
        // Of a model whose state cannot be read there is nothing to try.
        let is_over = |(name, live): (&String, &std::sync::Arc<LiveModel>)| {
            live.state.is_none() || self.models.contains(name)
        };
        self.all |= snapshot.started && snapshot.models.iter().all(is_over);
    }
}

fn is_tried(live: &LiveModel, has_failed: impl Fn(u64) -> bool) -> bool {
    let Some(state) = &live.state else { return false };
    let in_traffic = state.traffic.iter().flat_map(Traffic::versions);
    let mut wanted = state.aliases.values().chain(in_traffic);
    wanted.all(|&version| live.version(version).is_some() || has_failed(version))
}
