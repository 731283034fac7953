//! What all changes of a model have in common, and the two that need no gates: aliases and traffic.

use std::collections::{BTreeMap, BTreeSet};

use crate::chain::{Change, Signature};
use crate::error::RegistryError;
use crate::event::{Action, AliasMove, EventRecord};
use crate::gates::{self, Approver, GateResult};
use crate::names::{CHAMPION, check_alias_name};
use crate::registry::{Registry, alias_not_found, position};
use crate::state::{ModelState, State, Traffic};

/// How far back a request id is looked for.
const REQUEST_ID_WINDOW: u64 = 256;

/// Versions that may score copies of one model's requests: each costs as much as the answer.
const MAX_SHADOWS: usize = 8;

/// Several aliases to move in one commit: readers see all of them moved, or none.
#[derive(Debug, Clone, Default)]
pub struct AliasRequest {
    /// Name of the model.
    pub model: String,
    /// The version that each alias shall point to; `None` deletes it. Not [`CHAMPION`].
    pub moves: BTreeMap<String, Option<u64>>,
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

/// A new split of the traffic.
#[derive(Debug, Clone, Default)]
pub struct TrafficRequest {
    /// Name of the model.
    pub model: String,
    /// The split; `None` gives all of it to the champion.
    pub traffic: Option<Traffic>,
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
    /// Gives the canary its share although it is not approved, and says so in the event.
    pub override_gates: bool,
    /// The approver must not be who published the version, whatever the version's own gates say: for
    /// who carries out requests of others. An approval may be overridden as any judgement.
    pub distinct_approver: bool,
}

/// A change of aliases or traffic, done or (with `validate_only`) possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The state after it; the present one if nothing was written.
    pub state: ModelState,
    /// Its event; `None` if nothing was written.
    pub event_id: Option<String>,
}

/// Where a change starts from.
pub(crate) enum Begin {
    /// The request was carried out before, by this event.
    Done(EventRecord),
    /// The newest event at the time of the checks.
    From(Option<EventRecord>),
}

/// The part of a request that every change has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) model: &'a str,
    pub(crate) etag: Option<&'a str>,
    pub(crate) request_id: &'a str,
    pub(crate) actor: &'a str,
    pub(crate) reason: &'a str,
}

impl Registry {
    /// Moves aliases without gates.
    ///
    /// # Errors
    /// [`RegistryError::AliasProtected`] for the champion, [`RegistryError::VersionNotFound`],
    /// [`RegistryError::VersionArchived`],
    /// [`RegistryError::AliasNotFound`] when deleting one that is not set,
    /// [`RegistryError::EtagMismatch`] or [`RegistryError::Conflict`].
    pub fn move_aliases(&self, request: &AliasRequest) -> Result<Applied, RegistryError> {
        self.move_aliases_with(request, |_| Ok(()))
    }

