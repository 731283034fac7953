//! Where every version is on its way through the server, for people and for those who watch.
//!
//! The loader writes it beside the snapshot and in an order that never promises too much: a version is
//! ready here after it can be fetched there, and draining here before it is gone there.

use std::collections::BTreeMap;
use std::sync::Arc;

use segue_registry::{ModelState, Traffic};
use tokio::sync::watch;

use super::{LiveModel, Stats};
use crate::scoring_service::now_us;

/// Where a version is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Loading,
    Warming,
    Ready,
    Serving,
    Draining,
    Failed,
}

/// A version in memory, or on its way there or away.
#[derive(Debug, Clone)]
pub(crate) struct VersionStatus {
    pub(crate) stage: Stage,
    /// Of a failure: what went wrong.
    pub(crate) reason: String,
    /// When it came into this stage, in microseconds UTC.
    pub(crate) since_us: i64,
    /// What is known of it once it has been loaded.
    pub(crate) loaded: Option<LoadedFacts>,
}

/// What a version in memory has to say of itself.
#[derive(Debug, Clone)]
pub(crate) struct LoadedFacts {
    pub(crate) digest: String,
    pub(crate) load_us: u64,
    pub(crate) file_bytes: u64,
    pub(crate) stats: Arc<Stats>,
}

impl VersionStatus {
    fn new(stage: Stage) -> Self {
        Self { stage, reason: String::new(), since_us: now_us(), loaded: None }
    }
}

/// One model as it is served.
#[derive(Debug, Clone, Default)]
pub(crate) struct ModelStatus {
    pub(crate) generation: u64,
    /// The registry's etag when it was last read.
    pub(crate) etag: String,
    /// What each alias gives.
    pub(crate) aliases: BTreeMap<String, u64>,
    pub(crate) traffic: Option<Traffic>,
    pub(crate) archived: Vec<u64>,
    pub(crate) versions: BTreeMap<u64, VersionStatus>,
    /// Why the newest state is not served, if it is not.
    pub(crate) error: Option<String>,
}

/// All models; those that did not change are shared with the state before.
#[derive(Debug, Clone, Default)]
pub(crate) struct Statuses {
    /// Whether the registry has been read at all.
    pub(crate) started: bool,
    pub(crate) models: BTreeMap<String, Arc<ModelStatus>>,
}

/// The newest state, and whoever waits for the next one.
#[derive(Debug, Default)]
pub(crate) struct StatusBoard {
    newest: watch::Sender<Arc<Statuses>>,
}

impl StatusBoard {
    pub(crate) fn newest(&self) -> Arc<Statuses> {
        Arc::clone(&self.newest.borrow())
    }

    /// Every state from now on; a reader that is slow sees the newest only.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Statuses>> {
        self.newest.subscribe()
    }

    /// The loader begins to read a version. One that comes from two sides, because a look has found what
    /// a change brings along, does not go back to where it was.
    pub(super) fn loading(&self, model: &str, version: u64) {
        self.set(model, version, |before| {
            let is_ahead = |before: &VersionStatus| before.stage == Stage::Warming;
            before.filter(is_ahead).unwrap_or_else(|| VersionStatus::new(Stage::Loading))
        });
    }

    /// The version has been read, and must prove itself; one that is not wanted any more says nothing.
    pub(super) fn warming(&self, model: &str, version: u64) {
        self.newest.send_if_modified(|now| {
            let known = now.models.get(model).and_then(|known| known.versions.get(&version));
            if known.is_none_or(|version| version.stage != Stage::Loading) {
                return false;
            }
            if let Some(known) = Arc::make_mut(now).models.get_mut(model) {
                let versions = &mut Arc::make_mut(known).versions;
                versions.insert(version, VersionStatus::new(Stage::Warming));
            }
            true
        });
    }

    /// The version could not be loaded. One that fails again has failed since the first time.
    pub(super) fn failed(&self, model: &str, version: u64, reason: &str) {
        self.set(model, version, |before| {
            let failed = VersionStatus::new(Stage::Failed);
            let since = before.filter(|before| before.stage == Stage::Failed);
            let since_us = since.map_or(failed.since_us, |before| before.since_us);
            VersionStatus { reason: reason.to_owned(), since_us, ..failed }
        });
    }

    /// The version goes out of service with the next snapshot.
    pub(super) fn draining(&self, model: &str, version: u64) {
        self.set(model, version, |before| VersionStatus {
            loaded: before.and_then(|before| before.loaded),
            ..VersionStatus::new(Stage::Draining)
        });
    }

    /// The version was on its way, and is not wanted any more.
    pub(super) fn forget(&self, model: &str, version: u64) {
        self.newest.send_if_modified(|now| {
            let known = now.models.get(model).and_then(|known| known.versions.get(&version));
            if known.is_none_or(|version| version.stage == Stage::Draining) {
                return false;
            }
            if let Some(known) = Arc::make_mut(now).models.get_mut(model) {
                Arc::make_mut(known).versions.remove(&version);
            }
            true
        });
    }

    /// Nobody has the version any more.
    pub(super) fn gone(&self, model: &str, version: u64) {
        self.newest.send_if_modified(|now| {
            let drains = now.models.get(model).and_then(|known| known.versions.get(&version));
            // It may have been loaded anew since.
            if drains.is_none_or(|version| version.stage != Stage::Draining) {
                return false;
            }
            let now = Arc::make_mut(now);
            if let Some(known) = now.models.get_mut(model) {
                Arc::make_mut(known).versions.remove(&version);
            }
            true
        });
    }

    /// The snapshot with these models is the one that requests find. `changed` are those that it has
    /// new.
    pub(super) fn settle(
        &self,
        models: &BTreeMap<String, Arc<LiveModel>>,
        changed: impl Fn(&str, &Arc<LiveModel>) -> bool,
    ) {
        self.newest.send_modify(|now| {
            let now = Arc::make_mut(now);
            now.started = true;
            now.models.retain(|name, _| models.contains_key(name));
            for (name, live) in models {
                let before = now.models.get(name).map(|before| &**before);
                if before.is_none() || changed(name, live) {
                    let after = settled(live, before.unwrap_or(&ModelStatus::default()));
                    now.models.insert(name.clone(), Arc::new(after));
                }
            }
        });
    }

    fn set(
        &self,
        model: &str,
        version: u64,
        status: impl FnOnce(Option<VersionStatus>) -> VersionStatus,
    ) {
        self.newest.send_modify(|now| {
            let known = Arc::make_mut(now).models.entry(model.to_owned()).or_default();
            let versions = &mut Arc::make_mut(known).versions;
            let before = versions.remove(&version);
            versions.insert(version, status(before));
        });
    }
}

