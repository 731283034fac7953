//! One feature as a table of a TOML file: reading it with every default filled in, and writing it
//! back in canonical form.

use segue_events::RoleMap;
use toml::{Table, Value};

use crate::error::FeatureError;
use crate::keys::Keys;
use crate::operator::{
    Aggregate, CalendarPart, EVENT_NAME, FunnelStatistic, Measure, OPERATOR_NAMES, Operator,
    SessionStatistic,
};
use crate::phrases;
use crate::selector::{EventPattern, Selector, check_property};
use crate::summary::LogSummary;
use crate::window::{DAY_US, MINUTE_US, SECOND_US, WINDOW_RANGE_US, Window, format_duration};

/// How a column of values that may be of any type reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueKind {
    /// Numbers only in what was learned from: number; else category.
    Learned,
    /// A number; text is missing.
    Number,
    /// A category; numbers and flags count by their text.
    Category {
        /// Most categories to keep when the vocabulary is learned.
        max_categories: usize,
        /// The frozen categories in code order, `None` before learning.
        vocabulary: Option<Vec<String>>,
    },
}

/// Most categories kept if nothing else is said.
pub(crate) const MAX_CATEGORIES: usize = 50;
const GAP_RANGE_US: (i64, i64) = (SECOND_US, 90 * DAY_US);
const OFFSET_RANGE_US: (i64, i64) = (5 * MINUTE_US, 365 * DAY_US);
const TTL_RANGE_US: (i64, i64) = (5 * MINUTE_US, 3650 * DAY_US);

/// One checked feature.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureSpec {
    /// Unique in a set.
    pub name: String,
    /// What it measures.
    pub measure: Measure,
    /// How its value reads; numbers for most operators.
    pub value: ValueKind,
}

impl FeatureSpec {
    /// Reads one `[[features.feature]]`. `place` names it in errors while it has no name.
    ///
    /// # Errors
    /// [`FeatureError`] for unknown or missing keys, keys of other operators, and values out of
    /// range.
    pub fn from_table(place: &str, table: Table) -> Result<Self, FeatureError> {
        let named = table.get("name").and_then(Value::as_str).unwrap_or(place).to_owned();
        let mut keys = Keys::new(named, table);
        let name = keys.text("name")?;
        let Some(op) = keys.text("op")? else {
            return Err(keys.missing("op", format!("one of {}", OPERATOR_NAMES.join(", "))));
        };
        let measure = take_measure(&mut keys, &op)?;
        let value = if measure.yields_value() {
            take_value(&mut keys, matches!(measure, Measure::Request { .. }))?
        } else {
            ValueKind::Number
        };
        keys.finish(&op)?;
        let name = name.unwrap_or_else(|| phrases::name(&measure));
        Ok(Self { name, measure, value })
    }

    /// The canonical table: every default explicit, keys sorted.
    #[must_use]
    pub fn to_table(&self) -> Table {
        let mut table = Table::new();
        put_measure(&self.measure, &mut table);
        table.insert("name".to_owned(), Value::String(self.name.clone()));
        if self.measure.yields_value() {
            put_value(&self.value, &mut table);
        }
        sorted(table)
    }

    /// Decides bare event patterns and checks roles, and, if the log is given, that events and
    /// properties exist.
    pub(crate) fn resolve(
        mut self,
        roles: &RoleMap,
        log: Option<&LogSummary>,
    ) -> Result<Self, FeatureError> {
        let name = self.name.clone();
        if let Measure::Trait { key, .. } = &self.measure {
            check_property(&name, "key", &format!("traits.{key}"), log)?;
        }
        for aggregate in self.measure.aggregates_mut() {
            aggregate.events = aggregate.events.clone().resolve(&name, roles, log)?;
            if let Some(property) = aggregate.operator.property() {
                check_property(&name, "property", property, log)?;
            }
            match &mut aggregate.operator {
                Operator::Ngram { steps, .. } => resolve_steps(steps, &name, roles, log)?,
                Operator::Funnel { steps, property, .. } if property == EVENT_NAME => {
                    resolve_steps(steps, &name, roles, log)?;
                }
                Operator::Funnel { steps, .. } => {
                    resolve_steps(steps, &name, &RoleMap::default(), None)?;
                }
                _ => {}
            }
        }
        Ok(self)
    }
}

