//! What is served: one snapshot of all models, replaced as a whole and never edited.
//!
//! A request takes the snapshot once and keeps it, so that a swap neither waits for it nor changes
//! it midway. Everything slow happens on threads beside.

mod handle;
mod load;
mod loader;
mod next;
mod predictions;
mod select;
mod stats;
mod status;
mod swaps;
mod tried;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use segue_registry::{CHAMPION, ModelState};
use serde::Serialize;
use tokio::sync::watch;

pub(crate) use self::handle::LoaderHandle;
pub(crate) use self::load::{LoadError, ServedVersion, check, prove};
pub(crate) use self::loader::Loader;
pub(crate) use self::select::{Selected, Selection, Variant};
pub(crate) use self::stats::{Counted, Stats};
pub(crate) use self::status::{ModelStatus, Stage, StatusBoard, Statuses, VersionStatus};
use self::tried::Tried;
use crate::traffic::Split;

/// All models as they are served at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Whether the registry has been read at all.
    pub(crate) started: bool,
    pub(crate) models: BTreeMap<String, Arc<LiveModel>>,
}

/// One model as it is served.
#[derive(Debug, Clone, Default)]
pub(crate) struct LiveModel {
    /// State of the registry that is in effect. While the champion could not be loaded the one that it
    /// is kept from.
    pub(crate) generation: u64,
    /// Of the same state.
    pub(crate) etag: String,
    /// What the registry said when it was last read.
    pub(crate) state: Option<Arc<ModelState>>,
    /// What each alias gives; an alias whose version never loaded is not here.
    pub(crate) aliases: BTreeMap<String, Arc<ServedVersion>>,
    /// The champion before this one: a rollback finds it warm.
    pub(crate) previous: Option<Arc<ServedVersion>>,
    /// Versions that the traffic policy names: in memory whatever their share, so that a ramp finds
    /// them warm.
    pub(crate) in_traffic: Vec<Arc<ServedVersion>>,
    /// What of the traffic policy is in effect, if anything.
    pub(crate) split: Option<Arc<Split>>,
    /// Every published version.
    pub(crate) published: BTreeSet<u64>,
    /// Aliases of the registry that give nothing yet.
    pub(crate) unloaded_aliases: BTreeSet<String>,
    /// Why the newest state is not served, if it is not.
    pub(crate) load_error: Option<String>,
    /// Why the traffic is not split as the newest state says, if it is not.
    pub(crate) traffic_error: Option<String>,
}

impl LiveModel {
    /// Versions in memory, each once.
    pub(crate) fn loaded(&self) -> BTreeMap<u64, &Arc<ServedVersion>> {
        self.in_memory().map(|one| (one.version, one)).collect()
    }

    /// A version in memory.
    pub(crate) fn version(&self, version: u64) -> Option<&Arc<ServedVersion>> {
        self.in_memory().find(|one| one.version == version)
    }

    /// Version that answers who names none.
    pub(crate) fn champion(&self) -> Option<u64> {
        self.aliases.get(CHAMPION).map(|champion| champion.version)
    }

    fn in_memory(&self) -> impl Iterator<Item = &Arc<ServedVersion>> {
        self.aliases.values().chain(&self.previous).chain(&self.in_traffic)
    }

    /// Everything that is not as the registry says, for people.
    pub(crate) fn error(&self) -> Option<String> {
        let errors: Vec<&str> = [&self.load_error, &self.traffic_error]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        (!errors.is_empty()).then(|| errors.join("; "))
    }
}

/// What health, `/readyz` and operators see.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Readiness {
    pub(crate) ready: bool,
    pub(crate) draining: bool,
    /// Whether the models of the registry have ever been listed.
    pub(crate) registry_read: bool,
    /// Whether each model has a champion in memory, and everything else that it points at has been tried
    /// once. The required ones are here from the start, the others as soon as the registry is known to
    /// have them.
    pub(crate) models: BTreeMap<String, bool>,
}

/// The snapshot and who wants to know when it changes.
#[derive(Debug)]
pub(crate) struct LiveModels {
    snapshot: ArcSwap<Snapshot>,
    readiness: watch::Sender<Readiness>,
    pub(crate) status: StatusBoard,
    /// When this was made: what the age of the registry is counted from.
    born: Instant,
    /// When the registry last answered, in microseconds after [`born`](Self::born); 0 for never.
    registry_answered_us: AtomicU64,
    required: Vec<String>,
}

