//! Ends what goes wrong: a canary that breaches loses its share, a new champion its place.
//!
//! What is done is an event of the registry like any other, bound to the state that was judged: if a
//! person, or the guard of another replica, has changed it since, nothing is done.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use segue_registry::{
    Action, CHAMPION, EventRecord, Registry, RegistryError, RollbackRequest, Traffic,
    TrafficRequest,
};

use super::judge::{Judge, Remedy, Seen, Verdict};
use crate::live::{LiveModel, LiveModels, LoaderHandle};
use crate::metrics::{GuardLabels, Metrics};
use crate::scoring_service::now_us;
use crate::{GuardOptions, ServeError};

/// Who the audit trail says it was.
pub(crate) const GUARD_ACTOR: &str = "segue-guard";

/// Watches over the traffic on a thread of its own.
#[derive(Debug)]
pub(crate) struct TrafficGuard {
    registry: Registry,
    live: Arc<LiveModels>,
    loader: LoaderHandle,
    metrics: Arc<Metrics>,
    judge: Judge,
    probation: Duration,
    /// By model: the state and the champion for which it was read, and where that came from and when, if
    /// by a promotion.
    promotions: BTreeMap<String, (String, u64, Option<Promotion>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Promotion {
    from: u64,
    time_us: i64,
}

/// The thread ends when this is dropped.
#[derive(Debug)]
pub(crate) struct GuardHandle {
    _stop: Sender<()>,
}

impl TrafficGuard {
    pub(crate) fn new(
        registry: Registry,
        live: Arc<LiveModels>,
        loader: LoaderHandle,
        metrics: Arc<Metrics>,
        options: &GuardOptions,
    ) -> Self {
        Self {
            registry,
            live,
            loader,
            metrics,
            judge: Judge::new(options.clone()),
            probation: options.probation,
            promotions: BTreeMap::new(),
        }
    }

    /// Starts the thread.
    pub(crate) fn start(mut self, interval: Duration) -> Result<GuardHandle, ServeError> {
        let (stop, stopped) = channel();
        let mut look = move |inbox: &Receiver<()>| {
            let started = Instant::now();
            while inbox.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                let look = || self.look(started.elapsed(), now_us());
                if let Err(panic) = catch_unwind(AssertUnwindSafe(look)) {
                    self.metrics.requests.panics.inc();
                    let panic = crate::guard::panic_text(&*panic);
                    tracing::error!(panic, "the guard of the traffic panicked");
                }
            }
        };
        std::thread::Builder::new()
            .name("segue-guard".to_owned())
            .spawn(move || look(&stopped))
            .map_err(|source| ServeError::Resource {
                action: "start the guard's thread",
                source: source.into(),
            })?;
        Ok(GuardHandle { _stop: stop })
    }

    /// Looks at every model, and acts. `now` is since any moment that stays, `now_us` the time of day.
    fn look(&mut self, now: Duration, now_us: i64) {
        let snapshot = self.live.snapshot();
        self.judge.retain(|model| snapshot.models.contains_key(model));
        self.promotions.retain(|model, _| snapshot.models.contains_key(model));
        for (model, live) in &snapshot.models {
            let Some(champion) = live.aliases.get(CHAMPION) else { continue };
            let promotion = self.promotion(model, live, champion.version);
            let is_new = |promotion: &Promotion| {
                let age_us = now_us.saturating_sub(promotion.time_us);
                u128::from(age_us.unsigned_abs()) < self.probation.as_micros()
            };
            let canary = live.split.as_ref().and_then(|split| split.canary.as_ref());
            let seen = Seen {
                model,
                etag: &live.etag,
                champion: (champion.version, champion.stats.behaviour.read()),
                canary: canary
                    .map(|canary| (canary.served.version, canary.served.stats.behaviour.read())),
                promoted_from: promotion.filter(is_new).map(|promotion| promotion.from),
            };
            if let Some(verdict) = self.judge.look(seen, now) {
                self.execute(&verdict);
            }
        }
        self.metrics.traffic.guard_looks.inc();
    }

    /// The promotion that made this version the champion, if it was one. The events are read once for
    /// each state.
    fn promotion(&mut self, model: &str, live: &LiveModel, champion: u64) -> Option<Promotion> {
        if let Some((etag, version, known)) = self.promotions.get(model)
            && (etag, *version) == (&live.etag, champion)
        {
            return *known;
        }
        let log = match self.registry.log(model) {
            Ok(log) => log,
            Err(error) => {
                tracing::warn!(model, %error, "the guard cannot read the model's events");
                return None;
            }
        };
        let promotion = log.iter().rev().find_map(|event| of_champion(event, champion)).flatten();
        self.promotions.insert(model.to_owned(), (live.etag.clone(), champion, promotion));
        promotion
    }

    fn execute(&mut self, verdict: &Verdict) {
        let Verdict { model, etag, version, reason, action } = verdict;
        let done = match action {
            Remedy::StopCanary => self.stop_canary(verdict),
            Remedy::RollBack => self.roll_back(verdict),
        };
        let ended = match (&done, action) {
            (Ok(()), Remedy::StopCanary) => "canary_stopped",
            (Ok(()), Remedy::RollBack) => "rolled_back",
            (Err(RegistryError::EtagMismatch { .. } | RegistryError::Conflict { .. }), _) => {
                "state_moved"
            }
            (Err(_), _) => "failed",
        };
        let labels = GuardLabels { model: model.clone(), action: ended };
        self.metrics.traffic.guard_actions.get_or_create(&labels).inc();
        match &done {
            Ok(()) => tracing::warn!(model, version, reason, ended, "the guard has acted"),
            Err(error) => tracing::warn!(model, version, reason, ended, %error, "a breach stands"),
        }
        // Storage that fails may be well at the next look; nothing else changes by trying again.
        if !matches!(done, Err(RegistryError::Io { .. })) {
            self.judge.close(model, etag);
        }
        self.loader.nudge(model);
    }

    /// Takes the canary's share and leaves the rest of the policy, for a person to look at.
    fn stop_canary(&self, verdict: &Verdict) -> Result<(), RegistryError> {
        let state = self.registry.model(&verdict.model)?;
        let traffic = state.traffic.map(|traffic| Traffic { canary_basis_points: 0, ..traffic });
        self.registry.set_traffic(&TrafficRequest {
            model: verdict.model.clone(),
            traffic,
            etag: Some(verdict.etag.clone()),
            actor: GUARD_ACTOR.to_owned(),
            reason: format!("canary version {}: {}", verdict.version, verdict.reason),
            ..TrafficRequest::default()
        })?;
        Ok(())
    }

    fn roll_back(&self, verdict: &Verdict) -> Result<(), RegistryError> {
        self.registry.rollback(&RollbackRequest {
            model: verdict.model.clone(),
            etag: Some(verdict.etag.clone()),
            actor: GUARD_ACTOR.to_owned(),
            reason: format!("new champion version {}: {}", verdict.version, verdict.reason),
            ..RollbackRequest::default()
        })?;
        Ok(())
    }
}

/// Of an event that made this version the champion: the promotion, if it was one from another version.
/// A rollback puts back what was trusted before and is under no guard. An event that made another the
/// champion is of a state that could not be loaded.
fn of_champion(event: &EventRecord, version: u64) -> Option<Option<Promotion>> {
    match &event.action {
        Action::Promoted { alias, from, to, .. } if alias == CHAMPION && *to == version => {
            Some(from.map(|from| Promotion { from, time_us: event.time_us }))
        }
        Action::RolledBack { alias, to, .. } if alias == CHAMPION && *to == version => Some(None),
        _ => None,
    }
}