fn resolve_steps(
    steps: &mut [EventPattern],
    name: &str,
    roles: &RoleMap,
    log: Option<&LogSummary>,
) -> Result<(), FeatureError> {
    for step in steps {
        *step = step.clone().resolve(name, "steps", roles, log)?;
    }
    Ok(())
}

fn take_measure(keys: &mut Keys, op: &str) -> Result<Measure, FeatureError> {
    if let Some(&(_, part)) = CalendarPart::ALL.iter().find(|(name, _)| *name == op) {
        return Ok(Measure::Calendar { part, time_zone: take_zone(keys)? });
    }
    Ok(match op {
        "history_days" => Measure::HistoryDays,
        "trait" => {
            let key = required(keys, "key", "the name of a trait")?;
            let ttl_us = match keys.text("ttl")? {
                Some(text) if text != "forever" => {
                    Some(keys.checked_duration("ttl", &text, TTL_RANGE_US)?)
                }
                _ => None,
            };
            Measure::Trait { key, ttl_us }
        }
        "request" => {
            let field = required(keys, "field", "the name of a request field")?;
            Measure::Request { field, required: keys.flag("required")?.unwrap_or(false) }
        }
        "ratio" => {
            let numerator = take_inner(keys, "numerator")?;
            Measure::Ratio { numerator, denominator: take_inner(keys, "denominator")? }
        }
        "delta" => take_delta(keys)?,
        op => Measure::Aggregate(take_aggregate(keys, op)?),
    })
}

/// The aggregate in an inner table, which must yield a number.
fn take_inner(keys: &mut Keys, key: &'static str) -> Result<Aggregate, FeatureError> {
    let expected = "a table such as { op = \"count\", events = \"*\", window = \"7d\" }";
    let Some(table) = keys.table(key)? else { return Err(keys.missing(key, expected)) };
    let mut inner = Keys::new(format!("{}.{key}", keys.feature), table);
    let Some(op) = inner.text("op")? else {
        return Err(inner.missing("op", "an operator such as count"));
    };
    let aggregate = take_aggregate(&mut inner, &op)?;
    if aggregate.operator.yields_value() {
        return Err(inner.bad("op", format!("{op:?}"), "an operator that yields a number"));
    }
    inner.finish(&op)?;
    Ok(aggregate)
}

fn take_delta(keys: &mut Keys) -> Result<Measure, FeatureError> {
    let aggregate = take_inner(keys, "of")?;
    match aggregate.window {
        Window::Span { .. } => Ok(Measure::Delta(aggregate)),
        other => {
            let expected = "a duration, for only that has a window before it (nearest: \"90d\")";
            Err(keys.bad("of.window", format!("{:?}", other.suffix()), expected))
        }
    }
}

fn take_aggregate(keys: &mut Keys, op: &str) -> Result<Aggregate, FeatureError> {
    let operator = take_operator(keys, op)?;
    let events = Selector::take(keys)?;
    let window = take_window(keys)?;
    if matches!(operator, Operator::Trend { .. }) && !matches!(window, Window::Span { .. }) {
        let expected = "a duration, which can be cut into bins (nearest: \"90d\")";
        return Err(keys.bad("window", format!("{:?}", window.suffix()), expected));
    }
    Ok(Aggregate { operator, events, window })
}

