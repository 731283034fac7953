//! CSV files in stretches of whole rows, whose columns are of the kinds that the whole file shows.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use csv::ByteRecord;
use polars::io::csv::read::schema_inference::infer_field_schema;
use polars::prelude::{CsvReadOptions, DataType, SerReader};

use super::files::open;
use super::frame::table_error;
use super::{Frame, ReadError};

/// Bytes of text that a stretch of a file has, about.
const STRETCH_BYTES: usize = 1 << 24;

/// A whole file as one table. Its kinds are found by looking at every row.
pub(super) fn read_whole(path: &Path, is_packed: bool) -> Result<Frame, ReadError> {
    let mut rows = CsvStretches::open(path, is_packed, &Arc::default())?;
    let mut kinds = Kinds::new(rows.n_columns);
    let text = rows.next(usize::MAX, |record, text| kinds.see(record, text))?;
    frame(path, 0, &text.unwrap_or_default(), kinds.found())
}

/// A file as tables of some rows each, handed to `take` in their order. The file is read twice: once
/// for the kinds of its columns, which every row has a say in, and once for its rows.
pub(super) fn for_each_stretch<E: From<ReadError>>(
    path: &Path,
    is_packed: bool,
    n_bytes: &Arc<AtomicU64>,
    take: impl FnMut(Frame) -> Result<(), E>,
) -> Result<(), E> {
    in_stretches(path, is_packed, n_bytes, STRETCH_BYTES, take)
}

fn in_stretches<E: From<ReadError>>(
    path: &Path,
    is_packed: bool,
    n_bytes: &Arc<AtomicU64>,
    max_bytes: usize,
    mut take: impl FnMut(Frame) -> Result<(), E>,
) -> Result<(), E> {
    let mut rows = CsvStretches::open(path, is_packed, &Arc::default())?;
    let mut kinds = Kinds::new(rows.n_columns);
    while rows.next(max_bytes, |record, text| kinds.see(record, text))?.is_some() {}
    let kinds = kinds.found();

    let mut rows = CsvStretches::open(path, is_packed, n_bytes)?;
    let mut first_row = 0;
    while let Some(text) = rows.next(max_bytes, |_, _| ())? {
        let stretch = frame(path, first_row, &text, kinds.clone())?;
        first_row += stretch.n_rows();
        take(stretch)?;
    }
    Ok(())
}

/// A table from the text of a file's head and some of its rows.
fn frame(
    path: &Path,
    first_row: usize,
    text: &[u8],
    kinds: Vec<DataType>,
) -> Result<Frame, ReadError> {
    let table = CsvReadOptions::default()
        .with_infer_schema_length(Some(0))
        .with_dtype_overwrite(Some(Arc::new(kinds)))
        .into_reader_with_file_handle(std::io::Cursor::new(text))
        .finish()
        .map_err(|error| table_error(path, "CSV", &error))?;
    Frame::of(path, first_row, &table)
}

/// A reader that keeps what was read from it.
struct Keeping {
    reader: Box<dyn BufRead>,
    kept: Vec<u8>,
}

impl Read for Keeping {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.reader.read(buffer)?;
        self.kept.extend_from_slice(&buffer[..n]);
        Ok(n)
    }
}

/// The text of a file, cut between rows.
struct CsvStretches {
    path: PathBuf,
    reader: csv::Reader<Keeping>,
    /// The text of the names, which every stretch begins with.
    head: Vec<u8>,
    n_columns: usize,
    /// Place in the file of the first byte that is kept.
    start: u64,
    record: ByteRecord,
    /// The head was handed out, with rows or without.
    is_begun: bool,
}

impl CsvStretches {
    fn open(path: &Path, is_packed: bool, n_bytes: &Arc<AtomicU64>) -> Result<Self, ReadError> {
        let keeping = Keeping { reader: open(path, is_packed, n_bytes)?, kept: Vec::new() };
        let mut reader = csv::ReaderBuilder::new().buffer_capacity(1 << 16).from_reader(keeping);
        let n_columns = reader.byte_headers().map_err(|error| bad(path, &error))?.len();
        let start = reader.position().byte();
        let head = reader.get_mut().kept.drain(..start as usize).collect();
        let record = ByteRecord::new();
        Ok(Self { path: path.to_owned(), reader, head, n_columns, start, record, is_begun: false })
    }

