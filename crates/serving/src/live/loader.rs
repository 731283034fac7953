//! The thread that follows the registry: it alone loads, warms, swaps and frees.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use segue_registry::{CHAMPION, ModelState, Registry, RegistryError};
use tokio::sync::oneshot;

use super::{LiveModel, LiveModels, ServedVersion, Snapshot};
use crate::metrics::{Metrics, ModelLabels, ModelResultLabels};
use crate::priority::{MODELS, give_way};
use crate::traffic::Split;
use crate::{ServeError, ServingError};

/// A failed load is tried again after this long at most.
const MAX_RETRY: Duration = Duration::from_secs(60);

enum Command {
    /// Read the registry now, then say so.
    Refresh(oneshot::Sender<()>),
    Stop,
}

/// Talks to the loader's thread.
#[derive(Debug, Clone)]
pub(crate) struct LoaderHandle {
    commands: Sender<Command>,
}

impl LoaderHandle {
    /// Has the registry read at once; afterwards the snapshot is what could be loaded of it.
    pub(crate) async fn refresh(&self) -> Result<(), ServingError> {
        let (done, is_done) = oneshot::channel();
        self.commands.send(Command::Refresh(done)).map_err(|_| ServingError::Draining)?;
        is_done.await.map_err(|_| ServingError::Draining)
    }

    /// Has the registry read soon.
    pub(crate) fn nudge(&self) {
        // Nobody waits; an error says that the thread has ended.
        let _ = self.commands.send(Command::Refresh(oneshot::channel().0));
    }

    /// Ends the thread after what it is doing.
    pub(crate) fn stop(&self) {
        // An error says that it has ended already.
        let _ = self.commands.send(Command::Stop);
    }
}

/// Follows the registry.
#[derive(Debug)]
pub(crate) struct Loader {
    registry: Registry,
    live: Arc<LiveModels>,
    metrics: Arc<Metrics>,
    poll_interval: Duration,
    /// Models whose newest state could not be loaded, and when to try again.
    retries: BTreeMap<String, Retry>,
    /// Versions out of service that a request may still hold. They are freed here, not there.
    retired: Vec<Arc<ServedVersion>>,
    last_answer: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Retry {
    generation: u64,
    at: Instant,
    wait: Duration,
}

impl Loader {
    /// Starts the thread.
    pub(crate) fn start(
        registry: Registry,
        live: Arc<LiveModels>,
        metrics: Arc<Metrics>,
        poll_interval: Duration,
    ) -> Result<(LoaderHandle, JoinHandle<()>), ServeError> {
        let (commands, inbox) = channel();
        let loader = Self {
            registry,
            live,
            metrics,
            poll_interval,
            retries: BTreeMap::new(),
            retired: Vec::new(),
            last_answer: Instant::now(),
        };
        let thread = std::thread::Builder::new()
            .name("segue-loader".to_owned())
            .spawn(move || loader.run(&inbox))
            .map_err(|source| ServeError::Resource {
                action: "start the loader's thread",
                source: source.into(),
            })?;
        Ok((LoaderHandle { commands }, thread))
    }

