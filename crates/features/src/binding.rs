//! A plan bound to a symbol table, and the pass over a history.

use std::sync::OnceLock;

use segue_events::{History, Micros, Scalar, Symbol, Symbols, Value};

use crate::operator::{FunnelStatistic, SessionStatistic};
use crate::plan::{Column, Plan, Reading, Statistic, Visibility, is_event_name};
use crate::probe::{
    Fed, ProbeKind, Sessions, State, Times, entropy, nearest_rank, number_of, runs, same_session,
    seconds, slope, streak,
};
use crate::request::RequestFields;
use crate::selector::{Constant, Selector, Test};
use crate::text::with_text;
use crate::window::{DAY_US, Window};

/// What a column holds before it becomes a number.
pub(crate) enum Cell<'r> {
    Number(f64),
    Value(Option<Scalar>),
    Request(Option<&'r Value>),
}

/// Where a property is found.
#[derive(Clone, Copy)]
enum Property {
    EventName,
    Key(Symbol),
    /// No event of the table has it.
    Nowhere,
}

/// A test with its texts as symbols; a text that the table lacks equals nothing.
enum BoundTest {
    AnyOf(Vec<Scalar>),
    NoneOf(Vec<Scalar>),
    Above(f64),
    AtLeast(f64),
    Below(f64),
    AtMost(f64),
    Exists(bool),
}

/// What the plan makes of one text, found out when it is first met.
struct Class {
    /// By pattern: whether it matches.
    matches: Vec<bool>,
    /// Selectors that let an event of this name through.
    selectors: Vec<u32>,
}

/// A plan that knows the symbols it will meet. Shared freely between threads.
pub(crate) struct Binding<'a> {
    plan: &'a Plan,
    symbols: &'a Symbols,
    properties: Vec<Property>,
    conditions: Vec<Vec<(usize, BoundTest)>>,
    classes: Vec<OnceLock<Box<Class>>>,
}

/// Working memory of one thread, reused from row to row.
#[derive(Debug, Default)]
pub struct Scratch {
    states: Vec<State>,
    /// By window: first event, one past the last, start time.
    spans: Vec<(usize, usize, Micros)>,
    /// By selector: first event and one past the last of any of its windows.
    reach: Vec<(usize, usize)>,
    first_visible: Option<Micros>,
}

impl<'a> Binding<'a> {
    pub(crate) fn new(plan: &'a Plan, symbols: &'a Symbols) -> Self {
        let property = |key: &String| match symbols.get(key) {
            _ if is_event_name(key) => Property::EventName,
            Some(symbol) => Property::Key(symbol),
            None => Property::Nowhere,
        };
        let bound = |(property, test): &(usize, Test)| (*property, bound_test(test, symbols));
        Self {
            plan,
            symbols,
            properties: plan.properties.iter().map(property).collect(),
            conditions: plan
                .selectors
                .iter()
                .map(|selector| selector.conditions.iter().map(bound).collect())
                .collect(),
            classes: (0..symbols.len()).map(|_| OnceLock::new()).collect(),
        }
    }

