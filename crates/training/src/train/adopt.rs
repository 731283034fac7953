//! A model of another library in the place of a fit: the job's rows calibrate, judge and segment it as if
//! its own learner had made it.

use std::collections::BTreeMap;

use segue_dataset::Dataset;
use segue_learners::Fitted;
use segue_model::exchange::{Format, ImportError};
use segue_model::{Calibration, Model, ModelError, ModelParts, exchange};

use super::evaluate::{align, expect_target};
use super::{
    Fit, Origins, Parts, Preflight, TrainError, TrainOptions, Trained, check_segments,
    prepare_rows, segments_of,
};
use crate::fit::{FittedModel, Naming, calibration_of};
use crate::job::{Job, Origin};
use crate::rows::Prepared;
use crate::watch::Watch;

/// A file of another library.
#[derive(Debug, Clone, Copy)]
pub struct ForeignFile<'a> {
    /// What is in it.
    pub bytes: &'a [u8],
    /// Its name, for the lineage.
    pub name: &'a str,
    /// Its format; recognised by its first bytes if not given.
    pub format: Option<Format>,
    /// Whether its scores are calibrated on the job's calibrating rows, or left as they are.
    pub is_calibrated: bool,
}

/// Why a foreign model does not fit a job.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdoptError {
    /// The file.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// Its parts do not make a model of ours.
    #[error("the file reads, but is no model that can be served: {0}")]
    Model(#[from] ModelError),
    /// Its columns have no definition by events.
    #[error(
        "job {job:?} makes its rows from events, and the file does not say how its columns come about; \
         write them to a table with segue features, and name that table in a job with [table]"
    )]
    Events {
        /// Name of the job's model.
        job: String,
    },
}

/// Where an adopted model comes from.
pub(super) struct Foreign<'a> {
    pub(super) file_name: &'a str,
    pub(super) bytes: &'a [u8],
    /// Format and version.
    pub(super) source: String,
}

/// Reads a foreign model and does with it what [`super::train`] does with one that it has fitted. The rows
/// of the job's training part are taken for those that it was fitted on: it should not have seen the others.
/// The job's `[learner]` says nothing here.
///
/// # Errors
/// [`TrainError`] with the place in the file, the column or the key.
pub fn adopt(
    job: &Job,
    file: &ForeignFile<'_>,
    options: &TrainOptions,
    watch: &dyn Watch,
) -> Result<Trained, TrainError> {
    if let Origin::Events(_) = job.origin {
        return Err(AdoptError::Events { job: job.model.clone() }.into());
    }
    let imported = exchange::import(file.bytes, file.format).map_err(AdoptError::from)?;
    imported.warnings.iter().for_each(|warning| watch.note(warning));
    let source = imported.source.clone();
    let plain = imported.into_model(job.task.name()).map_err(AdoptError::from)?;

    let (prepared, read) = prepare_rows(job, None, options, watch, true)?;
    expect_target(&plain, &prepared.dataset)?;
    let dataset = align(&prepared.dataset, plain.schema())?;
    note_unseen(&prepared, &dataset, watch);
    let prepared = Prepared { dataset, ..prepared };
    let preflight = Preflight::of(&prepared);
    preflight.check(&job.preflight).map_err(TrainError::Preflight)?;
    let parts = Parts::of(&prepared);
    let segments = segments_of(job)?;
    check_segments(job, &segments, &prepared, watch)?;

    let fitted = calibrated(plain, &parts, file.is_calibrated)?;
    let naming =
        Naming { task: job.task.name().to_owned(), behaviours: Vec::new(), feature_set_hash: None };
    let foreign = Foreign { file_name: file.name, bytes: file.bytes, source };
    let from = Origins { start: None, foreign: Some(&foreign) };
    Fit { job, prepared, parts, segments, preflight, read, fitted, naming }
        .judged(from, options, watch)
}

fn calibrated(plain: Model, parts: &Parts, is_calibrated: bool) -> Result<FittedModel, TrainError> {
    let ensemble = plain.ensemble().clone();
    let n_outputs = plain.n_outputs().max(1);
    let (calibration, calibration_losses) = if is_calibrated {
        calibration_of(&parts.calibrate, &plain.raw_rows(parts.calibrate.features()))
    } else {
        (Calibration::None, Vec::new())
    };
    let model_parts = ModelParts { calibration, ..plain.into_parts() };
    let model = Model::new(model_parts).map_err(AdoptError::from)?;
    let fitted = Fitted {
        best_iteration: ensemble.trees.len() / n_outputs,
        ensemble,
        history: Vec::new(),
        learner_name: "imported",
        out_of_bag: None,
    };
    Ok(FittedModel { model, fitted, calibration_losses, found: BTreeMap::new() })
}

/// Tells of categories that the rows hold and the model does not know.
fn note_unseen(prepared: &Prepared, aligned: &Dataset, watch: &dyn Watch) {
    let rows = prepared.dataset.schema();
    for (column, feature) in aligned.schema().features().iter().enumerate() {
        let count = |dataset: &Dataset, column| {
            dataset.features().column(column).iter().filter(|&&code| code < 0.0).count()
        };
        let Some(from) = rows.index_of(&feature.name).filter(|_| feature.is_category()) else {
            continue;
        };
        let n = count(aligned, column) - count(&prepared.dataset, from);
        if n > 0 {
            let of = aligned.n_rows();
            watch.note(&format!(
                "{n} of {of} values of {:?} are categories that the model does not know",
                feature.name
            ));
        }
    }
}
