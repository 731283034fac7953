//! Verification: is everything that was written still there, unchanged?
//!
//! Reads every byte and repairs nothing. What a crash may leave behind (a temporary name, a number
//! without a manifest, a cache that is behind) is a note; what nothing but damage or tampering can
//! cause is a problem.

use std::collections::{BTreeMap, BTreeSet};

use crate::chain::{Chain, expected_cache, number};
use crate::error::RegistryError;
use crate::event::{Action, EventRecord};
use crate::evidence::{evidence_key, is_run_file};
use crate::load::{GOLDEN_FILE, MODEL_FILE};
use crate::manifest::MANIFEST_FILE;
use crate::registry::{Registry, SealedManifest, manifest_key, version_key};
use crate::state::{State, Traffic};

/// Something found, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Path or URL.
    pub place: String,
    /// What about it.
    pub what: String,
}

/// What verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Models looked at.
    pub models: u64,
    /// Versions looked at.
    pub versions: u64,
    /// Files of versions read and compared, manifests not counted.
    pub files: u64,
    /// Events read.
    pub events: u64,
    /// Damage or tampering.
    pub problems: Vec<Finding>,
    /// Leftovers of interrupted writes. Harmless; those with a temporary name may be deleted while
    /// nothing is being written.
    pub notes: Vec<Finding>,
}

impl VerifyReport {
    /// Whether nothing is damaged.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Collects what is found in one model.
struct Verifier<'a> {
    registry: &'a Registry,
    model: &'a str,
    report: VerifyReport,
}

impl Registry {
    /// Verifies one model, or all of them.
    ///
    /// # Errors
    /// [`RegistryError::ModelNotFound`], or if the storage fails. Damage is no error: it is in the
    /// report, every finding with its place.
    pub fn verify(&self, model: Option<&str>) -> Result<VerifyReport, RegistryError> {
        let folders = self.model_folders()?;
        let models = match model {
            None => folders,
            // A damaged model must be found too, so its folder is enough.
            Some(model) if folders.iter().any(|folder| folder == model) => vec![model.to_owned()],
            Some(model) => {
                self.check_model(model)?;
                vec![model.to_owned()]
            }
        };
        let mut report = VerifyReport::default();
        for model in &models {
            let verifier = Verifier { registry: self, model, report };
            report = verifier.run()?;
        }
        Ok(report)
    }
}

