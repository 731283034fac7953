//! From the wire to rows: every bad field is found, not only the first.

mod events;
mod named;
mod packed;
mod time;

use std::collections::BTreeMap;
use std::fmt;

use segue_api::v1 as pb;

pub(crate) use self::packed::check as check_packed;
pub(crate) use self::time::micros_of;
use crate::live::Selected;
use crate::scoring_service::MAX_TEXT_BYTES;
use crate::{Reason, ServingError, Violation};

/// Longest name of a stranger's that is repeated in a message.
const SHOWN_BYTES: usize = 100;

/// Where a row stands in its request, such as `row` or `rows[3]`. Written only if something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowPath {
    /// The only one.
    Row,
    /// One of many.
    Rows(usize),
}

impl fmt::Display for RowPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row => f.write_str("row"),
            Self::Rows(index) => write!(f, "rows[{index}]"),
        }
    }
}

/// How a row is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) allow_missing: bool,
    pub(crate) strict: bool,
    pub(crate) max_row_events: usize,
    /// The server's clock, in microseconds: the `as_of` of requests that give none.
    pub(crate) now_us: i64,
}

/// What a row says: one vector a selected model, in their order.
#[derive(Debug)]
pub(crate) struct RowInput {
    pub(crate) rows: Vec<Vec<f64>>,
    pub(crate) warnings: Vec<pb::Warning>,
}

/// Everything wrong with a row, and everything odd about it, up to [`MAX_FINDINGS`] of each.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    violations: Vec<Violation>,
    warnings: Vec<pb::Warning>,
}

/// More than an answer carries; bounds what a bad request makes us remember.
const MAX_FINDINGS: usize = 64;

impl Findings {
    /// A bad field. Two models that find the same field bad in the same way are one finding.
    pub(crate) fn bad(&mut self, field: String, reason: Reason, description: String) {
        let same = |found: &Violation| found.reason == reason && found.field == field;
        if self.violations.len() < MAX_FINDINGS && !self.violations.iter().any(same) {
            self.violations.push(Violation { field, reason, description });
        }
    }

    /// Whether anything was bad.
    pub(crate) fn is_bad(&self) -> bool {
        !self.violations.is_empty()
    }

    /// An error if anything was bad.
    pub(crate) fn check(self) -> Result<(), ServingError> {
        if self.violations.is_empty() {
            Ok(())
        } else {
            Err(ServingError::Invalid(self.violations))
        }
    }

    fn warn(&mut self, code: &str, field: String, message: String) {
        let same = |found: &pb::Warning| found.code == code && found.field == field;
        if self.warnings.len() < MAX_FINDINGS && !self.warnings.iter().any(same) {
            self.warnings.push(pb::Warning { code: code.to_owned(), field, message });
        }
    }
}

/// Reads the features of a row for each selected model.
pub(crate) fn read_row(
    row: Option<&pb::FeatureRow>,
    selected: &[Selected],
    reading: &Reading,
    path: RowPath,
) -> Result<RowInput, ServingError> {
    use pb::feature_row::Features;
    let mut findings = Findings::default();
    let rows = match row.and_then(|row| row.features.as_ref()) {
        Some(Features::Named(given)) => named::read(given, selected, reading, path, &mut findings),
        Some(Features::Packed(given)) => packed::read(given, selected, path, &mut findings)?,
        Some(Features::Events(given)) => {
            events::read(given, selected, reading, path, &mut findings)
        }
        None => {
            let description = "no features: give `named`, `packed` or `events`";
            return Err(ServingError::invalid(
                path.to_string(),
                Reason::FeaturesAbsent,
                description,
            ));
        }
    };
    if let Some(row) = row {
        for (field, text) in [("subject_id", &row.subject_id), ("routing_key", &row.routing_key)] {
            check_length(text, || format!("{path}.{field}"), &mut findings);
        }
        if !row.traits.is_empty() {
            check_properties(&row.traits, &format!("{path}.traits"), &mut findings);
        }
    }
    if findings.violations.is_empty() {
        Ok(RowInput { rows, warnings: findings.warnings })
    } else {
        Err(ServingError::Invalid(findings.violations))
    }
}

/// Ids are kept, so they are bounded.
pub(crate) fn check_length(text: &str, field: impl Fn() -> String, findings: &mut Findings) {
    if text.len() > MAX_TEXT_BYTES {
        let description = format!("{} bytes, at most {MAX_TEXT_BYTES} are allowed", text.len());
        findings.bad(field(), Reason::FieldInvalid, description);
    }
}

/// Traits and request fields: every value set, numbers finite.
fn check_properties(
    values: &BTreeMap<String, pb::PropertyValue>,
    path: &str,
    findings: &mut Findings,
) {
    use pb::property_value::Kind;
    for (key, value) in values {
        let wrong = match value.kind {
            None => (Reason::FeatureType, "has no value; leave out what is not known"),
            Some(Kind::Number(number)) if !number.is_finite() => {
                (Reason::FeatureNotFinite, "must be a finite number; leave out what is not known")
            }
            Some(_) => continue,
        };
        findings.bad(format!("{path}[{:?}]", shown(key)), wrong.0, wrong.1.to_owned());
    }
}

/// A stranger's text, cut so that an answer stays small.
pub(crate) fn shown(text: &str) -> &str {
    match text.char_indices().find(|&(at, _)| at >= SHOWN_BYTES) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}
