//! The model beside what it must beat: base rate, best single feature, other learners.

use std::collections::BTreeMap;

use segue_dataset::{Matrix, TargetKind};
use serde::{Deserialize, Serialize};

use super::bootstrap::{Estimate, Resampler};
use super::metric::{Metric, Predicted, Scorecard};
use super::{EvaluationInputs, best_single_feature};

/// What a comparison stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contender {
    /// The training rows' mean for everyone.
    BaseRate,
    /// The best feature on its own.
    SingleFeature,
    /// Another learner.
    Learner,
}

/// One thing the model is compared with, on the same rows and the same resamples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What it is.
    pub contender: Contender,
    /// Shown name: a learner's, or the feature's.
    pub name: String,
    /// What a reader must know; may be empty.
    pub note: String,
    /// Its metrics; those that need a probability are absent for a plain feature value.
    pub scorecard: Scorecard,
    /// By how much the model is better, above 0 in the model's favour whichever way the metric runs.
    pub advantage: BTreeMap<Metric, Estimate>,
}

pub(super) fn compare(
    inputs: &EvaluationInputs<'_>,
    ours: &Predicted<'_>,
    resampler: &Resampler,
) -> Vec<Comparison> {
    let entrants = entrants(inputs);
    let wanted = metrics_to_compare(ours.kind);
    let predicted: Vec<Predicted<'_>> =
        entrants.iter().map(|entrant| Predicted::new(inputs.test, &entrant.outputs)).collect();
    let draws = resampler.run(|times| {
        let all = std::iter::once(ours).chain(&predicted);
        all.map(|predicted| predicted.resampled(&wanted, times)).collect::<Vec<_>>()
    });
    let ours_now = ours.values(&wanted);
    let compared =
        entrants.into_iter().zip(&predicted).enumerate().map(|(index, (entrant, theirs))| {
            let mut scorecard = Scorecard::new();
            let mut advantage = BTreeMap::new();
            for (slot, (metric, value)) in theirs.values(&wanted).into_iter().enumerate() {
                if !entrant.has_scale && !metric.is_ranking() {
                    continue;
                }
                let draws_of = |which: usize| draws.iter().map(move |draw| draw[which][slot]);
                let estimate = resampler.estimate(value, draws_of(index + 1), metric.bounds());
                scorecard.insert(metric, estimate);
                let sign = if metric.higher_is_better() { 1.0 } else { -1.0 };
                let gain = |ours: Option<f64>, theirs: Option<f64>| Some(sign * (ours? - theirs?));
                let gains = draws_of(0).zip(draws_of(index + 1)).map(|(a, b)| gain(a, b));
                let anything = (f64::NEG_INFINITY, f64::INFINITY);
                let gain = resampler.estimate(gain(ours_now[slot].1, value), gains, anything);
                advantage.insert(metric, gain);
            }
            let Entrant { contender, name, note, .. } = entrant;
            Comparison { contender, name, note, scorecard, advantage }
        });
    compared.collect()
}

/// The metrics of a comparison: all but the depths that the headline table has no room for.
fn metrics_to_compare(kind: &TargetKind) -> Vec<Metric> {
    let mut wanted = Metric::of_target(kind);
    wanted.retain(|metric| {
        use Metric::{LiftAt1, LiftAt5, LiftAt20, PrecisionAt1, PrecisionAt5, PrecisionAt20};
        !matches!(
            metric,
            LiftAt1 | LiftAt5 | LiftAt20 | PrecisionAt1 | PrecisionAt5 | PrecisionAt20
        )
    });
    wanted
}

struct Entrant {
    contender: Contender,
    name: String,
    note: String,
    outputs: Matrix,
    has_scale: bool,
}

fn entrants(inputs: &EvaluationInputs<'_>) -> Vec<Entrant> {
    let mut entrants = vec![Entrant {
        contender: Contender::BaseRate,
        name: "base rate".to_owned(),
        note: "the training rows' mean for everyone".to_owned(),
        outputs: base_rate(inputs),
        has_scale: true,
    }];
    if let Some(single) = best_single_feature(inputs.train, inputs.test) {
        let how = if single.has_scale { "by the mean outcome of its bin" } else { "as it is" };
        entrants.push(Entrant {
            contender: Contender::SingleFeature,
            name: single.name,
            note: format!("best single feature, used {how}"),
            outputs: single.outputs,
            has_scale: single.has_scale,
        });
    }
    entrants.extend(inputs.others.iter().map(|other| Entrant {
        contender: Contender::Learner,
        name: other.name.clone(),
        note: other.note.clone(),
        outputs: other.predictions.clone(),
        has_scale: true,
    }));
    entrants
}

fn base_rate(inputs: &EvaluationInputs<'_>) -> Matrix {
    let (train, n_rows) = (inputs.train, inputs.test.n_rows());
    let kind = &train.target().kind;
    let labels = &train.target().values;
    let weight = |row: usize| train.weight().map_or(1.0, |weight| weight[row]);
    let total = (0..labels.len()).map(weight).sum::<f64>();
    let rate = |class: usize| {
        let amount = |&label: &f64| match kind {
            TargetKind::Multiclass { .. } => f64::from(u8::from(label == class as f64)),
            _ => label,
        };
        let sum: f64 = labels.iter().enumerate().map(|(r, label)| weight(r) * amount(label)).sum();
        if total > 0.0 { sum / total } else { 0.0 }
    };
    Matrix::from_columns(n_rows, (0..kind.n_outputs()).map(|c| vec![rate(c); n_rows]).collect())
}
