//! Gates that score the holdout of the candidate: later rows that neither version was fitted on.

use segue_dataset::{FeatureKind, Matrix, TargetKind, UNSEEN_CATEGORY};
use segue_model::{Holdout, Model, metrics};

use super::bootstrap::{Predictions, differences, quantile};
use super::{GateMetric, GateOutcome, GatePolicy, GateResult};
use crate::error::list_some;
use crate::load::LoadedVersion;

pub(super) const NOT_INFERIOR: &str = "metric_not_inferior";
const CALIBRATION_BOUND: &str = "calibration_bound";
const SLICE_FLOOR: &str = "slice_floor";

const NO_HOLDOUT: &str = "the version was published without holdout.bin";

/// Bins of equal mass of the calibration error.
const CALIBRATION_BINS: usize = 10;

/// Passes if the lower confidence bound of how much better the candidate is does not lie more than the
/// margin below zero: without a margin, an equal passes.
pub(super) fn not_inferior(
    champion: &Model,
    candidate: &LoadedVersion,
    holdout: Option<&Holdout>,
) -> GateResult {
    let failed = |message: String| GateResult::new(NOT_INFERIOR, GateOutcome::Failed, message);
    let policy = &candidate.manifest.summary.gates;
    let Some(holdout) = holdout else { return failed(NO_HOLDOUT.into()) };
    let comparison = outputs_of_champion(champion, holdout).and_then(|theirs| {
        compare(&theirs, &candidate.model.score_rows(holdout.dataset().features()), holdout, policy)
    });
    let Comparison { metric, champion, candidate, bound, margin } = match comparison {
        Ok(comparison) => comparison,
        Err(reason) => return failed(format!("not comparable: {reason}")),
    };
    let name = metric.name();
    let message = format!(
        "{name} {candidate:.4} against {champion:.4} of the champion on {} rows; better by at least \
         {bound:.4} at {}% confidence, {:.4} is asked",
        holdout.n_rows(),
        policy.confidence * 100.0,
        -margin,
    );
    GateResult::passed_or_failed(NOT_INFERIOR, bound >= -margin, message)
        .with(format!("champion_{name}"), champion)
        .with(format!("candidate_{name}"), candidate)
        .with("lower_bound", bound)
        .with("margin", margin)
        .with("confidence", policy.confidence)
        .with("n_rows", holdout.n_rows() as f64)
}

struct Comparison {
    metric: GateMetric,
    champion: f64,
    candidate: f64,
    /// Lower confidence bound of how much better the candidate is.
    bound: f64,
    margin: f64,
}

fn compare(
    champion: &[f64],
    candidate: &[f64],
    holdout: &Holdout,
    policy: &GatePolicy,
) -> Result<Comparison, String> {
    let target = &holdout.dataset().target().kind;
    let metric = policy.metric.unwrap_or_else(|| default_metric(target));
    let (value, higher_is_better) = metric_of(metric, target)
        .ok_or_else(|| format!("metric {} is not defined for {target:?}", metric.name()))?;
    let labels = &holdout.dataset().target().values;
    let ones = vec![1.0; labels.len()];
    let weight = holdout.dataset().weight().unwrap_or(&ones);
    let (champion, candidate) =
        (Predictions::new(labels, champion), Predictions::new(labels, candidate));
    let (better, worse) =
        if higher_is_better { (&candidate, &champion) } else { (&champion, &candidate) };
    let drawn = differences(&*value, better, worse, weight, policy.bootstrap_samples);
    let undefined = || format!("{} is not defined on the {} rows", metric.name(), labels.len());
    if drawn.len() < policy.bootstrap_samples as usize {
        return Err(undefined());
    }
    let bound = quantile(&drawn, 1.0 - policy.confidence).ok_or_else(undefined)?;
    let on_all = |version: &Predictions| version.value(&*value, weight, &mut Vec::new());
    let champion = on_all(&champion).ok_or_else(undefined)?;
    let candidate = on_all(&candidate).ok_or_else(undefined)?;
    // Errors have the unit of the label, so only a share of them means anything.
    let relative = matches!(metric, GateMetric::Rmse | GateMetric::Mae);
    let margin = if relative { policy.margin * champion } else { policy.margin };
    Ok(Comparison { metric, champion, candidate, bound, margin })
}

fn default_metric(target: &TargetKind) -> GateMetric {
    match target {
        TargetKind::Binary => GateMetric::Auc,
        TargetKind::Multiclass { .. } => GateMetric::LogLoss,
        TargetKind::Regression => GateMetric::Rmse,
    }
}