impl Verifier<'_> {
    fn run(mut self) -> Result<VerifyReport, RegistryError> {
        self.report.models += 1;
        let events = self.events()?;
        self.cache(events.last())?;
        self.versions(&events)?;
        self.evidence()?;
        self.strays()?;
        Ok(self.report)
    }

    fn chain(&self) -> Chain<'_> {
        self.registry.chain(self.model)
    }

    fn problem(&mut self, key: &str, what: impl Into<String>) {
        let place = self.registry.storage.place(key);
        self.report.problems.push(Finding { place, what: what.into() });
    }

    /// An error about the place itself, which its message need not repeat.
    fn fault(&mut self, key: &str, error: &RegistryError) {
        let (place, text) = (self.registry.storage.place(key), error.to_string());
        let what = text.strip_prefix(&place).map_or(text.as_str(), str::trim_start);
        self.problem(key, what);
    }

    fn note(&mut self, key: &str, what: impl Into<String>) {
        let place = self.registry.storage.place(key);
        self.report.notes.push(Finding { place, what: what.into() });
    }

    /// Reads every event and checks it, its link to the one before, and that its state follows.
    fn events(&mut self) -> Result<Vec<EventRecord>, RegistryError> {
        let generations = self.chain().generations()?;
        let mut events: Vec<EventRecord> = Vec::new();
        let mut expected = 1;
        for generation in generations {
            if expected < generation {
                let key = self.chain().event_key(expected);
                let what = match generation - expected {
                    1 => "the event is missing, later ones are there".to_owned(),
                    n_missing => format!(
                        "the event is missing, and {} after it; later ones are there",
                        n_missing - 1
                    ),
                };
                self.problem(&key, what);
            }
            expected = generation + 1;
            self.report.events += 1;
            let key = self.chain().event_key(generation);
            let event = match self.chain().event(generation) {
                Ok(Some(event)) => event,
                Ok(None) => continue,
                Err(error @ RegistryError::Io { .. }) => return Err(error),
                Err(error) => {
                    self.fault(&key, &error);
                    continue;
                }
            };
            let before = events.last().filter(|before| before.generation + 1 == generation);
            for fault in link_faults(before, &event) {
                self.problem(&key, fault);
            }
            events.push(event);
        }
        Ok(events)
    }

    fn cache(&mut self, newest: Option<&EventRecord>) -> Result<(), RegistryError> {
        let key = self.chain().state_key();
        let Some(newest) = newest else {
            if self.registry.read_key(&key)?.is_some() {
                self.problem(&key, "there is a state but no event");
            }
            return Ok(());
        };
        match self.chain().cache()? {
            None if self.registry.read_key(&key)?.is_some() => {
                self.problem(&key, "it is damaged; opening the registry writes it anew");
            }
            None => self.note(&key, "it is absent; opening the registry writes it anew"),
            Some(cache) if cache == expected_cache(newest) => {}
            Some(cache) if cache.generation < newest.generation => {
                self.note(&key, "it is behind the newest event; opening the registry updates it");
            }
            Some(cache) => {
                let (cache, event) = (cache.generation, newest.generation);
                let what = format!(
                    "its generation {cache} contradicts the newest event, {event}: an event was \
                     changed or removed after it was written, or this file was"
                );
                self.problem(&key, what);
            }
        }
        Ok(())
    }

    fn versions(&mut self, events: &[EventRecord]) -> Result<(), RegistryError> {
        let mut published = BTreeMap::new();
        for event in events {
            if let Action::Published { version, digest, manifest_sha256 } = &event.action {
                published.insert(*version, (digest.clone(), manifest_sha256.clone()));
            }
        }
        let folders: BTreeSet<u64> =
            self.registry.version_folders(self.model)?.into_iter().collect();
        let needed = events.last().map(|newest| needed_versions(&newest.state)).unwrap_or_default();
        for &version in published.keys().chain(&needed) {
            if !folders.contains(&version) {
                self.problem(&version_key(self.model, version), "the version is missing");
            }
        }
        for version in folders {
            let key = manifest_key(self.model, version);
            let recorded = published.get(&version);
            match self.registry.try_manifest(self.model, version)? {
                None if recorded.is_some() => self.problem(&key, "the manifest is missing"),
                None => {
                    let what =
                        "it has no manifest: publishing was interrupted, the number stays unused";
                    self.note(&version_key(self.model, version), what);
                }
                Some(Err(reason)) => self.problem(&key, reason),
                Some(Ok(sealed)) => {
                    self.report.versions += 1;
                    self.recorded(&key, &sealed, recorded);
                    self.files(&sealed)?;
                }
            }
        }
        Ok(())
    }

    fn recorded(&mut self, key: &str, sealed: &SealedManifest, event: Option<&(String, String)>) {
        match event {
            None => self.note(key, "no event records the version: publishing was interrupted"),
            Some((digest, _)) if *digest != sealed.manifest.digest => {
                let found = &sealed.manifest.digest;
                self.problem(
                    key,
                    format!("the version has digest {found}, its event says {digest}"),
                );
            }
            Some((_, sha256)) if *sha256 != sealed.sha256 => {
                let found = &sealed.sha256;
                self.problem(key, format!("it has SHA-256 {found}, its event says {sha256}"));
            }
            Some(_) => {}
        }
    }

    fn files(&mut self, sealed: &SealedManifest) -> Result<(), RegistryError> {
        let manifest = &sealed.manifest;
        let folder = version_key(self.model, manifest.version);
        let mut whole = true;
        for file in manifest.files.keys() {
            self.report.files += 1;
            match self.registry.read_listed(manifest, file) {
                Ok(_) => {}
                Err(error @ RegistryError::Io { .. }) => return Err(error),
                Err(error) => {
                    whole = false;
                    self.fault(&format!("{folder}/{file}"), &error);
                }
            }
        }
        for file in self.registry.list_key(&folder)?.files {
            if file != MANIFEST_FILE && !manifest.files.contains_key(&file) {
                self.problem(&format!("{folder}/{file}"), "the manifest does not list it");
            }
        }
        if whole && let Err(error) = self.registry.load(self.model, manifest.version) {
            let what =
                format!("the version cannot be loaded ({MODEL_FILE}, {GOLDEN_FILE}): {error}");
            self.problem(&folder, what);
        }
        Ok(())
    }

    fn evidence(&mut self) -> Result<(), RegistryError> {
        for key in self.registry.evidence_files(self.model)? {
            match self.registry.evidence_of_run(&key) {
                Ok(_) => {}
                Err(error @ RegistryError::Io { .. }) => return Err(error),
                Err(error) => self.fault(&key, &error),
            }
        }
        Ok(())
    }

    /// Names that nothing reads.
    fn strays(&mut self) -> Result<(), RegistryError> {
        const WHAT: &str = "left behind by an interrupted write, nothing reads it";
        let versions = self.registry.list_key(&format!("{}/versions", self.model))?;
        let stray = |name: &&String| number(name).is_none();
        for name in versions.folders.iter().filter(stray).chain(&versions.files) {
            self.note(&format!("{}/versions/{name}", self.model), WHAT);
        }
        let events = self.registry.list_key(&format!("{}/events", self.model))?;
        let stray = |name: &&String| name.strip_suffix(".json").and_then(number).is_none();
        for name in events.files.iter().filter(stray).chain(&events.folders) {
            self.note(&format!("{}/events/{name}", self.model), WHAT);
        }
        let evidence = self.registry.list_key(&evidence_key(self.model))?;
        let stray = |name: &&String| !is_run_file(name);
        for name in evidence.files.iter().filter(stray).chain(&evidence.folders) {
            self.note(&format!("{}/{name}", evidence_key(self.model)), WHAT);
        }
        let top = self.registry.list_key(self.model)?;
        for name in top.files.iter().filter(|name| *name != "state.json") {
            self.note(&format!("{}/{name}", self.model), WHAT);
        }
        Ok(())
    }
}

