//! Opening a registry and looking around in it.

use std::fmt;
use std::sync::Arc;

use object_store::ObjectStore;

use crate::chain::{Chain, number};
use crate::clock;
use crate::error::{RegistryError, list_some};
use crate::event::EventRecord;
use crate::manifest::{MANIFEST_FILE, Manifest, from_bytes};
use crate::names::{CHAMPION, check_alias_name, check_model_name, is_name};
use crate::sealed::sha256_hex;
use crate::state::{ModelState, State};
use crate::steps::{StepHook, Steps};
use crate::storage::{self, MAX_JSON_BYTES, ObjectFiles, Storage};

/// Newest layout that this build reads, and the one it creates.
pub const LAYOUT_FORMAT: u32 = 1;

/// Holds the number of the layout.
pub(crate) const FORMAT_FILE: &str = "FORMAT";

/// Versions, aliases and the audit trail of models under one root. Cheap to clone, safe to share.
///
/// Calls block on the storage; a caller that drives an async runtime makes them from a thread of its
/// own. Nothing is held between calls, so that any number of processes may use one root.
#[derive(Clone)]
pub struct Registry {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) location: String,
    pub(crate) steps: Steps,
    now_us: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("location", &self.location).finish_non_exhaustive()
    }
}

/// Which version of a model is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Choice {
    /// The one that the alias [`CHAMPION`] points to.
    #[default]
    Champion,
    /// This one.
    Version(u64),
    /// The one that this alias points to.
    Alias(String),
}

/// A manifest and the checksum of the file it was read from.
pub(crate) struct SealedManifest {
    pub(crate) manifest: Manifest,
    pub(crate) sha256: String,
}

impl Registry {
    /// Opens a registry: a path, `file:///path`, `memory://`, or the URL of an object store whose
    /// cargo feature is built (`s3://`: `aws`, `gs://`: `gcp`, `az://`: `azure`). A root that does not
    /// exist is an empty registry; publishing creates it.
    ///
    /// A cache left behind by a crash is brought up to date.
    ///
    /// # Errors
    /// If the location cannot be opened, or its layout is newer than this build.
    pub fn open(location: &str) -> Result<Self, RegistryError> {
        Self::on(Arc::from(storage::open(location)?), location)
    }