    /// The head and the next rows, about `max_bytes` of them, or `None` at the end; the first stretch
    /// may have no rows. `see` is told of each row's fields and its text. A row of too few or too many
    /// fields is an error: half a row must not be learned from.
    fn next(
        &mut self,
        max_bytes: usize,
        mut see: impl FnMut(&ByteRecord, &[u8]),
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let mut end = 0;
        let mut is_over = false;
        while end < max_bytes {
            let more = self.reader.read_byte_record(&mut self.record);
            if !more.map_err(|error| bad(&self.path, &error))? {
                is_over = true;
                break;
            }
            let row_start = end;
            end = (self.reader.position().byte() - self.start) as usize;
            see(&self.record, &self.reader.get_ref().kept[row_start..end]);
        }
        if is_over && end == 0 && self.is_begun {
            return Ok(None);
        }
        self.is_begun = true;
        self.start += end as u64;
        let mut text = self.head.clone();
        text.extend(self.reader.get_mut().kept.drain(..end));
        Ok(Some(text))
    }
}

fn bad(path: &Path, error: &csv::Error) -> ReadError {
    ReadError::Table { path: path.to_owned(), kind: "CSV", message: error.to_string() }
}

/// What each column of a file can be read as.
struct Kinds(Vec<Kind>);

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// No value so far.
    Unknown,
    Flag,
    Integer,
    Number,
    Text,
}

impl Kind {
    fn of(field: &[u8]) -> Self {
        if is_beyond_64_bits(field) || is_padded(field) {
            // an id, of which every digit counts
            return Self::Text;
        }
        match infer_field_schema(&String::from_utf8_lossy(field), false, false) {
            DataType::Boolean => Self::Flag,
            DataType::Int64 => Self::Integer,
            DataType::Float64 => Self::Number,
            _ => Self::Text,
        }
    }

    /// What holds both.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unknown, kind) | (kind, Self::Unknown) => kind,
            (a, b) if a == b => a,
            (Self::Integer, Self::Number) | (Self::Number, Self::Integer) => Self::Number,
            _ => Self::Text,
        }
    }
}

impl Kinds {
    fn new(n_columns: usize) -> Self {
        Self(vec![Kind::Unknown; n_columns])
    }

    /// Looks at a row: its fields and its text.
    fn see(&mut self, record: &ByteRecord, text: &[u8]) {
        let mut has_empty = false;
        for (kind, field) in self.0.iter_mut().zip(record) {
            has_empty |= field.is_empty();
            if *kind != Kind::Text && !field.is_empty() {
                *kind = kind.with(Kind::of(field));
            }
        }
        // nothing between quotes is a text, nothing at all is no value
        if has_empty && text.windows(2).any(|pair| pair == b"\"\"") {
            for column in empty_in_quotes(text) {
                if let Some(kind) = self.0.get_mut(column) {
                    *kind = Kind::Text;
                }
            }
        }
    }

    fn found(&self) -> Vec<DataType> {
        let found = self.0.iter().map(|kind| match kind {
            Kind::Flag => DataType::Boolean,
            Kind::Integer => DataType::Int64,
            Kind::Number => DataType::Float64,
            Kind::Text | Kind::Unknown => DataType::String,
        });
        found.collect()
    }
}

/// The columns of a row that hold a pair of quotes and nothing else.
fn empty_in_quotes(row: &[u8]) -> Vec<usize> {
    let (mut columns, mut column, mut at) = (Vec::new(), 0, 0);
    // a row may begin with the end of the line before
    while row.get(at).is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
        at += 1;
    }
    while at < row.len() {
        if row[at] == b'"' {
            let first = at + 1;
            at = first;
            // two quotes are one that belongs to the text
            while at < row.len() && (row[at] != b'"' || row.get(at + 1) == Some(&b'"')) {
                at += if row[at] == b'"' { 2 } else { 1 };
            }
            if at == first {
                columns.push(column);
            }
            at += 1;
        }
        while at < row.len() && row[at] != b',' {
            at += 1;
        }
        at += 1;
        column += 1;
    }
    columns
}

/// Whether a field is a whole number that no `i64` holds.
fn is_beyond_64_bits(field: &[u8]) -> bool {
    let digits = field.strip_prefix(b"-").unwrap_or(field);
    // the longest that all fit have 18 digits
    digits.len() > 18
        && digits.iter().all(u8::is_ascii_digit)
        && std::str::from_utf8(field).is_ok_and(|text| text.parse::<i64>().is_err())
}