    pub(crate) fn symbols(&self) -> &'a Symbols {
        self.symbols
    }

    fn class(&self, symbol: Symbol) -> &Class {
        self.classes[symbol.index()].get_or_init(|| {
            let name = self.symbols.text(symbol);
            let roles: Vec<&str> = self.plan.roles.roles_of(name).collect();
            let patterns = self.plan.patterns.iter();
            let matches: Vec<bool> =
                patterns.map(|(_, matcher)| matcher.is_match(name, &roles)).collect();
            let selectors = (0u32..)
                .zip(&self.plan.selectors)
                .filter(|(_, selector)| selector.patterns.iter().any(|&index| matches[index]))
                .map(|(index, _)| index)
                .collect();
            Box::new(Class { matches, selectors })
        })
    }

    fn value(&self, history: &History, event: usize, property: usize) -> Option<Scalar> {
        match self.properties[property] {
            Property::EventName => Some(Scalar::Text(history.name()[event])),
            Property::Key(key) => history
                .property(event, key)
                .filter(|value| !matches!(value, Scalar::Number(number) if !number.is_finite())),
            Property::Nowhere => None,
        }
    }

    fn is_visible(&self, history: &History, event: usize, t: Micros) -> bool {
        self.plan.visibility == Visibility::AsOccurred || history.known_ts()[event] <= t
    }

    /// Makes the one pass; [`Binding::cell`] reads afterwards.
    pub(crate) fn pass(&self, history: &History, t: Micros, scratch: &mut Scratch) {
        self.prepare(history, t, scratch);
        let Scratch { states, spans, reach, .. } = scratch;
        let from = reach.iter().map(|reach| reach.0).min().unwrap_or(0);
        let to = reach.iter().map(|reach| reach.1).max().unwrap_or(0);
        for event in from..to {
            if !self.is_visible(history, event, t) {
                continue;
            }
            let name = history.name()[event];
            let class = self.class(name);
            for &selector in &class.selectors {
                let (first, end) = reach[selector as usize];
                if (first..end).contains(&event) && self.selects(selector as usize, history, event)
                {
                    self.feed(selector as usize, class, history, event, states, spans);
                }
            }
        }
        states.iter_mut().for_each(State::settle);
    }

    fn prepare(&self, history: &History, t: Micros, scratch: &mut Scratch) {
        let plan = self.plan;
        if scratch.states.is_empty() {
            scratch.states.extend(plan.probes.iter().map(|probe| State::new(&probe.kind)));
        } else {
            scratch.states.iter_mut().for_each(State::reset);
        }
        let spans = plan.windows.iter().map(|&window| self.span(window, history, t));
        scratch.spans.clear();
        scratch.spans.extend(spans);
        scratch.reach.clear();
        scratch.reach.resize(plan.selectors.len(), (usize::MAX, 0));
        let is_plain = history.has_only_tracks_known_at_once();
        for (probe, state) in plan.probes.iter().zip(&mut scratch.states) {
            let (first, end, _) = scratch.spans[probe.window];
            if is_plain && plan.selectors[probe.selector].is_by_window {
                *state = State::Times(Times::of(&history.event_ts()[first..end.max(first)]));
                continue;
            }
            let reach = &mut scratch.reach[probe.selector];
            if first < end {
                *reach = (reach.0.min(first), reach.1.max(end));
            }
        }
        scratch.first_visible = if plan.columns.contains(&Column::HistoryDays) {
            let happened = history.event_ts().partition_point(|&at| at < t);
            let first = (0..happened).find(|&event| self.is_visible(history, event, t));
            first.map(|event| history.event_ts()[event])
        } else {
            None
        };
    }

    fn span(&self, window: Window, history: &History, t: Micros) -> (usize, usize, Micros) {
        let times = history.event_ts();
        let index_of = |time: Micros| times.partition_point(|&at| at < time);
        match window {
            Window::Span { length_us, offset_us } => {
                let end = t.saturating_sub(offset_us);
                let start = end.saturating_sub(length_us);
                (index_of(start), index_of(end), start)
            }
            Window::Lifetime => (0, index_of(t), Micros::MIN),
            Window::Session { timeout_us } => {
                let end = index_of(t);
                let start = self.session_start(history, t, end, timeout_us);
                (start, end, times.get(start).copied().unwrap_or(t))
            }
        }
    }

    /// First event of the session that is open at `t`, or `end` if none is.
    fn session_start(&self, history: &History, t: Micros, end: usize, timeout_us: i64) -> usize {
        let mut start = end;
        let mut after: Option<(Micros, Symbol)> = None;
        for event in (0..end).rev() {
            if !Selector::is_activity_kind(history.kind(event))
                || !self.is_visible(history, event, t)
            {
                continue;
            }
            let here = (history.event_ts()[event], history.session(event));
            let goes_on = match after {
                Some(after) => same_session(here, after, timeout_us),
                None => t.saturating_sub(here.0) < timeout_us,
            };
            if !goes_on {
                break;
            }
            after = Some(here);
            start = event;
        }
        start
    }

    fn selects(&self, selector: usize, history: &History, event: usize) -> bool {
        let kind = history.kind(event) as usize;
        self.plan.selectors[selector].kinds[kind]
            && self.conditions[selector]
                .iter()
                .all(|(property, test)| test.holds(self.value(history, event, *property)))
    }

    fn feed(
        &self,
        selector: usize,
        class: &Class,
        history: &History,
        event: usize,
        states: &mut [State],
        spans: &[(usize, usize, Micros)],
    ) {
        let at = history.event_ts()[event];
        let session = history.session(event);
        for (property, probes) in &self.plan.selectors[selector].groups {
            let value = property.and_then(|property| self.value(history, event, property));
            if property.is_some() && value.is_none() {
                continue;
            }
            for &index in probes {
                let probe = &self.plan.probes[index];
                let (first, end, start) = spans[probe.window];
                if !(first..end).contains(&event) {
                    continue;
                }
                let matched = match (&probe.kind, value) {
                    (ProbeKind::Funnel { .. }, Some(Scalar::Text(text))) => self.class(text),
                    (ProbeKind::Funnel { .. }, _) => continue,
                    _ => class,
                };
                states[index].feed(
                    &probe.kind,
                    Fed { at, session, value },
                    start,
                    |zone| self.plan.zones[zone].day(at),
                    |pattern| matched.matches[pattern],
                );
            }
        }
    }

    /// A column after the pass.
    pub(crate) fn cell<'r>(
        &self,
        column: usize,
        t: Micros,
        request: &'r RequestFields,
        scratch: &Scratch,
    ) -> Cell<'r> {
        match &self.plan.columns[column] {
            Column::Reading(reading) => self.read(reading, t, scratch),
            Column::Difference(now, before) => {
                let [now, before] = [now, before].map(|r| number(self.read(r, t, scratch)));
                Cell::Number(now - before)
            }
            Column::Quotient(above, below) => {
                let [above, below] = [above, below].map(|r| number(self.read(r, t, scratch)));
                Cell::Number(if below == 0.0 { f64::NAN } else { above / below })
            }
            Column::Request(field) => Cell::Request(request.get(field)),
            Column::Calendar { part, zone } => Cell::Number(self.plan.zones[*zone].part(*part, t)),
            Column::HistoryDays => Cell::Number(
                scratch.first_visible.map_or(f64::NAN, |first| (t - first) as f64 / DAY_US as f64),
            ),
        }
    }

    fn read(&self, reading: &Reading, t: Micros, scratch: &Scratch) -> Cell<'static> {
        let probe = &self.plan.probes[reading.probe];
        let statistic = &reading.statistic;
        Cell::Number(match (&scratch.states[reading.probe], statistic) {
            (State::Times(times), Statistic::Count) => times.n as f64,
            (State::Times(times), _) if times.n == 0 => f64::NAN,
            (State::Times(times), Statistic::TimeSinceFirst) => seconds(t - times.first),
            (State::Times(times), _) => seconds(t - times.last),
            (State::Gaps { gaps, .. } | State::Moments(gaps), _) if gaps.n == 0 => f64::NAN,
            (State::Gaps { gaps, .. }, Statistic::GapCv) if gaps.sum == 0.0 => f64::NAN,
            (State::Gaps { gaps, .. }, Statistic::GapCv) => gaps.std() / gaps.mean(),
            (State::Moments(moments), Statistic::Sum) => moments.sum,
            (State::Moments(moments), Statistic::Min) => moments.min,
            (State::Moments(moments), Statistic::Std) => moments.std(),
            (
                State::Gaps { gaps: moments, .. } | State::Moments(moments),
                Statistic::Max | Statistic::GapMax,
            ) => moments.max,
            (State::Gaps { gaps: moments, .. } | State::Moments(moments), _) => moments.mean(),
            (State::Ends { first, .. }, Statistic::First) => return Cell::Value(*first),
            (State::Ends { last, .. }, _) => return Cell::Value(*last),
            (State::Latest { ring, next }, Statistic::LastK(k)) => {
                let value = if ring.len() == *k { ring.get(*next) } else { None };
                return Cell::Value(value.copied());
            }
            (State::Values(values), Statistic::Distinct) => runs(values).count() as f64,
            (State::Values(values), Statistic::Entropy) => entropy(values),
            (State::Values(values), _) => return Cell::Value(self.top(values)),
            (State::Numbers(numbers), Statistic::Percentile(percentile)) => {
                nearest_rank(numbers, *percentile)
            }
            (State::Days(days), Statistic::ActiveDays) => days.len() as f64,
            (State::Days(days), _) => match probe.kind {
                ProbeKind::Days { zone } => streak(days, self.plan.zones[zone].day(t)),
                _ => f64::NAN,
            },
            (State::Sessions(sessions), Statistic::Session(statistic)) => {
                let timeout_us = match probe.kind {
                    ProbeKind::Sessions { timeout_us } => timeout_us,
                    _ => 0,
                };
                read_sessions(sessions, *statistic, t, timeout_us)
            }
            (State::Ngram { n, .. }, _) => *n as f64,
            (State::Bins { n, sum }, _) => {
                slope(n, sum, matches!(probe.kind, ProbeKind::Bins { of_property: true, .. }))
            }
            (State::Funnel { n, first }, Statistic::Funnel(statistic)) => {
                read_funnel(n, first, *statistic, t)
            }
            _ => unreachable!("a reading fits its accumulator"),
        })
    }

    /// The most frequent of settled values, ties to the smaller text.
    fn top(&self, values: &[Scalar]) -> Option<Scalar> {
        let most = runs(values).map(|(_, n)| n).max()?;
        let is_smaller = |a: Scalar, b: Scalar| {
            with_text(a, self.symbols, |a| with_text(b, self.symbols, |b| a < b))
        };
        runs(values)
            .filter(|&(_, n)| n == most)
            .map(|(value, _)| value)
            .reduce(|best, value| if is_smaller(value, best) { value } else { best })
    }
}

