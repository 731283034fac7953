//! Predictions and their outcomes as one table, which `segue train` reads.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parquet::errors::ParquetError;

use super::files::{Unreadable, Wanted, read_outcomes};
use super::outcome::{Held, Label};
use crate::prediction_log::{
    Column, ColumnValues, FileName, Folder, HOUR_US, Kind, PredictionId, Scan, Shape, Stretch,
    TableWriter, Target, beside, feature_column, read_log, read_shape,
};
use crate::scoring_service::now_us;

/// What is joined.
#[derive(Debug, Clone)]
pub struct JoinRequest {
    /// Folders of prediction logs, one a server. An outcome is found whichever of them has it, and of
    /// several of one prediction the same counts in whatever order they are given.
    pub logs: Vec<PathBuf>,
    /// The model whose predictions are wanted.
    pub model: String,
    /// Its version; `None`: all, which must answer the same question.
    pub version: Option<u64>,
    /// Only predictions made at or after this.
    pub since: Option<SystemTime>,
    /// Only predictions made before this.
    pub until: Option<SystemTime>,
    /// Only predictions made at least so long ago; zero: all. What happens is often known at once and
    /// what does not only later, so of young predictions mostly the outcomes that happened are known.
    pub ripe_after: Duration,
    /// The Parquet file to write; what is there is replaced when the new file is whole.
    pub out: PathBuf,
}

/// What was joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Joined {
    /// Predictions in the logs, of the time asked for and ripe.
    pub n_predictions: u64,
    /// Predictions that are not ripe, left out.
    pub n_unripe: u64,
    /// Of them with an outcome: the rows of the table.
    pub n_rows: u64,
    /// Outcomes of another kind than the model's, left out.
    pub n_unusable: u64,
    /// Outcomes that happened more than an hour before their prediction, left out: that is nothing that
    /// could be predicted.
    pub n_early: u64,
    /// Lines of outcome files that could not be read, left out.
    pub n_unreadable: u64,
}

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// A file or folder.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the log.
    #[error("{path}: {message}")]
    Log {
        /// Which.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// No prediction to join.
    #[error(
        "no prediction of {what} in the logs of the time asked for; serve it with --prediction-log"
    )]
    NothingLogged {
        /// Model and version.
        what: String,
    },
    /// No outcome of these predictions.
    #[error(
        "none of the {n_predictions} predictions of {what} has an outcome that can be joined; record \
         them with FeedbackService"
    )]
    NoOutcomes {
        /// Model and version.
        what: String,
        /// Predictions in the logs, of the time asked for and ripe.
        n_predictions: u64,
    },
    /// Versions that cannot be one table.
    #[error("versions of {model:?} differ in {what}; join one of them with --version")]
    Versions {
        /// The model.
        model: String,
        /// In what.
        what: String,
    },
}

/// Columns of the table beside the features; a feature that is called like one of them gets
/// `feature.` before its name.
const OWN: [&str; 5] = ["prediction_id", "time", "label", "weight", "subject_id"];

/// Writes one row a prediction with an outcome: `prediction_id`, `time`, `label`, `weight`,
/// `subject_id` if the logs have it, and every feature under its name. In memory are the outcomes and
/// one row group.
///
/// # Errors
/// [`JoinError`]; then nothing is under the table's name that was not there before.
pub fn join_predictions(request: &JoinRequest) -> Result<Joined, JoinError> {
    let dirs = logs(request)?;
    let time = Time::of(request);
    let hours = time.made_us.start.div_euclid(HOUR_US)..=time.made_us.end.div_euclid(HOUR_US);
    let folders: Vec<Folder> = dirs.iter().map(|dir| Folder::existing(dir)).collect();
    let mut files = Vec::new();
    for (dir, folder) in dirs.iter().zip(&folders) {
        let hours = hours.clone();
        let scan = Scan { model: &request.model, version: request.version, hours };
        let names = scan.names(folder);
        let names = names.map_err(|source| JoinError::Io { path: dir.clone(), source })?;
        files.extend(names.into_iter().map(|name| (folder.clone(), name)));
    }
    let table = Table::of(request, &files)?;
    let wanted = Wanted { made_us: time.made_us.clone(), max: usize::MAX };
    let places: Vec<PathBuf> = folders.iter().map(Folder::outcomes).collect();
    let read = read_outcomes(&places, &wanted);
    let read = read.map_err(|Unreadable { path, source }| JoinError::Io { path, source })?;
    let mut joined = Joined { n_unreadable: read.n_unreadable, ..Joined::default() };
    let outcomes = read.known.into_all();
    let part = request.out.with_added_extension("part");
    let mut write = || -> Result<(), JoinError> {
        let at = |source| JoinError::Io { path: part.clone(), source };
        let output = BufWriter::new(File::create(&part).map_err(at)?);
        let bad =
            |error: ParquetError| JoinError::Log { path: part.clone(), message: error.to_string() };
        let mut writer = TableWriter::new(output, table.columns.clone(), &[]).map_err(bad)?;
        for (folder, name) in &files {
            let use_stretch = |stretch: Stretch<'_>| {
                let columns = table.joined(&stretch, &time, &outcomes, &mut joined);
                if columns.is_empty() { Ok(()) } else { writer.write(&columns) }
            };
            read_log(folder, name, |_| true, use_stretch)
                .map_err(|error| log_error(folder, name, &error))?;
        }
        let output = writer.finish().map_err(bad)?;
        let output = output.into_inner().map_err(|error| at(error.into_error()))?;
        output.sync_all().map_err(at)
    };
    let written = write();
    let written = written.and_then(|()| match joined {
        Joined { n_rows: 0, n_predictions, .. } => {
            Err(JoinError::NoOutcomes { what: what(request), n_predictions })
        }
        _ => fs::rename(&part, &request.out)
            .map_err(|source| JoinError::Io { path: request.out.clone(), source }),
    });
    if written.is_err() {
        // It may not be there at all.
        let _ = fs::remove_file(&part);
    }
    written.map(|()| joined)
}

