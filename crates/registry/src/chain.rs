//! The events of one model: finding the newest, reading all, appending the next.
//!
//! Creating `events/<generation>.json` is the commit and the compare-and-swap. `state.json` only says
//! where to begin to look: it is believed about nothing else.

use serde::{Deserialize, Serialize};

use crate::error::RegistryError;
use crate::event::{Action, EventRecord, EventWire};
use crate::gates::GateResult;
use crate::sealed::{SealError, seal, unseal};
use crate::state::{ARCHIVING_FORMAT, State};
use crate::steps::Steps;
use crate::storage::{Create, MAX_JSON_BYTES, Storage};

/// Newest format of `state.json` that this build reads; it writes the oldest that can say it.
pub(crate) const STATE_FORMAT: u32 = ARCHIVING_FORMAT;

/// `state.json`: the newest event when it was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StateCache {
    format: u32,
    pub(crate) generation: u64,
    pub(crate) event_sha256: String,
    pub(crate) state: State,
}

/// What a change says about itself; the chain adds generation, time and link.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signature {
    pub(crate) actor: String,
    pub(crate) reason: String,
    pub(crate) request_id: String,
}

/// A change ready to be appended.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) action: Action,
    pub(crate) gates: Vec<GateResult>,
    pub(crate) gates_overridden: bool,
    /// State after the change; `moved_at` is set by the chain.
    pub(crate) state: State,
}

/// The event chain of one model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chain<'a> {
    pub(crate) storage: &'a dyn Storage,
    pub(crate) steps: &'a Steps,
    pub(crate) model: &'a str,
}

