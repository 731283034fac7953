//! Rows of a CSV file one after another, in bounded memory.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::read::{ReadError, open_file};

/// A CSV file read row by row.
pub(super) struct CsvRows {
    path: PathBuf,
    reader: csv::Reader<Box<dyn Read>>,
    names: Vec<String>,
    record: csv::StringRecord,
}

impl CsvRows {
    pub(super) fn open(
        path: &Path,
        packed: bool,
        n_bytes: &Arc<AtomicU64>,
    ) -> Result<Self, ReadError> {
        let file: Box<dyn Read> = Box::new(open_file(path, packed, n_bytes)?);
        let mut reader = csv::ReaderBuilder::new().from_reader(file);
        let names = reader.headers().map_err(|error| of_csv(path, &error))?;
        let names = names.iter().map(str::to_owned).collect();
        Ok(Self { path: path.to_owned(), reader, names, record: csv::StringRecord::new() })
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The next row's fields, or `None` at the end. A row of another length is an error with its line.
    pub(super) fn next(&mut self) -> Result<Option<&csv::StringRecord>, ReadError> {
        let more = self.reader.read_record(&mut self.record);
        match more {
            Ok(true) => Ok(Some(&self.record)),
            Ok(false) => Ok(None),
            Err(error) => Err(of_csv(&self.path, &error)),
        }
    }
}

fn of_csv(path: &Path, error: &csv::Error) -> ReadError {
    ReadError::Table { path: path.to_owned(), kind: "CSV", message: error.to_string() }
}
