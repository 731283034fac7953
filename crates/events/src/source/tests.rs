//! A fixture line per format and rule, and any JSON at all.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value as Json, json};

use super::*;
use crate::record::Cell;
use crate::{EventId, EventKind, RejectReason, Value};

fn mapper(format: SourceFormat) -> Mapper {
    let plain = PlainMapping {
        user: Some("who".into()),
        anonymous: Some("cookie".into()),
        event: Some("what".into()),
        time: Some("when".into()),
        ..PlainMapping::default()
    };
    let options =
        MapperOptions { project_time_zone: Some("UTC".into()), ..MapperOptions::default() };
    Mapper::new(format, Some(plain), options).unwrap()
}

fn plain(mapping: PlainMapping) -> Result<Mapper, MappingError> {
    let base = PlainMapping {
        user: mapping.user.or(Some("who".into())),
        time: mapping.time.or(Some("when".into())),
        ..mapping
    };
    Mapper::new(SourceFormat::Plain, Some(base), MapperOptions::default())
}

fn map(format: SourceFormat, record: &Json) -> Event {
    mapper(format).map(record).unwrap_or_else(|reject| panic!("{reject}"))
}

fn refused(format: SourceFormat, record: &Json) -> (RejectReason, String) {
    let reject = mapper(format).map(record).unwrap_err();
    assert!(!reject.detail.is_empty());
    (reject.reason, reject.field)
}

fn micros(text: &str) -> Micros {
    text.parse::<jiff::Timestamp>().unwrap().as_microsecond()
}

fn given(event: &Event) -> &str {
    match &event.event_id {
        EventId::Given(id) => id,
        EventId::Absent => "",
    }
}

fn property<'a>(event: &'a Event, key: &str) -> Option<&'a Value> {
    event.properties.iter().find(|(name, _)| name == key).map(|(_, value)| value)
}

fn text(value: &str) -> Option<Value> {
    Some(Value::Text(value.to_owned()))
}

const SEGMENT: &str = r#"{"type":"track","event":"Order Completed","userId":"u1","anonymousId":"a1",
  "messageId":"m1","timestamp":"2026-01-31T13:45:00.250Z","originalTimestamp":"2026-01-31T13:40:00Z",
  "sentAt":"2026-01-31T13:40:01Z","receivedAt":"2026-01-31T13:45:01Z",
  "properties":{"revenue":12.5,"currency":null,"products":[{"sku":"x"},{"sku":"y"}],"gift":true},
  "context":{"traits":{"plan":"pro"},"page":{"path":"/buy"},"active":false}}"#;

#[test]
fn segment_track() {
    let mapper = mapper(SourceFormat::Segment);
    let event = mapper.map(&serde_json::from_str::<Json>(SEGMENT).unwrap()).unwrap();
    assert_eq!((event.kind, event.name.as_str()), (EventKind::Track, "Order Completed"));
    assert_eq!(given(&event), "m1");
    assert_eq!(event.user_id.as_deref(), Some("u1"));
    assert_eq!(event.anonymous_id.as_deref(), Some("a1"));
    assert_eq!(
        event.event_ts,
        micros("2026-01-31T13:45:00.250Z"),
        "timestamp is corrected already"
    );
    assert_eq!(event.original_ts, micros("2026-01-31T13:40:00Z"));
    assert_eq!(event.known_ts, micros("2026-01-31T13:45:01Z"));
    let keys: Vec<&str> = event.properties.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "context.active",
            "context.page.path",
            "gift",
            "products.0.sku",
            "products.1.sku",
            "products.length",
            "revenue",
            "traits.plan"
        ]
    );
    assert_eq!(property(&event, "products.length"), Some(&Value::Number(2.0)));
    assert_eq!(mapper.notes(), MapNotes::default());
}

