//! All files of a job into one [`EventLog`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use segue_events::{
    AssembleOptions, EventLog, LogBuilder, LogCounts, MapNotes, ProfileSample, RejectReason,
};

use super::external::{ReadLog, Room, SpilledLog, Spilling};
use super::intake::{Intake, Limit};
use super::parts::{Read, Reading, STRETCH_BYTES};
use super::{ReadError, ReadProgress};
use crate::job::EventsSection;

/// What to read and where to report.
#[derive(Clone, Copy)]
pub struct EventFiles<'a> {
    /// The job's `[events]`.
    pub section: &'a EventsSection,
    /// Folder that relative patterns start from.
    pub folder: &'a Path,
    /// File that takes each rejected row.
    pub rejects: Option<&'a Path>,
    /// Threads; nothing that is read depends on it.
    pub n_threads: usize,
    /// Told how far reading has come.
    pub progress: ReadProgress<'a>,
}

/// What was read.
#[derive(Debug, Clone)]
pub struct ReadSummary {
    /// The files.
    pub files: Vec<PathBuf>,
    /// Records in them.
    pub n_records: u64,
    /// Rejected rows by reason, with one example each.
    pub rejects: Vec<(RejectReason, u64, String)>,
    /// What mapping put right.
    pub notes: MapNotes,
    /// Columns that would have become properties if a property could hold what they do, and what that is.
    pub unread: BTreeMap<String, String>,
}

/// Reads, maps, cleans and orders all events of a job.
///
/// # Errors
/// A file that cannot be read at all, a mapping whose column is not there, or no usable record.
pub fn read_events(files: EventFiles<'_>) -> Result<(EventLog, ReadSummary), ReadError> {
    read_in_stretches(files, STRETCH_BYTES)
}

/// [`read_events`] with files of JSON lines cut into stretches of so many bytes.
pub(super) fn read_in_stretches(
    files: EventFiles<'_>,
    stretch_bytes: u64,
) -> Result<(EventLog, ReadSummary), ReadError> {
    let read = Reading::new(&files, None)?.read(&files, stretch_bytes)?;
    let intakes = read.intakes.into_iter().map(|intake| intake.builder);
    Ok((together(intakes, read.options, files.n_threads), read.summary))
}

/// Reads, maps and cleans all events of a job, in as much memory as there is room for. Whether they
/// went to disk or not changes nothing that is read.
///
/// # Errors
/// As [`read_events`], and temporary files that cannot be written.
pub fn read_events_within(
    files: EventFiles<'_>,
    room: Room<'_>,
) -> Result<(ReadLog, ReadSummary), ReadError> {
    let spilling = Spilling::new(room.folder);
    let memory = room.for_builders();
    let limit = Limit::new(&spilling, memory, files.n_threads);
    let Read { mut intakes, options, summary } =
        Reading::new(&files, Some(&limit))?.read(&files, STRETCH_BYTES)?;
    if intakes.iter().all(|intake| !intake.has_spilled) {
        let builders = intakes.into_iter().map(|intake| intake.builder);
        return Ok((ReadLog::Whole(together(builders, options, files.n_threads)), summary));
    }
    let (mut sample, mut counts) = (ProfileSample::default(), LogCounts::default());
    for Intake { builder, sample: own, .. } in &mut intakes {
        spilling.empty(builder, own)?;
        counts.add(&builder.counts());
        sample.absorb(std::mem::take(own));
    }
    let n_threads = files.n_threads;
    let log = SpilledLog { spilling, sample, counts, options, n_threads, memory };
    Ok((ReadLog::Spilled(log), summary))
}

fn together(
    mut builders: impl Iterator<Item = LogBuilder>,
    options: AssembleOptions,
    n_threads: usize,
) -> EventLog {
    let mut whole = builders.next().unwrap_or_else(|| LogBuilder::new(options));
    builders.for_each(|builder| whole.absorb(builder));
    whole.finish_on(n_threads)
}
