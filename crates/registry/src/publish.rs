//! Publishing: a version appears whole or not at all, under a number never used before.

use std::collections::BTreeMap;

use crate::chain::{Change, MAX_NUMBER, Signature};
use crate::draft::Draft;
use crate::error::RegistryError;
use crate::event::{Action, EventRecord};
use crate::load::MODEL_FILE;
use crate::manifest::{FileEntry, MANIFEST_FILE, Manifest, content_digest, summary_text, to_bytes};
use crate::names::check_model_name;
use crate::registry::{
    FORMAT_FILE, LAYOUT_FORMAT, Registry, SealedManifest, position, version_key,
};
use crate::sealed::sha256_hex;
use crate::storage::{Create, NewFolder};

/// What a draft became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its number.
    pub version: u64,
    /// Its digest.
    pub digest: String,
    /// Whether it was there before: the same files and summary are the same version.
    pub existed: bool,
}

/// A draft and what the audit trail shall say of it. Who publishes is in the draft's summary.
#[derive(Debug, Clone, Copy)]
pub struct PublishRequest<'a> {
    /// What is to become a version.
    pub draft: &'a Draft,
    /// Makes the request safe to repeat, and another draft under the same id an error; empty for none.
    pub request_id: &'a str,
    /// Why.
    pub reason: &'a str,
    /// Runs the same checks and writes nothing; the number is then the one that was free.
    pub validate_only: bool,
}

/// A draft, checked and measured.
struct Prepared<'a> {
    request: PublishRequest<'a>,
    entries: BTreeMap<String, FileEntry>,
    summary: Box<serde_json::value::RawValue>,
    digest: String,
}

/// A number that no version has, and the newest event when it was found.
#[derive(Debug, Clone, Copy)]
struct Free {
    version: u64,
    generation: u64,
}

impl Registry {
    /// Publishes a version under the next free number.
    ///
    /// Publishing the same files and summary again writes nothing and gives the version that they
    /// already are, so that an interrupted run may simply be repeated.
    ///
    /// # Errors
    /// [`RegistryError::DraftInvalid`] if the model does not decode, does not replay its golden rows
    /// or is not the one of the summary; [`RegistryError::Io`] if the storage fails, after which the
    /// version is there as a whole or not at all.
    pub fn publish(&self, draft: &Draft) -> Result<Published, RegistryError> {
        self.publish_with(PublishRequest::of(draft))
    }

    /// As [`publish`](Self::publish), with terms.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and [`RegistryError::RequestIdReused`] if the request id was used
    /// for anything but the same content.
    pub fn publish_with(&self, request: PublishRequest<'_>) -> Result<Published, RegistryError> {
        let prepared = Prepared::new(request)?;
        let model = &request.draft.model;
        let newest = self.chain(model).newest()?;
        if let Some(event) = self.find_request(model, request.request_id, newest.as_ref())? {
            return match event.action {
                Action::Published { version, digest, .. } if digest == prepared.digest => {
                    Ok(Published { version, digest, existed: true })
                }
                _ => Err(RegistryError::RequestIdReused {
                    model: model.clone(),
                    request_id: request.request_id.to_owned(),
                    generation: event.generation,
                }),
            };
        }
        loop {
            // The number before the content: whoever publishes the same in between takes the number, and
            // is found at the next turn.
            let free = self.next_version(model)?;
            if let Some(existing) = self.find_digest(model, &prepared.digest)? {
                return self.publish_existing(&prepared, &existing);
            }
            if request.validate_only {
                let (version, digest) = (free.version, prepared.digest);
                return Ok(Published { version, digest, existed: false });
            }
            self.create_layout()?;
            if let Some(published) = self.create_version(&prepared, free)? {
                return Ok(published);
            }
        }
    }

    /// Publishes a version under the number `version`.
    ///
    /// # Errors
    /// [`RegistryError::VersionImmutable`] if it exists with other content,
    /// [`RegistryError::VersionNotFree`] if it is not above all numbers ever used, or as
    /// [`publish`](Self::publish).
    pub fn publish_as(&self, draft: &Draft, version: u64) -> Result<Published, RegistryError> {
        let prepared = Prepared::new(PublishRequest::of(draft))?;
        let model = &draft.model;
        self.create_layout()?;
        loop {
            if let Some(existing) = self.sealed_manifest(model, version)? {
                if existing.manifest.digest == prepared.digest {
                    return self.publish_existing(&prepared, &existing);
                }
                return Err(RegistryError::VersionImmutable {
                    model: model.clone(),
                    version,
                    existing: existing.manifest.digest,
                    offered: prepared.digest,
                });
            }
            let Free { version: next, generation } = self.next_version(model)?;
            if version < next {
                let model = model.clone();
                return Err(RegistryError::VersionNotFree { model, version, next });
            }
            if let Some(published) = self.create_version(&prepared, Free { version, generation })? {
                return Ok(published);
            }
        }
    }

    /// One above the highest number of any folder, complete or not, and of any event.
    fn next_version(&self, model: &str) -> Result<Free, RegistryError> {
        let (generation, state) = position(self.chain(model).newest()?.as_ref());
        let highest_folder = self.version_folders(model)?.last().copied().unwrap_or(0);
        let highest = state.highest_version.max(highest_folder);
        if highest >= MAX_NUMBER {
            let place = self.storage.place(&format!("{model}/versions"));
            let reason = format!("version {highest} is there, and no number is after it");
            return Err(RegistryError::Corrupt { place, reason });
        }
        Ok(Free { version: highest + 1, generation })
    }