/// Whether a field is a whole number with a zero in front, as `007` and the postal code `02139` are: read as
/// a number, it would be the same as `7`.
fn is_padded(field: &[u8]) -> bool {
    let digits = field.strip_prefix(b"-").unwrap_or(field);
    digits.len() > 1 && digits[0] == b'0' && digits.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    /// Kinds, names and every cell, and the line of each row.
    fn shown(frames: &[Frame]) -> Vec<String> {
        let mut lines = vec![format!("{:?}", frames[0].names())];
        for frame in frames {
            let kinds: Vec<&str> =
                frame.columns().iter().map(super::super::FrameColumn::kind).collect();
            assert_eq!(frame.names(), frames[0].names());
            for row in 0..frame.n_rows() {
                let cells: Vec<String> = frame
                    .columns()
                    .iter()
                    .map(|column| format!("{:?}", column.cell(row)))
                    .collect();
                lines.push(format!("{} {kinds:?} {cells:?}", frame.line_of(row)));
            }
        }
        lines
    }

    /// What polars makes of the whole file when it is left to find the kinds itself.
    fn by_polars(path: &Path) -> Frame {
        let text = std::fs::read(path).unwrap();
        let table = CsvReadOptions::default()
            .with_infer_schema_length(None)
            .into_reader_with_file_handle(std::io::Cursor::new(text))
            .finish()
            .unwrap();
        Frame::of(path, 0, &table).unwrap()
    }

    fn in_small_stretches(path: &Path, is_packed: bool, max_bytes: usize) -> Vec<Frame> {
        let mut frames = Vec::new();
        in_stretches::<ReadError>(path, is_packed, &Arc::default(), max_bytes, |frame| {
            frames.push(frame);
            Ok(())
        })
        .unwrap();
        frames
    }

    fn field() -> impl Strategy<Value = String> {
        let fields = [
            "",
            "",
            "",
            "1",
            "-7",
            "0.5",
            "1e3",
            "NaN",
            "true",
            "False",
            "\"\"",
            "\"a\"\"b\"",
            "\"x,y\"",
            "\"two\nlines\"",
            "\"12\"",
            "plain",
            "\"\"\"\"",
            "2026-01-01",
        ];
        prop::sample::select(fields.to_vec()).prop_map(str::to_owned)
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 128,
            failure_persistence: None,
            rng_seed: RngSeed::Fixed(3),
            ..ProptestConfig::default()
        })]

        #[test]
        fn stretches_are_the_whole_and_the_whole_is_what_polars_reads(
            rows in prop::collection::vec(
                (field(), field(), field(), prop::option::weighted(0.9, 0..3u8)), 0..12),
            max_bytes in 1..60usize,
            is_crlf in any::<bool>(),
            ends in any::<bool>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("rows.csv");
            let end = if is_crlf { "\r\n" } else { "\n" };
            let mut text = format!("id,a,b,c,digit{end}");
            for (index, (a, b, c, digit)) in rows.iter().enumerate() {
                let digit = digit.map_or_else(String::new, |digit| digit.to_string());
                text.push_str(&format!("{index},{a},{b},{c},{digit}{end}"));
            }
            let text = if ends { text.as_str() } else { text.trim_end_matches(['\r', '\n']) };
            std::fs::write(&path, text).unwrap();
            let expected = shown(&[by_polars(&path)]);
            prop_assert_eq!(&shown(&[read_whole(&path, false).unwrap()]), &expected);
            prop_assert_eq!(&shown(&in_small_stretches(&path, false, max_bytes)), &expected);
        }
    }

    /// User `007` used to become user `7`, together with whoever was that already.
    #[test]
    fn numbers_with_a_zero_in_front_are_texts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        std::fs::write(&path, "user,n,code\n7,0,-01\n007,10,-1\n70,-0.5,00\n").unwrap();
        let expected = [
            "[\"user\", \"n\", \"code\"]",
            "2 [\"text\", \"numbers\", \"text\"] [\"Text(\\\"7\\\")\", \"Number(0.0)\", \"Text(\\\"-01\\\")\"]",
            "3 [\"text\", \"numbers\", \"text\"] [\"Text(\\\"007\\\")\", \"Number(10.0)\", \"Text(\\\"-1\\\")\"]",
            "4 [\"text\", \"numbers\", \"text\"] [\"Text(\\\"70\\\")\", \"Number(-0.5)\", \"Text(\\\"00\\\")\"]",
        ];
        assert_eq!(shown(&[read_whole(&path, false).unwrap()]), expected);
        assert_eq!(shown(&in_small_stretches(&path, false, 1)), expected);
    }

    #[test]
    fn packed_files_are_cut_between_rows_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv.gz");
        let file = std::fs::File::create(&path).unwrap();
        let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        let rows: String =
            (0..1000).map(|row| format!("{row},{}\n", f64::from(row) / 2.0)).collect();
        packed.write_all(format!("a,b\n{rows}").as_bytes()).unwrap();
        packed.finish().unwrap();
        let frames = in_small_stretches(&path, true, 500);
        assert!(frames.len() > 10);
        assert_eq!(shown(&frames), shown(&[read_whole(&path, true).unwrap()]));
        assert_eq!(shown(&frames).len(), 1001);
    }

    #[test]
    fn a_ragged_row_is_told_before_any_row_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        std::fs::write(&path, "a,b\n1,2\n3,4\n5\n").unwrap();
        let taken = in_stretches::<ReadError>(&path, false, &Arc::default(), 1, |_| {
            unreachable!("a row was taken")
        });
        assert!(taken.unwrap_err().to_string().contains("line: 4"));
    }
}
