//! What would fail only after hours of reading, refused before: names, lengths, conditions, parameters.

use std::path::Path;

use segue_events::SourceFormat;
use segue_features::Condition;

use super::{EventsJob, Job, JobError, Origin, Span, Spine};
use crate::fit::learner_of;
use crate::train::segments_of;

/// No history that a job can read is longer.
const LONGEST: Span = Span::days(3_650);

impl Job {
    pub(super) fn check(&self, path: &Path) -> Result<(), JobError> {
        let value = |key: &str, message: String| Err(JobError::value(path, key, message));
        if let Err(error) = segue_registry::check_model_name(&self.model) {
            return value("model", error.to_string());
        }
        if let Err(error) = learner_of(&self.learner, self.seed).check() {
            return value("[learner]", error.to_string());
        }
        if let Err(error) = segments_of(self) {
            return value("[[segments]]", error.to_string());
        }
        let embargo = self.split.embargo.map(|span| ("split.embargo", span));
        check_lengths(path, embargo.into_iter())?;
        match &self.origin {
            Origin::Events(events) => events.check(path),
            Origin::Table(_) => Ok(()),
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
