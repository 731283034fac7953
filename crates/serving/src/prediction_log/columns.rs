//! Rows of the log as Parquet, one row group in memory at a time.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};

use super::record::{Row, Shape};

/// Rows of a row group at most.
const GROUP_ROWS: usize = 1 << 16;
/// Bytes of a row group in memory, about.
const GROUP_BYTES: usize = 32 << 20;

/// Under this key a file's footer has its [`Shape`] as JSON.
pub(crate) const SHAPE_KEY: &str = "segue.shape";

/// Columns that are not features, in their order. `score.CLASS` of a multiclass model and the
/// features follow; `subject_id` is last and only there if the operator has it kept.
pub(crate) const FIXED: [&str; 9] = [
    "prediction_id",
    "time",
    "model",
    "version",
    "digest",
    "variant",
    "segment",
    "request_id",
    "score",
];
/// The column of subjects.
pub(crate) const SUBJECT: &str = "subject_id";

/// The name of a feature's column: its own, but for one that a fixed column has.
pub(crate) fn feature_column(name: &str) -> String {
    let is_taken = |name: &str| {
        FIXED.contains(&name)
            || name == SUBJECT
            || OUTCOME_COLUMNS.contains(&name)
            || name.starts_with("score.")
    };
    beside(name, &is_taken)
}

/// A name for a column beside those that are taken: with `feature.` before it if it is, and also if it is
/// what a taken one becomes by that.
pub(crate) fn beside(name: &str, is_taken: &dyn Fn(&str) -> bool) -> String {
    let bare = name.trim_start_matches(PREFIX);
    if is_taken(name) || is_taken(bare) { format!("{PREFIX}{name}") } else { name.to_owned() }
}

const PREFIX: &str = "feature.";

/// Columns that a join with outcomes adds.
pub(crate) const OUTCOME_COLUMNS: [&str; 3] = ["label", "weight", "outcome_time"];

/// A column with its values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) values: ColumnValues,
}

/// Values of a column; a missing one is `None`, of numbers NaN.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ColumnValues {
    Text(Vec<Option<String>>),
    Number(Vec<f64>),
    Integer(Vec<i64>),
    /// Microseconds UTC.
    Time(Vec<i64>),
}

impl ColumnValues {
    fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Number(_) => Kind::Number,
            Self::Integer(_) => Kind::Integer,
            Self::Time(_) => Kind::Time,
        }
    }
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
    Integer,
    Time,
}

/// Writes tables of columns, one row group after the other.
pub(crate) struct TableWriter<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Vec<(String, Kind)>,
}

impl<W: Write + Send> TableWriter<W> {
    /// A table of these columns; `facts` go into the footer.
    pub(crate) fn new(
        output: W,
        columns: Vec<(String, Kind)>,
        facts: &[(&str, String)],
    ) -> Result<Self, ParquetError> {
        let fields = columns.iter().map(|(name, kind)| field(name, *kind));
        let schema = Type::group_type_builder("segue")
            .with_fields(fields.collect::<Result<_, _>>()?)
            .build()?;
        let facts =
            facts.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone()));
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(format!("segue {}", env!("CARGO_PKG_VERSION")))
            .set_key_value_metadata(Some(facts.collect()));
        let properties = Arc::new(properties.build());
        let writer = SerializedFileWriter::new(output, Arc::new(schema), properties)?;
        Ok(Self { writer, columns })
    }

    /// Writes a row group: the columns of the table in their order, equally long.
    pub(crate) fn write(&mut self, columns: &[Column]) -> Result<(), ParquetError> {
        let fits = columns.len() == self.columns.len()
            && columns
                .iter()
                .zip(&self.columns)
                .all(|(one, (name, kind))| one.name == *name && one.values.kind() == *kind);
        if !fits {
            return Err(ParquetError::General("columns of another table".to_owned()));
        }
        let mut group = self.writer.next_row_group()?;
        for column in columns {
            write_column(&mut group, &column.values)?;
        }
        group.close()?;
        Ok(())
    }

    /// Ends the file and gives what it was written to.
    pub(crate) fn finish(self) -> Result<W, ParquetError> {
        self.writer.into_inner()
    }
}

fn field(name: &str, kind: Kind) -> Result<TypePtr, ParquetError> {
    let (physical, logical, repetition) = match kind {
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String), Repetition::OPTIONAL),
        Kind::Number => (Physical::DOUBLE, None, Repetition::OPTIONAL),
        Kind::Integer => (Physical::INT64, None, Repetition::REQUIRED),
        Kind::Time => {
            let time = LogicalType::timestamp(true, TimeUnit::MICROS);
            (Physical::INT64, Some(time), Repetition::REQUIRED)
        }
    };
    let column = Type::primitive_type_builder(name, physical).with_repetition(repetition);
    Ok(Arc::new(column.with_logical_type(logical).build()?))
}

