//! Features in words: names for columns and phrases for people.

use crate::operator::{
    Aggregate, CalendarPart, EVENT_NAME, FunnelStatistic, Measure, Operator, SessionStatistic,
};
use crate::selector::{Constant, EventPattern, Selector, Test};
use crate::window::Window;

/// A column name made of the parts: `help_visit_count_7d`.
pub(crate) fn name(measure: &Measure) -> String {
    match measure {
        Measure::Aggregate(aggregate) => aggregate_name(aggregate),
        Measure::Delta(aggregate) => format!("{}_delta", aggregate_name(aggregate)),
        Measure::Ratio { numerator, denominator } => {
            format!("{}_per_{}", aggregate_name(numerator), aggregate_name(denominator))
        }
        Measure::Trait { key, .. } => format!("trait_{}", slug(key)),
        Measure::Request { field, .. } => format!("request_{}", slug(field)),
        Measure::Calendar { part, .. } => part.name().to_owned(),
        Measure::HistoryDays => "history_days".to_owned(),
    }
}

fn aggregate_name(aggregate: &Aggregate) -> String {
    let mut parts = Vec::new();
    match &aggregate.operator {
        Operator::Ngram { steps, .. } => parts.push(slugs(steps, "_to_")),
        _ if aggregate.events.events.iter().any(EventPattern::is_any) => {}
        _ => parts.push(slugs(&aggregate.events.events, "_or_")),
    }
    parts.extend(aggregate.events.conditions.iter().map(|(property, test)| {
        let held = match test {
            Test::AnyOf(constants) => {
                constants.iter().map(constant_text).collect::<Vec<_>>().join("_or_")
            }
            Test::NoneOf(constants) => {
                format!(
                    "not_{}",
                    constants.iter().map(constant_text).collect::<Vec<_>>().join("_or_")
                )
            }
            Test::Above(x) => format!("above_{x}"),
            Test::AtLeast(x) => format!("at_least_{x}"),
            Test::Below(x) => format!("below_{x}"),
            Test::AtMost(x) => format!("at_most_{x}"),
            Test::Exists(true) => "given".to_owned(),
            Test::Exists(false) => "absent".to_owned(),
        };
        slug(&format!("{property}_{held}"))
    }));
    if let Some(property) = aggregate.operator.property().filter(|&key| key != EVENT_NAME) {
        parts.push(slug(property));
    } else if aggregate.operator.property().is_some() && parts.is_empty() {
        parts.push("event".to_owned());
    }
    match &aggregate.operator {
        Operator::Ngram { .. } => {}
        Operator::Count if parts.is_empty() => parts.push("event_count".to_owned()),
        Operator::LastK { k, .. } => parts.push(format!("last_{k}")),
        Operator::Percentile { percentile, .. } => parts.push(slug(&format!("p{percentile}"))),
        operator => parts.push(operator.name().to_owned()),
    }
    parts.push(aggregate.window.suffix());
    parts.join("_")
}

fn slugs(patterns: &[EventPattern], joined: &str) -> String {
    patterns.iter().map(|pattern| slug(pattern.bare_text())).collect::<Vec<_>>().join(joined)
}

