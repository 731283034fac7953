//! Where the files of a registry are: a local folder or an object store, behind one small interface.
//!
//! Keys are `/`-separated and relative to the root of the registry. Four kinds of write are all that
//! a registry needs: create a file that must not exist, replace a cache, create a whole folder that
//! must not exist, and nothing ever deletes.

mod local;
mod object;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;

pub(crate) use local::LocalFiles;
pub(crate) use object::ObjectFiles;

use crate::error::RegistryError;
use crate::steps::Steps;

/// Largest manifest, event or state; what is larger was not written here.
pub(crate) const MAX_JSON_BYTES: u64 = 16 << 20;

/// Whether a create found the place free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Create {
    Created,
    Exists,
}

/// The direct children of a folder; empty for a folder that is not there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listing {
    pub(crate) folders: BTreeSet<String>,
    pub(crate) files: BTreeSet<String>,
}

/// A folder to be created as a whole; `last` makes it valid and is written after all else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewFolder<'a> {
    /// The name of a file that every such folder has: whoever writes it first has the folder.
    pub(crate) claim: &'a str,
    pub(crate) files: &'a BTreeMap<String, Vec<u8>>,
    pub(crate) last: (&'a str, &'a [u8]),
}

/// What a registry asks of its storage. Every write has reached the disk when it returns.
pub(crate) trait Storage: fmt::Debug + Send + Sync {
    /// A key as a person finds it: a path or a URL.
    fn place(&self, key: &str) -> String;

    /// The bytes of a file, `None` if there is none. Of one that is larger than `max_bytes` one byte more
    /// and no others: enough to see that it is not the one that was written.
    fn read(&self, key: &str, max_bytes: u64) -> io::Result<Option<Vec<u8>>>;

    /// The direct children of a folder.
    fn list(&self, folder: &str) -> io::Result<Listing>;

    /// Creates a file with all its bytes, or finds that it exists; never anything between.
    fn create(&self, key: &str, bytes: &[u8], steps: &Steps) -> io::Result<Create>;

    /// Puts new bytes in the place of a file; a reader sees the old or the new.
    fn replace(&self, key: &str, bytes: &[u8], steps: &Steps) -> io::Result<()>;

    /// Creates a folder whose last file appears only when all others are complete.
    fn create_folder(
        &self,
        folder: &str,
        content: NewFolder<'_>,
        steps: &Steps,
    ) -> io::Result<Create>;
}

/// Opens the storage that `location` names.
///
/// # Errors
/// If the URL is not understood, needs a feature that is not compiled in, or the store refuses.
pub(crate) fn open(location: &str) -> Result<Box<dyn Storage>, RegistryError> {
    match location.split_once("://") {
        None => Ok(Box::new(LocalFiles::new(location.into()))),
        Some(("file", path)) if path.starts_with('/') => Ok(Box::new(LocalFiles::new(path.into()))),
        Some((scheme, _)) => {
            if let Some(feature) = missing_feature(scheme) {
                let (location, scheme) = (location.to_owned(), scheme.to_owned());
                return Err(RegistryError::FeatureNotBuilt { location, scheme, feature });
            }
            Ok(Box::new(ObjectFiles::from_url(location)?))
        }
    }
}

/// The cargo feature that a URL scheme needs and this build lacks.
fn missing_feature(scheme: &str) -> Option<&'static str> {
    match scheme {
        "s3" | "s3a" if !cfg!(feature = "aws") => Some("aws"),
        "gs" if !cfg!(feature = "gcp") => Some("gcp"),
        "az" | "adl" | "azure" | "abfs" | "abfss" if !cfg!(feature = "azure") => Some("azure"),
        _ => None,
    }
}
