//! The definitions, one feature at a time, nothing shared: what the evaluator must equal.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use segue_events::{EventKind, History, Scalar, Symbols};
use segue_features::{
    Aggregate, CalendarPart, Constant, EventPattern, FunnelStatistic, Measure, Operator, Selector,
    SessionStatistic, Test, Visibility, Window,
};

const DAY_US: i64 = 86_400_000_000;

/// A property value that owns its text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Held {
    Number(f64),
    Text(String),
    Flag(bool),
}

/// A feature's value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Naive {
    Number(Option<f64>),
    Held(Option<Held>),
}

/// One event with its texts spelled out.
#[derive(Debug, Clone)]
pub(crate) struct Plain {
    pub(crate) at: i64,
    pub(crate) known: i64,
    pub(crate) kind: EventKind,
    pub(crate) name: String,
    pub(crate) session: String,
    pub(crate) properties: BTreeMap<String, Held>,
}

/// Roles as the tests define them.
pub(crate) fn role_holds(role: &str, name: &str) -> bool {
    match role {
        "help_visit" => name.starts_with("help"),
        "onboarding_step" => name.starts_with("step "),
        _ => false,
    }
}

pub(crate) fn plain(history: &History, symbols: &Symbols) -> Vec<Plain> {
    let text = |symbol| symbols.text(symbol).to_owned();
    let held = |value| match value {
        Scalar::Number(number) => Held::Number(number),
        Scalar::Text(symbol) => Held::Text(text(symbol)),
        Scalar::Flag(flag) => Held::Flag(flag),
    };
    (0..history.len())
        .map(|event| Plain {
            at: history.event_ts()[event],
            known: history.known_ts()[event],
            kind: history.kind(event),
            name: text(history.name()[event]),
            session: text(history.session(event)),
            properties: history
                .properties(event)
                .iter()
                .map(|&(key, value)| (text(key), held(value)))
                .collect(),
        })
        .collect()
}

pub(crate) fn value(measure: &Measure, all: &[Plain], t: i64, visibility: Visibility) -> Naive {
    let visible: Vec<&Plain> = all
        .iter()
        .filter(|event| event.at < t)
        .filter(|event| visibility == Visibility::AsOccurred || event.known <= t)
        .collect();
    match measure {
        Measure::Aggregate(aggregate) => aggregate_value(aggregate, &visible, t),
        Measure::Delta(aggregate) => {
            let Window::Span { length_us, offset_us } = aggregate.window else { panic!() };
            let window = Window::Span { length_us, offset_us: offset_us + length_us };
            let before = Aggregate { window, ..aggregate.clone() };
            let now = number(aggregate_value(aggregate, &visible, t));
            let before = number(aggregate_value(&before, &visible, t));
            Naive::Number(now.zip(before).map(|(now, before)| now - before))
        }
        Measure::Ratio { numerator, denominator } => {
            let above = number(aggregate_value(numerator, &visible, t));
            let below = number(aggregate_value(denominator, &visible, t));
            let pair = above.zip(below).filter(|(_, below)| *below != 0.0);
            Naive::Number(pair.map(|(above, below)| above / below))
        }
        Measure::Trait { key, ttl_us } => {
            let fresh = |event: &&&Plain| ttl_us.is_none_or(|ttl| event.at >= t - ttl);
            let values = visible.iter().filter(fresh);
            let key = format!("traits.{key}");
            Naive::Held(values.filter_map(|event| event.properties.get(&key)).next_back().cloned())
        }
        Measure::Request { .. } => Naive::Held(None),
        Measure::Calendar { part, time_zone } => {
            let local = local(t, time_zone);
            let weekday = local.weekday().to_monday_one_offset();
            Naive::Number(Some(match part {
                CalendarPart::Hour => f64::from(local.hour()),
                CalendarPart::DayOfWeek => f64::from(weekday),
                CalendarPart::DayOfMonth => f64::from(local.day()),
                CalendarPart::Month => f64::from(local.month()),
                CalendarPart::IsWeekend => f64::from(weekday >= 6),
            }))
        }
        Measure::HistoryDays => {
            Naive::Number(visible.first().map(|event| (t - event.at) as f64 / DAY_US as f64))
        }
    }
}

