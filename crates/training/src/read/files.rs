//! Which files: globs, kinds by ending, and readers that unpack `.gz` on the way.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::ReadError;

/// What a file holds, by its ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// One JSON object a line.
    JsonLines,
    /// Comma-separated, one header line.
    Csv,
    /// Apache Parquet.
    Parquet,
}

impl FileKind {
    /// The kind and whether the file is packed with gzip.
    ///
    /// # Errors
    /// [`ReadError::UnknownKind`] for any other ending.
    pub fn of(path: &Path) -> Result<(Self, bool), ReadError> {
        let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase());
        let name = name.unwrap_or_default();
        let (name, packed) = match name.strip_suffix(".gz") {
            Some(name) => (name, true),
            None => (name.as_str(), false),
        };
        let ending = name.rsplit('.').next().unwrap_or_default();
        match ending {
            "jsonl" | "ndjson" | "json" => Ok((Self::JsonLines, packed)),
            "csv" => Ok((Self::Csv, packed)),
            "parquet" if !packed => Ok((Self::Parquet, false)),
            _ => Err(ReadError::UnknownKind { path: path.to_owned() }),
        }
    }
}

/// The files that patterns name, sorted and each once. Relative patterns start from `folder`.
///
/// # Errors
/// A pattern that is malformed or matches nothing.
pub fn expand_globs(patterns: &[String], folder: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let mut files = Vec::new();
    for pattern in patterns {
        let full = folder.join(pattern);
        let matches = glob::glob(&full.to_string_lossy()).map_err(|error| ReadError::Pattern {
            pattern: pattern.clone(),
            message: error.to_string(),
        })?;
        let before = files.len();
        for path in matches {
            let path = path.map_err(|error| ReadError::Io {
                path: error.path().to_owned(),
                source: error.into(),
            })?;
            if path.is_file() {
                files.push(path);
            }
        }
        if files.len() == before {
            let here = folder.as_os_str().is_empty();
            let folder = if here { PathBuf::from(".") } else { folder.to_owned() };
            return Err(ReadError::NoMatch { pattern: pattern.clone(), folder });
        }
    }
    files.sort();
    files.dedup();
    Ok(files)
}

/// A reader that says how many bytes of the file it has taken, packed or not.
pub(super) struct CountingReader {
    file: File,
    pub(super) n_bytes: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl Read for CountingReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.n_bytes.fetch_add(n as u64, std::sync::atomic::Ordering::Relaxed);
        Ok(n)
    }
}

/// Opens a file for reading in order, unpacked.
pub(crate) fn open(
    path: &Path,
    packed: bool,
    n_bytes: &std::sync::Arc<std::sync::atomic::AtomicU64>,
) -> Result<Box<dyn BufRead>, ReadError> {
    let io = |source| ReadError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let reader = CountingReader { file, n_bytes: std::sync::Arc::clone(n_bytes) };
    Ok(if packed {
        Box::new(BufReader::with_capacity(1 << 18, MultiGzDecoder::new(reader)))
    } else {
        Box::new(BufReader::with_capacity(1 << 18, reader))
    })
}

/// Opens a file that is not packed for reading from its byte `start` on.
pub(super) fn open_at(
    path: &Path,
    start: u64,
    n_bytes: &std::sync::Arc<std::sync::atomic::AtomicU64>,
) -> Result<Box<dyn BufRead>, ReadError> {
    let io = |source| ReadError::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(io)?;
    file.seek(SeekFrom::Start(start)).map_err(io)?;
    let reader = CountingReader { file, n_bytes: std::sync::Arc::clone(n_bytes) };
    Ok(Box::new(BufReader::with_capacity(1 << 18, reader)))
}

/// Size of a file in bytes, 0 if it cannot be told.
pub(super) fn size_bytes(path: &Path) -> u64 {
    path.metadata().map_or(0, |data| data.len())
}
