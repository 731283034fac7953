//! Which segment a row falls into.

use std::collections::HashMap;
use std::sync::Arc;

use cel::{Context, ExecutionError, Value};
use segue_dataset::Schema;
use serde::{Deserialize, Serialize};

use super::names::Root;
use super::{Compiled, SegmentError, SegmentSet, Traits};
use crate::FeatureValue;

/// Conditions over more traits than this are not tried: there are three kinds for each.
const MAX_SAMPLED_TRAITS: usize = 4;

/// What a request says of a user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TraitValue {
    /// Yes or no.
    Flag(bool),
    /// A number.
    Number(f64),
    /// Anything else.
    Text(String),
}

/// What conditions are asked of.
#[derive(Debug, Clone, Copy)]
pub struct SegmentInputs<'a> {
    /// The own model's answer; multiclass: the highest class probability.
    pub score: f64,
    /// Answers of other models by name.
    pub scores: &'a [(&'a str, f64)],
    /// Probability of each class; empty unless multiclass.
    pub class_scores: &'a [(&'a str, f64)],
    /// Columns of `row`.
    pub schema: &'a Schema,
    /// The row that was scored; NaN is missing.
    pub row: &'a [f64],
    /// What the request says of the user.
    pub traits: &'a Traits,
}

/// The outcome of one row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Assigned<'a> {
    /// The first segment whose condition holds.
    pub segment: Option<&'a str>,
    /// Segments asked before it whose condition needed something that was missing: they do not hold.
    pub missing: Vec<&'a str>,
    /// Segments asked before it whose condition failed, and why: they do not hold either.
    pub errors: Vec<(&'a str, String)>,
}

enum Outcome {
    Holds(bool),
    Missing,
    Failed(String),
}

impl SegmentSet {
    /// The first segment whose condition holds. Never fails: what goes wrong is in the result, to be
    /// counted.
    ///
    /// # Panics
    /// If the row is not as wide as the schema.
    #[must_use]
    pub fn assign(&self, inputs: &SegmentInputs<'_>) -> Assigned<'_> {
        let mut assigned = Assigned::default();
        if self.segments.is_empty() {
            return assigned;
        }
        let context = self.context(inputs);
        for compiled in &self.segments {
            let name = compiled.segment.name.as_str();
            match run(compiled, &context) {
                Outcome::Holds(true) => {
                    assigned.segment = Some(name);
                    break;
                }
                Outcome::Holds(false) => {}
                Outcome::Missing => assigned.missing.push(name),
                Outcome::Failed(detail) => assigned.errors.push((name, detail)),
            }
        }
        assigned
    }

    /// Only the names that conditions use are put into the context.
    fn context(&self, inputs: &SegmentInputs<'_>) -> Context<'static, 'static> {
        let SegmentInputs { score, scores, class_scores, schema, row, traits } = *inputs;
        assert_eq!(row.len(), schema.len(), "row must have one value a column");
        let of_features = self.names.of_root(Root::Features).iter().filter_map(|name| {
            let column = schema.index_of(name)?;
            let value = match FeatureValue::read(schema, column, row[column]) {
                FeatureValue::Missing => return None,
                FeatureValue::Number(number) => Value::Float(number),
                FeatureValue::Category(category) => text(category),
                FeatureValue::Unseen => text(String::new()),
            };
            Some((name.clone(), value))
        });
        let of_traits = self.names.of_root(Root::Traits).iter().filter_map(|name| {
            let value = match traits.get(name)? {
                TraitValue::Flag(flag) => Value::Bool(*flag),
                TraitValue::Number(number) if number.is_nan() => return None,
                TraitValue::Number(number) => Value::Float(*number),
                TraitValue::Text(words) => text(words.clone()),
            };
            Some((name.clone(), value))
        });
        let numbers = |given: &[(&str, f64)]| -> HashMap<String, Value> {
            let there = given.iter().filter(|(_, value)| !value.is_nan());
            there.map(|&(name, value)| (name.to_owned(), Value::Float(value))).collect()
        };
        let mut context = Context::with_env(Arc::clone(&self.env));
        context.add_variable_from_value("score", Value::Float(score));
        context.add_variable_from_value("features", of_features.collect::<HashMap<_, _>>());
        context.add_variable_from_value("traits", of_traits.collect::<HashMap<_, _>>());
        context.add_variable_from_value("scores", numbers(scores));
        context.add_variable_from_value("class_scores", numbers(class_scores));
        context
    }

    /// Runs a condition with every name present. What kind of value a trait has is not known, so the
    /// condition need only work for one choice of kinds.
    pub(super) fn try_on_samples(
        &self,
        compiled: &Compiled,
        schema: &Schema,
    ) -> Result<(), SegmentError> {
        let names = &compiled.names;
        let n_traits = names.of_root(Root::Traits).len();
        if n_traits > MAX_SAMPLED_TRAITS {
            return Ok(());
        }
        let row = vec![0.0; schema.len()];
        let scores: Vec<(&str, f64)> =
            names.of_root(Root::Scores).iter().map(|n| (n.as_str(), 0.5)).collect();
        let classes: Vec<(&str, f64)> =
            names.of_root(Root::ClassScores).iter().map(|n| (n.as_str(), 0.5)).collect();
        let kinds =
            [TraitValue::Text("text".into()), TraitValue::Number(1.0), TraitValue::Flag(true)];
        let mut fault = String::new();
        for choice in 0..kinds.len().pow(n_traits as u32) {
            let kind_of = |at: usize| &kinds[choice / kinds.len().pow(at as u32) % kinds.len()];
            let traits: Traits = (names.of_root(Root::Traits).iter().enumerate())
                .map(|(at, name)| (name.clone(), kind_of(at).clone()))
                .collect();
            let context = self.context(&SegmentInputs {
                score: 0.5,
                scores: &scores,
                class_scores: &classes,
                schema,
                row: &row,
                traits: &traits,
            });
            match run(compiled, &context) {
                Outcome::Holds(_) | Outcome::Missing => return Ok(()),
                Outcome::Failed(detail) => fault = detail,
            }
        }
        let (segment, when) = (compiled.segment.name.clone(), compiled.segment.when.clone());
        Err(SegmentError::Value { segment, when, detail: fault })
    }
}

fn text(words: String) -> Value {
    Value::String(Arc::new(words))
}

fn run(compiled: &Compiled, context: &Context<'_, '_>) -> Outcome {
    match compiled.program.execute(context) {
        Ok(Value::Bool(holds)) => Outcome::Holds(holds),
        Ok(other) => Outcome::Failed(format!("gave {}, expected true or false", other.type_of())),
        Err(ExecutionError::NoSuchKey(_)) => Outcome::Missing,
        Err(error) => Outcome::Failed(error.to_string()),
    }
}
