//! Assembly against naive references: order of arrival, partition, duplicates, lateness, identity.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::{EventId, EventKind, Micros, Scalar, Value};

const MINUTE_US: Micros = 60_000_000;
const DAY_US: Micros = 1440 * MINUTE_US;

fn event(id: &str, user: Option<&str>, anonymous: Option<&str>, event_ts: Micros) -> Event {
    Event {
        event_id: EventId::Given(id.to_owned()),
        user_id: user.map(str::to_owned),
        anonymous_id: anonymous.map(str::to_owned),
        kind: EventKind::Track,
        name: "visit".to_owned(),
        event_ts,
        original_ts: event_ts,
        known_ts: event_ts,
        seq: 0,
        session_id: None,
        previous_id: None,
        properties: Vec::new(),
    }
}

fn alias(id: &str, previous: &str, user: &str, event_ts: Micros) -> Event {
    let previous_id = Some(previous.to_owned());
    Event { previous_id, kind: EventKind::Alias, ..event(id, Some(user), None, event_ts) }
}

fn build(events: impl IntoIterator<Item = Event>, options: AssembleOptions) -> EventLog {
    let mut builder = LogBuilder::new(options);
    events.into_iter().for_each(|event| builder.push(event));
    builder.finish()
}

fn log(events: &[Event]) -> EventLog {
    build(events.iter().cloned(), AssembleOptions::default())
}

/// One line per event, in texts, so that logs with other symbol numbers compare equal.
fn lines(history: &History, symbols: &Symbols) -> Vec<String> {
    (0..history.len())
        .map(|index| {
            let properties: Vec<String> = history
                .properties(index)
                .iter()
                .map(|&(key, value)| match value {
                    Scalar::Text(text) => format!("{}={:?}", symbols.text(key), symbols.text(text)),
                    Scalar::Number(n) => format!("{}={:x}", symbols.text(key), n.to_bits()),
                    Scalar::Flag(flag) => format!("{}={flag}", symbols.text(key)),
                })
                .collect();
            format!(
                "{} {} {:?} {} [{}] {}",
                history.event_ts()[index],
                history.known_ts()[index],
                history.kind(index),
                symbols.text(history.name()[index]),
                symbols.text(history.session(index)),
                properties.join(",")
            )
        })
        .collect()
}

fn by_user(log: &EventLog) -> BTreeMap<String, Vec<String>> {
    log.histories
        .iter()
        .map(|history| (log.symbols.text(history.user()).to_owned(), lines(history, &log.symbols)))
        .collect()
}

/// `(user, event names)`, where each event is named by its id.
fn names(log: &EventLog) -> Vec<(String, Vec<String>)> {
    log.histories
        .iter()
        .map(|history| {
            let names = history.name().iter().map(|&name| log.symbols.text(name).to_owned());
            (log.symbols.text(history.user()).to_owned(), names.collect())
        })
        .collect()
}

#[test]
fn a_duplicate_counts_once_and_the_earliest_known_stays() {
    let first = Event { known_ts: 10, name: "first".into(), ..event("m", Some("u"), None, 5) };
    let again = Event { known_ts: 90, name: "again".into(), ..first.clone() };
    for events in [[first.clone(), again.clone()], [again, first]] {
        let log = log(&events);
        assert_eq!(names(&log), [("u".to_owned(), vec!["first".to_owned()])]);
        assert_eq!((log.counts.read, log.counts.kept, log.counts.duplicates), (2, 1, 1));
    }
}

#[test]
fn a_duplicate_of_another_user_is_a_duplicate() {
    let log = log(&[event("m", Some("b"), None, 5), event("m", Some("a"), None, 5)]);
    assert_eq!(names(&log), [("a".to_owned(), vec!["visit".to_owned()])]);
    assert_eq!(log.counts.duplicates, 1);
}

#[test]
fn equal_content_without_an_id_is_two_events() {
    let empty = event("", Some("u"), None, 5);
    let absent = Event { event_id: EventId::Absent, ..empty.clone() };
    let log = log(&[absent.clone(), absent, empty.clone(), empty]);
    assert_eq!((log.counts.kept, log.counts.duplicates), (4, 0));
}

