//! Fields that come with a scoring request.

use std::collections::BTreeMap;

use segue_events::Value;

/// Named values of a request. NaN and infinities count as absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RequestFields(BTreeMap<String, Value>);

impl RequestFields {
    /// No fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a field, replacing what was there.
    pub fn insert(&mut self, field: impl Into<String>, value: Value) {
        match value {
            Value::Number(number) if !number.is_finite() => {
                self.0.remove(&field.into());
            }
            value => {
                self.0.insert(field.into(), value);
            }
        }
    }

    /// A field.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field)
    }

    /// Every field in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(field, value)| (field.as_str(), value))
    }
}

impl FromIterator<(String, Value)> for RequestFields {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(fields: I) -> Self {
        let mut all = Self::new();
        for (field, value) in fields {
            all.insert(field, value);
        }
        all
    }
}
