//! Plain columns, named by the job.

use serde::{Deserialize, Serialize};

use super::fields::{Fields, Properties, given, missing};
use super::{Mapper, MappingError};
use crate::record::Record;
use crate::time::TimeUnit;
use crate::{Event, EventId, EventKind, Micros, Reject, RejectReason, Value};

/// Which column is what. Names are those of the file; nested fields are reached by dots.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlainMapping {
    /// The user. `user`, `anonymous` or both.
    pub user: Option<String>,
    /// A device, visitor or cookie.
    pub anonymous: Option<String>,
    /// The name of what happened. `event` or `event_name`, not both.
    pub event: Option<String>,
    /// The same name for every row, for files of one kind of event.
    pub event_name: Option<String>,
    /// When it happened. Required.
    pub time: Option<String>,
    /// When it became known; without it an event is known when it happens.
    pub known_time: Option<String>,
    /// The source's own id; rows that share it are one event. Without it no duplicate is removed,
    /// because two equal rows may both be real.
    pub event_id: Option<String>,
    /// The source's own order within equal times, a whole number.
    pub seq: Option<String>,
    /// Session id.
    pub session: Option<String>,
    /// Unit of times that are numbers.
    pub time_unit: Option<TimeUnit>,
    /// How times are written that are texts but not ISO-8601, in the letters of C's `strptime`, such as
    /// `%m/%d/%Y %H:%M`.
    pub time_format: Option<String>,
    /// IANA zone of times that name none; UTC by default.
    pub time_zone: Option<String>,
    /// Columns that become properties; by default every other column.
    pub properties: Option<Vec<String>>,
}

impl PlainMapping {
    /// Fails if the mapping cannot work, whatever the file.
    pub(super) fn check(&self) -> Result<(), MappingError> {
        for (key, name) in self.named() {
            if name.trim().is_empty() {
                return Err(MappingError::EmptyName { key });
            }
        }
        if self.user.is_none() && self.anonymous.is_none() {
            let way_out = "name the column of the user, or mapping.anonymous";
            return Err(MappingError::Missing { key: "user", way_out });
        }
        if self.time.is_none() {
            let way_out = "name the column that says when it happened";
            return Err(MappingError::Missing { key: "time", way_out });
        }
        if self.time_unit.is_some() && self.time_format.is_some() {
            return Err(MappingError::Contradiction { first: "time_unit", second: "time_format" });
        }
        match (&self.event, &self.event_name) {
            (Some(_), Some(_)) => {
                Err(MappingError::Contradiction { first: "event", second: "event_name" })
            }
            (None, None) => {
                let way_out = "name the column that says what happened, or give every row one \
                               name with mapping.event_name";
                Err(MappingError::Missing { key: "event", way_out })
            }
            _ => Ok(()),
        }
    }

    /// Every column that the mapping names, without repeats.
    pub(super) fn columns(&self) -> Vec<&str> {
        let used = self.used().chain(self.properties.iter().flatten().map(String::as_str));
        let mut columns: Vec<&str> = Vec::new();
        for column in used {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        columns
    }

    /// The keys that name one column each, and the column.
    fn named(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("user", &self.user),
            ("anonymous", &self.anonymous),
            ("event", &self.event),
            ("event_name", &self.event_name),
            ("time", &self.time),
            ("known_time", &self.known_time),
            ("event_id", &self.event_id),
            ("seq", &self.seq),
            ("session", &self.session),
        ]
        .into_iter()
        .filter_map(|(key, column)| column.as_deref().map(|column| (key, column)))
    }

    /// Columns that are a part of the event and no property.
    pub(super) fn used(&self) -> impl Iterator<Item = &str> {
        self.named().filter(|(key, _)| *key != "event_name").map(|(_, column)| column)
    }
}

pub(super) fn map(mapper: &Mapper, record: &dyn Record) -> Result<Event, Reject> {
    let fields = Fields { record, mapper };
    let plain = &mapper.plain;
    let text = |column: &Option<String>| fields.text(column.as_deref()?);
    let name = match &plain.event_name {
        Some(name) => name.clone(),
        None => text(&plain.event).ok_or_else(|| {
            let field = plain.event.as_deref().unwrap_or("event");
            missing(RejectReason::MissingEventName, field, "the name of the event")
        })?,
    };
    let user_id = text(&plain.user);
    let anonymous_id = text(&plain.anonymous);
    let id_field = plain.user.as_deref().or(plain.anonymous.as_deref()).unwrap_or("user");
    fields.check_ids([&user_id, &anonymous_id], id_field, "a user or an anonymous id")?;
    let time_field = plain.time.as_deref().unwrap_or("time");
    let event_ts = fields
        .time(time_field, &mapper.time)?
        .ok_or_else(|| missing(RejectReason::MissingTime, time_field, "the time of the event"))?;
    let known_ts: Option<Micros> = match &plain.known_time {
        Some(column) => fields.time(column, &mapper.time)?,
        None => None,
    };
    let seq = plain.seq.as_deref().map_or(Ok(0), |column| fields.sequence(column))?;
    // nothing is refused from here on: what was put right is counted of events only
    Ok(Event {
        event_id: text(&plain.event_id).map_or(EventId::Absent, |id| given(&[&id])),
        user_id,
        anonymous_id,
        kind: EventKind::Track,
        name,
        event_ts,
        original_ts: event_ts,
        known_ts: mapper.known_or(known_ts, event_ts),
        seq,
        session_id: text(&plain.session),
        previous_id: None,
        properties: properties(&fields, plain),
    })
}

fn properties(fields: &Fields<'_>, plain: &PlainMapping) -> Vec<(String, Value)> {
    let mut properties = Properties::new(fields.mapper);
    match &plain.properties {
        Some(columns) => {
            for column in columns {
                if let Some(cell) = fields.record.cell(column) {
                    properties.add("", column, cell);
                } else {
                    properties.add_under(fields, column, &format!("{column}."));
                }
            }
        }
        None => fields.record.visit(&mut |key, cell| {
            if !plain.used().any(|used| used == key) {
                properties.add("", key, cell);
            }
        }),
    }
    properties.finish()
}