/// The folders, each once however often and by whatever name it was given.
fn logs(request: &JoinRequest) -> Result<Vec<PathBuf>, JoinError> {
    let mut dirs = Vec::with_capacity(request.logs.len());
    for log in &request.logs {
        let at = |source| JoinError::Io { path: log.clone(), source };
        let dir = fs::canonicalize(log).map_err(at)?;
        fs::read_dir(&dir).map_err(at)?;
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    Ok(dirs)
}

fn what(request: &JoinRequest) -> String {
    match request.version {
        Some(version) => format!("version {version} of model {:?}", request.model),
        None => format!("model {:?}", request.model),
    }
}

fn log_error(folder: &Folder, name: &FileName, error: &ParquetError) -> JoinError {
    JoinError::Log { path: folder.file(name), message: error.to_string() }
}

/// When predictions were made that are joined, in microseconds.
struct Time {
    made_us: Range<i64>,
    /// Not at or after this.
    ripe_us: i64,
}

impl Time {
    fn of(request: &JoinRequest) -> Self {
        // No prediction is of a time before 1970.
        let micros = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, micros);
        let start = request.since.map_or(0, micros);
        let end = request.until.map_or(i64::MAX, micros);
        let ripe_us = match request.ripe_after {
            Duration::ZERO => i64::MAX,
            ripe_after => now_us().saturating_sub(self::micros(ripe_after)),
        };
        Self { made_us: start..end, ripe_us }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// What the table is.
struct Table {
    target: Target,
    columns: Vec<(String, Kind)>,
    /// Of each feature the column of the log and of the table.
    features: BTreeMap<String, String>,
}

impl Table {
    fn of(request: &JoinRequest, files: &[(Folder, FileName)]) -> Result<Self, JoinError> {
        let mut shapes: Vec<Shape> = Vec::new();
        for (folder, name) in files {
            let shape =
                read_shape(folder, name).map_err(|error| log_error(folder, name, &error))?;
            if let Some(shape) = shape.filter(|shape| !shapes.contains(shape)) {
                shapes.push(shape);
            }
        }
        let Some(newest) = shapes.iter().max_by_key(|shape| shape.version) else {
            return Err(JoinError::NothingLogged { what: what(request) });
        };
        let differ = |what: String| Err(JoinError::Versions { model: request.model.clone(), what });
        if shapes.iter().any(|shape| shape.target != newest.target) {
            return differ("what they predict".to_owned());
        }
        let target = newest.target;
        let with_subjects = shapes.iter().any(|shape| shape.with_subjects);
        let own = |name: &str| (name.to_owned(), own_kind(name, target));
        let mut columns: Vec<_> = OWN
            .into_iter()
            .filter(|name| with_subjects || *name != "subject_id")
            .map(own)
            .collect();
        let mut features = BTreeMap::new();
        let mut kinds: BTreeMap<&str, bool> = BTreeMap::new();
        let mut newest_first: Vec<&Shape> = shapes.iter().collect();
        newest_first.sort_by_key(|shape| std::cmp::Reverse(shape.version));
        for feature in newest_first.into_iter().flat_map(|shape| &shape.features) {
            let is_text = feature.vocabulary.is_some();
            match kinds.insert(&feature.name, is_text) {
                Some(before) if before != is_text => {
                    let what = format!("whether {:?} is a number or a category", feature.name);
                    return differ(what);
                }
                Some(_) => {}
                None => {
                    let name = beside(&feature.name, &|name| OWN.contains(&name));
                    columns.push((name.clone(), if is_text { Kind::Text } else { Kind::Number }));
                    features.insert(name, feature_column(&feature.name));
                }
            }
        }
        Ok(Self { target, columns, features })
    }

    /// The rows with an outcome; none if there is none.
    fn joined(
        &self,
        stretch: &Stretch<'_>,
        time: &Time,
        outcomes: &BTreeMap<PredictionId, Held>,
        joined: &mut Joined,
    ) -> Vec<Column> {
        let mut rows = Vec::new();
        for (row, id) in stretch.ids().into_iter().enumerate() {
            let Some(id) = id.filter(|id| time.made_us.contains(&id.time_us())) else { continue };
            if id.time_us() >= time.ripe_us {
                joined.n_unripe += 1;
                continue;
            }
            joined.n_predictions += 1;
            let Some(held) = outcomes.get(&id) else { continue };
            if held.is_early(id) {
                joined.n_early += 1;
            } else if fits(&held.label, stretch.shape) {
                rows.push((row, held));
            } else {
                joined.n_unusable += 1;
            }
        }
        if rows.is_empty() {
            return Vec::new();
        }
        joined.n_rows += rows.len() as u64;
        let column = |(name, kind): &(String, Kind)| {
            let values = match name.as_str() {
                "label" => self.labels(&rows),
                "weight" => {
                    ColumnValues::Number(rows.iter().map(|(_, held)| held.weight).collect())
                }
                _ => {
                    let source = self.features.get(name).unwrap_or(name);
                    let found = stretch.columns.iter().find(|column| column.name == *source);
                    picked(found.map(|column| &column.values), *kind, &rows)
                }
            };
            Column { name: name.clone(), values }
        };
        self.columns.iter().map(column).collect()
    }

    fn labels(&self, rows: &[(usize, &Held)]) -> ColumnValues {
        let labels = rows.iter().map(|(_, held)| &held.label);
        match self.target {
            Target::Binary => {
                let flag = |label: &Label| i64::from(*label == Label::Binary(true));
                ColumnValues::Integer(labels.map(flag).collect())
            }
            Target::Regression => {
                let value =
                    |label: &Label| if let Label::Value(value) = label { *value } else { f64::NAN };
                ColumnValues::Number(labels.map(value).collect())
            }
            Target::Multiclass => {
                let class = |label: &Label| match label {
                    Label::Class(class) => Some(class.to_string()),
                    _ => None,
                };
                ColumnValues::Text(labels.map(class).collect())
            }
        }
    }
}

fn own_kind(name: &str, target: Target) -> Kind {
    match (name, target) {
        ("time", _) => Kind::Time,
        ("label", Target::Binary) => Kind::Integer,
        ("weight", _) | ("label", Target::Regression) => Kind::Number,
        _ => Kind::Text,
    }
}

/// A class that the version does not know is one that a later training may learn.
fn fits(label: &Label, shape: &Shape) -> bool {
    matches!(
        (label, shape.target),
        (Label::Binary(_), Target::Binary)
            | (Label::Class(_), Target::Multiclass)
            | (Label::Value(_), Target::Regression)
    )
}

/// The values of these rows; all missing of a feature that the version does not have.
fn picked(values: Option<&ColumnValues>, kind: Kind, rows: &[(usize, &Held)]) -> ColumnValues {
    let rows = rows.iter().map(|(row, _)| *row);
    match (values, kind) {
        (Some(ColumnValues::Text(texts)), Kind::Text) => {
            ColumnValues::Text(rows.map(|row| texts[row].clone()).collect())
        }
        (Some(ColumnValues::Number(numbers)), Kind::Number) => {
            ColumnValues::Number(rows.map(|row| numbers[row]).collect())
        }
        (Some(ColumnValues::Time(times)), Kind::Time) => {
            ColumnValues::Time(rows.map(|row| times[row]).collect())
        }
        (_, Kind::Text) => ColumnValues::Text(rows.map(|_| None).collect()),
        (_, Kind::Number) => ColumnValues::Number(rows.map(|_| f64::NAN).collect()),
        (_, Kind::Time) => ColumnValues::Time(rows.map(|_| 0).collect()),
        (_, Kind::Integer) => ColumnValues::Integer(rows.map(|_| 0).collect()),
    }
}
