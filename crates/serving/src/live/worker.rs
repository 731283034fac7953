//! Threads that load versions, so that nothing else waits for a large one or for storage that is slow.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use segue_registry::{LoadedVersion, Registry};

use super::load::LoadError;
use super::{LiveModels, ServedVersion};
use crate::ServeError;
use crate::metrics::{Metrics, ModelResultLabels};
use crate::priority::{MODELS, give_way};

/// Versions that are loaded at the same time: one that takes minutes must not keep all others out, and
/// requests want the processors too.
const N_WORKERS: usize = 2;

/// A version of a model.
pub(super) type Wanted = (String, u64);

/// What became of a version; the reason if it cannot be served.
pub(super) type Outcome = Result<Arc<ServedVersion>, String>;

/// What turns a version of the registry into one that is served.
#[derive(Debug, Clone)]
pub(super) struct Workshop {
    pub(super) registry: Registry,
    pub(super) live: Arc<LiveModels>,
    pub(super) metrics: Arc<Metrics>,
}

impl Workshop {
    /// Starts the threads. They end when what is returned is dropped, after what they are doing.
    /// `done` is called on them.
    pub(super) fn start(
        &self,
        done: impl Fn(Wanted, Outcome) + Clone + Send + 'static,
    ) -> Result<Sender<Wanted>, ServeError> {
        let (jobs, inbox) = channel();
        let inbox = Arc::new(Mutex::new(inbox));
        for _ in 0..N_WORKERS {
            let (workshop, inbox, done) = (self.clone(), Arc::clone(&inbox), done.clone());
            std::thread::Builder::new()
                .name("segue-load".to_owned())
                .spawn(move || workshop.work(&inbox, &done))
                .map_err(|source| ServeError::Resource {
                    action: "start a thread that loads versions",
                    source: source.into(),
                })?;
        }
        Ok(jobs)
    }

    fn work(&self, inbox: &Mutex<Receiver<Wanted>>, done: &impl Fn(Wanted, Outcome)) {
        give_way(MODELS);
        loop {
            // One waits for the next job, the others for their turn to wait.
            let job = inbox.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok((name, version)) = job else { return };
            let outcome = self.load(&name, version);
            done((name, version), outcome);
        }
    }

    /// Loads a version from the registry.
    fn load(&self, name: &str, version: u64) -> Outcome {
        self.observed(name, version, || {
            let loaded = self.registry.load(name, version)?;
            self.live.status.warming(name, version);
            ServedVersion::of(&self.live, loaded, &self.metrics)
        })
    }

    /// Takes a version that has been loaded and proven.
    pub(super) fn take(&self, loaded: LoadedVersion) -> Outcome {
        let (name, version) = (loaded.manifest.model.clone(), loaded.manifest.version);
        self.live.status.loading(&name, version);
        self.live.status.warming(&name, version);
        self.observed(&name, version, || ServedVersion::of(&self.live, loaded, &self.metrics))
    }

    fn observed(
        &self,
        name: &str,
        version: u64,
        load: impl FnOnce() -> Result<ServedVersion, LoadError>,
    ) -> Outcome {
        let started = Instant::now();
        let outcome = match catch_unwind(AssertUnwindSafe(load)) {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(panic) => {
                self.metrics.requests.panics.inc();
                Err(format!("loading panicked: {}", crate::guard::panic_text(&*panic)))
            }
        };
        let result = if outcome.is_ok() { "ok" } else { "failed" };
        let labels = ModelResultLabels { model: name.to_owned(), result };
        let took = match &outcome {
            Ok(served) => served.load_us as f64 / 1e6,
            Err(_) => started.elapsed().as_secs_f64(),
        };
        self.metrics.models.load.get_or_create(&labels).observe(took);
        match outcome {
            Ok(served) => Ok(Arc::new(served)),
            Err(error) => {
                tracing::error!(model = name, version, %error, "version cannot be loaded");
                Err(error)
            }
        }
    }
}
