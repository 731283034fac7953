//! The feature table of a job as a file: what a learner sees, for other tools.

use std::path::Path;

use polars::prelude::{
    Column, Float64Chunked, IntoColumn, NamedFrom, NewChunkedArray, PlSmallStr, Series,
};
use rayon::prelude::*;
use segue_dataset::{FeatureKind, TargetKind};

use crate::rows::Prepared;
use crate::write::{TableWriter, WriteError};

/// Rows written at a time.
const BATCH_ROWS: usize = 100_000;

/// Writes `user`, `t` (microseconds UTC), `split`, `label` and one column a feature; categories as
/// text, missing as null. Rows that the split left out say `none`.
///
/// # Errors
/// [`WriteError`] with the path.
pub fn write_features(prepared: &Prepared, path: &Path) -> Result<(), WriteError> {
    let data = &prepared.dataset;
    let n_rows = data.n_rows();
    let mut part = vec!["none"; n_rows];
    let split = &prepared.split;
    for (name, rows) in
        [("train", &split.train), ("calibrate", &split.calibrate), ("test", &split.test)]
    {
        rows.iter().for_each(|&row| part[row as usize] = name);
    }
    let mut writer = TableWriter::new(path)?;
    for start in (0..n_rows).step_by(BATCH_ROWS) {
        let rows = start..(start + BATCH_ROWS).min(n_rows);
        let mut columns = Vec::new();
        if !data.keys().user.is_empty() {
            let users: Vec<&str> =
                data.keys().user[rows.clone()].iter().map(|user| &**user).collect();
            columns.push(column("user", users));
        }
        if !data.keys().t.is_empty() {
            columns.push(column("t", &data.keys().t[rows.clone()]));
        }
        columns.push(column("split", &part[rows.clone()]));
        columns.push(label(&data.target().kind, &data.target().values[rows.clone()]));
        columns.par_extend(data.schema().features().par_iter().enumerate().map(
            |(index, feature)| {
                let values = &data.features().column(index)[rows.clone()];
                feature_column(&feature.name, &feature.kind, values)
            },
        ));
        writer.write(rows.len(), columns)?;
    }
    writer.finish()
}

pub(crate) fn column<T, P: ?Sized>(name: &str, values: T) -> Column
where
    Series: NamedFrom<T, P>,
{
    Series::new(PlSmallStr::from_str(name), values).into()
}

fn label(kind: &TargetKind, values: &[f64]) -> Column {
    match kind {
        TargetKind::Multiclass { classes } => {
            let texts: Vec<&str> =
                values.iter().map(|&class| classes[class as usize].as_str()).collect();
            column("label", texts)
        }
        TargetKind::Binary | TargetKind::Regression => column("label", values),
    }
}

fn feature_column(name: &str, kind: &FeatureKind, values: &[f64]) -> Column {
    match kind {
        FeatureKind::Number => {
            let name = PlSmallStr::from_str(name);
            let values = if values.iter().any(|value| value.is_nan()) {
                let known = |&value: &f64| (!value.is_nan()).then_some(value);
                Float64Chunked::from_iter_options(name, values.iter().map(known))
            } else {
                Float64Chunked::from_slice(name, values)
            };
            values.into_column()
        }
        FeatureKind::Category { vocabulary } => {
            let text = |&code: &f64| match code {
                code if code.is_nan() => None,
                code if code < 0.0 => Some("(other)"),
                code => Some(vocabulary[code as usize].as_str()),
            };
            column(name, values.iter().map(text).collect::<Vec<Option<&str>>>())
        }
    }
}