fn write_column<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &ColumnValues,
) -> Result<(), ParquetError> {
    let absent = || ParquetError::General("a row group ended before its columns".to_owned());
    let mut column = group.next_column()?.ok_or_else(absent)?;
    match values {
        ColumnValues::Text(texts) => {
            let there = texts.iter().flatten();
            let bytes: Vec<ByteArray> = there.map(|text| ByteArray::from(text.as_str())).collect();
            let levels: Vec<i16> = texts.iter().map(|text| i16::from(text.is_some())).collect();
            column.typed::<ByteArrayType>().write_batch(&bytes, Some(&levels), None)?;
        }
        ColumnValues::Number(numbers) => {
            let there: Vec<f64> = numbers.iter().copied().filter(|value| !value.is_nan()).collect();
            let levels: Vec<i16> = numbers.iter().map(|value| i16::from(!value.is_nan())).collect();
            column.typed::<DoubleType>().write_batch(&there, Some(&levels), None)?;
        }
        ColumnValues::Integer(integers) | ColumnValues::Time(integers) => {
            column.typed::<Int64Type>().write_batch(integers, None, None)?;
        }
    }
    column.close()
}

/// Collects rows of one version and writes them as row groups.
pub(crate) struct RowWriter<W: Write + Send> {
    table: TableWriter<W>,
    shape: Shape,
    rows: Vec<Row>,
    n_bytes: usize,
}

impl<W: Write + Send> RowWriter<W> {
    /// A file of rows of `shape`.
    pub(crate) fn new(output: W, shape: Shape) -> Result<Self, ParquetError> {
        let text = serde_json::to_string(&shape).unwrap_or_default();
        let columns = columns_of(&shape);
        let table = TableWriter::new(output, columns, &[(SHAPE_KEY, text)])?;
        Ok(Self { table, shape, rows: Vec::new(), n_bytes: 0 })
    }

    /// Adds a row, and writes a row group when there are enough.
    pub(crate) fn push(&mut self, row: Row) -> Result<(), ParquetError> {
        self.n_bytes += row.n_bytes();
        self.rows.push(row);
        if self.rows.len() >= GROUP_ROWS || self.n_bytes >= GROUP_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ParquetError> {
        if !self.rows.is_empty() {
            self.table.write(&columns(&self.rows, &self.shape))?;
        }
        self.rows.clear();
        self.n_bytes = 0;
        Ok(())
    }

    /// Ends the file.
    pub(crate) fn finish(mut self) -> Result<W, ParquetError> {
        self.flush()?;
        self.table.finish()
    }
}

/// Names and kinds of the columns of a version's log.
pub(crate) fn columns_of(shape: &Shape) -> Vec<(String, Kind)> {
    let none = columns(&[], shape);
    none.into_iter().map(|column| (column.name, column.values.kind())).collect()
}

/// Rows turned into columns.
pub(crate) fn columns(rows: &[Row], shape: &Shape) -> Vec<Column> {
    fn text<'a>(rows: &'a [Row], of: impl Fn(&'a Row) -> Option<&'a str>) -> ColumnValues {
        ColumnValues::Text(rows.iter().map(|row| of(row).map(str::to_owned)).collect())
    }
    let number = |of: &dyn Fn(&Row) -> f64| ColumnValues::Number(rows.iter().map(of).collect());
    let version = i64::try_from(shape.version).unwrap_or(i64::MAX);
    let id = |row: &Row| Some(row.id().text());
    let mut all = Vec::with_capacity(FIXED.len() + shape.features.len() + 1);
    let mut put = |name: &str, values| all.push(Column { name: name.to_owned(), values });
    put("prediction_id", ColumnValues::Text(rows.iter().map(id).collect()));
    put("time", ColumnValues::Time(rows.iter().map(|row| row.time_us).collect()));
    put("model", text(rows, |_| Some(&shape.model)));
    put("version", ColumnValues::Integer(vec![version; rows.len()]));
    put("digest", text(rows, |_| Some(&shape.digest)));
    put("variant", text(rows, |row| Some(row.variant_name())));
    put("segment", text(rows, |row| Some(row.segment.as_str()).filter(|name| !name.is_empty())));
    put("request_id", text(rows, |row| Some(&row.request_id)));
    put("score", number(&|row| row.score()));
    for (class, name) in shape.classes.iter().enumerate() {
        put(&format!("score.{name}"), number(&|row| row.class_scores()[class]));
    }
    for (column, feature) in shape.features.iter().enumerate() {
        let values = match &feature.vocabulary {
            None => number(&|row| row.values[column]),
            Some(vocabulary) => text(rows, |row| row.category(column, vocabulary)),
        };
        put(&feature_column(&feature.name), values);
    }
    if shape.with_subjects {
        put(SUBJECT, text(rows, |row| row.subject.as_deref()));
    }
    all
}

/// A file of the log that is being read.
pub(crate) struct TableReader {
    reader: SerializedFileReader<File>,
    names: Vec<String>,
    shape: Shape,
}

impl TableReader {
    /// Reads the footer.
    pub(crate) fn open(path: &Path) -> Result<Self, ParquetError> {
        let file = File::open(path).map_err(|error| ParquetError::External(Box::new(error)))?;
        let reader = SerializedFileReader::new(file)?;
        let metadata = reader.metadata().file_metadata();
        let names = metadata.schema_descr().columns().iter().map(|one| one.name().to_owned());
        let names = names.collect();
        let facts = metadata.key_value_metadata().into_iter().flatten();
        let shape = facts.filter(|fact| fact.key == SHAPE_KEY).find_map(|fact| fact.value.as_ref());
        let shape = shape.and_then(|text| serde_json::from_str(text).ok()).ok_or_else(|| {
            ParquetError::General(format!("no {SHAPE_KEY:?} in the footer: no prediction log"))
        })?;
        Ok(Self { reader, names, shape })
    }

