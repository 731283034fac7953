//! `auto`: features chosen from what the log holds. What is not chosen is told, with the reason.

use std::collections::BTreeMap;

use segue_events::RoleMap;
use toml::{Table, Value};

use crate::error::FeatureError;
use crate::keys::Keys;
use crate::spec::{FeatureSpec, MAX_CATEGORIES};
use crate::summary::{LogSummary, Occurrence, PropertySummary};

/// How far `auto` goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutoOptions {
    /// Most event names to count, the most frequent first.
    pub max_events: usize,
    /// Most properties to use, the most frequent first.
    pub max_properties: usize,
    /// Most transitions to count, the most frequent first.
    pub max_transitions: usize,
    /// Fewest users that must have an event or a property.
    pub min_users: usize,
    /// IANA time zone of days.
    pub time_zone: String,
}

impl Default for AutoOptions {
    fn default() -> Self {
        Self {
            max_events: 20,
            max_properties: 20,
            max_transitions: 10,
            min_users: 5,
            time_zone: "UTC".to_owned(),
        }
    }
}

/// Something `auto` considered and did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// An event, property, transition or feature.
    pub what: String,
    /// Why.
    pub reason: String,
}

/// What was taken and what was not.
pub(crate) struct Choice {
    pub(crate) specs: Vec<FeatureSpec>,
    pub(crate) left_out: Vec<LeftOut>,
}

const WINDOWS: [&str; 4] = ["1d", "7d", "28d", "lifetime"];

impl AutoOptions {
    pub(crate) fn from_table(table: Table) -> Result<Self, FeatureError> {
        let mut keys = Keys::new("features.auto", table);
        let default = Self::default();
        let options = Self {
            max_events: keys.count("max_events", (0, 1_000))?.unwrap_or(default.max_events),
            max_properties: keys
                .count("max_properties", (0, 1_000))?
                .unwrap_or(default.max_properties),
            max_transitions: keys
                .count("max_transitions", (0, 1_000))?
                .unwrap_or(default.max_transitions),
            min_users: keys.count("min_users", (1, 1_000_000))?.unwrap_or(default.min_users),
            time_zone: keys.text("time_zone")?.unwrap_or(default.time_zone),
        };
        keys.finish_section()?;
        Ok(options)
    }

    pub(crate) fn choose(&self, roles: &RoleMap, log: &LogSummary) -> Result<Choice, FeatureError> {
        let mut chooser = Chooser { options: self, specs: BTreeMap::new(), left_out: Vec::new() };
        chooser.activity()?;
        chooser.roles_and_events(roles, log)?;
        chooser.properties(log)?;
        chooser.transitions(log)?;
        Ok(Choice { specs: chooser.specs.into_values().collect(), left_out: chooser.left_out })
    }
}

struct Chooser<'a> {
    options: &'a AutoOptions,
    specs: BTreeMap<String, FeatureSpec>,
    left_out: Vec<LeftOut>,
}