pub(crate) fn take_operator(keys: &mut Keys, op: &str) -> Result<Operator, FeatureError> {
    use Operator as Op;
    Ok(match op {
        "sessions" => take_sessions(keys, SessionStatistic::Count)?,
        "session_mean_length" => take_sessions(keys, SessionStatistic::MeanLength)?,
        "session_bounce_rate" => take_sessions(keys, SessionStatistic::BounceRate)?,
        "session_last_length" => take_sessions(keys, SessionStatistic::LastLength)?,
        "session_open" => take_sessions(keys, SessionStatistic::Open)?,
        "count" => Op::Count,
        "sum" => Op::Sum(take_property(keys)?),
        "mean" => Op::Mean(take_property(keys)?),
        "min" => Op::Min(take_property(keys)?),
        "max" => Op::Max(take_property(keys)?),
        "std" => Op::Std(take_property(keys)?),
        "first" => Op::First(take_property(keys)?),
        "last" => Op::Last(take_property(keys)?),
        "distinct" => Op::Distinct(take_name_or_property(keys)?),
        "entropy" => Op::Entropy(take_name_or_property(keys)?),
        "top" => Op::Top(take_name_or_property(keys)?),
        "last_k" => {
            let k = keys.count("k", (1, 64))?;
            let k = k.ok_or_else(|| keys.missing("k", "a whole number from 1 to 64"))?;
            Op::LastK { property: take_name_or_property(keys)?, k }
        }
        "percentile" => {
            let property = take_property(keys)?;
            Op::Percentile { property, percentile: take_percentile(keys)? }
        }
        "time_since_first" => Op::TimeSinceFirst,
        "time_since_last" => Op::TimeSinceLast,
        "gap_mean" => Op::GapMean,
        "gap_max" => Op::GapMax,
        "gap_cv" => Op::GapCv,
        "active_days" => Op::ActiveDays { time_zone: take_zone(keys)? },
        "streak_days" => Op::StreakDays { time_zone: take_zone(keys)? },
        "ngram" | "transition" => take_ngram(keys, op)?,
        "trend" => {
            let property = keys.text("property")?;
            Op::Trend { property, bins: keys.count("bins", (2, 64))?.unwrap_or(4) }
        }
        "funnel_step" => take_funnel(keys, FunnelStatistic::Step)?,
        "funnel_time_in_step" => take_funnel(keys, FunnelStatistic::TimeInStep)?,
        "funnel_retries" => take_funnel(keys, FunnelStatistic::Retries)?,
        other => return Err(keys.unknown("op", other, OPERATOR_NAMES)),
    })
}

fn take_sessions(keys: &mut Keys, statistic: SessionStatistic) -> Result<Operator, FeatureError> {
    Ok(Operator::Sessions { statistic, timeout_us: keys.session_timeout()? })
}

fn take_percentile(keys: &mut Keys) -> Result<f64, FeatureError> {
    let Some(percentile) = keys.number("percentile")? else {
        return Err(keys.missing("percentile", "a number above 0, at most 100"));
    };
    if percentile > 0.0 && percentile <= 100.0 {
        return Ok(percentile);
    }
    let nearest = if percentile > 100.0 { "100" } else { "1" };
    let expected = format!("a number above 0, at most 100 (nearest: {nearest})");
    Err(keys.bad("percentile", percentile.to_string(), expected))
}

fn take_ngram(keys: &mut Keys, op: &str) -> Result<Operator, FeatureError> {
    let steps = if op == "transition" {
        let from = required(keys, "from", "the event that comes first")?;
        vec![from, required(keys, "to", "the event that comes next")?]
    } else {
        keys.texts("steps")?.ok_or_else(|| keys.missing("steps", "2 to 16 events in order"))?
    };
    if !(2..=16).contains(&steps.len()) {
        let nearest = if steps.len() < 2 { 2 } else { 16 };
        let expected = format!("2 to 16 events in order (nearest: {nearest})");
        return Err(keys.bad("steps", format!("{} long", steps.len()), expected));
    }
    let timeout_us = keys.session_timeout()?;
    let max_gap_us = keys.duration("max_gap", GAP_RANGE_US)?.unwrap_or(timeout_us);
    let steps = steps.iter().map(|text| EventPattern::parse(text)).collect();
    Ok(Operator::Ngram { steps, max_gap_us, timeout_us })
}

