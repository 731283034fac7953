//! Which events a feature looks at: names, roles, kinds and conditions on properties.

use globset::{Glob, GlobBuilder, GlobMatcher};
use segue_events::{EventKind, RoleMap};
use toml::{Table, Value};

use crate::error::FeatureError;
use crate::keys::{Keys, shown};
use crate::summary::LogSummary;

/// Which event names match. As text: `role:help_visit`, `name:Order Completed`, `glob:Order *`,
/// or bare: then a role of that name, else an exact name, or a glob if it holds one of `*?[{`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventPattern {
    /// Every event of a role.
    Role(String),
    /// One exact name.
    Name(String),
    /// Names that a glob matches; `*` also matches `/`. Case matters.
    Glob(String),
    /// Not yet decided.
    Bare(String),
}

impl EventPattern {
    /// Reads the text form. Never fails: what is not prefixed is bare.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.split_once(':') {
            Some(("role", role)) => Self::Role(role.to_owned()),
            Some(("name", name)) => Self::Name(name.to_owned()),
            Some(("glob", glob)) => Self::Glob(glob.to_owned()),
            _ => Self::Bare(text.to_owned()),
        }
    }

    /// The text form.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Role(role) => format!("role:{role}"),
            Self::Name(name) => format!("name:{name}"),
            Self::Glob(glob) => format!("glob:{glob}"),
            Self::Bare(bare) => bare.clone(),
        }
    }

    /// The text without prefix.
    pub(crate) fn bare_text(&self) -> &str {
        match self {
            Self::Role(text) | Self::Name(text) | Self::Glob(text) | Self::Bare(text) => text,
        }
    }

    /// Decides a bare pattern and checks that the role exists, the glob reads and, if the log is
    /// given, that something in it matches (a role may match nothing).
    pub(crate) fn resolve(
        self,
        feature: &str,
        key: &str,
        roles: &RoleMap,
        log: Option<&LogSummary>,
    ) -> Result<Self, FeatureError> {
        let resolved = match self {
            Self::Bare(text) if roles.contains(&text) => Self::Role(text),
            Self::Bare(text) if log.is_some_and(|log| log.has_event(&text)) => Self::Name(text),
            Self::Bare(text) if text.contains(['*', '?', '[', '{']) => Self::Glob(text),
            Self::Bare(text) => Self::Name(text),
            decided => decided,
        };
        let keys = Keys::new(feature, Table::new());
        match &resolved {
            Self::Role(role) if !roles.contains(role) => {
                return Err(keys.unknown(key, role, roles.roles()));
            }
            Self::Name(name) if log.is_some_and(|log| !log.has_event(name)) => {
                let names = log.into_iter().flat_map(LogSummary::event_names);
                return Err(keys.unknown(key, name, names.chain(roles.roles())));
            }
            Self::Glob(glob) => {
                let matcher = matcher(glob).map_err(|error| {
                    keys.bad(key, format!("{glob:?}"), format!("a glob ({})", error.kind()))
                })?;
                if log.is_some_and(|log| !log.event_names().any(|name| matcher.is_match(name))) {
                    let expected = "a glob that matches some event of the log";
                    return Err(keys.bad(key, format!("{glob:?}"), expected));
                }
            }
            _ => {}
        }
        Ok(resolved)
    }

    /// Whether it matches names without exception.
    pub(crate) fn is_any(&self) -> bool {
        matches!(self, Self::Glob(glob) if glob == "*")
    }

    /// Whether it matches an event name. For a value that is no event name, pass no roles.
    pub(crate) fn matcher(&self) -> Result<NameMatcher, globset::Error> {
        Ok(match self {
            Self::Role(role) => NameMatcher::Role(role.clone()),
            Self::Name(name) | Self::Bare(name) => NameMatcher::Exact(name.clone()),
            Self::Glob(glob) if glob == "*" => NameMatcher::Any,
            Self::Glob(glob) => NameMatcher::Glob(matcher(glob)?),
        })
    }
}

/// A pattern ready to test names.
#[derive(Debug, Clone)]
pub(crate) enum NameMatcher {
    Any,
    Exact(String),
    Glob(GlobMatcher),
    Role(String),
}

impl NameMatcher {
    pub(crate) fn is_match(&self, name: &str, roles: &[&str]) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact == name,
            Self::Glob(glob) => glob.is_match(name),
            Self::Role(role) => roles.contains(&role.as_str()),
        }
    }
}

fn matcher(glob: &str) -> Result<GlobMatcher, globset::Error> {
    let glob: Glob = GlobBuilder::new(glob).literal_separator(false).build()?;
    Ok(glob.compile_matcher())
}

