//! The first records of a log, whatever the kind of file, as flat JSON objects.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use segue_events::{Cell, Record};
use serde_json::{Map, Value as Json};

use super::InitError;
use crate::read::{FileKind, ParquetFile, ReadError, open_file};

/// Records that are looked at.
pub(super) const MAX_RECORDS: usize = 2_000;
/// Records that are looked at where fewer leave open what their times mean.
pub(super) const MANY_RECORDS: usize = 50_000;

/// The first records of the first file.
#[derive(Debug)]
pub(super) struct Sample {
    /// The file.
    pub(super) path: PathBuf,
    /// Records, never empty; keys of nested values joined by dots.
    pub(super) records: Vec<Map<String, Json>>,
    /// Keys in the order in which they appear first.
    pub(super) keys: Vec<String>,
}

impl Sample {
    /// Reads the first `max_records` of a file.
    pub(super) fn read(path: &Path, max_records: usize) -> Result<Self, InitError> {
        let records = match FileKind::of(path)? {
            (FileKind::JsonLines, packed) => json_lines(path, packed, max_records)?,
            (FileKind::Csv, packed) => csv(path, packed, max_records)?,
            (FileKind::Parquet, _) => parquet(path, max_records)?,
        };
        if records.is_empty() {
            return Err(InitError::Empty { path: path.to_owned() });
        }
        let mut keys: Vec<String> = Vec::new();
        for key in records.iter().flat_map(Map::keys) {
            if !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        Ok(Self { path: path.to_owned(), records, keys })
    }

    /// Values of a key that are there, in the order of the records.
    pub(super) fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Json> {
        let value = move |record: &'a Map<String, Json>| record.get(key);
        self.records.iter().filter_map(value).filter(|value| match value {
            Json::Null => false,
            Json::String(text) => !text.trim().is_empty(),
            _ => true,
        })
    }

    /// Share of the records that have a value under a key.
    pub(super) fn filled(&self, key: &str) -> f64 {
        self.values(key).count() as f64 / self.records.len() as f64
    }

    /// How many different values a key has.
    pub(super) fn n_distinct(&self, key: &str) -> usize {
        self.values(key).map(Json::to_string).collect::<std::collections::BTreeSet<_>>().len()
    }
}

fn json_lines(
    path: &Path,
    packed: bool,
    max_records: usize,
) -> Result<Vec<Map<String, Json>>, InitError> {
    let reader = open_file(path, packed, &Arc::new(AtomicU64::new(0)))?;
    let io = |source| ReadError::Io { path: path.to_owned(), source };
    let mut records = Vec::new();
    for line in std::io::BufRead::split(reader, b'\n').take(max_records) {
        let line = line.map_err(io)?;
        let text = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line).trim_ascii();
        // broken lines are the reader's to count
        if let Ok(record @ Json::Object(_)) = serde_json::from_slice(text) {
            let mut flat = Map::new();
            record.visit(&mut |key, cell| {
                flat.insert(key.to_owned(), json_of(cell));
            });
            records.push(flat);
        }
    }
    Ok(records)
}

fn csv(path: &Path, packed: bool, max_records: usize) -> Result<Vec<Map<String, Json>>, InitError> {
    let bad = |error: csv::Error| ReadError::Table {
        path: path.to_owned(),
        kind: "CSV",
        message: error.to_string(),
    };
    let file = open_file(path, packed, &Arc::new(AtomicU64::new(0)))?;
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(file);
    let names = reader.headers().map_err(bad)?.clone();
    let mut records = Vec::new();
    for record in reader.into_records().take(max_records) {
        let record = record.map_err(bad)?;
        let fields = names.iter().zip(&record);
        let value = |text: &str| match text.parse::<i64>() {
            Ok(number) => Json::from(number),
            Err(_) => text.parse::<f64>().map_or_else(|_| Json::from(text), Json::from),
        };
        records.push(fields.map(|(name, text)| (name.to_owned(), value(text))).collect());
    }
    Ok(records)
}

fn parquet(path: &Path, max_records: usize) -> Result<Vec<Map<String, Json>>, InitError> {
    let frame = ParquetFile::open(path)?.read(0, max_records)?;
    let record = |row: usize| {
        let columns = frame.names().iter().zip(frame.columns());
        columns.map(|(name, column)| (name.clone(), json_of(column.cell(row)))).collect()
    };
    Ok((0..frame.n_rows()).map(record).collect())
}

fn json_of(cell: Cell<'_>) -> Json {
    match cell {
        Cell::Null => Json::Null,
        Cell::Flag(flag) => Json::from(flag),
        Cell::Integer(number) => Json::from(number),
        Cell::Number(number) => Json::from(number),
        Cell::Text(text) => Json::from(text.into_owned()),
        // typed times read as times, whatever unit the job gives its numbers
        Cell::Time(micros) | Cell::WallTime(micros) => jiff::Timestamp::from_microsecond(micros)
            .map_or(Json::Null, |instant| Json::from(instant.to_string())),
    }
}
