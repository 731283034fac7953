//! Feature tables in, scores out.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use segue_dataset::{FeatureKind, Matrix, Schema, UNSEEN_CATEGORY};
use segue_events::Cell;
use segue_model::Scratch;

use super::answers::{Answers, BLOCK_ROWS, Rows, answer};
use super::csv_rows::CsvRows;
use super::output::columns_of;
use super::{FileScorer, ScoreError, ScoreSummary, ScoreTarget};
use crate::export::column;
use crate::read::{FileKind, Frame, ParquetFile, ReadError, in_order, no_column};
use crate::rows::text_of;
use crate::write::TableWriter;

/// Rows in memory at a time.
const BATCH_ROWS: usize = 50_000;

/// Scores each row of a `.parquet` or `.csv` table that has the models' features as columns.
///
/// `keep` names columns that are copied to the output. An empty or null value is missing. A text where
/// a number is expected is read as missing and counted; an unknown category is counted.
///
/// # Errors
/// A column that is not there, or a file that cannot be read or written; then no output is left.
pub fn score_features(
    scorers: &[FileScorer],
    input: &Path,
    keep: &[String],
    target: ScoreTarget<'_>,
) -> Result<ScoreSummary, ScoreError> {
    match FileKind::of(input)? {
        (FileKind::Parquet, _) => parquet(scorers, input, keep, target),
        (FileKind::Csv, packed) => csv(scorers, input, packed, keep, target),
        (FileKind::JsonLines, _) => Err(ScoreError::Read(ReadError::Table {
            path: input.to_owned(),
            kind: "a feature table",
            message: "JSON lines hold events; give them with --events, or a .parquet or .csv table"
                .into(),
        })),
    }
}

fn parquet(
    scorers: &[FileScorer],
    input: &Path,
    keep: &[String],
    target: ScoreTarget<'_>,
) -> Result<ScoreSummary, ScoreError> {
    let file = ParquetFile::open(input)?;
    let mut output = Output::new(scorers, keep, target)?;
    // a table without rows is scored too: its columns are checked and its scores have a head
    let mut stretches = file.stretches(BATCH_ROWS);
    if stretches.is_empty() {
        stretches.push((0, 0));
    }
    for (start, n_rows) in stretches {
        let frame = file.read(start, n_rows)?;
        let columns = Columns::of(scorers, input, keep, frame.names())?;
        output.batch(&columns, frame.n_rows(), |row, column| frame.columns()[column].cell(row))?;
        (target.progress)(output.summary.n_rows, file.n_rows() as u64);
    }
    output.finish()
}

fn csv(
    scorers: &[FileScorer],
    input: &Path,
    packed: bool,
    keep: &[String],
    target: ScoreTarget<'_>,
) -> Result<ScoreSummary, ScoreError> {
    let n_bytes: Arc<AtomicU64> = Arc::default();
    let mut reader = CsvRows::open(input, packed, &n_bytes)?;
    let columns = Columns::of(scorers, input, keep, reader.names())?;
    let mut output = Output::new(scorers, keep, target)?;
    let mut is_first = true;
    loop {
        let records = reader.next(BATCH_ROWS)?;
        // a table without rows has scores with a head
        if records.is_empty() && !is_first {
            break;
        }
        is_first = false;
        output.batch(&columns, records.len(), |row, column| {
            match records[row].get(column).unwrap_or_default() {
                "" => Cell::Null,
                text => Cell::Text(text.into()),
            }
        })?;
        (target.progress)(output.summary.n_rows, 0);
    }
    output.finish()
}

/// Where the columns of a file are that matter.
struct Columns {
    /// By model, of each of its features.
    features: Vec<Vec<usize>>,
    kept: Vec<usize>,
}

impl Columns {
    fn of(
        scorers: &[FileScorer],
        input: &Path,
        keep: &[String],
        names: &[String],
    ) -> Result<Self, ReadError> {
        let features = places(scorers, input, names)?;
        Ok(Self { features, kept: kept_columns(input, keep, names)? })
    }
}

/// Where scored rows go, with the columns that are kept.
struct Output<'a> {
    scorers: &'a [FileScorer],
    keep: &'a [String],
    target: ScoreTarget<'a>,
    writer: TableWriter,
    summary: ScoreSummary,
}

/// Neighbouring rows with their answers.
struct Scored {
    answers: Answers,
    /// By column that is kept.
    texts: Vec<Vec<Option<String>>>,
    found: ScoreSummary,
}

impl<'a> Output<'a> {
    fn new(
        scorers: &'a [FileScorer],
        keep: &'a [String],
        target: ScoreTarget<'a>,
    ) -> Result<Self, ScoreError> {
        let (writer, summary) = (TableWriter::new(target.path)?, ScoreSummary::default());
        Ok(Self { scorers, keep, target, writer, summary })
    }

