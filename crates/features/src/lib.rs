//! Feature sets and the one evaluator: (history, t) to a row.
//!
//! A [`FeatureDefinition`] is what a job writes. Expanded over a log it is a list of
//! [`FeatureSpec`]; with its vocabularies frozen it is a [`FeatureSet`], which has a schema, a
//! canonical text and a hash. [`FeatureSet::bind`] gives the [`Evaluator`], which computes a row in
//! one pass over the visible events of a history. [`Condition`] and [`LabelSpec`] use the same pass.

mod auto;
mod binding;
mod canonical;
mod condition;
mod definition;
mod error;
mod evaluator;
mod keys;
mod label;
mod learning;
mod operator;
mod parser;
mod phrases;
mod plan;
mod probe;
mod request;
mod selector;
mod set;
mod spec;
mod summary;
mod text;
mod window;
mod zone;

pub use auto::{AutoOptions, LeftOut};
pub use binding::Scratch;
pub use condition::{BoundCondition, Condition};
pub use definition::{Expansion, FeatureDefinition};
pub use error::{FeatureError, Nearest};
pub use evaluator::Evaluator;
pub use label::{BoundLabel, Label, LabelSpec};
pub use learning::OTHER_CATEGORY;
pub use operator::{
    Aggregate, CalendarPart, EVENT_NAME, FunnelStatistic, Measure, OPERATOR_NAMES, Operator,
    SessionStatistic,
};
pub use plan::Visibility;
pub use request::RequestFields;
pub use selector::{Constant, EventPattern, Selector, Test};
pub use set::{FeatureSet, RequestField};
pub use spec::{FeatureSpec, ValueKind};
pub use summary::{LogSummary, Occurrence, PropertySummary};
pub use window::Window;