impl LiveModels {
    /// Nothing loaded, not ready.
    pub(crate) fn new(required: Vec<String>) -> Self {
        let models = required.iter().map(|name| (name.clone(), false)).collect();
        let readiness = watch::Sender::new(Readiness { models, ..Readiness::default() });
        Self {
            snapshot: ArcSwap::default(),
            readiness,
            status: StatusBoard::default(),
            born: Instant::now(),
            registry_answered_us: AtomicU64::new(0),
            required,
        }
    }

    /// The snapshot of this moment.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Whether the registry had the model when it was last listed, or the server waits for it.
    pub(crate) fn knows(&self, model: &str) -> bool {
        self.readiness.borrow().models.contains_key(model)
    }

    /// Readiness of this moment.
    pub(crate) fn readiness(&self) -> Readiness {
        self.readiness.borrow().clone()
    }

    /// Every change of readiness.
    pub(crate) fn watch_readiness(&self) -> watch::Receiver<Readiness> {
        self.readiness.subscribe()
    }

    /// Why models are not served as the registry says, by model.
    pub(crate) fn load_errors(&self) -> BTreeMap<String, String> {
        let snapshot = self.snapshot.load();
        let failed = |(name, live): (&String, &Arc<LiveModel>)| {
            live.error().map(|error| (name.clone(), error))
        };
        snapshot.models.iter().filter_map(failed).collect()
    }

    /// How long ago the registry last answered; `None` if it never has. Asked of the clock and not of
    /// whoever reads the registry, because a read that hangs tells nothing.
    pub(crate) fn registry_age(&self) -> Option<Duration> {
        let answered = self.registry_answered_us.load(Ordering::Relaxed);
        (answered != 0).then(|| self.born.elapsed().saturating_sub(Duration::from_micros(answered)))
    }

    /// For how long the registry has not answered, zero while it answers at least every `expected`.
    pub(crate) fn registry_stale(&self, expected: Duration) -> Duration {
        let age = self.registry_age().unwrap_or_else(|| self.born.elapsed());
        if age <= expected { Duration::ZERO } else { age }
    }

    /// From now on not ready, whatever is loaded.
    pub(crate) fn drain(&self) {
        self.readiness.send_modify(|readiness| {
            readiness.ready = false;
            readiness.draining = true;
        });
    }

    /// The registry has these models; those that nothing is known of yet are not served. What is found
    /// where a registry was is no answer of it unless it `has_answered`.
    fn announce(&self, names: &[String], has_answered: bool) {
        if has_answered {
            let after = u64::try_from(self.born.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.registry_answered_us.store(after.max(1), Ordering::Relaxed);
        }
        self.readiness.send_if_modified(|now| {
            let (was_read, n_before) = (now.registry_read, now.models.len());
            now.registry_read = true;
            for name in names {
                now.models.entry(name.clone()).or_insert(false);
            }
            !was_read || now.models.len() > n_before
        });
    }

    /// From now on requests find this snapshot. Who waits for readiness is told by
    /// [`tell_readiness`](Self::tell_readiness), after everything else that they may look at.
    fn publish(&self, snapshot: Snapshot) -> Arc<Snapshot> {
        let snapshot = Arc::new(snapshot);
        self.snapshot.store(Arc::clone(&snapshot));
        snapshot
    }

    /// A model is ready when its champion is in memory and it is among the `tried`: a replica that comes
    /// back in the middle of an experiment must not give the champion to the users of the canary, nor
    /// refuse those who name another alias. Whoever requires no models waits until all that were found at
    /// the start have been tried.
    fn tell_readiness(&self, snapshot: &Snapshot, tried: &Tried) {
        let is_ready = |name: &String, live: &LiveModel| {
            live.aliases.contains_key(CHAMPION) && tried.models.contains(name)
        };
        let mut models: BTreeMap<String, bool> =
            self.required.iter().map(|name| (name.clone(), false)).collect();
        let found = snapshot.models.iter();
        models.extend(found.map(|(name, live)| (name.clone(), is_ready(name, live))));
        let ready = snapshot.started
            && if self.required.is_empty() {
                tried.all && models.values().any(|ready| *ready)
            } else {
                self.required.iter().all(|name| models.get(name) == Some(&true))
            };
        self.readiness.send_if_modified(|now| {
            let ready = ready && !now.draining;
            let next = Readiness { ready, models, ..now.clone() };
            let changed = *now != next;
            *now = next;
            changed
        });
    }
}