#[test]
fn segment_corrects_skew_only_beyond_the_deadband() {
    let line = |sent: &str| {
        json!({"type": "track", "event": "e", "userId": "u", "messageId": "m", "sentAt": sent,
            "originalTimestamp": "2026-01-01T10:00:00Z", "receivedAt": "2026-01-01T12:00:00Z"})
    };
    let mapper = mapper(SourceFormat::Segment);
    let slow = mapper.map(&line("2026-01-01T11:59:00.000001Z")).unwrap();
    assert_eq!(slow.event_ts, slow.original_ts, "59.999999 s is the network");
    assert_eq!(mapper.notes().skew_corrected, 0);
    let skewed = mapper.map(&line("2026-01-01T11:59:00Z")).unwrap();
    assert_eq!(skewed.event_ts - skewed.original_ts, 60_000_000);
    let ahead = mapper.map(&line("2026-01-01T14:00:00Z")).unwrap();
    assert_eq!(ahead.event_ts, micros("2026-01-01T08:00:00Z"));
    assert_eq!(mapper.notes().skew_corrected, 2);
}

#[test]
fn segment_other_kinds() {
    let base = json!({"userId": "u", "receivedAt": "2026-01-01T12:00:00Z", "traits": {"plan": "x"},
        "groupId": "g", "previousId": "old", "name": "Home"});
    let of = |kind: &str| {
        let mut record = base.clone();
        record["type"] = kind.into();
        map(SourceFormat::Segment, &record)
    };
    assert_eq!((of("page").name, of("screen").name), ("Home".to_owned(), "Home".to_owned()));
    assert_eq!(property(&of("identify"), "traits.plan").cloned(), text("x"));
    assert_eq!(of("alias").previous_id.as_deref(), Some("old"));
    assert_eq!(of("identify").previous_id, None);
    let group = of("group");
    assert_eq!(property(&group, "group.id").cloned(), text("g"));
    assert_eq!(property(&group, "group.traits.plan").cloned(), text("x"));
    assert_eq!(property(&group, "traits.plan"), None, "a group's trait is not the user's");
    assert_eq!(of("page").event_ts, micros("2026-01-01T12:00:00Z"));
    assert_eq!(of("page").event_id, EventId::Absent);
}

#[test]
fn segment_refusals_name_the_field() {
    let good: Json = serde_json::from_str(SEGMENT).unwrap();
    let broken = |key: &str, value: Json| {
        let mut record = good.clone();
        record[key] = value;
        refused(SourceFormat::Segment, &record)
    };
    use RejectReason as R;
    assert_eq!(broken("type", json!("tack")), (R::UnknownType, "type".into()));
    assert_eq!(broken("event", Json::Null), (R::MissingEventName, "event".into()));
    assert_eq!(broken("timestamp", json!("soon")), (R::InvalidTime, "timestamp".into()));
    assert_eq!(broken("timestamp", json!(1_700_000_000)), (R::InvalidTime, "timestamp".into()));
    assert_eq!(broken("receivedAt", json!("1970-01-01")), (R::TimeOutOfRange, "receivedAt".into()));
    let nobody = json!({"type": "track", "event": "e", "receivedAt": "2026-01-01"});
    assert_eq!(refused(SourceFormat::Segment, &nobody), (R::MissingId, "userId".into()));
    let blocked =
        json!({"type": "track", "event": "e", "userId": "NULL", "anonymousId": "0000-00"});
    assert_eq!(refused(SourceFormat::Segment, &blocked), (R::BlockedId, "userId".into()));
    let timeless = json!({"type": "track", "event": "e", "userId": "u"});
    assert_eq!(refused(SourceFormat::Segment, &timeless), (R::MissingTime, "timestamp".into()));
}

