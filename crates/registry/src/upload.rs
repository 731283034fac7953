//! A version that comes in pieces from where it was made: its manifest first, then its files.
//!
//! The manifest says what will come, so that nothing is taken that it does not list, nothing grows
//! beyond the size that it gives, and what has come is the version that was made elsewhere and no other.

use std::collections::BTreeMap;

use crate::draft::Draft;
use crate::error::RegistryError;
use crate::manifest::{
    FileEntry, MANIFEST_FILE, Manifest, content_digest, from_bytes, summary_text,
};
use crate::names::{check_file_name, check_model_name};
use crate::sealed::sha256_hex;

/// Files that an uploaded version may have.
pub const MAX_FILES: usize = 64;

/// Files under way to a [`Draft`]. Holds at most as many bytes as its manifest announced.
#[derive(Debug)]
pub struct Upload {
    manifest: Manifest,
    files: BTreeMap<String, Vec<u8>>,
}

impl Upload {
    /// Reads the `manifest.json` of a version of `model`, as another registry has it, and checks that
    /// its files have at most `max_bytes` together.
    ///
    /// # Errors
    /// [`RegistryError::UploadInvalid`] if the manifest is damaged, is of another model, or lists
    /// files that a version may not have.
    pub fn begin(model: &str, manifest: &[u8], max_bytes: u64) -> Result<Self, RegistryError> {
        check_model_name(model)?;
        let invalid = |reason: String| invalid(model, MANIFEST_FILE, reason);
        let manifest = from_bytes(manifest).map_err(|error| invalid(error.to_string()))?;
        if manifest.model != model {
            return Err(invalid(format!("it is of model {:?}", manifest.model)));
        }
        if manifest.files.len() > MAX_FILES {
            let n_files = manifest.files.len();
            return Err(invalid(format!("it lists {n_files} files, at most {MAX_FILES} may be")));
        }
        for name in manifest.files.keys() {
            check_file_name(name).map_err(|error| invalid(error.to_string()))?;
        }
        let sizes = manifest.files.values().map(|file| file.size);
        let n_bytes = sizes.fold(0_u64, u64::saturating_add);
        if n_bytes > max_bytes {
            let reason = format!("its files have {n_bytes} bytes, at most {max_bytes} are taken");
            return Err(invalid(reason));
        }
        // The facts must be all that this build writes, or the version would become another one.
        let summary =
            summary_text(&manifest.summary).map_err(|error| invalid(error.to_string()))?;
        let digest = content_digest(&manifest.files, &summary);
        if digest != manifest.digest {
            let reason = "it has facts that this build does not know; use a newer build";
            return Err(invalid(reason.to_owned()));
        }
        Ok(Self { manifest, files: BTreeMap::new() })
    }

    /// Digest of the version that is announced.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.manifest.digest
    }

    /// Who made it, as its manifest says.
    #[must_use]
    pub fn created_by(&self) -> &str {
        &self.manifest.summary.created_by
    }

    /// Adds the next bytes of a file. Files may come in any order.
    ///
    /// # Errors
    /// [`RegistryError::UploadInvalid`] if the manifest does not list the file, or lists it smaller.
    pub fn add(&mut self, file: &str, bytes: &[u8]) -> Result<(), RegistryError> {
        let model = &self.manifest.model;
        let Some(FileEntry { size, .. }) = self.manifest.files.get(file) else {
            return Err(invalid(model, file, "the manifest does not list it".to_owned()));
        };
        let known = self.files.entry(file.to_owned()).or_default();
        let n_bytes = (known.len() as u64).saturating_add(bytes.len() as u64);
        if n_bytes > *size {
            let reason = format!("{n_bytes} bytes have come, the manifest says {size}");
            return Err(invalid(model, file, reason));
        }
        known.extend_from_slice(bytes);
        Ok(())
    }

    /// The draft, when every file is there and is the one that was announced. `created_by` is who
    /// brings it; empty for who made it.
    ///
    /// # Errors
    /// [`RegistryError::UploadInvalid`] naming the first file that is not whole or not the one.
    pub fn finish(mut self, created_by: &str) -> Result<Draft, RegistryError> {
        for (name, entry) in &self.manifest.files {
            let model = &self.manifest.model;
            // An empty file needs no piece.
            let bytes = self.files.entry(name.clone()).or_default();
            if bytes.len() as u64 != entry.size {
                let (n_bytes, size) = (bytes.len(), entry.size);
                let reason = format!("{n_bytes} bytes have come, the manifest says {size}");
                return Err(invalid(model, name, reason));
            }
            let found = sha256_hex(bytes);
            if found != entry.sha256 {
                let reason = format!("it has SHA-256 {found}, the manifest says {}", entry.sha256);
                return Err(invalid(model, name, reason));
            }
        }
        let Manifest { model, mut summary, .. } = self.manifest;
        if !created_by.is_empty() {
            created_by.clone_into(&mut summary.created_by);
        }
        Ok(Draft { model, files: self.files, summary })
    }
}

fn invalid(model: &str, file: &str, reason: String) -> RegistryError {
    RegistryError::UploadInvalid { model: model.to_owned(), file: file.to_owned(), reason }
}
