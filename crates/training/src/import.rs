//! A model of another library as a draft of a version, served, gated and explained like our own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use segue_dataset::{Dataset, DatasetError, RowKeys, TargetKind};
use segue_model::exchange::{self, Format, ImportError};
use segue_model::{
    GoldenRow, Holdout, HoldoutError, Model, ModelError, Profile, Split, encode_golden, metrics,
};
use segue_registry::{Draft, GatePolicy, VersionSummary};
use sha2::{Digest, Sha256};

use crate::read::{Frame, ReadError};
use crate::rows::{RowsError, labels_of};
use crate::score::{ScoreSummary, matrix_of};

/// Proof rows of a version.
const N_GOLDEN_ROWS: usize = 64;
/// Rows that the promotion gates judge on, at most.
const MAX_HOLDOUT_ROWS: usize = 20_000;
/// Bins of the calibration error.
const CALIBRATION_BINS: usize = 15;

/// Why a foreign model does not become a draft.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportDraftError {
    /// The file of the model.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// Its parts do not make a model of ours.
    #[error("the file reads, but is no model that can be served: {0}")]
    Model(#[from] ModelError),
    /// The labelled rows.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// The labelled rows.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The labelled rows do not fit together.
    #[error("labelled rows: {0}")]
    Dataset(#[from] DatasetError),
    /// Rows for the gates.
    #[error("holdout: {0}")]
    Holdout(#[from] HoldoutError),
}

/// A table of rows that the foreign model was not fitted on.
#[derive(Debug, Clone, Copy)]
pub struct LabelledRows<'a> {
    /// `.parquet` or `.csv` with the model's columns by name.
    pub path: &'a Path,
    /// Column of labels; classes by name.
    pub label: &'a str,
    /// The text that counts as 1, where the labels are not 0 and 1 or false and true.
    pub positive: Option<&'a str>,
}

/// What to import and as what.
#[derive(Debug, Clone, Copy)]
pub struct ImportRequest<'a> {
    /// The file.
    pub bytes: &'a [u8],
    /// Its name, for the lineage.
    pub file_name: &'a str,
    /// Its format; recognised by its first bytes if not given.
    pub format: Option<Format>,
    /// Name of the model.
    pub model: &'a str,
    /// Name of the task.
    pub task: &'a str,
    /// What metrics and gates are measured on; without it the version has neither.
    pub rows: Option<LabelledRows<'a>>,
    /// Who publishes.
    pub created_by: &'a str,
}

/// A draft and what is to be known of it.
#[derive(Debug)]
pub struct ImportedDraft {
    /// Ready to publish.
    pub draft: Draft,
    /// Format and version of the file.
    pub source: String,
    /// Number of trees.
    pub n_trees: usize,
    /// What the file says beyond the model, and what the version goes without.
    pub warnings: Vec<String>,
}

