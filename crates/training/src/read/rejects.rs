//! Rows that did not become events: counted by reason, and written out when asked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use segue_events::{Reject, RejectReason};
use serde_json::json;

use super::ReadError;

/// Counts of rejected rows, one example a reason, and the file that takes them all.
#[derive(Debug, Default)]
pub struct Rejects {
    counts: BTreeMap<RejectReason, (u64, String)>,
    file: Option<(PathBuf, BufWriter<File>)>,
}

impl Rejects {
    /// Counts only, or also writes each reject as a JSON line to `path`.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn new(path: Option<&Path>) -> Result<Self, ReadError> {
        let open = |path: &Path| {
            let io = |source| ReadError::Io { path: path.to_owned(), source };
            Ok((path.to_owned(), BufWriter::new(File::create(path).map_err(io)?)))
        };
        Ok(Self { counts: BTreeMap::new(), file: path.map(open).transpose()? })
    }

    /// Counts a reject found at `line` (from 1) of `source`; `raw` is the row as far as it is known.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn add(
        &mut self,
        source: &Path,
        line: u64,
        reject: &Reject,
        raw: &str,
    ) -> Result<(), ReadError> {
        let slot = self.counts.entry(reject.reason).or_insert_with(|| {
            (0, format!("{}:{line}: {}: {}", source.display(), reject.field, reject.detail))
        });
        slot.0 += 1;
        if let Some((path, file)) = &mut self.file {
            let line = json!({
                "file": source.display().to_string(),
                "line": line,
                "reason": reject.reason.code(),
                "field": reject.field,
                "detail": reject.detail,
                "row": raw,
            });
            writeln!(file, "{line}")
                .map_err(|source| ReadError::Io { path: path.clone(), source })?;
        }
        Ok(())
    }

    /// Writes what is still buffered and gives reason, count and first example, by reason.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn finish(mut self) -> Result<Vec<(RejectReason, u64, String)>, ReadError> {
        if let Some((path, file)) = &mut self.file {
            file.flush().map_err(|source| ReadError::Io { path: path.clone(), source })?;
        }
        Ok(self.counts.into_iter().map(|(reason, (n, example))| (reason, n, example)).collect())
    }

    /// Number of rejects so far.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.counts.values().map(|(n, _)| n).sum()
    }
}