fn local(at: i64, time_zone: &str) -> jiff::Zoned {
    let zone = TimeZone::get(time_zone).unwrap();
    Timestamp::from_microsecond(at).unwrap().to_zoned(zone)
}

fn day(at: i64, time_zone: &str) -> i64 {
    let date = local(at, time_zone).date();
    let epoch = jiff::civil::date(1970, 1, 1);
    i64::from(date.since(epoch).unwrap().get_days())
}

fn number(naive: Naive) -> Option<f64> {
    match naive {
        Naive::Number(number) => number.filter(|number| number.is_finite()),
        Naive::Held(held) => held.as_ref().and_then(as_number),
    }
}

pub(crate) fn as_number(held: &Held) -> Option<f64> {
    match held {
        Held::Number(number) => Some(*number),
        Held::Flag(flag) => Some(if *flag { 1.0 } else { 0.0 }),
        Held::Text(_) => None,
    }
}

pub(crate) fn as_text(held: &Held) -> String {
    match held {
        Held::Number(number) if *number == 0.0 => "0".to_owned(),
        Held::Number(number) => number.to_string(),
        Held::Flag(flag) => flag.to_string(),
        Held::Text(text) => text.clone(),
    }
}

fn pattern_holds(pattern: &EventPattern, name: &str) -> bool {
    match pattern {
        EventPattern::Role(role) => role_holds(role, name),
        EventPattern::Name(exact) => exact == name,
        EventPattern::Glob(glob) => match glob.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => panic!("the tests use prefix globs only"),
        },
        EventPattern::Bare(_) => panic!("not resolved"),
    }
}

fn same(constant: &Constant, held: &Held) -> bool {
    match (constant, held) {
        (Constant::Number(a), Held::Number(b)) => a == b,
        (Constant::Text(a), Held::Text(b)) => a == b,
        (Constant::Flag(a), Held::Flag(b)) => a == b,
        _ => false,
    }
}

fn test_holds(test: &Test, held: Option<&Held>) -> bool {
    let compare = |holds: &dyn Fn(f64) -> bool| match held {
        Some(Held::Number(number)) => holds(*number),
        _ => false,
    };
    match test {
        Test::Exists(exists) => held.is_some() == *exists,
        Test::AnyOf(list) => held.is_some_and(|held| list.iter().any(|c| same(c, held))),
        Test::NoneOf(list) => held.is_some_and(|held| !list.iter().any(|c| same(c, held))),
        Test::Above(x) => compare(&|y| y > *x),
        Test::AtLeast(x) => compare(&|y| y >= *x),
        Test::Below(x) => compare(&|y| y < *x),
        Test::AtMost(x) => compare(&|y| y <= *x),
    }
}

fn selects(selector: &Selector, event: &Plain) -> bool {
    selector.kinds.contains(&event.kind)
        && selector.events.iter().any(|pattern| pattern_holds(pattern, &event.name))
        && selector.conditions.iter().all(|(key, test)| test_holds(test, event.properties.get(key)))
}

/// Sessions as lists of events, each begun where the one before cannot go on.
fn sessions<'a>(events: &[&'a Plain], timeout_us: i64) -> Vec<Vec<&'a Plain>> {
    let mut sessions: Vec<Vec<&Plain>> = Vec::new();
    for &event in events {
        let goes_on = match sessions.last().and_then(|session| session.last()) {
            None => false,
            Some(before) if !before.session.is_empty() && !event.session.is_empty() => {
                before.session == event.session
            }
            Some(before) => event.at - before.at < timeout_us,
        };
        match sessions.last_mut() {
            Some(session) if goes_on => session.push(event),
            _ => sessions.push(vec![event]),
        }
    }
    sessions
}

fn in_window<'a>(window: Window, visible: &[&'a Plain], t: i64) -> Vec<&'a Plain> {
    match window {
        Window::Lifetime => visible.to_vec(),
        Window::Span { length_us, offset_us } => {
            let (from, to) = (t - offset_us - length_us, t - offset_us);
            visible.iter().copied().filter(|event| from <= event.at && event.at < to).collect()
        }
        Window::Session { timeout_us } => {
            let active = [EventKind::Track, EventKind::Page, EventKind::Screen];
            let activity: Vec<&Plain> =
                visible.iter().copied().filter(|event| active.contains(&event.kind)).collect();
            let sessions = sessions(&activity, timeout_us);
            let Some(session) = sessions.last() else { return Vec::new() };
            if t - session[session.len() - 1].at >= timeout_us {
                return Vec::new();
            }
            let start = visible.iter().position(|event| std::ptr::eq(*event, session[0]));
            visible[start.unwrap()..].to_vec()
        }
    }
}

