//! Feature tables in, scores out.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use segue_dataset::{FeatureKind, Matrix, Schema, UNSEEN_CATEGORY};
use segue_events::Cell;
use segue_model::Scratch;

use super::csv_rows::CsvRows;
use super::output::Batch;
use super::{FileScorer, ScoreError, ScoreSummary, ScoreTarget, answer};
use crate::export::column;
use crate::read::{FileKind, Frame, ParquetFile, ReadError, no_column};
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
    let mut writer = TableWriter::new(target.path)?;
    let (mut summary, mut scratch) = (ScoreSummary::default(), Scratch::default());
    // a table without rows is scored too: its columns are checked and its scores have a head
    let mut stretches = file.stretches(BATCH_ROWS);
    if stretches.is_empty() {
        stretches.push((0, 0));
    }
    for (start, n_rows) in stretches {
        let frame = file.read(start, n_rows)?;
        let places = places(scorers, input, frame.names())?;
        let kept = kept_columns(input, keep, frame.names())?;
        let mut batch = Batch::new(scorers, target.n_reasons);
        let mut texts = vec![Vec::new(); kept.len()];
        for row in 0..frame.n_rows() {
            let cell = |column: usize| frame.columns()[column].cell(row);
            let rows = rows_of(scorers, &places, &mut summary, cell);
            let answers = answer(scorers, &rows, target.n_reasons, &mut scratch);
            summary.n_segment_errors += answers.n_segment_errors;
            batch.push(answers);
            for (text, &column) in texts.iter_mut().zip(&kept) {
                text.push(text_of(&cell(column)));
            }
        }
        write(&mut writer, batch, keep, texts, &mut summary)?;
        (target.progress)(summary.n_rows, file.n_rows() as u64);
    }
    writer.finish()?;
    Ok(summary)
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
    let places = places(scorers, input, reader.names())?;
    let kept = kept_columns(input, keep, reader.names())?;
    let mut writer = TableWriter::new(target.path)?;
    let (mut summary, mut scratch) = (ScoreSummary::default(), Scratch::default());
    loop {
        let mut batch = Batch::new(scorers, target.n_reasons);
        let mut texts = vec![Vec::new(); kept.len()];
        while batch.n_rows() < BATCH_ROWS
            && let Some(record) = reader.next()?
        {
            let cell = |column: usize| match record.get(column).unwrap_or_default() {
                "" => Cell::Null,
                text => Cell::Text(text.into()),
            };
            let rows = rows_of(scorers, &places, &mut summary, cell);
            let answers = answer(scorers, &rows, target.n_reasons, &mut scratch);
            summary.n_segment_errors += answers.n_segment_errors;
            batch.push(answers);
            for (text, &column) in texts.iter_mut().zip(&kept) {
                text.push(text_of(&cell(column)));
            }
        }
        let at_end = batch.n_rows() == 0;
        // a table without rows has scores with a head
        if !at_end || summary.n_rows == 0 {
            write(&mut writer, batch, keep, texts, &mut summary)?;
        }
        if at_end {
            break;
        }
        (target.progress)(summary.n_rows, 0);
    }
    writer.finish()?;
    Ok(summary)
}

fn write(
    writer: &mut TableWriter,
    batch: Batch<'_>,
    keep: &[String],
    texts: Vec<Vec<Option<String>>>,
    summary: &mut ScoreSummary,
) -> Result<(), ScoreError> {
    let n_rows = batch.n_rows();
    let mut columns: Vec<_> =
        keep.iter().zip(texts).map(|(name, texts)| column(name, texts)).collect();
    columns.extend(batch.into_columns());
    writer.write(n_rows, columns)?;
    summary.n_rows += n_rows as u64;
    Ok(())
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

fn rows_of<'a>(
    scorers: &[FileScorer],
    places: &[Vec<usize>],
    summary: &mut ScoreSummary,
    cell: impl Fn(usize) -> Cell<'a>,
) -> Vec<Vec<f64>> {
    let row = |(scorer, places): (&FileScorer, &Vec<usize>)| {
        let schema = scorer.model.schema();
        (0..schema.len())
            .map(|column| value(schema, column, &cell(places[column]), summary))
            .collect()
    };
    scorers.iter().zip(places).map(row).collect()
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
