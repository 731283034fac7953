//! What our own exports say of columns and classes where a format has no place for it: JSON under the
//! key `segue` of its free attributes.

use segue_dataset::{Schema, TargetKind};
use serde::{Deserialize, Serialize};

use super::schema::{Column, ColumnKind};

/// The key.
pub(super) const KEY: &str = "segue";

#[derive(Debug, Serialize, Deserialize)]
struct Written {
    target: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    classes: Vec<String>,
    columns: Vec<WrittenColumn>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenColumn {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    categories: Option<Vec<String>>,
}

/// Columns and target of the model that was exported.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Meta {
    pub(super) columns: Vec<Column>,
    pub(super) target: TargetKind,
}

impl Meta {
    /// Reads what [`text`](Self::text) wrote.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let written: Written = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let target = match written.target.as_str() {
            "binary" => TargetKind::Binary,
            "regression" => TargetKind::Regression,
            "multiclass" => TargetKind::Multiclass { classes: written.classes },
            other => return Err(format!("target {other:?}")),
        };
        let columns = written.columns.into_iter().map(|column| Column {
            name: column.name,
            kind: column.categories.map_or(ColumnKind::Number, ColumnKind::Named),
        });
        Ok(Self { columns: columns.collect(), target })
    }

    /// The text for a model.
    pub(super) fn text(schema: &Schema, target: &TargetKind) -> String {
        let (kind, classes) = match target {
            TargetKind::Binary => ("binary", Vec::new()),
            TargetKind::Regression => ("regression", Vec::new()),
            TargetKind::Multiclass { classes } => ("multiclass", classes.clone()),
        };
        let columns = schema.features().iter().map(|feature| WrittenColumn {
            name: feature.name.clone(),
            categories: feature.vocabulary().map(<[String]>::to_vec),
        });
        let written = Written { target: kind.to_owned(), classes, columns: columns.collect() };
        // names and lists always have a JSON form
        serde_json::to_string(&written).unwrap_or_default()
    }
}
