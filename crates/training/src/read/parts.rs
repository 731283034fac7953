//! The parts that files are read in, by several threads, and what each of them makes of a record.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use segue_events::{
    AnonymousPolicy, AssembleOptions, Mapper, MapperOptions, Record, Reject, SourceFormat,
};

use super::columns::SoughtColumns;
use super::derive::Derive;
use super::events::{EventFiles, ReadSummary};
use super::frame::{FrameColumn, FrameRow};
use super::intake::{Intake, Limit};
use super::parquet::ParquetFile;
use super::turns::{Stopped, Turns, in_turns};
use super::{
    FileKind, Frame, ReadError, ReadProgress, Rejects, csv_file, expand_globs, files, json_lines,
};
use crate::job::EventsSection;

/// Rows of a Parquet file that a thread has in memory at a time, before they become events.
const STRETCH_ROWS: usize = 1 << 17;

/// Bytes of a file of JSON lines that a thread reads in one go.
pub(super) const STRETCH_BYTES: u64 = 1 << 25;

/// Rejected rows that a thread keeps before it waits for its turn to hand them in.
const REJECTS_KEPT: usize = 4_096;

/// Events that a thread takes in between two looks at its memory.
const EVENTS_BETWEEN_LOOKS: u64 = 64;

/// All files, read.
pub(super) struct Read {
    pub(super) intakes: Vec<Intake>,
    pub(super) options: AssembleOptions,
    pub(super) summary: ReadSummary,
}

/// What one thread reads in one go.
enum Part {
    /// The lines that begin in a stretch of the file; a packed file is one stretch.
    JsonLines {
        path: PathBuf,
        is_packed: bool,
        stretch: Range<u64>,
    },
    Csv {
        path: PathBuf,
        is_packed: bool,
    },
    Parquet {
        file: ParquetFile,
        start: usize,
        n_rows: usize,
        n_bytes: u64,
    },
}

fn parts_of(paths: &[PathBuf], stretch_bytes: u64) -> Result<Vec<Part>, ReadError> {
    let kinds = paths.iter().map(|path| FileKind::of(path)).collect::<Result<Vec<_>, _>>()?;
    let mut parts = Vec::new();
    for (path, (kind, is_packed)) in paths.iter().zip(kinds) {
        match kind {
            FileKind::JsonLines => {
                let part = |start: u64, end| {
                    let stretch = start..end;
                    Part::JsonLines { path: path.clone(), is_packed, stretch }
                };
                let n_bytes = if is_packed { 0 } else { files::size_bytes(path) };
                let mut start = 0;
                while n_bytes.saturating_sub(start) > stretch_bytes {
                    parts.push(part(start, start + stretch_bytes));
                    start += stretch_bytes;
                }
                // what is written to the file meanwhile is read too
                parts.push(part(start, u64::MAX));
            }
            FileKind::Csv => parts.push(Part::Csv { path: path.clone(), is_packed }),
            FileKind::Parquet => {
                let file = ParquetFile::open(path)?;
                let mut stretches = file.stretches(STRETCH_ROWS);
                if stretches.is_empty() {
                    // Its columns are still to be checked.
                    stretches.push((0, 0));
                }
                let n_bytes = files::size_bytes(path) / stretches.len() as u64;
                parts.extend(stretches.into_iter().map(|(start, n_rows)| Part::Parquet {
                    file: file.clone(),
                    start,
                    n_rows,
                    n_bytes,
                }));
            }
        }
    }
    Ok(parts)
}

/// What all parts add to, each in its turn.
struct Shared {
    rejects: Rejects,
    /// Lines of the file that were read in the parts before.
    n_lines: u64,
    n_records: u64,
    unread: BTreeMap<String, String>,
    sought: SoughtColumns,
}

