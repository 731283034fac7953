//! Reading the fields of one record: ids, times, whole numbers, properties.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::Mapper;
use crate::blocked::is_blocked_id;
use crate::record::{Cell, Record};
use crate::time::{TimeReader, shortened};
use crate::{EventId, Micros, Reject, RejectReason, Value};

/// A record with the mapper that reads it.
pub(super) struct Fields<'a> {
    pub(super) record: &'a dyn Record,
    pub(super) mapper: &'a Mapper,
}

impl Fields<'_> {
    /// A text, trimmed; numbers are written out (`17850.0` as `17850`), null and empty are `None`.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        text_of(&self.record.cell(key)?).map(Cow::into_owned)
    }

    /// The first of several keys that holds text.
    pub(super) fn first_text(&self, keys: &[&str]) -> Option<String> {
        keys.iter().find_map(|key| self.text(key))
    }

    /// A flag, if the field is one.
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        match self.record.cell(key)? {
            Cell::Flag(flag) => Some(flag),
            _ => None,
        }
    }

    /// A time as `reader` reads it; `None` if there is none.
    pub(super) fn time(&self, key: &str, reader: &TimeReader) -> Result<Option<Micros>, Reject> {
        let Some(cell) = self.record.cell(key) else { return Ok(None) };
        reader.read(&cell).map_err(|(reason, detail)| Reject::new(reason, key, detail))
    }

    /// The first of several keys that holds a time.
    pub(super) fn first_time(
        &self,
        keys: &[&str],
        reader: &TimeReader,
    ) -> Result<Option<Micros>, Reject> {
        for key in keys {
            if let Some(time) = self.time(key, reader)? {
                return Ok(Some(time));
            }
        }
        Ok(None)
    }

    /// A sequence number; 0 if there is none.
    pub(super) fn sequence(&self, key: &str) -> Result<i64, Reject> {
        sequence_of(self.record.cell(key)).map_err(|found| {
            let detail = format!("found `{found}`, expected a whole number or nothing");
            Reject::new(RejectReason::InvalidSequence, key, detail)
        })
    }

    /// Every property below `prefix`, each passed to `add` with its key relative to it. A field
    /// that holds JSON text (as warehouses export nested columns) is read as if it were nested.
    pub(super) fn each_under(&self, prefix: &str, add: &mut dyn FnMut(&str, Cell<'_>)) {
        if let Some(Cell::Text(text)) = self.record.cell(prefix)
            && let Ok(nested @ Json::Object(_)) = serde_json::from_str::<Json>(&text)
        {
            nested.visit(add);
        }
        self.record.visit_under(prefix, add);
    }

    /// Fails unless one of the ids is there and names somebody.
    pub(super) fn check_ids(
        &self,
        ids: [&Option<String>; 2],
        field: &str,
        way_out: &str,
    ) -> Result<(), Reject> {
        let mut found = ids.into_iter().flatten().peekable();
        let Some(first) = found.peek().cloned() else {
            let detail = format!("found no id, expected {way_out}");
            return Err(Reject::new(RejectReason::MissingId, field, detail));
        };
        if found.all(|id| is_blocked_id(id)) {
            let detail = format!("`{}` is a placeholder, not a person", shortened(first));
            return Err(Reject::new(RejectReason::BlockedId, field, detail));
        }
        Ok(())
    }
}

/// A cell as the text of an id or a name.
pub(super) fn text_of<'c>(cell: &'c Cell<'_>) -> Option<Cow<'c, str>> {
    let text: Cow<'_, str> = match cell {
        Cell::Null => return None,
        Cell::Text(text) => Cow::Borrowed(trimmed(text)),
        Cell::Flag(flag) => Cow::Borrowed(if *flag { "true" } else { "false" }),
        Cell::Integer(value) | Cell::Time(value) | Cell::WallTime(value) => {
            Cow::Owned(value.to_string())
        }
        Cell::Number(value) if value.is_finite() => Cow::Owned(value.to_string()),
        Cell::Number(_) => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// As [`text_of`], for as long as the cell's own text lives.
#[inline]
pub(super) fn into_text(cell: Cell<'_>) -> Option<Cow<'_, str>> {
    match cell {
        Cell::Text(Cow::Borrowed(text)) => {
            let text = trimmed(text);
            (!text.is_empty()).then_some(Cow::Borrowed(text))
        }
        cell => text_of(&cell).map(|text| Cow::Owned(text.into_owned())),
    }
}

/// [`str::trim`], with a look at both ends first: nearly every text is trimmed already.
#[inline]
fn trimmed(text: &str) -> &str {
    match text.as_bytes() {
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => text,
        _ => text.trim(),
    }
}

/// A cell as a sequence number, 0 if nothing is there; `Err` is what is there instead.
pub(super) fn sequence_of(cell: Option<Cell<'_>>) -> Result<i64, String> {
    match cell {
        None | Some(Cell::Null) => Ok(0),
        Some(Cell::Integer(value)) => Ok(value),
        Some(Cell::Number(value)) if value.fract() == 0.0 && value.abs() < 9e15 => Ok(value as i64),
        Some(Cell::Text(text)) => match text.trim() {
            "" => Ok(0),
            text => text.parse().map_err(|_| shortened(text)),
        },
        Some(other) => Err(format!("{other:?}")),
    }
}

/// An id made of several fields, none of which can run into the next.
pub(super) fn given(parts: &[&str]) -> EventId {
    EventId::Given(parts.join("\u{1f}"))
}

/// A required field that is not there.
pub(super) fn missing(reason: RejectReason, field: &str, way_out: &str) -> Reject {
    Reject::new(reason, field, format!("found nothing, expected {way_out}"))
}

/// The properties of one event as they are collected.
pub(super) struct Properties<'a> {
    mapper: &'a Mapper,
    items: Vec<(String, Value)>,
}

impl<'a> Properties<'a> {
    pub(super) fn new(mapper: &'a Mapper) -> Self {
        Self { mapper, items: Vec::new() }
    }

    /// Adds a value under `prefix` + `key`. Null, NaN and infinities are left out; a time becomes
    /// its microseconds.
    pub(super) fn add(&mut self, prefix: &str, key: &str, cell: Cell<'_>) {
        let value = match cell {
            Cell::Null => return,
            Cell::Number(number) if !number.is_finite() => return,
            Cell::Number(number) => Value::Number(number),
            Cell::Integer(value) | Cell::Time(value) | Cell::WallTime(value) => {
                Value::Number(value as f64)
            }
            Cell::Flag(flag) => Value::Flag(flag),
            Cell::Text(text) => Value::Text(text.into_owned()),
        };
        let key = format!("{prefix}{key}");
        if !self.mapper.is_excluded(&key) {
            self.items.push((key, value));
        }
    }

    /// Adds everything below a field of the record.
    pub(super) fn add_under(&mut self, fields: &Fields<'_>, field: &str, prefix: &str) {
        fields.each_under(field, &mut |key, cell| self.add(prefix, key, cell));
    }

    /// The properties sorted by key, keys unique: of two equal keys the first in the order number,
    /// text, flag, then by value.
    pub(super) fn finish(mut self) -> Vec<(String, Value)> {
        self.items.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.total_cmp(y)));
        self.items.dedup_by(|(a, _), (b, _)| a == b);
        self.items
    }
}
