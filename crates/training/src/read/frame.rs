//! A table of a file, read by polars, seen as typed columns of a few kinds.

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};

use polars::prelude::{
    BooleanChunked, ChunkedArray, Column, DataFrame, DataType, Float64Chunked, Int64Chunked,
    PolarsDataType, StaticArray, StringChunked, TimeUnit,
};

use segue_events::{Cell, Record, Table};

use super::parquet::ParquetFile;
use super::{FileKind, ReadError, csv_file};

/// A column with its kind.
#[derive(Debug, Clone)]
pub enum FrameColumn {
    /// True or false.
    Flag(BooleanChunked),
    /// Whole numbers.
    Integer(Int64Chunked),
    /// Numbers.
    Number(Float64Chunked),
    /// Texts.
    Text(StringChunked),
    /// Instants in microseconds UTC.
    Time(Int64Chunked),
    /// Wall-clock times in microseconds, of a column without a zone.
    WallTime(Int64Chunked),
    /// A kind that nothing here can use, by name.
    Unusable(String),
}

impl FrameColumn {
    /// The value of row `row`.
    #[must_use]
    pub fn cell(&self, row: usize) -> Cell<'_> {
        match self {
            Self::Flag(values) => values.get(row).map_or(Cell::Null, Cell::Flag),
            Self::Integer(values) => values.get(row).map_or(Cell::Null, Cell::Integer),
            Self::Number(values) => values.get(row).map_or(Cell::Null, Cell::Number),
            Self::Text(values) => {
                values.get(row).map_or(Cell::Null, |text| Cell::Text(Cow::Borrowed(text)))
            }
            Self::Time(values) => values.get(row).map_or(Cell::Null, Cell::Time),
            Self::WallTime(values) => values.get(row).map_or(Cell::Null, Cell::WallTime),
            Self::Unusable(_) => Cell::Null,
        }
    }

    /// The values of neighbouring rows, in order.
    fn for_each_cell<'a>(&'a self, rows: Range<usize>, mut take: impl FnMut(Cell<'a>)) {
        match self {
            Self::Flag(values) => for_each(values, rows, Cell::Flag, take),
            Self::Integer(values) => for_each(values, rows, Cell::Integer, take),
            Self::Number(values) => for_each(values, rows, Cell::Number, take),
            Self::Text(values) => {
                for_each(values, rows, |text| Cell::Text(Cow::Borrowed(text)), take);
            }
            Self::Time(values) => for_each(values, rows, Cell::Time, take),
            Self::WallTime(values) => for_each(values, rows, Cell::WallTime, take),
            Self::Unusable(_) => rows.for_each(|_| take(Cell::Null)),
        }
    }

    /// What the column holds, for messages.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Flag(_) => "true/false",
            Self::Integer(_) => "whole numbers",
            Self::Number(_) => "numbers",
            Self::Text(_) => "text",
            Self::Time(_) | Self::WallTime(_) => "times",
            Self::Unusable(name) => name,
        }
    }

    fn of(column: &Column) -> Result<Self, polars::error::PolarsError> {
        let cast = |to: &DataType| column.as_materialized_series().rechunk().cast(to);
        Ok(match column.dtype() {
            DataType::Boolean => {
                Self::Flag(column.as_materialized_series().rechunk().bool()?.clone())
            }
            DataType::String | DataType::Categorical(_, _) | DataType::Enum(_, _) => {
                Self::Text(cast(&DataType::String)?.str()?.clone())
            }
            // Whole numbers beyond 64 bits with a sign are ids, of which every digit counts.
            dtype if dtype.is_integer() || matches!(dtype, DataType::Decimal(_, 0)) => {
                match column.as_materialized_series().rechunk().strict_cast(&DataType::Int64) {
                    Ok(whole) => Self::Integer(whole.i64()?.clone()),
                    Err(_) => Self::Text(cast(&DataType::String)?.str()?.clone()),
                }
            }
            // Some writers do not say that their bytes are text.
            DataType::Binary => {
                match column.as_materialized_series().rechunk().strict_cast(&DataType::String) {
                    Ok(text) => Self::Text(text.str()?.clone()),
                    Err(_) => Self::Unusable("bytes that are no text".to_owned()),
                }
            }
            dtype if dtype.is_float() || dtype.is_decimal() => {
                Self::Number(cast(&DataType::Float64)?.f64()?.clone())
            }
            DataType::Date | DataType::Datetime(_, _) => {
                let zoned = matches!(column.dtype(), DataType::Datetime(_, Some(_)));
                let micros = cast(&DataType::Datetime(TimeUnit::Microseconds, None))?;
                let micros = micros.cast(&DataType::Int64)?.i64()?.clone();
                if zoned { Self::Time(micros) } else { Self::WallTime(micros) }
            }
            DataType::Null => Self::Text(cast(&DataType::String)?.str()?.clone()),
            dtype => Self::Unusable(dtype.to_string()),
        })
    }
}