impl Chain<'_> {
    pub(crate) fn event_key(&self, generation: u64) -> String {
        format!("{}/events/{generation}.json", self.model)
    }

    pub(crate) fn state_key(&self) -> String {
        format!("{}/state.json", self.model)
    }

    /// The newest event, `None` before the first.
    pub(crate) fn newest(&self) -> Result<Option<EventRecord>, RegistryError> {
        let hint = self.cache()?.map_or(0, |cache| cache.generation);
        let mut newest = if hint > 0 { self.event(hint)? } else { None };
        if newest.is_none() {
            let highest = self.generations()?.last().copied();
            let Some(highest) = highest else { return Ok(None) };
            newest = self.event(highest)?;
        }
        while let Some(found) = &newest {
            match self.event(found.generation + 1)? {
                Some(next) => newest = Some(next),
                None => break,
            }
        }
        Ok(newest)
    }

    /// One event, `None` if there is no such file.
    pub(crate) fn event(&self, generation: u64) -> Result<Option<EventRecord>, RegistryError> {
        let key = self.event_key(generation);
        let Some(bytes) = self.read(&key)? else { return Ok(None) };
        let place = || self.storage.place(&key);
        let record = EventRecord::from_bytes(&bytes).map_err(|error| match error {
            SealError::Format { found, supported } => {
                RegistryError::FormatUnsupported { place: place(), found, supported }
            }
            error => RegistryError::Corrupt { place: place(), reason: error.to_string() },
        })?;
        if (record.generation, record.model.as_str()) != (generation, self.model) {
            let (model, generation) = (&record.model, record.generation);
            let reason = format!("it holds the event of generation {generation} of {model:?}");
            return Err(RegistryError::Corrupt { place: place(), reason });
        }
        Ok(Some(record))
    }

    /// The generations that have a file, ascending.
    pub(crate) fn generations(&self) -> Result<Vec<u64>, RegistryError> {
        let folder = format!("{}/events", self.model);
        let listing = self
            .storage
            .list(&folder)
            .map_err(|error| RegistryError::io(self.storage.place(&folder), error))?;
        let mut generations: Vec<u64> =
            listing.files.iter().filter_map(|name| number(name.strip_suffix(".json")?)).collect();
        generations.sort_unstable();
        Ok(generations)
    }

    /// All events, oldest first.
    pub(crate) fn log(&self) -> Result<Vec<EventRecord>, RegistryError> {
        let Some(newest) = self.newest()? else { return Ok(Vec::new()) };
        let mut log = Vec::new();
        for generation in 1..newest.generation {
            log.push(self.link(generation, &newest)?);
        }
        log.push(newest);
        Ok(log)
    }

    /// Up to `max` events before generation `before`, newest first.
    pub(crate) fn log_before(
        &self,
        before: Option<u64>,
        max: usize,
    ) -> Result<Vec<EventRecord>, RegistryError> {
        let Some(newest) = self.newest()? else { return Ok(Vec::new()) };
        let last = before.map_or(newest.generation, |before| before.saturating_sub(1));
        let generations = (1..=last.min(newest.generation)).rev().take(max);
        generations.map(|generation| self.link(generation, &newest)).collect()
    }

    /// An event that must be there, because later ones are.
    fn link(&self, generation: u64, newest: &EventRecord) -> Result<EventRecord, RegistryError> {
        let missing = || RegistryError::FileMissing {
            place: self.storage.place(&self.event_key(generation)),
            reason: format!("the chain goes on to generation {}", newest.generation),
        };
        self.event(generation)?.ok_or_else(missing)
    }

    /// Appends the event after `base`. `None` if somebody else appended first.
    pub(crate) fn append(
        &self,
        base: Option<&EventRecord>,
        time_us: i64,
        signature: &Signature,
        change: Change,
    ) -> Result<Option<EventRecord>, RegistryError> {
        let generation = base.map_or(0, |base| base.generation) + 1;
        let key = self.event_key(generation);
        let mut state = change.state;
        if !matches!(change.action, Action::Published { .. }) {
            state.moved_at = generation;
        }
        let wire = EventWire {
            format: change.action.format().max(state.format()),
            model: self.model.to_owned(),
            generation,
            prev_sha256: base.map(|base| base.sha256.clone()),
            time_us,
            actor: signature.actor.clone(),
            reason: signature.reason.clone(),
            request_id: signature.request_id.clone(),
            action: change.action,
            gates: change.gates,
            gates_overridden: change.gates_overridden,
            state,
        };
        let failed = |error| RegistryError::io(self.storage.place(&key), error);
        let bytes = wire.to_bytes().map_err(|error| failed(error.into()))?;
        if self.storage.create(&key, &bytes, self.steps).map_err(failed)? == Create::Exists {
            return Ok(None);
        }
        let record = EventRecord::from_bytes(&bytes).map_err(|error| RegistryError::Corrupt {
            place: self.storage.place(&key),
            reason: error.to_string(),
        })?;
        self.refresh_cache(&record);
        Ok(Some(record))
    }

    /// `state.json`; `None` if it is absent or not readable, which only costs a listing.
    pub(crate) fn cache(&self) -> Result<Option<StateCache>, RegistryError> {
        let bytes = self.read(&self.state_key())?;
        Ok(bytes.and_then(|bytes| unseal(&bytes, STATE_FORMAT).ok()))
    }

    /// Writes `state.json` if it is absent, not readable or behind. One that contradicts an event of
    /// its own generation is left for `verify` to show.
    pub(crate) fn roll_forward(&self) -> Result<(), RegistryError> {
        let Some(newest) = self.newest()? else { return Ok(()) };
        if self.cache()?.is_none_or(|cache| cache.generation < newest.generation) {
            self.refresh_cache(&newest);
        }
        Ok(())
    }

    /// The event is the truth, so a cache that cannot be written is no failure.
    fn refresh_cache(&self, newest: &EventRecord) {
        let written = seal(&expected_cache(newest))
            .map_err(Into::into)
            .and_then(|bytes| self.storage.replace(&self.state_key(), &bytes, self.steps));
        if let Err(error) = written {
            let place = self.storage.place(&self.state_key());
            tracing::warn!(%place, %error, "the cache of the newest event could not be written");
        }
    }

    fn read(&self, key: &str) -> Result<Option<Vec<u8>>, RegistryError> {
        let bytes = self.storage.read(key, MAX_JSON_BYTES);
        bytes.map_err(|error| RegistryError::io(self.storage.place(key), error))
    }
}

/// What `state.json` should hold when `newest` is the newest event.
pub(crate) fn expected_cache(newest: &EventRecord) -> StateCache {
    StateCache {
        format: newest.state.format(),
        generation: newest.generation,
        event_sha256: newest.sha256.clone(),
        state: newest.state.clone(),
    }
}

/// Largest number of a version or an event: the wire has no larger ones, and there is one after it.
pub(crate) const MAX_NUMBER: u64 = i64::MAX as u64;

/// A positive number in its one decimal form, `None` for anything else.
pub(crate) fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    ((1..=MAX_NUMBER).contains(&number) && number.to_string() == text).then_some(number)
}