fn mean(numbers: &[f64]) -> Option<f64> {
    (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64)
}

fn std(numbers: &[f64]) -> Option<f64> {
    let mean = mean(numbers)?;
    let squares: f64 = numbers.iter().map(|x| (x - mean) * (x - mean)).sum();
    (numbers.len() > 1).then(|| (squares / (numbers.len() - 1) as f64).sqrt())
}

/// Type and text, which is equality of values.
fn identity(held: &Held) -> (u8, String) {
    let kind = match held {
        Held::Number(_) => 0,
        Held::Text(_) => 1,
        Held::Flag(_) => 2,
    };
    (kind, as_text(held))
}

fn aggregate_value(aggregate: &Aggregate, visible: &[&Plain], t: i64) -> Naive {
    let in_window = in_window(aggregate.window, visible, t);
    let events: Vec<&Plain> =
        in_window.into_iter().filter(|event| selects(&aggregate.events, event)).collect();
    let held_by = |event: &&Plain| match aggregate.operator.property() {
        Some("$event") => Some(Held::Text(event.name.clone())),
        Some(key) => event.properties.get(key).cloned(),
        None => None,
    };
    let held: Vec<Held> = events.iter().filter_map(held_by).collect();
    let numbers: Vec<f64> = held.iter().filter_map(as_number).collect();
    let times: Vec<i64> = events.iter().map(|event| event.at).collect();
    let since = |at: i64| (t - at) as f64 / 1e6;
    let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6).collect();
    let distinct: BTreeSet<(u8, String)> = held.iter().map(identity).collect();
    let count_of = |key: &(u8, String)| held.iter().filter(|held| identity(held) == *key).count();
    let days = |zone: &str| times.iter().map(|&at| day(at, zone)).collect::<BTreeSet<_>>();
    Naive::Number(match &aggregate.operator {
        Operator::Count => Some(events.len() as f64),
        Operator::Sum(_) => (!numbers.is_empty()).then(|| numbers.iter().sum()),
        Operator::Mean(_) => mean(&numbers),
        Operator::Min(_) => numbers.iter().copied().reduce(f64::min),
        Operator::Max(_) => numbers.iter().copied().reduce(f64::max),
        Operator::Std(_) => std(&numbers),
        Operator::First(_) => return Naive::Held(held.first().cloned()),
        Operator::Last(_) => return Naive::Held(held.last().cloned()),
        Operator::LastK { k, .. } => return Naive::Held(held.iter().rev().nth(k - 1).cloned()),
        Operator::Distinct(_) => Some(distinct.len() as f64),
        Operator::Entropy(_) => (!held.is_empty()).then(|| {
            let share = |key| count_of(key) as f64 / held.len() as f64;
            distinct.iter().map(|key| -share(key) * share(key).ln()).sum()
        }),
        Operator::Top(_) => {
            let most = distinct.iter().map(count_of).max();
            let mut top: Vec<&Held> =
                held.iter().filter(|held| Some(count_of(&identity(held))) == most).collect();
            top.sort_by_key(|held| as_text(held));
            return Naive::Held(top.first().map(|&held| held.clone()));
        }
        Operator::Percentile { percentile, .. } => {
            let mut sorted = numbers.clone();
            sorted.sort_by(f64::total_cmp);
            let below = |rank: &usize| (*rank as f64) * 100.0 < numbers.len() as f64 * percentile;
            let rank = (1..=sorted.len()).find(|rank| !below(rank));
            rank.map(|rank| sorted[rank - 1])
        }
        Operator::TimeSinceFirst => times.first().map(|&at| since(at)),
        Operator::TimeSinceLast => times.last().map(|&at| since(at)),
        Operator::GapMean => mean(&gaps),
        Operator::GapMax => gaps.iter().copied().reduce(f64::max),
        Operator::GapCv => std(&gaps).zip(mean(&gaps)).map(|(std, mean)| std / mean),
        Operator::ActiveDays { time_zone } => Some(days(time_zone).len() as f64),
        Operator::StreakDays { time_zone } => {
            let (days, mut expected) = (days(time_zone), day(t, time_zone));
            let today = expected;
            while days.contains(&expected) {
                expected -= 1;
            }
            Some((today - expected) as f64)
        }
        Operator::Sessions { statistic, timeout_us } => {
            session_value(*statistic, &sessions(&events, *timeout_us), t, *timeout_us)
        }
        Operator::Ngram { steps, max_gap_us, timeout_us } => {
            let whole = |part: &&[&Plain]| {
                part.iter().zip(steps).all(|(event, step)| pattern_holds(step, &event.name))
                    && part.windows(2).all(|pair| pair[1].at - pair[0].at <= *max_gap_us)
            };
            let sessions = sessions(&events, *timeout_us);
            let parts = sessions.iter().flat_map(|session| session.windows(steps.len()));
            Some(parts.filter(whole).count() as f64)
        }
        Operator::Trend { property, bins } => {
            let Window::Span { length_us, offset_us } = aggregate.window else { panic!() };
            let start = t - offset_us - length_us;
            let bin_of = |at: i64| {
                (0..*bins)
                    .rfind(|&bin| (at - start) * *bins as i64 >= bin as i64 * length_us)
                    .unwrap()
            };
            let points: Vec<(f64, f64)> = (0..*bins)
                .filter_map(|bin| {
                    let inside = events.iter().filter(|event| bin_of(event.at) == bin);
                    let y = match property {
                        None => Some(inside.count() as f64),
                        Some(_) => mean(
                            &inside
                                .filter_map(&held_by)
                                .filter_map(|held| as_number(&held))
                                .collect::<Vec<_>>(),
                        ),
                    };
                    y.map(|y| (bin as f64, y))
                })
                .collect();
            least_squares(&points)
        }
        Operator::Funnel { statistic, steps, .. } => {
            let done = |step: &EventPattern| -> Vec<i64> {
                let text = |event: &&Plain| match held_by(event) {
                    Some(Held::Text(text)) => Some(text),
                    _ => None,
                };
                let at = |event: &&Plain| {
                    text(event).filter(|text| pattern_holds(step, text)).map(|_| event.at)
                };
                events.iter().filter_map(at).collect()
            };
            let reached = steps.iter().enumerate().rfind(|(_, step)| !done(step).is_empty());
            match (statistic, reached) {
                (FunnelStatistic::Step, reached) => {
                    Some(reached.map_or(0.0, |(index, _)| index as f64 + 1.0))
                }
                (FunnelStatistic::TimeInStep, reached) => {
                    reached.map(|(_, step)| since(done(step)[0]))
                }
                (FunnelStatistic::Retries, reached) => {
                    Some(reached.map_or(0.0, |(_, step)| done(step).len() as f64 - 1.0))
                }
            }
        }
    })
}

