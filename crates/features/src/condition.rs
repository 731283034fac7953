//! Conditions over features, such as `count(conversion, lifetime) == 0 && active_days(*, 7d) >= 1`.

use std::cmp::Ordering;

use segue_events::{History, Micros, RoleMap, Symbols};

use crate::binding::{Binding, Scratch, number};
use crate::error::FeatureError;
use crate::operator::Measure;
use crate::parser::{self, Comparison, Expression, Operand};
use crate::plan::{Plan, Visibility};
use crate::request::RequestFields;

/// A condition on a user as of an instant, evaluated like features.
///
/// Operands are numbers and calls `op(events, window)` or `op(events, property, window)`; `events`
/// is a role, a name or a glob, in quotes if it holds a comma, a bracket or an equals sign. Further
/// settings follow as `key=value`: `percentile(order, amount, 30d, percentile=90)`. Also
/// `history_days()`, `trait(key)` and the calendar operators. Comparisons are joined by `!`, `&&`,
/// `||` (binding in that order) and parentheses. A comparison with a missing value does not hold,
/// not even `!=`.
#[derive(Debug, Clone)]
pub struct Condition {
    text: String,
    expression: Expression,
    plan: Plan,
}

impl Condition {
    /// Reads a condition that sees what was known at `t`.
    ///
    /// # Errors
    /// [`FeatureError`] says where it does not read, or which operator, role or setting does not
    /// exist.
    pub fn parse(text: &str, roles: &RoleMap) -> Result<Self, FeatureError> {
        Self::parse_with(text, roles, Visibility::AsKnown)
    }

    /// Reads a condition.
    ///
    /// # Errors
    /// As [`Condition::parse`].
    pub fn parse_with(
        text: &str,
        roles: &RoleMap,
        visibility: Visibility,
    ) -> Result<Self, FeatureError> {
        let (expression, specs) = parser::parse(text)?;
        let measures = specs
            .into_iter()
            .map(|spec| spec.resolve(roles, None).map(|spec| spec.measure))
            .collect::<Result<Vec<Measure>, _>>()?;
        let plan = Plan::new(&measures, roles, visibility)
            .map_err(|reason| FeatureError::Toml { reason })?;
        Ok(Self { text: text.to_owned(), expression, plan })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Ready to evaluate histories that use this symbol table.
    #[must_use]
    pub fn bind<'a>(&'a self, symbols: &'a Symbols) -> BoundCondition<'a> {
        BoundCondition {
            expression: &self.expression,
            binding: Binding::new(&self.plan, symbols),
            request: RequestFields::new(),
        }
    }
}

/// A condition bound to a symbol table. Shared freely between threads.
pub struct BoundCondition<'a> {
    expression: &'a Expression,
    binding: Binding<'a>,
    request: RequestFields,
}

impl BoundCondition<'_> {
    /// Whether it holds as of `t`.
    #[must_use]
    pub fn holds(&self, history: &History, t: Micros) -> bool {
        self.holds_with(&mut Scratch::default(), history, t)
    }

    /// [`BoundCondition::holds`] with working memory from an earlier call on this condition.
    #[must_use]
    pub fn holds_with(&self, scratch: &mut Scratch, history: &History, t: Micros) -> bool {
        self.binding.pass(history, t, scratch);
        let value = |operand: &Operand| match *operand {
            Operand::Number(number) => number,
            Operand::Column(column) => number(self.binding.cell(column, t, &self.request, scratch)),
        };
        holds(self.expression, &value)
    }
}

fn holds(expression: &Expression, value: &impl Fn(&Operand) -> f64) -> bool {
    match expression {
        Expression::Any(parts) => parts.iter().any(|part| holds(part, value)),
        Expression::All(parts) => parts.iter().all(|part| holds(part, value)),
        Expression::Not(part) => !holds(part, value),
        Expression::Compare(left, comparison, right) => {
            let (left, right) = (value(left), value(right));
            match comparison {
                Comparison::Equal => left == right,
                Comparison::NotEqual => left.partial_cmp(&right).is_some_and(Ordering::is_ne),
                Comparison::Below => left < right,
                Comparison::AtMost => left <= right,
                Comparison::Above => left > right,
                Comparison::AtLeast => left >= right,
            }
        }
    }
}