fn take_funnel(keys: &mut Keys, statistic: FunnelStatistic) -> Result<Operator, FeatureError> {
    let property = take_name_or_property(keys)?;
    let Some(steps) = keys.texts("steps")? else {
        return Err(keys.missing("steps", "the steps in order"));
    };
    if steps.len() > 64 {
        let found = format!("{} long", steps.len());
        return Err(keys.bad("steps", found, "at most 64 steps (nearest: 64)"));
    }
    let steps: Vec<EventPattern> = steps.iter().map(|text| EventPattern::parse(text)).collect();
    let role = steps.iter().find(|step| matches!(step, EventPattern::Role(_)));
    match role {
        Some(role) if property != EVENT_NAME => {
            let expected = "values of the property; roles are of event names";
            Err(keys.bad("steps", format!("{:?}", role.text()), expected))
        }
        _ => Ok(Operator::Funnel { statistic, property, steps }),
    }
}

fn take_window(keys: &mut Keys) -> Result<Window, FeatureError> {
    let Some(text) = keys.text("window")? else {
        let expected = "a duration such as 7d, \"lifetime\" or \"session\"";
        return Err(keys.missing("window", expected));
    };
    match text.as_str() {
        "lifetime" => Ok(Window::Lifetime),
        "session" => Ok(Window::Session { timeout_us: keys.session_timeout()? }),
        text => {
            let length_us = keys.checked_duration("window", text, WINDOW_RANGE_US).map_err(
                |error| match error {
                    FeatureError::BadValue { feature, key, found, expected } => {
                        let expected = format!("{expected}, \"lifetime\" or \"session\"");
                        FeatureError::BadValue { feature, key, found, expected }
                    }
                    other => other,
                },
            )?;
            let offset_us = keys.duration("offset", OFFSET_RANGE_US)?.unwrap_or(0);
            Ok(Window::Span { length_us, offset_us })
        }
    }
}

fn take_property(keys: &mut Keys) -> Result<String, FeatureError> {
    required(keys, "property", "the property to look at")
}

fn take_name_or_property(keys: &mut Keys) -> Result<String, FeatureError> {
    Ok(keys.text("property")?.unwrap_or_else(|| EVENT_NAME.to_owned()))
}

fn required(keys: &mut Keys, key: &'static str, expected: &str) -> Result<String, FeatureError> {
    keys.text(key)?.ok_or_else(|| keys.missing(key, expected))
}

fn take_zone(keys: &mut Keys) -> Result<String, FeatureError> {
    let name = keys.text("time_zone")?.unwrap_or_else(|| "UTC".to_owned());
    if jiff::tz::TimeZone::get(&name).is_err() {
        let names = jiff::tz::db().available().map(|name| name.to_string()).collect::<Vec<_>>();
        return Err(keys.unknown("time_zone", &name, names.iter().map(String::as_str)));
    }
    Ok(name)
}

fn take_value(keys: &mut Keys, is_request: bool) -> Result<ValueKind, FeatureError> {
    let vocabulary = keys.vocabulary()?;
    let max_categories = keys.count("vocabulary_size", (2, 65_535))?.unwrap_or(MAX_CATEGORIES);
    match (keys.text("value")?.as_deref(), vocabulary) {
        (None, None) if is_request => {
            Err(keys.missing("value", "\"number\", or \"category\" with a vocabulary"))
        }
        (Some("category"), None) if is_request => {
            Err(keys
                .missing("vocabulary", "the categories, for a log has no requests to learn from"))
        }
        (None | Some("category"), Some(vocabulary)) => {
            Ok(ValueKind::Category { max_categories, vocabulary: Some(vocabulary) })
        }
        (None | Some("learned"), None) => Ok(ValueKind::Learned),
        (Some("category"), None) => Ok(ValueKind::Category { max_categories, vocabulary: None }),
        (Some("number"), None) => Ok(ValueKind::Number),
        (Some("number" | "learned"), Some(_)) => {
            Err(keys.bad("vocabulary", "given", "no vocabulary, for the value is no category"))
        }
        (Some(other), _) => Err(keys.unknown("value", other, ["category", "learned", "number"])),
    }
}

