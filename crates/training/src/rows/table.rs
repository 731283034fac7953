//! A ready-made feature table: columns to features, labels, weights, users, times and parts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use segue_dataset::{
    Dataset, Feature, Matrix, Part, RowKeys, Schema, Split, SplitPlan, Target, TargetKind,
    UNSEEN_CATEGORY, split_rows,
};
use segue_events::Cell;
use sha2::{Digest, Sha256};

use super::cell::{bad_cell, number_of, text_of};
use super::instant::instant_of;
use super::prepared::slices_of;
use super::{DataFacts, Prepared, RowsError};
use crate::job::{Job, SplitBy, TableSection, Task};
use crate::read::{Frame, FrameColumn};

/// Categories of a column beyond this many are read as unseen; the most frequent are kept.
const MAX_CATEGORIES: usize = 1_000;

/// Stands in a prediction log for a category that the version did not know and whose text nobody had
/// (docs/feedback.md). It is no category of its own: later rows would have the texts.
const UNSEEN_TEXT: &str = "__unseen__";

/// Reads the table of a job and divides it.
///
/// Vocabularies are frozen on the training rows, most frequent first, ties by text.
///
/// # Errors
/// [`RowsError`] names file, row and column.
pub fn rows_of_table(
    job: &Job,
    section: &TableSection,
    path: &Path,
) -> Result<Prepared, RowsError> {
    let frame = Frame::read(path)?;
    let target = target_of(&frame, section, job.task)?;
    let weight = section.weight.as_deref().map(|name| weights(&frame, name)).transpose()?;
    let keys = RowKeys {
        user: match &section.user {
            Some(name) => texts(frame.column(name, "table.user")?),
            None => Vec::new(),
        },
        t: match &section.time {
            Some(name) => times(&frame, name)?,
            None => Vec::new(),
        },
    };
    let plan = split_plan(job, section, &frame)?;
    let split = split_rows(&keys, frame.n_rows(), &plan)?;
    let (schema, matrix, mut facts) = features(&frame, section, &split.train)?;
    let span_us = keys.t.iter().min().copied().zip(keys.t.iter().max().copied());
    let n_users = keys.user.iter().collect::<std::collections::BTreeSet<_>>().len();
    let dataset = Dataset::new(Arc::new(schema), matrix, target, weight, keys)?;
    let by = job.slices.by.as_deref();
    let is_flag = |name: &str| matches!(frame.column(name, ""), Ok(FrameColumn::Flag(_)));
    let slices = slices_of(&dataset, by, |_| true, is_flag)
        .map_err(|known| RowsError::Slices { names: by.unwrap_or_default().to_vec(), known })?;
    facts = DataFacts { span_us, n_users, digest: Some(dataset_digest(&dataset)), ..facts };
    let n_shared = users_in_several_parts(dataset.keys(), &split);
    if n_shared > 0 {
        let told = "users with rows in several parts of table.split: what is learnt of them is tested on them";
        facts.counts.push((told.to_owned(), n_shared));
    }
    if matches!(plan, SplitPlan::ByUser { .. }) && job.split.by == SplitBy::Time {
        let told = "rows divided by user, not by time: the job names no table.time";
        facts.counts.push((told.to_owned(), dataset.n_rows() as u64));
    }
    Ok(Prepared { dataset, split, feature_set: None, slices, facts })
}

fn split_plan(job: &Job, section: &TableSection, frame: &Frame) -> Result<SplitPlan, RowsError> {
    let (calibrate, test) = (job.split.calibrate, job.split.test);
    if let Some(name) = &section.split {
        let column = frame.column(name, "table.split")?;
        return Ok(SplitPlan::Given(given_parts(frame, name, column)?));
    }
    Ok(match (job.split.by, &section.time) {
        (SplitBy::Time, Some(_)) => {
            let embargo = job.split.embargo.map_or(0, |span| span.us);
            let calibrate_seed = job.calibrate_seed();
            SplitPlan::ByTime { calibrate, test, embargo, calibrate_seed }
        }
        // without a time there is no later: users (or rows) are divided by hash
        _ => SplitPlan::ByUser { calibrate, test, seed: job.seed },
    })
}

fn given_parts(frame: &Frame, name: &str, column: &FrameColumn) -> Result<Vec<Part>, RowsError> {
    (0..frame.n_rows())
        .map(|row| match text_of(&column.cell(row)).as_deref() {
            Some("train") => Ok(Part::Train),
            Some("calibrate" | "valid" | "validation") => Ok(Part::Calibrate),
            Some("test") => Ok(Part::Test),
            _ => {
                Err(bad_cell(frame, row, name, &column.cell(row), "one of train, calibrate, test"))
            }
        })
        .collect()
}

