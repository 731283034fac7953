//! Rows of a CSV file, some at a time, in bounded memory.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::read::{ReadError, open_file};

/// A CSV file read from its first row to its last.
pub(super) struct CsvRows {
    path: PathBuf,
    reader: csv::Reader<Box<dyn Read>>,
    names: Vec<String>,
    records: Vec<csv::StringRecord>,
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
        Ok(Self { path: path.to_owned(), reader, names, records: Vec::new() })
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The fields of the next rows, at most `max_rows`; none at the end. A row of another length is an
    /// error with its line.
    pub(super) fn next(&mut self, max_rows: usize) -> Result<&[csv::StringRecord], ReadError> {
        let mut n_rows = 0;
        while n_rows < max_rows {
            if self.records.len() == n_rows {
                self.records.push(csv::StringRecord::new());
            }
            match self.reader.read_record(&mut self.records[n_rows]) {
                Ok(true) => n_rows += 1,
                Ok(false) => break,
                Err(error) => return Err(of_csv(&self.path, &error)),
            }
        }
        Ok(&self.records[..n_rows])
    }
}

fn of_csv(path: &Path, error: &csv::Error) -> ReadError {
    ReadError::Table { path: path.to_owned(), kind: "CSV", message: error.to_string() }
}
