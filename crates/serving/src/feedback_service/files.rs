//! Files of outcomes: a file a day of predictions and server, a line an outcome.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::known::Known;
use super::outcome::NewOutcome;
use crate::prediction_log::{HOUR_US, hour_text};

pub(super) const DAY_HOURS: i64 = 24;

/// Microseconds of a day.
pub(super) const DAY_US: i64 = HOUR_US * DAY_HOURS;

/// Longest line that is believed. The texts of an outcome are at most 1 KiB each, and escaping makes
/// six bytes of one.
const MAX_LINE_BYTES: u64 = 64 << 10;

/// Which outcomes are read.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Of predictions made in this time, in microseconds.
    pub(crate) made_us: Range<i64>,
    /// So many, of the newest predictions.
    pub(crate) max: usize,
}

/// What files say.
#[derive(Debug, Default)]
pub(crate) struct ReadOutcomes {
    pub(crate) known: Known,
    /// Lines that say nothing.
    pub(crate) n_unreadable: u64,
    /// Outcomes that had to make room for those of newer predictions.
    pub(crate) n_let_go: u64,
}

/// A file or folder of outcomes that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub(crate) struct Unreadable {
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

/// Reads the outcomes of all folders as if they were one: days in their order, within a day the lines
/// of all servers in the order in which they were received. In memory are what is known and one line
/// of each file of a day.
pub(crate) fn read_outcomes(
    folders: &[PathBuf],
    wanted: &Wanted,
) -> Result<ReadOutcomes, Unreadable> {
    let mut days: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for folder in folders {
        let at = |source| Unreadable { path: folder.clone(), source };
        for (day, paths) in files_by_day(folder).map_err(at)? {
            days.entry(day).or_default().extend(paths);
        }
    }
    let (first, last) = (day_text(wanted.made_us.start), day_text(wanted.made_us.end));
    let mut read = ReadOutcomes::default();
    // Days as text are in the order of time.
    for (_, mut paths) in days.into_iter().filter(|(day, _)| (&first..=&last).contains(&day)) {
        // Of two that came in the same microsecond the file's name decides, not its folder's.
        paths.sort_by(|a, b| a.file_name().cmp(&b.file_name()).then_with(|| a.cmp(b)));
        read_day(&paths, wanted, &mut read)?;
    }
    Ok(read)
}

fn read_day(paths: &[PathBuf], wanted: &Wanted, read: &mut ReadOutcomes) -> Result<(), Unreadable> {
    let mut files = Vec::with_capacity(paths.len());
    let mut heads = BinaryHeap::new();
    for (place, path) in paths.iter().enumerate() {
        let mut file = Lines::open(path)?;
        heads.extend(file.advance()?.map(|received_us| Reverse((received_us, place))));
        files.push(file);
    }
    while let Some(Reverse((received_us, place))) = heads.pop() {
        let Some(file) = files.get_mut(place) else { continue };
        if let Some(outcome) = &file.next
            && wanted.made_us.contains(&outcome.id.time_us())
        {
            read.known.replay(outcome, received_us);
            // At once: a day alone may be more than the memory has room for.
            read.n_let_go += read.known.shrink(i64::MIN, wanted.max);
        }
        heads.extend(file.advance()?.map(|received_us| Reverse((received_us, place))));
    }
    read.n_unreadable += files.iter().map(|file| file.n_unreadable).sum::<u64>();
    Ok(())
}

/// A file, one outcome ahead.
struct Lines {
    path: PathBuf,
    input: BufReader<File>,
    line: Vec<u8>,
    next: Option<NewOutcome>,
    n_unreadable: u64,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, Unreadable> {
        let path = path.to_owned();
        match File::open(&path) {
            Ok(file) => {
                let input = BufReader::with_capacity(1 << 16, file);
                Ok(Self { path, input, line: Vec::new(), next: None, n_unreadable: 0 })
            }
            Err(source) => Err(Unreadable { path, source }),
        }
    }

    /// Goes to the next line that says something; when that was received.
    fn advance(&mut self) -> Result<Option<i64>, Unreadable> {
        let read = self.try_advance();
        read.map_err(|source| Unreadable { path: self.path.clone(), source })
    }

    fn try_advance(&mut self) -> io::Result<Option<i64>> {
        self.next = None;
        loop {
            self.line.clear();
            let mut limited = self.input.by_ref().take(MAX_LINE_BYTES);
            let n_bytes = limited.read_until(b'\n', &mut self.line)?;
            if n_bytes == 0 {
                return Ok(None);
            }
            if self.line.last() == Some(&b'\n') {
                self.line.pop();
            } else if n_bytes as u64 == MAX_LINE_BYTES {
                self.input.skip_until(b'\n')?;
            }
            if self.line.is_empty() {
                continue;
            }
            if let Some((outcome, received_us)) = NewOutcome::of_line(&self.line) {
                self.next = Some(outcome);
                return Ok(Some(received_us));
            }
            self.n_unreadable += 1;
            // One line of the log for a file that is no file of outcomes at all.
            if self.n_unreadable == 1 {
                let file = self.path.display();
                tracing::warn!(%file, "a line of an outcome file cannot be read");
            }
        }
    }
}

/// The name of a server's file of a day.
pub(super) fn file_name(day: i64, server: &str) -> String {
    format!("{}-{server}.jsonl", day_text(day.saturating_mul(DAY_US)))
}

/// The day of a time, such as `2026-11-22`. Of a time that no calendar has, the first or last day that
/// it has.
fn day_text(time_us: i64) -> String {
    let hour = time_us.clamp(0, LAST_US).div_euclid(HOUR_US);
    hour_text(hour).split('T').next().unwrap_or_default().to_owned()
}

/// No prediction is named after a later time: its name has 44 bits of milliseconds.
const LAST_US: i64 = (1 << 44) * 1000;

/// Files by day, as their names say; none of a folder that is not there.
fn files_by_day(folder: &Path) -> io::Result<BTreeMap<String, Vec<PathBuf>>> {
    let mut days: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(days),
        Err(error) => return Err(error),
    };
    for entry in listing {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let (Some(day), true) = (name.get(..10), name.ends_with(".jsonl")) {
            days.entry(day.to_owned()).or_default().push(path);
        }
    }
    Ok(days)
}

/// Bytes of all files of a folder.
pub(super) fn n_bytes(folder: &Path) -> io::Result<u64> {
    let paths = files_by_day(folder)?.into_values().flatten();
    // One that is gone meanwhile has none.
    Ok(paths.map(|path| fs::metadata(path).map_or(0, |metadata| metadata.len())).sum())
}

/// The oldest day that has a file.
pub(super) fn oldest_day(folder: &Path) -> Option<i64> {
    let days = files_by_day(folder).ok()?;
    // Days as text are in the order of time.
    let oldest: jiff::civil::Date = days.keys().find_map(|day| day.parse().ok())?;
    let start = oldest.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    Some(start.as_microsecond().div_euclid(DAY_US))
}

/// Removes the files of days before.
pub(super) fn remove_before(folder: &Path, oldest_day: i64) {
    let Ok(days) = files_by_day(folder) else { return };
    let oldest = day_text(oldest_day.saturating_mul(DAY_US));
    for (_, paths) in days.into_iter().filter(|(day, _)| *day < oldest) {
        for path in paths {
            match fs::remove_file(&path) {
                // Another server was faster.
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%error, file = %path.display(), "an old outcome file stays");
                }
                _ => {}
            }
        }
    }
}
