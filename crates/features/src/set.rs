//! A feature set: checked, its vocabularies frozen, in canonical form, hashed.

use std::sync::Arc;

use segue_dataset::{Feature, FeatureKind, Schema};
use segue_events::{EventLog, Micros, RoleMap, Symbols, Value as EventValue};
use toml::{Table, Value};

use crate::canonical;
use crate::error::{FeatureError, Nearest};
use crate::evaluator::Evaluator;
use crate::learning::{self, OTHER_CATEGORY};
use crate::operator::Measure;
use crate::phrases;
use crate::plan::{Plan, Visibility};
use crate::request::RequestFields;
use crate::spec::{FeatureSpec, ValueKind};

/// Version of the canonical form; part of the hash.
const FORMAT_VERSION: i64 = 1;

/// Features in the order of their names, ready to be bound. Immutable.
#[derive(Debug, Clone)]
pub struct FeatureSet {
    specs: Vec<FeatureSpec>,
    plan: Plan,
    schema: Arc<Schema>,
    other_codes: Vec<Option<f64>>,
    hash: String,
}

/// A request field that some feature reads.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestField<'a> {
    /// Its name in the request.
    pub name: &'a str,
    /// The column it fills.
    pub column: usize,
    /// Number or category.
    pub kind: &'a FeatureKind,
    /// Whether a request without it is refused.
    pub required: bool,
}

impl FeatureSet {
    /// Freezes what has to be learned from data, on these rows only: whether values that may be of
    /// any type are numbers or categories, and the categories. The most frequent ones stay, ties by
    /// text; where some do not, [`OTHER_CATEGORY`] stands for all the rest, later ones included.
    ///
    /// `rows` are pairs of a history's index in the log and `t`.
    ///
    /// # Errors
    /// [`FeatureError`] if two features share a name, a role does not exist, or a row names no
    /// history.
    pub fn learn(
        specs: Vec<FeatureSpec>,
        roles: RoleMap,
        visibility: Visibility,
        log: &EventLog,
        rows: &[(usize, Micros)],
    ) -> Result<Self, FeatureError> {
        let n_histories = log.histories.len();
        if let Some(row) = rows.iter().position(|&(history, _)| history >= n_histories) {
            let history = rows[row].0;
            return Err(FeatureError::NoSuchHistory { row, history, n_histories });
        }
        let mut specs = specs
            .into_iter()
            .map(|spec| spec.resolve(&roles, None))
            .collect::<Result<Vec<_>, _>>()?;
        learning::freeze(&mut specs, &roles, visibility, log, rows)?;
        Self::assemble(specs, &roles, visibility)
    }

    /// Reads the file of an artefact.
    ///
    /// # Errors
    /// [`FeatureError`] if it is no such file, of another format version, or changed after it was
    /// written.
    pub fn from_toml(text: &str) -> Result<Self, FeatureError> {
        let unreadable = |reason: String| FeatureError::Toml { reason };
        let mut table: Table =
            text.parse().map_err(|error: toml::de::Error| unreadable(error.to_string()))?;
        let version = table.remove("format_version").and_then(|version| version.as_integer());
        match version {
            Some(FORMAT_VERSION) => {}
            found => {
                let found = found.unwrap_or(0);
                return Err(FeatureError::FormatVersion { found, supported: FORMAT_VERSION });
            }
        }
        let expected = table.remove("hash");
        let expected = expected.as_ref().and_then(Value::as_str).unwrap_or_default();
        let visibility = table.remove("visibility");
        let visibility = parse_visibility(visibility.as_ref().and_then(Value::as_str))?;
        let roles = match table.remove("roles") {
            None => RoleMap::default(),
            Some(roles) => roles.try_into().map_err(|error| unreadable(error.to_string()))?,
        };
        let features = match table.remove("feature") {
            Some(Value::Array(features)) => features,
            _ => return Err(FeatureError::NoFeature),
        };
        if let Some(key) = table.keys().min() {
            return Err(FeatureError::UnknownKey {
                feature: "features.toml".to_owned(),
                key: key.clone(),
                nearest: Nearest::of(
                    key,
                    ["feature", "format_version", "hash", "roles", "visibility"],
                ),
            });
        }
        let read = |(index, value): (usize, Value)| match value {
            Value::Table(table) => FeatureSpec::from_table(&format!("feature[{index}]"), table),
            other => Err(unreadable(format!("feature[{index}] is {other}, expected a table"))),
        };
        let specs = features.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
        let specs = specs.into_iter().map(|spec| spec.resolve(&roles, None));
        let set = Self::assemble(specs.collect::<Result<_, _>>()?, &roles, visibility)?;
        if set.hash != expected {
            let expected = expected.to_owned();
            return Err(FeatureError::Hash { found: set.hash, expected });
        }
        Ok(set)
    }