#[test]
fn amplitude() {
    let record = json!({"event_type": "song", "user_id": "u", "device_id": "d", "$insert_id": "i",
        "uuid": "x", "event_time": "2026-01-31 13:45:00.123456", "session_id": -1, "event_id": 17,
        "client_event_time": "2026-01-31T13:44:00", "server_upload_time": "2026-01-31 13:46:00",
        "event_properties": {"$revenue": 9, "song": {"title": "t"}}, "platform": "iOS",
        "user_properties": {"plan": "pro"}, "groups": {"org": ["acme"]}});
    let event = map(SourceFormat::Amplitude, &record);
    assert_eq!(given(&event), "i\u{1f}d", "the insert id is unique per device only");
    assert_eq!(event.event_ts, micros("2026-01-31T13:45:00.123456Z"));
    assert_eq!(event.known_ts, micros("2026-01-31T13:46:00Z"));
    assert_eq!(event.original_ts, micros("2026-01-31T13:44:00Z"));
    assert_eq!((event.seq, event.session_id.as_deref()), (17, None));
    assert_eq!(property(&event, "revenue"), Some(&Value::Number(9.0)));
    assert_eq!(property(&event, "song.title").cloned(), text("t"));
    assert_eq!(property(&event, "traits.plan").cloned(), text("pro"));
    assert_eq!(property(&event, "group.org.0").cloned(), text("acme"));
    assert_eq!(property(&event, "context.platform").cloned(), text("iOS"));
    let mut other = record.clone();
    other["$insert_id"] = Json::Null;
    other["session_id"] = json!(1_700_000_000_000_i64);
    other["event_type"] = json!("$identify");
    let event = map(SourceFormat::Amplitude, &other);
    assert_eq!((given(&event), event.kind), ("x", EventKind::Identify));
    assert_eq!(event.session_id.as_deref(), Some("1700000000000"));
    other["event_id"] = json!("one");
    let (reason, field) = refused(SourceFormat::Amplitude, &other);
    assert_eq!((reason, field.as_str()), (RejectReason::InvalidSequence, "event_id"));
}

/// Notes are of events: a row that is refused was not put right.
#[test]
fn refused_rows_leave_no_notes() {
    let amplitude = json!({"event_type": "e", "device_id": "d", "event_id": "one",
        "client_event_time": "2026-01-01 10:00:00", "client_upload_time": "2026-01-01 10:00:10",
        "server_received_time": "2026-01-01 11:00:10"});
    let mapping = PlainMapping {
        event: Some("what".into()),
        seq: Some("n".into()),
        ..PlainMapping::default()
    };
    let row = json!({"who": "u", "what": "e", "when": "2026-01-01", "n": "first"});
    for (mapper, mut record, key) in [
        (mapper(SourceFormat::Amplitude), amplitude, "event_id"),
        (plain(mapping).unwrap(), row, "n"),
    ] {
        assert_eq!(mapper.map(&record).unwrap_err().reason, RejectReason::InvalidSequence);
        assert_eq!(mapper.notes(), MapNotes::default());
        record[key] = json!(1);
        mapper.map(&record).unwrap();
        assert_ne!(mapper.notes(), MapNotes::default());
    }
}

/// 2^64 - 1 and 2^64 - 2 are the same number of 53 bits, and two users.
#[test]
fn every_digit_of_a_json_id_counts() {
    let user = |id: u64| {
        let record = json!({"who": id, "what": "e", "when": "2026-01-01", "cookie": null});
        map(SourceFormat::Plain, &record).user_id
    };
    assert_eq!(user(u64::MAX).as_deref(), Some("18446744073709551615"));
    assert_eq!(user(u64::MAX - 1).as_deref(), Some("18446744073709551614"));
}

#[test]
fn amplitude_without_event_time_is_corrected_by_the_upload() {
    let record = json!({"event_type": "e", "device_id": "d", "client_event_time": "2026-01-01 10:00:00",
        "client_upload_time": "2026-01-01 10:00:10", "server_received_time": "2026-01-01 11:00:10"});
    let event = map(SourceFormat::Amplitude, &record);
    assert_eq!(event.event_ts, micros("2026-01-01T11:00:00Z"));
    assert_eq!(event.known_ts, micros("2026-01-01T11:00:10Z"));
}

fn mixpanel_properties(more: Json) -> Json {
    let mut properties = json!({"time": 1_767_225_600, "$insert_id": "i",
        "mp_processing_time_ms": 1_767_225_601_500_i64, "$city": "Rome", "plan": "x", "mp_lib": "web"});
    for (key, value) in more.as_object().unwrap() {
        properties[key] = value.clone();
    }
    properties
}

