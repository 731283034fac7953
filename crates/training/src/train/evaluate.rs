//! A published version against the test rows of a job.

use std::sync::Arc;

use segue_dataset::{Dataset, Matrix, Schema, TargetKind, UNSEEN_CATEGORY};
use segue_model::{Model, SegmentSet};

use super::{Judged, Parts, TrainError, TrainOptions, judge, prepare, with_threads};
use crate::job::Job;
use crate::read::nearest_first;
use crate::rows::Prepared;
use crate::score::FileScorer;
use crate::watch::Watch;

/// Computes the job's rows with the version's own features and judges the version on the test part.
///
/// # Errors
/// A column that the version reads and a table lacks, or labels of another kind.
pub fn evaluate_version(
    job: &Job,
    version: &FileScorer,
    options: &TrainOptions,
    watch: &dyn Watch,
) -> Result<Judged, TrainError> {
    let (prepared, _) = prepare(job, version.feature_set.as_ref(), options, watch)?;
    expect_target(&version.model, &prepared.dataset)?;
    let dataset = align(&prepared.dataset, version.model.schema())?;
    let prepared = Prepared { dataset, ..prepared };
    let parts = Parts::of(&prepared);
    let none = SegmentSet::new(Vec::new())?;
    let segments = version.segments.as_ref().unwrap_or(&none);
    watch.stage("evaluating", 0);
    with_threads(options.n_threads, || {
        judge(&version.model, segments, &prepared, &parts, Vec::new(), job)
    })
}

/// Whether a model answers what the rows are labelled with.
pub(super) fn expect_target(model: &Model, rows: &Dataset) -> Result<(), TrainError> {
    let (model, rows) = (model.target(), &rows.target().kind);
    if model == rows {
        return Ok(());
    }
    Err(TrainError::TargetMismatch { model: in_words(model), rows: in_words(rows) })
}

fn in_words(kind: &TargetKind) -> String {
    match kind {
        TargetKind::Binary => "a yes or no".to_owned(),
        TargetKind::Multiclass { classes } => format!("one of {}", classes.join(", ")),
        TargetKind::Regression => "a number".to_owned(),
    }
}

/// The columns of `schema` by name, categories by text.
pub(super) fn align(dataset: &Dataset, schema: &Arc<Schema>) -> Result<Dataset, TrainError> {
    if dataset.schema().digest() == schema.digest() {
        return Ok(dataset.clone());
    }
    let columns = schema.features().iter().enumerate().map(|(to, feature)| {
        let from = dataset.schema().index_of(&feature.name).ok_or_else(|| {
            let names = dataset.schema().features().iter().map(|feature| feature.name.as_str());
            let found = nearest_first(&feature.name, names);
            TrainError::MissingColumn { column: feature.name.clone(), found }
        })?;
        let values = dataset.features().column(from);
        let ours = &dataset.schema().features()[from];
        if ours.is_category() != feature.is_category() {
            let kind = |is_category| if is_category { "categories" } else { "numbers" };
            return Err(TrainError::ColumnKind {
                column: feature.name.clone(),
                found: kind(ours.is_category()),
                expected: kind(feature.is_category()),
            });
        }
        Ok(match ours.vocabulary() {
            Some(vocabulary) => values
                .iter()
                .map(|&code| match code {
                    code if code.is_nan() => code,
                    code if code < 0.0 => UNSEEN_CATEGORY,
                    code => schema.category_code(to, &vocabulary[code as usize]),
                })
                .collect(),
            None => values.to_vec(),
        })
    });
    let columns = columns.collect::<Result<Vec<Vec<f64>>, TrainError>>()?;
    let matrix = Matrix::from_columns(dataset.n_rows(), columns);
    let (target, keys) = (dataset.target().clone(), dataset.keys().clone());
    let weight = dataset.weight().map(<[f64]>::to_vec);
    let aligned = Dataset::new(Arc::clone(schema), matrix, target, weight, keys);
    aligned.map_err(|error| TrainError::Rows(error.into()))
}
