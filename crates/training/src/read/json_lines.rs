//! Events from files with one JSON object a line.

use std::io::BufRead;
use std::path::Path;

use segue_events::{Reject, RejectReason};
use serde_json::{Map, Value};

use super::ReadError;

/// Lines after which a file without one JSON object is taken for something else.
const HOPELESS_LINES: u64 = 100;

/// Calls `take` for each line that is not empty, with its number (from 1), its object or what is wrong
/// with it, and its text. An error of `take` ends the reading.
pub(super) fn for_each_line<E: From<ReadError>>(
    path: &Path,
    mut reader: Box<dyn BufRead>,
    mut take: impl FnMut(u64, Result<Map<String, Value>, Reject>, &str) -> Result<(), E>,
) -> Result<(), E> {
    let mut bytes = Vec::new();
    let (mut line, mut n_objects) = (0u64, 0u64);
    let mut first_bad: Option<(u64, String)> = None;
    loop {
        bytes.clear();
        let n = reader
            .read_until(b'\n', &mut bytes)
            .map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
        if n == 0 {
            break;
        }
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
        if n_objects == 0 && line >= HOPELESS_LINES {
            break;
        }
        take(line, object, &String::from_utf8_lossy(text))?;
    }
    match first_bad {
        Some((first, message)) if n_objects == 0 => {
            let path = path.to_owned();
            Err(ReadError::NotJsonLines { path, line: first, n_lines: line, message }.into())
        }
        _ => Ok(()),
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