fn session_value(
    statistic: SessionStatistic,
    sessions: &[Vec<&Plain>],
    t: i64,
    timeout_us: i64,
) -> Option<f64> {
    let length =
        |session: &Vec<&Plain>| (session[session.len() - 1].at - session[0].at) as f64 / 1e6;
    let lengths: Vec<f64> = sessions.iter().map(length).collect();
    match statistic {
        SessionStatistic::Count => Some(sessions.len() as f64),
        SessionStatistic::MeanLength => mean(&lengths),
        SessionStatistic::BounceRate => {
            let alone = |session: &Vec<&Plain>| f64::from(session.len() == 1);
            mean(&sessions.iter().map(alone).collect::<Vec<_>>())
        }
        SessionStatistic::LastLength => lengths.last().copied(),
        SessionStatistic::Open => {
            let open = |session: &Vec<&Plain>| t - session[session.len() - 1].at < timeout_us;
            Some(f64::from(sessions.last().is_some_and(open)))
        }
    }
}

/// The slope that solves the normal equations.
fn least_squares(points: &[(f64, f64)]) -> Option<f64> {
    if points.len() < 2 {
        return None;
    }
    let n = points.len() as f64;
    let sum = |f: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(f).sum::<f64>();
    let (x, y) = (sum(&|p| p.0), sum(&|p| p.1));
    let (xx, xy) = (sum(&|p| p.0 * p.0), sum(&|p| p.0 * p.1));
    Some((n * xy - x * y) / (n * xx - x * x))
}
