//! The thread that follows the registry: it alone swaps and frees. Versions are loaded beside it.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use segue_registry::{CHAMPION, ModelState, Registry, RegistryError};
use tokio::sync::oneshot;

use super::handle::{Command, LoaderHandle, Refresh, WaitsFor};
use super::next::{Missing, fill_aliases, fill_traffic, place};
use super::status::points_at;
use super::swaps::Swaps;
use super::tried::Tried;
use super::worker::{Outcome, Wanted, Workshop};
use super::{LiveModel, LiveModels, ServedVersion, Snapshot};
use crate::ServeError;
use crate::guard::panic_text;
use crate::metrics::{Metrics, ModelLabels};
use crate::priority::{MODELS, give_way};

/// A failed load is tried again after this long at most.
const MAX_RETRY: Duration = Duration::from_secs(60);

/// Follows the registry.
#[derive(Debug)]
pub(crate) struct Loader {
    workshop: Workshop,
    jobs: Sender<Wanted>,
    poll_interval: Duration,
    /// Versions that are being loaded, or will be.
    pending: BTreeSet<Wanted>,
    /// Why versions that are pointed at could not be loaded when they were last tried.
    failures: BTreeMap<Wanted, String>,
    tried: Tried,
    swaps: Swaps,
    /// Models whose newest state could not be loaded, and when to try again.
    retries: BTreeMap<String, Retry>,
    /// Who waits for what of which model.
    waiting: Vec<Waiting>,
    /// Versions out of service that a request may still hold. They are freed here, not there.
    retired: Vec<Arc<ServedVersion>>,
}

/// A model, what of it is waited for, and who is told.
type Waiting = (String, WaitsFor, oneshot::Sender<()>);

#[derive(Debug, Clone, Copy)]
struct Retry {
    generation: u64,
    at: Instant,
    wait: Duration,
}

/// Why a model is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It is time: what has not changed is left alone.
    Poll,
    /// Something has changed, in the registry or in memory.
    Changed,
    /// Somebody wants what failed to be tried again.
    Retry,
}

/// A look at a model.
#[derive(Debug, Clone, Copy)]
struct Look<'a> {
    why: Why,
    /// Versions that have come, or cannot.
    arrived: &'a BTreeMap<u64, Outcome>,
    /// When this server heard that the registry has changed, if it did before the registry was asked.
    told: Option<Instant>,
}

impl Loader {
    /// Starts the thread, and those that load.
    pub(crate) fn start(
        registry: Registry,
        live: Arc<LiveModels>,
        metrics: Arc<Metrics>,
        poll_interval: Duration,
    ) -> Result<(LoaderHandle, JoinHandle<()>), ServeError> {
        let (commands, inbox) = channel();
        let results = commands.clone();
        let workshop = Workshop { registry, live, metrics };
        let jobs = workshop.start(move |wanted, outcome| {
            // An error says that the server has ended.
            let _ = results.send(Command::Loaded(wanted, outcome));
        })?;
        let loader = Self::new(workshop, jobs, poll_interval);
        let handle = LoaderHandle::new(commands);
        let alive = handle.alive();
        let thread = std::thread::Builder::new()
            .name("segue-loader".to_owned())
            .spawn(move || loader.run(&inbox, &alive))
            .map_err(|source| ServeError::Resource {
                action: "start the loader's thread",
                source: source.into(),
            })?;
        Ok((handle, thread))
    }

    fn new(workshop: Workshop, jobs: Sender<Wanted>, poll_interval: Duration) -> Self {
        Self {
            workshop,
            jobs,
            poll_interval,
            pending: BTreeSet::new(),
            failures: BTreeMap::new(),
            tried: Tried::default(),
            swaps: Swaps::default(),
            retries: BTreeMap::new(),
            waiting: Vec::new(),
            retired: Vec::new(),
        }
    }

    fn run(mut self, inbox: &Receiver<Command>, alive: &Weak<()>) {
        give_way(MODELS);
        let mut next_poll = Instant::now();
        loop {
            let now = Instant::now();
            if now >= next_poll {
                self.guarded(Self::poll);
                next_poll = Instant::now() + self.poll_interval;
            }
            match inbox.recv_timeout(next_poll.saturating_duration_since(Instant::now())) {
                Ok(Command::Refresh(refresh)) => self.guarded(|loader| loader.refresh(refresh)),
                Ok(Command::Loaded(wanted, outcome)) => {
                    self.guarded(|loader| loader.loaded(wanted, outcome));
                }
                Err(RecvTimeoutError::Timeout) if alive.strong_count() > 0 => {}
                Ok(Command::Stop) | Err(_) => return,
            }
        }
    }