    /// As [`move_aliases`](Self::move_aliases), for a caller that has conditions of its own: `admit` is
    /// asked about each version that an alias did not point to before, and not for a repeat.
    ///
    /// # Errors
    /// What `admit` says, or as [`move_aliases`](Self::move_aliases).
    pub fn move_aliases_with<E: From<RegistryError>>(
        &self,
        request: &AliasRequest,
        mut admit: impl FnMut(u64) -> Result<(), E>,
    ) -> Result<Applied, E> {
        let AliasRequest { model, moves, etag, request_id, actor, reason, .. } = request;
        let terms = Terms { model, etag: etag.as_deref(), request_id, actor, reason };
        let same = |action: &Action| match action {
            Action::AliasesMoved { moves: done } => {
                done.len() == moves.len()
                    && done.iter().all(|(alias, step)| moves.get(alias) == Some(&step.to))
            }
            _ => false,
        };
        let base = match self.begin(&terms, same)? {
            Begin::Done(event) => return Ok(Applied::by(&event)),
            Begin::From(base) => base,
        };
        let (generation, state) = position(base.as_ref());
        for (alias, version) in moves {
            check_alias_name(alias)?;
            if alias == CHAMPION {
                return Err(RegistryError::AliasProtected { alias: alias.clone() }.into());
            }
            match version {
                Some(version) => {
                    self.manifest(model, *version)?;
                    state.check_usable(model, *version)?;
                    if state.aliases.get(alias) != Some(version) {
                        admit(*version)?;
                    }
                }
                None if !state.aliases.contains_key(alias) => {
                    return Err(alias_not_found(model, alias, &state.aliases).into());
                }
                None => {}
            }
        }
        let moved = |state: &State| -> BTreeMap<String, AliasMove> {
            let step = |alias: &String, to: &Option<u64>| AliasMove {
                from: state.aliases.get(alias).copied(),
                to: *to,
            };
            moves.iter().map(|(alias, to)| (alias.clone(), step(alias, to))).collect()
        };
        if request.validate_only || moved(&state).values().all(|step| step.from == step.to) {
            return Ok(Applied::nothing(ModelState::new(model, generation, state)));
        }
        let event = self.commit(&terms, base, |mut state| {
            let moves = moved(&state);
            for (alias, step) in &moves {
                match step.to {
                    Some(to) => state.set_alias(alias, to),
                    None => drop(state.aliases.remove(alias)),
                }
            }
            Change::new(Action::AliasesMoved { moves }, state)
        })?;
        Ok(Applied::by(&event))
    }

    /// Points an alias other than the champion to a version.
    ///
    /// # Errors
    /// As [`move_aliases`](Self::move_aliases).
    pub fn set_alias(
        &self,
        model: &str,
        alias: &str,
        version: u64,
        actor: &str,
    ) -> Result<Applied, RegistryError> {
        self.move_one_alias(model, alias, Some(version), actor)
    }

    /// Deletes an alias other than the champion.
    ///
    /// # Errors
    /// As [`move_aliases`](Self::move_aliases).
    pub fn delete_alias(
        &self,
        model: &str,
        alias: &str,
        actor: &str,
    ) -> Result<Applied, RegistryError> {
        self.move_one_alias(model, alias, None, actor)
    }

    fn move_one_alias(
        &self,
        model: &str,
        alias: &str,
        to: Option<u64>,
        actor: &str,
    ) -> Result<Applied, RegistryError> {
        self.move_aliases(&AliasRequest {
            model: model.to_owned(),
            moves: BTreeMap::from([(alias.to_owned(), to)]),
            actor: actor.to_owned(),
            ..AliasRequest::default()
        })
    }

    /// Splits the traffic anew.
    ///
    /// Only versions that the traffic did not go to before are looked at, so that a share can be taken
    /// away from a version whose files are damaged. While a canary has a share its salt stays. A canary whose gates ask for an approver gets its
    /// share, or more of it, from somebody else than its publisher.
    ///
    /// # Errors
    /// [`RegistryError::TrafficInvalid`], [`RegistryError::VersionNotFound`],
    /// [`RegistryError::VersionArchived`], [`RegistryError::GateFailed`],
    /// [`RegistryError::EtagMismatch`] or [`RegistryError::Conflict`].
    pub fn set_traffic(&self, request: &TrafficRequest) -> Result<Applied, RegistryError> {
        self.set_traffic_with(request, |_| Ok(()))
    }

