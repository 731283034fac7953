//! Labels: what happens in a window after `t`, by the same operators.

use segue_events::{History, Micros, RoleMap, Symbols};
use toml::Table;

use crate::binding::{Binding, Cell, Scratch, number};
use crate::error::FeatureError;
use crate::keys::Keys;
use crate::operator::{Aggregate, EVENT_NAME, Measure, Operator};
use crate::plan::{Plan, Visibility};
use crate::request::RequestFields;
use crate::selector::{EventPattern, Selector};
use crate::spec::{FeatureSpec, ValueKind, take_operator};
use crate::summary::LogSummary;
use crate::text::text_of;
use crate::window::{DAY_US, MINUTE_US, Window, format_duration, parse_duration};

const HORIZON_RANGE_US: (i64, i64) = (MINUTE_US, 3650 * DAY_US);

/// An operator over the events of `[t + gap, t + gap + horizon)`, whenever they became known.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelSpec {
    /// What: a count, a sum, the first event.
    pub operator: Operator,
    /// Over which events.
    pub events: Selector,
    /// From `t` to the window, microseconds, at least 0.
    pub gap_us: i64,
    /// Length of the window, microseconds, above 0.
    pub horizon_us: i64,
}

impl LabelSpec {
    /// How many of these events (roles, names or globs) there are.
    #[must_use]
    pub fn count(events: &[&str], gap_us: i64, horizon_us: i64) -> Self {
        Self::of(Operator::Count, events, gap_us, horizon_us)
    }

    /// The sum of a property over these events; missing if there is none.
    #[must_use]
    pub fn sum(events: &[&str], property: &str, gap_us: i64, horizon_us: i64) -> Self {
        Self::of(Operator::Sum(property.to_owned()), events, gap_us, horizon_us)
    }

    /// The first of these events: its name, or the value of a property.
    #[must_use]
    pub fn first(events: &[&str], property: Option<&str>, gap_us: i64, horizon_us: i64) -> Self {
        let property = property.unwrap_or(EVENT_NAME).to_owned();
        Self::of(Operator::First(property), events, gap_us, horizon_us)
    }

    fn of(operator: Operator, events: &[&str], gap_us: i64, horizon_us: i64) -> Self {
        let events = events.iter().map(|text| EventPattern::parse(text)).collect();
        Self { operator, events: Selector::activity(events), gap_us, horizon_us }
    }

    /// Reads a table with `op` (default `count`) and its keys as for a feature, `horizon`, and
    /// `gap` (default none).
    ///
    /// # Errors
    /// [`FeatureError`] names the key and the nearest valid value.
    pub fn from_table(table: Table) -> Result<Self, FeatureError> {
        let mut keys = Keys::new("label", table);
        let op = keys.text("op")?.unwrap_or_else(|| "count".to_owned());
        let gap_us = match keys.text("gap")? {
            None => 0,
            Some(text) if matches!(text.as_str(), "0s" | "0m" | "0h" | "0d") => 0,
            Some(text) => match parse_duration(&text) {
                Some(us) if us <= HORIZON_RANGE_US.1 => us,
                _ => return Err(keys.bad("gap", format!("{text:?}"), "a duration, 0d to 3650d")),
            },
        };
        let horizon_us = keys.duration("horizon", HORIZON_RANGE_US)?;
        let horizon_us = horizon_us.ok_or_else(|| keys.missing("horizon", "such as 28d"))?;
        let operator = if op == "first" {
            Operator::First(keys.text("property")?.unwrap_or_else(|| EVENT_NAME.to_owned()))
        } else {
            take_operator(&mut keys, &op)?
        };
        let events = Selector::take(&mut keys)?;
        keys.finish(&op)?;
        Ok(Self { operator, events, gap_us, horizon_us })
    }

    /// The window after `t`: from, and up to but not including.
    #[must_use]
    pub fn window(&self, t: Micros) -> (Micros, Micros) {
        let from = t.saturating_add(self.gap_us);
        (from, from.saturating_add(self.horizon_us))
    }

    /// Checks the label and prepares it; with the log, also that events and properties exist.
    ///
    /// # Errors
    /// [`FeatureError`] for a role, event or property that does not exist, or a window that cannot
    /// be.
    pub fn compile(
        &self,
        roles: &RoleMap,
        log: Option<&LogSummary>,
    ) -> Result<Label, FeatureError> {
        let (low, high) = HORIZON_RANGE_US;
        let wrong = |key, us: i64, expected| {
            let found = if us > 0 { format_duration(us) } else { us.to_string() };
            FeatureError::Label { key, found, expected }
        };
        if !(low..=high).contains(&self.horizon_us) {
            return Err(wrong("horizon", self.horizon_us, "1m to 3650d"));
        }
        if !(0..=high).contains(&self.gap_us) {
            return Err(wrong("gap", self.gap_us, "0d to 3650d"));
        }
        let measure = Measure::Aggregate(Aggregate {
            operator: self.operator.clone(),
            events: self.events.clone(),
            window: Window::last(self.horizon_us),
        });
        let spec = FeatureSpec { name: "label".to_owned(), measure, value: ValueKind::Learned };
        let spec = spec.resolve(roles, log)?;
        let plan = Plan::new([&spec.measure], roles, Visibility::AsOccurred)
            .map_err(|reason| FeatureError::Toml { reason })?;
        Ok(Label { spec: self.clone(), plan })
    }
}

/// A checked label.
#[derive(Debug, Clone)]
pub struct Label {
    spec: LabelSpec,
    plan: Plan,
}

impl Label {
    /// What it was made from.
    #[must_use]
    pub fn spec(&self) -> &LabelSpec {
        &self.spec
    }

    /// Ready to evaluate histories that use this symbol table.
    #[must_use]
    pub fn bind<'a>(&'a self, symbols: &'a Symbols) -> BoundLabel<'a> {
        let request = RequestFields::new();
        BoundLabel { spec: &self.spec, binding: Binding::new(&self.plan, symbols), request }
    }
}

/// A label bound to a symbol table. Shared freely between threads.
pub struct BoundLabel<'a> {
    spec: &'a LabelSpec,
    binding: Binding<'a>,
    request: RequestFields,
}

impl BoundLabel<'_> {
    /// The value over the window after `t` as a number; NaN is missing (a text is none).
    #[must_use]
    pub fn value(&self, history: &History, t: Micros) -> f64 {
        number(self.cell(&mut Scratch::default(), history, t))
    }

    /// [`BoundLabel::value`] with working memory from an earlier call on this label.
    #[must_use]
    pub fn value_with(&self, scratch: &mut Scratch, history: &History, t: Micros) -> f64 {
        number(self.cell(scratch, history, t))
    }

    /// The value as a class name, for labels that yield one; `None` is missing.
    #[must_use]
    pub fn class(&self, history: &History, t: Micros) -> Option<String> {
        match self.cell(&mut Scratch::default(), history, t) {
            Cell::Value(value) => value.map(|value| text_of(value, self.binding.symbols())),
            _ => None,
        }
    }

    fn cell(&self, scratch: &mut Scratch, history: &History, t: Micros) -> Cell<'_> {
        let (_, end) = self.spec.window(t);
        self.binding.pass(history, end, scratch);
        self.binding.cell(0, end, &self.request, scratch)
    }
}
