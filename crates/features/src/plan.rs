//! A list of measures compiled for one pass: what they have in common is there once.

use segue_events::{EventKind, RoleMap};

use crate::operator::{
    Aggregate, CalendarPart, EVENT_NAME, FunnelStatistic, Measure, Operator, SessionStatistic,
};
use crate::probe::ProbeKind;
use crate::selector::{EventPattern, NameMatcher, Selector, Test};
use crate::window::Window;
use crate::zone::Zone;

/// Which events a row sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Visibility {
    /// What had happened before `t` and was known at `t`.
    #[default]
    AsKnown,
    /// What had happened before `t`, whenever it became known.
    AsOccurred,
}

/// What is read from an accumulator.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Statistic {
    Count,
    TimeSinceFirst,
    TimeSinceLast,
    GapMean,
    GapMax,
    GapCv,
    Sum,
    Mean,
    Min,
    Max,
    Std,
    First,
    Last,
    LastK(usize),
    Distinct,
    Entropy,
    Top,
    Percentile(f64),
    ActiveDays,
    Streak,
    Session(SessionStatistic),
    Matches,
    Slope,
    Funnel(FunnelStatistic),
}

/// A statistic of an accumulator.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reading {
    pub(crate) probe: usize,
    pub(crate) statistic: Statistic,
}

/// How a column comes about.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Column {
    Reading(Reading),
    Difference(Reading, Reading),
    Quotient(Reading, Reading),
    Request(String),
    Calendar { part: CalendarPart, zone: usize },
    HistoryDays,
}

/// An accumulator and what it is fed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Probe {
    pub(crate) selector: usize,
    pub(crate) window: usize,
    pub(crate) property: Option<usize>,
    pub(crate) kind: ProbeKind,
}

/// A selector with the accumulators behind it, those of one property together.
#[derive(Debug, Clone)]
pub(crate) struct PlannedSelector {
    selector: Selector,
    pub(crate) patterns: Vec<usize>,
    pub(crate) kinds: [bool; 6],
    pub(crate) conditions: Vec<(usize, Test)>,
    pub(crate) groups: Vec<(Option<usize>, Vec<usize>)>,
    /// Lets every track through, and has none but [`ProbeKind::Times`] behind it: of a history of tracks known at
    /// once, the window alone says what these are.
    pub(crate) is_by_window: bool,
}

/// The compiled measures.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) visibility: Visibility,
    /// Only the roles in use.
    pub(crate) roles: RoleMap,
    pub(crate) columns: Vec<Column>,
    pub(crate) selectors: Vec<PlannedSelector>,
    pub(crate) windows: Vec<Window>,
    pub(crate) properties: Vec<String>,
    pub(crate) patterns: Vec<(EventPattern, NameMatcher)>,
    zone_names: Vec<String>,
    pub(crate) zones: Vec<Zone>,
    pub(crate) probes: Vec<Probe>,
}

