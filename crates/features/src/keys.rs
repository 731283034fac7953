//! Reads one table of a definition key by key, so that every error names the feature and the key.

use std::collections::BTreeSet;

use toml::{Table, Value};

use crate::error::{FeatureError, Nearest};
use crate::window::{DAY_US, SECOND_US, SESSION_TIMEOUT_US, format_duration, parse_duration};

const SESSION_RANGE_US: (i64, i64) = (SECOND_US, DAY_US);

/// Every key that some operator has.
pub(crate) const ALL_KEYS: [&str; 28] = [
    "bins",
    "denominator",
    "events",
    "field",
    "from",
    "k",
    "key",
    "kind",
    "max_gap",
    "name",
    "numerator",
    "of",
    "offset",
    "op",
    "percentile",
    "property",
    "required",
    "role",
    "session_timeout",
    "steps",
    "time_zone",
    "to",
    "ttl",
    "value",
    "vocabulary",
    "vocabulary_size",
    "where",
    "window",
];

/// A table that is taken apart; what is left at the end is an error.
pub(crate) struct Keys {
    pub(crate) feature: String,
    table: Table,
    asked: BTreeSet<&'static str>,
    session_timeout_us: Option<i64>,
}

impl Keys {
    pub(crate) fn new(feature: impl Into<String>, table: Table) -> Self {
        Self { feature: feature.into(), table, asked: BTreeSet::new(), session_timeout_us: None }
    }

    pub(crate) fn take(&mut self, key: &'static str) -> Option<Value> {
        self.asked.insert(key);
        self.table.remove(key)
    }

    pub(crate) fn bad(
        &self,
        key: &str,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> FeatureError {
        FeatureError::BadValue {
            feature: self.feature.clone(),
            key: key.to_owned(),
            found: found.into(),
            expected: expected.into(),
        }
    }

    pub(crate) fn missing(&self, key: &str, expected: impl Into<String>) -> FeatureError {
        let (feature, key) = (self.feature.clone(), key.to_owned());
        FeatureError::MissingKey { feature, key, expected: expected.into() }
    }

    pub(crate) fn unknown<'a>(
        &self,
        key: &str,
        found: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> FeatureError {
        FeatureError::UnknownName {
            feature: self.feature.clone(),
            key: key.to_owned(),
            found: found.to_owned(),
            nearest: Nearest::of(found, candidates),
        }
    }

    pub(crate) fn text(&mut self, key: &'static str) -> Result<Option<String>, FeatureError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(other) => Err(self.bad(key, shown(&other), "a text that is not empty")),
        }
    }

    /// One text or a list of at least one.
    pub(crate) fn texts(&mut self, key: &'static str) -> Result<Option<Vec<String>>, FeatureError> {
        let values = match self.take(key) {
            None => return Ok(None),
            Some(Value::Array(values)) => values,
            Some(value) => vec![value],
        };
        let text = |value: Value| match value {
            Value::String(text) if !text.is_empty() => Ok(text),
            other => Err(self.bad(key, shown(&other), "texts that are not empty")),
        };
        let texts = values.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
        if texts.is_empty() {
            return Err(self.bad(key, "an empty list", "at least one text"));
        }
        Ok(Some(texts))
    }

