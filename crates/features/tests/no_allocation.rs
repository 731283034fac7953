//! A row is computed without allocating once the scratch has seen the longest history: numbers, and
//! categories of texts, numbers and flags.

#[path = "../../../tests/support/counting.rs"]
mod counting;

use segue_events::{
    AssembleOptions, Event, EventId, EventKind, EventLog, LogBuilder, Micros, RoleMap, Value,
};
use segue_features::{
    FeatureDefinition, FeatureSet, LogSummary, RequestFields, Scratch, Visibility,
};

use counting::allocations_of;

const T: Micros = 1_700_000_000_000_000;
const MINUTE_US: Micros = 60_000_000;

const FEATURES: &str = "
[[feature]]
name = 'events'
op = 'count'
window = '7d'

[[feature]]
name = 'plan'
op = 'last'
property = 'plan'
window = 'lifetime'

[[feature]]
name = 'top'
op = 'top'
property = 'plan'
window = 'lifetime'

[[feature]]
name = 'size'
op = 'top'
property = 'size'
value = 'category'
window = 'lifetime'

[[feature]]
name = 'trial'
op = 'last'
property = 'trial'
value = 'category'
window = 'lifetime'

[[feature]]
name = 'lengths'
op = 'percentile'
property = 'size'
percentile = 90
window = '28d'

[[feature]]
name = 'sessions'
op = 'sessions'
window = '28d'
";

/// Users with as many values tied for the most frequent one as they have events.
fn log() -> EventLog {
    let mut builder = LogBuilder::new(AssembleOptions::default());
    for user in 0..20i64 {
        for n in 0..=user {
            let properties = [
                ("plan", Value::Text(format!("plan {n}"))),
                ("size", Value::Number(n as f64 / 3.0 - 1.0)),
                ("trial", Value::Flag(n % 2 == 0)),
            ];
            let event_ts = T - (n + 1) * 50 * MINUTE_US;
            builder.push(Event {
                event_id: EventId::Absent,
                user_id: Some(format!("user {user}")),
                anonymous_id: None,
                previous_id: None,
                kind: EventKind::Track,
                name: format!("step {}", n % 3),
                event_ts,
                original_ts: event_ts,
                known_ts: event_ts,
                seq: 0,
                session_id: None,
                properties: properties.map(|(key, value)| (key.to_owned(), value)).to_vec(),
            });
        }
    }
    builder.finish()
}

#[test]
fn computing_a_row_does_not_allocate() {
    let (log, roles) = (log(), RoleMap::default());
    let definition = FeatureDefinition::from_table(FEATURES.parse().unwrap()).unwrap();
    let specs = definition.expand(&roles, &LogSummary::of(&log)).unwrap().specs;
    let rows: Vec<_> = (0..log.histories.len()).map(|history| (history, T)).collect();
    let set = FeatureSet::learn(specs, roles, Visibility::AsKnown, &log, &rows).unwrap();
    let kinds = set.schema().features().iter();
    assert_eq!(kinds.filter(|feature| feature.vocabulary().is_some()).count(), 4);

    let evaluator = set.bind(&log.symbols);
    let (mut scratch, request) = (Scratch::default(), RequestFields::new());
    let mut out = vec![f64::NAN; set.schema().len()];
    let mut compute = || {
        for &(history, t) in &rows {
            evaluator.row_with(&mut scratch, &log.histories[history], t, &request, &mut out);
        }
    };
    assert!(allocations_of(&mut compute) > 0, "the first pass fills the scratch");
    assert_eq!(allocations_of(&mut compute), 0);
    assert!(out.iter().all(|value| !value.is_nan()));
}