    /// What goes wrong with one model must not leave the others without anybody who follows them.
    fn guarded(&mut self, work: impl FnOnce(&mut Self)) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(self))) {
            self.workshop.metrics.requests.panics.inc();
            let panic = panic_text(&*panic);
            tracing::error!(panic, "the loader panicked; what is loaded stays in service");
        }
    }

    /// Brings the snapshot up to the registry, as far as it can be read.
    fn poll(&mut self) {
        let mut names = match self.workshop.registry.models() {
            Ok(names) => names,
            Err(error) => {
                tracing::warn!(%error, "the registry cannot be read; what is loaded stays in service");
                return;
            }
        };
        let old = self.workshop.live.snapshot();
        // One model may be taken out by hand; a registry that has lost all of them at once is a volume
        // that is no longer mounted.
        let is_gone = !old.models.is_empty() && old.models.keys().all(|name| !names.contains(name));
        if is_gone {
            names.extend(old.models.keys().cloned());
        }
        self.workshop.live.announce(&names, !is_gone);
        let mut changed = !old.started || old.models.keys().any(|name| !names.contains(name));
        let mut models = BTreeMap::new();
        let look = Look { why: Why::Poll, arrived: &BTreeMap::new(), told: None };
        for name in names {
            let now = old.models.get(&name);
            match self.follow(&name, now, look) {
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
            self.install(&old, models);
        }
        drop(old);
        self.free();
    }

    /// Reads one model, and answers when what is waited for is there.
    fn refresh(&mut self, refresh: Refresh) {
        let told = Some(Instant::now());
        let Refresh { model, loaded, waits_for, done } = refresh;
        let snapshot = self.workshop.live.snapshot();
        let is_here = |version| {
            snapshot.models.get(&model).is_some_and(|live| live.version(version).is_some())
        };
        let mut arrived = BTreeMap::new();
        for loaded in loaded.into_iter().filter(|one| !is_here(one.manifest.version)) {
            let version = loaded.manifest.version;
            arrived.insert(version, self.workshop.take(loaded));
        }
        drop(snapshot);
        let why = if waits_for == WaitsFor::Everything { Why::Retry } else { Why::Changed };
        self.look(&model, Look { why, arrived: &arrived, told });
        self.waiting.push((model, waits_for, done));
        self.answer();
    }

    /// A version has been loaded, or cannot be.
    fn loaded(&mut self, wanted: Wanted, outcome: Outcome) {
        self.pending.remove(&wanted);
        let (name, version) = wanted.clone();
        let arrived = BTreeMap::from([(version, outcome)]);
        self.look(&name, Look { why: Why::Changed, arrived: &arrived, told: None });
        self.answer();
    }

    /// Follows one model and has it in service.
    fn look(&mut self, name: &str, look: Look<'_>) {
        for (&version, outcome) in look.arrived {
            let wanted = (name.to_owned(), version);
            match outcome {
                Ok(_) => drop(self.failures.remove(&wanted)),
                Err(error) => {
                    self.workshop.live.status.failed(name, version, error);
                    self.failures.insert(wanted, error.clone());
                }
            }
        }
        let old = self.workshop.live.snapshot();
        // Before all models have been looked at once, nothing is known, which is not that there is
        // nothing.
        if !old.started {
            return;
        }
        let now = old.models.get(name);
        if let Some(next) = self.follow(name, now, look) {
            // A model that nothing is known of yet, not even that it is there, is not there.
            if now.is_some() || next.state.is_some() {
                let mut models = old.models.clone();
                models.insert(name.to_owned(), Arc::new(next));
                self.install(&old, models);
            }
        }
        drop(old);
        let snapshot = self.workshop.live.snapshot();
        // A failure may change nothing but that it has been tried.
        self.tell_readiness(&snapshot);
        let live = snapshot.models.get(name);
        for (&version, outcome) in look.arrived {
            // What was wanted when it was asked for need not be wanted any more.
            let is_used = live.is_some_and(|live| {
                live.version(version).is_some()
                    || live.state.as_ref().is_some_and(|state| points_at(state, version))
            });
            if !is_used {
                self.workshop.live.status.forget(name, version);
                // It has metrics by now, and goes the way of those that were in service.
                self.retired.extend(outcome.as_ref().ok().cloned());
            }
        }
        if live.is_none() {
            // What came for a model that is gone has been counted.
            self.workshop.metrics.models.forget(name);
        }
        drop(snapshot);
        self.free();
    }

    /// Answers who has waited long enough.
    fn answer(&mut self) {
        let snapshot = self.workshop.live.snapshot();
        let is_pending = |name: &String, waits_for: WaitsFor| match waits_for {
            WaitsFor::Everything => self.pending.iter().any(|(model, _)| model == name),
            WaitsFor::Champion => {
                let Some(live) = snapshot.models.get(name) else { return false };
                let champion = live.state.as_ref().and_then(|state| state.aliases.get(CHAMPION));
                champion.is_some_and(|&version| {
                    live.version(version).is_none()
                        && self.pending.contains(&(name.clone(), version))
                })
            }
        };
        let waits = |(name, waits_for, _): &Waiting| is_pending(name, *waits_for);
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        let (waiting, over): (Vec<Waiting>, Vec<Waiting>) = waiting.partition(waits);
        self.waiting = waiting;
        for (_, _, done) in over {
            // The caller may have left.
            let _ = done.send(());
        }
    }

    /// From now on requests find these models.
    fn install(&mut self, old: &Snapshot, models: BTreeMap<String, Arc<LiveModel>>) {
        self.retire(old, &models);
        let live = &self.workshop.live;
        let is_new = |name: &str, live: &Arc<LiveModel>| {
            old.models.get(name).is_none_or(|before| !Arc::ptr_eq(before, live))
        };
        for (_, live) in models.iter().filter(|(name, live)| is_new(name, live)) {
            for served in live.loaded().into_values() {
                self.workshop.metrics.models.info.get_or_create(&served.info_labels()).set(1);
            }
        }
        let snapshot = live.publish(Snapshot { started: true, models });
        Self::time_swaps(&mut self.swaps, &self.workshop.metrics, old, &snapshot);
        live.status.settle(&snapshot.models, is_new);
        // Last: who has heard of it finds it in the snapshot, and its state beside it.
        self.tell_readiness(&snapshot);
    }

    /// Requests find `new` from now on.
    fn time_swaps(swaps: &mut Swaps, metrics: &Metrics, old: &Snapshot, new: &Snapshot) {
        let now = Instant::now();
        for (name, live) in &new.models {
            let champion = live.champion();
            let before = old.models.get(name).and_then(|before| before.champion());
            if before == champion {
                continue;
            }
            if let Some(took) = swaps.done(name, champion, now) {
                let of_model = ModelLabels { model: name.clone() };
                metrics.models.swap.get_or_create(&of_model).observe(took.as_secs_f64());
            }
        }
        for name in old.models.keys().filter(|name| !new.models.contains_key(*name)) {
            swaps.forget(name);
            metrics.models.forget(name);
        }
    }

    fn tell_readiness(&mut self, snapshot: &Snapshot) {
        let failures = &self.failures;
        let has_failed = |name: &str, version| failures.contains_key(&(name.to_owned(), version));
        self.tried.look(snapshot, has_failed);
        self.workshop.live.tell_readiness(snapshot, &self.tried);
    }

    /// The model's next state, `None` if it stays as it is.
    fn follow(
        &mut self,
        name: &str,
        now: Option<&Arc<LiveModel>>,
        look: Look<'_>,
    ) -> Option<LiveModel> {
        match self.next_state(name, now, look) {
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
        look: Look<'_>,
    ) -> Result<Option<LiveModel>, RegistryError> {
        let registry = self.workshop.registry.clone();
        let generation = registry.generation(name)?;
        let seen = look.told.unwrap_or_else(Instant::now);
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
        if let Some(now) = now
            && look.why == Why::Poll
            && now.state.as_ref().is_some_and(|state| state.generation == generation)
            && self.can_wait(name, generation, now)
        {
            return Ok(None);
        }
        let state = registry.model(name)?;
        let published = registry.versions(name)?.iter().map(|one| one.version).collect();
        let known = Some(Arc::new(state.clone()));
        let mut next = LiveModel { published, state: known, ..LiveModel::default() };
        let now = now.map(|now| &**now);
        let wanted = state.aliases.get(CHAMPION).copied();
        self.swaps.look(name, now.and_then(LiveModel::champion), wanted, seen);
        self.failures.retain(|(model, version), _| model != name || points_at(&state, *version));
        let get = |version| self.get(name, version, now, look);
        let aliases_come = fill_aliases(now, &state, get, &mut next);
        let metrics = Arc::clone(&self.workshop.metrics);
        let get = |version| self.get(name, version, now, look);
        let traffic_comes = fill_traffic(&state, get, &metrics, &mut next);
        place(now, &state, aliases_come || traffic_comes, &mut next);
        self.tell(name, now, &next);
        if !self.is_pending(name) {
            self.note_failure(name, &state, next.error().is_some());
        }
        Ok(Some(next))
    }

    /// Whether a state that has been looked at needs no second look: all of it is there, or on its way,
    /// or it is too early to try again.
    fn can_wait(&self, name: &str, generation: u64, now: &LiveModel) -> bool {
        let is_early = || {
            let retry = self.retries.get(name);
            retry.is_some_and(|retry| retry.generation == generation && Instant::now() < retry.at)
        };
        now.error().is_none() || self.is_pending(name) || is_early()
    }

    fn is_pending(&self, name: &str) -> bool {
        self.pending.iter().any(|(model, _)| model == name)
    }

    /// A version, from memory if it is there. If not, it is loaded beside.
    fn get(
        &mut self,
        name: &str,
        version: u64,
        now: Option<&LiveModel>,
        look: Look<'_>,
    ) -> Result<Arc<ServedVersion>, Missing> {
        if let Some(served) = now.and_then(|now| now.version(version)) {
            return Ok(Arc::clone(served));
        }
        if let Some(outcome) = look.arrived.get(&version) {
            return outcome.clone().map_err(Missing::Failed);
        }
        let wanted = (name.to_owned(), version);
        let failure = self.failures.get(&wanted).cloned();
        if self.pending.contains(&wanted) {
            return Err(Missing::Pending(failure));
        }
        // Another version that has come is no reason to try this one again.
        if let Some(error) = failure.clone().filter(|_| look.why == Why::Changed) {
            return Err(Missing::Failed(error));
        }
        // Tried again, it has failed until it has not.
        if failure.is_none() {
            self.workshop.live.status.loading(name, version);
        }
        if self.jobs.send(wanted.clone()).is_err() {
            return Err(Missing::Failed("the threads that load have ended".to_owned()));
        }
        self.pending.insert(wanted);
        Err(Missing::Pending(failure))
    }

    /// What has changed, in log and metrics.
    fn tell(&self, name: &str, now: Option<&LiveModel>, next: &LiveModel) {
        let (before, after) = (now.and_then(LiveModel::champion), next.champion());
        let of_model = ModelLabels { model: name.to_owned() };
        self.workshop.metrics.meet(name);
        if before != after {
            self.workshop.metrics.models.swaps.get_or_create(&of_model).inc();
        }
        if let (Some(from), Some(to)) = (before, after)
            && from != to
        {
            tracing::info!(model = name, from, to, "champion swapped");
        }
        let generation = i64::try_from(next.generation).unwrap_or(i64::MAX);
        self.workshop.metrics.models.generation.get_or_create(&of_model).set(generation);
        let canary = |live: &LiveModel| {
            let canary = live.split.as_ref()?.canary.as_ref()?;
            Some((canary.served.version, canary.share.basis_points))
        };
        let (before, after) = (now.and_then(canary), canary(next));
        let (version, basis_points) = after.unwrap_or_default();
        if before != after {
            tracing::info!(model = name, version, basis_points, "canary's share changed");
        }
        // Of a share that could not be given from the start it is 0, and not nothing.
        if before != after || next.traffic_error.is_some() {
            let share = &self.workshop.metrics.traffic.canary_share;
            share.get_or_create(&of_model).set(basis_points.into());
        }
        if let Some(error) = &next.traffic_error
            && now.is_none_or(|now| now.traffic_error != next.traffic_error)
        {
            tracing::error!(model = name, %error, "the traffic is not split as the registry says");
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
                    self.workshop.live.status.draining(name, version);
                    self.workshop.metrics.models.info.remove(&served.info_labels());
                    self.retired.push(Arc::clone(served));
                }
            }
        }
    }

    /// Frees what nobody uses, and takes its metrics off the page: nothing can count there any more. The
    /// same version may be on its way back, or be there again: then they are its own.
    fn free(&mut self) {
        let retired = std::mem::take(&mut self.retired);
        let key = |served: &ServedVersion| (served.name.clone(), served.version);
        let is_used = |served: &Arc<ServedVersion>| {
            Arc::strong_count(served) > 1 || self.pending.contains(&key(served))
        };
        let (used, unused): (Vec<_>, Vec<_>) = retired.into_iter().partition(is_used);
        self.retired = used;
        let snapshot = self.workshop.live.snapshot();
        for served in unused {
            self.workshop.live.status.gone(&served.name, served.version);
            let live = snapshot.models.get(&served.name);
            let is_back = live.is_some_and(|live| live.version(served.version).is_some())
                || self.retired.iter().any(|other| key(other) == key(&served));
            if !is_back {
                self.workshop.metrics.forget(&served);
            }
        }
    }
}