/// A constant in a condition on a property.
#[derive(Debug, Clone, PartialEq)]
pub enum Constant {
    /// A number.
    Number(f64),
    /// Text.
    Text(String),
    /// True or false.
    Flag(bool),
}

/// What a property must hold. A property that is not there fulfils none of these but
/// `Exists(false)`; ordering comparisons hold for numbers only.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// One of these, by type and value.
    AnyOf(Vec<Constant>),
    /// There, but none of these.
    NoneOf(Vec<Constant>),
    /// A number greater than.
    Above(f64),
    /// A number of at least.
    AtLeast(f64),
    /// A number less than.
    Below(f64),
    /// A number of at most.
    AtMost(f64),
    /// There, or not.
    Exists(bool),
}

/// Which events count: all parts must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    /// At least one must match the event's name.
    pub events: Vec<EventPattern>,
    /// The event's kind must be one of these.
    pub kinds: Vec<EventKind>,
    /// Tests on properties by key, all must hold.
    pub conditions: Vec<(String, Test)>,
}

/// Kinds that are something a user did.
const ACTIVITY: [EventKind; 3] = [EventKind::Track, EventKind::Page, EventKind::Screen];

const KINDS: [(&str, EventKind); 6] = [
    ("track", EventKind::Track),
    ("page", EventKind::Page),
    ("screen", EventKind::Screen),
    ("identify", EventKind::Identify),
    ("group", EventKind::Group),
    ("alias", EventKind::Alias),
];

impl Selector {
    /// Events of the kinds track, page and screen whose name one of `events` matches.
    #[must_use]
    pub fn activity(events: Vec<EventPattern>) -> Self {
        Self { events, kinds: ACTIVITY.to_vec(), conditions: Vec::new() }
    }

    /// Every event of every kind.
    #[must_use]
    pub fn everything() -> Self {
        let kinds = KINDS.iter().map(|&(_, kind)| kind).collect();
        Self { events: vec![EventPattern::Glob("*".to_owned())], kinds, conditions: Vec::new() }
    }

    pub(crate) fn is_activity_kind(kind: EventKind) -> bool {
        ACTIVITY.contains(&kind)
    }

    /// Takes `events` or `role`, `kind` and `where`.
    pub(crate) fn take(keys: &mut Keys) -> Result<Self, FeatureError> {
        let events = keys.texts("events")?;
        let role = keys.texts("role")?;
        let mut events: Vec<EventPattern> = match (events, role) {
            (Some(_), Some(_)) => {
                let expected = "either events or role (roles may stand in events as \"role:x\")";
                return Err(keys.bad("role", "given beside events", expected));
            }
            (Some(events), None) => events.iter().map(|text| EventPattern::parse(text)).collect(),
            (None, Some(roles)) => roles.into_iter().map(EventPattern::Role).collect(),
            (None, None) => vec![EventPattern::Glob("*".to_owned())],
        };
        events.sort();
        events.dedup();
        let mut kinds = match keys.texts("kind")? {
            None => ACTIVITY.to_vec(),
            Some(texts) => texts.iter().map(|text| kind(keys, text)).collect::<Result<_, _>>()?,
        };
        kinds.sort();
        kinds.dedup();
        let mut conditions = Vec::new();
        for (property, value) in keys.table("where")?.unwrap_or_default() {
            conditions.extend(tests(keys, &property, value)?);
        }
        conditions.sort_by(|a, b| (&a.0, test_rank(&a.1)).cmp(&(&b.0, test_rank(&b.1))));
        Ok(Self { events, kinds, conditions })
    }

    /// Puts the canonical keys.
    pub(crate) fn put(&self, table: &mut Table) {
        let events = self.events.iter().map(|pattern| Value::String(pattern.text())).collect();
        table.insert("events".to_owned(), Value::Array(events));
        let name = |kind: &EventKind| {
            KINDS.iter().find(|(_, other)| other == kind).map_or("", |(name, _)| name)
        };
        let kinds = self.kinds.iter().map(|kind| Value::String(name(kind).to_owned())).collect();
        table.insert("kind".to_owned(), Value::Array(kinds));
        if self.conditions.is_empty() {
            return;
        }
        let mut conditions = Table::new();
        for (property, test) in &self.conditions {
            let entry = conditions.entry(property.clone());
            if let Value::Table(tests) = entry.or_insert_with(|| Value::Table(Table::new())) {
                let (key, value) = test_entry(test);
                tests.insert(key.to_owned(), value);
            }
        }
        table.insert("where".to_owned(), Value::Table(conditions));
    }

