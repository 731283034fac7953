//! Promotion: check the etag, load, judge, commit.

use crate::chain::Change;
use crate::changes::{Begin, Terms};
use crate::error::RegistryError;
use crate::event::{Action, EventRecord};
use crate::gates::{self, Approver, GateResult, Incumbent};
use crate::load::LoadedVersion;
use crate::names::{CHAMPION, check_alias_name};
use crate::registry::{Registry, position};

/// Asks that an alias move to a version, if the version passes its gates.
#[derive(Debug, Clone)]
pub struct PromoteRequest {
    /// Name of the model.
    pub model: String,
    /// The version to promote.
    pub version: u64,
    /// The alias to move. Default [`CHAMPION`].
    pub alias: String,
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
    /// Promotes although gates failed, and says so in the event. Golden rows cannot be overridden:
    /// a version that does not repeat them is not the one that was published.
    pub override_gates: bool,
    /// The approver must not be who published the version, whatever the version's own gates say: for
    /// who carries out requests of others. An approval may be overridden as any judgement.
    pub distinct_approver: bool,
}

impl Default for PromoteRequest {
    fn default() -> Self {
        Self {
            model: String::new(),
            version: 0,
            alias: CHAMPION.to_owned(),
            etag: None,
            request_id: String::new(),
            actor: String::new(),
            reason: String::new(),
            validate_only: false,
            override_gates: false,
            distinct_approver: false,
        }
    }
}

/// A promotion, done or (with `validate_only`) possible.
#[derive(Debug, Clone, PartialEq)]
pub struct Promoted {
    /// What each gate found; empty if the alias was there already.
    pub gates: Vec<GateResult>,
    /// Where the alias pointed before.
    pub previous_version: Option<u64>,
    /// Number of the newest event.
    pub generation: u64,
    /// The event of this promotion; `None` if nothing was written.
    pub event_id: Option<String>,
    /// The state after it.
    pub etag: String,
}

impl Registry {
    /// Moves an alias to a version that passes its gates. A canary that becomes the champion is no
    /// canary any more, in the same event.
    ///
    /// The version is judged against the one that the alias points to, or against the champion if
    /// the alias is not set; without either, comparing gates are skipped. What servers have counted of the version as a shadow
    /// beside that one ([`evidence`](Self::evidence)) is judged, too, and kept in the event. Repeating a request id
    /// gives the first answer again.
    ///
    /// # Errors
    /// [`RegistryError::GateFailed`] with the results of all gates, [`RegistryError::EtagMismatch`] if
    /// the state is not the given one, [`RegistryError::Conflict`] if it changed during the checks,
    /// [`RegistryError::VersionArchived`], [`RegistryError::DigestMismatch`] or [`RegistryError::Corrupt`] if the version is damaged, or
    /// that there is no such model or version. Nothing is written in any of these cases.
    pub fn promote(&self, request: &PromoteRequest) -> Result<Promoted, RegistryError> {
        Ok(self.promote_with(request, |_| Ok::<_, RegistryError>(()))?.0)
    }

    /// As [`promote`](Self::promote), for a caller that has conditions of its own: `admit` is given the
    /// version before its gates are asked, and not for a repeat, whose answer is known. The version is
    /// given back, so that who serves it need not read it again; `None` for a repeat.
    ///
    /// # Errors
    /// What `admit` says, or as [`promote`](Self::promote).
    pub fn promote_with<E: From<RegistryError>>(
        &self,
        request: &PromoteRequest,
        admit: impl FnOnce(&LoadedVersion) -> Result<(), E>,
    ) -> Result<(Promoted, Option<LoadedVersion>), E> {
        let PromoteRequest { model, version, alias, etag, request_id, actor, reason, .. } = request;
        check_alias_name(alias)?;
        let terms = Terms { model, etag: etag.as_deref(), request_id, actor, reason };
        let same = |action: &Action| matches!(action, Action::Promoted { alias: a, to, .. } if a == alias && to == version);
        let base = match self.begin(&terms, same)? {
            Begin::Done(event) => return Ok((Promoted::by(&event), None)),
            Begin::From(base) => base,
        };
        let (generation, state) = position(base.as_ref());
        let previous_version = state.aliases.get(alias).copied();
        let unwritten = |gates| Promoted {
            gates,
            previous_version,
            generation,
            event_id: None,
            etag: state.etag(),
        };
        state.check_usable(model, *version)?;
        let (candidate, holdout) = self.load_unproven(model, *version)?;
        admit(&candidate)?;
        if previous_version == Some(*version) {
            return Ok((unwritten(Vec::new()), Some(candidate)));
        }
        let incumbent = previous_version.or(state.aliases.get(CHAMPION).copied());
        let incumbent = incumbent.filter(|incumbent| incumbent != version).map(|incumbent| {
            Incumbent { version: incumbent, loaded: self.load_model(model, incumbent) }
        });
        let decode = |bytes: Vec<u8>| self.decode_holdout(&candidate.manifest, &bytes);
        let holdout = holdout.map(decode).transpose()?;
        let (holdout, incumbent) = (holdout.as_ref(), incumbent.as_ref());
        let mut seen = self.evidence(model)?;
        seen.retain(|counts| counts.shadow_version == *version);
        let approver = Approver { name: actor, must_differ: request.distinct_approver };
        let gates = gates::judge(&candidate, holdout, incumbent, &approver, &seen);
        let stopped = |gate: &GateResult| {
            gate.failed() && !(request.override_gates && gates::can_be_overridden(gate))
        };
        if gates.iter().any(stopped) {
            return Err(RegistryError::GateFailed(gates).into());
        }
        if request.validate_only {
            return Ok((unwritten(gates), Some(candidate)));
        }
        let event = self.commit(&terms, base, |mut state| {
            let from = state.aliases.get(alias).copied();
            state.set_alias(alias, *version);
            state.end_canary(alias, &[*version]);
            let digest = candidate.manifest.digest.clone();
            Change {
                action: Action::Promoted { alias: alias.clone(), from, to: *version, digest },
                gates: gates.clone(),
                gates_overridden: gates.iter().any(GateResult::failed),
                state,
            }
        })?;
        Ok((Promoted::by(&event), Some(candidate)))
    }
}

impl Promoted {
    fn by(event: &EventRecord) -> Self {
        let previous_version = match &event.action {
            Action::Promoted { from, .. } => *from,
            _ => None,
        };
        Self {
            gates: event.gates.clone(),
            previous_version,
            generation: event.generation,
            event_id: Some(event.event_id.clone()),
            etag: event.state.etag(),
        }
    }
}
