//! Lines, keys, and numbers, each with its place.

use std::fmt::Display;
use std::str::FromStr;

use super::place::Place;
use crate::exchange::{Format, ImportError};

/// A key with its value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) place: Place,
    pub(super) key: &'a str,
    pub(super) value: &'a str,
}

impl Entry<'_> {
    pub(super) fn number<T: FromStr<Err: Display>>(&self) -> Result<T, ImportError> {
        self.parse(self.value)
    }

    /// Numbers between blanks.
    pub(super) fn numbers<T: FromStr<Err: Display>>(&self) -> Result<Vec<T>, ImportError> {
        self.value.split_ascii_whitespace().map(|word| self.parse(word)).collect()
    }

    /// As many numbers as are due.
    pub(super) fn exactly<T: FromStr<Err: Display>>(
        &self,
        expected: usize,
    ) -> Result<Vec<T>, ImportError> {
        let numbers = self.numbers()?;
        if numbers.len() == expected {
            return Ok(numbers);
        }
        let found = numbers.len();
        Err(self.place.malformed(format!("{found} numbers, expected {expected}")))
    }

    fn parse<T: FromStr<Err: Display>>(&self, word: &str) -> Result<T, ImportError> {
        word.trim().parse().map_err(|error: T::Err| {
            let shown: String = word.chars().take(40).collect();
            self.place.malformed(format!("{shown:?} is no number of this key: {error}"))
        })
    }
}

/// The lines of a file, one after another.
#[derive(Debug, Clone)]
pub(super) struct Lines<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, ImportError> {
        match std::str::from_utf8(bytes) {
            Ok(rest) => Ok(Self { rest, line: 0 }),
            Err(error) => Err(ImportError::Malformed {
                format: Format::LightGbm,
                place: format!("byte {}", error.valid_up_to()),
                detail: "not UTF-8".to_owned(),
            }),
        }
    }

    /// The line that comes next, without taking it.
    pub(super) fn peek(&self) -> Option<&'a str> {
        let line = self.rest.split('\n').next().filter(|_| !self.rest.is_empty())?;
        Some(line.trim_end_matches('\r'))
    }

    pub(super) fn skip(&mut self) {
        self.line += 1;
        self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
    }

    /// The place of the line that comes next.
    pub(super) fn here(&self, key: &str) -> Place {
        Place::Line { line: self.line + 1, key: key.to_owned() }
    }

    /// The next line as a key and its value; a line without `=` is a key alone.
    pub(super) fn entry(&mut self) -> Option<Entry<'a>> {
        let line = self.peek()?;
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        let place = self.here(key);
        self.skip();
        Some(Entry { place, key, value })
    }

    /// Category names of the frame that the model was fitted on, from the tail; empty if there are none.
    pub(super) fn pandas_categorical(&mut self) -> Result<Vec<Vec<String>>, ImportError> {
        const KEY: &str = "pandas_categorical:";
        while let Some(line) = self.peek() {
            let Some(json) = line.strip_prefix(KEY) else {
                self.skip();
                continue;
            };
            let lists = serde_json::from_str(json)
                .map_err(|error| self.here(KEY).malformed(error.to_string()))?;
            return Ok(category_names(lists));
        }
        Ok(Vec::new())
    }
}

/// Names of the categories of each column, which may be numbers there.
pub(super) fn category_names(lists: Option<Vec<Vec<serde_json::Value>>>) -> Vec<Vec<String>> {
    let name = |value| match value {
        serde_json::Value::String(name) => name,
        other => other.to_string(),
    };
    let lists = lists.unwrap_or_default().into_iter();
    lists.map(|list| list.into_iter().map(name).collect()).collect()
}