/// Hands the values of neighbouring rows to `take`, as cells.
fn for_each<'a, T: PolarsDataType>(
    values: &'a ChunkedArray<T>,
    rows: Range<usize>,
    cell: impl Fn(T::Physical<'a>) -> Cell<'a>,
    mut take: impl FnMut(Cell<'a>),
) {
    let mut first = 0;
    for (array, n_rows) in values.downcast_iter().zip(values.chunk_lengths()) {
        let end = first + n_rows;
        let (from, to) = (rows.start.clamp(first, end), rows.end.clamp(first, end));
        let of_array = array.iter().skip(from - first).take(to - from);
        of_array.for_each(|value| take(value.map_or(Cell::Null, &cell)));
        first = end;
    }
}

/// A table in memory: named, typed columns of equal length.
#[derive(Debug, Clone)]
pub struct Frame {
    path: PathBuf,
    first_row: usize,
    n_rows: usize,
    names: Vec<String>,
    columns: Vec<FrameColumn>,
}

impl Frame {
    /// Reads a whole CSV (also `.gz`) or Parquet file. CSV kinds are found by looking at every row.
    ///
    /// # Errors
    /// [`ReadError`] with the path and what the parser says.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        match FileKind::of(path)? {
            (FileKind::Csv, packed) => csv_file::read_whole(path, packed),
            (FileKind::Parquet, _) => {
                let file = ParquetFile::open(path)?;
                file.read(0, file.n_rows())
            }
            (FileKind::JsonLines, _) => Err(ReadError::Table {
                path: path.to_owned(),
                kind: "a table",
                message: "JSON lines hold events, not a feature table; expected .csv or .parquet"
                    .into(),
            }),
        }
    }

    /// Wraps a polars table; `path` names it in errors.
    pub(super) fn of(path: &Path, first_row: usize, table: &DataFrame) -> Result<Self, ReadError> {
        let names = table.get_column_names().into_iter().map(ToString::to_string).collect();
        let columns = table
            .columns()
            .iter()
            .map(FrameColumn::of)
            .collect::<Result<_, _>>()
            .map_err(|error| table_error(path, "a table", &error))?;
        Ok(Self { path: path.to_owned(), first_row, n_rows: table.height(), names, columns })
    }

    /// Puts a column before the one that is at `place` now.
    pub(super) fn insert(&mut self, place: usize, name: String, column: FrameColumn) {
        self.names.insert(place, name);
        self.columns.insert(place, column);
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Line of the file for a CSV, whose header is line 1; row from 1 for Parquet.
    #[must_use]
    pub fn line_of(&self, row: usize) -> u64 {
        let is_csv = matches!(FileKind::of(&self.path), Ok((FileKind::Csv, _)));
        (self.first_row + row) as u64 + if is_csv { 2 } else { 1 }
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Names of the columns in file order.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The columns in file order.
    #[must_use]
    pub fn columns(&self) -> &[FrameColumn] {
        &self.columns
    }

    /// Index of a column.
    #[must_use]
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|column| column == name)
    }

    /// A column by name; `key` is the job key that names it.
    ///
    /// # Errors
    /// [`ReadError::NoColumn`] with what there is.
    pub fn column(&self, name: &str, key: &str) -> Result<&FrameColumn, ReadError> {
        match self.index_of(name) {
            Some(index) => Ok(&self.columns[index]),
            None => Err(no_column(&self.path, 1, name, key, &self.names)),
        }
    }
}

impl Table for Frame {
    fn n_rows(&self) -> usize {
        self.n_rows
    }

    fn names(&self) -> &[String] {
        &self.names
    }

    fn cell(&self, column: usize, row: usize) -> Cell<'_> {
        self.columns[column].cell(row)
    }

    fn for_each_cell<'t>(&'t self, column: usize, rows: Range<usize>, take: impl FnMut(Cell<'t>)) {
        self.columns[column].for_each_cell(rows, take);
    }
}

