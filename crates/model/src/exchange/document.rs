//! A JSON or UBJSON document, and reading it by path.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Format, ImportError};

/// A value. Arrays of nothing but numbers are kept flat, since they are nearly all of a model.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    Numbers(Vec<f64>),
    List(Vec<Value>),
    Object(BTreeMap<String, Value>),
}

/// Gathers an array, flat while it holds numbers only.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    numbers: Vec<f64>,
    values: Vec<Value>,
}

impl Gathered {
    pub(super) fn push(&mut self, value: Value) {
        match value {
            Value::Number(number) if self.values.is_empty() => self.numbers.push(number),
            other => {
                self.values.extend(self.numbers.drain(..).map(Value::Number));
                self.values.push(other);
            }
        }
    }

    pub(super) fn value(self) -> Value {
        if self.values.is_empty() { Value::Numbers(self.numbers) } else { Value::List(self.values) }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut gathered = Gathered::default();
        while let Some(item) = items.next_element()? {
            gathered.push(item);
        }
        Ok(gathered.value())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = BTreeMap::new();
        while let Some((key, value)) = entries.next_entry::<String, Value>()? {
            if object.contains_key(&key) {
                return Err(de::Error::custom(format!("key {key:?} is given twice")));
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

/// Reads JSON; nesting ends at 128 levels.
pub(super) fn parse_json(bytes: &[u8], format: Format) -> Result<Value, ImportError> {
    serde_json::from_slice(bytes).map_err(|error| ImportError::Malformed {
        format,
        place: format!("line {}, column {}", error.line(), error.column()),
        detail: error.to_string(),
    })
}

/// A value of a document and the way to it.
#[derive(Debug, Clone)]
pub(super) struct At<'a> {
    value: &'a Value,
    path: String,
    format: Format,
}

impl<'a> At<'a> {
    pub(super) fn root(value: &'a Value, format: Format) -> Self {
        Self { value, path: String::new(), format }
    }

    pub(super) fn place(&self) -> String {
        if self.path.is_empty() { "the document".to_owned() } else { self.path.clone() }
    }

    pub(super) fn malformed(&self, detail: impl Into<String>) -> ImportError {
        let (format, place) = (self.format, self.place());
        ImportError::Malformed { format, place, detail: detail.into() }
    }

    pub(super) fn unsupported(&self, detail: impl Into<String>) -> ImportError {
        let (format, place) = (self.format, self.place());
        ImportError::Unsupported { format, place, detail: detail.into() }
    }

    fn below(&self, key: &str, value: &'a Value) -> Self {
        let path =
            if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Self { value, path, format: self.format }
    }

    /// The value of a key, if there is one that is not null.
    pub(super) fn find(&self, key: &str) -> Option<Self> {
        match self.value {
            Value::Object(object) => {
                let value = object.get(key).filter(|value| **value != Value::Null)?;
                Some(self.below(key, value))
            }
            _ => None,
        }
    }

    pub(super) fn get(&self, key: &str) -> Result<Self, ImportError> {
        match self.value {
            Value::Object(_) => {
                self.find(key).ok_or_else(|| self.malformed(format!("there is no key {key:?}")))
            }
            _ => Err(self.malformed(format!("expected an object with key {key:?}"))),
        }
    }

    /// The items of an array of objects, arrays or texts.
    pub(super) fn items(&self) -> Result<Vec<Self>, ImportError> {
        match self.value {
            Value::Numbers(numbers) if numbers.is_empty() => Ok(Vec::new()),
            Value::List(items) => {
                let item = |(at, value)| Self {
                    value,
                    path: format!("{}[{at}]", self.path),
                    format: self.format,
                };
                Ok(items.iter().enumerate().map(item).collect())
            }
            _ => Err(self.malformed("expected an array")),
        }
    }

    pub(super) fn text(&self) -> Result<&'a str, ImportError> {
        match self.value {
            Value::Text(text) => Ok(text),
            _ => Err(self.malformed("expected a text")),
        }
    }

    pub(super) fn flag(&self) -> Result<bool, ImportError> {
        match self.value {
            Value::Bool(flag) => Ok(*flag),
            _ => Err(self.malformed("expected true or false")),
        }
    }

    /// A number, or a text that holds one.
    pub(super) fn number<T: FromStr<Err: fmt::Display>>(&self) -> Result<T, ImportError> {
        let text = match self.value {
            Value::Text(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return Err(self.malformed("expected a number")),
        };
        text.trim().parse().map_err(|error| self.malformed(format!("{text:?}: {error}")))
    }

    /// An array of numbers; true and false count as 1 and 0.
    pub(super) fn numbers(&self) -> Result<Vec<f64>, ImportError> {
        match self.value {
            Value::Numbers(numbers) => Ok(numbers.clone()),
            Value::List(items) => {
                let number = |(at, item): (usize, &Value)| match item {
                    Value::Number(number) => Ok(*number),
                    Value::Bool(flag) => Ok(f64::from(u8::from(*flag))),
                    _ => Err(self.malformed(format!("item {at} is not a number"))),
                };
                items.iter().enumerate().map(number).collect()
            }
            _ => Err(self.malformed("expected an array of numbers")),
        }
    }

    /// Numbers of which there must be `n`.
    pub(super) fn exactly(&self, n: usize) -> Result<Vec<f64>, ImportError> {
        let numbers = self.numbers()?;
        if numbers.len() == n {
            return Ok(numbers);
        }
        Err(self.malformed(format!("{} numbers, expected {n}", numbers.len())))
    }

    /// `n` whole numbers from -1 on; -1 is `None`.
    pub(super) fn indices(&self, n: usize) -> Result<Vec<Option<usize>>, ImportError> {
        let index = |(at, number): (usize, f64)| {
            if number == -1.0 {
                Ok(None)
            } else if number >= 0.0 && number <= f64::from(u32::MAX) && number.fract() == 0.0 {
                Ok(Some(number as usize))
            } else {
                Err(self.malformed(format!("item {at} is {number}, expected an index")))
            }
        };
        self.exactly(n)?.into_iter().enumerate().map(index).collect()
    }
}
