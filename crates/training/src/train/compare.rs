//! The other learners of a job, fitted on the same rows for the report.

use segue_dataset::Matrix;

use super::{Parts, TrainOptions};
use crate::evaluation::OtherLearner;
use crate::fit::{FitError, Fitting, Naming, fit_model};
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
        let section = LearnerSection {
            kind,
            // the learner draws them itself
            sample_rows: kind.is_sampled().then_some(job.compare.sample_rows),
            // nobody would see the estimate
            out_of_bag: (kind == LearnerKind::Forest).then_some(false),
            ..LearnerSection::default()
        };
        watch.stage(&format!("comparing with {}", kind.name()), 0);
        let fitting = Fitting {
            section: &section,
            seed: job.seed,
            train: &parts.train,
            valid: &parts.calibrate,
            n_threads: options.n_threads.max(1),
            start: None,
            checkpoints: None,
        };
        match fit_model(&fitting, naming, watch) {
            Ok(fitted) => {
                let outputs = fitted.model.score_rows(parts.test.features());
                let (n, of) = (job.compare.sample_rows, parts.train.n_rows());
                let note = if kind.is_sampled() && n < of {
                    format!("fitted on {n} of {of} training rows (compare.sample_rows)")
                } else {
                    String::new()
                };
                others.push(OtherLearner {
                    name: kind.name().to_owned(),
                    predictions: Matrix::from_rows(fitted.model.n_outputs(), &outputs),
                    note,
                });
            }
            Err(error @ (FitError::Params(_) | FitError::Stopped { .. })) => return Err(error),
            Err(error) => watch.note(&format!("no comparison with {}: {error}", kind.name())),
        }
    }
    Ok(others)
}
