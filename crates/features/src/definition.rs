//! What a job writes under `[features]`: single features, grids, and `auto`.

use segue_events::RoleMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml::{Table, Value};

use crate::auto::{AutoOptions, LeftOut};
use crate::error::{FeatureError, Nearest};
use crate::keys::{ALL_KEYS, Keys, shown};
use crate::operator::OPERATOR_NAMES;
use crate::plan::Visibility;
use crate::set::parse_visibility;
use crate::spec::FeatureSpec;
use crate::summary::LogSummary;

/// The definition, checked but for what needs roles and the log.
///
/// ```toml
/// auto = false
/// visibility = "as_known"
///
/// [[grid]]
/// events = ["help_visit", "Order *"]
/// windows = ["7d", "28d", "lifetime"]
/// ops = ["count", "time_since_last"]
///
/// [[feature]]
/// name = "spend"
/// op = "sum"
/// events = "Order Completed"
/// property = "revenue"
/// window = "90d"
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureDefinition {
    /// Which events a row sees.
    pub visibility: Visibility,
    /// Whether, and how, features are chosen from the log.
    pub auto: Option<AutoOptions>,
    specs: Vec<FeatureSpec>,
    /// What was read, to be written back.
    source: Table,
}

/// What a definition came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Expansion {
    /// The features, in the order of their names.
    pub specs: Vec<FeatureSpec>,
    /// What `auto` considered and did not take.
    pub left_out: Vec<LeftOut>,
}

impl Default for FeatureDefinition {
    fn default() -> Self {
        Self::automatic()
    }
}

impl FeatureDefinition {
    /// `auto = true` and nothing else.
    #[must_use]
    pub fn automatic() -> Self {
        let source = Table::from_iter([("auto".to_owned(), Value::Boolean(true))]);
        let (visibility, auto) = (Visibility::AsKnown, Some(AutoOptions::default()));
        Self { visibility, auto, specs: Vec::new(), source }
    }

    /// Reads the table.
    ///
    /// # Errors
    /// [`FeatureError`] names the feature, the key and the nearest valid value.
    pub fn from_table(table: Table) -> Result<Self, FeatureError> {
        let source = table.clone();
        let mut keys = Keys::new("features", table);
        let visibility = parse_visibility(keys.text("visibility")?.as_deref())?;
        let auto = match keys.take("auto") {
            None | Some(Value::Boolean(false)) => None,
            Some(Value::Boolean(true)) => Some(AutoOptions::default()),
            Some(Value::Table(table)) => Some(AutoOptions::from_table(table)?),
            Some(other) => return Err(keys.bad("auto", shown(&other), "true, false or a table")),
        };
        let mut specs = Vec::new();
        for (index, table) in tables(&mut keys, "feature")?.into_iter().enumerate() {
            specs.push(FeatureSpec::from_table(&format!("features.feature[{index}]"), table)?);
        }
        for (index, table) in tables(&mut keys, "grid")?.into_iter().enumerate() {
            specs.extend(grid(&format!("features.grid[{index}]"), table)?);
        }
        keys.finish_section()?;
        if auto.is_none() && specs.is_empty() {
            return Err(FeatureError::NoFeature);
        }
        Ok(Self { visibility, auto, specs, source })
    }

    /// The features, resolved against roles and log, in the order of their names, and what `auto` left out
    /// and why. A feature that is written out wins over one of the same name that `auto` chose.
    ///
    /// # Errors
    /// [`FeatureError`] for an event, role or property that does not exist, or a name given twice.
    pub fn expand(&self, roles: &RoleMap, log: &LogSummary) -> Result<Expansion, FeatureError> {
        let mut specs = Vec::new();
        for spec in &self.specs {
            specs.push(spec.clone().resolve(roles, Some(log))?);
        }
        specs.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = specs.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(FeatureError::DuplicateName { name: pair[0].name.clone() });
        }
        let mut left_out = Vec::new();
        if let Some(options) = &self.auto {
            let written = specs.len();
            let chosen = options.choose(roles, log)?;
            left_out = chosen.left_out;
            for spec in chosen.specs {
                if specs[..written].iter().any(|other| other.name == spec.name) {
                    let reason = "a feature of that name is written out".to_owned();
                    left_out.push(LeftOut { what: spec.name, reason });
                } else {
                    specs.push(spec);
                }
            }
            specs.sort_by(|a, b| a.name.cmp(&b.name));
        }
        if specs.is_empty() {
            return Err(FeatureError::NoFeature);
        }
        Ok(Expansion { specs, left_out })
    }
}