fn mixpanel(event: &str, more: Json) -> Event {
    map(SourceFormat::Mixpanel, &json!({"event": event, "properties": mixpanel_properties(more)}))
}

#[test]
fn mixpanel_event() {
    let event = mixpanel("Play", json!({"distinct_id": "u", "$user_id": "u", "$device_id": "d"}));
    assert_eq!(given(&event), "Play\u{1f}1767225600\u{1f}u\u{1f}i");
    assert_eq!(event.event_ts, micros("2026-01-01T00:00:00Z"));
    assert_eq!(event.known_ts, micros("2026-01-01T00:00:01.5Z"));
    assert_eq!((event.user_id.as_deref(), event.anonymous_id.as_deref()), (Some("u"), Some("d")));
    let keys: Vec<&str> = event.properties.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["context.city", "plan"]);
}

#[test]
fn mixpanel_ids() {
    let ids = |name: &str, more: Json| {
        let event = mixpanel(name, more);
        [event.user_id, event.anonymous_id, event.previous_id].map(Option::unwrap_or_default)
    };
    assert_eq!(ids("e", json!({"distinct_id": "u"})), ["u", "", ""]);
    assert_eq!(ids("e", json!({"distinct_id": "$device:d"})), ["", "d", ""]);
    // The canonical id was written over it later: still anonymous when it happened.
    assert_eq!(ids("e", json!({"distinct_id": "u", "$device_id": "d"})), ["", "d", ""]);
    let identify = json!({"$anon_id": "$device:d", "$identified_id": "u", "distinct_id": "x"});
    assert_eq!(ids("$identify", identify), ["u", "d", ""]);
    assert_eq!(ids("$create_alias", json!({"distinct_id": "a", "alias": "u"})), ["u", "", "a"]);
    assert_eq!(ids("$merge", json!({"$distinct_ids": ["$device:d", "u"]})), ["u", "", "d"]);
    assert_eq!(ids("$merge", json!({"$distinct_ids": ["a", "b"]})), ["a", "", "b"]);
}

#[test]
fn mixpanel_times_are_of_the_project_and_need_its_zone() {
    let options = |zone: Option<&str>| MapperOptions {
        project_time_zone: zone.map(str::to_owned),
        ..MapperOptions::default()
    };
    let new = |zone| Mapper::new(SourceFormat::Mixpanel, None, options(zone));
    assert_eq!(new(None).unwrap_err(), MappingError::MixpanelTimeZone);
    assert!(matches!(new(Some("Mars/Base")), Err(MappingError::TimeZone { .. })));
    let record =
        json!({"event": "e", "properties": mixpanel_properties(json!({"distinct_id": "u"}))});
    let event = new(Some("America/New_York")).unwrap().map(&record).unwrap();
    assert_eq!(event.event_ts, micros("2026-01-01T05:00:00Z"));
    assert_eq!(event.known_ts, micros("2026-01-01T00:00:01.5Z"), "the server's clock is UTC");
    let in_ms =
        json!({"event": "e", "properties": {"distinct_id": "u", "time": 1_767_225_600_000_i64}});
    let (reason, field) = refused(SourceFormat::Mixpanel, &in_ms);
    assert_eq!((reason, field.as_str()), (RejectReason::TimeOutOfRange, "properties.time"));
}

#[test]
fn posthog() {
    let record = json!({"uuid": "x", "event": "$pageview", "distinct_id": "u", "person_id": "p",
        "timestamp": "2026-01-31T13:45:00+01:00", "created_at": "2026-01-31 12:46:00.5",
        "properties": {"$device_id": "d", "$session_id": "s", "$current_url": "/", "n": 3,
            "$set": {"plan": "pro"}},
        "person_properties": "{\"team\": {\"size\": 4}}"});
    let as_text = |record: &Json| {
        let mut record = record.clone();
        record["properties"] = record["properties"].to_string().into();
        record
    };
    for record in [record.clone(), as_text(&record)] {
        let event = map(SourceFormat::PostHog, &record);
        assert_eq!((given(&event), event.kind), ("x", EventKind::Page));
        assert_eq!(event.event_ts, micros("2026-01-31T12:45:00Z"));
        assert_eq!(event.known_ts, micros("2026-01-31T12:46:00.5Z"));
        assert_eq!(
            (event.user_id.as_deref(), event.anonymous_id.as_deref()),
            (Some("u"), Some("d"))
        );
        assert_eq!(event.session_id.as_deref(), Some("s"));
        let keys: Vec<&str> = event.properties.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["context.current_url", "n", "traits.plan", "traits.team.size"]);
    }
}

