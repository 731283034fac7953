//! How good predictions were, measured on those whose outcome is known.
//!
//! The log is read column by column, one row group at a time; in memory are the outcomes of the window
//! and the scores of their predictions.

use std::collections::BTreeMap;

use parquet::errors::ParquetError;
use segue_api::v1 as pb;
use segue_model::metrics as measure;

use super::outcome::{Held, Label};
use crate::prediction_log::{
    ColumnValues, Folder, HOUR_US, PredictionId, Scan, Stretch, Target, read_log,
};
use crate::to_proto::wire_version;

/// Fewer outcomes than this say nothing.
pub(crate) const MIN_OUTCOMES: usize = 30;

/// Fewer outcomes of either kind than this say nothing of the order of scores.
const MIN_OF_EACH: usize = 5;

/// Bins of the calibration error.
const CALIBRATION_BINS: usize = 10;

/// Which predictions are measured.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) model: String,
    pub(super) version: Option<u64>,
    pub(super) variant: pb::Variant,
    pub(super) start_us: i64,
    pub(super) end_us: i64,
}

/// The predictions of a version under a variant.
#[derive(Debug, Default)]
struct Group {
    target: Option<Target>,
    classes: Vec<String>,
    n_predictions: i64,
    sum_scores: f64,
    n_unusable: i64,
    n_early: i64,
    labels: Vec<f64>,
    weights: Vec<f64>,
    /// One a label, of a multiclass model one a class.
    scores: Vec<f64>,
}

