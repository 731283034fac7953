//! Options of `[learner]` that are more than a number: how rows and rounds are drawn, what trees may
//! do, how much classes count, where a fit starts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use segue_learners::{Dart, Goss, Monotone};
use serde::{Deserialize, Serialize};

/// `goss = { top = 0.2, other = 0.1 }`: a round takes the rows with the largest gradients and some of the
/// others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GossSection {
    /// Share of the rows taken by gradient, 0 to below 1.
    pub top: f64,
    /// Share of all rows drawn from the others, above 0; at most 1 with `top`.
    pub other: f64,
}

impl Default for GossSection {
    fn default() -> Self {
        let Goss { top_rate, other_rate } = Goss::default();
        Self { top: top_rate, other: other_rate }
    }
}

impl From<GossSection> for Goss {
    fn from(section: GossSection) -> Self {
        Self { top_rate: section.top, other_rate: section.other }
    }
}

/// `dart = { drop = 0.1, skip = 0.5, max_drop = 50 }`: rounds grow on what some of the earlier ones leave.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DartSection {
    /// Probability of each earlier round to be dropped, 0 to 1.
    pub drop: f64,
    /// Probability that a round drops none, 0 to 1.
    pub skip: f64,
    /// Rounds dropped at once, at most; 0 is no limit.
    pub max_drop: u32,
}

impl Default for DartSection {
    fn default() -> Self {
        let Dart { drop_rate, skip_drop, max_drop } = Dart::default();
        Self { drop: drop_rate, skip: skip_drop, max_drop: max_drop as u32 }
    }
}

impl From<DartSection> for Dart {
    fn from(section: DartSection) -> Self {
        let DartSection { drop, skip, max_drop } = section;
        Self { drop_rate: drop, skip_drop: skip, max_drop: max_drop as usize }
    }
}

/// How an answer may move with a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slope {
    /// More of the feature never lowers the answer.
    Increasing,
    /// More of the feature never raises it.
    Decreasing,
}

impl From<Slope> for Monotone {
    fn from(slope: Slope) -> Self {
        match slope {
            Slope::Increasing => Self::Increasing,
            Slope::Decreasing => Self::Decreasing,
        }
    }
}

/// `class_weight`: how much each class counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "toml::Value", into = "toml::Value")]
pub enum ClassWeightSection {
    /// `"equal"`: all the same.
    Equal,
    /// `"balanced"`: inverse to the class's share of the training rows.
    Balanced,
    /// Factors by class name; classes that are not named have 1.
    Each(BTreeMap<String, f64>),
}

impl TryFrom<toml::Value> for ClassWeightSection {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        let number = |value: &toml::Value| match value {
            toml::Value::Float(number) => Some(*number),
            toml::Value::Integer(number) => Some(*number as f64),
            _ => None,
        };
        match &value {
            toml::Value::String(word) if word == "equal" => Ok(Self::Equal),
            toml::Value::String(word) if word == "balanced" => Ok(Self::Balanced),
            toml::Value::Table(table) => {
                let entry = |(class, value): (&String, &toml::Value)| match number(value) {
                    Some(factor) => Ok((class.clone(), factor)),
                    None => Err(format!("{value} of class {class:?} is no number")),
                };
                table.iter().map(entry).collect::<Result<_, _>>().map(Self::Each)
            }
            other => {
                Err(format!("{other} is neither \"balanced\" nor \"equal\" nor a table of classes"))
            }
        }
    }
}

impl From<ClassWeightSection> for toml::Value {
    fn from(section: ClassWeightSection) -> Self {
        match section {
            ClassWeightSection::Equal => Self::String("equal".to_owned()),
            ClassWeightSection::Balanced => Self::String("balanced".to_owned()),
            ClassWeightSection::Each(factors) => {
                let factors = factors.into_iter();
                Self::Table(factors.map(|(class, factor)| (class, factor.into())).collect())
            }
        }
    }
}

/// Where `start_from` points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartFrom {
    /// `MODEL`, `MODEL@ALIAS` or `MODEL@VERSION` of the registry.
    Version(String),
    /// A `model.bin`, or a folder that has one.
    File(PathBuf),
}

impl StartFrom {
    /// Text with a path separator, or ending in `.bin`, is a path that starts from `folder`; all other text
    /// names a version.
    #[must_use]
    pub fn of(text: &str, folder: &Path) -> Self {
        let is_path = text.contains(std::path::is_separator) || text.ends_with(".bin");
        if is_path { Self::File(folder.join(text)) } else { Self::Version(text.to_owned()) }
    }
}

#[cfg(test)]
mod tests;