#[test]
fn posthog_ids() {
    let ids = |name: &str, properties: Json| {
        let event = map(
            SourceFormat::PostHog,
            &json!({"event": name, "distinct_id": "x", "timestamp": "2026-01-31T13:45:00Z",
                "properties": properties}),
        );
        [event.user_id, event.anonymous_id, event.previous_id].map(Option::unwrap_or_default)
    };
    assert_eq!(ids("e", json!({})), ["x", "", ""]);
    assert_eq!(ids("e", json!({"$device_id": "x"})), ["", "x", ""]);
    assert_eq!(ids("e", json!({"$is_identified": false})), ["", "x", ""]);
    assert_eq!(ids("$identify", json!({"$anon_distinct_id": "d"})), ["x", "d", ""]);
    assert_eq!(ids("$create_alias", json!({"alias": "b"})), ["x", "", "b"]);
}

#[test]
fn plain_columns() {
    let mapper = plain(PlainMapping {
        event_name: Some("order".into()),
        time_unit: Some(TimeUnit::Milliseconds),
        known_time: Some("loaded".into()),
        seq: Some("line".into()),
        ..PlainMapping::default()
    })
    .unwrap();
    assert_eq!(mapper.columns(), ["who", "when", "loaded", "line"]);
    let record = json!({"who": 17850.0, "when": "1767225600000", "line": 2.0, "price": 3.5,
        "empty": null, "note": "x"});
    let event = mapper.map(&record).unwrap();
    assert_eq!((event.user_id.as_deref(), event.name.as_str()), (Some("17850"), "order"));
    assert_eq!((event.event_ts, event.seq), (micros("2026-01-01T00:00:00Z"), 2));
    assert_eq!(event.known_ts, event.event_ts);
    let keys: Vec<&str> = event.properties.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["note", "price"]);
    assert_eq!(mapper.notes().without_known_time, 1);
    assert_eq!(mapper.notes().without_event_id, 1);
    let nobody = mapper.map(&json!({"who": null, "when": 1_767_225_600_000_i64})).unwrap_err();
    assert_eq!((nobody.reason, nobody.field.as_str()), (RejectReason::MissingId, "who"));
}

