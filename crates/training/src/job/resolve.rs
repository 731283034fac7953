//! From the file as written to a checked job: defaults by task, and what contradicts what.

use std::path::{Path, PathBuf};

use segue_events::RoleMap;
use segue_features::FeatureDefinition;

use super::error::nearest;
use super::spine::SpineKind;
use super::{
    EventsJob, Job, JobError, JobFile, Label, LabelKind, LabelSection, Origin, SegmentEntry, Span,
    Spine, SpineSection, Task,
};
use crate::rows::parse_instant;

impl JobFile {
    pub(super) fn resolve(self, path: &Path, folder: PathBuf) -> Result<Job, JobError> {
        self.check_learner(path)?;
        self.check_shares(path)?;
        let segments = self.segments.clone().unwrap_or_else(|| default_segments(self.task));
        let (model, task, seed) = (self.model.clone(), self.task, self.seed);
        let (split, preflight, learner) =
            (self.split.clone(), self.preflight.clone(), self.learner.clone());
        let (compare, slices, gates) =
            (self.compare.clone(), self.slices.clone(), self.gates.clone());
        let origin = self.origin(path)?;
        let job = Job {
            model,
            task,
            seed,
            origin,
            split,
            preflight,
            learner,
            compare,
            slices,
            segments,
            gates,
            folder,
        };
        job.check(path)?;
        Ok(job)
    }

    fn origin(self, path: &Path) -> Result<Origin, JobError> {
        match (self.events, self.table) {
            (Some(_), Some(_)) => Err(JobError::value(
                path,
                "[events] and [table]",
                "a job starts from raw events or from a ready-made table, not from both; remove one",
            )),
            (None, None) => Err(JobError::value(
                path,
                "[events]",
                "a job needs [events] with files of raw events, or [table] with a ready-made feature table",
            )),
            (None, Some(table)) => {
                let idle = [
                    ("[features]", self.features.is_some()),
                    ("[roles]", !self.roles.is_empty()),
                    ("[label]", self.label != LabelSection::default()),
                    ("[spine]", self.spine != SpineSection::default()),
                    ("[eligibility]", self.eligibility.when.is_some()),
                ];
                match idle.into_iter().find(|(_, set)| *set) {
                    Some((key, _)) => Err(JobError::value(
                        path,
                        key,
                        "means nothing beside [table], whose rows are ready made; remove it",
                    )),
                    None => Ok(Origin::Table(table)),
                }
            }
            (Some(source), None) => {
                let roles = RoleMap::new(self.roles)
                    .map_err(|error| JobError::value(path, "[roles]", error.to_string()))?;
                let roles = RoleMap::well_known().overridden_by(&roles);
                let label = resolve_label(&self.label, self.task, path)?;
                let spine = resolve_spine(&self.spine, path)?;
                if source.files.is_empty() {
                    return Err(JobError::value(path, "events.files", "names no file"));
                }
                if let Some(text) = &source.complete_until
                    && parse_instant(text).is_none()
                {
                    let message = format!("{text:?} is no date or instant, such as \"2026-03-01\"");
                    return Err(JobError::value(path, "events.complete_until", message));
                }
                let eligibility = match self.eligibility.when {
                    Some(when) if when.trim().is_empty() => None,
                    Some(when) => Some(when),
                    None => default_eligibility(self.task, &label),
                };
                let features = self.features.unwrap_or_else(FeatureDefinition::automatic);
                Ok(Origin::Events(EventsJob { source, roles, features, label, eligibility, spine }))
            }
        }
    }

    fn check_learner(&self, path: &Path) -> Result<(), JobError> {
        let (kind, known) = (self.learner.kind.name(), self.learner.kind.keys());
        let set = self.learner.set_keys();
        match set.iter().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(JobError::value(
                path,
                &format!("learner.{key}"),
                format!("learner {kind:?} has no such parameter; {}", nearest(key, known)),
            )),
            None => Ok(()),
        }
    }

    fn check_shares(&self, path: &Path) -> Result<(), JobError> {
        let (calibrate, test) = (self.split.calibrate, self.split.test);
        if calibrate > 0.0 && test > 0.0 && calibrate + test < 1.0 {
            return Ok(());
        }
        Err(JobError::value(
            path,
            "split.calibrate and split.test",
            format!("{calibrate} and {test} must be above 0 and leave something to train on"),
        ))
    }
}

fn resolve_label(section: &LabelSection, task: Task, path: &Path) -> Result<Label, JobError> {
    let (kind, events, window) = match task {
        Task::Churn => (LabelKind::Absent, Some("*"), Span::days(28)),
        Task::SupportNeed => (LabelKind::Occurs, Some("support_request"), Span::days(14)),
        Task::Conversion => (LabelKind::Occurs, Some("conversion"), Span::days(28)),
        Task::Adoption => (LabelKind::Occurs, None, Span::days(28)),
        Task::LifetimeValue => (LabelKind::Sum, Some("conversion"), Span::days(90)),
        Task::NeedsHelpAt => (LabelKind::Step, Some("help_visit"), Span::days(14)),
    };
    let kind = section.kind.unwrap_or(kind);
    if kind.answer() != task.answer() {
        let message = format!(
            "{:?} gives {}, task {:?} asks for {}",
            kind.name(),
            kind.answer().words(),
            task.name(),
            task.answer().words()
        );
        return Err(JobError::value(path, "label.kind", message));
    }
    let Some(events) = section.events.clone().or(events.map(str::to_owned)) else {
        let message =
            format!("task {:?} needs the event or role whose first use is predicted", task.name());
        return Err(JobError::value(path, "label.events", message));
    };
    let value = match (kind, section.value.clone()) {
        (LabelKind::Sum, value) => Some(value.unwrap_or_else(|| "revenue".to_owned())),
        (_, None) => None,
        (_, Some(_)) => {
            return Err(JobError::value(
                path,
                "label.value",
                "only labels of kind \"sum\" add up a value",
            ));
        }
    };
    let steps = match (kind, section.steps.clone()) {
        (LabelKind::Step, steps) => Some(steps.unwrap_or_else(|| "onboarding_step".to_owned())),
        (_, None) => None,
        (_, Some(_)) => {
            return Err(JobError::value(
                path,
                "label.steps",
                "only labels of kind \"step\" have steps",
            ));
        }
    };
    let window = section.window.unwrap_or(window);
    if window.us == 0 {
        return Err(JobError::value(path, "label.window", "is empty; nothing could happen in it"));
    }
    Ok(Label { events, kind, value, steps, gap: section.gap.unwrap_or_default(), window })
}

