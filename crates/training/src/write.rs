//! Tables out: Parquet or CSV in batches, and nothing half-written: rows go to a file beside the
//! target, which takes its name when all are there.

use std::fs::File;
use std::path::{Path, PathBuf};

use polars::io::parquet::write::BatchedWriter;
use polars::prelude::{Column, CsvWriter, DataFrame, ParquetWriter, SerWriter};

/// Why a table cannot be written.
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

enum Sink {
    Parquet(Box<BatchedWriter<File>>),
    Csv { file: File, headed: bool },
}

/// Writes batches of rows to one file.
pub struct TableWriter {
    path: PathBuf,
    partial: PathBuf,
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
        let mut partial = path.as_os_str().to_owned();
        // several processes may write the same file: the last to finish wins, none breaks another
        partial.push(format!(".{}.partial", std::process::id()));
        Ok(Self { path: path.to_owned(), partial: partial.into(), is_parquet, sink: None })
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
            Some(Sink::Csv { file, .. }) => file.sync_all().map_err(|source| self.io(source))?,
        }
        std::fs::rename(&self.partial, &self.path).map_err(|source| self.io(source))
    }

    fn open(&self, table: &DataFrame) -> Result<Sink, WriteError> {
        let file = File::create(&self.partial).map_err(|source| self.io(source))?;
        if !self.is_parquet {
            return Ok(Sink::Csv { file, headed: false });
        }
        let writer =
            ParquetWriter::new(file).batched(table.schema()).map_err(|error| self.table(&error))?;
        Ok(Sink::Parquet(Box::new(writer)))
    }

    fn io(&self, source: std::io::Error) -> WriteError {
        WriteError::Io { path: self.path.clone(), source }
    }

    fn table(&self, error: &polars::error::PolarsError) -> WriteError {
        WriteError::Table { path: self.path.clone(), message: error.to_string() }
    }
}

impl Drop for TableWriter {
    fn drop(&mut self) {
        if self.sink.is_some() {
            // an unfinished file is of no use; that it cannot be removed changes nothing
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}