/// Measures what the question asks for. Reads files: not for a request's thread.
pub(super) fn measured(
    folder: &Folder,
    outcomes: &BTreeMap<PredictionId, Held>,
    question: &Question,
) -> Result<Vec<pb::Performance>, ParquetError> {
    let mut groups: BTreeMap<(u64, &'static str), Group> = BTreeMap::new();
    let last = question.end_us.saturating_sub(1).div_euclid(HOUR_US);
    let hours = question.start_us.div_euclid(HOUR_US)..=last;
    let scan = Scan { model: &question.model, version: question.version, hours };
    let wanted = |name: &str| {
        ["prediction_id", "time", "variant", "score"].contains(&name) || name.starts_with("score.")
    };
    for name in scan.names(folder)? {
        read_log(folder, &name, wanted, |stretch| {
            add(&stretch, outcomes, question, &mut groups);
            Ok(())
        })?;
    }
    let performance = |((version, variant), group): ((u64, &'static str), Group)| {
        performance(&question.model, version, variant, &group)
    };
    Ok(groups.into_iter().map(performance).collect())
}

fn add(
    stretch: &Stretch<'_>,
    outcomes: &BTreeMap<PredictionId, Held>,
    question: &Question,
    groups: &mut BTreeMap<(u64, &'static str), Group>,
) {
    let shape = stretch.shape;
    let column = |name: &str| stretch.columns.iter().find(|column| column.name == name);
    let (Some(time), Some(variant), Some(score)) =
        (column("time"), column("variant"), column("score"))
    else {
        return;
    };
    let (ColumnValues::Time(time), ColumnValues::Text(variant), ColumnValues::Number(score)) =
        (&time.values, &variant.values, &score.values)
    else {
        return;
    };
    let of_class = |class: &String| match column(&format!("score.{class}")).map(|one| &one.values) {
        Some(ColumnValues::Number(scores)) => Some(&scores[..]),
        _ => None,
    };
    let of_classes: Vec<&[f64]> = shape.classes.iter().filter_map(of_class).collect();
    for (row, id) in stretch.ids().into_iter().enumerate() {
        let Some(id) = id else { continue };
        let variant = variant_of(variant[row].as_deref().unwrap_or_default());
        let is_asked = question.variant == pb::Variant::Unspecified || question.variant == variant;
        if !is_asked || !(question.start_us..question.end_us).contains(&time[row]) {
            continue;
        }
        let group = groups.entry((shape.version, variant.as_str_name())).or_default();
        if group.target.is_none() {
            group.target = Some(shape.target);
            group.classes.clone_from(&shape.classes);
        }
        group.n_predictions += 1;
        group.sum_scores += score[row];
        let Some(held) = outcomes.get(&id) else { continue };
        if held.is_early(id) {
            group.n_early += 1;
            continue;
        }
        let label = match (&held.label, shape.target) {
            (Label::Binary(flag), Target::Binary) => Some(f64::from(u8::from(*flag))),
            (Label::Value(value), Target::Regression) => Some(*value),
            (Label::Class(class), Target::Multiclass) => {
                let place = shape.classes.iter().position(|known| **known == **class);
                place.map(|place| place as f64)
            }
            _ => None,
        };
        let Some(label) = label else {
            group.n_unusable += 1;
            continue;
        };
        group.labels.push(label);
        group.weights.push(held.weight);
        if of_classes.is_empty() {
            group.scores.push(score[row]);
        } else {
            group.scores.extend(of_classes.iter().map(|scores| scores[row]));
        }
    }
}

fn variant_of(name: &str) -> pb::Variant {
    match name {
        "champion" => pb::Variant::Champion,
        "canary" => pb::Variant::Canary,
        "pinned" => pb::Variant::Pinned,
        _ => pb::Variant::Unspecified,
    }
}

fn performance(model: &str, version: u64, variant: &str, group: &Group) -> pb::Performance {
    let n_outcomes = group.labels.len();
    let mean_score = group.sum_scores / group.n_predictions as f64;
    let (labels, weights) = (&group.labels[..], Some(&group.weights[..]));
    let target = group.target.unwrap_or(Target::Binary);
    let mean_label = measure::weighted_mean(labels, weights);
    let base_rate = mean_label.filter(|_| n_outcomes > 0 && target != Target::Multiclass);
    pb::Performance {
        model: model.to_owned(),
        version: wire_version(version),
        variant: pb::Variant::from_str_name(variant).unwrap_or_default().into(),
        prediction_count: group.n_predictions,
        outcome_count: wire_count(n_outcomes),
        unusable_outcome_count: group.n_unusable,
        early_outcome_count: group.n_early,
        mean_score: mean_score.is_finite().then_some(mean_score),
        base_rate,
        metrics: metrics(target, group),
    }
}

fn metrics(target: Target, group: &Group) -> Vec<pb::PerformanceMetric> {
    let (labels, scores) = (&group.labels[..], &group.scores[..]);
    let weights = Some(&group.weights[..]);
    let n_classes = group.classes.len();
    let n_outcomes = labels.len();
    let metric = |name: &str, missing: Option<String>, value: &dyn Fn() -> Option<f64>| {
        let value = missing.is_none().then(value).flatten();
        let otherwise = || {
            if value.is_none() { "cannot be measured on these".to_owned() } else { String::new() }
        };
        pb::PerformanceMetric {
            name: name.to_owned(),
            value,
            outcome_count: wire_count(n_outcomes),
            missing_reason: missing.unwrap_or_else(otherwise),
        }
    };
    let few = || {
        let too_few = n_outcomes < MIN_OUTCOMES;
        too_few.then(|| format!("{n_outcomes} outcomes, at least {MIN_OUTCOMES} are needed"))
    };
    let few_of_each = || {
        let n_positive = labels.iter().filter(|label| **label > 0.5).count();
        let n_rarer = n_positive.min(n_outcomes - n_positive);
        let too_few = n_rarer < MIN_OF_EACH;
        few().or_else(|| {
            too_few.then(|| {
                format!("{n_rarer} outcomes of the rarer kind, at least {MIN_OF_EACH} are needed")
            })
        })
    };
    match target {
        Target::Binary => vec![
            metric("auc", few_of_each(), &|| measure::auc(labels, scores, weights)),
            metric("log_loss", few(), &|| measure::log_loss(labels, scores, weights)),
            metric("brier", few(), &|| measure::brier(labels, scores, weights)),
            metric("calibration_error", few(), &|| {
                measure::calibration_error(labels, scores, weights, CALIBRATION_BINS)
            }),
        ],
        Target::Multiclass => vec![
            metric("log_loss", few(), &|| {
                measure::multiclass_log_loss(labels, scores, n_classes, weights)
            }),
            metric("brier", few(), &|| {
                measure::multiclass_brier(labels, scores, n_classes, weights)
            }),
            metric("accuracy", few(), &|| {
                measure::multiclass_accuracy(labels, scores, n_classes, weights)
            }),
            metric("auc", few(), &|| measure::macro_auc(labels, scores, n_classes, weights)),
        ],
        Target::Regression => vec![
            metric("rmse", few(), &|| measure::rmse(labels, scores, weights)),
            metric("mae", few(), &|| measure::mae(labels, scores, weights)),
            metric("r2", few(), &|| measure::r2(labels, scores, weights)),
        ],
    }
}

fn wire_count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