/// Serving often has no user in a request's events; a tie must not fall another way for that.
#[test]
fn events_without_an_id_tie_by_content_whoever_they_name() {
    let named = |name: &str, user: Option<&str>, anonymous: Option<&str>| Event {
        event_id: EventId::Absent,
        name: name.to_owned(),
        ..event("", user, anonymous, 5)
    };
    for n in 0..20 {
        let name = |index: u8| format!("event {}", index * 7 % 20 + n);
        let of = |user: Option<&str>| {
            let events = (0..20).map(|index| named(&name(index), user, None)).collect();
            let mut symbols = Symbols::new();
            let history = history_from(events, &mut symbols).unwrap();
            let names = history.name().iter().map(|&name| symbols.text(name).to_owned());
            names.collect::<Vec<_>>()
        };
        assert_eq!(of(None), of(Some("ann")));
        assert_eq!(of(None), of(Some("bob")));
    }
    // Half of a tie became the user's by a link, which is known later than the other half.
    let late = Event { known_ts: 9, ..event("link", Some("ann"), Some("device"), 9) };
    let mixed = log(&[named("a", None, Some("device")), named("b", Some("ann"), None), late]);
    let names = names(&mixed);
    assert_eq!(names[0].1, ["a", "b", "visit"]);
}

#[test]
fn lateness_and_future_are_inclusive_of_their_limits() {
    let at =
        |id: &str, event_ts, known_ts| Event { known_ts, ..event(id, Some("u"), None, event_ts) };
    let day = 20 * DAY_US;
    let log = log(&[
        at("in time", day, day + 7 * DAY_US),
        at("late", day, day + 7 * DAY_US + 1),
        at("near future", day + 5 * MINUTE_US, day),
        at("future", day + 5 * MINUTE_US + 1, day),
    ]);
    assert_eq!((log.counts.kept, log.counts.late_dropped), (2, 1));
    assert_eq!(log.counts.future_quarantined, 1);
    assert_eq!((log.first_ts, log.last_ts), (day, day + 5 * MINUTE_US), "no clock was moved");
    assert_eq!(log.last_known_ts, day + 7 * DAY_US);
}

#[test]
fn a_late_copy_of_a_timely_event_is_a_duplicate_not_a_loss() {
    let timely = event("m", Some("u"), None, DAY_US);
    let late = Event { known_ts: 30 * DAY_US, ..timely.clone() };
    let counts = log(&[late, timely]).counts;
    assert_eq!((counts.kept, counts.duplicates, counts.late_dropped), (1, 1, 0));
}

#[test]
fn anonymous_events_become_visible_when_the_link_is_known() {
    let before = event("1", None, Some("device"), 10);
    let after = event("3", None, Some("device"), 50);
    let identify = Event { known_ts: 40, ..event("2", Some("u"), Some("device"), 30) };
    let log = log(&[before, identify, after]);
    assert_eq!(log.histories.len(), 1);
    assert_eq!(log.histories[0].event_ts(), [10, 30, 50]);
    assert_eq!(log.histories[0].known_ts(), [40, 40, 50]);
    assert_eq!((log.counts.identity_edges, log.counts.identity_resolved), (1, 2));
}

#[test]
fn a_shared_device_is_divided_by_time() {
    let log = log(&[
        event("early", None, Some("d"), 1),
        event("a", Some("ann"), Some("d"), 10),
        event("between", None, Some("d"), 15),
        event("b", Some("bob"), Some("d"), 20),
        event("after", None, Some("d"), 25),
    ]);
    let found: Vec<_> = log.histories.iter().map(|history| history.event_ts().to_vec()).collect();
    assert_eq!(found, [vec![1, 10, 15], vec![20, 25]]);
    assert_eq!(log.histories[0].known_ts(), [10, 10, 15]);
    assert_eq!(log.counts.identity_conflicts, 1);
}