fn texts(column: &FrameColumn) -> Vec<Arc<str>> {
    let n_rows = match column {
        FrameColumn::Flag(values) => values.len(),
        FrameColumn::Integer(values)
        | FrameColumn::Time(values)
        | FrameColumn::WallTime(values) => values.len(),
        FrameColumn::Number(values) => values.len(),
        FrameColumn::Text(values) => values.len(),
        FrameColumn::Unusable(_) => 0,
    };
    // a row without a user is nobody else's
    (0..n_rows)
        .map(|row| text_of(&column.cell(row)).unwrap_or_else(|| format!("(row {row})")).into())
        .collect()
}

fn times(frame: &Frame, name: &str) -> Result<Vec<i64>, RowsError> {
    let column = frame.column(name, "table.time")?;
    (0..frame.n_rows())
        .map(|row| {
            let cell = column.cell(row);
            instant_of(&cell).ok_or_else(|| {
                bad_cell(frame, row, name, &cell, "microseconds UTC or a date and time")
            })
        })
        .collect()
}

fn weights(frame: &Frame, name: &str) -> Result<Vec<f64>, RowsError> {
    let column = frame.column(name, "table.weight")?;
    (0..frame.n_rows())
        .map(|row| {
            let cell = column.cell(row);
            let weight = number_of(&cell).filter(|weight| *weight >= 0.0);
            weight.ok_or_else(|| bad_cell(frame, row, name, &cell, "a number not below 0"))
        })
        .collect()
}

fn target_of(frame: &Frame, section: &TableSection, task: Task) -> Result<Target, RowsError> {
    let name = &section.label;
    let column = frame.column(name, "table.label")?;
    let cells = (0..frame.n_rows()).map(|row| column.cell(row));
    let bad =
        |row: usize, cell: &Cell<'_>, expected: &str| bad_cell(frame, row, name, cell, expected);
    match task {
        Task::LifetimeValue => {
            let values = cells
                .enumerate()
                .map(|(row, cell)| number_of(&cell).ok_or_else(|| bad(row, &cell, "a number")))
                .collect::<Result<_, _>>()?;
            Ok(Target { kind: TargetKind::Regression, values })
        }
        Task::NeedsHelpAt => {
            let labels = cells
                .enumerate()
                .map(|(row, cell)| text_of(&cell).ok_or_else(|| bad(row, &cell, "a class")))
                .collect::<Result<Vec<_>, _>>()?;
            let classes: BTreeMap<&str, ()> = labels.iter().map(|label| (&**label, ())).collect();
            let classes: Vec<String> = classes.into_keys().map(str::to_owned).collect();
            let index = |label: &String| classes.iter().position(|class| class == label);
            let values = labels.iter().filter_map(index).map(|class| class as f64).collect();
            Ok(Target { kind: TargetKind::Multiclass { classes }, values })
        }
        Task::Churn | Task::SupportNeed | Task::Conversion | Task::Adoption => {
            let values = binary(frame, name, section.positive.as_deref(), column)?;
            Ok(Target { kind: TargetKind::Binary, values })
        }
    }
}

/// Labels of a target whose kind and classes are given.
pub(crate) fn labels_of(
    frame: &Frame,
    name: &str,
    positive: Option<&str>,
    kind: &TargetKind,
) -> Result<Target, RowsError> {
    let column = frame.column(name, "the label")?;
    let each = |value: &dyn Fn(Cell<'_>) -> Option<f64>, expected: &str| {
        let label = |row| {
            let cell = column.cell(row);
            value(cell.clone()).ok_or_else(|| bad_cell(frame, row, name, &cell, expected))
        };
        (0..frame.n_rows()).map(label).collect::<Result<Vec<f64>, RowsError>>()
    };
    let values = match kind {
        TargetKind::Binary => binary(frame, name, positive, column)?,
        TargetKind::Regression => each(&|cell| number_of(&cell), "a number")?,
        TargetKind::Multiclass { classes } => {
            let index = |cell: Cell<'_>| {
                let text = text_of(&cell)?;
                classes.iter().position(|class| *class == text).map(|class| class as f64)
            };
            each(&index, &format!("one of the model's classes {classes:?}"))?
        }
    };
    Ok(Target { kind: kind.clone(), values })
}

