//! `[learner]` and the learners of `[compare]`: ranges, and what suits the question.

use std::path::Path;

use segue_learners::ParamError;

use crate::fit::learner_of;
use crate::job::learner::key_of;
use crate::job::{
    Answer, ClassWeightSection, Job, JobError, LearnerSection, ObjectiveKind, OrAuto,
};

impl Job {
    pub(super) fn check_learners(&self, path: &Path) -> Result<(), JobError> {
        self.check_objective(path)?;
        self.check_class_weight(path)?;
        self.check_rounds(path)?;
        if self.learner.interactions.iter().any(Vec::is_empty) {
            let message = "has an empty group; features in no group may meet each other anyway";
            return Err(JobError::value(path, "learner.interactions", message));
        }
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
                Answer::YesNo => "logistic or focal",
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
            ("alpha", learner.alpha, &[ObjectiveKind::Quantile, ObjectiveKind::Focal][..]),
            ("gamma", learner.gamma, &[ObjectiveKind::Focal][..]),
            ("power", learner.power, &[ObjectiveKind::Tweedie][..]),
        ];
        let idle = idle.into_iter().find(|(_, set, of)| set.is_some() && !of.contains(&objective));
        if let Some((key, _, of)) = idle {
            let of: Vec<String> = of.iter().map(|of| format!("{:?}", of.name())).collect();
            let (of, found) = (of.join(" or "), objective.name());
            let message = format!("belongs to objective {of}, this one is {found:?}; remove it");
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

    /// Class weights suit the question; whether the rows have the classes is seen when they are read.
    fn check_class_weight(&self, path: &Path) -> Result<(), JobError> {
        let Some(weights) = &self.learner.class_weight else { return Ok(()) };
        let told = |message: String| Err(JobError::value(path, "learner.class_weight", message));
        match (self.task.answer(), weights) {
            (Answer::Number, _) => {
                let task = self.task.name();
                told(format!("task {task:?} asks for a number, which has no classes; remove it"))
            }
            (Answer::YesNo, _) if self.learner.positive_weight.is_some() => {
                told("says the same as learner.positive_weight; remove one".to_owned())
            }
            (Answer::YesNo, ClassWeightSection::Each(_)) => told(
                "names classes, but the answer is a yes or no; write positive_weight".to_owned(),
            ),
            (_, ClassWeightSection::Each(factors)) => {
                let wrong =
                    factors.iter().find(|(_, factor)| !(**factor > 0.0 && factor.is_finite()));
                wrong.map_or(Ok(()), |(class, factor)| {
                    let of = format!("{factor} of class {class:?}");
                    told(format!("is {of}, expected a finite number above 0"))
                })
            }
            _ => Ok(()),
        }
    }

    /// What is found by early stopping needs it, and a fit from nothing.
    fn check_rounds(&self, path: &Path) -> Result<(), JobError> {
        let learner = &self.learner;
        if learner.learning_rate != Some(OrAuto::Auto) {
            return Ok(());
        }
        let told = |message: &str| Err(JobError::value(path, "learner.learning_rate", message));
        if learner.start_from.is_some() {
            return told(
                "\"auto\" is found by a fit from nothing, but learner.start_from is set; give a number",
            );
        }
        if learner.dart.is_some() {
            return told(
                "\"auto\" is found by early stopping, which learner.dart does without; give a number",
            );
        }
        if !learner.stops_early() {
            return told(
                "\"auto\" is found by early stopping, but learner.early_stopping_rounds is 0; give a number",
            );
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
        ParamError::Contradiction { field, other, reason } => {
            (key(field), format!("contradicts {}: {reason}", key(other)))
        }
        other => ("[learner]".to_owned(), other.to_string()),
    }
}