#[test]
fn aliases_are_followed_and_circles_have_one_name() {
    let chain = log(&[
        event("1", Some("old"), None, 1),
        alias("2", "old", "newer", 10),
        alias("3", "newer", "newest", 20),
    ]);
    assert_eq!(names(&chain).len(), 1);
    assert_eq!(chain.index_of("newest"), Some(0));
    assert_eq!(chain.histories[0].known_ts(), [20, 20, 20]);
    let circle = log(&[alias("1", "a", "b", 1), alias("2", "b", "a", 2)]);
    assert_eq!(names(&circle).len(), 1);
    assert_eq!(circle.index_of("a"), Some(0));
}

#[test]
fn strangers_are_never_merged() {
    let events = [
        event("1", None, Some("x"), 1),
        event("2", None, Some("y"), 2),
        event("3", Some("x"), None, 3),
        event("4", Some("null"), Some("-1"), 4),
        event("5", Some("u"), Some("00000000-0000-0000-0000-000000000000"), 5),
        event("6", Some("v"), Some("00000000-0000-0000-0000-000000000000"), 6),
    ];
    let log = log(&events);
    let users: Vec<String> = names(&log).into_iter().map(|(user, _)| user).collect();
    assert_eq!(users, ["anonymous:x", "anonymous:y", "u", "v", "x"]);
    assert_eq!((log.counts.without_id, log.counts.blocked_ids), (1, 4));
    assert_eq!((log.counts.users, log.counts.anonymous_profiles), (3, 2));
    let drop = AssembleOptions { anonymous: AnonymousPolicy::Drop, ..Default::default() };
    let log = build(events, drop);
    assert_eq!((log.histories.len(), log.counts.anonymous_dropped), (3, 2));
}

#[test]
fn a_crowd_behind_one_user_is_capped_to_the_earliest_known() {
    let link = |index: i64| {
        event(&format!("l{index}"), Some("u"), Some(&format!("d{index}")), 100 + index)
    };
    let visit = |index: i64| event(&format!("v{index}"), None, Some(&format!("d{index}")), index);
    let options = AssembleOptions { max_ids_per_user: 2, ..Default::default() };
    let log = build((0..4).flat_map(|index| [link(index), visit(index)]), options);
    let users: Vec<String> = names(&log).into_iter().map(|(user, _)| user).collect();
    assert_eq!(users, ["anonymous:d2", "anonymous:d3", "u"]);
    assert_eq!((log.counts.identity_edges, log.counts.identity_over_cap), (4, 2));
}

#[test]
fn properties_are_sorted_unique_and_finite() {
    let mut event = event("1", Some("u"), None, 5);
    event.properties = vec![
        ("z".into(), Value::Flag(true)),
        ("nan".into(), Value::Number(f64::NAN)),
        ("a".into(), Value::Text("t".into())),
        ("a".into(), Value::Number(-0.0)),
        ("inf".into(), Value::Number(f64::INFINITY)),
        ("big".into(), Value::Number(-f64::MAX)),
    ];
    let log = log(&[event]);
    let text = lines(&log.histories[0], &log.symbols).remove(0);
    assert!(text.ends_with("a=8000000000000000,big=ffefffffffffffff,z=true"), "{text}");
}

#[test]
fn inline_events_of_two_users_are_refused() {
    let mut symbols = Symbols::new();
    let two = vec![event("1", Some("a"), None, 1), event("2", Some("b"), None, 2)];
    let error = history_from(two, &mut symbols).unwrap_err();
    assert!(error.to_string().contains("`a` and to `b`"), "{error}");
    let nobody = vec![event("1", None, None, 1), event("2", None, None, 2)];
    let history = history_from(nobody, &mut symbols).unwrap();
    assert_eq!((history.len(), history.user()), (2, Symbol::EMPTY));
    assert!(history_from(Vec::new(), &mut symbols).unwrap().is_empty());
}

fn property() -> impl Strategy<Value = (String, Value)> {
    let value = prop_oneof![
        (-3i32..3).prop_map(|n| Value::Number(f64::from(n) / 2.0)),
        Just(Value::Number(f64::NAN)),
        "[ab]{0,2}".prop_map(Value::Text),
        any::<bool>().prop_map(Value::Flag),
    ];
    ("[kl]{1,2}", value)
}