    pub(crate) fn resolve(
        mut self,
        feature: &str,
        roles: &RoleMap,
        log: Option<&LogSummary>,
    ) -> Result<Self, FeatureError> {
        self.events = self
            .events
            .into_iter()
            .map(|pattern| pattern.resolve(feature, "events", roles, log))
            .collect::<Result<_, _>>()?;
        self.events.sort();
        self.events.dedup();
        for (property, _) in &self.conditions {
            check_property(feature, "where", property, log)?;
        }
        Ok(self)
    }
}

/// Fails if the log is given and no event of it has the property.
pub(crate) fn check_property(
    feature: &str,
    key: &str,
    property: &str,
    log: Option<&LogSummary>,
) -> Result<(), FeatureError> {
    match log {
        Some(log) if !property.starts_with('$') && !log.has_property(property) => {
            Err(Keys::new(feature, Table::new()).unknown(key, property, log.property_names()))
        }
        _ => Ok(()),
    }
}

fn kind(keys: &Keys, text: &str) -> Result<EventKind, FeatureError> {
    let found = KINDS.iter().find(|(name, _)| *name == text);
    found
        .map(|&(_, kind)| kind)
        .ok_or_else(|| keys.unknown("kind", text, KINDS.iter().map(|(name, _)| *name)))
}

const TESTS: [&str; 7] = ["above", "any_of", "at_least", "at_most", "below", "exists", "none_of"];

fn test_rank(test: &Test) -> &'static str {
    match test {
        Test::AnyOf(_) => "any_of",
        Test::NoneOf(_) => "none_of",
        Test::Above(_) => "above",
        Test::AtLeast(_) => "at_least",
        Test::Below(_) => "below",
        Test::AtMost(_) => "at_most",
        Test::Exists(_) => "exists",
    }
}

fn test_entry(test: &Test) -> (&'static str, Value) {
    let list = |constants: &[Constant]| {
        let value = |constant: &Constant| match constant {
            Constant::Number(number) => Value::Float(*number),
            Constant::Text(text) => Value::String(text.clone()),
            Constant::Flag(flag) => Value::Boolean(*flag),
        };
        Value::Array(constants.iter().map(value).collect())
    };
    let value = match test {
        Test::AnyOf(constants) | Test::NoneOf(constants) => list(constants),
        Test::Above(x) | Test::AtLeast(x) | Test::Below(x) | Test::AtMost(x) => Value::Float(*x),
        Test::Exists(exists) => Value::Boolean(*exists),
    };
    (test_rank(test), value)
}

/// `plan = "pro"`, `plan = ["pro", "team"]` or `amount = { at_least = 10 }`.
fn tests(keys: &Keys, property: &str, value: Value) -> Result<Vec<(String, Test)>, FeatureError> {
    let table = match value {
        Value::Table(table) => table,
        value => {
            let test = Test::AnyOf(constants(keys, value)?);
            return Ok(vec![(property.to_owned(), test)]);
        }
    };
    let mut found = Vec::new();
    for (name, value) in table {
        let number = |value: &Value| match value {
            Value::Integer(number) => Ok(*number as f64),
            Value::Float(number) if number.is_finite() => Ok(*number),
            other => Err(keys.bad("where", shown(other), format!("a number for {name:?}"))),
        };
        let test = match name.as_str() {
            "any_of" => Test::AnyOf(constants(keys, value)?),
            "none_of" => Test::NoneOf(constants(keys, value)?),
            "above" => Test::Above(number(&value)?),
            "at_least" => Test::AtLeast(number(&value)?),
            "below" => Test::Below(number(&value)?),
            "at_most" => Test::AtMost(number(&value)?),
            "exists" => match value {
                Value::Boolean(exists) => Test::Exists(exists),
                other => return Err(keys.bad("where", shown(&other), "true or false for exists")),
            },
            other => return Err(keys.unknown("where", other, TESTS)),
        };
        found.push((property.to_owned(), test));
    }
    Ok(found)
}

fn constants(keys: &Keys, value: Value) -> Result<Vec<Constant>, FeatureError> {
    let values = if let Value::Array(values) = value { values } else { vec![value] };
    let constant = |value: Value| match value {
        Value::String(text) => Ok(Constant::Text(text)),
        Value::Boolean(flag) => Ok(Constant::Flag(flag)),
        Value::Integer(number) => Ok(Constant::Number(number as f64)),
        Value::Float(number) if number.is_finite() => Ok(Constant::Number(number)),
        other => Err(keys.bad("where", shown(&other), "a text, a number, true or false")),
    };
    let mut constants = values.into_iter().map(constant).collect::<Result<Vec<_>, _>>()?;
    constants.sort_by_key(|constant| format!("{constant:?}"));
    constants.dedup();
    if constants.is_empty() {
        return Err(keys.bad("where", "an empty list", "at least one value"));
    }
    Ok(constants)
}