fn put_measure(measure: &Measure, table: &mut Table) {
    put_text(table, "op", measure.name());
    match measure {
        Measure::Aggregate(aggregate) => put_aggregate(aggregate, table),
        Measure::Delta(aggregate) => put_inner(table, "of", aggregate),
        Measure::Ratio { numerator, denominator } => {
            put_inner(table, "numerator", numerator);
            put_inner(table, "denominator", denominator);
        }
        Measure::Trait { key, ttl_us } => {
            put_text(table, "key", key);
            let ttl = ttl_us.map_or_else(|| "forever".to_owned(), format_duration);
            put_text(table, "ttl", &ttl);
        }
        Measure::Request { field, required } => {
            put_text(table, "field", field);
            table.insert("required".to_owned(), Value::Boolean(*required));
        }
        Measure::Calendar { time_zone, .. } => put_text(table, "time_zone", time_zone),
        Measure::HistoryDays => {}
    }
}

fn put_inner(table: &mut Table, key: &str, aggregate: &Aggregate) {
    let mut inner = Table::new();
    put_text(&mut inner, "op", aggregate.operator.name());
    put_aggregate(aggregate, &mut inner);
    table.insert(key.to_owned(), Value::Table(sorted(inner)));
}

fn put_aggregate(aggregate: &Aggregate, table: &mut Table) {
    aggregate.events.put(table);
    match aggregate.window {
        Window::Span { length_us, offset_us } => {
            put_text(table, "window", &format_duration(length_us));
            if offset_us > 0 {
                put_text(table, "offset", &format_duration(offset_us));
            }
        }
        Window::Lifetime => put_text(table, "window", "lifetime"),
        Window::Session { timeout_us } => {
            put_text(table, "window", "session");
            put_text(table, "session_timeout", &format_duration(timeout_us));
        }
    }
    if let Some(property) = aggregate.operator.property() {
        put_text(table, "property", property);
    }
    match &aggregate.operator {
        Operator::LastK { k, .. } => put_count(table, "k", *k),
        Operator::Percentile { percentile, .. } => {
            table.insert("percentile".to_owned(), Value::Float(*percentile));
        }
        Operator::ActiveDays { time_zone } | Operator::StreakDays { time_zone } => {
            put_text(table, "time_zone", time_zone);
        }
        Operator::Sessions { timeout_us, .. } => {
            put_text(table, "session_timeout", &format_duration(*timeout_us));
        }
        Operator::Ngram { steps, max_gap_us, timeout_us } => {
            put_steps(table, steps);
            put_text(table, "max_gap", &format_duration(*max_gap_us));
            put_text(table, "session_timeout", &format_duration(*timeout_us));
        }
        Operator::Trend { bins, .. } => put_count(table, "bins", *bins),
        Operator::Funnel { steps, .. } => put_steps(table, steps),
        _ => {}
    }
}

fn put_text(table: &mut Table, key: &str, text: &str) {
    table.insert(key.to_owned(), Value::String(text.to_owned()));
}

fn put_count(table: &mut Table, key: &str, count: usize) {
    table.insert(key.to_owned(), Value::Integer(count as i64));
}

fn put_steps(table: &mut Table, steps: &[EventPattern]) {
    let steps = steps.iter().map(|step| Value::String(step.text())).collect();
    table.insert("steps".to_owned(), Value::Array(steps));
}

fn put_value(value: &ValueKind, table: &mut Table) {
    match value {
        ValueKind::Learned => put_text(table, "value", "learned"),
        ValueKind::Number => put_text(table, "value", "number"),
        ValueKind::Category { max_categories, vocabulary } => {
            put_text(table, "value", "category");
            put_count(table, "vocabulary_size", *max_categories);
            if let Some(vocabulary) = vocabulary {
                let texts = vocabulary.iter().map(|text| Value::String(text.clone())).collect();
                table.insert("vocabulary".to_owned(), Value::Array(texts));
            }
        }
    }
}

/// The table with its keys in order, whether or not the `toml` crate keeps insertion order.
fn sorted(table: Table) -> Table {
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries.into_iter().collect()
}