impl Plan {
    /// Compiles resolved measures. `Err` names a glob or time zone that does not read, which
    /// checked measures never have.
    pub(crate) fn new<'a>(
        measures: impl IntoIterator<Item = &'a Measure>,
        roles: &RoleMap,
        visibility: Visibility,
    ) -> Result<Self, String> {
        let mut plan = Self {
            visibility,
            roles: RoleMap::default(),
            columns: Vec::new(),
            selectors: Vec::new(),
            windows: Vec::new(),
            properties: Vec::new(),
            patterns: Vec::new(),
            zone_names: Vec::new(),
            zones: Vec::new(),
            probes: Vec::new(),
        };
        for measure in measures {
            let column = plan.column(measure)?;
            plan.columns.push(column);
        }
        let used = |role: &str| {
            let mut patterns = plan.patterns.iter();
            patterns.any(|(pattern, _)| matches!(pattern, EventPattern::Role(name) if name == role))
        };
        let globs = roles.globs().iter().filter(|(role, _)| used(role));
        let globs = globs.map(|(role, globs)| (role.clone(), globs.clone())).collect();
        plan.roles = RoleMap::new(globs).map_err(|error| error.to_string())?;
        Ok(plan)
    }

    fn column(&mut self, measure: &Measure) -> Result<Column, String> {
        Ok(match measure {
            Measure::Aggregate(aggregate) => Column::Reading(self.reading(aggregate)?),
            Measure::Delta(aggregate) => {
                let before = Aggregate { window: before(aggregate.window), ..aggregate.clone() };
                Column::Difference(self.reading(aggregate)?, self.reading(&before)?)
            }
            Measure::Ratio { numerator, denominator } => {
                Column::Quotient(self.reading(numerator)?, self.reading(denominator)?)
            }
            Measure::Trait { key, ttl_us } => {
                let latest = Aggregate {
                    operator: Operator::Last(format!("traits.{key}")),
                    events: Selector::everything(),
                    window: ttl_us.map_or(Window::Lifetime, Window::last),
                };
                Column::Reading(self.reading(&latest)?)
            }
            Measure::Request { field, .. } => Column::Request(field.clone()),
            Measure::Calendar { part, time_zone } => {
                Column::Calendar { part: *part, zone: self.zone(time_zone)? }
            }
            Measure::HistoryDays => Column::HistoryDays,
        })
    }

    fn reading(&mut self, aggregate: &Aggregate) -> Result<Reading, String> {
        let (kind, statistic) = self.probe_kind(&aggregate.operator, aggregate.window)?;
        let is_by_window = kind == ProbeKind::Times && takes_every_track(&aggregate.events);
        let selector = self.selector(&aggregate.events, is_by_window)?;
        let window = position(&mut self.windows, aggregate.window);
        let property = aggregate.operator.property().map(|key| self.property(key));
        let probe = Probe { selector, window, property, kind };
        let probe = match self.probes.iter().position(|other| *other == probe) {
            Some(index) => index,
            None => self.add_probe(probe),
        };
        Ok(Reading { probe, statistic })
    }

    fn add_probe(&mut self, probe: Probe) -> usize {
        let index = self.probes.len();
        let groups = &mut self.selectors[probe.selector].groups;
        match groups.iter_mut().find(|(property, _)| *property == probe.property) {
            Some((_, probes)) => probes.push(index),
            None => groups.push((probe.property, vec![index])),
        }
        self.probes.push(probe);
        index
    }

    fn probe_kind(
        &mut self,
        operator: &Operator,
        window: Window,
    ) -> Result<(ProbeKind, Statistic), String> {
        use ProbeKind as Kind;
        Ok(match operator {
            Operator::Count => (Kind::Times, Statistic::Count),
            Operator::TimeSinceFirst => (Kind::Times, Statistic::TimeSinceFirst),
            Operator::TimeSinceLast => (Kind::Times, Statistic::TimeSinceLast),
            Operator::GapMean => (Kind::Gaps, Statistic::GapMean),
            Operator::GapMax => (Kind::Gaps, Statistic::GapMax),
            Operator::GapCv => (Kind::Gaps, Statistic::GapCv),
            Operator::Sum(_) => (Kind::Moments, Statistic::Sum),
            Operator::Mean(_) => (Kind::Moments, Statistic::Mean),
            Operator::Min(_) => (Kind::Moments, Statistic::Min),
            Operator::Max(_) => (Kind::Moments, Statistic::Max),
            Operator::Std(_) => (Kind::Moments, Statistic::Std),
            Operator::First(_) => (Kind::Ends, Statistic::First),
            Operator::Last(_) => (Kind::Ends, Statistic::Last),
            Operator::LastK { k, .. } => (Kind::Latest { k: *k }, Statistic::LastK(*k)),
            Operator::Distinct(_) => (Kind::Values, Statistic::Distinct),
            Operator::Entropy(_) => (Kind::Values, Statistic::Entropy),
            Operator::Top(_) => (Kind::Values, Statistic::Top),
            Operator::Percentile { percentile, .. } => {
                (Kind::Numbers, Statistic::Percentile(*percentile))
            }
            Operator::ActiveDays { time_zone } => {
                (Kind::Days { zone: self.zone(time_zone)? }, Statistic::ActiveDays)
            }
            Operator::StreakDays { time_zone } => {
                (Kind::Days { zone: self.zone(time_zone)? }, Statistic::Streak)
            }
            Operator::Sessions { statistic, timeout_us } => {
                (Kind::Sessions { timeout_us: *timeout_us }, Statistic::Session(*statistic))
            }
            Operator::Ngram { steps, max_gap_us, timeout_us } => {
                let (max_gap_us, timeout_us) = (*max_gap_us, *timeout_us);
                let steps = self.pattern_list(steps)?;
                (Kind::Ngram { steps, max_gap_us, timeout_us }, Statistic::Matches)
            }
            Operator::Trend { property, bins } => {
                let Window::Span { length_us, .. } = window else {
                    return Err("a trend needs a window of fixed length".to_owned());
                };
                let of_property = property.is_some();
                (Kind::Bins { n_bins: *bins, length_us, of_property }, Statistic::Slope)
            }
            Operator::Funnel { statistic, steps, .. } => {
                (Kind::Funnel { steps: self.pattern_list(steps)? }, Statistic::Funnel(*statistic))
            }
        })
    }

    fn selector(&mut self, selector: &Selector, is_by_window: bool) -> Result<usize, String> {
        let is_same = |other: &PlannedSelector| {
            other.selector == *selector && other.is_by_window == is_by_window
        };
        if let Some(index) = self.selectors.iter().position(is_same) {
            return Ok(index);
        }
        let mut kinds = [false; 6];
        for &kind in &selector.kinds {
            kinds[kind as usize] = true;
        }
        let tests = selector.conditions.iter();
        let conditions = tests.map(|(key, test)| (self.property(key), test.clone())).collect();
        let patterns = self.pattern_list(&selector.events)?;
        let selector = selector.clone();
        let groups = Vec::new();
        self.selectors.push(PlannedSelector {
            selector,
            patterns,
            kinds,
            conditions,
            groups,
            is_by_window,
        });
        Ok(self.selectors.len() - 1)
    }

    fn pattern_list(&mut self, patterns: &[EventPattern]) -> Result<Vec<usize>, String> {
        patterns.iter().map(|pattern| self.pattern(pattern)).collect()
    }

    fn pattern(&mut self, pattern: &EventPattern) -> Result<usize, String> {
        if let Some(index) = self.patterns.iter().position(|(other, _)| other == pattern) {
            return Ok(index);
        }
        let matcher = pattern.matcher().map_err(|error| error.to_string())?;
        self.patterns.push((pattern.clone(), matcher));
        Ok(self.patterns.len() - 1)
    }

    fn property(&mut self, key: &str) -> usize {
        position(&mut self.properties, key.to_owned())
    }

    fn zone(&mut self, name: &str) -> Result<usize, String> {
        if let Some(index) = self.zone_names.iter().position(|other| other == name) {
            return Ok(index);
        }
        let zone = Zone::new(name).ok_or_else(|| format!("there is no time zone {name:?}"))?;
        self.zones.push(zone);
        self.zone_names.push(name.to_owned());
        Ok(self.zones.len() - 1)
    }
}

fn takes_every_track(selector: &Selector) -> bool {
    let every = EventPattern::Glob("*".to_owned());
    selector.events.contains(&every)
        && selector.kinds.contains(&EventKind::Track)
        && selector.conditions.is_empty()
}

/// Whether a property key stands for the event's name.
pub(crate) fn is_event_name(key: &str) -> bool {
    key == EVENT_NAME
}

/// The window of equal length just before.
fn before(window: Window) -> Window {
    match window {
        Window::Span { length_us, offset_us } => {
            Window::Span { length_us, offset_us: offset_us + length_us }
        }
        other => other,
    }
}

fn position<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    match list.iter().position(|other| *other == item) {
        Some(index) => index,
        None => {
            list.push(item);
            list.len() - 1
        }
    }
}
