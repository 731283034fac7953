//! Features from a user's events, by the evaluator that computed them in training.

use std::collections::BTreeMap;

use segue_api::v1 as pb;
use segue_events::{
    AssembleOptions, Event, EventId, EventKind, Symbols, Value, history_and_counts_from,
};
use segue_features::RequestFields;

use super::{Findings, Reading, RowPath, check_properties, micros_of};
use crate::Reason;
use crate::live::Selected;

/// One vector a model. Empty if anything is bad.
pub(super) fn read(
    given: &pb::EventHistory,
    selected: &[Selected],
    reading: &Reading,
    path: RowPath,
    findings: &mut Findings,
) -> Vec<Vec<f64>> {
    let path = format!("{path}.events");
    for one in selected.iter().filter(|one| one.served.features.is_none()) {
        let description = format!(
            "model {:?} was trained from a feature table and has no feature definitions; send \
             `named` or `packed` features",
            one.served.name
        );
        findings.bad(path.clone(), Reason::EventsNotAccepted, description);
    }
    let as_of_us = as_of(given, reading, &path, findings);
    check_properties(&given.request_fields, &format!("{path}.request_fields"), findings);
    let events = read_events(given, reading, &path, findings);
    if !findings.violations.is_empty() {
        return Vec::new();
    }
    let mut symbols = Symbols::new();
    let assembled = history_and_counts_from(events, AssembleOptions::default(), &mut symbols);
    let (history, counts) = match assembled {
        Ok(assembled) => assembled,
        Err(error) => {
            findings.bad(format!("{path}.events"), Reason::EventInvalid, error.to_string());
            return Vec::new();
        }
    };
    for (n_left_out, code, why) in [
        (counts.late_dropped, "EVENTS_LATE", "became known too long after they happened"),
        (counts.future_quarantined, "EVENTS_FUTURE", "happened after they became known"),
    ] {
        if n_left_out > 0 {
            let message = format!("{n_left_out} events {why} and were left out");
            let field = format!("{path}.events");
            if reading.strict {
                findings.bad(field, Reason::EventInvalid, message);
            } else {
                findings.warn(code, field, message);
            }
        }
    }
    let fields: RequestFields = values(&given.request_fields).into_iter().collect();
    let feature_sets = || selected.iter().filter_map(|one| one.served.features.as_ref());
    for features in feature_sets() {
        if let Err(error) = features.check_request(&fields) {
            let field = format!("{path}.request_fields");
            findings.bad(field, Reason::FeatureType, error.to_string());
        }
    }
    let row = |features: &segue_features::FeatureSet| {
        let mut row = vec![f64::NAN; features.schema().len()];
        features.bind(&symbols).row(&history, as_of_us, &fields, &mut row);
        row
    };
    feature_sets().map(row).collect()
}

fn as_of(given: &pb::EventHistory, reading: &Reading, path: &str, findings: &mut Findings) -> i64 {
    let Some(time) = &given.as_of else { return reading.now_us };
    micros_of(time).unwrap_or_else(|| {
        findings.bad(format!("{path}.as_of"), Reason::FieldInvalid, NOT_A_TIME.to_owned());
        reading.now_us
    })
}

const NOT_A_TIME: &str = "not a timestamp of the years 1 to 9999";

fn read_events(
    given: &pb::EventHistory,
    reading: &Reading,
    path: &str,
    findings: &mut Findings,
) -> Vec<Event> {
    if given.events.len() > reading.max_row_events {
        let (n, max) = (given.events.len(), reading.max_row_events);
        let description = format!("{n} events, at most {max} are allowed in a row");
        findings.bad(format!("{path}.events"), Reason::EventInvalid, description);
        return Vec::new();
    }
    let read = |(index, event)| read_event(event, &format!("{path}.events[{index}]"), findings);
    given.events.iter().enumerate().filter_map(read).collect()
}

/// `None` if anything is bad.
fn read_event(event: &pb::Event, path: &str, findings: &mut Findings) -> Option<Event> {
    let n_before = findings.violations.len();
    let mut bad = |field: &str, description: &str| {
        let field = format!("{path}.{field}");
        findings.bad(field, Reason::EventInvalid, description.to_owned());
    };
    if event.name.is_empty() {
        bad("name", "an event needs a name");
    }
    let event_ts = match &event.event_time {
        None => {
            bad("event_time", "an event needs the time at which it happened");
            None
        }
        Some(time) => micros_of(time).or_else(|| {
            bad("event_time", NOT_A_TIME);
            None
        }),
    };
    let known_ts = match &event.known_time {
        None => event_ts,
        Some(time) => micros_of(time).or_else(|| {
            bad("known_time", NOT_A_TIME);
            None
        }),
    };
    let kind = kind_of(event.kind);
    if kind.is_none() {
        bad("kind", "not an event kind of this version of the protocol");
    }
    check_properties(&event.properties, &format!("{path}.properties"), findings);
    if findings.violations.len() > n_before {
        return None;
    }
    let event_ts = event_ts?;
    Some(Event {
        event_id: match event.event_id.as_str() {
            "" => EventId::Absent,
            id => EventId::Given(id.to_owned()),
        },
        user_id: None,
        anonymous_id: None,
        kind: kind?,
        name: event.name.clone(),
        event_ts,
        original_ts: event_ts,
        known_ts: known_ts?,
        seq: event.sequence,
        session_id: (!event.session_id.is_empty()).then(|| event.session_id.clone()),
        previous_id: None,
        properties: values(&event.properties),
    })
}

fn kind_of(kind: i32) -> Option<EventKind> {
    Some(match pb::EventKind::try_from(kind).ok()? {
        pb::EventKind::Unspecified | pb::EventKind::Track => EventKind::Track,
        pb::EventKind::Page => EventKind::Page,
        pb::EventKind::Screen => EventKind::Screen,
        pb::EventKind::Identify => EventKind::Identify,
        pb::EventKind::Group => EventKind::Group,
    })
}

/// Values that have been checked to be set.
fn values(given: &BTreeMap<String, pb::PropertyValue>) -> Vec<(String, Value)> {
    use pb::property_value::Kind;
    let value = |kind: &Kind| match kind {
        Kind::Number(number) => Value::Number(*number),
        Kind::Text(text) => Value::Text(text.clone()),
        Kind::Flag(flag) => Value::Flag(*flag),
    };
    given.iter().filter_map(|(key, one)| Some((key.clone(), value(one.kind.as_ref()?)))).collect()
}