/// Reads a foreign model and makes a draft of it. Its probabilities are left as they are.
///
/// # Errors
/// [`ImportDraftError`] with the place in the model's file or in the table.
pub fn import_draft(request: &ImportRequest<'_>) -> Result<ImportedDraft, ImportDraftError> {
    let imported = exchange::import(request.bytes, request.format)?;
    let (source, mut warnings) = (imported.source.clone(), imported.warnings.clone());
    let model = imported.into_model(request.task)?;
    let labelled = request.rows.map(|rows| read_rows(&model, rows, &mut warnings)).transpose()?;
    let mut files = BTreeMap::from([("model.bin".to_owned(), model.encode())]);
    let mut measured = BTreeMap::new();
    let golden = match &labelled {
        Some(dataset) => {
            let outputs = model.score_rows(dataset.features());
            measured = metrics_of(dataset, &outputs);
            let names = match model.classes() {
                [] => vec!["score".to_owned()],
                classes => classes.to_vec(),
            };
            let profile = Profile::of(model.schema(), dataset.features(), &names, &outputs);
            files.insert("profile.json".to_owned(), profile.to_json().into_bytes());
            let holdout = Holdout::new(dataset, Vec::new(), MAX_HOLDOUT_ROWS)?;
            files.insert("holdout.bin".to_owned(), holdout.encode());
            golden_of_rows(&model, dataset)
        }
        None => {
            warnings.push(
                "no labelled rows: the version has no metrics, and gates have nothing to measure"
                    .to_owned(),
            );
            golden_of_thresholds(&model)
        }
    };
    files.insert("golden.jsonl".to_owned(), encode_golden(&golden).into_bytes());
    let lineage = [
        ("learner", format!("imported: {source}")),
        ("imported_file", request.file_name.to_owned()),
        ("imported_sha256", hex::encode(Sha256::digest(request.bytes))),
        ("calibration", model.calibration().name().to_owned()),
        ("schema_sha256", model.schema().digest().to_string()),
        ("segue", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let summary = VersionSummary {
        task: request.task.to_owned(),
        target: model.target().clone(),
        schema: Arc::clone(model.schema()),
        feature_set_hash: None,
        metrics: measured,
        slice_metrics: BTreeMap::new(),
        lineage: lineage.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        created_by: request.created_by.to_owned(),
        gates: GatePolicy::default(),
    };
    let n_trees = model.ensemble().trees.len();
    let draft = Draft { model: request.model.to_owned(), files, summary };
    Ok(ImportedDraft { draft, source, n_trees, warnings })
}

fn read_rows(
    model: &Model,
    rows: LabelledRows<'_>,
    warnings: &mut Vec<String>,
) -> Result<Dataset, ImportDraftError> {
    let frame = Frame::read(rows.path)?;
    let mut counts = ScoreSummary::default();
    let matrix = matrix_of(model.schema(), &frame, &mut counts)?;
    let target = labels_of(&frame, rows.label, rows.positive, model.target())?;
    if counts.n_bad_numbers > 0 {
        let n = counts.n_bad_numbers;
        warnings.push(format!("{n} values were no numbers and were read as missing"));
    }
    if counts.n_unseen_categories > 0 {
        let n = counts.n_unseen_categories;
        warnings.push(format!("{n} values are categories that the model does not know"));
    }
    let schema = Arc::clone(model.schema());
    Ok(Dataset::new(schema, matrix, target, None, RowKeys::default())?)
}

/// The metrics that gates and lists show first.
fn metrics_of(dataset: &Dataset, outputs: &[f64]) -> BTreeMap<String, f64> {
    let labels = &dataset.target().values;
    let measured = match &dataset.target().kind {
        TargetKind::Binary => vec![
            ("auc", metrics::auc(labels, outputs, None)),
            ("average_precision", metrics::average_precision(labels, outputs, None)),
            ("log_loss", metrics::log_loss(labels, outputs, None)),
            ("brier", metrics::brier(labels, outputs, None)),
            (
                "calibration_error",
                metrics::calibration_error(labels, outputs, None, CALIBRATION_BINS),
            ),
        ],
        TargetKind::Multiclass { classes } => {
            let n = classes.len();
            vec![
                ("auc", metrics::macro_auc(labels, outputs, n, None)),
                ("log_loss", metrics::multiclass_log_loss(labels, outputs, n, None)),
                ("accuracy", metrics::multiclass_accuracy(labels, outputs, n, None)),
            ]
        }
        TargetKind::Regression => vec![
            ("rmse", metrics::rmse(labels, outputs, None)),
            ("mae", metrics::mae(labels, outputs, None)),
            ("r_squared", metrics::r2(labels, outputs, None)),
            ("spearman", metrics::spearman(labels, outputs, None)),
        ],
    };
    let named = measured.into_iter();
    named.map(|(name, value)| (name.to_owned(), value.unwrap_or(f64::NAN))).collect()
}

/// Evenly spaced rows, and one row of which nothing is known.
fn golden_of_rows(model: &Model, dataset: &Dataset) -> Vec<GoldenRow> {
    let mut row = vec![f64::NAN; model.schema().len()];
    let mut golden = vec![GoldenRow::of(model, &row)];
    let n_rows = dataset.n_rows().min(N_GOLDEN_ROWS);
    for kept in 0..n_rows {
        dataset.features().copy_row(kept * dataset.n_rows() / n_rows, &mut row);
        golden.push(GoldenRow::of(model, &row));
    }
    golden
}

/// Rows on the model's own thresholds, each column taking turns through those it is asked for.
fn golden_of_thresholds(model: &Model) -> Vec<GoldenRow> {
    let mut values: Vec<Vec<f64>> = vec![Vec::new(); model.schema().len()];
    for node in model.ensemble().trees.iter().flat_map(|tree| &tree.nodes) {
        let of_column = &mut values[node.feature as usize];
        match &node.split {
            Split::AtMost(threshold) | Split::Below(threshold) if threshold.is_finite() => {
                of_column.extend([*threshold, threshold.next_up()]);
            }
            Split::AtMost(_) | Split::Below(_) => {}
            Split::In(set) => of_column.extend(set.codes().take(8).map(f64::from)),
        }
    }
    let mut golden = vec![GoldenRow::of(model, &vec![f64::NAN; values.len()])];
    for turn in 0..N_GOLDEN_ROWS {
        let value = |(column, values): (usize, &Vec<f64>)| {
            // a step of its own for each column, so that combinations differ
            let at = turn * (2 * column + 1) + column;
            values.get(at % values.len().max(1)).copied().unwrap_or(f64::NAN)
        };
        let row: Vec<f64> = values.iter().enumerate().map(value).collect();
        golden.push(GoldenRow::of(model, &row));
    }
    golden
}