    fn assemble(
        mut specs: Vec<FeatureSpec>,
        roles: &RoleMap,
        visibility: Visibility,
    ) -> Result<Self, FeatureError> {
        if specs.is_empty() {
            return Err(FeatureError::NoFeature);
        }
        specs.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = specs.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(FeatureError::DuplicateName { name: pair[0].name.clone() });
        }
        let features = specs.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let schema = Arc::new(Schema::new(features)?);
        let plan = Plan::new(specs.iter().map(|spec| &spec.measure), roles, visibility)
            .map_err(|reason| FeatureError::Toml { reason })?;
        let other = |feature: &Feature| {
            let position = feature.vocabulary()?.iter().position(|text| text == OTHER_CATEGORY);
            position.map(|code| code as f64)
        };
        let other_codes = schema.features().iter().map(other).collect();
        let mut set = Self { specs, plan, schema, other_codes, hash: String::new() };
        set.hash = canonical::hash(&set.to_table());
        Ok(set)
    }

    /// The file of an artefact: canonical, every default explicit; reads back to the same set.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let body = self.to_table();
        let mut table = Table::new();
        table.insert("format_version".to_owned(), Value::Integer(FORMAT_VERSION));
        table.insert("hash".to_owned(), Value::String(self.hash.clone()));
        for key in ["visibility", "roles", "feature"] {
            if let Some(value) = body.get(key) {
                table.insert(key.to_owned(), value.clone());
            }
        }
        // A table of texts, numbers, lists and tables always has a TOML form.
        toml::to_string(&table).unwrap_or_default()
    }

    /// What is hashed.
    fn to_table(&self) -> Table {
        let mut table = Table::new();
        let visibility = match self.plan.visibility {
            Visibility::AsKnown => "as_known",
            Visibility::AsOccurred => "as_occurred",
        };
        table.insert("format_version".to_owned(), Value::Integer(FORMAT_VERSION));
        table.insert("visibility".to_owned(), Value::String(visibility.to_owned()));
        let texts = |globs: &Vec<String>| {
            Value::Array(globs.iter().map(|glob| Value::String(glob.clone())).collect())
        };
        let roles = self.plan.roles.globs().iter();
        let roles: Table = roles.map(|(role, globs)| (role.clone(), texts(globs))).collect();
        if !roles.is_empty() {
            table.insert("roles".to_owned(), Value::Table(roles));
        }
        let features = self.specs.iter().map(|spec| Value::Table(spec.to_table())).collect();
        table.insert("feature".to_owned(), Value::Array(features));
        table
    }

    /// SHA-256 of the canonical form, 64 lower-case hex digits.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The columns.
    #[must_use]
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The features, one per column.
    #[must_use]
    pub fn specs(&self) -> &[FeatureSpec] {
        &self.specs
    }

    /// Which events a row sees.
    #[must_use]
    pub fn visibility(&self) -> Visibility {
        self.plan.visibility
    }

    /// A column as a phrase: `help visits in the last 7 days`.
    ///
    /// # Panics
    /// If there is no such column.
    #[must_use]
    pub fn words(&self, column: usize) -> String {
        phrases::words(&self.specs[column].measure)
    }

    /// A column as a phrase without its window: `help visits`. Columns that differ only in their
    /// window share it.
    ///
    /// # Panics
    /// If there is no such column.
    #[must_use]
    pub fn behaviour(&self, column: usize) -> String {
        phrases::behaviour(&self.specs[column].measure)
    }

    /// Ready to evaluate histories that use this symbol table.
    #[must_use]
    pub fn bind<'a>(&'a self, symbols: &'a Symbols) -> Evaluator<'a> {
        Evaluator::new(&self.plan, &self.schema, &self.other_codes, symbols)
    }

    /// Fields that a request may or must have, in column order.
    pub fn request_fields(&self) -> impl Iterator<Item = RequestField<'_>> {
        let features = self.schema.features();
        self.specs.iter().enumerate().filter_map(move |(column, spec)| match &spec.measure {
            Measure::Request { field, required } => {
                let (name, required) = (field.as_str(), *required);
                Some(RequestField { name, column, kind: &features[column].kind, required })
            }
            _ => None,
        })
    }

    /// Whether a request has every required field, and none of the wrong type.
    ///
    /// # Errors
    /// [`FeatureError::RequestField`] names the first field that is wrong.
    pub fn check_request(&self, request: &RequestFields) -> Result<(), FeatureError> {
        for field in self.request_fields() {
            let is_number = *field.kind == FeatureKind::Number;
            let expected = if is_number { "a number" } else { "a category" };
            let found = match request.get(field.name) {
                None if field.required => "nothing".to_owned(),
                Some(EventValue::Text(text)) if is_number => format!("the text {text:?}"),
                _ => continue,
            };
            let (field, expected) = (field.name.to_owned(), expected.to_owned());
            return Err(FeatureError::RequestField { field, found, expected });
        }
        Ok(())
    }
}

/// The column of a frozen feature.
fn column(spec: &FeatureSpec) -> Result<Feature, FeatureError> {
    match &spec.value {
        ValueKind::Number => Ok(Feature::number(&spec.name)),
        ValueKind::Category { vocabulary: Some(vocabulary), .. } => {
            Ok(Feature::category(&spec.name, vocabulary.clone()))
        }
        _ => Err(FeatureError::MissingKey {
            feature: spec.name.clone(),
            key: "vocabulary".to_owned(),
            expected: "the frozen categories".to_owned(),
        }),
    }
}

pub(crate) fn parse_visibility(text: Option<&str>) -> Result<Visibility, FeatureError> {
    match text {
        None | Some("as_known") => Ok(Visibility::AsKnown),
        Some("as_occurred") => Ok(Visibility::AsOccurred),
        Some(other) => Err(FeatureError::UnknownName {
            feature: "features".to_owned(),
            key: "visibility".to_owned(),
            found: other.to_owned(),
            nearest: Nearest::of(other, ["as_known", "as_occurred"]),
        }),
    }
}
