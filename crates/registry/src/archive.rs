//! Archiving: a version that nothing may point at. An event says so; the version itself never changes.

use crate::chain::Change;
use crate::changes::{Applied, Begin, Terms};
use crate::error::RegistryError;
use crate::event::Action;
use crate::registry::{Registry, position};
use crate::state::ModelState;

/// Asks that a version be taken out of use, or that it may be used again.
#[derive(Debug, Clone, Default)]
pub struct ArchiveRequest {
    /// Name of the model.
    pub model: String,
    /// The version.
    pub version: u64,
    /// The state that this was decided on; `None` takes whatever state there is.
    pub etag: Option<String>,
    /// Makes the request safe to repeat; empty for none.
    pub request_id: String,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Runs the same checks and writes nothing.
    pub validate_only: bool,
}

impl Registry {
    /// Takes a version out of use: it keeps its number and its files, and can be read, but not be
    /// promoted, rolled back to, given an alias or traffic.
    ///
    /// # Errors
    /// [`RegistryError::VersionInUse`] while an alias or the traffic points at it,
    /// [`RegistryError::VersionNotFound`], [`RegistryError::EtagMismatch`] or
    /// [`RegistryError::Conflict`].
    pub fn archive(&self, request: &ArchiveRequest) -> Result<Applied, RegistryError> {
        self.set_archived(request, true)
    }

    /// Lets an archived version be used again.
    ///
    /// # Errors
    /// As [`archive`](Self::archive), but for the first.
    pub fn restore(&self, request: &ArchiveRequest) -> Result<Applied, RegistryError> {
        self.set_archived(request, false)
    }

    fn set_archived(
        &self,
        request: &ArchiveRequest,
        archived: bool,
    ) -> Result<Applied, RegistryError> {
        let ArchiveRequest { model, version, etag, request_id, actor, reason, .. } = request;
        let terms = Terms { model, etag: etag.as_deref(), request_id, actor, reason };
        let same = |action: &Action| match action {
            Action::Archived { version: done, .. } => archived && done == version,
            Action::Restored { version: done, .. } => !archived && done == version,
            _ => false,
        };
        let base = match self.begin(&terms, same)? {
            Begin::Done(event) => return Ok(Applied::by(&event)),
            Begin::From(base) => base,
        };
        let digest = self.manifest(model, *version)?.digest;
        let (generation, state) = position(base.as_ref());
        let users = state.users_of(*version);
        if archived && !users.is_empty() {
            let (model, users) = (model.clone(), users.join(", "));
            return Err(RegistryError::VersionInUse { model, version: *version, users });
        }
        if request.validate_only || state.archived.contains(version) == archived {
            return Ok(Applied::nothing(ModelState::new(model, generation, state)));
        }
        let event = self.commit(&terms, base, |mut state| {
            let (version, digest) = (*version, digest.clone());
            let action = if archived {
                state.archived.insert(version);
                Action::Archived { version, digest }
            } else {
                state.archived.remove(&version);
                Action::Restored { version, digest }
            };
            Change::new(action, state)
        })?;
        Ok(Applied::by(&event))
    }
}
