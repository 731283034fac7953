//! The files of a version. Nothing in them depends on the clock, the machine, or the number of
//! threads: the same job on the same data gives the same bytes.

use std::collections::BTreeMap;

use segue_dataset::{Dataset, TargetKind};
use segue_model::{GoldenRow, Holdout, Model, Profile, SegmentSet, SliceColumn, encode_golden};
use segue_registry::{Draft, VersionSummary};
use sha2::{Digest as _, Sha256};

use super::question::question;
use super::{Judged, Origins, Parts, Preflight, TrainError, file_name};
use crate::evaluation::Evaluation;
use crate::fit::FittedModel;
use crate::job::{Job, LearnerKind, Origin};
use crate::read::ReadSummary;
use crate::report::{PartSpan, ReportInputs, render};
use crate::rows::Prepared;

/// Proof rows of a version.
const N_GOLDEN_ROWS: usize = 64;
/// Rows that the promotion gates judge on, at most.
const MAX_HOLDOUT_ROWS: usize = 20_000;

/// Features left out that the report names.
const SHOWN_LEFT_OUT: usize = 10;

/// What a draft is made of.
pub(super) struct Made<'a> {
    pub(super) job: &'a Job,
    pub(super) prepared: &'a Prepared,
    pub(super) parts: &'a Parts,
    pub(super) fitted: &'a FittedModel,
    pub(super) from: Origins<'a>,
    pub(super) segments: &'a SegmentSet,
    pub(super) judged: &'a Judged,
    pub(super) read: Option<&'a ReadSummary>,
    pub(super) preflight: &'a Preflight,
    pub(super) created_by: &'a str,
}

/// A draft and its report page.
pub(super) struct Finished {
    pub(super) draft: Draft,
    pub(super) report_html: String,
}

pub(super) fn make(made: Made<'_>) -> Result<Finished, TrainError> {
    let Made { job, prepared, parts, fitted, judged, .. } = made;
    let model = &fitted.model;
    let lineage = lineage(&made);
    let report_html = report(&made, &lineage);
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    files.insert("model.bin".to_owned(), model.encode());
    if let Some(set) = &prepared.feature_set {
        files.insert("features.toml".to_owned(), set.to_toml().into_bytes());
    }
    files.insert("segments.toml".to_owned(), made.segments.to_toml().into_bytes());
    files
        .insert("golden.jsonl".to_owned(), encode_golden(&golden(model, &parts.test)).into_bytes());
    files.insert("profile.json".to_owned(), profile(model, parts).to_json().into_bytes());
    files.insert("holdout.bin".to_owned(), holdout(prepared, parts)?.encode());
    files.insert("job.toml".to_owned(), job.to_toml().into_bytes());
    files.insert("evaluation.json".to_owned(), json(&judged.evaluation));
    files.insert("report.html".to_owned(), report_html.clone().into_bytes());
    let summary = VersionSummary {
        task: job.task.name().to_owned(),
        target: parts.train.target().kind.clone(),
        schema: std::sync::Arc::clone(parts.train.schema()),
        feature_set_hash: prepared.feature_set.as_ref().map(|set| set.hash().to_owned()),
        metrics: judged.evaluation.metrics(),
        slice_metrics: judged.evaluation.slice_metrics(),
        lineage: lineage.into_iter().collect(),
        created_by: made.created_by.to_owned(),
        gates: job.gates.policy(),
    };
    Ok(Finished { draft: Draft { model: job.model.clone(), files, summary }, report_html })
}

fn json(evaluation: &Evaluation) -> Vec<u8> {
    serde_json::to_vec_pretty(evaluation).unwrap_or_default()
}

/// Evenly spaced test rows, and one row of which nothing is known.
fn golden(model: &Model, test: &Dataset) -> Vec<GoldenRow> {
    let n_rows = test.n_rows().min(N_GOLDEN_ROWS);
    let mut row = vec![f64::NAN; test.features().n_columns()];
    let mut golden = vec![GoldenRow::of(model, &row)];
    for kept in 0..n_rows {
        test.features().copy_row(kept * test.n_rows() / n_rows, &mut row);
        golden.push(GoldenRow::of(model, &row));
    }
    golden
}

/// The training rows as the model sees them: what serving compares its traffic with.
fn profile(model: &Model, parts: &Parts) -> Profile {
    let names = match &parts.train.target().kind {
        TargetKind::Multiclass { classes } => classes.clone(),
        TargetKind::Binary | TargetKind::Regression => vec!["score".to_owned()],
    };
    let outputs = model.score_rows(parts.train.features());
    Profile::of(model.schema(), parts.train.features(), &names, &outputs)
}

fn holdout(prepared: &Prepared, parts: &Parts) -> Result<Holdout, TrainError> {
    let slices = prepared.slices.iter().map(|slice| {
        let rows: Vec<&str> =
            prepared.split.test.iter().map(|&row| slice.values[row as usize].as_str()).collect();
        SliceColumn::of(&slice.name, &rows)
    });
    Ok(Holdout::new(&parts.test, slices.collect(), MAX_HOLDOUT_ROWS)?)
}

/// What fitted the trees: a learner of ours, or the library that the file names.
fn learner_of(made: &Made<'_>) -> String {
    match made.from.foreign {
        Some(foreign) => format!("imported: {}", foreign.source),
        None => made.job.learner.kind.name().to_owned(),
    }
}

