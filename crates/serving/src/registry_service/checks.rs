//! What a request to the registry must look like, before the registry is asked.

use segue_registry::{CHAMPION, check_alias_name, check_model_name};

use crate::scoring_service::MAX_TEXT_BYTES;
use crate::{Reason, ServingError, Violation};

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

    pub(crate) fn texts<'a>(
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
