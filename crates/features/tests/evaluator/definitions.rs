//! Definitions, grids, auto, errors, words and the hash.

use segue_events::Symbols;
use segue_features::{
    FeatureDefinition, FeatureError, FeatureSet, FeatureSpec, LogSummary, Visibility,
};

use super::histories::{DAY_US, MINUTE_US, T, log, roles};
use super::naive::{Held, Plain};

fn event(name: &str, days_before: i64, properties: &[(&str, Held)]) -> Plain {
    let at = T - days_before * DAY_US - 1;
    let properties = properties.iter().map(|(key, held)| ((*key).to_owned(), held.clone()));
    Plain {
        at,
        known: at,
        kind: segue_events::EventKind::Track,
        name: name.to_owned(),
        session: String::new(),
        properties: properties.collect(),
    }
}

fn sample() -> segue_events::EventLog {
    let user = |n: i64| {
        let plan = Held::Text(["pro", "free"][n as usize % 2].to_owned());
        let amount = Held::Number(n as f64);
        let id = Held::Text(format!("id {n}"));
        vec![
            event("help/faq", 20, &[]),
            event("Order Completed", 9, &[("amount", amount), ("plan", plan), ("id", id)]),
            event("help", 3, &[]),
            event("help", 3, &[]),
        ]
    };
    log(&(0..60).map(user).collect::<Vec<_>>(), Symbols::new())
}

fn expand(text: &str) -> Result<Vec<FeatureSpec>, FeatureError> {
    let definition = FeatureDefinition::from_table(text.parse().unwrap())?;
    Ok(definition.expand(&roles(), &LogSummary::of(&sample()))?.specs)
}

fn message(text: &str) -> String {
    expand(text).unwrap_err().to_string()
}

fn learned(text: &str) -> FeatureSet {
    let log = sample();
    let rows: Vec<_> = (0..log.histories.len()).map(|history| (history, T)).collect();
    let specs = expand(text).unwrap();
    FeatureSet::learn(specs, roles(), Visibility::AsKnown, &log, &rows).unwrap()
}

#[test]
fn a_session_is_over_after_exactly_its_timeout() {
    let text = "[[feature]]\nop = 'count'\nwindow = 'session'\n\
                [[feature]]\nop = 'session_open'\nwindow = '7d'";
    let set = learned(text);
    for (before_us, open) in [(30 * MINUTE_US, 0.0), (30 * MINUTE_US - 1, 1.0)] {
        let mut only = event("help", 0, &[]);
        (only.at, only.known) = (T - before_us, T);
        let log = log(&[vec![only]], Symbols::new());
        let matrix = set.bind(&log.symbols).rows(&log, &[(0, T)]);
        assert_eq!([matrix.column(0)[0], matrix.column(1)[0]], [open, open]);
    }
}

const GRID: &str = r#"
[[grid]]
events = ["help_visit", "Order*"]
windows = ["24h", "28d", "lifetime"]
ops = ["count", "time_since_last", "sum"]
properties = ["amount"]
"#;

#[test]
fn a_grid_is_every_combination() {
    let specs = expand(GRID).unwrap();
    let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(names.len(), 2 * 3 * 3);
    assert!(names.contains(&"help_visit_count_1d"), "{names:?}");
    assert!(names.contains(&"order_amount_sum_lifetime"), "{names:?}");
    let set = learned(GRID);
    let matrix = set.bind(&sample().symbols).rows(&sample(), &[(3, T)]);
    let value = |name| matrix.column(set.schema().index_of(name).unwrap())[0];
    assert_eq!(value("help_visit_count_1d"), 0.0);
    assert_eq!(value("help_visit_count_28d"), 3.0);
    assert_eq!(value("order_amount_sum_28d"), 3.0);
    assert!(value("order_amount_sum_1d").is_nan());
    assert_eq!(value("order_time_since_last_lifetime"), 9.0 * 86_400.0 + 1e-6);
}