type BoxedMetric = Box<dyn Fn(&[f64], &[f64], &[f64]) -> Option<f64>>;

/// The metric and whether higher is better; `None` if it does not fit the target.
fn metric_of(metric: GateMetric, target: &TargetKind) -> Option<(BoxedMetric, bool)> {
    type Plain = fn(&[f64], &[f64], Option<&[f64]>) -> Option<f64>;
    let plain = |of: Plain| -> BoxedMetric { Box::new(move |y, p, w| of(y, p, Some(w))) };
    match (metric, target) {
        (GateMetric::Auc, TargetKind::Binary) => Some((plain(metrics::auc), true)),
        (GateMetric::AveragePrecision, TargetKind::Binary) => {
            Some((plain(metrics::average_precision), true))
        }
        (GateMetric::LogLoss, TargetKind::Binary) => Some((plain(metrics::log_loss), false)),
        (GateMetric::LogLoss, TargetKind::Multiclass { classes }) => {
            let n = classes.len();
            let value: BoxedMetric =
                Box::new(move |y, p, w| metrics::multiclass_log_loss(y, p, n, Some(w)));
            Some((value, false))
        }
        (GateMetric::Brier, TargetKind::Binary) => Some((plain(metrics::brier), false)),
        (GateMetric::Rmse, TargetKind::Regression) => Some((plain(metrics::rmse), false)),
        (GateMetric::Mae, TargetKind::Regression) => Some((plain(metrics::mae), false)),
        _ => None,
    }
}

/// Scores the champion on the rows of the candidate: columns by name, categories by their text.
fn outputs_of_champion(champion: &Model, holdout: &Holdout) -> Result<Vec<f64>, String> {
    let dataset = holdout.dataset();
    if *champion.target() != dataset.target().kind {
        let (theirs, ours) = (champion.target(), &dataset.target().kind);
        return Err(format!("the champion predicts {theirs:?}, the holdout has {ours:?}"));
    }
    if champion.schema().digest() == dataset.schema().digest() {
        return Ok(champion.score_rows(dataset.features()));
    }
    let mut columns = Vec::with_capacity(champion.schema().len());
    let mut missing = Vec::new();
    for (column, feature) in champion.schema().features().iter().enumerate() {
        let ours = dataset.schema().index_of(&feature.name);
        let ours = ours.map(|ours| (&dataset.schema().features()[ours].kind, ours));
        match (&feature.kind, ours) {
            (FeatureKind::Number, Some((FeatureKind::Number, ours))) => {
                columns.push(dataset.features().column(ours).to_vec());
            }
            (FeatureKind::Category { .. }, Some((FeatureKind::Category { vocabulary }, ours))) => {
                let code = |text: &String| champion.schema().category_code(column, text);
                let codes: Vec<f64> = vocabulary.iter().map(code).collect();
                let translate = |&value: &f64| translate(&codes, value);
                columns.push(dataset.features().column(ours).iter().map(translate).collect());
            }
            _ => missing.push(&feature.name),
        }
    }
    if !missing.is_empty() {
        return Err(format!("the holdout lacks features of the champion: {}", list_some(missing)));
    }
    Ok(champion.score_rows(&Matrix::from_columns(dataset.n_rows(), columns)))
}

/// A code of one vocabulary in another; missing stays missing.
fn translate(codes: &[f64], value: f64) -> f64 {
    if value.is_nan() || value < 0.0 {
        return value;
    }
    codes.get(value as usize).copied().unwrap_or(UNSEEN_CATEGORY)
}

