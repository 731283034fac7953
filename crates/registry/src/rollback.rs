//! Rollback: an alias goes back to a version that it has pointed to.

use crate::chain::Change;
use crate::changes::{Begin, Terms};
use crate::error::{RegistryError, list_some};
use crate::event::{Action, EventRecord};
use crate::load::LoadedVersion;
use crate::names::{CHAMPION, check_alias_name};
use crate::registry::{Registry, alias_not_found, position};

/// Asks that an alias go back.
#[derive(Debug, Clone)]
pub struct RollbackRequest {
    /// Name of the model.
    pub model: String,
    /// The alias to move. Default [`CHAMPION`].
    pub alias: String,
    /// A version that the alias has pointed to; `None` for the one before the present one.
    pub to_version: Option<u64>,
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

impl Default for RollbackRequest {
    fn default() -> Self {
        Self {
            model: String::new(),
            alias: CHAMPION.to_owned(),
            to_version: None,
            etag: None,
            request_id: String::new(),
            actor: String::new(),
            reason: String::new(),
            validate_only: false,
        }
    }
}

/// A rollback, done or (with `validate_only`) possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolledBack {
    /// Where the alias pointed before.
    pub from: u64,
    /// Where it points now.
    pub to: u64,
    /// Number of the newest event.
    pub generation: u64,
    /// The event of this rollback; `None` if nothing was written.
    pub event_id: Option<String>,
    /// The state after it.
    pub etag: String,
}

impl Registry {
    /// Moves an alias back. No gate is asked, but the version must still be whole and replay its
    /// golden rows.
    ///
    /// Rolling back twice goes two promotions back, not to and fro. Neither version is the canary
    /// afterwards: what a champion is rolled back from must not come back as a share of the traffic.
    ///
    /// # Errors
    /// [`RegistryError::NothingToRollBack`], [`RegistryError::NeverHeld`] for a version that the alias
    /// never pointed to (that would be a promotion without gates), [`RegistryError::AliasNotFound`],
    /// [`RegistryError::VersionArchived`],
    /// or as [`promote`](Self::promote).
    pub fn rollback(&self, request: &RollbackRequest) -> Result<RolledBack, RegistryError> {
        Ok(self.rollback_with_version(request)?.0)
    }

    /// As [`rollback`](Self::rollback), and gives the version that the alias went back to, so that who
    /// serves it need not read it again; `None` where none was read, for a repeat for example.
    ///
    /// # Errors
    /// As [`rollback`](Self::rollback).
    pub fn rollback_with_version(
        &self,
        request: &RollbackRequest,
    ) -> Result<(RolledBack, Option<LoadedVersion>), RegistryError> {
        let RollbackRequest { model, alias, to_version, etag, request_id, actor, reason, .. } =
            request;
        check_alias_name(alias)?;
        let terms = Terms { model, etag: etag.as_deref(), request_id, actor, reason };
        let wanted = |to: u64| to_version.is_none_or(|wanted| wanted == to);
        let same = |action: &Action| matches!(action, Action::RolledBack { alias: a, to, .. } if a == alias && wanted(*to));
        let base = match self.begin(&terms, same)? {
            Begin::Done(event) => return Ok((self.rolled_back(&event)?, None)),
            Begin::From(base) => base,
        };
        let (generation, state) = position(base.as_ref());
        let current = state.aliases.get(alias).copied();
        let from = current.ok_or_else(|| alias_not_found(model, alias, &state.aliases))?;
        let to = self.rollback_target(request, generation, from)?;
        let unwritten = || RolledBack { from, to, generation, event_id: None, etag: state.etag() };
        if to == from {
            return Ok((unwritten(), None));
        }
        // Not passed over in silence: who goes back further than one version should say so.
        state.check_usable(model, to)?;
        let loaded = self.load(model, to)?;
        if request.validate_only {
            return Ok((unwritten(), Some(loaded)));
        }
        let digest = &loaded.manifest.digest;
        let event = self.commit(&terms, base, |mut state| {
            state.set_alias(alias, to);
            state.end_canary(alias, &[from, to]);
            let (alias, digest) = (alias.clone(), digest.clone());
            Change::new(Action::RolledBack { alias, from, to, digest }, state)
        })?;
        Ok((self.rolled_back(&event)?, Some(loaded)))
    }

    fn rolled_back(&self, event: &EventRecord) -> Result<RolledBack, RegistryError> {
        let Action::RolledBack { from, to, .. } = event.action else {
            let place = self.storage.place(&self.chain(&event.model).event_key(event.generation));
            return Err(RegistryError::Corrupt { place, reason: "it is no rollback".into() });
        };
        let (generation, etag) = (event.generation, event.state.etag());
        Ok(RolledBack { from, to, generation, event_id: Some(event.event_id.clone()), etag })
    }

    fn rollback_target(
        &self,
        request: &RollbackRequest,
        generation: u64,
        from: u64,
    ) -> Result<u64, RegistryError> {
        let RollbackRequest { model, alias, to_version, .. } = request;
        let log = self.chain(model).log()?;
        let until = log.iter().take_while(|event| event.generation <= generation);
        let held = Held::replay(alias, until);
        match *to_version {
            Some(to) if to == from || held.ever.contains(&to) => Ok(to),
            Some(version) => Err(RegistryError::NeverHeld {
                model: model.clone(),
                alias: alias.clone(),
                version,
                held: list_some(&held.ever),
            }),
            None => held.before().ok_or_else(|| RegistryError::NothingToRollBack {
                model: model.clone(),
                alias: alias.clone(),
            }),
        }
    }
}

/// The versions that an alias has pointed to.
#[derive(Debug, Default)]
struct Held {
    /// Newest last; a rollback takes away what it left.
    stack: Vec<u64>,
    /// All of them, in the order of their first time.
    ever: Vec<u64>,
}

impl Held {
    fn replay<'a>(alias: &str, events: impl Iterator<Item = &'a EventRecord>) -> Self {
        let mut held = Self::default();
        for event in events {
            let Some(&version) = event.aliases.get(alias) else { continue };
            if !held.ever.contains(&version) {
                held.ever.push(version);
            }
            let back = matches!(&event.action, Action::RolledBack { alias: a, .. } if a == alias);
            let earlier = held.stack.iter().rposition(|&earlier| earlier == version);
            match earlier.filter(|&index| back || index + 1 == held.stack.len()) {
                Some(index) => held.stack.truncate(index + 1),
                None => held.stack.push(version),
            }
        }
        held
    }

    fn before(&self) -> Option<u64> {
        self.stack.iter().rev().nth(1).copied()
    }
}