fn id(name: &'static str) -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        2 => Just(None),
        4 => (0..4u8).prop_map(move |n| Some(format!("{name}{n}"))),
        1 => Just(Some("null".to_owned())),
    ]
}

/// Few ids, few times: ties, duplicates, shared devices, aliases, late and future events abound.
pub(super) fn any_event() -> impl Strategy<Value = Event> {
    let times =
        (0..40i64, prop_oneof![8 => 0..30i64, 1 => Just(20_000i64), 1 => -20..0i64], 0..2i64);
    let ids = (id("u"), id("d"), prop_oneof![6 => Just(None), 1 => id("u"), 1 => id("d")]);
    let event_id = (any::<bool>(), 0..60u8);
    let rest = (prop::sample::select(vec!["a", "b"]), prop::collection::vec(property(), 0..3));
    (times, ids, event_id, rest).prop_map(
        |((at, lag, seq), ids, (is_given, id), (name, properties))| {
            let event_ts = at * MINUTE_US;
            let mut event = Event {
                event_id: EventId::Given(format!("m{id}")),
                user_id: ids.0,
                anonymous_id: ids.1,
                previous_id: ids.2,
                kind: EventKind::Track,
                name: name.to_owned(),
                event_ts,
                original_ts: event_ts,
                known_ts: event_ts + lag * MINUTE_US,
                seq,
                session_id: None,
                properties,
            };
            if !is_given {
                event.event_id = EventId::Absent;
            }
            event
        },
    )
}

pub(super) fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 256,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(7),
        ..ProptestConfig::default()
    }
}