    /// Opens a registry under `prefix` of a store that the caller has set up.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn on_object_store(
        store: Arc<dyn ObjectStore>,
        prefix: &str,
    ) -> Result<Self, RegistryError> {
        let location = format!("{store}/{prefix}");
        Self::on(Arc::new(ObjectFiles::new(store, prefix, &location)?), &location)
    }

    fn on(storage: Arc<dyn Storage>, location: &str) -> Result<Self, RegistryError> {
        let registry = Self {
            storage,
            location: location.to_owned(),
            steps: Steps::default(),
            now_us: Arc::new(clock::now_us),
        };
        registry.check_layout()?;
        registry.roll_forward()?;
        Ok(registry)
    }

    /// Calls `hook` before every step of every write. For tests of what a crash leaves behind.
    #[must_use]
    pub fn with_step_hook(mut self, hook: StepHook) -> Self {
        self.steps = Steps::with_hook(hook);
        self
    }

    /// Takes the time from `now_us` (microseconds UTC) instead of the system. For tests.
    #[must_use]
    pub fn with_clock(mut self, now_us: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        self.now_us = Arc::new(now_us);
        self
    }

    /// Where the registry is, as it was opened.
    #[must_use]
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Brings each `state.json` that is absent, damaged or behind up to its newest event. Opening
    /// does this; a model whose events cannot be read is left for [`verify`](Self::verify) to show.
    ///
    /// # Errors
    /// If the models cannot be listed.
    pub fn roll_forward(&self) -> Result<(), RegistryError> {
        for model in self.model_folders()? {
            if let Err(error) = self.chain(&model).roll_forward() {
                tracing::warn!(%model, %error, "the events of a model cannot be read");
            }
        }
        Ok(())
    }

    /// The models that have a version or an event, by name. One that cannot be read is among them:
    /// what is wrong with it is told when it is asked for, and the others do not suffer for it.
    ///
    /// # Errors
    /// If the folders cannot be listed.
    pub fn models(&self) -> Result<Vec<String>, RegistryError> {
        let mut models = self.model_folders()?;
        models.retain(|model| self.exists(model).unwrap_or(true));
        Ok(models)
    }

    /// The present state of a model.
    ///
    /// # Errors
    /// [`RegistryError::ModelNotFound`], or if its newest event is damaged.
    pub fn model(&self, model: &str) -> Result<ModelState, RegistryError> {
        self.check_model(model)?;
        let (generation, state) = position(self.chain(model).newest()?.as_ref());
        Ok(ModelState::new(model, generation, state))
    }

    /// Number of the newest event of a model, 0 before the first: a few small reads, for watching.
    ///
    /// # Errors
    /// If the name is not valid or the newest event is damaged.
    pub fn generation(&self, model: &str) -> Result<u64, RegistryError> {
        check_model_name(model)?;
        Ok(self.chain(model).newest()?.map_or(0, |newest| newest.generation))
    }

    /// All versions whose manifest verifies, ascending.
    ///
    /// # Errors
    /// [`RegistryError::ModelNotFound`], or if the storage fails.
    pub fn versions(&self, model: &str) -> Result<Vec<Manifest>, RegistryError> {
        self.check_model(model)?;
        let mut manifests = Vec::new();
        for version in self.version_folders(model)? {
            manifests.extend(self.sealed_manifest(model, version)?.map(|sealed| sealed.manifest));
        }
        Ok(manifests)
    }

    /// The manifest of a version.
    ///
    /// # Errors
    /// [`RegistryError::ModelNotFound`] or [`RegistryError::VersionNotFound`].
    pub fn manifest(&self, model: &str, version: u64) -> Result<Manifest, RegistryError> {
        check_model_name(model)?;
        if let Some(sealed) = self.sealed_manifest(model, version)? {
            return Ok(sealed.manifest);
        }
        let known = list_some(self.versions(model)?.iter().map(|manifest| manifest.version));
        Err(RegistryError::VersionNotFound { model: model.to_owned(), version, known })
    }

    /// The bytes of a file of a version, checked against the manifest.
    ///
    /// # Errors
    /// [`RegistryError::FileMissing`], [`RegistryError::DigestMismatch`], or as
    /// [`manifest`](Self::manifest).
    pub fn read(&self, model: &str, version: u64, file: &str) -> Result<Vec<u8>, RegistryError> {
        self.read_listed(&self.manifest(model, version)?, file)
    }

    /// The version that is meant. Only looks at the state: the version itself is not read.
    ///
    /// # Errors
    /// [`RegistryError::ModelNotFound`], [`RegistryError::VersionNotFound`] or
    /// [`RegistryError::AliasNotFound`].
    pub fn resolve(&self, model: &str, choice: &Choice) -> Result<u64, RegistryError> {
        let alias = match choice {
            Choice::Version(version) => return Ok(self.manifest(model, *version)?.version),
            Choice::Champion => CHAMPION,
            Choice::Alias(alias) => alias,
        };
        check_alias_name(alias)?;
        let state = self.model(model)?;
        let not_found = || alias_not_found(model, alias, &state.aliases);
        state.aliases.get(alias).copied().ok_or_else(not_found)
    }

    /// All events of a model, oldest first, each checked on its own;
    /// [`verify`](Self::verify) checks the chain.
    ///
    /// # Errors
    /// [`RegistryError::ModelNotFound`], or if an event is damaged or missing.
    pub fn log(&self, model: &str) -> Result<Vec<EventRecord>, RegistryError> {
        self.check_model(model)?;
        self.chain(model).log()
    }

    /// Up to `max` events of a model before generation `before`, newest first; `None` begins with the
    /// newest. Reads no others.
    ///
    /// # Errors
    /// As [`log`](Self::log).
    pub fn log_before(
        &self,
        model: &str,
        before: Option<u64>,
        max: usize,
    ) -> Result<Vec<EventRecord>, RegistryError> {
        self.check_model(model)?;
        self.chain(model).log_before(before, max)
    }

    pub(crate) fn read_listed(
        &self,
        manifest: &Manifest,
        file: &str,
    ) -> Result<Vec<u8>, RegistryError> {
        let key = format!("{}/{file}", version_key(&manifest.model, manifest.version));
        let missing = |reason: &str| RegistryError::FileMissing {
            place: self.storage.place(&key),
            reason: reason.to_owned(),
        };
        let entry = manifest
            .files
            .get(file)
            .ok_or_else(|| missing("the version was published without it"))?;
        let bytes = self
            .read_at_most(&key, entry.size)?
            .ok_or_else(|| missing("the manifest of the version lists it"))?;
        let found = sha256_hex(&bytes);
        if found != entry.sha256 {
            let (place, expected) = (self.storage.place(&key), entry.sha256.clone());
            return Err(RegistryError::DigestMismatch { place, expected, found });
        }
        Ok(bytes)
    }

    /// The manifest of a folder that is a version, `None` for any other.
    pub(crate) fn sealed_manifest(
        &self,
        model: &str,
        version: u64,
    ) -> Result<Option<SealedManifest>, RegistryError> {
        match self.try_manifest(model, version)? {
            Some(Ok(sealed)) => Ok(Some(sealed)),
            Some(Err(reason)) => {
                let place = self.storage.place(&manifest_key(model, version));
                tracing::warn!(%place, %reason, "a version is passed over, its manifest is damaged");
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// `None` without a manifest, the reason if it does not verify.
    pub(crate) fn try_manifest(
        &self,
        model: &str,
        version: u64,
    ) -> Result<Option<Result<SealedManifest, String>>, RegistryError> {
        let Some(bytes) = self.read_key(&manifest_key(model, version))? else { return Ok(None) };
        let manifest = match from_bytes(&bytes) {
            Ok(manifest) => manifest,
            Err(error) => return Ok(Some(Err(error.to_string()))),
        };
        if (manifest.model.as_str(), manifest.version) != (model, version) {
            let (model, version) = (&manifest.model, manifest.version);
            return Ok(Some(Err(format!("it is of version {version} of model {model:?}"))));
        }
        let sha256 = sha256_hex(&bytes);
        Ok(Some(Ok(SealedManifest { manifest, sha256 })))
    }

    /// Numbered folders, whether or not they are versions, ascending.
    pub(crate) fn version_folders(&self, model: &str) -> Result<Vec<u64>, RegistryError> {
        let listing = self.list_key(&format!("{model}/versions"))?;
        let mut versions: Vec<u64> =
            listing.folders.iter().filter_map(|name| number(name)).collect();
        versions.sort_unstable();
        Ok(versions)
    }

    /// Folders whose name could be a model.
    pub(crate) fn model_folders(&self) -> Result<Vec<String>, RegistryError> {
        let folders = self.list_key("")?.folders;
        Ok(folders.into_iter().filter(|name| is_name(name)).collect())
    }

    pub(crate) fn chain<'a>(&'a self, model: &'a str) -> Chain<'a> {
        Chain { storage: &*self.storage, steps: &self.steps, model }
    }

    pub(crate) fn now_us(&self) -> i64 {
        (self.now_us)()
    }

    pub(crate) fn read_key(&self, key: &str) -> Result<Option<Vec<u8>>, RegistryError> {
        self.read_at_most(key, MAX_JSON_BYTES)
    }

    fn read_at_most(&self, key: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, RegistryError> {
        let bytes = self.storage.read(key, max_bytes);
        bytes.map_err(|error| RegistryError::io(self.storage.place(key), error))
    }

    pub(crate) fn list_key(&self, folder: &str) -> Result<storage::Listing, RegistryError> {
        let failed = |error| RegistryError::io(self.storage.place(folder), error);
        self.storage.list(folder).map_err(failed)
    }

    /// Fails unless the name is valid and the model has a version or an event.
    pub(crate) fn check_model(&self, model: &str) -> Result<(), RegistryError> {
        check_model_name(model)?;
        if self.exists(model)? {
            return Ok(());
        }
        let known = list_some(self.models()?);
        let (model, location) = (model.to_owned(), self.location.clone());
        Err(RegistryError::ModelNotFound { model, location, known })
    }

    fn exists(&self, model: &str) -> Result<bool, RegistryError> {
        if self.chain(model).newest()?.is_some() {
            return Ok(true);
        }
        for version in self.version_folders(model)? {
            if self.sealed_manifest(model, version)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn check_layout(&self) -> Result<(), RegistryError> {
        let Some(bytes) = self.read_key(FORMAT_FILE)? else { return Ok(()) };
        let place = self.storage.place(FORMAT_FILE);
        let text = String::from_utf8_lossy(&bytes);
        match text.trim().parse() {
            Ok(found) if found <= LAYOUT_FORMAT => Ok(()),
            Ok(found) => {
                Err(RegistryError::FormatUnsupported { place, found, supported: LAYOUT_FORMAT })
            }
            Err(_) => {
                let reason = "it should hold the number of the layout".to_owned();
                Err(RegistryError::Corrupt { place, reason })
            }
        }
    }
}

/// Generation and state after the newest event.
pub(crate) fn position(newest: Option<&EventRecord>) -> (u64, State) {
    newest.map_or((0, State::default()), |newest| (newest.generation, newest.state.clone()))
}

pub(crate) fn version_key(model: &str, version: u64) -> String {
    format!("{model}/versions/{version}")
}

pub(crate) fn manifest_key(model: &str, version: u64) -> String {
    format!("{}/{MANIFEST_FILE}", version_key(model, version))
}

pub(crate) fn alias_not_found(
    model: &str,
    alias: &str,
    aliases: &std::collections::BTreeMap<String, u64>,
) -> RegistryError {
    let known = list_some(aliases.keys());
    RegistryError::AliasNotFound { model: model.to_owned(), alias: alias.to_owned(), known }
}