    /// What the rows are of.
    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The columns in their order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Rows of all row groups.
    #[cfg(test)]
    pub(crate) fn n_rows(&self) -> u64 {
        let metadata = self.reader.metadata().file_metadata();
        u64::try_from(metadata.num_rows()).unwrap_or(0)
    }

    /// Row groups, which are read one at a time.
    pub(crate) fn n_groups(&self) -> usize {
        self.reader.num_row_groups()
    }

    /// The columns of these names of a row group.
    pub(crate) fn read(&self, group: usize, names: &[&str]) -> Result<Vec<Column>, ParquetError> {
        let group = self.reader.get_row_group(group)?;
        names.iter().map(|name| self.read_column(&*group, name)).collect()
    }

    fn read_column(&self, group: &dyn RowGroupReader, name: &str) -> Result<Column, ParquetError> {
        use parquet::column::reader::ColumnReader as Reader;
        let absent = || ParquetError::General(format!("no column {name:?}"));
        let place = self.names.iter().position(|known| known == name).ok_or_else(absent)?;
        let n_rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        let mut levels: Vec<i16> = Vec::with_capacity(n_rows);
        let is_time = group.metadata().column(place).column_descr().logical_type_ref().is_some();
        let values = match group.get_column_reader(place)? {
            Reader::ByteArrayColumnReader(mut reader) => {
                let mut found = Vec::with_capacity(n_rows);
                reader.read_records(n_rows, Some(&mut levels), None, &mut found)?;
                let mut found = found.into_iter();
                let text = |level: &i16| {
                    if *level == 0 {
                        return Ok(None);
                    }
                    let text = found.next().ok_or_else(absent)?;
                    Ok(Some(text.as_utf8()?.to_owned()))
                };
                let texts = levels.iter().map(text).collect::<Result<_, ParquetError>>()?;
                ColumnValues::Text(texts)
            }
            Reader::DoubleColumnReader(mut reader) => {
                let mut found = Vec::with_capacity(n_rows);
                reader.read_records(n_rows, Some(&mut levels), None, &mut found)?;
                let mut found = found.into_iter();
                let number = |level: &i16| if *level == 0 { Some(f64::NAN) } else { found.next() };
                let numbers: Option<Vec<f64>> = levels.iter().map(number).collect();
                ColumnValues::Number(numbers.ok_or_else(absent)?)
            }
            Reader::Int64ColumnReader(mut reader) => {
                let mut found = Vec::with_capacity(n_rows);
                reader.read_records(n_rows, None, None, &mut found)?;
                if is_time { ColumnValues::Time(found) } else { ColumnValues::Integer(found) }
            }
            _ => {
                return Err(ParquetError::General(format!(
                    "column {name:?} is of no kind of ours"
                )));
            }
        };
        Ok(Column { name: name.to_owned(), values })
    }
}