    /// As [`set_traffic`](Self::set_traffic), for a caller that has conditions of its own: `admit` is
    /// asked about each version that the traffic did not go to before, and not for a repeat.
    ///
    /// # Errors
    /// What `admit` says, or as [`set_traffic`](Self::set_traffic).
    pub fn set_traffic_with<E: From<RegistryError>>(
        &self,
        request: &TrafficRequest,
        mut admit: impl FnMut(u64) -> Result<(), E>,
    ) -> Result<Applied, E> {
        let TrafficRequest { model, traffic, etag, request_id, actor, reason, .. } = request;
        let terms = Terms { model, etag: etag.as_deref(), request_id, actor, reason };
        let same =
            |action: &Action| matches!(action, Action::TrafficChanged { to, .. } if to == traffic);
        let base = match self.begin(&terms, same)? {
            Begin::Done(event) => return Ok(Applied::by(&event)),
            Begin::From(base) => base,
        };
        let (generation, state) = position(base.as_ref());
        let mut gates = Vec::new();
        if let Some(traffic) = traffic {
            check_traffic(model, traffic)?;
            let before = state.traffic.clone().unwrap_or_default();
            check_salt(model, &before, traffic)?;
            let is_new = |version: &&u64| !before.versions().any(|before| before == *version);
            let added: BTreeSet<u64> = traffic.versions().filter(is_new).copied().collect();
            for version in added {
                self.manifest(model, version)?;
                state.check_usable(model, version)?;
                admit(version)?;
            }
            let approver = Approver { name: actor, must_differ: request.distinct_approver };
            gates.extend(self.canary_approval(model, &before, traffic, &approver)?);
        }
        if !request.override_gates && gates.iter().any(GateResult::failed) {
            return Err(RegistryError::GateFailed(gates).into());
        }
        if request.validate_only || state.traffic == *traffic {
            return Ok(Applied::nothing(ModelState::new(model, generation, state)));
        }
        let event = self.commit(&terms, base, |mut state| {
            let from = std::mem::replace(&mut state.traffic, traffic.clone());
            Change {
                gates: gates.clone(),
                gates_overridden: gates.iter().any(GateResult::failed),
                ..Change::new(Action::TrafficChanged { from, to: traffic.clone() }, state)
            }
        })?;
        Ok(Applied::by(&event))
    }

    /// Asked for a share that is new or larger than before; who takes a share away needs nobody.
    fn canary_approval(
        &self,
        model: &str,
        before: &Traffic,
        after: &Traffic,
        approver: &Approver<'_>,
    ) -> Result<Option<GateResult>, RegistryError> {
        let held = if before.canary_version == after.canary_version {
            before.canary_basis_points
        } else {
            0
        };
        match after.canary_version {
            Some(version) if after.canary_basis_points > held => {
                let summary = self.manifest(model, version)?.summary;
                Ok(gates::canary_approval(&summary, approver))
            }
            _ => Ok(None),
        }
    }

    /// Looks for the request among the events already there, then holds the etag against the state.
    pub(crate) fn begin(
        &self,
        terms: &Terms<'_>,
        same: impl Fn(&Action) -> bool,
    ) -> Result<Begin, RegistryError> {
        self.check_model(terms.model)?;
        let newest = self.chain(terms.model).newest()?;
        if let Some(event) = self.find_request(terms.model, terms.request_id, newest.as_ref())? {
            if same(&event.action) {
                return Ok(Begin::Done(event));
            }
            return Err(RegistryError::RequestIdReused {
                model: terms.model.to_owned(),
                request_id: terms.request_id.to_owned(),
                generation: event.generation,
            });
        }
        let (_, state) = position(newest.as_ref());
        let current = state.etag();
        match terms.etag {
            Some(given) if given != current => Err(RegistryError::EtagMismatch {
                model: terms.model.to_owned(),
                given: given.to_owned(),
                current,
            }),
            _ => Ok(Begin::From(newest)),
        }
    }