/// What reading needs to know, shared by all threads.
pub(super) struct Reading<'a> {
    paths: Vec<PathBuf>,
    section: &'a EventsSection,
    limit: Option<&'a Limit<'a>>,
    mapper: Mapper,
    derive: Derive,
    options: AssembleOptions,
    n_bytes: Arc<AtomicU64>,
    n_bytes_total: u64,
    progress: ReadProgress<'a>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        files: &EventFiles<'a>,
        limit: Option<&'a Limit<'a>>,
    ) -> Result<Self, ReadError> {
        let section = files.section;
        let paths = expand_globs(&section.files, files.folder)?;
        let anonymous =
            if section.keep_anonymous { AnonymousPolicy::Keep } else { AnonymousPolicy::Drop };
        Ok(Self {
            n_bytes_total: paths.iter().map(|path| files::size_bytes(path)).sum(),
            paths,
            section,
            limit,
            mapper: mapper_of(section)?,
            derive: Derive::compile(&section.derive)?,
            options: AssembleOptions {
                lateness_us: section.lateness.us,
                anonymous,
                ..AssembleOptions::default()
            },
            n_bytes: Arc::default(),
            progress: files.progress,
        })
    }

    /// Reads all files, those of JSON lines in stretches of so many bytes.
    pub(super) fn read(
        self,
        files: &EventFiles<'_>,
        stretch_bytes: u64,
    ) -> Result<Read, ReadError> {
        let parts = parts_of(&self.paths, stretch_bytes)?;
        let shared = Shared {
            rejects: Rejects::new(files.rejects)?,
            n_lines: 0,
            n_records: 0,
            unread: BTreeMap::new(),
            sought: SoughtColumns::default(),
        };
        let (intakes, shared) = in_turns(
            parts.len(),
            files.n_threads,
            shared,
            || Intake::new(self.options),
            |index, intake, turns| self.part(index, &parts[index], intake, turns),
        )?;
        let Shared { rejects, n_records, unread, sought, .. } = shared;
        sought.check()?;
        let n_rejected = rejects.n();
        let rejects = rejects.finish()?;
        if n_rejected == n_records
            && let Some((reason, n_reason, example)) =
                rejects.iter().max_by_key(|(_, n, _)| *n).cloned()
        {
            let reason = reason.description().to_owned();
            return Err(ReadError::NothingUsable { n_read: n_records, reason, n_reason, example });
        }
        let (notes, files) = (self.mapper.notes(), self.paths);
        let summary = ReadSummary { files, n_records, rejects, notes, unread };
        Ok(Read { intakes, options: self.options, summary })
    }

    fn part<'r>(
        &'r self,
        index: usize,
        part: &Part,
        intake: &mut Intake,
        turns: &Turns<'r, Shared, ReadError>,
    ) -> Result<(), Stopped> {
        let mut taking = Taking::new(self, index, intake, turns);
        let taken = match part {
            Part::JsonLines { path, is_packed, stretch } => {
                taking.json_lines(path, *is_packed, stretch)
            }
            Part::Csv { path, is_packed } => {
                csv_file::for_each_stretch(path, *is_packed, &self.n_bytes, |frame| {
                    taking.frame(&frame)
                })
            }
            Part::Parquet { file, start, n_rows, n_bytes } => {
                file.read(*start, *n_rows).map_err(End::Failed).and_then(|frame| {
                    self.n_bytes.fetch_add(*n_bytes, Ordering::Relaxed);
                    taking.frame(&frame)
                })
            }
        };
        match taken {
            Ok(()) => taking.hand_in(true),
            Err(End::Failed(error)) => turns.hand_in(index, true, |_| Err(error)),
            Err(End::Stopped) => Err(Stopped),
        }
    }
}

/// Why a part is not read to its end.
enum End {
    /// Its own error.
    Failed(ReadError),
    /// Another part's.
    Stopped,
}

impl From<ReadError> for End {
    fn from(error: ReadError) -> Self {
        Self::Failed(error)
    }
}

impl From<Stopped> for End {
    fn from(Stopped: Stopped) -> Self {
        Self::Stopped
    }
}

struct Rejected {
    path: PathBuf,
    /// Line, from 1, of the part.
    line: u64,
    reject: Reject,
    raw: String,
}

/// One part while it is read.
struct Taking<'r, 'a> {
    reading: &'r Reading<'r>,
    part: usize,
    intake: &'a mut Intake,
    turns: &'a Turns<'r, Shared, ReadError>,
    /// It goes on with the file of the part before.
    is_continued: bool,
    /// Lines, where they are counted from the start of the part.
    n_lines: u64,
    rejected: Vec<Rejected>,
    n_records: u64,
    unread: BTreeMap<String, String>,
    sought: SoughtColumns,
}

impl<'r, 'a> Taking<'r, 'a> {
    fn new(
        reading: &'r Reading<'r>,
        part: usize,
        intake: &'a mut Intake,
        turns: &'a Turns<'r, Shared, ReadError>,
    ) -> Self {
        Self {
            reading,
            part,
            intake,
            turns,
            is_continued: false,
            n_lines: 0,
            rejected: Vec::new(),
            n_records: 0,
            unread: BTreeMap::new(),
            sought: SoughtColumns::default(),
        }
    }

    /// Adds to what is shared, when it is this part's turn.
    fn hand_in(&mut self, is_last: bool) -> Result<(), Stopped> {
        let rejected = std::mem::take(&mut self.rejected);
        let n_records = std::mem::take(&mut self.n_records);
        let unread = std::mem::take(&mut self.unread);
        let sought = std::mem::take(&mut self.sought);
        let (reading, is_continued, n_lines) = (self.reading, self.is_continued, self.n_lines);
        // Rows are much to keep; counts are little.
        let is_small = rejected.is_empty();
        let touch = move |shared: &mut Shared| {
            let n_before = if is_continued { shared.n_lines } else { 0 };
            shared.n_records += n_records;
            shared.unread.extend(unread);
            if is_last {
                shared.sought.join(sought.after(n_before));
                shared.n_lines = n_before + n_lines;
            }
            (reading.progress)(reading.n_bytes.load(Ordering::Relaxed), reading.n_bytes_total);
            rejected.iter().try_for_each(|Rejected { path, line, reject, raw }| {
                shared.rejects.add(path, n_before + line, reject, raw)
            })
        };
        if is_last && is_small {
            self.turns.leave(self.part, touch)
        } else {
            self.turns.hand_in(self.part, is_last, touch)
        }
    }