    fn run(mut self, inbox: &Receiver<Command>) {
        give_way(MODELS);
        loop {
            self.pass(false);
            match inbox.recv_timeout(self.poll_interval) {
                Ok(Command::Refresh(done)) => {
                    self.pass(true);
                    // The caller may have left.
                    let _ = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Brings the snapshot up to the registry, as far as it can be read and loaded.
    fn pass(&mut self, retry_now: bool) {
        let mut names = match self.registry.models() {
            Ok(names) => names,
            Err(error) => {
                tracing::warn!(%error, "the registry cannot be read; what is loaded stays in service");
                let stale = self.last_answer.elapsed().as_secs_f64();
                self.metrics.models.registry_stale.set(stale);
                return;
            }
        };
        let old = self.live.snapshot();
        // One model may be taken out by hand; a registry that has lost all of them at once is a volume
        // that is no longer mounted.
        let is_gone = !old.models.is_empty() && old.models.keys().all(|name| !names.contains(name));
        if is_gone {
            names.extend(old.models.keys().cloned());
        } else {
            self.last_answer = Instant::now();
        }
        let stale = if is_gone { self.last_answer.elapsed() } else { Duration::ZERO };
        self.metrics.models.registry_stale.set(stale.as_secs_f64());
        self.live.announce(&names);
        let mut changed = !old.started || old.models.keys().any(|name| !names.contains(name));
        let mut models = BTreeMap::new();
        for name in names {
            let now = old.models.get(&name);
            match self.follow(&name, now, retry_now) {
                Some(live) => {
                    changed = true;
                    models.insert(name, Arc::new(live));
                }
                None => {
                    models.extend(now.map(|live| (name, Arc::clone(live))));
                }
            }
        }
        if changed {
            self.retire(&old, &models);
            let snapshot = self.live.publish(Snapshot { started: true, models });
            self.live.status.settle(&snapshot.models, |name, live| {
                old.models.get(name).is_none_or(|before| !Arc::ptr_eq(before, live))
            });
            // Last: who has heard of it finds it in the snapshot, and its state beside it.
            self.live.tell_readiness(&snapshot);
        }
        drop(old);
        self.free();
    }

    /// The model's next state, `None` if it stays as it is.
    fn follow(
        &mut self,
        name: &str,
        now: Option<&Arc<LiveModel>>,
        retry_now: bool,
    ) -> Option<LiveModel> {
        match self.next_state(name, now, retry_now) {
            Ok(next) => next,
            Err(error) => {
                let load_error = Some(error.to_string());
                // Told once and not at every look.
                if now.is_none_or(|now| now.load_error != load_error) {
                    tracing::warn!(model = name, %error, "the model's state cannot be read; it stays as it is");
                }
                match now {
                    Some(now) if now.load_error == load_error => None,
                    Some(now) => Some(LiveModel { load_error, ..LiveModel::clone(now) }),
                    None => Some(LiveModel { load_error, ..LiveModel::default() }),
                }
            }
        }
    }

    fn next_state(
        &mut self,
        name: &str,
        now: Option<&Arc<LiveModel>>,
        retry_now: bool,
    ) -> Result<Option<LiveModel>, RegistryError> {
        let generation = self.registry.generation(name)?;
        if let Some(now) = now.filter(|now| generation < now.generation) {
            let before = now.generation;
            let reason = format!(
                "generation {generation} after {before}: events are gone; what is loaded stays in \
                 service, and a restart follows a registry that was put back"
            );
            return Err(RegistryError::Corrupt {
                place: format!("the history of {name:?}"),
                reason,
            });
        }
        if let Some(now) = now {
            let retry = self.retries.get(name);
            let waits = retry.is_some_and(|retry| {
                retry.generation == generation && !retry_now && Instant::now() < retry.at
            });
            let unchanged = now.generation == generation && now.error().is_none();
            if unchanged || waits {
                return Ok(None);
            }
        }
        let state = self.registry.model(name)?;
        let published = self.registry.versions(name)?.iter().map(|one| one.version).collect();
        let known = Some(Arc::new(state.clone()));
        let mut next = LiveModel { published, state: known, ..LiveModel::default() };
        let now = now.map(|now| &**now);
        let mut versions = Versions { loader: self, name, now, fresh: BTreeMap::new() };
        load_aliases(&mut versions, &state, &mut next);
        load_traffic(&mut versions, &state, &mut next);
        self.tell(name, now, &next);
        self.note_failure(name, &state, next.error().is_some());
        Ok(Some(next))
    }

    /// What has changed, in log and metrics.
    fn tell(&self, name: &str, now: Option<&LiveModel>, next: &LiveModel) {
        let champion = |live: &LiveModel| live.aliases.get(CHAMPION).map(|one| one.version);
        let (before, after) = (now.and_then(champion), champion(next));
        let of_model = ModelLabels { model: name.to_owned() };
        if before != after {
            self.metrics.models.swaps.get_or_create(&of_model).inc();
        }
        if let (Some(from), Some(to)) = (before, after)
            && from != to
        {
            tracing::info!(model = name, from, to, "champion swapped");
        }
        let generation = i64::try_from(next.generation).unwrap_or(i64::MAX);
        self.metrics.models.generation.get_or_create(&of_model).set(generation);
        let canary = |live: &LiveModel| {
            let canary = live.split.as_ref()?.canary.as_ref()?;
            Some((canary.served.version, canary.share.basis_points))
        };
        let (before, after) = (now.and_then(canary), canary(next));
        if before != after {
            let (version, basis_points) = after.unwrap_or_default();
            tracing::info!(model = name, version, basis_points, "canary's share changed");
            self.metrics.traffic.canary_share.get_or_create(&of_model).set(basis_points.into());
        }
        if let Some(error) = &next.traffic_error {
            tracing::error!(model = name, %error, "the traffic is not split as the registry says");
        }
    }

    fn load(&self, name: &str, version: u64) -> Result<Arc<ServedVersion>, String> {
        let started = Instant::now();
        self.live.status.loading(name, version);
        let read = || self.live.status.warming(name, version);
        let load = || ServedVersion::load(&self.registry, name, version, &self.metrics, read);
        let outcome = match catch_unwind(AssertUnwindSafe(load)) {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(panic) => {
                self.metrics.requests.panics.inc();
                Err(format!("loading panicked: {}", crate::guard::panic_text(&*panic)))
            }
        };
        let result = if outcome.is_ok() { "ok" } else { "failed" };
        let labels = ModelResultLabels { model: name.to_owned(), result };
        let took = started.elapsed().as_secs_f64();
        self.metrics.models.load.get_or_create(&labels).observe(took);
        match outcome {
            Ok(served) => {
                self.metrics.models.info.get_or_create(&served.info_labels()).set(1);
                Ok(Arc::new(served))
            }
            Err(error) => {
                tracing::error!(model = name, version, %error, "version cannot be loaded");
                self.live.status.failed(name, version, &error);
                Err(error)
            }
        }
    }

    /// Waits longer after each failure of the same state.
    fn note_failure(&mut self, name: &str, state: &ModelState, failed: bool) {
        let last = self.retries.remove(name);
        if failed {
            let generation = state.generation;
            let wait = match last.filter(|last| last.generation == generation) {
                Some(last) => (last.wait * 2).min(MAX_RETRY),
                None => self.poll_interval,
            };
            let retry = Retry { generation, at: Instant::now() + wait, wait };
            self.retries.insert(name.to_owned(), retry);
        }
    }

    /// Keeps what the old snapshot has and the new one has not, until nobody uses it.
    fn retire(&mut self, old: &Snapshot, models: &BTreeMap<String, Arc<LiveModel>>) {
        for (name, live) in &old.models {
            let next = models.get(name);
            let gone = |version: u64| next.is_none_or(|next| next.version(version).is_none());
            for (version, served) in live.loaded() {
                if gone(version) {
                    self.live.status.draining(name, version);
                    self.metrics.models.info.remove(&served.info_labels());
                    self.retired.push(Arc::clone(served));
                }
            }
        }
    }

    fn free(&mut self) {
        let live = &self.live;
        self.retired.retain(|served| {
            let used = Arc::strong_count(served) > 1;
            if !used {
                live.status.gone(&served.name, served.version);
            }
            used
        });
    }
}

/// Versions of one model for its next state, each loaded once at most.
struct Versions<'a> {
    loader: &'a Loader,
    name: &'a str,
    now: Option<&'a LiveModel>,
    fresh: BTreeMap<u64, Result<Arc<ServedVersion>, String>>,
}

impl Versions<'_> {
    /// The version, from memory if it is there.
    fn get(&mut self, version: u64) -> Result<Arc<ServedVersion>, String> {
        if let Some(served) = self.now.and_then(|now| now.version(version)) {
            return Ok(Arc::clone(served));
        }
        let load = || self.loader.load(self.name, version);
        self.fresh.entry(version).or_insert_with(load).clone()
    }
}

/// Fills `next` from the registry's aliases. An alias whose version fails keeps what it gave.
fn load_aliases(versions: &mut Versions<'_>, state: &ModelState, next: &mut LiveModel) {
    let now = versions.now;
    for (alias, &version) in &state.aliases {
        let served = versions.get(version);
        if let Err(error) = &served {
            next.load_error = Some(format!("version {version}: {error}"));
        }
        let kept = || now.and_then(|now| now.aliases.get(alias)).map(Arc::clone);
        match served.ok().or_else(kept) {
            Some(served) => drop(next.aliases.insert(alias.clone(), served)),
            None => drop(next.unloaded_aliases.insert(alias.clone())),
        }
    }
    (next.generation, next.etag) = if next.load_error.is_none() {
        (state.generation, state.etag.clone())
    } else {
        now.map(|now| (now.generation, now.etag.clone())).unwrap_or_default()
    };
    let before = now.and_then(|now| now.aliases.get(CHAMPION));
    let after = next.aliases.get(CHAMPION);
    next.previous = match (before, after) {
        (Some(before), Some(after)) if before.version != after.version => Some(Arc::clone(before)),
        _ => now.and_then(|now| now.previous.clone()),
    };
}

/// Fills `next` from the traffic policy. A canary that fails has no share: the champion, which is
/// proven, answers instead. A shadow that fails is left out.
fn load_traffic(versions: &mut Versions<'_>, state: &ModelState, next: &mut LiveModel) {
    let Some(traffic) = &state.traffic else { return };
    let mut errors = Vec::new();
    let mut get = |role: &str, version: u64| match versions.get(version) {
        Ok(served) => {
            next.in_traffic.push(Arc::clone(&served));
            Some(served)
        }
        Err(error) => {
            errors.push(format!("{role} version {version}: {error}"));
            None
        }
    };
    let canary = traffic.canary_version.and_then(|version| get("canary", version));
    let shadows = traffic.shadow_versions.iter().filter_map(|&version| get("shadow", version));
    let mut shadows: Vec<Arc<ServedVersion>> = shadows.collect();
    if !errors.is_empty() {
        next.traffic_error = Some(errors.join("; "));
    }
    let champion = next.aliases.get(CHAMPION).map(|champion| champion.version);
    // A champion has all the traffic already, and no difference to itself.
    let canary = canary.filter(|canary| champion.is_some_and(|one| one != canary.version));
    shadows.retain(|shadow| champion != Some(shadow.version));
    let metrics = &versions.loader.metrics;
    next.split = Split::new(&state.model, traffic, canary, shadows, metrics).map(Arc::new);
}