fn default_eligibility(task: Task, label: &Label) -> Option<String> {
    match task {
        Task::Churn => Some("count(*, 30d) >= 1".to_owned()),
        Task::Conversion | Task::Adoption => {
            Some(format!("count({}, lifetime) == 0", quoted(&label.events)))
        }
        Task::SupportNeed | Task::LifetimeValue | Task::NeedsHelpAt => None,
    }
}

/// An event name as an argument of a condition; quotes keep commas and brackets together.
fn quoted(events: &str) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || "_-*?:. ".contains(letter);
    match (events.chars().all(plain), events.contains('"')) {
        (true, _) => events.to_owned(),
        (false, true) => format!("'{events}'"),
        (false, false) => format!("\"{events}\""),
    }
}

fn resolve_spine(section: &SpineSection, path: &Path) -> Result<Spine, JobError> {
    let kind = section.at.unwrap_or(SpineKind::AfterStart);
    let (name, known): (&str, &[&str]) = match kind {
        SpineKind::AfterStart => ("after_start", &["offset", "event"]),
        SpineKind::Grid => ("grid", &["every", "max_rows_per_user"]),
        SpineKind::AtEvent => ("at_event", &["event", "offset", "max_rows_per_user"]),
        SpineKind::Table => ("table", &["file", "user", "time", "offset"]),
    };
    let set = [
        ("offset", section.offset.is_some()),
        ("event", section.event.is_some()),
        ("every", section.every.is_some()),
        ("max_rows_per_user", section.max_rows_per_user.is_some()),
        ("file", section.file.is_some()),
        ("user", section.user.is_some()),
        ("time", section.time.is_some()),
    ];
    if let Some((key, _)) = set.iter().find(|(key, set)| *set && !known.contains(key)) {
        let message =
            format!("means nothing for a spine at {name:?}, which has {}", known.join(", "));
        return Err(JobError::value(path, &format!("spine.{key}"), message));
    }
    let need = |key: &str, value: &Option<String>| {
        value.clone().ok_or_else(|| {
            JobError::value(path, &format!("spine.{key}"), format!("a spine at {name:?} needs it"))
        })
    };
    let max_rows_per_user = section.max_rows_per_user.unwrap_or(4);
    if max_rows_per_user == 0 {
        return Err(JobError::value(path, "spine.max_rows_per_user", "is 0, which leaves no row"));
    }
    Ok(match kind {
        SpineKind::AfterStart => Spine::AfterStart {
            offset: section.offset.unwrap_or(Span::days(7)),
            event: section.event.clone().unwrap_or_else(|| "*".to_owned()),
        },
        SpineKind::Grid => {
            let every = section.every.unwrap_or(Span::days(7));
            if every.us == 0 {
                return Err(JobError::value(path, "spine.every", "must be longer than nothing"));
            }
            Spine::Grid { every, max_rows_per_user }
        }
        SpineKind::AtEvent => Spine::AtEvent {
            event: need("event", &section.event)?,
            offset: section.offset.unwrap_or_default(),
            max_rows_per_user,
        },
        SpineKind::Table => Spine::Table {
            file: need("file", &section.file)?,
            user: need("user", &section.user)?,
            time: need("time", &section.time)?,
            offset: section.offset.unwrap_or_default(),
        },
    })
}

/// Segments that make sense without knowing the business: by the score alone.
fn default_segments(task: Task) -> Vec<SegmentEntry> {
    let entry = |name: &str, when: &str, description: &str| SegmentEntry {
        name: name.to_owned(),
        when: when.to_owned(),
        description: description.to_owned(),
    };
    match task {
        Task::Churn => vec![
            entry("at_risk", "score >= 0.6", "likely to go quiet"),
            entry("wavering", "score >= 0.3", "could go either way"),
            entry("engaged", "true", "likely to stay"),
        ],
        Task::SupportNeed => vec![
            entry("needs_a_hand", "score >= 0.3", "likely to ask for support"),
            entry("on_track", "true", "likely to manage alone"),
        ],
        Task::Conversion => vec![
            entry("ready_to_buy", "score >= 0.4", "likely to convert"),
            entry("curious", "score >= 0.15", "worth a nudge"),
            entry("browsing", "true", "not yet"),
        ],
        Task::Adoption => vec![
            entry("feature_enthusiast", "score >= 0.4", "likely to take up the feature"),
            entry("not_yet", "true", "unlikely to take it up soon"),
        ],
        Task::LifetimeValue | Task::NeedsHelpAt => Vec::new(),
    }
}
