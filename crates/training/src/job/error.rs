//! What can be wrong with a job file, said so that its author can mend it.

use std::path::{Path, PathBuf};

/// Why a job cannot run as written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The file cannot be read.
    #[error("cannot read job {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key that no section has.
    #[error("{}:{line}: unknown key {key:?}{place}; {hint}", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// The key.
        key: String,
        /// ` in [section]`, or nothing.
        place: String,
        /// The nearest valid key, or all of them.
        hint: String,
    },
    /// A word that its key does not take.
    #[error("{}:{line}: unknown value {found:?} of {key}{place}; {hint}", path.display())]
    UnknownValue {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// The key.
        key: String,
        /// What it says.
        found: String,
        /// ` in [section]`, or nothing.
        place: String,
        /// The nearest valid word, or all of them.
        hint: String,
    },
    /// TOML that does not parse, or a value of another type.
    #[error("{}:{line}: {message}{place}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// ` in [section]`, or nothing.
        place: String,
        /// What the parser says.
        message: String,
    },
    /// A value that makes no sense, alone or beside others.
    #[error("{}: {key}: {message}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key, with its section.
        key: String,
        /// What is wrong and what would be right.
        message: String,
    },
}

impl JobError {
    pub(super) fn value(path: &Path, key: &str, message: impl Into<String>) -> Self {
        Self::Value { path: path.to_owned(), key: key.to_owned(), message: message.into() }
    }

    /// Gives a parser's message its line, its section, and the nearest key.
    pub(super) fn from_toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let offset = error.span().map_or(0, |span| span.start).min(text.len());
        let before = text.get(..offset).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let here = text.lines().nth(line - 1).unwrap_or_default().trim();
        let section = std::iter::once(here)
            .chain(before.lines().rev().map(str::trim))
            .find(|line| line.starts_with('['));
        let place = |key: Option<&str>| {
            let name =
                section.map(|header| header.split_once(']').map_or(header, |(name, _)| name));
            let name = name.unwrap_or_default().trim_matches('[');
            // an unknown section is a key of the section that holds it
            let name = match (here.starts_with('['), name.rsplit_once('.')) {
                (true, Some((outer, last))) if key == Some(last) => outer,
                (true, None) if key == Some(name) => "",
                _ => name,
            };
            if name.is_empty() { String::new() } else { format!(" in [{name}]") }
        };
        let message = error.message().to_owned();
        let path = path.to_owned();
        match unknown_and_valid(&message) {
            Some((found, valid)) if message.starts_with("unknown variant") => {
                let hint = nearest(&found, &valid);
                let key = here.split('=').next().unwrap_or_default().trim().to_owned();
                let place = place(None);
                Self::UnknownValue { path, line, key, found, place, hint }
            }
            Some((key, valid)) => {
                let (hint, place) = (nearest(&key, &valid), place(Some(&key)));
                Self::UnknownKey { path, line, key, place, hint }
            }
            None => Self::Syntax { path, line, place: place(None), message },
        }
    }
}

/// serde says: unknown field (or variant) `x`, expected one of `a`, `b`.
fn unknown_and_valid(message: &str) -> Option<(String, Vec<String>)> {
    let rest = message
        .strip_prefix("unknown field ")
        .or_else(|| message.strip_prefix("unknown variant "))?;
    let mut quoted = rest.split('`').skip(1).step_by(2).map(str::to_owned);
    let key = quoted.next()?;
    Some((key, quoted.collect()))
}

/// `did you mean "label"?` when one is near, else the list.
pub(crate) fn nearest(key: &str, valid: &[impl AsRef<str>]) -> String {
    let near = valid
        .iter()
        .map(|name| (strsim::damerau_levenshtein(key, name.as_ref()), name.as_ref()))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len().max(key.len()) / 3);
    let all = || valid.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match near {
        Some((_, name)) => format!("did you mean {name:?}?"),
        None if valid.is_empty() => "none is known here".to_owned(),
        None => format!("known here: {}", all()),
    }
}
