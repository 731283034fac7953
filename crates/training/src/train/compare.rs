//! The other learners of a job, fitted on the same rows for the report.

use segue_dataset::Matrix;

use super::{Parts, TrainOptions};
use crate::evaluation::OtherLearner;
use crate::fit::{FitError, Naming, fit_model};
use crate::job::{Job, LearnerKind, LearnerSection};
use crate::watch::Watch;

/// Fits each comparison and scores the test rows with it. A learner that cannot work on these rows is
/// noted and left out: a comparison must not stop a job.
pub(super) fn fit_others(
    job: &Job,
    parts: &Parts,
    naming: &Naming,
    options: &TrainOptions,
    watch: &dyn Watch,
) -> Result<Vec<OtherLearner>, FitError> {
    let mut others = Vec::new();
    for &kind in job.compare.learners.iter().filter(|kind| **kind != job.learner.kind) {
        let sampled = matches!(kind, LearnerKind::LinfaTree | LearnerKind::SmartcoreForest);
        let sample_rows = sampled.then_some(job.compare.sample_rows);
        let section = LearnerSection { kind, sample_rows, ..LearnerSection::default() };
        watch.stage(&format!("comparing with {}", kind.name()), 0);
        let (train, calibrate) = (&parts.train, &parts.calibrate);
        let n_threads = options.n_threads.max(1);
        match fit_model(&section, job.seed, train, calibrate, naming, n_threads, watch) {
            Ok(fitted) => {
                let outputs = fitted.model.score_rows(parts.test.features());
                let note = match sample_rows {
                    Some(n) if parts.train.n_rows() > n => format!("fitted on {n} rows"),
                    _ => String::new(),
                };
                others.push(OtherLearner {
                    name: kind.name().to_owned(),
                    predictions: Matrix::from_rows(fitted.model.n_outputs(), &outputs),
                    note,
                });
            }
            Err(FitError::Params(error)) => return Err(FitError::Params(error)),
            Err(error) => watch.note(&format!("no comparison with {}: {error}", kind.name())),
        }
    }
    Ok(others)
}