fn read_sessions(
    sessions: &Sessions,
    statistic: SessionStatistic,
    t: Micros,
    timeout_us: i64,
) -> f64 {
    match statistic {
        SessionStatistic::Count => sessions.count(),
        SessionStatistic::MeanLength => sessions.mean_length_s(),
        SessionStatistic::BounceRate => sessions.bounce_rate(),
        SessionStatistic::LastLength => sessions.last_length_s(),
        SessionStatistic::Open => sessions.open(t, timeout_us),
    }
}

/// `n` and `first` are per step: how often it was done, and when first.
fn read_funnel(n: &[u64], first: &[Micros], statistic: FunnelStatistic, t: Micros) -> f64 {
    let reached = n.iter().rposition(|&n| n > 0);
    match (statistic, reached) {
        (FunnelStatistic::Step, reached) => reached.map_or(0.0, |step| step as f64 + 1.0),
        (FunnelStatistic::TimeInStep, Some(step)) => seconds(t - first[step]),
        (FunnelStatistic::TimeInStep, None) => f64::NAN,
        (FunnelStatistic::Retries, Some(step)) => (n[step] - 1) as f64,
        (FunnelStatistic::Retries, None) => 0.0,
    }
}

/// A cell as a number; NaN is missing and nothing is infinite.
pub(crate) fn number(cell: Cell<'_>) -> f64 {
    let number = match cell {
        Cell::Number(number) => number,
        Cell::Value(value) => value.and_then(number_of).unwrap_or(f64::NAN),
        Cell::Request(Some(Value::Number(number))) => *number,
        Cell::Request(Some(Value::Flag(flag))) => f64::from(*flag),
        Cell::Request(_) => f64::NAN,
    };
    if number.is_finite() { number } else { f64::NAN }
}