    /// `None` if somebody else took the number first.
    fn create_version(
        &self,
        prepared: &Prepared<'_>,
        Free { version, generation: since }: Free,
    ) -> Result<Option<Published>, RegistryError> {
        let draft = prepared.request.draft;
        let key = version_key(&draft.model, version);
        let failed = |error| RegistryError::io(self.storage.place(&key), error);
        let manifest = Manifest {
            model: draft.model.clone(),
            version,
            digest: prepared.digest.clone(),
            files: prepared.entries.clone(),
            summary: draft.summary.clone(),
            created_at_us: self.now_us(),
        };
        let bytes =
            to_bytes(&manifest, prepared.summary.clone()).map_err(|error| failed(error.into()))?;
        let content =
            NewFolder { claim: MODEL_FILE, files: &draft.files, last: (MANIFEST_FILE, &bytes) };
        let created = self.storage.create_folder(&key, content, &self.steps).map_err(failed)?;
        if created == Create::Exists {
            return Ok(None);
        }
        let sealed = SealedManifest { manifest, sha256: sha256_hex(&bytes) };
        self.record_published(prepared, &sealed, since)?;
        let digest = prepared.digest.clone();
        Ok(Some(Published { version, digest, existed: false }))
    }

    /// A crash may have left the version without its event; then the event is added now.
    fn publish_existing(
        &self,
        prepared: &Prepared<'_>,
        existing: &SealedManifest,
    ) -> Result<Published, RegistryError> {
        let Manifest { version, digest, .. } = &existing.manifest;
        if !prepared.request.validate_only {
            self.record_published(prepared, existing, 0)?;
        }
        Ok(Published { version: *version, digest: digest.clone(), existed: true })
    }

    /// Adds the event of a version, unless somebody else has after generation `since`: several may find
    /// that it lacks one.
    fn record_published(
        &self,
        prepared: &Prepared<'_>,
        sealed: &SealedManifest,
        since: u64,
    ) -> Result<(), RegistryError> {
        let PublishRequest { draft, request_id, reason, .. } = prepared.request;
        let chain = self.chain(&draft.model);
        let signature = Signature {
            actor: draft.summary.created_by.clone(),
            reason: reason.to_owned(),
            request_id: request_id.to_owned(),
        };
        loop {
            let newest = chain.newest()?;
            let generation = newest.as_ref().map_or(0, |newest| newest.generation);
            for generation in (since + 1..=generation).rev() {
                let event = chain.event(generation)?;
                if event.is_some_and(|event| publishes(&event, sealed.manifest.version)) {
                    return Ok(());
                }
            }
            let (_, mut state) = position(newest.as_ref());
            state.highest_version = state.highest_version.max(sealed.manifest.version);
            let action = Action::Published {
                version: sealed.manifest.version,
                digest: sealed.manifest.digest.clone(),
                manifest_sha256: sealed.sha256.clone(),
            };
            let change = Change::new(action, state);
            if chain.append(newest.as_ref(), self.now_us(), &signature, change)?.is_some() {
                return Ok(());
            }
        }
    }

    /// The newest version with this digest.
    fn find_digest(
        &self,
        model: &str,
        digest: &str,
    ) -> Result<Option<SealedManifest>, RegistryError> {
        for version in self.version_folders(model)?.into_iter().rev() {
            let sealed = self.sealed_manifest(model, version)?;
            if let Some(sealed) = sealed.filter(|sealed| sealed.manifest.digest == digest) {
                return Ok(Some(sealed));
            }
        }
        Ok(None)
    }

    fn create_layout(&self) -> Result<(), RegistryError> {
        if self.read_key(FORMAT_FILE)?.is_some() {
            return Ok(());
        }
        let bytes = format!("{LAYOUT_FORMAT}\n");
        self.storage
            .create(FORMAT_FILE, bytes.as_bytes(), &self.steps)
            .map(drop)
            .map_err(|error| RegistryError::io(self.storage.place(FORMAT_FILE), error))
    }
}

impl<'a> PublishRequest<'a> {
    /// A draft without terms.
    #[must_use]
    pub fn of(draft: &'a Draft) -> Self {
        Self { draft, request_id: "", reason: "", validate_only: false }
    }
}

impl<'a> Prepared<'a> {
    fn new(request: PublishRequest<'a>) -> Result<Self, RegistryError> {
        let draft = request.draft;
        check_model_name(&draft.model)?;
        draft.check()?;
        let entry = |(name, bytes): (&String, &Vec<u8>)| {
            (name.clone(), FileEntry { size: bytes.len() as u64, sha256: sha256_hex(bytes) })
        };
        let entries: BTreeMap<_, _> = draft.files.iter().map(entry).collect();
        let invalid = |error: serde_json::Error| RegistryError::DraftInvalid {
            model: draft.model.clone(),
            reason: error.to_string(),
        };
        let summary = summary_text(&draft.summary).map_err(invalid)?;
        let digest = content_digest(&entries, &summary);
        Ok(Self { request, entries, summary, digest })
    }
}

fn publishes(event: &EventRecord, number: u64) -> bool {
    matches!(event.action, Action::Published { version, .. } if version == number)
}