    /// Scores and writes `n_rows` rows, whose cells are found by row and column of the file.
    fn batch<'c>(
        &mut self,
        columns: &Columns,
        n_rows: usize,
        cell: impl Fn(usize, usize) -> Cell<'c> + Sync,
    ) -> Result<(), ScoreError> {
        let (scorers, explain) = (self.scorers, self.target.explain);
        let score = |block: usize, scratch: &mut Scratch| {
            let start = block * BLOCK_ROWS;
            let block = start..n_rows.min(start + BLOCK_ROWS);
            let mut found = ScoreSummary { n_rows: block.len() as u64, ..ScoreSummary::default() };
            let mut rows = Rows::with_capacity(scorers, block.len());
            rows.n_rows = block.len();
            for ((scorer, places), values) in
                scorers.iter().zip(&columns.features).zip(&mut rows.values)
            {
                let schema = scorer.model.schema();
                for row in block.clone() {
                    let value = |(feature, &column): (usize, &usize)| {
                        value(schema, feature, &cell(row, column), &mut found)
                    };
                    values.extend(places.iter().enumerate().map(value));
                }
            }
            let texts =
                |&column: &usize| block.clone().map(|row| text_of(&cell(row, column))).collect();
            let texts = columns.kept.iter().map(texts).collect();
            let answers = answer(scorers, &rows, explain, scratch);
            found.n_segment_errors = answers.n_segment_errors;
            Ok(Scored { answers, texts, found })
        };
        let mut answers = Answers::none(scorers);
        let mut texts: Vec<Vec<Option<String>>> = vec![Vec::new(); columns.kept.len()];
        let summary = &mut self.summary;
        let n_blocks = n_rows.div_ceil(BLOCK_ROWS);
        in_order(n_blocks, self.target.n_threads, Scratch::default, score, |scored: Scored| {
            answers.append(scored.answers);
            texts.iter_mut().zip(scored.texts).for_each(|(own, more)| own.extend(more));
            summary.add(scored.found);
            Ok::<(), ScoreError>(())
        })?;
        let mut columns: Vec<_> =
            self.keep.iter().zip(texts).map(|(name, texts)| column(name, texts)).collect();
        columns.extend(columns_of(scorers, explain, answers));
        Ok(self.writer.write(n_rows, columns)?)
    }

    fn finish(self) -> Result<ScoreSummary, ScoreError> {
        self.writer.finish()?;
        Ok(self.summary)
    }
}

/// Column of the file for each feature of each model.
fn places(
    scorers: &[FileScorer],
    input: &Path,
    names: &[String],
) -> Result<Vec<Vec<usize>>, ReadError> {
    let at: BTreeMap<&str, usize> =
        names.iter().enumerate().map(|(index, name)| (name.as_str(), index)).collect();
    let place = |scorer: &FileScorer| {
        let features = scorer.model.schema().features().iter();
        features
            .map(|feature| {
                at.get(feature.name.as_str()).copied().ok_or_else(|| {
                    let key = format!("a feature of model {:?}", scorer.name);
                    no_column(input, 1, &feature.name, &key, names)
                })
            })
            .collect::<Result<Vec<usize>, ReadError>>()
    };
    scorers.iter().map(place).collect()
}

fn kept_columns(input: &Path, keep: &[String], names: &[String]) -> Result<Vec<usize>, ReadError> {
    keep.iter()
        .map(|name| {
            let at = names.iter().position(|column| column == name);
            at.ok_or_else(|| no_column(input, 1, name, "--keep", names))
        })
        .collect()
}

/// The columns of a schema from a table that has them by name; counts what is not as it should be.
pub(crate) fn matrix_of(
    schema: &Schema,
    frame: &Frame,
    summary: &mut ScoreSummary,
) -> Result<Matrix, ReadError> {
    let mut columns = Vec::with_capacity(schema.len());
    for (index, feature) in schema.features().iter().enumerate() {
        let column = frame.column(&feature.name, "a column of the model")?;
        let values =
            (0..frame.n_rows()).map(|row| value(schema, index, &column.cell(row), summary));
        columns.push(values.collect());
    }
    Ok(Matrix::from_columns(frame.n_rows(), columns))
}

fn value(schema: &Schema, column: usize, cell: &Cell<'_>, summary: &mut ScoreSummary) -> f64 {
    match &schema.features()[column].kind {
        FeatureKind::Number => match cell {
            Cell::Null => f64::NAN,
            Cell::Flag(flag) => f64::from(u8::from(*flag)),
            Cell::Integer(number) | Cell::Time(number) | Cell::WallTime(number) => *number as f64,
            Cell::Number(number) if number.is_finite() => *number,
            Cell::Number(_) => f64::NAN,
            Cell::Text(text) => match text.trim() {
                "" | "NaN" | "nan" | "null" => f64::NAN,
                "true" | "True" => 1.0,
                "false" | "False" => 0.0,
                text => {
                    text.parse::<f64>().ok().filter(|number| number.is_finite()).unwrap_or_else(
                        || {
                            summary.n_bad_numbers += 1;
                            f64::NAN
                        },
                    )
                }
            },
        },
        FeatureKind::Category { .. } => match text_of(cell) {
            None => f64::NAN,
            Some(text) => {
                let code = schema.category_code(column, &text);
                summary.n_unseen_categories += u64::from(code == UNSEEN_CATEGORY);
                code
            }
        },
    }
}
