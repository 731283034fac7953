//! From a row to an answer: read, score, segment, explain. No waiting, no clock, no locks.

use segue_api::v1 as pb;
use segue_dataset::UNSEEN_CATEGORY;
use segue_model::Traits;

use crate::ServingError;
use crate::from_proto::{Reading, RowInput, read_row};
use crate::live::{Selected, Variant};
use crate::metrics::Metrics;
use crate::scratch::with_scores;
use crate::segment::{Answer, Assignment, assign, traits};
use crate::to_proto::attribution;

/// Reasons of a prediction if the request does not say how many.
const DEFAULT_ATTRIBUTIONS: u32 = 5;

/// The versions and options that all rows of a request share.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) selected: Vec<Selected>,
    pub(crate) options: pb::ScoreOptions,
    pub(crate) reading: Reading,
}

impl Job {
    /// Answers one row, found under `path` in the request.
    pub(crate) fn score(
        &self,
        row: Option<&pb::FeatureRow>,
        path: &str,
        metrics: &Metrics,
    ) -> Result<pb::ScoredRow, ServingError> {
        let input = read_row(row, &self.selected, &self.reading, path)?;
        let traits = row.map(|row| traits(&row.traits)).unwrap_or_default();
        Ok(self.answer(input, &traits, metrics))
    }

    /// Answers a row that has been read.
    pub(crate) fn answer(
        &self,
        input: RowInput,
        traits: &Traits,
        metrics: &Metrics,
    ) -> pb::ScoredRow {
        let answers = self.answers(&input);
        let assign = |of| assign(&self.selected, &input.rows, &answers, traits, of);
        let segments: Vec<Option<Assignment<'_>>> = (0..self.selected.len()).map(assign).collect();
        let first = segments.iter().flatten().next();
        let segment = first.and_then(|first| first.segment).unwrap_or_default().to_owned();
        let parts = self.selected.iter().zip(&input.rows).zip(answers).zip(&segments);
        let mut predictions = Vec::with_capacity(self.selected.len());
        for (index, (((selected, row), answer), assigned)) in parts.enumerate() {
            let assigned = assigned.as_ref();
            let name = assigned.and_then(|assigned| assigned.segment).unwrap_or_default();
            count(selected, row, &answer, name, assigned.map_or(0, |one| one.n_errors), metrics);
            let mut prediction = self.prediction(selected, row, answer, name);
            prediction.served_by_index = index as u32;
            predictions.push(prediction);
        }
        pb::ScoredRow { predictions, segment, warnings: input.warnings }
    }

    fn answers(&self, input: &RowInput) -> Vec<Answer> {
        let score = |(selected, row): (&Selected, &Vec<f64>)| {
            let model = &selected.served.model;
            with_scores(model, row, |scores| Answer {
                score: scores.score(),
                best: scores.best(),
                class_scores: if model.classes().is_empty() {
                    Vec::new()
                } else {
                    scores.outputs.to_vec()
                },
                margins: if self.options.raw_margin { scores.margins.to_vec() } else { Vec::new() },
            })
        };
        self.selected.iter().zip(&input.rows).map(score).collect()
    }

    fn prediction(
        &self,
        selected: &Selected,
        row: &[f64],
        answer: Answer,
        segment: &str,
    ) -> pb::Prediction {
        let model = &selected.served.model;
        let mut prediction = pb::Prediction {
            score: answer.score,
            segment: segment.to_owned(),
            ..Default::default()
        };
        let classes = model.classes().iter().zip(&answer.class_scores);
        prediction.class_scores = classes
            .map(|(name, &score)| pb::ClassScore { class_name: name.clone(), score })
            .collect();
        if self.options.explain {
            let top = match self.options.top_attributions {
                0 => DEFAULT_ATTRIBUTIONS,
                top => top,
            };
            let explanation = model.explain(row);
            let reasons = model.reasons(&explanation, row, answer.best, top as usize);
            prediction.attributions = reasons.into_iter().map(attribution).collect();
            prediction.bias = Some(explanation.bias()[answer.best]);
        }
        if self.options.raw_margin {
            prediction.raw_margins = answer.margins;
        }
        prediction
    }
}

fn count(
    selected: &Selected,
    row: &[f64],
    answer: &Answer,
    segment: &str,
    n_segment_errors: u64,
    metrics: &Metrics,
) {
    let served = &selected.served;
    let variant = match selected.variant {
        Variant::Champion => "champion",
        Variant::Pinned => "pinned",
    };
    metrics.scoring.predictions.get_or_create(&served.prediction_labels(variant, segment)).inc();
    served.counters.score.observe(answer.score);
    for (value, missing) in row.iter().zip(&served.counters.missing) {
        if value.is_nan() {
            missing.inc();
        }
    }
    let categories = served.model.schema().features().iter().zip(row);
    let unseen = categories
        .filter(|(feature, value)| feature.is_category() && **value == UNSEEN_CATEGORY)
        .count();
    served.counters.unseen.inc_by(unseen as u64);
    served.counters.segment_errors.inc_by(n_segment_errors);
}
