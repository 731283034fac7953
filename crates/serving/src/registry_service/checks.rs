//! What a request to the registry must look like, before the registry is asked.

use segue_registry::{CHAMPION, check_alias_name, check_model_name};

use crate::scoring_service::MAX_TEXT_BYTES;
use crate::{Reason, ServingError, Violation};

/// Largest page, and the size if none is asked for.
const MAX_PAGE: usize = 1000;

pub(super) fn alias_or_champion(alias: String) -> String {
    if alias.is_empty() { CHAMPION.to_owned() } else { alias }
}

pub(super) fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// Every bad field of a request, found at once.
#[derive(Debug, Default)]
pub(crate) struct Check {
    violations: Vec<Violation>,
    version: u64,
}

impl Check {
    fn bad(&mut self, field: &str, reason: Reason, description: &str) {
        let (field, description) = (field.to_owned(), description.to_owned());
        self.violations.push(Violation { field, reason, description });
    }

    pub(crate) fn model(mut self, name: &str) -> Self {
        if check_model_name(name).is_err() {
            self.bad("model", Reason::ModelNameInvalid, "expected [a-z0-9][a-z0-9._-]{0,127}");
        }
        self
    }

    pub(super) fn alias(mut self, alias: &str) -> Self {
        if check_alias_name(alias).is_err() {
            let expected = "expected [a-z0-9][a-z0-9._-]{0,127}, not a number";
            self.bad("alias", Reason::AliasInvalid, expected);
        }
        self
    }

    pub(super) fn texts<'a>(
        mut self,
        texts: impl IntoIterator<Item = (&'a str, &'a String)>,
    ) -> Self {
        for (field, text) in texts {
            if text.len() > MAX_TEXT_BYTES {
                let description =
                    format!("{} bytes, at most {MAX_TEXT_BYTES} are allowed", text.len());
                self.bad(field, Reason::FieldInvalid, &description);
            }
        }
        self
    }

    /// What every change says of itself.
    pub(super) fn terms(
        self,
        etag: &String,
        request_id: &String,
        actor: &String,
        reason: &String,
    ) -> Self {
        self.texts([
            ("etag", etag),
            ("request_id", request_id),
            ("actor", actor),
            ("reason", reason),
        ])
    }

    pub(super) fn version(self, field: &str, version: i64) -> Self {
        let (check, version) = self.number(field, version);
        Self { version, ..check }
    }

    /// A version that is not the only one of the request; 0 if it is none.
    pub(super) fn number(mut self, field: &str, version: i64) -> (Self, u64) {
        match u64::try_from(version) {
            Ok(number) if number > 0 => (self, number),
            _ => {
                self.bad(field, Reason::FieldInvalid, "versions count from 1");
                (self, 0)
            }
        }
    }

    /// The version, if there was one to check.
    pub(crate) fn end(self) -> Result<u64, ServingError> {
        if self.violations.is_empty() {
            Ok(self.version)
        } else {
            Err(ServingError::Invalid(self.violations))
        }
    }
}

/// A request for a part of something that a model has.
#[derive(Debug)]
pub(super) struct PageOf {
    pub(super) model: String,
    pub(super) page_size: i32,
    pub(super) page_token: String,
}

/// A part of a list: a token is the number of items before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    start: usize,
    size: usize,
}

impl Page {
    pub(crate) fn read(size: i32, token: &str) -> Result<Self, ServingError> {
        let invalid = |field, description: &str| {
            Err(ServingError::invalid(field, Reason::FieldInvalid, description))
        };
        let start = if token.is_empty() { Ok(0) } else { token.parse() };
        let Ok(start) = start else {
            return invalid("page_token", "not a token of an earlier answer");
        };
        match usize::try_from(size) {
            Err(_) => invalid("page_size", "must not be negative"),
            Ok(0) => Ok(Self { start, size: MAX_PAGE }),
            Ok(size) => Ok(Self { start, size: size.min(MAX_PAGE) }),
        }
    }

    /// Of a list by numbers, newest first, whose token is the last number that was told: before which
    /// one the page begins, if there was one, and how many it has.
    pub(super) fn before(self) -> (Option<u64>, usize) {
        ((self.start > 0).then_some(self.start as u64), self.size)
    }

    pub(crate) fn cut<T>(self, items: Vec<T>) -> (Vec<T>, String) {
        let n_items = items.len();
        let end = self.start.saturating_add(self.size);
        let next = if end < n_items { end.to_string() } else { String::new() };
        (items.into_iter().skip(self.start).take(self.size).collect(), next)
    }
}
