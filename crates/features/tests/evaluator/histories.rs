//! Random histories: ties, window edges, late and future-known events, supplied sessions, values of
//! every type, and a fixed feature table with every operator.

use std::sync::LazyLock;

use proptest::prelude::*;
use segue_events::{
    EventKind, EventLog, History, HistoryEvent, LogCounts, RoleMap, Scalar, Symbols,
};
use segue_features::FeatureSpec;

use super::naive::{Held, Plain};

pub(crate) const SECOND_US: i64 = 1_000_000;
pub(crate) const MINUTE_US: i64 = 60 * SECOND_US;
pub(crate) const HOUR_US: i64 = 60 * MINUTE_US;
pub(crate) const DAY_US: i64 = 24 * HOUR_US;

/// 2024-03-12T10:20:30Z, two days after clocks changed in New York.
pub(crate) const T: i64 = 1_710_238_830 * SECOND_US;

pub(crate) fn roles() -> RoleMap {
    let globs = [("help_visit", "help*"), ("onboarding_step", "step *")];
    let globs = globs.map(|(role, glob)| (role.to_owned(), vec![glob.to_owned()]));
    RoleMap::new(globs.into_iter().collect()).unwrap()
}

/// Times before and after `T`, near each other and on window edges.
fn at() -> impl Strategy<Value = i64> {
    let edges = [0, 1, -1, 5 * MINUTE_US, HOUR_US, DAY_US, 7 * DAY_US, 14 * DAY_US, 90 * DAY_US];
    prop_oneof![
        (0..100 * DAY_US).prop_map(|before| T - before),
        (0..300i64).prop_map(|minutes| T - minutes * MINUTE_US),
        (0..20i64).prop_map(|seconds| T - seconds * SECOND_US),
        (0..40i64).prop_map(|half_days| T - half_days * 12 * HOUR_US),
        proptest::sample::select(edges.to_vec()).prop_map(|edge| T - edge),
        (0..3 * DAY_US).prop_map(|after| T + after),
    ]
}

/// When an event becomes known, by when it happened: at once, late, or right on `T` and just after.
fn known() -> impl Strategy<Value = fn(i64, i64) -> i64> {
    let at_once: fn(i64, i64) -> i64 = |at, _| at;
    let late: fn(i64, i64) -> i64 = |at, late| at + late;
    let on_t: fn(i64, i64) -> i64 = |at, _| at.max(T);
    let after_t: fn(i64, i64) -> i64 = |at, _| at.max(T + 1);
    prop_oneof![6 => Just(at_once), 2 => Just(late), 1 => Just(on_t), 1 => Just(after_t)]
}

fn held() -> impl Strategy<Value = Held> {
    let numbers = vec![0.0, -0.0, 1.0, 2.5, -3.0, 1e9, 0.1, 0.2];
    prop_oneof![
        proptest::sample::select(numbers).prop_map(Held::Number),
        proptest::sample::select(vec!["pro", "free", "1", "", "b"])
            .prop_map(|text| Held::Text(text.to_owned())),
        any::<bool>().prop_map(Held::Flag),
    ]
}

pub(crate) fn event() -> impl Strategy<Value = Plain> {
    let names = ["page", "help", "help/faq", "Order", "step one", "step two", "step three"];
    let kinds = [EventKind::Track, EventKind::Page, EventKind::Identify];
    let keys = ["amount", "plan", "mixed", "traits.plan", "step"];
    let number = (-40i32..40).prop_map(|number| Held::Number(f64::from(number) / 8.0));
    let texts = |list: &[&str]| {
        proptest::sample::select(list.iter().map(|&s| s.to_owned()).collect::<Vec<_>>())
    };
    let values = (
        proptest::option::of(number),
        proptest::option::of(texts(&["pro", "free", "team"]).prop_map(Held::Text)),
        proptest::option::of(held()),
        proptest::option::weighted(0.2, texts(&["pro", "free"]).prop_map(Held::Text)),
        proptest::option::of(texts(&["one", "two", "three"]).prop_map(Held::Text)),
    );
    (
        at(),
        (known(), 0..100 * DAY_US),
        proptest::sample::select(kinds.to_vec()),
        texts(&names),
        texts(&["", "", "", "s1", "s2"]),
        values,
    )
        .prop_map(move |(at, (known, late), kind, name, session, (a, b, c, d, e))| Plain {
            at,
            known: known(at, late),
            kind,
            name,
            session,
            properties: keys
                .iter()
                .zip([a, b, c, d, e])
                .filter_map(|(&key, held)| held.map(|held| (key.to_owned(), held)))
                .collect(),
        })
}