impl<'de> Deserialize<'de> for FeatureDefinition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = Table::deserialize(deserializer)?;
        Self::from_table(table).map_err(serde::de::Error::custom)
    }
}

impl Serialize for FeatureDefinition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.source.serialize(serializer)
    }
}

fn tables(keys: &mut Keys, key: &'static str) -> Result<Vec<Table>, FeatureError> {
    let expected = || format!("tables, each under [[features.{key}]]");
    match keys.take(key) {
        None => Ok(Vec::new()),
        Some(Value::Array(values)) => values
            .into_iter()
            .map(|value| match value {
                Value::Table(table) => Ok(table),
                other => Err(keys.bad(key, shown(&other), expected())),
            })
            .collect(),
        Some(other) => Err(keys.bad(key, shown(&other), expected())),
    }
}

/// The axes of a grid, and the keys that all its features share.
struct Grid {
    /// `events` or `role`, and its text.
    events: Vec<(&'static str, String)>,
    windows: Vec<String>,
    ops: Vec<String>,
    properties: Vec<String>,
    shared: Vec<(String, Value)>,
}

impl Grid {
    fn from_table(place: &str, table: Table) -> Result<Self, FeatureError> {
        let mut keys = Keys::new(place, table);
        let events = match (keys.texts("events")?, keys.texts("role")?) {
            (Some(events), None) => events.into_iter().map(|text| ("events", text)).collect(),
            (None, Some(roles)) => roles.into_iter().map(|text| ("role", text)).collect(),
            (None, None) => vec![("events", "*".to_owned())],
            (Some(_), Some(_)) => {
                return Err(keys.bad("role", "given beside events", "either events or role"));
            }
        };
        let windows = keys.texts("windows")?;
        let windows = windows.ok_or_else(|| keys.missing("windows", "a list such as [\"7d\"]"))?;
        let ops = keys.texts("ops")?;
        let ops = ops.ok_or_else(|| keys.missing("ops", "a list such as [\"count\"]"))?;
        let properties = keys.texts("properties")?.unwrap_or_default();
        let needs = ops.iter().find(|op| NEEDS_PROPERTY.contains(&op.as_str()));
        match needs {
            Some(op) if properties.is_empty() => {
                let expected = format!("a list of properties for op {op:?}");
                return Err(keys.missing("properties", expected));
            }
            None if !properties.is_empty() && !ops.iter().any(|op| reads_property(op)) => {
                let expected = "none, for no op of the grid reads one";
                return Err(keys.bad("properties", "given", expected));
            }
            _ => {}
        }
        for key in ["name", "op", "window", "property", "of", "numerator", "denominator"] {
            if keys.take(key).is_some() {
                return Err(keys.bad(key, "given", "no such key in a grid, only in a feature"));
            }
        }
        Ok(Self { events, windows, ops, properties, shared: keys.rest() })
    }

    /// Fails on the first shared key that none of the operators has.
    fn check_shared(&self, place: &str) -> Result<(), FeatureError> {
        let mut takes = Vec::new();
        for op in &self.ops {
            takes.extend(keys_of(place, op)?);
        }
        let unused = self.shared.iter().find(|(key, _)| !takes.contains(&key.as_str()));
        let Some((key, _)) = unused else { return Ok(()) };
        let axes = ["events", "ops", "properties", "role", "windows"];
        let (feature, key) = (place.to_owned(), key.clone());
        if ALL_KEYS.contains(&key.as_str()) {
            let (op, takes) = (self.ops.join(", "), axes.join(", "));
            return Err(FeatureError::KeyNotForOperator { feature, key, op, takes });
        }
        let nearest = Nearest::of(&key, ALL_KEYS.into_iter().chain(axes));
        Err(FeatureError::UnknownKey { feature, key, nearest })
    }

