//! Local files: written beside their place, synced, then linked or renamed into it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Create, Listing, NewFolder, Storage};
use crate::steps::Steps;

/// Begins the name of everything that is not complete; no model, version or event begins so.
const TEMPORARY: &str = ".tmp-";

/// A registry in a folder.
#[derive(Debug)]
pub(crate) struct LocalFiles {
    root: PathBuf,
}

impl LocalFiles {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn path(&self, key: &str) -> PathBuf {
        key.split('/')
            .filter(|part| !part.is_empty())
            .fold(self.root.clone(), |path, part| path.join(part))
    }

    /// Creates a folder and its parents, each one synced into the one above it.
    fn make_folders(path: &Path, steps: &Steps) -> io::Result<()> {
        if path.as_os_str().is_empty() || path.is_dir() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            Self::make_folders(parent, steps)?;
        }
        steps.before("create parent folder")?;
        match fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => sync_parent(path, steps),
        }
    }
}

impl Storage for LocalFiles {
    fn place(&self, key: &str) -> String {
        self.path(key).display().to_string()
    }

    fn read(&self, key: &str, max_bytes: u64) -> io::Result<Option<Vec<u8>>> {
        let read = || {
            let file = File::open(self.path(key))?;
            let size = file.metadata()?.len().min(max_bytes);
            let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
            file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        match read() {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list(&self, folder: &str) -> io::Result<Listing> {
        let entries = match fs::read_dir(self.path(folder)) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(Listing::default()),
            Err(error) => return Err(error),
        };
        let mut listing = Listing::default();
        for entry in entries {
            let entry = entry?;
            // A name that is not UTF-8 was not written here and cannot be a key.
            let Ok(name) = entry.file_name().into_string() else { continue };
            // Follows links, so that a registry may be put together from several disks.
            let is_folder = fs::metadata(entry.path()).is_ok_and(|meta| meta.is_dir());
            if is_folder { &mut listing.folders } else { &mut listing.files }.insert(name);
        }
        Ok(listing)
    }

    /// The link is the commit: it fails if the name is taken, and the name never shows half a file.
    fn create(&self, key: &str, bytes: &[u8], steps: &Steps) -> io::Result<Create> {
        let path = self.path(key);
        let folder = path.parent().unwrap_or(&self.root);
        Self::make_folders(folder, steps)?;
        if path.exists() {
            return Ok(Create::Exists);
        }
        let temporary = write_temporary(folder, bytes, steps)?;
        steps.before("link file into place")?;
        let linked = fs::hard_link(&temporary, &path);
        steps.before("remove temporary name")?;
        fs::remove_file(&temporary)?;
        match linked {
            Ok(()) => sync_parent(&path, steps).map(|()| Create::Created),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Create::Exists),
            Err(error) => Err(error),
        }
    }

    fn replace(&self, key: &str, bytes: &[u8], steps: &Steps) -> io::Result<()> {
        let path = self.path(key);
        let folder = path.parent().unwrap_or(&self.root);
        Self::make_folders(folder, steps)?;
        let temporary = write_temporary(folder, bytes, steps)?;
        steps.before("rename file over the old one")?;
        fs::rename(&temporary, &path)?;
        sync_parent(&path, steps)
    }

    fn create_folder(
        &self,
        folder: &str,
        content: NewFolder<'_>,
        steps: &Steps,
    ) -> io::Result<Create> {
        let path = self.path(folder);
        let parent = path.parent().unwrap_or(&self.root);
        Self::make_folders(parent, steps)?;
        // Renaming over an empty folder would succeed, and its number would be taken twice.
        if path.exists() {
            return Ok(Create::Exists);
        }
        steps.before("create temporary folder")?;
        let temporary = make_temporary_folder(parent)?;
        let renamed = fill_folder(&temporary, content, steps).and_then(|()| {
            steps.before("rename folder into place")?;
            fs::rename(&temporary, &path)
        });
        let outcome = match renamed {
            Ok(()) => return sync_parent(&path, steps).map(|()| Create::Created),
            // A folder that is not empty is never replaced by a rename.
            Err(_) if !steps.stopped() && path.exists() => Ok(Create::Exists),
            Err(error) => Err(error),
        };
        if !steps.stopped() {
            fs::remove_dir_all(&temporary)?;
        }
        outcome
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn fill_folder(folder: &Path, content: NewFolder<'_>, steps: &Steps) -> io::Result<()> {
    for (name, bytes) in content.files {
        steps.before("create file")?;
        let file = OpenOptions::new().write(true).create_new(true).open(folder.join(name))?;
        write_and_sync(file, bytes, steps)?;
    }
    steps.before("create manifest")?;
    let (name, bytes) = content.last;
    let file = OpenOptions::new().write(true).create_new(true).open(folder.join(name))?;
    write_and_sync(file, bytes, steps)?;
    steps.before("sync folder")?;
    sync_folder(folder)
}

/// A new complete file beside the place it is meant for; removed again if it cannot be completed.
fn write_temporary(folder: &Path, bytes: &[u8], steps: &Steps) -> io::Result<PathBuf> {
    steps.before("create temporary file")?;
    let (path, file) = loop {
        let path = folder.join(temporary_name());
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => break (path, file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    };
    match write_and_sync(file, bytes, steps) {
        Ok(()) => Ok(path),
        Err(error) => {
            if !steps.stopped() {
                fs::remove_file(&path)?;
            }
            Err(error)
        }
    }
}

fn make_temporary_folder(parent: &Path) -> io::Result<PathBuf> {
    loop {
        let path = parent.join(temporary_name());
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Unique in this process; a name left over by another is passed over by its creator.
fn temporary_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{TEMPORARY}{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn write_and_sync(mut file: File, bytes: &[u8], steps: &Steps) -> io::Result<()> {
    steps.before("write file")?;
    file.write_all(bytes)?;
    steps.before("sync file")?;
    file.sync_all()
}

fn sync_parent(path: &Path, steps: &Steps) -> io::Result<()> {
    steps.before("sync parent folder")?;
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => sync_folder(Path::new(".")),
        Some(parent) => sync_folder(parent),
        None => Ok(()),
    }
}

/// Makes names durable. Only Unix lets a folder be opened for this.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
