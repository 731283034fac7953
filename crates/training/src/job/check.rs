//! What would fail only after hours of reading, refused before: names, lengths, conditions, parameters.

mod learner;

use std::path::Path;

use segue_events::SourceFormat;
use segue_features::Condition;
use segue_registry::GateMetric;

use super::{Answer, EventsJob, Job, JobError, Origin, Span, Spine};
use crate::train::segments_of;

/// No history that a job can read is longer.
const LONGEST: Span = Span::days(3_650);

impl Job {
    pub(super) fn check(&self, path: &Path) -> Result<(), JobError> {
        let value = |key: &str, message: String| Err(JobError::value(path, key, message));
        if let Err(error) = segue_registry::check_model_name(&self.model) {
            return value("model", error.to_string());
        }
        self.check_learners(path)?;
        self.check_gates(path)?;
        if let Err(error) = segments_of(self) {
            return value("[[segments]]", error.to_string());
        }
        let embargo = self.split.embargo.map(|span| ("split.embargo", span));
        check_lengths(path, embargo.into_iter())?;
        match &self.origin {
            Origin::Events(events) => events.check(path),
            Origin::Table(table) => match &table.positive {
                Some(_) if self.task.answer() != Answer::YesNo => {
                    let (task, asked) = (self.task.name(), self.task.answer().words());
                    let message = format!(
                        "says which label counts as 1, but task {task:?} asks for {asked}; remove it"
                    );
                    value("table.positive", message)
                }
                _ => Ok(()),
            },
        }
    }

    fn check_gates(&self, path: &Path) -> Result<(), JobError> {
        let gates = &self.gates;
        let bounded = [
            ("gates.max_calibration_error", gates.max_calibration_error, 0.0, 1.0),
            ("gates.non_inferiority_margin", gates.non_inferiority_margin, 0.0, 1.0),
            ("gates.confidence", gates.confidence, 0.5, 0.9999),
            ("gates.min_slice_auc", gates.min_slice_auc, 0.0, 1.0),
            ("gates.max_slice_drop", gates.max_slice_drop, 0.0, 1.0),
            ("gates.max_shadow_flip_rate", gates.max_shadow_flip_rate.unwrap_or(0.0), 0.0, 1.0),
        ];
        let out = |(_, bound, low, high): &(&str, f64, f64, f64)| !(*low..=*high).contains(bound);
        if let Some((key, bound, low, high)) = bounded.into_iter().find(out) {
            return Err(JobError::value(
                path,
                key,
                format!("is {bound}, expected {low} to {high}"),
            ));
        }
        let answer = self.task.answer();
        let suits = |metric: &GateMetric| match answer {
            Answer::YesNo => {
                use GateMetric::{Auc, AveragePrecision, Brier, LogLoss};
                matches!(metric, Auc | AveragePrecision | LogLoss | Brier)
            }
            Answer::Class => *metric == GateMetric::LogLoss,
            Answer::Number => matches!(metric, GateMetric::Rmse | GateMetric::Mae),
        };
        match gates.metric.filter(|metric| !suits(metric)) {
            Some(metric) => {
                let (task, asked) = (self.task.name(), answer.words());
                let message = format!(
                    "is {:?}, which does not measure task {task:?}: it asks for {asked}",
                    metric.name()
                );
                Err(JobError::value(path, "gates.metric", message))
            }
            None => Ok(()),
        }
    }
}

impl EventsJob {
    fn check(&self, path: &Path) -> Result<(), JobError> {
        let value = |key: &str, message: &str| Err(JobError::value(path, key, message));
        let source = &self.source;
        let is_plain = source.format == SourceFormat::Plain;
        if is_plain && source.columns.is_none() {
            return value(
                "events.columns",
                "format \"plain\" needs it: name user, event and time at least",
            );
        }
        if !is_plain && source.columns.is_some() {
            let format = source.format.name();
            let message = format!(
                "means nothing to format {format:?}, whose fields are known; remove it, or set format = \"plain\""
            );
            return value("events.columns", &message);
        }
        if source.project_tz.is_some() && source.format != SourceFormat::Mixpanel {
            return value(
                "events.project_tz",
                "only format \"mixpanel\" has a project's time zone",
            );
        }
        let offset = match &self.spine {
            Spine::AfterStart { offset, .. }
            | Spine::AtEvent { offset, .. }
            | Spine::Table { offset, .. } => ("spine.offset", *offset),
            Spine::Grid { every, .. } => ("spine.every", *every),
        };
        let lengths = [
            ("label.window", self.label.window),
            ("label.gap", self.label.gap),
            ("events.lateness", source.lateness),
            offset,
        ];
        check_lengths(path, lengths.into_iter())?;
        let Some(when) = &self.eligibility else { return Ok(()) };
        match Condition::parse_with(when, &self.roles, self.features.visibility) {
            Ok(_) => Ok(()),
            Err(error) => value("eligibility.when", &error.to_string()),
        }
    }
}

fn check_lengths<'a>(
    path: &Path,
    mut lengths: impl Iterator<Item = (&'a str, Span)>,
) -> Result<(), JobError> {
    match lengths.find(|(_, span)| *span > LONGEST) {
        Some((key, span)) => {
            let message = format!("{span} is longer than any log, {LONGEST} are the most");
            Err(JobError::value(path, key, message))
        }
        None => Ok(()),
    }
}