/// Lower-case letters and digits of any script, everything else one underscore.
fn slug(text: &str) -> String {
    let mut slug = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_alphanumeric() {
            slug.extend(letter.to_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('_') {
            slug.push('_');
        }
    }
    let slug = slug.trim_end_matches('_');
    if slug.is_empty() { "any".to_owned() } else { slug.to_owned() }
}

/// The feature as a noun phrase, without its window: `help visits`.
pub(crate) fn behaviour(measure: &Measure) -> String {
    match measure {
        Measure::Aggregate(aggregate) => aggregate_words(aggregate),
        Measure::Delta(aggregate) => format!("change in {}", aggregate_words(aggregate)),
        Measure::Ratio { numerator, denominator } => {
            format!("{} per {}", aggregate_words(numerator), aggregate_words(denominator))
        }
        Measure::Trait { key, .. } => spaced(key),
        Measure::Request { field, .. } => format!("{} of the request", spaced(field)),
        Measure::Calendar { part, .. } => match part {
            CalendarPart::Hour => "hour of the day",
            CalendarPart::DayOfWeek => "day of the week",
            CalendarPart::DayOfMonth => "day of the month",
            CalendarPart::Month => "month of the year",
            CalendarPart::IsWeekend => "being on a weekend",
        }
        .to_owned(),
        Measure::HistoryDays => "days since first seen".to_owned(),
    }
}

/// The feature as a noun phrase with its window: `help visits in the last 7 days`.
pub(crate) fn words(measure: &Measure) -> String {
    let with_window = |aggregate: &Aggregate| {
        let words = aggregate_words(aggregate);
        match (&aggregate.operator, aggregate.window) {
            // "time since the last help visit so far" says no more than without the end.
            (Operator::TimeSinceFirst | Operator::TimeSinceLast, Window::Lifetime) => words,
            _ => format!("{words} {}", aggregate.window.words()),
        }
    };
    match measure {
        Measure::Aggregate(aggregate) => with_window(aggregate),
        Measure::Delta(aggregate) => {
            let length = match aggregate.window {
                Window::Span { length_us, .. } => Window::last(length_us).words(),
                window => window.words(),
            };
            let span = length.trim_start_matches("in the last ");
            format!("change in {} against the {span} before", with_window(aggregate))
        }
        Measure::Ratio { numerator, denominator } if numerator.window == denominator.window => {
            format!("{} {}", behaviour(measure), numerator.window.words())
        }
        Measure::Ratio { numerator, denominator } => {
            format!("{} per {}", with_window(numerator), with_window(denominator))
        }
        Measure::Trait { ttl_us: Some(ttl_us), .. } => {
            format!("{}, if set {}", behaviour(measure), Window::last(*ttl_us).words())
        }
        other => behaviour(other),
    }
}

fn aggregate_words(aggregate: &Aggregate) -> String {
    let events = &aggregate.events;
    let many = many(events);
    let one = one(events);
    let of = |what: &str, property: &str| match property {
        EVENT_NAME => format!("{what} event among {many}"),
        property if is_any(events) => format!("{what} {}", spaced(property)),
        property => format!("{what} {} of {many}", spaced(property)),
    };
    match &aggregate.operator {
        Operator::Count => many,
        Operator::Sum(property) => of("total", property),
        Operator::Mean(property) => of("average", property),
        Operator::Min(property) => of("lowest", property),
        Operator::Max(property) => of("highest", property),
        Operator::Std(property) => of("spread of", property),
        Operator::First(property) => of("first", property),
        Operator::Last(property) => of("latest", property),
        Operator::LastK { property, k: 1 } => of("latest", property),
        Operator::LastK { property, k } => of(&format!("{} latest", ordinal(*k)), property),
        Operator::Distinct(property) if property == EVENT_NAME => {
            format!("different kinds of {many}")
        }
        Operator::Distinct(property) => of("number of different values of", property),
        Operator::Entropy(property) if property == EVENT_NAME => format!("variety of {many}"),
        Operator::Entropy(property) => of("variety of", property),
        Operator::Top(property) => of("most frequent", property),
        Operator::Percentile { property, percentile: 50.0 } => of("median", property),
        Operator::Percentile { property, percentile } => {
            of(&format!("{percentile}th percentile of"), property)
        }
        Operator::TimeSinceFirst => format!("time since the first {one}"),
        Operator::TimeSinceLast => format!("time since the last {one}"),
        Operator::GapMean => format!("average time between {many}"),
        Operator::GapMax => format!("longest time between {many}"),
        Operator::GapCv => format!("irregularity of {many}"),
        Operator::ActiveDays { .. } => days(events, "active days", "days with"),
        Operator::StreakDays { .. } => days(events, "active days in a row", "days in a row with"),
        Operator::Sessions { statistic, .. } => session_words(*statistic, events),
        Operator::Ngram { steps, .. } => {
            steps.iter().map(step_words).collect::<Vec<_>>().join(" then ")
        }
        Operator::Trend { property: None, .. } => format!("trend of {many}"),
        Operator::Trend { property: Some(property), .. } => of("trend of", property),
        Operator::Funnel { statistic, .. } => match statistic {
            FunnelStatistic::Step => "furthest step reached".to_owned(),
            FunnelStatistic::TimeInStep => "time since the furthest step was reached".to_owned(),
            FunnelStatistic::Retries => "repeats of the furthest step".to_owned(),
        },
    }
}

fn days(events: &Selector, any: &str, some: &str) -> String {
    if is_any(events) { any.to_owned() } else { format!("{some} {}", many(events)) }
}

fn session_words(statistic: SessionStatistic, events: &Selector) -> String {
    let with = if is_any(events) { String::new() } else { format!(" with {}", many(events)) };
    match statistic {
        SessionStatistic::Count => format!("sessions{with}"),
        SessionStatistic::MeanLength => format!("average length of sessions{with}"),
        SessionStatistic::BounceRate => format!("share of sessions{with} of one event only"),
        SessionStatistic::LastLength => format!("length of the latest session{with}"),
        SessionStatistic::Open => format!("being in a session{with} now"),
    }
}

fn is_any(events: &Selector) -> bool {
    events.conditions.is_empty() && events.events.iter().any(EventPattern::is_any)
}

/// `help visits`, `Order Completed events`, `events`, with conditions after it.
fn many(events: &Selector) -> String {
    selected(events, "s", true)
}

/// `help visit`, `Order Completed event`, `event`.
fn one(events: &Selector) -> String {
    selected(events, "", false)
}

fn selected(events: &Selector, plural_s: &str, plural: bool) -> String {
    let noun = |pattern: &EventPattern| match pattern {
        EventPattern::Role(role) => {
            let role = role_words(role);
            if plural { pluralised(&role) } else { role }
        }
        pattern if pattern.is_any() => format!("event{plural_s}"),
        EventPattern::Name(name) | EventPattern::Glob(name) | EventPattern::Bare(name) => {
            format!("\"{name}\" event{plural_s}")
        }
    };
    let nouns = match events.events.iter().find(|pattern| pattern.is_any()) {
        Some(any) => noun(any),
        None => events.events.iter().map(noun).collect::<Vec<_>>().join(" or "),
    };
    let conditions = events.conditions.iter().map(condition_words).collect::<Vec<_>>();
    if conditions.is_empty() { nouns } else { format!("{nouns} {}", conditions.join(" and ")) }
}

fn step_words(pattern: &EventPattern) -> String {
    match pattern {
        EventPattern::Role(role) => role_words(role),
        pattern if pattern.is_any() => "any event".to_owned(),
        pattern => format!("\"{}\"", pattern.bare_text()),
    }
}

fn condition_words((property, test): &(String, Test)) -> String {
    let property = spaced(property);
    let list = |constants: &[Constant]| {
        constants.iter().map(constant_text).collect::<Vec<_>>().join(" or ")
    };
    match test {
        Test::AnyOf(constants) => format!("with {property} {}", list(constants)),
        Test::NoneOf(constants) => format!("with {property} other than {}", list(constants)),
        Test::Above(x) => format!("with {property} above {x}"),
        Test::AtLeast(x) => format!("with {property} of at least {x}"),
        Test::Below(x) => format!("with {property} below {x}"),
        Test::AtMost(x) => format!("with {property} of at most {x}"),
        Test::Exists(true) => format!("with {property}"),
        Test::Exists(false) => format!("without {property}"),
    }
}

fn constant_text(constant: &Constant) -> String {
    match constant {
        Constant::Number(number) => number.to_string(),
        Constant::Text(text) => text.clone(),
        Constant::Flag(flag) => flag.to_string(),
    }
}

/// `help_visit` to `help visit`; verbs that roles are named by become nouns.
fn role_words(role: &str) -> String {
    match role {
        "cancel" => "cancellation".to_owned(),
        "error" => "error".to_owned(),
        role => spaced(role),
    }
}

/// `traits.plan_name` to `plan name`.
fn spaced(key: &str) -> String {
    let key = key.strip_prefix("traits.").unwrap_or(key);
    key.replace(['_', '.', '-'], " ").trim().to_owned()
}

fn pluralised(noun: &str) -> String {
    let sibilant = ["s", "x", "z", "ch", "sh"].iter().any(|end| noun.ends_with(end));
    match noun.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{stem}ies"),
        _ if sibilant => format!("{noun}es"),
        _ => format!("{noun}s"),
    }
}

fn ordinal(k: usize) -> String {
    let end = match (k % 10, k % 100) {
        (1, rest) if rest != 11 => "st",
        (2, rest) if rest != 12 => "nd",
        (3, rest) if rest != 13 => "rd",
        _ => "th",
    };
    format!("{k}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nouns_have_plurals() {
        assert_eq!(pluralised("help visit"), "help visits");
        assert_eq!(pluralised("entry"), "entries");
        assert_eq!(pluralised("survey"), "surveys");
        assert_eq!(pluralised("purchase"), "purchases");
        assert_eq!(pluralised("crash"), "crashes");
        assert_eq!(ordinal(2), "2nd");
        assert_eq!(ordinal(12), "12th");
    }
}
