//! What is known of one user.

use std::collections::BTreeMap;

use segue_api::v1 as pb;

/// The value of a feature.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A number; NaN is [`Value::Missing`].
    Number(f64),
    /// A whole number.
    Integer(i64),
    /// Read as 0 or 1 where the model asks for a number.
    Flag(bool),
    /// Text of a category.
    Category(String),
    /// Known to be missing. Not the same as a feature that was forgotten.
    Missing,
}

impl Value {
    fn to_proto(&self) -> pb::FeatureValue {
        use pb::feature_value::Kind;
        let kind = match self {
            Self::Number(number) if number.is_nan() => Kind::Missing(pb::Missing {}),
            Self::Number(number) => Kind::Number(*number),
            Self::Integer(integer) => Kind::Integer(*integer),
            Self::Flag(flag) => Kind::Flag(*flag),
            Self::Category(text) => Kind::Category(text.clone()),
            Self::Missing => Kind::Missing(pb::Missing {}),
        };
        pb::FeatureValue { kind: Some(kind) }
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

impl From<i32> for Value {
    fn from(integer: i32) -> Self {
        Self::Integer(integer.into())
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Category(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Category(text)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Missing, Into::into)
    }
}

/// Features of one user by name, or the raw events that the server makes them from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    pub(crate) values: BTreeMap<String, Value>,
    events: Option<pb::EventHistory>,
    traits: BTreeMap<String, pb::PropertyValue>,
    subject_id: String,
    routing_key: String,
}

impl Row {
    /// Nothing known yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whom the row is about, in your own terms. Decides which version answers while traffic is split,
    /// unless there is a [`routing_key`](Self::routing_key).
    #[must_use]
    pub fn subject(mut self, id: impl Into<String>) -> Self {
        self.subject_id = id.into();
        self
    }

    /// What decides which version answers while traffic is split: the same key, the same version.
    #[must_use]
    pub fn routing_key(mut self, key: impl Into<String>) -> Self {
        self.routing_key = key.into();
        self
    }

    /// The value of a feature: a number, a flag, a category, or `None` for one that is missing.
    #[must_use]
    pub fn feature(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.values.insert(name.into(), value.into());
        self
    }

    /// The category of a feature.
    #[must_use]
    pub fn category(self, name: impl Into<String>, category: impl Into<String>) -> Self {
        self.feature(name, Value::Category(category.into()))
    }

    /// A feature that is known to be missing.
    #[must_use]
    pub fn missing(self, name: impl Into<String>) -> Self {
        self.feature(name, Value::Missing)
    }

    /// A fact that segments ask for; models do not see it.
    #[must_use]
    pub fn user_trait(
        mut self,
        name: impl Into<String>,
        value: impl Into<pb::property_value::Kind>,
    ) -> Self {
        self.traits.insert(name.into(), pb::PropertyValue { kind: Some(value.into()) });
        self
    }

    /// The user's events instead of features, with the instant that the features are to be of.
    #[must_use]
    pub fn events(mut self, history: pb::EventHistory) -> Self {
        self.events = Some(history);
        self
    }

    pub(crate) fn has_events(&self) -> bool {
        self.events.is_some()
    }

    /// As the server reads it: events if there are any, or else features by name.
    pub(crate) fn to_proto(&self) -> pb::FeatureRow {
        use pb::feature_row::Features;
        let features = match &self.events {
            Some(history) => Features::Events(history.clone()),
            None => {
                let values = self.values.iter();
                Features::Named(values.map(|(name, value)| (name, value.to_proto())).collect())
            }
        };
        self.with(features)
    }

    pub(crate) fn with(&self, features: pb::feature_row::Features) -> pb::FeatureRow {
        pb::FeatureRow {
            features: Some(features),
            traits: self.traits.clone(),
            subject_id: self.subject_id.clone(),
            routing_key: self.routing_key.clone(),
        }
    }
}
