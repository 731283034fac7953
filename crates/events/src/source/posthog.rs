//! PostHog's events export.
//!
//! | event | from |
//! |---|---|
//! | id | `uuid` |
//! | kind | `$pageview`: page; `$screen`: screen; `$identify`, `$set`: identify; `$create_alias`, `$merge_dangerously`: alias; `$groupidentify`: group; else track |
//! | name | `event` |
//! | event time | `timestamp` (PostHog has corrected it) |
//! | known time | `created_at`, else `inserted_at` |
//! | user | `distinct_id`, unless `properties.$is_identified` is false or it equals `$device_id` |
//! | anonymous id | `$identify`: `$anon_distinct_id`; else `distinct_id` of an anonymous event; else `$device_id` |
//! | previous id | `$create_alias`, `$merge_dangerously`: `properties.alias` |
//! | session | `properties.$session_id` |
//! | properties | `properties.*`, `$name` as `context.name`; `person_properties.*`, `$set.*` and `$set_once.*` under `traits.` |
//!
//! `person_id` is not used: a later merge rewrites it on older events, so it would know of a user
//! before the user was known. Nested columns may hold JSON text.

use serde_json::Value as Json;

use super::Mapper;
use super::fields::{Fields, Properties, given, missing};
use crate::record::{Cell, Record};
use crate::time::TimeReader;
use crate::{Event, EventId, EventKind, Reject, RejectReason, Value};

/// Properties that have become something else.
const USED: &[&str] = &[
    "$device_id",
    "$user_id",
    "$session_id",
    "$anon_distinct_id",
    "$is_identified",
    "distinct_id",
    "$insert_id",
    "token",
];

pub(super) fn map(mapper: &Mapper, record: &dyn Record) -> Result<Event, Reject> {
    // Properties as JSON text are opened first, so that their fields can be looked up.
    let opened = opened(record);
    let record: &dyn Record = opened.as_ref().map_or(record, |opened| opened);
    let fields = Fields { record, mapper };
    let name = fields
        .text("event")
        .ok_or_else(|| missing(RejectReason::MissingEventName, "event", "the name of the event"))?;
    let kind = kind(&name);
    let (user_id, anonymous_id) = ids(&fields, kind);
    fields.check_ids([&user_id, &anonymous_id], "distinct_id", "distinct_id")?;
    let reader = TimeReader::utc(None);
    let event_ts = fields
        .time("timestamp", &reader)?
        .ok_or_else(|| missing(RejectReason::MissingTime, "timestamp", "the time of the event"))?;
    let known_ts = fields.first_time(&["created_at", "inserted_at"], &reader)?;
    Ok(Event {
        event_id: fields.text("uuid").map_or(EventId::Absent, |id| given(&[&id])),
        user_id,
        anonymous_id,
        previous_id: if kind == EventKind::Alias { fields.text("properties.alias") } else { None },
        kind,
        name,
        event_ts,
        original_ts: event_ts,
        known_ts: mapper.known_or(known_ts, event_ts),
        seq: 0,
        session_id: fields.text("properties.$session_id"),
        properties: properties(&fields),
    })
}

fn kind(name: &str) -> EventKind {
    match name {
        "$pageview" => EventKind::Page,
        "$screen" => EventKind::Screen,
        "$identify" | "$set" => EventKind::Identify,
        "$create_alias" | "$merge_dangerously" => EventKind::Alias,
        "$groupidentify" => EventKind::Group,
        _ => EventKind::Track,
    }
}

/// The record with its `properties` opened, if they are JSON text.
fn opened(record: &dyn Record) -> Option<Json> {
    let Some(Cell::Text(text)) = record.cell("properties") else { return None };
    let properties: Json = serde_json::from_str(&text).ok()?;
    let mut row = serde_json::Map::new();
    for key in ["uuid", "event", "distinct_id", "timestamp", "created_at", "inserted_at"] {
        if let Some(cell) = record.cell(key) {
            row.insert(key.to_owned(), json_of(&cell));
        }
    }
    if let Some(Cell::Text(person)) = record.cell("person_properties") {
        row.insert("person_properties".to_owned(), Json::String(person.into_owned()));
    }
    row.insert("properties".to_owned(), properties);
    Some(Json::Object(row))
}

fn json_of(cell: &Cell<'_>) -> Json {
    match cell {
        Cell::Null => Json::Null,
        Cell::Flag(flag) => Json::from(*flag),
        Cell::Integer(value) => Json::from(*value),
        Cell::Number(value) => Json::from(*value),
        Cell::Text(text) => Json::from(text.as_ref()),
        Cell::Time(micros) | Cell::WallTime(micros) => {
            jiff::Timestamp::from_microsecond(*micros).map_or(Json::Null, |t| t.to_string().into())
        }
    }
}

/// User and anonymous id.
fn ids(fields: &Fields<'_>, kind: EventKind) -> (Option<String>, Option<String>) {
    let distinct = fields.text("distinct_id");
    let device = fields.text("properties.$device_id");
    if kind == EventKind::Identify || kind == EventKind::Alias {
        return (distinct, fields.text("properties.$anon_distinct_id").or(device));
    }
    let is_anonymous = fields.flag("properties.$is_identified") == Some(false)
        || (distinct.is_some() && distinct == device);
    if is_anonymous { (None, distinct) } else { (distinct, device) }
}

fn properties(fields: &Fields<'_>) -> Vec<(String, Value)> {
    let mut properties = Properties::new(fields.mapper);
    fields.each_under("properties", &mut |key, cell| {
        let (top, below) = key.split_once('.').unwrap_or((key, ""));
        match top {
            "$set" | "$set_once" => properties.add("traits.", below, cell),
            _ if USED.contains(&top) => {}
            _ => match key.strip_prefix('$') {
                Some(key) => properties.add("context.", key, cell),
                None => properties.add("", key, cell),
            },
        }
    });
    properties.add_under(fields, "person_properties", "traits.");
    properties.finish()
}
