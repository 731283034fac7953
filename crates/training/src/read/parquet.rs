//! Parquet files: which columns can be read at all, and stretches of rows as frames.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use polars::io::parquet::metadata::FileMetadataRef;
use polars::prelude::{ArrowDataType, ParallelStrategy, ParquetReader, SerReader};

use super::frame::{FrameColumn, table_error};
use super::{Frame, ReadError};

/// An open file: its footer is read once, however many stretches are.
#[derive(Clone)]
pub(crate) struct ParquetFile {
    path: PathBuf,
    metadata: FileMetadataRef,
    /// Columns in file order; of those that cannot be read, what they hold.
    columns: Arc<[(String, Option<String>)]>,
}

impl ParquetFile {
    /// Reads the footer.
    pub(crate) fn open(path: &Path) -> Result<Self, ReadError> {
        let mut reader = ParquetReader::new(open(path)?);
        let metadata = reader.get_metadata().map_err(|error| bad(path, &error))?.clone();
        let schema = reader.schema().map_err(|error| bad(path, &error))?;
        let columns = schema
            .iter()
            .map(|(name, field)| (name.to_string(), unreadable(field.dtype())))
            .collect();
        Ok(Self { path: path.to_owned(), metadata, columns })
    }

    /// Number of rows.
    pub(crate) fn n_rows(&self) -> usize {
        self.metadata.num_rows
    }

    /// Stretches `(start, n_rows)` of at most `max_rows` that together are the file. None begins in
    /// the middle of what is packed together unless that is longer, so that little is unpacked twice.
    pub(crate) fn stretches(&self, max_rows: usize) -> Vec<(usize, usize)> {
        let mut stretches: Vec<(usize, usize)> = Vec::new();
        let mut start = 0;
        for group in &self.metadata.row_groups {
            let n_rows = group.num_rows();
            match stretches.last_mut() {
                Some((_, before)) if *before + n_rows <= max_rows => *before += n_rows,
                _ => {
                    let n_parts = n_rows.div_ceil(max_rows).max(1);
                    let part = n_rows.div_ceil(n_parts).max(1);
                    let starts = (0..n_rows).step_by(part);
                    stretches.extend(starts.map(|at| (start + at, part.min(n_rows - at))));
                }
            }
            start += n_rows;
        }
        stretches
    }

    /// Rows `start .. start + n_rows` on the caller's thread. Columns that cannot be read are there by
    /// name, and say what they hold.
    pub(crate) fn read(&self, start: usize, n_rows: usize) -> Result<Frame, ReadError> {
        let is_readable = |column: &usize| self.columns[*column].1.is_none();
        let mut reader = ParquetReader::new(open(&self.path)?)
            .with_slice(Some((start, n_rows)))
            .with_projection(Some((0..self.columns.len()).filter(is_readable).collect()))
            .read_parallel(ParallelStrategy::None);
        reader.set_metadata(Arc::clone(&self.metadata));
        let table = reader.finish().map_err(|error| bad(&self.path, &error))?;
        let mut frame = Frame::of(&self.path, start, &table)?;
        for (place, (name, unreadable)) in self.columns.iter().enumerate() {
            if let Some(kind) = unreadable {
                frame.insert(place, name.clone(), FrameColumn::Unusable(kind.clone()));
            }
        }
        Ok(frame)
    }
}

fn open(path: &Path) -> Result<File, ReadError> {
    File::open(path).map_err(|source| ReadError::Io { path: path.to_owned(), source })
}

fn bad(path: &Path, error: &polars::error::PolarsError) -> ReadError {
    table_error(path, "Parquet", error)
}

/// What a column holds that has no place in a row; `None` for everything else. Not even tried to be
/// read: the table library refuses the whole file for some of these, and panics for others.
fn unreadable(kind: &ArrowDataType) -> Option<String> {
    use ArrowDataType as Kind;
    Some(match kind {
        Kind::Null
        | Kind::Boolean
        | Kind::Int8
        | Kind::Int16
        | Kind::Int32
        | Kind::Int64
        | Kind::UInt8
        | Kind::UInt16
        | Kind::UInt32
        | Kind::UInt64
        | Kind::Float32
        | Kind::Float64
        | Kind::Utf8View
        | Kind::BinaryView
        | Kind::Date32
        | Kind::Timestamp(_, _)
        | Kind::Decimal(_, _) => return None,
        Kind::Dictionary(_, values, _) => return unreadable(values),
        Kind::LargeList(_) | Kind::List(_) | Kind::FixedSizeList(_, _) => "lists".to_owned(),
        Kind::Map(_, _) => "maps".to_owned(),
        Kind::Struct(_) => "structs".to_owned(),
        Kind::Time32(_) | Kind::Time64(_) => "times of day".to_owned(),
        Kind::Duration(_) | Kind::Interval(_) => "durations".to_owned(),
        other => format!("{other:?}"),
    })
}