#[test]
fn plain_mappings_that_cannot_work() {
    let both = PlainMapping {
        event: Some("e".into()),
        event_name: Some("n".into()),
        ..PlainMapping::default()
    };
    assert!(matches!(plain(both), Err(MappingError::Contradiction { .. })));
    let neither = plain(PlainMapping::default()).unwrap_err();
    assert!(neither.to_string().starts_with("mapping.event is missing"), "{neither}");
    let empty = PlainMapping { event: Some(" ".into()), ..PlainMapping::default() };
    assert_eq!(plain(empty).unwrap_err(), MappingError::EmptyName { key: "event" });
    let none = Mapper::new(SourceFormat::Plain, None, MapperOptions::default());
    assert_eq!(none.unwrap_err(), MappingError::NoPlainMapping);
    let unknown = serde_json::from_str::<PlainMapping>(r#"{"usr": "who"}"#).unwrap_err();
    assert!(unknown.to_string().contains("usr"));
}

#[test]
fn chosen_and_excluded_properties() {
    let mapping = PlainMapping {
        event_name: Some("e".into()),
        properties: Some(vec!["a".into(), "nested".into()]),
        ..PlainMapping::default()
    };
    let keys = |exclude: &[&str]| -> Vec<String> {
        let options = MapperOptions {
            exclude_properties: exclude.iter().map(|&glob| glob.to_owned()).collect(),
            ..MapperOptions::default()
        };
        let mapping =
            PlainMapping { user: Some("u".into()), time: Some("t".into()), ..mapping.clone() };
        let mapper = Mapper::new(SourceFormat::Plain, Some(mapping), options).unwrap();
        let record = json!({"u": "x", "t": "2026-01-01", "a": 1, "b": 2, "nested": {"c": 3}});
        let event = mapper.map(&record).unwrap();
        event.properties.into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(keys(&[]), ["a", "nested.c"]);
    assert_eq!(keys(&["nested.*"]), ["a"]);
}

#[test]
fn format_names_are_those_of_serde() {
    for format in SourceFormat::ALL {
        assert_eq!(serde_json::to_string(&format).unwrap(), format!("\"{}\"", format.name()));
    }
}

fn any_json() -> impl Strategy<Value = Json> {
    let names = prop::sample::select(vec![
        "type",
        "event",
        "userId",
        "anonymousId",
        "timestamp",
        "receivedAt",
        "sentAt",
        "properties",
        "context",
        "traits",
        "time",
        "distinct_id",
        "$insert_id",
        "$distinct_ids",
        "event_type",
        "event_time",
        "user_id",
        "event_id",
        "uuid",
        "who",
        "when",
        "what",
        "originalTimestamp",
        "",
        "a.b",
        "person_properties",
    ]);
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        ".{0,12}".prop_map(Json::from),
        prop::sample::select(vec![
            "track",
            "alias",
            "u",
            "$identify",
            "$merge",
            "$create_alias",
            "2026-01-31T13:45:00Z",
            "2026-01-31T13:45:00+99:99",
            "9999-12-31",
            "-009999-01-01",
            "{\"a\":[1,{\"b\":2}]}",
            "é🦀",
            "2026-01-31é13:45",
            "1e300",
            "NaN",
        ])
        .prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 40, 10, move |inner| {
        let object = prop::collection::btree_map(names.clone(), inner.clone(), 0..10);
        prop_oneof![
            3 => object.prop_map(|map| map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
            1 => prop::collection::vec(inner, 0..10).prop_map(Json::from),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512, failure_persistence: None, rng_seed: RngSeed::Fixed(11), ..ProptestConfig::default()
    })]

    #[test]
    fn any_json_is_mapped_or_refused(record in any_json()) {
        for format in SourceFormat::ALL {
            match mapper(format).map(&record) {
                Ok(event) => {
                    prop_assert_ne!(event.event_id, EventId::Given(String::new()));
                    prop_assert!(event.properties.windows(2).all(|pair| pair[0].0 < pair[1].0));
                    prop_assert!(event.user_id.is_some() || event.anonymous_id.is_some());
                }
                Err(reject) => prop_assert!(RejectReason::ALL.contains(&reject.reason)),
            }
        }
    }

    /// What is visited can be looked up, and the other way round.
    #[test]
    fn visited_keys_can_be_looked_up(record in any_json()) {
        let mut cells: Vec<(String, String)> = Vec::new();
        record.visit(&mut |key, cell| cells.push((key.to_owned(), format!("{cell:?}"))));
        for (key, cell) in cells {
            let is_plain = !key.contains("a.b") && !key.split('.').any(str::is_empty);
            if is_plain && !key.ends_with("length") {
                prop_assert_eq!(record.cell(&key).map(|cell| format!("{cell:?}")), Some(cell));
            }
        }
    }
}

#[test]
fn flat_rows_look_like_nested_ones() {
    let flat = json!({"context.page.path": "/", "context.page": {"title": "t"}, "contextual": 1});
    let mut found = Vec::new();
    flat.visit_under("context", &mut |key, cell| found.push((key.to_owned(), cell == Cell::Null)));
    found.sort();
    assert_eq!(found, [("page.path".to_owned(), false), ("page.title".to_owned(), false)]);
}
