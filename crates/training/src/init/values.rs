//! Number properties: what they sum to, on which events, and which of them may be money.

use std::collections::BTreeMap;

use segue_events::{EventLog, Scalar};
use serde::Serialize;

use super::roles::RoleCandidate;
use super::sniff::{MONEY, plain};

/// Most properties that a profile lists.
const MAX_VALUES: usize = 12;

/// A number property of events.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ValueCandidate {
    /// Its key.
    pub property: String,
    /// Events that carry it, with the number of times, most frequent first.
    pub events: Vec<(String, u64)>,
    /// How often it is there.
    pub n_events: u64,
    /// Smallest value.
    pub min: f64,
    /// Mean of the values.
    pub mean: f64,
    /// Largest value.
    pub max: f64,
    /// Whether its name reads like money.
    pub is_money: bool,
}

struct Tally {
    n: u64,
    sum: f64,
    min: f64,
    max: f64,
}

/// Number properties, money first, then the most frequent.
pub(super) fn candidates(log: &EventLog) -> Vec<ValueCandidate> {
    let mut tallies: BTreeMap<(&str, &str), Tally> = BTreeMap::new();
    for history in &log.histories {
        for at in 0..history.len() {
            let name = log.symbols.text(history.name()[at]);
            for &(key, value) in history.properties(at) {
                let Scalar::Number(value) = value else { continue };
                let tally = tallies.entry((log.symbols.text(key), name)).or_insert(Tally {
                    n: 0,
                    sum: 0.0,
                    min: f64::INFINITY,
                    max: f64::NEG_INFINITY,
                });
                tally.n += 1;
                tally.sum += value;
                tally.min = tally.min.min(value);
                tally.max = tally.max.max(value);
            }
        }
    }
    let mut by_property: BTreeMap<&str, Vec<(&str, Tally)>> = BTreeMap::new();
    for ((property, name), tally) in tallies {
        let speaks_of_context = property.starts_with("context.") || property.starts_with("traits.");
        if !speaks_of_context {
            by_property.entry(property).or_default().push((name, tally));
        }
    }
    let mut values: Vec<ValueCandidate> =
        by_property.into_iter().map(|(property, events)| candidate(property, events)).collect();
    values.sort_by(|a, b| {
        let rank = |value: &ValueCandidate| money_rank(&value.property);
        rank(a).cmp(&rank(b)).then(b.n_events.cmp(&a.n_events)).then(a.property.cmp(&b.property))
    });
    values.truncate(MAX_VALUES);
    values
}

fn candidate(property: &str, mut events: Vec<(&str, Tally)>) -> ValueCandidate {
    events.sort_by(|a, b| b.1.n.cmp(&a.1.n).then(a.0.cmp(b.0)));
    let tallies = || events.iter().map(|(_, tally)| tally);
    let n_events: u64 = tallies().map(|tally| tally.n).sum();
    let sum: f64 = tallies().map(|tally| tally.sum).sum();
    ValueCandidate {
        property: property.to_owned(),
        n_events,
        min: tallies().map(|tally| tally.min).fold(f64::INFINITY, f64::min),
        mean: sum / n_events as f64,
        max: tallies().map(|tally| tally.max).fold(f64::NEG_INFINITY, f64::max),
        is_money: money_rank(property) < MONEY.len(),
        events: events.iter().map(|(name, tally)| ((*name).to_owned(), tally.n)).collect(),
    }
}

fn money_rank(property: &str) -> usize {
    let name = plain(property.rsplit('.').next().unwrap_or(property));
    MONEY.iter().position(|money| *money == name).unwrap_or(MONEY.len())
}

/// The value that customers bring, and the role or event that carries it.
pub(super) fn lifetime(
    values: &[ValueCandidate],
    roles: &[RoleCandidate],
) -> Option<(String, String)> {
    let value = values.first().filter(|value| value.is_money)?;
    let conversion = roles.iter().find(|role| role.role == "conversion");
    let converts = |name: &String| conversion.is_some_and(|role| role.events.contains(name));
    let events = if value.events.iter().any(|(name, _)| converts(name)) {
        "conversion".to_owned()
    } else {
        format!("name:{}", value.events.first()?.0)
    };
    Some((value.property.clone(), events))
}
