//! Events from files with one JSON object a line.

use std::io::BufRead;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use segue_events::{Reject, RejectReason};
use serde_json::{Map, Value};

use super::ReadError;
use super::files::{open, open_at};

/// Lines after which a file without one JSON object is taken for something else.
const HOPELESS_LINES: u64 = 100;

/// The lines of a file that begin in a stretch of its bytes.
pub(super) struct Lines {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    /// Where the next line begins.
    at: u64,
    stretch: Range<u64>,
}

impl Lines {
    /// Opens a file where the first line begins at or after the start of the stretch. A packed file is
    /// one stretch. Stretches that together are the file have each of its lines once.
    pub(super) fn open(
        path: &Path,
        is_packed: bool,
        stretch: Range<u64>,
        n_bytes: &Arc<AtomicU64>,
    ) -> Result<Self, ReadError> {
        if stretch.start == 0 {
            let reader = open(path, is_packed, n_bytes)?;
            return Ok(Self { path: path.to_owned(), reader, at: 0, stretch });
        }
        let io = |source| ReadError::Io { path: path.to_owned(), source };
        // a line begins where the one before has ended, maybe just now
        let mut at = stretch.start - 1;
        let mut reader = open_at(path, at, n_bytes)?;
        at += reader.skip_until(b'\n').map_err(io)? as u64;
        Ok(Self { path: path.to_owned(), reader, at, stretch })
    }

    /// Calls `take` for each line that is not empty, with its number (from 1 at the first line of the
    /// stretch), its object or what is wrong with it, and its text, and gives the number of lines. An
    /// error of `take` ends the reading.
    pub(super) fn for_each<E: From<ReadError>>(
        mut self,
        mut take: impl FnMut(u64, Result<Map<String, Value>, Reject>, &str) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut bytes = Vec::new();
        let (mut line, mut n_objects) = (0u64, 0u64);
        let mut first_bad: Option<(u64, String)> = None;
        while self.at < self.stretch.end {
            bytes.clear();
            let n = self
                .reader
                .read_until(b'\n', &mut bytes)
                .map_err(|source| ReadError::Io { path: self.path.clone(), source })?;
            if n == 0 {
                break;
            }
            self.at += n as u64;
            line += 1;
            // some exporters begin a file with a byte-order mark
            let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes).trim_ascii();
            if text.is_empty() {
                continue;
            }
            let object = object_of(text);
            match &object {
                Ok(_) => n_objects += 1,
                Err(reject) => {
                    first_bad.get_or_insert_with(|| (line, reject.detail.clone()));
                }
            }
            if n_objects == 0 && line >= HOPELESS_LINES && self.stretch.start == 0 {
                break;
            }
            take(line, object, &String::from_utf8_lossy(text))?;
        }
        let is_hopeless = line >= HOPELESS_LINES || self.stretch.end == u64::MAX;
        match first_bad {
            Some((first, message)) if n_objects == 0 && self.stretch.start == 0 && is_hopeless => {
                let path = self.path;
                Err(ReadError::NotJsonLines { path, line: first, n_lines: line, message }.into())
            }
            _ => Ok(line),
        }
    }
}

fn object_of(text: &[u8]) -> Result<Map<String, Value>, Reject> {
    match serde_json::from_slice(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => {
            let kind = match other {
                Value::Array(_) => "an array",
                Value::String(_) => "a text",
                Value::Number(_) => "a number",
                Value::Bool(_) => "true or false",
                Value::Null | Value::Object(_) => "null",
            };
            let detail = format!("found {kind}, expected one object a line");
            Err(Reject::new(RejectReason::NotAnObject, "line", detail))
        }
        Err(error) => {
            let detail = format!("{error}; expected one JSON object a line");
            Err(Reject::new(RejectReason::InvalidJson, "line", detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    /// Number, whether it is an object, and text of each line that is not empty.
    fn lines(path: &Path, n_bytes: u64, stretch_bytes: u64) -> Vec<(u64, bool, String)> {
        let (mut found, mut n_lines) = (Vec::new(), 0);
        let mut start = 0;
        loop {
            let is_last = start + stretch_bytes >= n_bytes;
            let end = if is_last { u64::MAX } else { start + stretch_bytes };
            let lines = Lines::open(path, false, start..end, &Arc::default()).unwrap();
            n_lines += lines
                .for_each::<ReadError>(|line, object, text| {
                    found.push((n_lines + line, object.is_ok(), text.to_owned()));
                    Ok(())
                })
                .unwrap();
            if is_last {
                return found;
            }
            start = end;
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 128,
            failure_persistence: None,
            rng_seed: RngSeed::Fixed(9),
            ..ProptestConfig::default()
        })]

        #[test]
        fn stretches_have_each_line_once(
            texts in prop::collection::vec(
                prop::sample::select(vec!["", " ", "x", "{}", "{\"a\": 1}", "\u{e9}\u{e9}"]), 0..20),
            is_crlf in any::<bool>(),
            ends in any::<bool>(),
            stretch_bytes in 1..40u64,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log.jsonl");
            let end = if is_crlf { "\r\n" } else { "\n" };
            let mut text = format!("{{\"first\": 0}}{end}") + &texts.join(end);
            if ends {
                text.push_str(end);
            }
            std::fs::write(&path, &text).unwrap();
            let whole = lines(&path, text.len() as u64, u64::MAX / 2);
            prop_assert_eq!(whole.len(), 1 + texts.iter().filter(|text| !text.trim().is_empty()).count());
            prop_assert_eq!(lines(&path, text.len() as u64, stretch_bytes), whole);
        }
    }
}
