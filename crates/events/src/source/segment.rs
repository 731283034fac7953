//! Segment's specification (and RudderStack's, which shares its names).
//!
//! | event | from |
//! |---|---|
//! | id | `messageId` |
//! | kind | `type` |
//! | name | track: `event`; page, screen: `name`, else `properties.name`, else the kind; others: the kind |
//! | event time | `timestamp`; else `originalTimestamp` corrected by `receivedAt - sentAt`; else `receivedAt`; else `originalTimestamp` |
//! | known time | `receivedAt` |
//! | ids | `userId`, `anonymousId`; alias: `previousId` |
//! | properties | `properties.*` as they are; `traits.*` and `context.traits.*` under `traits.`; the rest of `context` under `context.`; a group's `groupId` as `group.id` and its traits under `group.traits.` |

use super::Mapper;
use super::fields::{Fields, Properties, given, missing};
use crate::record::Record;
use crate::time::{TimeReader, shortened};
use crate::{Event, EventId, EventKind, Micros, Reject, RejectReason};

pub(super) fn map(mapper: &Mapper, record: &dyn Record) -> Result<Event, Reject> {
    let fields = Fields { record, mapper };
    let kind = kind(&fields)?;
    let name = match kind {
        EventKind::Track => fields.text("event").ok_or_else(|| {
            missing(RejectReason::MissingEventName, "event", "the name of what was tracked")
        })?,
        EventKind::Page | EventKind::Screen => fields
            .first_text(&["name", "properties.name"])
            .unwrap_or_else(|| kind.name().to_owned()),
        _ => kind.name().to_owned(),
    };
    let user_id = fields.text("userId");
    let anonymous_id = fields.text("anonymousId");
    fields.check_ids([&user_id, &anonymous_id], "userId", "userId or anonymousId")?;
    let times = times(&fields)?;
    Ok(Event {
        event_id: fields.text("messageId").map_or(EventId::Absent, |id| given(&[&id])),
        user_id,
        anonymous_id,
        kind,
        name,
        event_ts: times.event_ts,
        original_ts: times.original_ts,
        known_ts: times.known_ts,
        seq: 0,
        session_id: None,
        previous_id: if kind == EventKind::Alias { fields.text("previousId") } else { None },
        properties: properties(&fields, kind),
    })
}

fn kind(fields: &Fields<'_>) -> Result<EventKind, Reject> {
    let kind = fields.text("type").ok_or_else(|| {
        missing(RejectReason::UnknownType, "type", "track, page, screen, identify, group or alias")
    })?;
    EventKind::ALL.into_iter().find(|known| known.name() == kind).ok_or_else(|| {
        let detail = format!(
            "found `{}`, expected track, page, screen, identify, group or alias",
            shortened(&kind)
        );
        Reject::new(RejectReason::UnknownType, "type", detail)
    })
}

struct Times {
    event_ts: Micros,
    original_ts: Micros,
    known_ts: Micros,
}

fn times(fields: &Fields<'_>) -> Result<Times, Reject> {
    let reader = TimeReader::utc(None);
    let timestamp = fields.time("timestamp", &reader)?;
    let original = fields.time("originalTimestamp", &reader)?;
    let sent = fields.time("sentAt", &reader)?;
    let received = fields.time("receivedAt", &reader)?;
    let event_ts = match (timestamp, original, sent, received) {
        (Some(timestamp), ..) => Some(timestamp),
        (None, Some(original), Some(sent), Some(received)) => {
            Some(fields.mapper.corrected(original, sent, received))
        }
        _ => received.or(original),
    };
    let event_ts = event_ts.ok_or_else(|| {
        missing(
            RejectReason::MissingTime,
            "timestamp",
            "timestamp, receivedAt or originalTimestamp",
        )
    })?;
    Ok(Times {
        event_ts,
        original_ts: original.unwrap_or(event_ts),
        known_ts: fields.mapper.known_or(received, event_ts),
    })
}

fn properties(fields: &Fields<'_>, kind: EventKind) -> Vec<(String, crate::Value)> {
    let mut properties = Properties::new(fields.mapper);
    properties.add_under(fields, "properties", "");
    let traits = if kind == EventKind::Group { "group.traits." } else { "traits." };
    properties.add_under(fields, "traits", traits);
    fields.each_under("context", &mut |key, cell| match key.strip_prefix("traits.") {
        Some(key) => properties.add("traits.", key, cell),
        None => properties.add("context.", key, cell),
    });
    if kind == EventKind::Group
        && let Some(group) = fields.record.cell("groupId")
    {
        properties.add("group.", "id", group);
    }
    properties.finish()
}