fn bound_test(test: &Test, symbols: &Symbols) -> BoundTest {
    let scalars = |constants: &[Constant]| {
        let scalar = |constant: &Constant| match constant {
            Constant::Number(number) => Some(Scalar::Number(*number)),
            Constant::Flag(flag) => Some(Scalar::Flag(*flag)),
            Constant::Text(text) => symbols.get(text).map(Scalar::Text),
        };
        constants.iter().filter_map(scalar).collect()
    };
    match test {
        Test::AnyOf(constants) => BoundTest::AnyOf(scalars(constants)),
        Test::NoneOf(constants) => BoundTest::NoneOf(scalars(constants)),
        Test::Above(x) => BoundTest::Above(*x),
        Test::AtLeast(x) => BoundTest::AtLeast(*x),
        Test::Below(x) => BoundTest::Below(*x),
        Test::AtMost(x) => BoundTest::AtMost(*x),
        Test::Exists(exists) => BoundTest::Exists(*exists),
    }
}

impl BoundTest {
    fn holds(&self, value: Option<Scalar>) -> bool {
        let Some(value) = value else { return matches!(self, Self::Exists(false)) };
        let number = match value {
            Scalar::Number(number) => number,
            _ => f64::NAN,
        };
        match self {
            Self::AnyOf(scalars) => scalars.contains(&value),
            Self::NoneOf(scalars) => !scalars.contains(&value),
            Self::Above(x) => number > *x,
            Self::AtLeast(x) => number >= *x,
            Self::Below(x) => number < *x,
            Self::AtMost(x) => number <= *x,
            Self::Exists(exists) => *exists,
        }
    }
}
