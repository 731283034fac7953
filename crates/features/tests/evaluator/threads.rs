//! What is counted and learned of a log is the same on any number of threads.

use std::collections::BTreeMap;

use segue_events::{EventKind, Symbols};
use segue_features::{FeatureDefinition, FeatureSet, LogSummary, PropertySummary, Visibility};

use super::histories::{MINUTE_US, T, log, roles};
use super::naive::{Held, Plain};

const N_USERS: usize = 90;

/// A category whose most frequent value is another one among the first half of the users.
fn shifting(user: usize) -> &'static str {
    match user {
        0..20 => "a",
        20..35 | 75.. => "b",
        _ => "c",
    }
}

/// Users share names, pairs and some of their texts; only the last of them holds a text in a property that
/// is a number everywhere else; of one property there are more texts than are
/// counted, none of which any part of the log has that many of.
fn shared_log() -> segue_events::EventLog {
    let event = |user: usize, n: usize| {
        let at = T - (40 - n as i64) * 10 * MINUTE_US;
        let text = |text: String| Held::Text(text);
        let properties = [
            ("id", text(format!("{user} {n}"))),
            ("plan", text(format!("plan {}", user * n % 7))),
            ("amount", Held::Number(n as f64)),
            ("shift", text(shifting(user).to_owned())),
            ("mixed", if user == N_USERS - 1 { text("a".to_owned()) } else { Held::Number(1.0) }),
        ];
        Plain {
            at,
            known: at,
            kind: if n % 5 == 4 { EventKind::Identify } else { EventKind::Track },
            name: format!("step {}", (user + n) % 4),
            session: String::new(),
            properties: properties.map(|(key, held)| (key.to_owned(), held)).into(),
        }
    };
    let user = |user| (0..=user % 30).map(|n| event(user, n)).collect();
    log(&(0..N_USERS).map(user).collect::<Vec<_>>(), Symbols::new())
}

#[test]
fn counts_and_vocabularies_are_the_same_on_any_number_of_threads() {
    let log = shared_log();
    let rows: Vec<_> = (0..N_USERS).map(|history| (history, T)).collect();
    let text = "[[feature]]\nop = 'last'\nproperty = 'id'\nwindow = '90d'\nvalue = 'category'\n\
                vocabulary_size = 9\n\
                [[feature]]\nop = 'top'\nproperty = 'plan'\nwindow = '90d'\nvalue = 'category'\n\
                vocabulary_size = 4\n\
                [[feature]]\nop = 'last'\nproperty = 'mixed'\nwindow = '90d'\n\
                [[feature]]\nop = 'last'\nproperty = 'shift'\nwindow = '90d'\nvalue = 'category'\n\
                vocabulary_size = 2\n\
                [[feature]]\nop = 'last'\nproperty = 'amount'\nwindow = '90d'";
    let on = |n_threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| {
            let summary = LogSummary::of(&log);
            let definition = FeatureDefinition::from_table(text.parse().unwrap()).unwrap();
            let specs = definition.expand(&roles(), &summary).unwrap().specs;
            let visibility = Visibility::AsKnown;
            let set = FeatureSet::learn(specs, roles(), visibility, &log, &rows).unwrap();
            (summary, set.to_toml())
        })
    };
    let (summary, set) = on(1);
    assert_eq!(summary.n_users, N_USERS as u64);
    assert_eq!(summary.properties["id"].n_events, log.n_events() as u64);
    assert_eq!(summary.properties["id"].n_distinct_texts, PropertySummary::MAX_TEXTS);
    assert_eq!(summary.properties["plan"].n_distinct_texts, 7);
    for n_threads in [2, 3, 8, 30] {
        assert_eq!(on(n_threads), (summary.clone(), set.clone()), "{n_threads} threads");
    }
}

/// Pairs of the first names are counted in a table, those of others beside it.
#[test]
fn pairs_of_any_number_of_names_are_counted() {
    let name = |user: usize, n: usize| format!("name {}", (user * 31 + n * n * 7) % 150);
    let event = |user: usize, n: usize| {
        let at = T - (60 - n as i64) * 10 * MINUTE_US;
        Plain {
            at,
            known: at,
            kind: EventKind::Track,
            name: name(user, n),
            session: String::new(),
            properties: BTreeMap::new(),
        }
    };
    let user = |user| (0..60).map(|n| event(user, n)).collect();
    let log = log(&(0..20).map(user).collect::<Vec<_>>(), Symbols::new());
    let mut expected = BTreeMap::new();
    for user in 0..20 {
        for n in 1..60 {
            *expected.entry((name(user, n - 1), name(user, n))).or_insert(0) += 1;
        }
    }
    assert_eq!(LogSummary::of(&log).transitions, expected);
}

/// Half an hour of silence ends a session, as it does where transitions are features.
#[test]
fn a_pair_is_of_one_session() {
    let gaps_us = [30 * MINUTE_US - 1, 30 * MINUTE_US, 30 * MINUTE_US + 1];
    let mut at = T - 600 * MINUTE_US;
    let mut events = Vec::new();
    for (name, gap_us) in ["a", "b", "c", "d"].into_iter().zip([0].into_iter().chain(gaps_us)) {
        at += gap_us;
        let (kind, name) = (EventKind::Track, name.to_owned());
        let (session, properties) = (String::new(), BTreeMap::new());
        events.push(Plain { at, known: at, kind, name, session, properties });
    }
    let summary = LogSummary::of(&log(&[events], Symbols::new()));
    let expected = BTreeMap::from([(("a".to_owned(), "b".to_owned()), 1)]);
    assert_eq!(summary.transitions, expected);
}