    pub(crate) fn flag(&mut self, key: &'static str) -> Result<Option<bool>, FeatureError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Boolean(flag)) => Ok(Some(flag)),
            Some(other) => Err(self.bad(key, shown(&other), "true or false")),
        }
    }

    /// A whole number of `low..=high`.
    pub(crate) fn count(
        &mut self,
        key: &'static str,
        (low, high): (usize, usize),
    ) -> Result<Option<usize>, FeatureError> {
        let expected = |nearest: Option<usize>| match nearest {
            Some(nearest) => format!("a whole number from {low} to {high} (nearest: {nearest})"),
            None => format!("a whole number from {low} to {high}"),
        };
        match self.take(key) {
            None => Ok(None),
            Some(Value::Integer(count)) => match usize::try_from(count) {
                Ok(count) if (low..=high).contains(&count) => Ok(Some(count)),
                _ => {
                    let nearest = if count < low as i64 { low } else { high };
                    Err(self.bad(key, count.to_string(), expected(Some(nearest))))
                }
            },
            Some(other) => Err(self.bad(key, shown(&other), expected(None))),
        }
    }

    /// The gap that ends a session; the operator and the window may both ask, and get the same.
    pub(crate) fn session_timeout(&mut self) -> Result<i64, FeatureError> {
        let given_us = self.duration("session_timeout", SESSION_RANGE_US)?;
        let timeout_us = given_us.or(self.session_timeout_us).unwrap_or(SESSION_TIMEOUT_US);
        self.session_timeout_us = Some(timeout_us);
        Ok(timeout_us)
    }

    /// A vocabulary: any texts, even none.
    pub(crate) fn vocabulary(&mut self) -> Result<Option<Vec<String>>, FeatureError> {
        let Some(value) = self.take("vocabulary") else { return Ok(None) };
        let Value::Array(values) = value else {
            return Err(self.bad("vocabulary", shown(&value), "a list of texts"));
        };
        let text = |value: Value| match value {
            Value::String(text) => Ok(text),
            other => Err(self.bad("vocabulary", shown(&other), "a list of texts")),
        };
        values.into_iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    pub(crate) fn number(&mut self, key: &'static str) -> Result<Option<f64>, FeatureError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Integer(number)) => Ok(Some(number as f64)),
            Some(Value::Float(number)) if number.is_finite() => Ok(Some(number)),
            Some(other) => Err(self.bad(key, shown(&other), "a number")),
        }
    }

    pub(crate) fn table(&mut self, key: &'static str) -> Result<Option<Table>, FeatureError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Table(table)) => Ok(Some(table)),
            Some(other) => Err(self.bad(key, shown(&other), "a table")),
        }
    }

    /// A duration within `low..=high` microseconds.
    pub(crate) fn duration(
        &mut self,
        key: &'static str,
        range: (i64, i64),
    ) -> Result<Option<i64>, FeatureError> {
        match self.text(key)? {
            None => Ok(None),
            Some(text) => self.checked_duration(key, &text, range).map(Some),
        }
    }

    pub(crate) fn checked_duration(
        &self,
        key: &str,
        text: &str,
        (low, high): (i64, i64),
    ) -> Result<i64, FeatureError> {
        let (shortest, longest) = (format_duration(low), format_duration(high));
        match parse_duration(text) {
            None => {
                let expected =
                    format!("a duration such as 30m, 12h or 7d, {shortest} to {longest}");
                Err(self.bad(key, format!("{text:?}"), expected))
            }
            Some(us) if (low..=high).contains(&us) => Ok(us),
            Some(us) => {
                let nearest = if us < low { &shortest } else { &longest };
                let expected = format!("{shortest} to {longest} (nearest: {nearest:?})");
                Err(self.bad(key, format!("{text:?}"), expected))
            }
        }
    }

    /// What nobody has taken, in the order of keys.
    pub(crate) fn rest(self) -> Vec<(String, Value)> {
        let mut rest: Vec<_> = self.table.into_iter().collect();
        rest.sort_by(|a, b| a.0.cmp(&b.0));
        rest
    }

    /// Fails on the first key that nobody asked for.
    pub(crate) fn finish(self, op: &str) -> Result<(), FeatureError> {
        let Some(key) = self.table.keys().min().cloned() else { return Ok(()) };
        let feature = self.feature;
        if ALL_KEYS.contains(&key.as_str()) {
            let takes = self.asked.into_iter().collect::<Vec<_>>().join(", ");
            return Err(FeatureError::KeyNotForOperator { feature, key, op: op.to_owned(), takes });
        }
        let nearest = Nearest::of(&key, self.asked);
        Err(FeatureError::UnknownKey { feature, key, nearest })
    }

    /// The same for a section that is no feature.
    pub(crate) fn finish_section(self) -> Result<(), FeatureError> {
        let Some(key) = self.table.keys().min().cloned() else { return Ok(()) };
        let (section, is_feature_key) = (self.feature, ALL_KEYS.contains(&key.as_str()));
        if is_feature_key || GRID_AXES.contains(&key.as_str()) {
            let takes = self.asked.into_iter().collect::<Vec<_>>().join(", ");
            return Err(FeatureError::KeyOfFeature { section, key, takes });
        }
        let nearest = Nearest::of(&key, self.asked);
        Err(FeatureError::UnknownKey { feature: section, key, nearest })
    }
}

/// Keys that only a grid has: several at once of what a feature has one of.
const GRID_AXES: [&str; 3] = ["ops", "properties", "windows"];

/// A value as an error shows it: short.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
        other => other.to_string(),
    }
}
