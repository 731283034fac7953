//! Where events or ready-made rows are, and how they read.

use std::collections::BTreeMap;

use segue_events::{PlainMapping, SourceFormat};
use serde::{Deserialize, Serialize};

use super::Span;

/// `[events]`: files of raw events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsSection {
    /// Files or globs, from the job's folder: `.jsonl .ndjson .json` (also `.gz`), `.csv` (also `.gz`), `.parquet`.
    pub files: Vec<String>,
    /// How records read.
    #[serde(default = "default_format")]
    pub format: SourceFormat,
    /// Columns of the `plain` format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<PlainMapping>,
    /// New number properties as arithmetic over others, such as `revenue = "quantity * unit_price"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub derive: BTreeMap<String, String>,
    /// Time zone of a Mixpanel project made before 2023.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_tz: Option<String>,
    /// Globs of properties to leave out, by their flat key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_properties: Vec<String>,
    /// Events received later than this after they happened are dropped and counted.
    #[serde(default = "default_lateness")]
    pub lateness: Span,
    /// Instant up to which the log is complete; default: when its last event became known. Rows whose
    /// label window reaches further are left out. A log of daily totals is complete a day later than
    /// its last time says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete_until: Option<String>,
    /// Whether events of anonymous ids that never became a user are kept as users of their own.
    #[serde(default)]
    pub keep_anonymous: bool,
}

fn default_format() -> SourceFormat {
    SourceFormat::Segment
}

fn default_lateness() -> Span {
    Span::days(7)
}

/// `[table]`: one ready-made row per case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableSection {
    /// `.parquet` or `.csv`, from the job's folder.
    pub file: String,
    /// Column of labels: 0/1, true/false, two texts (see `positive`), classes, or numbers.
    pub label: String,
    /// The label's text that counts as 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positive: Option<String>,
    /// Column of row weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<String>,
    /// Column of times, microseconds UTC or dates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Column of users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Column that says `train`, `calibrate` or `test`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// Columns that are no features.
    #[serde(default)]
    pub ignore: Vec<String>,
    /// Number columns that are categories (codes).
    #[serde(default)]
    pub categories: Vec<String>,
}