impl Chooser<'_> {
    fn leave_out(&mut self, what: String, reason: String) {
        self.left_out.push(LeftOut { what, reason });
    }

    fn add(&mut self, entries: &[(&str, &str)]) -> Result<(), FeatureError> {
        self.add_table(table(entries))
    }

    fn add_table(&mut self, table: Table) -> Result<(), FeatureError> {
        let spec = FeatureSpec::from_table("features.auto", table)?;
        if let Some(other) = self.specs.get(&spec.name) {
            if other.measure != spec.measure {
                let reason = "another feature has the same name".to_owned();
                self.leave_out(spec.name, reason);
            }
            return Ok(());
        }
        self.specs.insert(spec.name.clone(), spec);
        Ok(())
    }

    fn counts(&mut self, events: &str) -> Result<(), FeatureError> {
        for window in WINDOWS {
            self.add(&[("op", "count"), ("events", events), ("window", window)])?;
        }
        self.add(&[("op", "time_since_last"), ("events", events), ("window", "lifetime")])
    }

    fn delta(&mut self, events: &str, window: &str) -> Result<(), FeatureError> {
        let mut delta = table(&[("op", "delta")]);
        let of = table(&[("op", "count"), ("events", events), ("window", window)]);
        delta.insert("of".to_owned(), Value::Table(of));
        self.add_table(delta)
    }

    /// What any log supports.
    fn activity(&mut self) -> Result<(), FeatureError> {
        self.counts("glob:*")?;
        self.delta("glob:*", "7d")?;
        self.delta("glob:*", "28d")?;
        let time_zone = self.options.time_zone.clone();
        for window in ["7d", "28d", "lifetime"] {
            self.add(&[("op", "active_days"), ("window", window), ("time_zone", &time_zone)])?;
            self.add(&[("op", "sessions"), ("window", window)])?;
        }
        self.add(&[("op", "streak_days"), ("window", "28d"), ("time_zone", &time_zone)])?;
        self.add(&[("op", "history_days")])?;
        self.add(&[("op", "count"), ("window", "session")])?;
        for (op, window) in [
            ("session_mean_length", "28d"),
            ("session_bounce_rate", "28d"),
            ("session_last_length", "lifetime"),
            ("gap_mean", "28d"),
            ("gap_cv", "28d"),
            ("gap_max", "lifetime"),
            ("entropy", "28d"),
            ("distinct", "28d"),
            ("distinct", "lifetime"),
            ("trend", "28d"),
        ] {
            self.add(&[("op", op), ("window", window)])?;
        }
        Ok(())
    }

    fn roles_and_events(&mut self, roles: &RoleMap, log: &LogSummary) -> Result<(), FeatureError> {
        let mut same_as_role: BTreeMap<&str, &str> = BTreeMap::new();
        for role in roles.roles() {
            let mut names = log.events.keys().filter(|name| roles.has_role(name, role));
            match (names.next(), names.next()) {
                (None, _) => {
                    let reason = "no event of the log has it".to_owned();
                    self.leave_out(format!("role {role}"), reason);
                    continue;
                }
                (Some(only), None) => {
                    same_as_role.entry(only).or_insert(role);
                }
                _ => {}
            }
            let events = format!("role:{role}");
            self.counts(&events)?;
            self.delta(&events, "7d")?;
        }
        let events = log.most_frequent_events();
        for (rank, &(name, occurrence)) in events.iter().enumerate() {
            match self.reason_against(rank, occurrence, same_as_role.get(name).copied()) {
                Some(reason) => self.leave_out(format!("event {name}"), reason),
                None => self.counts(&format!("name:{name}"))?,
            }
        }
        Ok(())
    }

    fn reason_against(
        &self,
        rank: usize,
        occurrence: Occurrence,
        role: Option<&str>,
    ) -> Option<String> {
        if let Some(role) = role {
            return Some(format!("the same events as role {role}"));
        }
        let max_events = self.options.max_events;
        if rank >= max_events {
            return Some(format!("number {} by frequency, the limit is {max_events}", rank + 1));
        }
        self.too_few_users(occurrence.n_users)
    }

    fn too_few_users(&self, n_users: u64) -> Option<String> {
        let min_users = self.options.min_users;
        (n_users < min_users as u64)
            .then(|| format!("{n_users} users have it, the least is {min_users}"))
    }

    fn properties(&mut self, log: &LogSummary) -> Result<(), FeatureError> {
        let mut properties: Vec<(&String, &PropertySummary)> = log.properties.iter().collect();
        properties.sort_by(|a, b| b.1.n_events.cmp(&a.1.n_events).then_with(|| a.0.cmp(b.0)));
        let mut taken = 0;
        for (key, summary) in properties {
            let max_properties = self.options.max_properties;
            let reason = self.too_few_users(summary.n_users).or_else(|| unusable(summary));
            let beyond = || {
                (taken >= max_properties)
                    .then(|| format!("{max_properties} more frequent ones are taken"))
            };
            if let Some(reason) = reason.or_else(beyond) {
                self.leave_out(format!("property {key}"), reason);
                continue;
            }
            taken += 1;
            self.property(key, summary)?;
        }
        Ok(())
    }

    fn property(&mut self, key: &str, summary: &PropertySummary) -> Result<(), FeatureError> {
        if let Some(name) = key.strip_prefix("traits.") {
            return self.add(&[("op", "trait"), ("key", name)]);
        }
        self.add(&[("op", "last"), ("property", key), ("window", "lifetime")])?;
        if summary.n_numbers == 0 || summary.n_texts > 0 {
            return Ok(());
        }
        for window in ["28d", "lifetime"] {
            for op in ["sum", "mean"] {
                self.add(&[("op", op), ("property", key), ("window", window)])?;
            }
        }
        Ok(())
    }

    fn transitions(&mut self, log: &LogSummary) -> Result<(), FeatureError> {
        let different = log.transitions.iter().filter(|((from, to), _)| from != to);
        let mut transitions: Vec<_> = different.collect();
        transitions.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
        let max_transitions = self.options.max_transitions;
        for (rank, ((from, to), _)) in transitions.iter().enumerate() {
            if rank >= max_transitions {
                let n_rest = transitions.len() - max_transitions;
                let reason = format!("the limit is {max_transitions}");
                self.leave_out(format!("{n_rest} less frequent transitions"), reason);
                break;
            }
            let (from, to) = (format!("name:{from}"), format!("name:{to}"));
            self.add(&[("op", "transition"), ("from", &from), ("to", &to), ("window", "28d")])?;
        }
        Ok(())
    }
}

/// Why a property says nothing that a tree could use.
fn unusable(summary: &PropertySummary) -> Option<String> {
    match summary.n_distinct_texts {
        _ if summary.n_texts == 0 => None,
        1 if summary.n_numbers + summary.n_flags == 0 => Some("it never varies".to_owned()),
        n if n >= PropertySummary::MAX_TEXTS => {
            Some(format!("{n} or more different texts, the limit is {MAX_CATEGORIES}"))
        }
        n if n > MAX_CATEGORIES => {
            Some(format!("{n} different texts, the limit is {MAX_CATEGORIES}"))
        }
        _ => None,
    }
}

fn table(entries: &[(&str, &str)]) -> Table {
    let text = |&(key, text): &(&str, &str)| (key.to_owned(), Value::String(text.to_owned()));
    entries.iter().map(text).collect()
}