/// Up to 40 events in the order of their times; every third time tracks that are known at once, as most
/// logs hold nothing else.
pub(crate) fn events() -> impl Strategy<Value = Vec<Plain>> {
    let events = proptest::collection::vec(event(), 0..40);
    (events, proptest::bool::weighted(0.33)).prop_map(|(mut events, are_tracks)| {
        events.sort_by_key(|event| event.at);
        if are_tracks {
            events.iter_mut().for_each(|event| {
                (event.kind, event.known) = (EventKind::Track, event.at);
            });
        }
        events
    })
}

pub(crate) fn history(events: &[Plain], symbols: &mut Symbols) -> History {
    let mut history = History::new(symbols.intern("user"));
    for event in events {
        let properties: Vec<_> = event
            .properties
            .iter()
            .map(|(key, held)| {
                let value = match held {
                    Held::Number(number) => Scalar::Number(*number),
                    Held::Text(text) => Scalar::Text(symbols.intern(text)),
                    Held::Flag(flag) => Scalar::Flag(*flag),
                };
                (symbols.intern(key), value)
            })
            .collect();
        history.push(HistoryEvent {
            event_ts: event.at,
            known_ts: event.known,
            kind: event.kind,
            name: symbols.intern(&event.name),
            session: symbols.intern(&event.session),
            properties: &properties,
        });
    }
    history
}

pub(crate) fn log(histories: &[Vec<Plain>], mut symbols: Symbols) -> EventLog {
    let histories = histories.iter().map(|events| history(events, &mut symbols)).collect();
    let counts = LogCounts::default();
    EventLog { symbols, histories, counts, first_ts: T, last_ts: T, last_known_ts: T }
}

/// Every operator in several windows over several selections.
pub(crate) fn specs() -> Vec<FeatureSpec> {
    static SPECS: LazyLock<Vec<FeatureSpec>> = LazyLock::new(all_specs);
    SPECS.clone()
}

