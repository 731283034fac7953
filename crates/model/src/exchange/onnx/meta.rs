//! What our own exports say of columns and classes, under the metadata key `segue`: JSON.

use segue_dataset::{Schema, TargetKind};
use serde::{Deserialize, Serialize};

use super::ensemble::{OnnxEnsemble, OnnxNode};
use super::fault::malformed;
use super::proto::{ModelProto, StringStringEntryProto};
use crate::exchange::ImportError;
use crate::exchange::schema::{Column, ColumnKind};

const KEY: &str = "segue";

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
    pub(super) fn read(model: &ModelProto) -> Result<Option<Self>, ImportError> {
        let Some(entry) = model.metadata_props.iter().find(|entry| entry.key == KEY) else {
            return Ok(None);
        };
        let fault = |detail: String| malformed("metadata \"segue\"", detail);
        let written: Written =
            serde_json::from_str(&entry.value).map_err(|error| fault(error.to_string()))?;
        let target = match written.target.as_str() {
            "binary" => TargetKind::Binary,
            "regression" => TargetKind::Regression,
            "multiclass" => TargetKind::Multiclass { classes: written.classes },
            other => return Err(fault(format!("target {other:?}"))),
        };
        let columns = written.columns.into_iter().map(|column| Column {
            name: column.name,
            kind: column.categories.map_or(ColumnKind::Number, ColumnKind::Named),
        });
        Ok(Some(Self { columns: columns.collect(), target }))
    }

    /// The entry for a model.
    pub(super) fn entry(schema: &Schema, target: &TargetKind) -> StringStringEntryProto {
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
        let value = serde_json::to_string(&written).unwrap_or_default();
        StringStringEntryProto { key: KEY.to_owned(), value }
    }
}

/// Trees that add to each output.
pub(super) fn trees_per_output(ensemble: &OnnxEnsemble) -> Vec<f64> {
    let mut counts = vec![0.0; ensemble.n_targets];
    for tree in &ensemble.trees {
        let mut adds = vec![];
        for node in &tree.nodes {
            if let OnnxNode::Leaf(values) = node {
                adds.extend(values.iter().map(|&(target, _)| target));
            }
        }
        adds.sort_unstable();
        adds.dedup();
        adds.into_iter().for_each(|target| counts[target] += 1.0);
    }
    counts
}