/// Facts that say where a version comes from; the same for the same run.
fn lineage(made: &Made<'_>) -> Vec<(String, String)> {
    let Made { job, prepared, fitted, .. } = made;
    let mut facts: Vec<(&str, String)> = vec![
        ("task", job.task.name().to_owned()),
        ("learner", learner_of(made)),
        ("rounds", fitted.fitted.best_iteration.to_string()),
        ("calibration", fitted.model.calibration().name().to_owned()),
        ("seed", job.seed.to_string()),
        ("schema_sha256", prepared.dataset.schema().digest().to_string()),
        ("segue", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    if let Some(digest) = &prepared.facts.digest {
        facts.push(("data_sha256", digest.clone()));
    }
    if let Some(foreign) = made.from.foreign {
        facts.push(("imported_file", foreign.file_name.to_owned()));
        facts.push(("imported_sha256", hex::encode(Sha256::digest(foreign.bytes))));
    }
    if let Some(start) = made.from.start {
        facts.push(("start_from", start.name.clone()));
        facts.push(("start_sha256", start.digest()));
    }
    for (key, value) in &fitted.found {
        facts.push((key, format!("{value} (auto)")));
    }
    if let Some(set) = &prepared.feature_set {
        facts.push(("feature_set_sha256", set.hash().to_owned()));
    }
    if let Some((first, last)) = prepared.facts.span_us {
        facts.push(("data_first", instant(first)));
        facts.push(("data_last", instant(last)));
    }
    facts.push(("n_users", prepared.facts.n_users.to_string()));
    let sizes = made.preflight;
    for (part, counts) in
        [("train", &sizes.train), ("calibrate", &sizes.calibrate), ("test", &sizes.test)]
    {
        let by_class: Vec<String> =
            sizes.classes.iter().zip(counts).map(|(class, n)| format!("{class}: {n}")).collect();
        facts.push((part, by_class.join(", ")));
    }
    if let Origin::Table(table) = &job.origin {
        facts.push(("table", file_name(table.file.as_ref())));
    }
    facts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn report(made: &Made<'_>, lineage: &[(String, String)]) -> String {
    let Made { job, prepared, parts, fitted, judged, read, .. } = made;
    let words: BTreeMap<String, String> = match &prepared.feature_set {
        Some(set) => prepared
            .dataset
            .schema()
            .features()
            .iter()
            .enumerate()
            .map(|(column, feature)| (feature.name.clone(), set.words(column)))
            .collect(),
        None => BTreeMap::new(),
    };
    let mut reproducibility = lineage.to_vec();
    for (name, loss) in &fitted.calibration_losses {
        reproducibility.push((format!("calibration log loss, {name}"), format!("{loss:.5}")));
    }
    if let Some(read) = read {
        reproducibility.push(("records read".to_owned(), read.n_records.to_string()));
    }
    for (reason, n) in &prepared.facts.dropped {
        reproducibility.push((format!("rows left out: {reason}"), n.to_string()));
    }
    let left_out = &prepared.facts.features_left_out;
    for (feature, reason) in left_out.iter().take(SHOWN_LEFT_OUT) {
        reproducibility.push((format!("feature left out: {feature}"), reason.clone()));
    }
    if left_out.len() > SHOWN_LEFT_OUT {
        let more = format!("{} more, listed by segue features", left_out.len() - SHOWN_LEFT_OUT);
        reproducibility.push(("features left out".to_owned(), more));
    }
    for (segment, n) in &judged.segment_errors {
        let key = format!("segment {segment}: condition failed");
        reproducibility.push((key, format!("{n} rows")));
    }
    let part = |name: &str, data: &Dataset| PartSpan {
        name: name.to_owned(),
        n_rows: data.n_rows(),
        n_users: (!data.keys().user.is_empty())
            .then(|| data.keys().user.iter().collect::<std::collections::BTreeSet<_>>().len()),
        mean_label: (!matches!(data.target().kind, TargetKind::Multiclass { .. })
            && data.n_rows() > 0)
            .then(|| data.target().values.iter().sum::<f64>() / data.n_rows() as f64),
        span_us: data.keys().t.iter().min().copied().zip(data.keys().t.iter().max().copied()),
    };
    render(&ReportInputs {
        model: &job.model,
        task: job.task.name(),
        question: &question(job),
        learner: &match made.from.foreign {
            Some(_) => learner_of(made),
            None => learner_in_words(job.learner.kind).to_owned(),
        },
        span_us: prepared.facts.span_us,
        parts: vec![
            part("train", &parts.train),
            part("calibrate", &parts.calibrate),
            part("test", &parts.test),
        ],
        evaluation: &judged.evaluation,
        words: &words,
        reproducibility,
    })
}

fn learner_in_words(kind: LearnerKind) -> &'static str {
    match kind {
        LearnerKind::Boosting => "histogram gradient boosting",
        LearnerKind::Forest => "histogram random forest",
        LearnerKind::LinfaTree => "decision tree (linfa-trees)",
        LearnerKind::SmartcoreForest => "random forest (smartcore)",
    }
}

fn instant(us: i64) -> String {
    jiff::Timestamp::from_microsecond(us).map_or_else(|_| us.to_string(), |t| t.to_string())
}
