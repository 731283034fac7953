//! What both kinds of file hold: a schema and a target.

use std::sync::Arc;

use segue_dataset::{Feature, FeatureKind, Schema, TargetKind};

use super::{DecodeError, Reader, Writer};

pub(super) fn write_schema(out: &mut Writer, schema: &Schema) {
    out.count(schema.len());
    for feature in schema.features() {
        out.text(&feature.name);
        match &feature.kind {
            FeatureKind::Number => out.u8(0),
            FeatureKind::Category { vocabulary } => {
                out.u8(1);
                out.texts(vocabulary);
            }
        }
    }
}

pub(super) fn read_schema(mut reader: Reader<'_>) -> Result<Arc<Schema>, DecodeError> {
    let n = reader.count(9)?;
    let mut features = Vec::with_capacity(n);
    for _ in 0..n {
        let name = reader.text()?;
        features.push(match reader.u8()? {
            0 => Feature::number(name),
            1 => Feature::category(name, reader.texts()?),
            kind => return Err(reader.error(format!("feature kind {kind}, expected 0 or 1"))),
        });
    }
    let schema = Schema::new(features).map_err(|error| reader.error(error.to_string()))?;
    reader.end()?;
    Ok(Arc::new(schema))
}

pub(super) fn write_target(out: &mut Writer, target: &TargetKind) {
    match target {
        TargetKind::Binary => out.u8(0),
        TargetKind::Multiclass { classes } => {
            out.u8(1);
            out.texts(classes);
        }
        TargetKind::Regression => out.u8(2),
    }
}

pub(super) fn read_target(reader: &mut Reader<'_>) -> Result<TargetKind, DecodeError> {
    match reader.u8()? {
        0 => Ok(TargetKind::Binary),
        1 => Ok(TargetKind::Multiclass { classes: reader.texts()? }),
        2 => Ok(TargetKind::Regression),
        kind => Err(reader.error(format!("target kind {kind}, expected 0, 1 or 2"))),
    }
}