fn all_specs() -> Vec<FeatureSpec> {
    let property = |op: &str| format!("op = \"{op}\"\nproperty = \"amount\"");
    let mut ops: Vec<String> = ["sum", "mean", "min", "max", "std"].map(property).to_vec();
    for op in [
        "count",
        "time_since_first",
        "time_since_last",
        "gap_mean",
        "gap_max",
        "gap_cv",
        "sessions",
        "session_mean_length",
        "session_bounce_rate",
        "session_last_length",
        "session_open",
        "distinct",
        "entropy",
        "top",
        "active_days",
    ] {
        ops.push(format!("op = \"{op}\""));
    }
    for text in [
        "op = \"percentile\"\nproperty = \"amount\"\npercentile = 50",
        "op = \"percentile\"\nproperty = \"mixed\"\npercentile = 95",
        "op = \"sum\"\nproperty = \"mixed\"",
        "op = \"first\"\nproperty = \"mixed\"\nvalue = \"category\"",
        "op = \"last\"\nproperty = \"plan\"",
        "op = \"last\"\nproperty = \"amount\"",
        "op = \"last_k\"\nproperty = \"mixed\"\nk = 3\nvalue = \"category\"",
        "op = \"last_k\"\nk = 2",
        "op = \"distinct\"\nproperty = \"mixed\"",
        "op = \"entropy\"\nproperty = \"mixed\"",
        "op = \"top\"\nproperty = \"mixed\"\nvalue = \"category\"\nvocabulary_size = 3",
        "op = \"active_days\"\ntime_zone = \"America/New_York\"",
        "op = \"streak_days\"\ntime_zone = \"America/New_York\"",
        "op = \"streak_days\"",
        "op = \"ngram\"\nsteps = [\"*\", \"help*\"]",
        "op = \"ngram\"\nsteps = [\"role:help_visit\", \"*\", \"page\"]\nmax_gap = \"10m\"",
        "op = \"ngram\"\nsteps = [\"*\", \"*\"]\nmax_gap = \"90d\"\nsession_timeout = \"2h\"",
        "op = \"transition\"\nfrom = \"page\"\nto = \"page\"\nsession_timeout = \"1d\"",
        "op = \"session_mean_length\"\nsession_timeout = \"1d\"",
        "op = \"funnel_step\"\nsteps = [\"step one\", \"step two\", \"step three\"]",
        "op = \"funnel_time_in_step\"\nsteps = [\"step one\", \"step*\", \"step three\"]",
        "op = \"funnel_retries\"\nsteps = [\"step one\", \"step two\", \"step three\"]",
        "op = \"funnel_step\"\nproperty = \"step\"\nsteps = [\"one\", \"t*\"]",
        "op = \"funnel_retries\"\nproperty = \"step\"\nsteps = [\"one\", \"two\"]",
    ] {
        ops.push(text.to_owned());
    }
    let windows = ["5m", "1h", "1d", "7d", "90d", "lifetime", "session"];
    let offset = "window = \"7d\"\noffset = \"7d\"".to_owned();
    let mut windows: Vec<String> = windows.map(|window| format!("window = \"{window}\"")).to_vec();
    windows.push(offset);
    let selections = [
        "",
        "role = \"help_visit\"",
        "events = [\"page\", \"Order\"]\nkind = [\"page\", \"identify\"]",
        "where = { plan = \"pro\" }",
        "where = { amount = { at_least = 0.5, below = 4 }, mixed = { none_of = [\"pro\", 1, true] } }",
        "where = { plan = { exists = false } }",
    ];
    let mut texts = Vec::new();
    for op in &ops {
        for window in &windows {
            for selection in selections {
                texts.push(format!("{op}\n{window}\n{selection}"));
            }
        }
    }
    for window in ["1h", "7d", "90d"] {
        texts.push(format!("op = \"trend\"\nwindow = \"{window}\""));
        texts.push(format!(
            "op = \"trend\"\nwindow = \"{window}\"\nproperty = \"amount\"\nbins = 7"
        ));
        for of in ["count", "session_bounce_rate", "time_since_last"] {
            let of = format!("of = {{ op = \"{of}\", window = \"{window}\" }}");
            texts.push(format!("op = \"delta\"\n{of}"));
        }
    }
    for text in [
        "op = \"ratio\"\nnumerator = { op = \"count\", role = \"help_visit\", window = \"7d\" }\ndenominator = { op = \"sessions\", window = \"7d\" }",
        "op = \"ratio\"\nnumerator = { op = \"sum\", property = \"amount\", window = \"90d\" }\ndenominator = { op = \"sum\", property = \"amount\", window = \"7d\" }",
        "op = \"trait\"\nkey = \"plan\"",
        "op = \"trait\"\nkey = \"plan\"\nttl = \"7d\"",
        "op = \"hour\"\ntime_zone = \"Asia/Kathmandu\"",
        "op = \"day_of_week\"",
        "op = \"day_of_month\"",
        "op = \"month\"",
        "op = \"is_weekend\"",
        "op = \"history_days\"",
        "op = \"count\"\nevents = \"*\"\nkind = [\"page\"]\nwindow = \"90d\"",
        "op = \"time_since_last\"\nevents = [\"*\", \"help\"]\nwindow = \"90d\"",
    ] {
        texts.push(text.to_owned());
    }
    let read = |(index, text): (usize, &String)| {
        let table = format!("name = \"f{index:04}\"\n{text}").parse().unwrap();
        FeatureSpec::from_table("test", table).unwrap()
    };
    texts.iter().enumerate().map(read).collect()
}