pub(super) fn same_log(a: &EventLog, b: &EventLog) -> Result<(), TestCaseError> {
    prop_assert_eq!(by_user(a), by_user(b));
    prop_assert_eq!(names(a), names(b), "histories are in the same order");
    prop_assert_eq!(a.counts, b.counts);
    prop_assert_eq!((a.first_ts, a.last_ts), (b.first_ts, b.last_ts));
    prop_assert_eq!(a.last_known_ts, b.last_known_ts);
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_order_of_arrival_does_not_matter(
        (events, shuffled) in prop::collection::vec(any_event(), 0..60)
            .prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle())),
        max_ids_per_user in 1..4usize,
        resolve_identity in prop::bool::weighted(0.8),
        is_kept in any::<bool>(),
    ) {
        let anonymous = if is_kept { AnonymousPolicy::Keep } else { AnonymousPolicy::Drop };
        let options =
            AssembleOptions { max_ids_per_user, resolve_identity, anonymous, ..Default::default() };
        same_log(&build(events, options), &build(shuffled, options))?;
    }

    #[test]
    fn nothing_is_lost_uncounted(events in prop::collection::vec(any_event(), 0..60)) {
        let log = log(&events);
        let c = log.counts;
        prop_assert_eq!(c.read, events.len() as u64);
        let accounted = c.kept + c.duplicates + c.late_dropped + c.future_quarantined
            + c.anonymous_dropped + c.without_id;
        prop_assert_eq!(c.read, accounted);
        prop_assert_eq!(c.kept, log.n_events() as u64);
    }

    /// Users without links can be built apart, in any partition, and give the same histories.
    #[test]
    fn any_partition_of_the_users_gives_the_same_histories(
        mut events in prop::collection::vec(any_event(), 0..60),
        part_of in prop::collection::vec(0..3usize, 4),
    ) {
        for event in &mut events {
            let user = event.user_id.clone().filter(|id| id != "null").unwrap_or("u0".into());
            if let EventId::Given(id) = &mut event.event_id {
                id.push_str(&user);
            }
            (event.user_id, event.anonymous_id, event.previous_id) = (Some(user), None, None);
        }
        let part = |event: &Event| part_of[event.user_id.as_ref().unwrap()[1..].parse::<usize>().unwrap()];
        let mut parts = BTreeMap::new();
        for index in 0..3 {
            let own = events.iter().filter(|event| part(event) == index).cloned();
            parts.extend(by_user(&build(own, AssembleOptions::default())));
        }
        prop_assert_eq!(parts, by_user(&log(&events)));
    }

    /// No look-ahead: whatever a history shows at `t`, a log of only the events that were known by
    /// `t` shows in the same history.
    #[test]
    fn nothing_is_visible_before_it_could_be_known(
        events in prop::collection::vec(any_event(), 0..60),
        t in 0..60i64,
        max_ids_per_user in 1..4usize,
    ) {
        let t = t * MINUTE_US;
        let options = AssembleOptions { max_ids_per_user, ..Default::default() };
        let visible = |log: &EventLog| -> BTreeMap<String, BTreeSet<String>> {
            log.histories.iter().map(|history| {
                let seen = (0..history.len()).filter(|&index| history.known_ts()[index] <= t);
                // Without the known time: that may differ, as long as it is not after `t`.
                let seen = seen.map(|index| {
                    let line = lines(history, &log.symbols).swap_remove(index);
                    let (event_ts, rest) = line.split_once(' ').unwrap();
                    let (_, content) = rest.split_once(' ').unwrap();
                    format!("{event_ts} {content}")
                });
                (log.symbols.text(history.user()).to_owned(), seen.collect())
            }).collect()
        };
        let whole = visible(&build(events.iter().cloned(), options));
        let known = events.into_iter().filter(|event| event.known_ts <= t);
        let then = visible(&build(known, options));
        for (user, seen) in whole {
            if user.starts_with(ANONYMOUS_PREFIX) {
                continue; // who stays anonymous is known only in the end
            }
            let then = then.get(&user).cloned().unwrap_or_default();
            prop_assert!(seen.is_subset(&then), "{user}: {seen:?} of {then:?}");
        }
    }

    /// The links of anonymous ids against the rule written out naively.
    #[test]
    fn identity_follows_the_naive_rule(events in prop::collection::vec(any_event(), 0..40)) {
        let events: Vec<Event> = events
            .into_iter()
            .enumerate()
            .map(|(index, event)| Event {
                event_id: EventId::Given(index.to_string()),
                name: index.to_string(),
                known_ts: event.event_ts.max(event.known_ts).min(event.event_ts + DAY_US),
                previous_id: None,
                user_id: event.user_id.filter(|id| id != "null"),
                anonymous_id: event.anonymous_id.filter(|id| id != "null"),
                ..event
            })
            .collect();
        let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for event in &events {
            let owner = match (&event.user_id, &event.anonymous_id) {
                (Some(user), _) => user.clone(),
                (None, Some(device)) => naive_owner(&events, device, event.event_ts),
                (None, None) => continue,
            };
            expected.entry(owner).or_default().insert(event.name.clone());
        }
        let found = names(&log(&events))
            .into_iter()
            .map(|(user, names)| (user, names.into_iter().collect()))
            .collect();
        prop_assert_eq!(expected, found);
    }

    #[test]
    fn inline_events_give_the_history_of_the_log(
        mut events in prop::collection::vec(any_event(), 0..40),
    ) {
        for event in &mut events {
            event.user_id = Some("u1".to_owned());
            event.previous_id = None;
        }
        let log = log(&events);
        let mut symbols = Symbols::new();
        symbols.intern("was here before");
        let (history, counts) =
            history_and_counts_from(events, AssembleOptions::default(), &mut symbols).unwrap();
        let expected = by_user(&log).remove("u1").unwrap_or_default();
        prop_assert_eq!(lines(&history, &symbols), expected);
        prop_assert_eq!(counts, log.counts);
        prop_assert!(symbols.get("was here before").is_some());
    }
}

fn naive_owner(events: &[Event], device: &str, event_ts: Micros) -> String {
    let mut links: Vec<(Micros, Micros, String)> = events
        .iter()
        .filter(|event| event.anonymous_id.as_deref() == Some(device))
        .filter_map(|event| Some((event.event_ts, event.known_ts, event.user_id.clone()?)))
        .collect();
    links.sort();
    let at_or_before = links.iter().rev().find(|(link_ts, ..)| *link_ts <= event_ts);
    let chosen = at_or_before.or(links.first()).map(|(_, _, user)| user.clone());
    chosen.unwrap_or_else(|| format!("{ANONYMOUS_PREFIX}{device}"))
}
