//! Conditions, labels and request fields.

use proptest::prelude::*;
use segue_events::{EventKind, Symbols, Value};
use segue_features::{
    Condition, FeatureError, FeatureSet, FeatureSpec, LabelSpec, RequestFields, Visibility,
};

use super::histories::{DAY_US, T, events, history, log, roles};
use super::naive::{Held, Plain, role_holds};

fn event(name: &str, at: i64) -> Plain {
    Plain {
        at,
        known: at + DAY_US,
        kind: EventKind::Track,
        name: name.to_owned(),
        session: String::new(),
        properties: [("amount".to_owned(), Held::Number(2.0))].into(),
    }
}

fn holds(text: &str) -> bool {
    let mut symbols = Symbols::new();
    let events = [event("help", T - 3 * DAY_US), event("Order, paid", T - 2 * DAY_US)];
    let history = history(&events, &mut symbols);
    Condition::parse(text, &roles()).unwrap().bind(&symbols).holds(&history, T)
}

#[test]
fn conditions_hold_as_they_read() {
    for text in [
        "count(help_visit, lifetime) == 1",
        "count(*, 7d) >= 2 && active_days(*, 7d) == 2",
        "count('Order, paid', 7d) == 1 || count(none, 7d) > 5",
        "!(count(help*, 1d) > 0) && 1 < 2.5e0",
        "sum(*, amount, 7d) == 4 && history_days() == 3",
        "percentile(*, amount, 7d, percentile=50) == 2",
        "count(none, 7d) > 0 || count(*, 7d) > 0 && count(help, 7d) != 0",
        "! ! hour() >= 0",
    ] {
        assert!(holds(text), "{text}");
    }
    for text in [
        "mean(none, amount, 7d) == 0",
        "mean(none, amount, 7d) != 0",
        "count(*, 7d) < 2",
        "(count(*, 7d) >= 2 || 1 == 1) && 1 != 1",
    ] {
        assert!(!holds(text), "{text}");
    }
}

#[test]
fn a_condition_that_does_not_read_says_where() {
    let message = |text: &str| Condition::parse(text, &roles()).unwrap_err().to_string();
    assert_eq!(
        message("count(*, 7d) = 1"),
        "condition \"count(*, 7d) = 1\": at character 14: found \"=\", expected one of \
         == != < <= > >="
    );
    assert_eq!(
        message("1 < 2 && "),
        "condition \"1 < 2 && \": at character 10: found the end, expected a number or a call such \
         as count(conversion, lifetime)"
    );
    assert_eq!(
        message("cont(*, 7d) > 0"),
        "feature \"cont(*, 7d)\": key \"op\" names \"cont\", which does not exist, did you mean \
         \"count\"?"
    );
    assert!(message(&"(".repeat(10_000)).contains("at most 64"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_parser_panic(text in "[ a-z0-9(),*=!<>&|'\"é._-]{0,40}") {
        let _ = Condition::parse(&text, &roles());
    }

    #[test]
    fn labels_count_their_window_only(events in events(), gap_h in 0..50i64, horizon_h in 1..900i64) {
        let t = T - 40 * DAY_US;
        let (gap_us, horizon_us) = (gap_h * DAY_US / 24, horizon_h * DAY_US / 24);
        let mut symbols = Symbols::new();
        let history = history(&events, &mut symbols);
        let inside: Vec<&Plain> = events
            .iter()
            .filter(|event| event.kind != EventKind::Identify && role_holds("help_visit", &event.name))
            .filter(|event| t + gap_us <= event.at && event.at < t + gap_us + horizon_us)
            .collect();
        let value = |spec: LabelSpec| {
            let label = spec.compile(&roles(), None).unwrap();
            let bound = label.bind(&symbols);
            (bound.value(&history, t), bound.class(&history, t))
        };
        let count = value(LabelSpec::count(&["help_visit"], gap_us, horizon_us));
        prop_assert_eq!(count.0, inside.len() as f64);
        let first = value(LabelSpec::first(&["help_visit"], None, gap_us, horizon_us));
        prop_assert_eq!(first.1, inside.first().map(|event| event.name.clone()));
    }
}

#[test]
fn label_windows_are_checked() {
    let spec = LabelSpec::count(&["*"], 0, 0);
    assert!(matches!(
        spec.compile(&roles(), None),
        Err(FeatureError::Label { key: "horizon", .. })
    ));
    let table = "events = 'help_visit'\nhorizon = '28d'\ngap = '1d'".parse().unwrap();
    let spec = LabelSpec::from_table(table).unwrap();
    assert_eq!(spec.window(T), (T + DAY_US, T + 29 * DAY_US));
}

#[test]
fn request_fields_fill_their_columns() {
    let feature = |text: &str| FeatureSpec::from_table("test", text.parse().unwrap()).unwrap();
    let specs = vec![
        feature("op = 'request'\nfield = 'seats'\nvalue = 'number'\nrequired = true"),
        feature("op = 'request'\nfield = 'device'\nvocabulary = ['mobile', 'web']"),
    ];
    let log = log(&[Vec::new()], Symbols::new());
    let set = FeatureSet::learn(specs, roles(), Visibility::AsKnown, &log, &[]).unwrap();
    let mut request = RequestFields::new();
    assert!(matches!(set.check_request(&request), Err(FeatureError::RequestField { .. })));
    request.insert("seats", Value::Number(3.0));
    request.insert("device", Value::Text("web".to_owned()));
    set.check_request(&request).unwrap();
    let mut row = [0.0; 2];
    set.bind(&log.symbols).row(&log.histories[0], T, &request, &mut row);
    assert_eq!(row, [1.0, 3.0]);
    request.insert("seats", Value::Text("three".to_owned()));
    assert!(set.check_request(&request).is_err());
}