fn binary(
    frame: &Frame,
    name: &str,
    positive: Option<&str>,
    column: &FrameColumn,
) -> Result<Vec<f64>, RowsError> {
    let texts: Vec<Option<String>> =
        (0..frame.n_rows()).map(|row| text_of(&column.cell(row))).collect();
    if let Some(row) = texts.iter().position(Option::is_none) {
        let expected = "a label; remove rows without one";
        return Err(bad_cell(frame, row, name, &Cell::Null, expected));
    }
    let mut distinct: Vec<&str> = texts.iter().flatten().map(String::as_str).collect();
    distinct.sort_unstable();
    distinct.dedup();
    let label = |expected: String| {
        let shown: Vec<_> = distinct.iter().take(5).collect();
        let found = format!("holds {} different values such as {shown:?}", distinct.len());
        RowsError::Label { column: name.to_owned(), found, expected }
    };
    let positive = match positive {
        Some(positive) if distinct.contains(&positive) => positive,
        Some(positive) => {
            return Err(label(format!("`positive = {positive:?}` is none of them")));
        }
        None => match distinct.as_slice() {
            ["0", "1"] => "1",
            ["0.0", "1.0"] => "1.0",
            ["false", "true"] => "true",
            _ => {
                return Err(label(
                    "the task needs 0 and 1 or false and true; say which counts as 1 with table.positive"
                        .to_owned(),
                ));
            }
        },
    };
    Ok(texts.iter().flatten().map(|text| f64::from(u8::from(text == positive))).collect())
}

fn features(
    frame: &Frame,
    section: &TableSection,
    train: &[u32],
) -> Result<(Schema, Matrix, DataFacts), RowsError> {
    for (key, names) in
        [("table.ignore", &section.ignore), ("table.categories", &section.categories)]
    {
        for name in names {
            frame.column(name, key)?;
        }
    }
    let named = [&section.weight, &section.time, &section.user, &section.split];
    let is_feature = |name: &String| {
        *name != section.label
            && !section.ignore.contains(name)
            && !named.iter().any(|column| column.as_ref() == Some(name))
    };
    let mut facts = DataFacts::default();
    let (mut features, mut columns) = (Vec::new(), Vec::new());
    for (name, column) in frame.names().iter().zip(frame.columns()) {
        if !is_feature(name) {
            continue;
        }
        let text = matches!(column, FrameColumn::Text(_)) || section.categories.contains(name);
        if let FrameColumn::Unusable(kind) = column {
            facts.features_left_out.push((name.clone(), format!("holds {kind}")));
        } else if text {
            let (vocabulary, codes, n_cut) = categories(column, frame.n_rows(), train);
            if n_cut > 0 {
                facts.counts.push((format!("categories of {name} read as unseen"), n_cut));
            }
            features.push(Feature::category(name, vocabulary));
            columns.push(codes);
        } else {
            let value = |row| number_of(&column.cell(row)).unwrap_or(f64::NAN);
            features.push(Feature::number(name));
            columns.push((0..frame.n_rows()).map(value).collect());
        }
    }
    facts.counts.insert(0, ("rows".to_owned(), frame.n_rows() as u64));
    Ok((Schema::new(features)?, Matrix::from_columns(frame.n_rows(), columns), facts))
}

/// Vocabulary of the training rows, codes of all rows, and how many categories were cut.
fn categories(column: &FrameColumn, n_rows: usize, train: &[u32]) -> (Vec<String>, Vec<f64>, u64) {
    let texts: Vec<Option<String>> = (0..n_rows).map(|row| text_of(&column.cell(row))).collect();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let known = train.iter().filter_map(|&row| texts[row as usize].as_deref());
    for text in known.filter(|text| *text != UNSEEN_TEXT) {
        *counts.entry(text).or_default() += 1;
    }
    let mut ranked: Vec<(&str, u64)> = counts.into_iter().collect();
    ranked.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let n_cut = ranked.len().saturating_sub(MAX_CATEGORIES) as u64;
    ranked.truncate(MAX_CATEGORIES);
    let codes: BTreeMap<&str, f64> =
        ranked.iter().zip(0u32..).map(|((text, _), code)| (*text, f64::from(code))).collect();
    let code = |text: &Option<String>| match text {
        Some(text) => codes.get(text.as_str()).copied().unwrap_or(UNSEEN_CATEGORY),
        None => f64::NAN,
    };
    let coded = texts.iter().map(code).collect();
    (ranked.into_iter().map(|(text, _)| text.to_owned()).collect(), coded, n_cut)
}

/// Only a split that the table gives can tear users apart.
fn users_in_several_parts(keys: &RowKeys, split: &Split) -> u64 {
    let mut parts: BTreeMap<&str, u8> = BTreeMap::new();
    for (mark, rows) in [(1, &split.train), (2, &split.calibrate), (4, &split.test)] {
        for user in rows.iter().filter_map(|&row| keys.user.get(row as usize)) {
            *parts.entry(user).or_default() |= mark;
        }
    }
    parts.values().filter(|marks| marks.count_ones() > 1).count() as u64
}

/// SHA-256 over schema, labels, weights and values, in row order.
pub(crate) fn dataset_digest(dataset: &Dataset) -> String {
    let mut hash = Sha256::new();
    hash.update(dataset.schema().digest().as_str());
    let features = dataset.features().columns().iter().map(Vec::as_slice);
    let columns = features.chain([dataset.target().values.as_slice()]).chain(dataset.weight());
    for column in columns {
        column.iter().for_each(|value| hash.update(value.to_bits().to_le_bytes()));
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests;