    /// One feature of the grid.
    fn entry(
        &self,
        op: &str,
        takes: &[&str],
        (key, event): &(&str, String),
        window: &str,
        property: Option<&String>,
    ) -> Table {
        let has_length = !matches!(window, "lifetime" | "session");
        let has_sessions = window == "session" || knows_sessions(op);
        let shared = self.shared.iter().filter(|(key, _)| match key.as_str() {
            "offset" => has_length,
            "session_timeout" => has_sessions,
            key => takes.contains(&key),
        });
        let mut entry: Table = shared.cloned().collect();
        let mut put = |key: &str, text: &str| {
            entry.insert(key.to_owned(), Value::String(text.to_owned()));
        };
        put("op", op);
        put(key, event);
        put("window", window);
        if let Some(property) = property {
            put("property", property);
        }
        entry
    }
}

/// Every combination of `events`, `windows`, `ops` and, for operators that read one, `properties`.
/// Other keys go to every operator that has them.
fn grid(place: &str, table: Table) -> Result<Vec<FeatureSpec>, FeatureError> {
    let grid = Grid::from_table(place, table)?;
    grid.check_shared(place)?;
    let mut specs = Vec::new();
    for op in &grid.ops {
        let takes = keys_of(place, op)?;
        let properties: Vec<Option<&String>> = match reads_property(op) {
            true if !grid.properties.is_empty() => grid.properties.iter().map(Some).collect(),
            _ => vec![None],
        };
        for event in &grid.events {
            for window in &grid.windows {
                for &property in &properties {
                    let entry = grid.entry(op, &takes, event, window, property);
                    specs.push(FeatureSpec::from_table(place, entry)?);
                }
            }
        }
    }
    Ok(specs)
}

const NEEDS_PROPERTY: [&str; 8] =
    ["first", "last", "max", "mean", "min", "percentile", "std", "sum"];

fn reads_property(op: &str) -> bool {
    NEEDS_PROPERTY.contains(&op) || ["distinct", "entropy", "last_k", "top", "trend"].contains(&op)
}

fn knows_sessions(op: &str) -> bool {
    op.starts_with("session") || op == "ngram" || op == "transition"
}

/// Keys that an operator of a grid has besides those that the grid spells out.
fn keys_of(place: &str, op: &str) -> Result<Vec<&'static str>, FeatureError> {
    let mut keys = vec!["kind", "offset", "session_timeout", "where"];
    keys.extend(match op {
        "percentile" => &["percentile"][..],
        "active_days" | "streak_days" => &["time_zone"],
        "last_k" => &["k", "value", "vocabulary", "vocabulary_size"],
        "first" | "last" | "top" => &["value", "vocabulary", "vocabulary_size"],
        "ngram" => &["steps", "max_gap"],
        "transition" => &["from", "to", "max_gap"],
        "funnel_step" | "funnel_time_in_step" | "funnel_retries" => &["steps"],
        "trend" => &["bins"],
        "trait" | "request" | "ratio" | "delta" | "history_days" | "hour" | "day_of_week"
        | "day_of_month" | "month" | "is_weekend" => {
            let keys = Keys::new(place, Table::new());
            let expected = "operators over events in a window; write this one as a feature";
            return Err(keys.bad("ops", format!("{op:?}"), expected));
        }
        op if OPERATOR_NAMES.contains(&op) => &[],
        op => return Err(Keys::new(place, Table::new()).unknown("ops", op, OPERATOR_NAMES)),
    });
    Ok(keys)
}
