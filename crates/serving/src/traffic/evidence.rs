//! Carries what this server counts of its shadows to the registry, where a restart does not lose it and
//! the counts of all servers are one.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use segue_registry::{Registry, RegistryError, ShadowCounts};

use super::tally::Tallies;
use crate::ServeError;
use crate::priority::{MODELS, give_way};

/// How often new counts are kept: what a server that is killed may lose.
const INTERVAL: Duration = Duration::from_secs(10);

/// What one run of a server has counted, on its way to the registry.
#[derive(Debug)]
pub(crate) struct Evidence {
    registry: Registry,
    tallies: Arc<Tallies>,
    /// The name of its files: of this run and no other.
    run: String,
    /// What was kept last of each model. Held while a file is written, so that no older counts come
    /// after newer ones.
    kept: Mutex<BTreeMap<String, Vec<ShadowCounts>>>,
}

/// Ends the thread that keeps counts when it is dropped.
#[derive(Debug)]
pub(crate) struct EvidenceHandle {
    _stop: Sender<()>,
}

impl Evidence {
    pub(crate) fn new(registry: Registry, tallies: Arc<Tallies>, now_us: i64) -> Self {
        // Keyed by the system's random numbers.
        let drawn = RandomState::new().hash_one((now_us, std::process::id()));
        let run = format!("{:013}-{drawn:016x}", now_us / 1000);
        Self { registry, tallies, run, kept: Mutex::default() }
    }

    /// Starts the thread that keeps new counts from time to time.
    pub(crate) fn start(self: Arc<Self>) -> Result<EvidenceHandle, ServeError> {
        let (stop, stopped): (Sender<()>, Receiver<()>) = channel();
        let keep = move || {
            give_way(MODELS);
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                self.keep_all();
            }
        };
        std::thread::Builder::new().name("segue-evidence".to_owned()).spawn(keep).map_err(
            |source| ServeError::Resource {
                action: "start the thread that keeps the counts of shadows",
                source: source.into(),
            },
        )?;
        Ok(EvidenceHandle { _stop: stop })
    }

    /// What all runs of all servers have counted of a model, this one's rows of this moment included.
    pub(crate) fn of(&self, model: &str) -> Result<Vec<ShadowCounts>, RegistryError> {
        self.keep(model)?;
        self.registry.evidence(model)
    }

    /// Keeps what is new of a model.
    pub(crate) fn keep(&self, model: &str) -> Result<(), RegistryError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.tallies.of(model);
        if kept.get(model).map_or(now.is_empty(), |kept| *kept == now) {
            return Ok(());
        }
        self.registry.keep_evidence(model, &self.run, now.clone())?;
        kept.insert(model.to_owned(), now);
        Ok(())
    }

    /// Keeps what is new of all models; what cannot be kept is kept later.
    pub(crate) fn keep_all(&self) {
        for model in self.tallies.models() {
            if let Err(error) = self.keep(&model) {
                tracing::warn!(model, %error, "the counts of shadows are not kept yet");
            }
        }
    }
}
