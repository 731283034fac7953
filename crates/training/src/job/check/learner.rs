//! `[learner]` and the learners of `[compare]`: ranges, and what suits the question.

use std::path::Path;

use segue_learners::ParamError;

use crate::fit::learner_of;
use crate::job::learner::key_of;
use crate::job::{Answer, Job, JobError, LearnerSection, ObjectiveKind};

impl Job {
    pub(super) fn check_learners(&self, path: &Path) -> Result<(), JobError> {
        self.check_objective(path)?;
        let answer = self.task.answer();
        if let Err(error) = learner_of(&self.learner, answer, self.seed).check() {
            let (key, message) = told(&error);
            return Err(JobError::value(path, &key, message));
        }
        let sample_rows = self.compare.sample_rows;
        for &kind in self.compare.learners.iter().filter(|kind| kind.is_sampled()) {
            let section = LearnerSection {
                kind,
                sample_rows: Some(sample_rows),
                ..LearnerSection::default()
            };
            if let Err(error) = learner_of(&section, answer, self.seed).check() {
                let message = told(&error).1;
                return Err(JobError::value(path, "compare.sample_rows", message));
            }
        }
        Ok(())
    }

    /// The objective answers the question, and has the parameters that it needs and no others.
    fn check_objective(&self, path: &Path) -> Result<(), JobError> {
        let value = |key: &str, message: String| Err(JobError::value(path, key, message));
        let (learner, answer) = (&self.learner, self.task.answer());
        let objective = learner.objective.unwrap_or(ObjectiveKind::usual(answer));
        if objective.answer() != answer {
            let fitting = match answer {
                Answer::YesNo => "logistic",
                Answer::Class => "softmax",
                Answer::Number => "squared, absolute, quantile, poisson, tweedie or gamma",
            };
            let message = format!(
                "{:?} predicts {}, task {:?} asks for {}; take {fitting}",
                objective.name(),
                objective.answer().words(),
                self.task.name(),
                answer.words()
            );
            return value("learner.objective", message);
        }
        if objective == ObjectiveKind::Quantile && learner.alpha.is_none() {
            let message =
                "objective \"quantile\" needs it: 0.9 for the value that one in ten exceeds";
            return value("learner.alpha", message.to_owned());
        }
        let idle = [
            ("alpha", learner.alpha.is_some(), ObjectiveKind::Quantile),
            ("power", learner.power.is_some(), ObjectiveKind::Tweedie),
        ];
        if let Some((key, _, of)) = idle.into_iter().find(|(_, set, of)| *set && objective != *of) {
            let (of, found) = (of.name(), objective.name());
            let message = format!("belongs to objective {of:?}, this one is {found:?}; remove it");
            return value(&format!("learner.{key}"), message);
        }
        if learner.positive_weight.is_some() && answer != Answer::YesNo {
            let (task, asked) = (self.task.name(), answer.words());
            let message =
                format!("task {task:?} asks for {asked}, which has no positives; remove it");
            return value("learner.positive_weight", message);
        }
        Ok(())
    }
}

/// The job's key behind a parameter, and what is wrong with it.
fn told(error: &ParamError) -> (String, String) {
    let key = |field: &str| format!("learner.{}", key_of(field));
    match error {
        ParamError::Integer { field, value, min, max } => {
            (key(field), format!("is {value}, expected {min} to {max}"))
        }
        ParamError::Real { field, value, expected } => {
            (key(field), format!("is {value}, expected {expected}"))
        }
        other => ("[learner]".to_owned(), other.to_string()),
    }
}
