//! Files out, and nothing half-written: they are filled beside their place, and take their name when
//! all is there. Tables go out in batches, as Parquet or CSV.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use polars::io::parquet::write::BatchedWriter;
use polars::prelude::{Column, CsvWriter, DataFrame, ParquetCompression, ParquetWriter, SerWriter};

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The ending names no format.
    #[error("{}: cannot tell the format from the name; expected .parquet or .csv", path.display())]
    UnknownKind {
        /// The file.
        path: PathBuf,
    },
    /// The file system says no.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The format says no.
    #[error("{}: {message}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
}

/// The name of a file while it is written: beside its place, and gone again unless it is
/// [finished](Self::finish).
#[derive(Debug)]
pub struct Partial {
    path: PathBuf,
    partial: PathBuf,
    finished: bool,
}

impl Partial {
    /// A name for what is to become `path`. Several processes may write the same file: the last to
    /// finish wins, none breaks another.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let mut partial = path.as_os_str().to_owned();
        partial.push(format!(".{}.partial", std::process::id()));
        Self { path: path.to_owned(), partial: partial.into(), finished: false }
    }

    /// Creates the file that is to be filled.
    ///
    /// # Errors
    /// [`WriteError::Io`] with the path that it is to have in the end.
    pub fn create(&self) -> Result<File, WriteError> {
        File::create(&self.partial).map_err(|source| self.io(source))
    }

    /// Gives the file its name. Its content must have been synced.
    ///
    /// # Errors
    /// [`WriteError::Io`] with the path.
    pub fn finish(mut self) -> Result<(), WriteError> {
        std::fs::rename(&self.partial, &self.path).map_err(|source| self.io(source))?;
        self.finished = true;
        Ok(())
    }

    fn io(&self, source: std::io::Error) -> WriteError {
        WriteError::Io { path: self.path.clone(), source }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.finished {
            // an unfinished file is of no use; that it is not there or stays changes nothing
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}

/// Writes a small file as a whole or not at all.
///
/// # Errors
/// [`WriteError::Io`] with the path.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let partial = Partial::of(path);
    let mut file = partial.create()?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.map_err(|source| partial.io(source))?;
    partial.finish()
}

enum Sink {
    Parquet(Box<BatchedWriter<File>>),
    Csv { file: File, headed: bool },
}

/// Writes batches of rows to one file.
pub struct TableWriter {
    partial: Partial,
    is_parquet: bool,
    sink: Option<Sink>,
}

impl TableWriter {
    /// Prepares to write `path`, whose ending names the format.
    ///
    /// # Errors
    /// An ending other than `.parquet` or `.csv`.
    pub fn new(path: &Path) -> Result<Self, WriteError> {
        let is_parquet = match path.extension().and_then(|ending| ending.to_str()) {
            Some("parquet") => true,
            Some("csv") => false,
            _ => return Err(WriteError::UnknownKind { path: path.to_owned() }),
        };
        Ok(Self { partial: Partial::of(path), is_parquet, sink: None })
    }

    /// Appends rows. All batches must have the same columns.
    ///
    /// # Errors
    /// [`WriteError`] with the path.
    pub fn write(&mut self, n_rows: usize, columns: Vec<Column>) -> Result<(), WriteError> {
        let table = DataFrame::new(n_rows, columns).map_err(|error| self.table(&error))?;
        let sink = match self.sink.take() {
            Some(sink) => sink,
            None => self.open(&table)?,
        };
        let sink = match sink {
            Sink::Parquet(mut writer) => {
                writer.write_batch(&table).map_err(|error| self.table(&error))?;
                Sink::Parquet(writer)
            }
            Sink::Csv { mut file, headed } => {
                let mut table = table;
                CsvWriter::new(&mut file)
                    .include_header(!headed)
                    .finish(&mut table)
                    .map_err(|error| self.table(&error))?;
                Sink::Csv { file, headed: true }
            }
        };
        self.sink = Some(sink);
        Ok(())
    }

    /// Ends the file and gives it its name. Without any batch no file is made.
    ///
    /// # Errors
    /// [`WriteError`] with the path.
    pub fn finish(mut self) -> Result<(), WriteError> {
        match self.sink.take() {
            None => return Ok(()),
            Some(Sink::Parquet(writer)) => {
                writer.finish().map_err(|error| self.table(&error))?;
            }
            Some(Sink::Csv { file, .. }) => {
                file.sync_all().map_err(|source| self.partial.io(source))?;
            }
        }
        self.partial.finish()
    }

    fn open(&self, table: &DataFrame) -> Result<Sink, WriteError> {
        let file = self.partial.create()?;
        if !self.is_parquet {
            return Ok(Sink::Csv { file, headed: false });
        }
        // Columns are packed one after another on this thread, and Zstandard takes three times as long.
        let writer = ParquetWriter::new(file)
            .with_compression(ParquetCompression::Snappy)
            .batched(table.schema())
            .map_err(|error| self.table(&error))?;
        Ok(Sink::Parquet(Box::new(writer)))
    }

    fn table(&self, error: &polars::error::PolarsError) -> WriteError {
        WriteError::Table { path: self.partial.path.clone(), message: error.to_string() }
    }
}