    fn json_lines(
        &mut self,
        path: &Path,
        is_packed: bool,
        stretch: &Range<u64>,
    ) -> Result<(), End> {
        let reading = self.reading;
        self.is_continued = stretch.start > 0;
        let lines = json_lines::Lines::open(path, is_packed, stretch.clone(), &reading.n_bytes)?;
        let columns = reading.section.columns.as_ref();
        let mut sought = SoughtColumns::new(&reading.mapper, columns, self.is_continued);
        self.n_lines = lines.for_each(|line, object, text| match object {
            Ok(object) => {
                sought.see(path, line, &object)?;
                self.take(path, line, &object, || text.to_owned())
            }
            Err(reject) => {
                self.n_records += 1;
                self.reject(path, line, reject, text.to_owned())
            }
        })?;
        self.sought = sought;
        Ok(())
    }

    fn frame(&mut self, frame: &Frame) -> Result<(), End> {
        let reading = self.reading;
        for name in reading.mapper.columns() {
            let column = frame.column(name, "events.columns")?;
            if let FrameColumn::Unusable(found) = column {
                return Err(End::Failed(ReadError::ColumnKind {
                    path: frame.path().to_owned(),
                    column: name.to_owned(),
                    found: found.clone(),
                    expected: "text, numbers, true/false or times".to_owned(),
                }));
            }
        }
        let is_listed =
            reading.section.columns.as_ref().is_some_and(|plain| plain.properties.is_some());
        if !is_listed {
            for (name, column) in frame.names().iter().zip(frame.columns()) {
                if let FrameColumn::Unusable(found) = column {
                    self.unread.insert(name.clone(), found.clone());
                }
            }
        }
        let singly = if reading.derive.is_empty() {
            let singly = reading.mapper.map_table(frame, &mut self.intake.builder);
            self.n_records += (frame.n_rows() - singly.len()) as u64;
            self.make_room()?;
            singly
        } else {
            (0..frame.n_rows()).collect()
        };
        for row in singly {
            let record = FrameRow { frame, row };
            self.take(frame.path(), frame.line_of(row), &record, || describe(&record))?;
        }
        self.tell();
        Ok(())
    }

    fn make_room(&mut self) -> Result<(), ReadError> {
        self.reading.limit.map_or(Ok(()), |limit| self.intake.make_room(limit))
    }

    fn tell(&self) {
        let n_bytes = self.reading.n_bytes.load(Ordering::Relaxed);
        (self.reading.progress)(n_bytes, self.reading.n_bytes_total);
    }

    fn take(
        &mut self,
        path: &Path,
        line: u64,
        record: &dyn Record,
        raw: impl Fn() -> String,
    ) -> Result<(), End> {
        self.n_records += 1;
        if self.n_records.is_multiple_of(4096) {
            self.tell();
        }
        match self.reading.mapper.map(record) {
            Ok(mut event) => {
                self.reading.derive.apply(&mut event);
                self.intake.builder.push(event);
                if self.n_records.is_multiple_of(EVENTS_BETWEEN_LOOKS) {
                    self.make_room()?;
                }
                Ok(())
            }
            Err(reject) => self.reject(path, line, reject, raw()),
        }
    }

    fn reject(&mut self, path: &Path, line: u64, reject: Reject, raw: String) -> Result<(), End> {
        self.rejected.push(Rejected { path: path.to_owned(), line, reject, raw });
        if self.rejected.len() >= REJECTS_KEPT {
            self.hand_in(false)?;
        }
        Ok(())
    }
}

fn mapper_of(section: &EventsSection) -> Result<Mapper, ReadError> {
    let mapping = |message: String| ReadError::Mapping { message };
    if section.format == SourceFormat::Plain && section.columns.is_none() {
        return Err(mapping(
            "format \"plain\" needs [events.columns] with at least user, event and time".to_owned(),
        ));
    }
    if section.format != SourceFormat::Plain && section.columns.is_some() {
        return Err(mapping("only format \"plain\" is mapped by columns; remove it".to_owned()));
    }
    let options = MapperOptions {
        project_time_zone: section.project_tz.clone(),
        exclude_properties: section.exclude_properties.clone(),
        ..MapperOptions::default()
    };
    Mapper::new(section.format, section.columns.clone(), options)
        .map_err(|error| mapping(error.to_string()))
}

fn describe(record: &dyn Record) -> String {
    let mut text = String::new();
    record.visit(&mut |key, cell| {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&format!("{key}={cell:?}"));
    });
    text
}