/// One row of a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameRow<'a> {
    pub(super) frame: &'a Frame,
    pub(super) row: usize,
}

impl Record for FrameRow<'_> {
    fn cell(&self, key: &str) -> Option<Cell<'_>> {
        self.frame.index_of(key).map(|column| self.frame.columns[column].cell(self.row))
    }

    fn visit(&self, visit: &mut dyn FnMut(&str, Cell<'_>)) {
        for (name, column) in self.frame.names.iter().zip(&self.frame.columns) {
            visit(name, column.cell(self.row));
        }
    }
}

/// The error for a column that is not there, with the nearest name first.
pub(crate) fn no_column(
    path: &Path,
    line: u64,
    column: &str,
    key: &str,
    names: &[String],
) -> ReadError {
    let found = nearest_first(column, names.iter().map(String::as_str));
    let (path, column, key) = (path.to_owned(), column.to_owned(), key.to_owned());
    ReadError::NoColumn { path, line, column, key, found }
}

/// A few names for a message, those that are most like the wanted one first.
pub(crate) fn nearest_first<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 12;
    let mut names: Vec<&str> = names.collect();
    names.sort_by_key(|name| strsim::damerau_levenshtein(wanted, name));
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    let shown = names.join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

pub(super) fn table_error(
    path: &Path,
    kind: &'static str,
    error: &polars::error::PolarsError,
) -> ReadError {
    let message = error.to_string();
    ReadError::Table { path: path.to_owned(), kind, message }
}

#[cfg(test)]
mod tests {
    use polars::prelude::{NamedFrom, Series};

    use super::*;

    /// Every kind, with and without values that are not there, in one array and in three.
    #[test]
    fn cells_of_neighbouring_rows_are_those_of_the_rows() {
        fn check(column: &FrameColumn) {
            for (start, end) in [(0, 9), (0, 0), (0, 4), (2, 3), (3, 8), (5, 9), (8, 9)] {
                let mut cells = Vec::new();
                column.for_each_cell(start..end, |cell| cells.push(cell));
                let expected: Vec<_> = (start..end).map(|row| column.cell(row)).collect();
                assert_eq!(cells, expected, "{} {start}..{end}", column.kind());
            }
        }
        /// Nine rows in one array and in three.
        fn in_arrays(make: impl Fn(&[usize]) -> Series) -> [Series; 2] {
            let mut three = make(&[0, 1, 2]);
            three.append(&make(&[3])).unwrap();
            three.append(&make(&[4, 5, 6, 7, 8])).unwrap();
            assert_eq!(three.n_chunks(), 3);
            [make(&[0, 1, 2, 3, 4, 5, 6, 7, 8]), three]
        }
        fn series<'a, T, P: ?Sized>(
            rows: &'a [usize],
            value: impl Fn(usize) -> Option<T> + 'a,
        ) -> Series
        where
            Series: NamedFrom<Vec<Option<T>>, P>,
        {
            let values: Vec<Option<T>> = rows.iter().map(|&row| value(row)).collect();
            Series::new("column".into(), values)
        }
        for modulus in [2, 3] {
            let given = |row: usize| row % modulus != 2;
            let numbers = |row: usize| given(row).then_some(row as f64 / 2.0);
            let integers = |row: usize| given(row).then_some(row as i64);
            let flags = |row: usize| given(row).then_some(row.is_multiple_of(2));
            let texts = |row: usize| given(row).then(|| "long or short".repeat(row % 3));
            for column in in_arrays(|rows| series(rows, numbers)) {
                check(&FrameColumn::Number(column.f64().unwrap().clone()));
            }
            for column in in_arrays(|rows| series(rows, integers)) {
                let column = column.i64().unwrap();
                check(&FrameColumn::Integer(column.clone()));
                check(&FrameColumn::Time(column.clone()));
                check(&FrameColumn::WallTime(column.clone()));
            }
            for column in in_arrays(|rows| series(rows, flags)) {
                check(&FrameColumn::Flag(column.bool().unwrap().clone()));
            }
            for column in in_arrays(|rows| series(rows, texts)) {
                check(&FrameColumn::Text(column.str().unwrap().clone()));
            }
        }
        check(&FrameColumn::Unusable("lists".to_owned()));
    }
}