/// Versions that the state points to.
fn needed_versions(state: &State) -> BTreeSet<u64> {
    let split = state.traffic.iter().flat_map(Traffic::versions);
    state.aliases.values().chain(split).copied().collect()
}

/// What is wrong between an event and the one before it. `before` is `None` for the first event, and
/// after a gap, which is told elsewhere.
fn link_faults(before: Option<&EventRecord>, event: &EventRecord) -> Vec<String> {
    let mut faults = Vec::new();
    if before.is_none() && event.generation > 1 {
        return faults;
    }
    let expected = before.map(|before| before.sha256.as_str());
    if event.prev_sha256.as_deref() != expected {
        let (found, expected) =
            (event.prev_sha256.as_deref().unwrap_or("none"), expected.unwrap_or("none"));
        faults
            .push(format!("it follows an event of SHA-256 {found}, the one before has {expected}"));
    }
    let start = before.map(|before| before.state.clone()).unwrap_or_default();
    match state_after(start.clone(), event) {
        Some(state) if state == event.state => {}
        // Older builds left a canary that had become the champion in the policy.
        Some(state)
            if matches!(event.action, Action::Promoted { .. } | Action::RolledBack { .. })
                && State { traffic: start.traffic.clone(), ..state.clone() } == event.state => {}
        _ => faults.push("its state does not follow from the one before and its action".to_owned()),
    }
    faults
}

/// The state that an action makes; `None` if it speaks of another state before.
fn state_after(mut state: State, event: &EventRecord) -> Option<State> {
    match &event.action {
        Action::Published { version, .. } => {
            state.highest_version = state.highest_version.max(*version);
            return Some(state);
        }
        Action::Promoted { alias, from, to, .. } => {
            (state.aliases.get(alias) == from.as_ref()).then_some(())?;
            state.set_alias(alias, *to);
            state.end_canary(alias, &[*to]);
        }
        Action::RolledBack { alias, from, to, .. } => {
            (state.aliases.get(alias) == Some(from)).then_some(())?;
            state.set_alias(alias, *to);
            state.end_canary(alias, &[*from, *to]);
        }
        Action::AliasesMoved { moves } => {
            for (alias, step) in moves {
                (state.aliases.get(alias) == step.from.as_ref()).then_some(())?;
                match step.to {
                    Some(to) => state.set_alias(alias, to),
                    None => drop(state.aliases.remove(alias)),
                }
            }
        }
        Action::TrafficChanged { from, to } => {
            (state.traffic == *from).then_some(())?;
            state.traffic.clone_from(to);
        }
        Action::Archived { version, .. } => {
            state.users_of(*version).is_empty().then_some(())?;
            state.archived.insert(*version).then_some(())?;
        }
        Action::Restored { version, .. } => {
            state.archived.remove(version).then_some(())?;
        }
    }
    state.moved_at = event.generation;
    Some(state)
}
