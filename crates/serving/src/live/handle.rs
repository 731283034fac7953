//! How others talk to the loader's thread.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};

use segue_registry::LoadedVersion;
use tokio::sync::oneshot;

use super::worker::{Outcome, Wanted};
use crate::ServingError;

/// What the thread is asked for.
#[derive(Debug)]
pub(super) enum Command {
    Refresh(Refresh),
    Loaded(Wanted, Outcome),
    Stop,
}

/// Asks that a model be read now.
#[derive(Debug)]
pub(super) struct Refresh {
    pub(super) model: String,
    /// Versions that need not be read.
    pub(super) loaded: Vec<LoadedVersion>,
    pub(super) waits_for: WaitsFor,
    pub(super) done: oneshot::Sender<()>,
}

/// When a refresh is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// The champion is there, or cannot be had. Other versions may take their time.
    Champion,
    /// Everything that the model points at, what failed before included.
    Everything,
}

/// Talks to the loader's thread, which ends when the last of these is gone.
#[derive(Debug, Clone)]
pub(crate) struct LoaderHandle {
    commands: Sender<Command>,
    alive: Arc<()>,
}

impl LoaderHandle {
    pub(super) fn new(commands: Sender<Command>) -> Self {
        Self { commands, alive: Arc::default() }
    }

    /// Tells whether any of these is left. The threads that load hold the channel open too.
    pub(super) fn alive(&self) -> Weak<()> {
        Arc::downgrade(&self.alive)
    }

    /// Has the model read at once; afterwards the snapshot is what is there of it. Versions of it that
    /// have been `loaded` and proven are taken as they are.
    pub(crate) async fn refresh(
        &self,
        model: &str,
        loaded: Vec<LoadedVersion>,
    ) -> Result<(), ServingError> {
        self.ask(model, loaded, WaitsFor::Champion).await
    }

    /// Has the model read at once; afterwards each of its versions is loaded or has failed again.
    pub(crate) async fn load(&self, model: &str) -> Result<(), ServingError> {
        self.ask(model, Vec::new(), WaitsFor::Everything).await
    }

    async fn ask(
        &self,
        model: &str,
        loaded: Vec<LoadedVersion>,
        waits_for: WaitsFor,
    ) -> Result<(), ServingError> {
        let (done, is_done) = oneshot::channel();
        let refresh = Refresh { model: model.to_owned(), loaded, waits_for, done };
        self.commands.send(Command::Refresh(refresh)).map_err(|_| ServingError::Draining)?;
        is_done.await.map_err(|_| ServingError::Draining)
    }

    /// Has the model read soon.
    pub(crate) fn nudge(&self, model: &str) {
        let (model, done) = (model.to_owned(), oneshot::channel().0);
        let waits_for = WaitsFor::Champion;
        let refresh = Refresh { model, loaded: Vec::new(), waits_for, done };
        // Nobody waits; an error says that the thread has ended.
        let _ = self.commands.send(Command::Refresh(refresh));
    }

    /// Ends the thread after what it is doing.
    pub(crate) fn stop(&self) {
        // An error says that it has ended already.
        let _ = self.commands.send(Command::Stop);
    }
}