    /// The event that an earlier request of this id made.
    pub(crate) fn find_request(
        &self,
        model: &str,
        request_id: &str,
        newest: Option<&EventRecord>,
    ) -> Result<Option<EventRecord>, RegistryError> {
        let Some(newest) = newest.filter(|_| !request_id.is_empty()) else { return Ok(None) };
        let oldest = newest.generation.saturating_sub(REQUEST_ID_WINDOW - 1).max(1);
        for generation in (oldest..=newest.generation).rev() {
            let event = self.chain(model).event(generation)?;
            if let Some(event) = event.filter(|event| event.request_id == request_id) {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Appends the change that `make` gives for the present state. Versions published since `base`
    /// do not matter; a moved alias or a new split does.
    pub(crate) fn commit(
        &self,
        terms: &Terms<'_>,
        base: Option<EventRecord>,
        make: impl Fn(State) -> Change,
    ) -> Result<EventRecord, RegistryError> {
        let chain = self.chain(terms.model);
        let signature = Signature {
            actor: terms.actor.to_owned(),
            reason: terms.reason.to_owned(),
            request_id: terms.request_id.to_owned(),
        };
        let checked = position(base.as_ref()).1.etag();
        let mut base = base;
        loop {
            let (_, state) = position(base.as_ref());
            let appended = chain.append(base.as_ref(), self.now_us(), &signature, make(state))?;
            if let Some(event) = appended {
                return Ok(event);
            }
            base = chain.newest()?;
            let (generation, state) = position(base.as_ref());
            if state.etag() != checked {
                return Err(RegistryError::Conflict { model: terms.model.to_owned(), generation });
            }
        }
    }
}

/// Whether the policy means something, whatever versions there are.
fn check_traffic(model: &str, traffic: &Traffic) -> Result<(), RegistryError> {
    let invalid = |field: &'static str, reason: String| RegistryError::TrafficInvalid {
        model: model.to_owned(),
        field,
        reason,
    };
    let shares = [
        ("canary_basis_points", traffic.canary_basis_points),
        ("shadow_basis_points", traffic.shadow_basis_points),
    ];
    for (field, share) in shares {
        if share > 10_000 {
            return Err(invalid(field, format!("{share}, expected 0 to 10000")));
        }
    }
    let share = traffic.canary_basis_points;
    if share > 0 && traffic.canary_version.is_none() {
        let reason = format!("{share} without a canary_version; name one, or take 0");
        return Err(invalid("canary_basis_points", reason));
    }
    let share = traffic.shadow_basis_points;
    if share > 0 && traffic.shadow_versions.is_empty() {
        let reason = format!("{share} without shadow_versions; name some, or take 0");
        return Err(invalid("shadow_basis_points", reason));
    }
    let n_shadows = traffic.shadow_versions.len();
    if n_shadows > MAX_SHADOWS {
        let reason = format!("{n_shadows} versions, at most {MAX_SHADOWS} score a copy");
        return Err(invalid("shadow_versions", reason));
    }
    for (index, version) in traffic.shadow_versions.iter().enumerate() {
        if traffic.shadow_versions[..index].contains(version) {
            let reason = format!("version {version} is named twice");
            return Err(invalid("shadow_versions", reason));
        }
    }
    Ok(())
}

/// A canary keeps its salt while it has a share, since a ramp moves no user back.
fn check_salt(model: &str, before: &Traffic, after: &Traffic) -> Result<(), RegistryError> {
    let goes_on = before.canary_version == after.canary_version
        && before.canary_basis_points > 0
        && after.canary_basis_points > 0;
    if !goes_on || before.salt == after.salt {
        return Ok(());
    }
    let reason = format!(
        "{:?}, but this canary was given its share with {:?}: another salt draws other users, and would move \
         those of the canary back; keep it, or take the share away first",
        after.salt, before.salt
    );
    Err(RegistryError::TrafficInvalid { model: model.to_owned(), field: "salt", reason })
}

impl Change {
    /// A change that no gate has judged.
    pub(crate) fn new(action: Action, state: State) -> Self {
        Self { action, gates: Vec::new(), gates_overridden: false, state }
    }
}

impl State {
    pub(crate) fn set_alias(&mut self, alias: &str, version: u64) {
        self.aliases.insert(alias.to_owned(), version);
        self.highest_version = self.highest_version.max(version);
    }
}

impl Applied {
    pub(crate) fn by(event: &EventRecord) -> Self {
        let state = ModelState::new(&event.model, event.generation, event.state.clone());
        Self { state, event_id: Some(event.event_id.clone()) }
    }

    pub(crate) fn nothing(state: ModelState) -> Self {
        Self { state, event_id: None }
    }
}
