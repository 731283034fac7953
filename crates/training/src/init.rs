//! What a log holds, what can be predicted from it, and a commented job that already runs.
//!
//! Nothing is estimated: the log is read as a job reads it, and the rows of every candidate task are
//! counted by the code that a job runs.

mod days;
mod draft;
mod error;
mod roles;
mod sample;
mod show;
mod sniff;
mod tasks;
#[cfg(test)]
mod tests;
mod text;
mod times;
mod values;

use std::path::{Path, PathBuf};

use segue_events::EventLog;
use segue_features::LogSummary;
use serde::Serialize;

use crate::job::{EventsSection, Span};
use crate::read::{EventFiles, ReadSummary, expand_globs, read_events};
use crate::watch::Watch;

pub use days::Gap;
pub use draft::SpineChoice;
pub use error::InitError;
pub use roles::RoleCandidate;
pub use tasks::{ClassCount, Setup, TaskProfile};
pub use text::job_text;
pub use values::ValueCandidate;

/// An event name of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventProfile {
    /// The name.
    pub name: String,
    /// Events.
    pub n_events: u64,
    /// Users with at least one.
    pub n_users: u64,
    /// Roles that it may have.
    pub roles: Vec<String>,
}

/// Records that are no events, by reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RejectProfile {
    /// Code of the reason.
    pub code: String,
    /// The reason in words.
    pub reason: String,
    /// How many.
    pub n_records: u64,
    /// One of them.
    pub example: String,
}

/// What a log holds and what can be predicted from it.
#[derive(Debug, Clone, Serialize)]
pub struct LogProfile {
    /// How the log reads, as a job says it.
    pub source: EventsSection,
    /// Folder that the files of `source` start from.
    pub folder: PathBuf,
    /// What was concluded from the first records, a sentence each.
    pub reasons: Vec<String>,
    /// Number of files.
    pub n_files: u64,
    /// Records read.
    pub n_records: u64,
    /// Events kept.
    pub n_events: u64,
    /// Users.
    pub n_users: u64,
    /// Day (UTC) of the first event.
    pub first_day: String,
    /// Day (UTC) of the last event.
    pub last_day: String,
    /// Days from the first event to the last.
    pub n_days: f64,
    /// Days without any event.
    pub gaps: Vec<Gap>,
    /// Records that are no events.
    pub rejects: Vec<RejectProfile>,
    /// What was put right or left out, in words, where it happened at all.
    pub counts: Vec<(String, u64)>,
    /// Event names, most frequent first.
    pub events: Vec<EventProfile>,
    /// What event names may mean.
    pub roles: Vec<RoleCandidate>,
    /// Number properties, money first.
    pub values: Vec<ValueCandidate>,
    /// Every task and whether it is possible.
    pub tasks: Vec<TaskProfile>,
    /// Index of the task that a job should begin with.
    pub best: Option<usize>,
}

/// What the job is called and where it will lie.
#[derive(Debug, Clone, Default)]
pub struct InitOptions {
    /// Name of the model; the task's by default.
    pub model: Option<String>,
    /// Folder of the job file, which its paths start from; the profile's folder by default.
    pub job_folder: Option<PathBuf>,
}