/// Passes if the calibration error is within its bound; of several classes the worst counts.
pub(super) fn calibration_bound(
    candidate: &LoadedVersion,
    holdout: Option<&Holdout>,
) -> GateResult {
    let ended = |outcome, message: String| GateResult::new(CALIBRATION_BOUND, outcome, message);
    if *candidate.model.target() == TargetKind::Regression {
        return ended(GateOutcome::Skipped, "a number has no calibration error".into());
    }
    let Some(holdout) = holdout else { return ended(GateOutcome::Failed, NO_HOLDOUT.into()) };
    let (n_outputs, dataset) = (candidate.model.n_outputs(), holdout.dataset());
    let outputs = candidate.model.score_rows(dataset.features());
    let labels = &dataset.target().values;
    let of_class = |class: usize| {
        let is = |&label: &f64| {
            f64::from(if n_outputs == 1 { label > 0.5 } else { label == class as f64 })
        };
        let truth: Vec<f64> = labels.iter().map(is).collect();
        let given: Vec<f64> = outputs.iter().skip(class).step_by(n_outputs).copied().collect();
        metrics::calibration_error(&truth, &given, dataset.weight(), CALIBRATION_BINS)
    };
    let errors: Option<Vec<f64>> = (0..n_outputs).map(of_class).collect();
    let Some(worst) = errors.and_then(|errors| errors.into_iter().reduce(f64::max)) else {
        return ended(
            GateOutcome::Failed,
            "the calibration error is not defined on the holdout".into(),
        );
    };
    let bound = candidate.manifest.summary.gates.max_calibration_error;
    let message = format!("calibration error {worst:.4}, at most {bound} is asked");
    GateResult::passed_or_failed(CALIBRATION_BOUND, worst <= bound, message)
        .with("calibration_error", worst)
        .with("max_calibration_error", bound)
        .with("n_rows", holdout.n_rows() as f64)
}

/// Passes if no slice of enough rows is ranked badly, in itself or against all rows.
pub(super) fn slice_floor(candidate: &LoadedVersion, holdout: Option<&Holdout>) -> GateResult {
    let ended = |outcome, message: String| GateResult::new(SLICE_FLOOR, outcome, message);
    if *candidate.model.target() == TargetKind::Regression {
        return ended(GateOutcome::Skipped, "a number has no AUC".into());
    }
    let Some(holdout) = holdout else { return ended(GateOutcome::Failed, NO_HOLDOUT.into()) };
    if holdout.slices().is_empty() {
        return ended(GateOutcome::Skipped, "the holdout has no slice columns".into());
    }
    let policy = &candidate.manifest.summary.gates;
    let all_rows: Vec<u32> = (0..holdout.n_rows() as u32).collect();
    let Some(overall) = auc_of(&candidate.model, holdout, &all_rows) else {
        return ended(GateOutcome::Failed, "the AUC is not defined on the holdout".into());
    };
    let floor = policy.slice_min_auc.max(overall - policy.slice_max_drop);
    let (mut judged, mut small, mut low) = (0_usize, Vec::new(), Vec::new());
    let mut result = ended(GateOutcome::Passed, String::new());
    for slice in holdout.slices() {
        for (code, label) in (0u32..).zip(&slice.labels) {
            let rows: Vec<u32> = slice.rows_of(code).map(|row| row as u32).collect();
            let name = format!("{}={label}", slice.name);
            let enough = enough_rows(holdout, &rows, policy);
            match auc_of(&candidate.model, holdout, &rows).filter(|_| enough) {
                None => small.push(format!("{name} ({} rows)", rows.len())),
                Some(auc) => {
                    judged += 1;
                    result = result.with(format!("auc[{name}]"), auc);
                    if auc < floor {
                        low.push(format!("{name} (AUC {auc:.4}, {} rows)", rows.len()));
                    }
                }
            }
        }
    }
    result.outcome = match (low.is_empty(), judged) {
        (false, _) => GateOutcome::Failed,
        (true, 0) => GateOutcome::Skipped,
        (true, _) => GateOutcome::Passed,
    };
    let (low, small) = (list_some(low), list_some(small));
    result.message = format!(
        "{judged} slices judged, AUC of at least {floor:.4} is asked; below: {low}; \
         too few rows to judge: {small}"
    );
    result.with("overall_auc", overall).with("floor", floor).with("slices_judged", judged as f64)
}

/// A slice is judged only if chance alone would rarely fail it.
fn enough_rows(holdout: &Holdout, rows: &[u32], policy: &GatePolicy) -> bool {
    let target = holdout.dataset().target();
    if (rows.len() as u64) < policy.slice_min_rows {
        return false;
    }
    if target.kind != TargetKind::Binary {
        return true;
    }
    let positive = rows.iter().filter(|&&row| target.values[row as usize] > 0.5).count();
    positive.min(rows.len() - positive) as u64 >= policy.slice_min_class_rows
}

/// AUC on some rows; the mean over classes (one against the rest) if there are several.
fn auc_of(model: &Model, holdout: &Holdout, rows: &[u32]) -> Option<f64> {
    let part = holdout.dataset().select(rows);
    let outputs = model.score_rows(part.features());
    let labels = &part.target().values;
    match model.n_outputs() {
        1 => metrics::auc(labels, &outputs, part.weight()),
        n_classes => metrics::macro_auc(labels, &outputs, n_classes, part.weight()),
    }
}
