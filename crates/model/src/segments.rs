//! Segments: named conditions over scores, features and traits; the first that holds wins.
//!
//! ```toml
//! [[segment]]
//! name = "at_risk"
//! when = "score >= 0.6 && features.active_days_7d < 2"
//! description = "likely to leave, hardly active"
//! ```
//!
//! A condition is an expression of the Common Expression Language over
//!
//! | name | what |
//! |---|---|
//! | `score` | the answer of the version's own model (multiclass: its highest probability) |
//! | `scores.churn` | the answer of another model |
//! | `class_scores.billing` | the probability of one class |
//! | `features.plan` | a feature: a number, or a category as text (`""` if not in the vocabulary) |
//! | `traits.country` | what the request says of the user: text, number or flag |
//!
//! A name that is no identifier is written `features["help visits, 7d"]`. A condition that asks for
//! something missing does not hold; `has(features.plan)` asks whether it is there.

mod names;
mod run;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use cel::{Env, Program};
use segue_dataset::Schema;
use serde::{Deserialize, Serialize};

use names::Root;
pub use run::{Assigned, SegmentInputs, TraitValue};

/// Longest condition, in bytes: far more than anyone can read, far less than hurts.
const MAX_CONDITION_BYTES: usize = 4096;

/// One segment as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Unique, not empty.
    pub name: String,
    /// The condition.
    pub when: String,
    /// What the segment means, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SegmentFile {
    #[serde(default)]
    segment: Vec<Segment>,
}

/// Why segments.toml cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// Not TOML, or a key that does not belong.
    #[error("segments.toml: {0}")]
    Toml(#[from] toml::de::Error),
    /// A segment without a name, or a name used twice.
    #[error("segment {index} is named {name:?}: names must be unique and not empty")]
    Name {
        /// Index of the segment, from 0.
        index: usize,
        /// Its name.
        name: String,
    },
    /// A condition that is not an expression.
    #[error("segment {segment:?}: {detail} in condition `{when}`")]
    Condition {
        /// Name of the segment.
        segment: String,
        /// The condition.
        when: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A condition uses a name that does not exist.
    #[error("segment {segment:?} uses {name:?}, which is no {kind}{}", did_you_mean(.nearest.as_ref()))]
    Unknown {
        /// Name of the segment.
        segment: String,
        /// The unknown name.
        name: String,
        /// What it should be: variable, function, feature, model or class.
        kind: &'static str,
        /// The existing name most like it.
        nearest: Option<String>,
    },
    /// A condition does not give true or false.
    #[error("segment {segment:?}: condition `{when}` fails on sample values: {detail}")]
    Value {
        /// Name of the segment.
        segment: String,
        /// The condition.
        when: String,
        /// What it gave.
        detail: String,
    },
}

fn did_you_mean(nearest: Option<&String>) -> String {
    nearest.map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
}

/// A compiled condition and the names it uses.
struct Compiled {
    segment: Segment,
    program: Program,
    names: names::Names,
}

/// Compiled segments in order. Cheap to share, safe to use from many threads.
pub struct SegmentSet {
    segments: Vec<Compiled>,
    env: Arc<Env>,
    /// Union of the names that the conditions use.
    names: names::Names,
}

impl fmt::Debug for SegmentSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.segments()).finish()
    }
}

impl SegmentSet {
    /// Reads and compiles segments.toml.
    ///
    /// # Errors
    /// [`SegmentError`] for bad TOML, names, or conditions that do not compile.
    pub fn parse(text: &str) -> Result<Self, SegmentError> {
        Self::new(toml::from_str::<SegmentFile>(text)?.segment)
    }

    /// Compiles segments.
    ///
    /// # Errors
    /// [`SegmentError`] for bad names, or conditions that do not compile.
    pub fn new(segments: Vec<Segment>) -> Result<Self, SegmentError> {
        let env = Arc::new(Env::stdlib());
        let mut compiled: Vec<Compiled> = Vec::with_capacity(segments.len());
        let mut union = names::Names::default();
        for (index, segment) in segments.into_iter().enumerate() {
            let taken = compiled.iter().any(|earlier| earlier.segment.name == segment.name);
            if taken || segment.name.trim().is_empty() {
                return Err(SegmentError::Name { index, name: segment.name });
            }
            let program = compile(&env, &segment)?;
            let names = names::Names::of(&segment, program.expression())?;
            union.extend(&names);
            compiled.push(Compiled { segment, program, names });
        }
        Ok(Self { segments: compiled, env, names: union })
    }

    /// Checks every name against the model's schema and the known models, and tries every condition
    /// on sample values: it must give true or false.
    ///
    /// # Errors
    /// [`SegmentError::Unknown`] with the nearest existing name, or [`SegmentError::Value`].
    pub fn check(&self, schema: &Schema, models: &[&str]) -> Result<(), SegmentError> {
        let features: Vec<&str> =
            schema.features().iter().map(|feature| feature.name.as_str()).collect();
        for Compiled { segment, names, .. } in &self.segments {
            names::check(segment, names.of_root(Root::Features), "feature", &features)?;
            names::check(segment, names.of_root(Root::Scores), "model", models)?;
        }
        self.segments.iter().try_for_each(|compiled| self.try_on_samples(compiled, schema))
    }

    /// Checks the names after `class_scores` against a model's classes.
    ///
    /// # Errors
    /// [`SegmentError::Unknown`] with the nearest class.
    pub fn check_classes(&self, classes: &[String]) -> Result<(), SegmentError> {
        let classes: Vec<&str> = classes.iter().map(String::as_str).collect();
        self.segments.iter().try_for_each(|Compiled { segment, names, .. }| {
            names::check(segment, names.of_root(Root::ClassScores), "class", &classes)
        })
    }

    /// The segments as written, in order.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().map(|compiled| &compiled.segment)
    }

    /// The segments' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.segments().map(|segment| segment.name.as_str())
    }

    /// Models whose answers the conditions use beside the version's own, sorted.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.names.of_root(Root::Scores).iter().map(String::as_str)
    }

    /// Whether there is no segment.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The text of segments.toml.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let segment = self.segments().cloned().collect();
        // A list of tables of strings always serialises.
        toml::to_string(&SegmentFile { segment }).unwrap_or_default()
    }
}

fn compile(env: &Env, segment: &Segment) -> Result<Program, SegmentError> {
    let condition = |detail: String| SegmentError::Condition {
        segment: segment.name.clone(),
        when: segment.when.clone(),
        detail,
    };
    let n_bytes = segment.when.len();
    if n_bytes > MAX_CONDITION_BYTES {
        let detail = format!("{n_bytes} bytes, at most {MAX_CONDITION_BYTES} are allowed,");
        return Err(condition(detail));
    }
    env.compile(&segment.when).map_err(|errors| {
        let first = errors.errors.first();
        condition(first.map_or_else(
            || "syntax error".to_owned(),
            |error| format!("{} (line {}, column {})", error.msg, error.pos.0, error.pos.1),
        ))
    })
}

/// Text, number or flag of a user by name.
pub type Traits = BTreeMap<String, TraitValue>;