/// Reads a log and counts what can be predicted. Patterns start from `folder`; `time_format` is how the
/// times of plain columns are written (`strptime`), if they do not say so themselves.
///
/// # Errors
/// [`InitError`] with the file, the column, and the way out.
pub fn profile(
    files: &[String],
    folder: &Path,
    time_format: Option<&str>,
    watch: &dyn Watch,
) -> Result<LogProfile, InitError> {
    let paths = expand_globs(files, folder)?;
    let first = sample::Sample::read(&paths[0], sample::MAX_RECORDS)?;
    let mut sniffed = sniff::sniff(files, &first, time_format)?;
    watch.stage("reading events", 0);
    let read = |section: &EventsSection| {
        let progress = |done: u64, _total: u64| watch.done(done);
        let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
        read_events(EventFiles { section, folder, rejects: None, n_threads, progress: &progress })
    };
    let (mut log, mut summary) = read(&sniffed.section)?;
    if log.histories.is_empty() && log.counts.anonymous_dropped > 0 {
        sniffed.section.keep_anonymous = true;
        sniffed.reasons.push("nobody is known by name, so visitors are kept as users".to_owned());
        (log, summary) = read(&sniffed.section)?;
    }
    sniffed.section.lateness = lateness(&log, &summary);
    watch.stage("counting what can be predicted", 0);
    let names = LogSummary::of(&log);
    let roles = roles::candidates(&names);
    let values = values::candidates(&log);
    let counting = tasks::Counting {
        source: &sniffed.section,
        roles: &roles,
        values: &values,
        log: &log,
        summary: &names,
        folder,
    };
    let tasks = counting.tasks()?;
    let best = tasks::best(&tasks);
    Ok(LogProfile {
        folder: folder.to_owned(),
        reasons: sniffed.reasons,
        n_files: summary.files.len() as u64,
        n_records: summary.n_records,
        n_events: log.n_events() as u64,
        n_users: log.histories.len() as u64,
        first_day: days::day_text(log.first_ts),
        last_day: days::day_text(log.last_ts),
        n_days: Span { us: log.last_ts - log.first_ts }.in_days(),
        gaps: days::gaps(&log),
        rejects: rejects(&summary),
        counts: counts(&log, &summary),
        events: events(&names, &roles),
        source: sniffed.section,
        roles,
        values,
        tasks,
        best,
    })
}

/// The shortest usual lateness that keeps every event that was kept.
fn lateness(log: &EventLog, summary: &ReadSummary) -> Span {
    let usual = [Span::days(0), Span::days(1), Span::days(3), Span::days(7)];
    if log.counts.late_dropped > 0 && summary.notes.without_known_time < log.counts.kept {
        return usual[3];
    }
    let lag = |history: &segue_events::History| {
        history.known_ts().iter().zip(history.event_ts()).map(|(known, at)| known - at).max()
    };
    let longest_us = log.histories.iter().filter_map(lag).max().unwrap_or(0);
    usual.into_iter().find(|span| span.us >= longest_us).unwrap_or(usual[3])
}

fn rejects(summary: &ReadSummary) -> Vec<RejectProfile> {
    let profile =
        |(reason, n_records, example): &(segue_events::RejectReason, u64, String)| RejectProfile {
            code: reason.code().to_owned(),
            reason: reason.description().to_owned(),
            n_records: *n_records,
            example: example.clone(),
        };
    summary.rejects.iter().map(profile).collect()
}

fn counts(log: &EventLog, summary: &ReadSummary) -> Vec<(String, u64)> {
    let shown_above = ["read", "kept", "users"];
    let table = log.counts.table().into_iter();
    let of_log = table.filter(|(code, _, _)| !shown_above.contains(code));
    let notes = [
        (
            "events without a time of receipt: taken as known when they happened",
            summary.notes.without_known_time,
        ),
        ("event times corrected for a wrong client clock", summary.notes.skew_corrected),
        (
            "events without an id of their own: duplicates among them stay",
            summary.notes.without_event_id,
        ),
    ];
    let all = of_log.map(|(_, words, n)| (words, n)).chain(notes);
    all.filter(|(_, n)| *n > 0).map(|(words, n)| (words.to_owned(), n)).collect()
}

fn events(names: &LogSummary, roles: &[RoleCandidate]) -> Vec<EventProfile> {
    let profile = |(name, n): (&str, segue_features::Occurrence)| EventProfile {
        name: name.to_owned(),
        n_events: n.n_events,
        n_users: n.n_users,
        roles: roles
            .iter()
            .filter(|role| role.events.iter().any(|event| event == name))
            .map(|role| role.role.clone())
            .collect(),
    };
    names.most_frequent_events().into_iter().map(profile).collect()
}