fn settled(live: &LiveModel, before: &ModelStatus) -> ModelStatus {
    let in_service = |version: u64| {
        live.aliases.values().chain(&live.in_traffic).any(|one| one.version == version)
    };
    let state = live.state.as_deref();
    let loaded = live.loaded();
    let mut versions: BTreeMap<u64, VersionStatus> = BTreeMap::new();
    for (&version, status) in &before.versions {
        let wanted = || state.is_some_and(|state| points_at(state, version));
        let stays = match status.stage {
            Stage::Draining => true,
            Stage::Failed | Stage::Loading | Stage::Warming => wanted(),
            Stage::Ready | Stage::Serving => false,
        };
        if stays && !loaded.contains_key(&version) {
            versions.insert(version, status.clone());
        }
    }
    for (version, served) in loaded {
        let stage = if in_service(version) { Stage::Serving } else { Stage::Ready };
        let same = before.versions.get(&version).filter(|before| before.stage == stage);
        let since_us = same.map_or_else(now_us, |before| before.since_us);
        let facts = LoadedFacts {
            digest: served.digest.clone(),
            load_us: served.load_us,
            file_bytes: served.file_bytes,
            stats: Arc::clone(&served.stats),
        };
        let status = VersionStatus { stage, reason: String::new(), since_us, loaded: Some(facts) };
        versions.insert(version, status);
    }
    ModelStatus {
        generation: live.generation,
        etag: state.map(|state| state.etag.clone()).unwrap_or_default(),
        aliases: live.aliases.iter().map(|(alias, one)| (alias.clone(), one.version)).collect(),
        traffic: state.and_then(|state| state.traffic.clone()),
        archived: state.map(|state| state.archived.iter().copied().collect()).unwrap_or_default(),
        versions,
        error: live.error(),
    }
}

/// Whether an alias or the traffic of the state is for the version.
pub(super) fn points_at(state: &ModelState, version: u64) -> bool {
    let split = state.traffic.iter().flat_map(Traffic::versions);
    state.aliases.values().chain(split).any(|used| *used == version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(board: &StatusBoard) -> Stage {
        board.newest().models["churn"].versions[&2].stage
    }

    #[test]
    fn what_comes_from_two_sides_does_not_go_back() {
        let board = StatusBoard::default();
        board.loading("churn", 2);
        assert_eq!(stage(&board), Stage::Loading);
        board.warming("churn", 2);
        board.loading("churn", 2);
        assert_eq!(stage(&board), Stage::Warming);
        // Tried again, it begins anew.
        board.failed("churn", 2, "no file");
        board.loading("churn", 2);
        assert_eq!(stage(&board), Stage::Loading);
    }
}