#[test]
fn every_feature_reads_well() {
    let feature = |text: &str| {
        let text = format!("[[feature]]\n{text}");
        let set = learned(&text);
        (set.schema().features()[0].name.clone(), set.words(0), set.behaviour(0))
    };
    for (text, name, words, behaviour) in [
        (
            "op = 'count'\nrole = 'help_visit'\nwindow = '7d'",
            "help_visit_count_7d",
            "help visits in the last 7 days",
            "help visits",
        ),
        (
            "op = 'time_since_last'\nevents = 'Order Completed'\nwindow = 'lifetime'",
            "order_completed_time_since_last_lifetime",
            "time since the last \"Order Completed\" event",
            "time since the last \"Order Completed\" event",
        ),
        (
            "op = 'mean'\nproperty = 'amount'\nwindow = '1d'\nwhere = { plan = 'pro' }",
            "plan_pro_amount_mean_1d",
            "average amount of events with plan pro in the last day",
            "average amount of events with plan pro",
        ),
        (
            "op = 'active_days'\nwindow = '28d'",
            "active_days_28d",
            "active days in the last 28 days",
            "active days",
        ),
        (
            "op = 'delta'\nof = { op = 'count', role = 'help_visit', window = '7d' }",
            "help_visit_count_7d_delta",
            "change in help visits in the last 7 days against the 7 days before",
            "change in help visits",
        ),
        (
            "op = 'transition'\nfrom = 'role:help_visit'\nto = 'Order Completed'\nwindow = 'session'",
            "help_visit_to_order_completed_session",
            "help visit then \"Order Completed\" in this session",
            "help visit then \"Order Completed\"",
        ),
        ("op = 'history_days'", "history_days", "days since first seen", "days since first seen"),
    ] {
        let expected = (name.to_owned(), words.to_owned(), behaviour.to_owned());
        assert_eq!(feature(text), expected);
    }
}

#[test]
fn errors_name_the_feature_the_key_and_the_nearest() {
    for (text, expected) in [
        (
            "[[feature]]\nname = 'a'\nop = 'count'\nwindw = '7d'\nwindow = '7d'",
            "feature \"a\": unknown key \"windw\", did you mean \"window\"?",
        ),
        (
            "[[feature]]\nname = 'a'\nop = 'cuont'\nwindow = '7d'",
            "feature \"a\": key \"op\" names \"cuont\", which does not exist, did you mean \"count\"?",
        ),
        (
            "[[feature]]\nname = 'a'\nop = 'count'\nwindow = '1m'",
            "feature \"a\": key \"window\" is \"1m\", expected 5m to 90d (nearest: \"5m\"), \
             \"lifetime\" or \"session\"",
        ),
        (
            "[[feature]]\nname = 'a'\nop = 'count'\nbins = 3\nwindow = '7d'",
            "feature \"a\": key \"bins\" has no meaning for op \"count\", which takes events, kind, \
             name, offset, op, role, where, window",
        ),
        (
            "[[feature]]\nop = 'count'\nevents = 'Order Complete'\nwindow = '7d'",
            "feature \"order_complete_count_7d\": key \"events\" names \"Order Complete\", which does \
             not exist, did you mean \"Order Completed\"?",
        ),
        (
            "[[feature]]\nop = 'count'\nrole = 'help_visits'\nwindow = '7d'",
            "feature \"help_visits_count_7d\": key \"events\" names \"help_visits\", which does not \
             exist, did you mean \"help_visit\"?",
        ),
        (
            "[[feature]]\nop = 'sum'\nproperty = 'amont'\nwindow = '7d'",
            "feature \"amont_sum_7d\": key \"property\" names \"amont\", which does not exist, did \
             you mean \"amount\"?",
        ),
        (
            "[[feature]]\nop = 'hour'\ntime_zone = 'Europe/Pariss'",
            "feature \"features.feature[0]\": key \"time_zone\" names \"Europe/Pariss\", which does \
             not exist, did you mean \"Europe/Paris\"?",
        ),
        (
            "[[grid]]\nops = ['count']\nwindows = ['7d']\ntimezone = 'UTC'",
            "feature \"features.grid[0]\": unknown key \"timezone\", did you mean \"time_zone\"?",
        ),
        (
            "window = '7d'",
            "[features]: key \"window\" belongs to a single feature, under [[features.feature]]; \
             [features] itself takes auto, feature, grid, visibility",
        ),
        (
            "auto = true\nwindows = [\"7d\"]",
            "[features]: key \"windows\" belongs to a single feature, under [[features.feature]]; \
             [features] itself takes auto, feature, grid, visibility",
        ),
        ("autos = true", "feature \"features\": unknown key \"autos\", did you mean \"auto\"?"),
        (
            "[[feature]]\nop = 'trend'\nwindow = 'lifetime'",
            "feature \"features.feature[0]\": key \"window\" is \"lifetime\", expected a duration, \
             which can be cut into bins (nearest: \"90d\")",
        ),
        (
            "",
            "no feature is defined, write auto = true, a [[features.grid]] or a [[features.feature]]",
        ),
    ] {
        assert_eq!(message(text), expected);
    }
}

