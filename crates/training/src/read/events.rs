//! All files of a job into one [`EventLog`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use segue_events::{
    AnonymousPolicy, AssembleOptions, EventLog, LogBuilder, MapNotes, Mapper, MapperOptions,
    Record, Reject, RejectReason, SourceFormat,
};

use super::derive::Derive;
use super::frame::{FrameRow, no_column};
use super::{FileKind, Frame, ReadError, ReadProgress, Rejects, expand_globs, files, json_lines};
use crate::job::EventsSection;

/// Rows of a Parquet file that are in memory at a time.
const SLICE_ROWS: usize = 250_000;

/// What to read and where to report.
#[derive(Clone, Copy)]
pub struct EventFiles<'a> {
    /// The job's `[events]`.
    pub section: &'a EventsSection,
    /// Folder that relative patterns start from.
    pub folder: &'a Path,
    /// File that takes each rejected row.
    pub rejects: Option<&'a Path>,
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
}

/// Reads, maps, cleans and orders all events of a job.
///
/// # Errors
/// A file that cannot be read at all, a mapping whose column is not there, or no usable record.
pub fn read_events(files: EventFiles<'_>) -> Result<(EventLog, ReadSummary), ReadError> {
    let paths = expand_globs(&files.section.files, files.folder)?;
    let kinds = paths.iter().map(|path| FileKind::of(path)).collect::<Result<Vec<_>, _>>()?;
    let mut reading = Reading::new(&files, &paths)?;
    for (path, (kind, packed)) in paths.iter().zip(kinds) {
        match kind {
            FileKind::JsonLines => reading.json_lines(path, packed)?,
            FileKind::Csv => reading.csv(path)?,
            FileKind::Parquet => reading.parquet(path)?,
        }
    }
    let n_records = reading.n_records;
    let n_rejected = reading.rejects.n();
    let rejects = reading.rejects.finish()?;
    if n_rejected == n_records
        && let Some((reason, n_reason, example)) =
            rejects.iter().max_by_key(|(_, n, _)| *n).cloned()
    {
        let reason = reason.description().to_owned();
        return Err(ReadError::NothingUsable { n_read: n_records, reason, n_reason, example });
    }
    let notes = reading.mapper.notes();
    let log = reading.builder.finish();
    Ok((log, ReadSummary { files: paths, n_records, rejects, notes }))
}

struct Reading<'a> {
    mapper: Mapper,
    derive: Derive,
    builder: LogBuilder,
    rejects: Rejects,
    n_records: u64,
    n_bytes: Arc<AtomicU64>,
    n_bytes_total: u64,
    progress: ReadProgress<'a>,
}

impl<'a> Reading<'a> {
    fn new(files: &EventFiles<'a>, paths: &[PathBuf]) -> Result<Self, ReadError> {
        let section = files.section;
        let mapper = mapper_of(section)?;
        let options = AssembleOptions {
            lateness_us: section.lateness.us,
            anonymous: if section.keep_anonymous {
                AnonymousPolicy::Keep
            } else {
                AnonymousPolicy::Drop
            },
            ..AssembleOptions::default()
        };
        Ok(Self {
            mapper,
            derive: Derive::compile(&section.derive)?,
            builder: LogBuilder::new(options),
            rejects: Rejects::new(files.rejects)?,
            n_records: 0,
            n_bytes: Arc::default(),
            n_bytes_total: paths.iter().map(|path| files::size_bytes(path)).sum(),
            progress: files.progress,
        })
    }

    fn json_lines(&mut self, path: &Path, packed: bool) -> Result<(), ReadError> {
        let reader = files::open(path, packed, &self.n_bytes)?;
        let mut checked = false;
        json_lines::for_each_line(path, reader, &mut |line, object, text| match object {
            Ok(object) => {
                if !checked {
                    self.check_keys(path, line, &object)?;
                    checked = true;
                }
                self.take(path, line, &object, || text.to_owned())
            }
            Err(reject) => {
                self.n_records += 1;
                self.rejects.add(path, line, &reject, text)
            }
        })
    }

    /// A JSON object may leave a key out, so a column counts as absent only if the first record lacks
    /// it and nothing in the record is near.
    fn check_keys(
        &self,
        path: &Path,
        line: u64,
        record: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<(), ReadError> {
        for column in self.mapper.columns() {
            if record.cell(column).is_none() && !record.contains_key(column) {
                let names: Vec<String> = record.keys().cloned().collect();
                return Err(no_column(path, line, column, "events.columns", &names));
            }
        }
        Ok(())
    }

    fn csv(&mut self, path: &Path) -> Result<(), ReadError> {
        let frame = Frame::read(path)?;
        // line 1 is the header
        self.frame(&frame, 2)?;
        self.n_bytes.fetch_add(files::size_bytes(path), Ordering::Relaxed);
        Ok(())
    }

    fn parquet(&mut self, path: &Path) -> Result<(), ReadError> {
        let n_rows = Frame::parquet_n_rows(path)?;
        let n_slices = n_rows.div_ceil(SLICE_ROWS).max(1);
        for slice in 0..n_slices {
            let frame = Frame::read_parquet_slice(path, slice * SLICE_ROWS, SLICE_ROWS)?;
            self.frame(&frame, 1)?;
            self.n_bytes.fetch_add(files::size_bytes(path) / n_slices as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    fn frame(&mut self, frame: &Frame, first_line: u64) -> Result<(), ReadError> {
        for column in self.mapper.columns() {
            frame.column(column, "events.columns")?;
        }
        for row in 0..frame.n_rows() {
            let record = FrameRow { frame, row };
            let line = (frame.first_row() + row) as u64 + first_line;
            self.take(frame.path(), line, &record, || describe(&record))?;
        }
        Ok(())
    }

    fn take(
        &mut self,
        path: &Path,
        line: u64,
        record: &dyn Record,
        raw: impl Fn() -> String,
    ) -> Result<(), ReadError> {
        self.n_records += 1;
        if self.n_records.is_multiple_of(4096) {
            (self.progress)(self.n_bytes.load(Ordering::Relaxed), self.n_bytes_total);
        }
        match self.mapper.map(record) {
            Ok(mut event) => {
                self.derive.apply(&mut event);
                self.builder.push(event);
                Ok(())
            }
            Err(reject) => self.reject(path, line, &reject, &raw()),
        }
    }

    fn reject(
        &mut self,
        path: &Path,
        line: u64,
        reject: &Reject,
        raw: &str,
    ) -> Result<(), ReadError> {
        self.rejects.add(path, line, reject, raw)
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
