//! Mixpanel's raw export: `{"event": …, "properties": {…}}`.
//!
//! | event | from |
//! |---|---|
//! | id | `event`, `properties.time`, `distinct_id` and `$insert_id` together, as Mixpanel itself removes duplicates |
//! | kind | `$identify`: identify; `$create_alias`, `$merge`: alias; `$mp_web_page_view`: page; else track |
//! | name | `event` |
//! | event time | `time`, seconds (or milliseconds, if so exported) of the project's zone |
//! | known time | `mp_processing_time_ms` (UTC) |
//! | user | `$identify`: `$identified_id`; `$create_alias`: `alias`; `$merge`: the first id of a user; else `$user_id`; else `distinct_id`, unless it names a device |
//! | anonymous id | `$identify`: `$anon_id`; else `$device_id`, or `distinct_id` after `$device:` |
//! | previous id | `$create_alias`: `distinct_id`; `$merge`: the other id |
//! | properties | without the ids above, `mp_*` and `token`; `$name` becomes `context.name` |
//!
//! An export shows the canonical `distinct_id` also on events from before the user was known. Where
//! `$device_id` is there and `$user_id` is not, the event was anonymous when it happened, and it is
//! mapped so: the identity edges decide from when it belongs to the user.

use super::Mapper;
use super::fields::{Fields, Properties, given, missing};
use crate::record::Record;
use crate::time::{TimeReader, TimeUnit};
use crate::{Event, EventId, EventKind, Micros, Reject, RejectReason, Value};

/// Properties that have become something else, or say nothing about the user.
const USED: &[&str] = &[
    "time",
    "distinct_id",
    "token",
    "$insert_id",
    "$user_id",
    "$device_id",
    "$anon_id",
    "$identified_id",
    "$distinct_ids",
    "alias",
];

struct Ids {
    user: Option<String>,
    anonymous: Option<String>,
    previous: Option<String>,
}

pub(super) fn map(mapper: &Mapper, record: &dyn Record) -> Result<Event, Reject> {
    let fields = Fields { record, mapper };
    let name = fields
        .text("event")
        .ok_or_else(|| missing(RejectReason::MissingEventName, "event", "the name of the event"))?;
    let kind = match name.as_str() {
        "$identify" => EventKind::Identify,
        "$create_alias" | "$merge" => EventKind::Alias,
        "$mp_web_page_view" => EventKind::Page,
        _ => EventKind::Track,
    };
    let ids = ids(&fields, &name);
    let way_out = "$user_id, distinct_id or $device_id";
    fields.check_ids([&ids.user, &ids.anonymous], "properties.distinct_id", way_out)?;
    let event_ts = event_ts(&fields)?;
    let processed = fields
        .time("properties.mp_processing_time_ms", &TimeReader::utc(Some(TimeUnit::Milliseconds)))?;
    let session = mapper.options.session_property.as_ref();
    Ok(Event {
        event_id: match fields.text("properties.$insert_id") {
            Some(id) => {
                let time = fields.text("properties.time").unwrap_or_default();
                let distinct = fields.text("properties.distinct_id").unwrap_or_default();
                given(&[&name, &time, &distinct, &id])
            }
            None => EventId::Absent,
        },
        user_id: ids.user,
        anonymous_id: ids.anonymous,
        kind,
        name,
        event_ts,
        original_ts: event_ts,
        known_ts: mapper.known_or(processed, event_ts),
        seq: 0,
        session_id: session.and_then(|key| fields.text(&format!("properties.{key}"))),
        previous_id: ids.previous,
        properties: properties(&fields),
    })
}

/// `time` is an epoch number of the project's wall clock.
fn event_ts(fields: &Fields<'_>) -> Result<Micros, Reject> {
    let reader = &fields.mapper.time;
    let field = "properties.time";
    let wall = TimeReader::utc(reader.unit);
    let wall = fields
        .time(field, &wall)?
        .ok_or_else(|| missing(RejectReason::MissingTime, field, "the time of the event"))?;
    reader.at_wall_clock(wall).map_err(|(reason, detail)| Reject::new(reason, field, detail))
}

fn ids(fields: &Fields<'_>, name: &str) -> Ids {
    let property = |key: &str| fields.text(&format!("properties.{key}"));
    let distinct = property("distinct_id");
    match name {
        "$identify" => Ids {
            user: property("$identified_id").or_else(|| property("$user_id")).or(distinct),
            anonymous: property("$anon_id").or_else(|| property("$device_id")).map(device),
            previous: None,
        },
        "$create_alias" => {
            Ids { user: property("alias"), anonymous: None, previous: distinct.map(device) }
        }
        "$merge" => merged(property("$distinct_ids.0"), property("$distinct_ids.1")),
        _ => {
            let device_id = property("$device_id").map(device);
            let user = property("$user_id");
            match distinct.as_ref().and_then(|id| id.strip_prefix("$device:")) {
                Some(bare) => Ids {
                    user,
                    anonymous: device_id.or_else(|| Some(bare.to_owned())),
                    previous: None,
                },
                None if device_id.is_some() => Ids { user, anonymous: device_id, previous: None },
                None => Ids { user: user.or(distinct), anonymous: None, previous: None },
            }
        }
    }
}

/// Two ids declared one person: a device never becomes the user if the other is not a device.
fn merged(first: Option<String>, second: Option<String>) -> Ids {
    let is_device = |id: &Option<String>| id.as_ref().is_none_or(|id| id.starts_with("$device:"));
    let (user, previous) =
        if is_device(&first) && !is_device(&second) { (second, first) } else { (first, second) };
    Ids { user: user.map(device), anonymous: None, previous: previous.map(device) }
}

/// A device id without the prefix that `distinct_id` puts before it.
fn device(id: String) -> String {
    id.strip_prefix("$device:").map(str::to_owned).unwrap_or(id)
}

fn properties(fields: &Fields<'_>) -> Vec<(String, Value)> {
    let mut properties = Properties::new(fields.mapper);
    fields.each_under("properties", &mut |key, cell| {
        let top = key.split('.').next().unwrap_or(key);
        if USED.contains(&top) || top.starts_with("mp_") || top.starts_with("$mp_") {
            return;
        }
        match key.strip_prefix('$') {
            Some(key) => properties.add("context.", key, cell),
            None => properties.add("", key, cell),
        }
    });
    properties.finish()
}