#[test]
fn two_features_of_one_name_are_refused() {
    let one = "[[feature]]\nop = 'count'\nwindow = '7d'\n";
    let name = "event_count_7d".to_owned();
    assert_eq!(expand(&one.repeat(2)), Err(FeatureError::DuplicateName { name }));
}

#[test]
fn auto_chooses_and_tells_what_it_left_out() {
    let log = sample();
    let summary = LogSummary::of(&log);
    let expansion = FeatureDefinition::automatic().expand(&roles(), &summary).unwrap();
    let names: Vec<&str> = expansion.specs.iter().map(|spec| spec.name.as_str()).collect();
    for name in [
        "help_visit_count_7d",
        "order_completed_count_28d",
        "active_days_28d",
        "amount_mean_lifetime",
        "plan_last_lifetime",
        "history_days",
        "event_count_7d_delta",
    ] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    let left_out: Vec<String> =
        expansion.left_out.iter().map(|out| format!("{}: {}", out.what, out.reason)).collect();
    assert_eq!(
        left_out,
        [
            "role onboarding_step: no event of the log has it",
            "property id: 60 different texts, the limit is 50",
        ]
    );
    let rows: Vec<_> = (0..60).map(|history| (history, T)).collect();
    let set =
        FeatureSet::learn(expansion.specs, roles(), Visibility::AsKnown, &log, &rows).unwrap();
    let plan = set.schema().index_of("plan_last_lifetime").unwrap();
    let vocabulary = ["free".to_owned(), "pro".to_owned()];
    assert_eq!(set.schema().features()[plan].vocabulary(), Some(&vocabulary[..]));
}

#[test]
fn a_full_vocabulary_keeps_the_most_frequent() {
    let text = "[[feature]]\nop = 'last'\nproperty = 'id'\nwindow = '90d'\nvalue = 'category'\n\
                vocabulary_size = 3";
    let set = learned(text);
    let vocabulary = ["__other__", "id 0", "id 1"].map(str::to_owned);
    assert_eq!(set.schema().features()[0].vocabulary(), Some(&vocabulary[..]));
    let matrix = set.bind(&sample().symbols).rows(&sample(), &[(0, T), (7, T)]);
    assert_eq!(matrix.column(0), [1.0, 0.0]);
}

#[test]
fn the_hash_is_of_the_meaning() {
    let a = "[[feature]]\nop = 'count'\nwindow = '24h'\nrole = 'help_visit'\nname = 'x'\n";
    let b = "[[feature]]\nname = 'x'\nkind = ['page', 'screen', 'track', 'page']\n\
             events = ['role:help_visit']\nwindow = '1d'\nop = 'count'\n";
    let c = "[[feature]]\nop = 'history_days'\n";
    let ac = learned(&format!("{a}{c}"));
    assert_eq!(ac.hash(), learned(&format!("{c}{b}")).hash());
    assert_ne!(ac.hash(), learned(a).hash());
    // A change of this value invalidates every model in every registry.
    assert_eq!(ac.hash(), GOLDEN_HASH);
}

const GOLDEN_HASH: &str = "1f05105e7d8365416a3dc5f7e25a17a35b905b2df654da938f9430c6224bba94";

#[test]
fn an_edited_file_is_refused() {
    let text = learned(GRID).to_toml();
    let edited = text.replace("28d", "27d");
    assert!(matches!(FeatureSet::from_toml(&edited), Err(FeatureError::Hash { .. })));
    let version = text.replace("format_version = 1", "format_version = 2");
    let expected = FeatureError::FormatVersion { found: 2, supported: 1 };
    assert_eq!(FeatureSet::from_toml(&version).unwrap_err(), expected);
    assert!(FeatureSet::from_toml("format_version = ").is_err());
}
