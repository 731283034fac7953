//! Amplitude's export.
//!
//! | event | from |
//! |---|---|
//! | id | `$insert_id` with `device_id`, as Amplitude itself removes duplicates; else `uuid` |
//! | kind | `$identify`: identify; `$groupidentify`: group; else track |
//! | name | `event_type` |
//! | event time | `event_time` (Amplitude has corrected it); else `client_event_time` corrected by `server_received_time - client_upload_time` |
//! | known time | `server_upload_time`, else `server_received_time` |
//! | ids | `user_id`, `device_id` |
//! | order | `event_id`, a counter of the client |
//! | session | `session_id`; -1 is none |
//! | properties | `event_properties.*` as they are, `$revenue` as `revenue`; `user_properties.*` under `traits.`; `groups.*` under `group.`; device, platform and place under `context.` |
//!
//! Times are UTC without a suffix, with `T` or a space. `amplitude_id` is not used: it is rewritten
//! after the fact, so it would know of a user before the user was known.

use super::Mapper;
use super::fields::{Fields, Properties, given, missing};
use crate::record::Record;
use crate::time::TimeReader;
use crate::{Event, EventId, EventKind, Micros, Reject, RejectReason, Value};

/// Fields beside the properties that describe where the user is.
const CONTEXT: &[&str] = &[
    "platform",
    "os_name",
    "os_version",
    "device_type",
    "device_family",
    "device_brand",
    "device_model",
    "device_manufacturer",
    "device_carrier",
    "country",
    "region",
    "city",
    "dma",
    "language",
    "version_name",
    "start_version",
    "library",
    "paying",
];

pub(super) fn map(mapper: &Mapper, record: &dyn Record) -> Result<Event, Reject> {
    let fields = Fields { record, mapper };
    let name = fields.text("event_type").ok_or_else(|| {
        missing(RejectReason::MissingEventName, "event_type", "the name of the event")
    })?;
    let user_id = fields.text("user_id");
    let anonymous_id = fields.text("device_id");
    fields.check_ids([&user_id, &anonymous_id], "user_id", "user_id or device_id")?;
    let reader = TimeReader::utc(None);
    let received = fields.time("server_received_time", &reader)?;
    let original = fields.time("client_event_time", &reader)?;
    let uploaded = fields.time("server_upload_time", &reader)?;
    let seq = fields.sequence("event_id")?;
    // nothing that was put right is refused afterwards: it is counted of events only
    let event_ts = event_ts(&fields, &reader, original, received)?;
    Ok(Event {
        event_id: event_id(&fields, anonymous_id.as_deref()),
        user_id,
        anonymous_id,
        kind: match name.as_str() {
            "$identify" => EventKind::Identify,
            "$groupidentify" => EventKind::Group,
            _ => EventKind::Track,
        },
        name,
        event_ts,
        original_ts: original.unwrap_or(event_ts),
        known_ts: mapper.known_or(uploaded.or(received), event_ts),
        seq,
        session_id: fields.text("session_id").filter(|session| session != "-1"),
        previous_id: None,
        properties: properties(&fields),
    })
}

fn event_id(fields: &Fields<'_>, device_id: Option<&str>) -> EventId {
    match (fields.text("$insert_id"), fields.text("uuid")) {
        (Some(id), _) => given(&[&id, device_id.unwrap_or_default()]),
        (None, Some(uuid)) => given(&[&uuid]),
        (None, None) => EventId::Absent,
    }
}

fn event_ts(
    fields: &Fields<'_>,
    reader: &TimeReader,
    original: Option<Micros>,
    received: Option<Micros>,
) -> Result<Micros, Reject> {
    if let Some(event_ts) = fields.time("event_time", reader)? {
        return Ok(event_ts);
    }
    let sent = fields.time("client_upload_time", reader)?;
    let event_ts = match (original, sent, received) {
        (Some(original), Some(sent), Some(received)) => {
            Some(fields.mapper.corrected(original, sent, received))
        }
        _ => received.or(original),
    };
    event_ts.ok_or_else(|| {
        missing(RejectReason::MissingTime, "event_time", "event_time or client_event_time")
    })
}

fn properties(fields: &Fields<'_>) -> Vec<(String, Value)> {
    let mut properties = Properties::new(fields.mapper);
    fields.each_under("event_properties", &mut |key, cell| {
        properties.add("", if key == "$revenue" { "revenue" } else { key }, cell);
    });
    properties.add_under(fields, "user_properties", "traits.");
    properties.add_under(fields, "groups", "group.");
    for key in CONTEXT {
        if let Some(cell) = fields.record.cell(key) {
            properties.add("context.", key, cell);
        }
    }
    properties.finish()
}
