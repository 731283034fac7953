//! From a row to an answer: read, score, segment, explain. No waiting, no clock, no locks.

mod rows;

use std::borrow::Cow;
use std::slice;
use std::sync::Arc;

use segue_api::v1 as pb;
use segue_dataset::UNSEEN_CATEGORY;
use segue_model::{Scores, Traits};

use crate::ServingError;
use crate::from_proto::{Reading, RowInput, RowPath, read_row};
use crate::live::{Selected, Selection};
use crate::prediction_log::{About, Recorder};
use crate::scratch::with_scores;
use crate::segment::{Answer, Assignment, assign, traits};
use crate::to_proto::attribution;

/// Reasons of a prediction if the request does not say how many.
const DEFAULT_ATTRIBUTIONS: u32 = 5;

/// The versions and options that all rows of a request share.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) selection: Selection,
    pub(crate) options: pb::ScoreOptions,
    pub(crate) reading: Reading,
    pub(crate) recorder: Arc<Recorder>,
    /// As it is answered.
    pub(crate) request_id: String,
}

/// A row's answer, and the versions that gave it, one a selector.
#[derive(Debug)]
pub(crate) struct Scored<'a> {
    pub(crate) row: pb::ScoredRow,
    pub(crate) versions: Cow<'a, [Selected]>,
}

impl Job {
    /// Answers one row.
    pub(crate) fn score(
        &self,
        row: Option<&pb::FeatureRow>,
        path: RowPath,
    ) -> Result<Scored<'_>, ServingError> {
        let (versions, input) = self.read(row, path)?;
        let traits = row.map(|row| traits(&row.traits)).unwrap_or_default();
        let answers = self.answers(&versions, &input);
        let row = self.answer(&versions, input, answers, &traits, About::of(row));
        Ok(Scored { row, versions })
    }

    /// Reads a row for the versions that its key belongs to. What a canary cannot read, such as a row
    /// packed for the champion's schema, is for the champion, who could before there was a canary.
    fn read(
        &self,
        row: Option<&pb::FeatureRow>,
        path: RowPath,
    ) -> Result<(Cow<'_, [Selected]>, RowInput), ServingError> {
        let read = |versions: &[Selected]| read_row(row, versions, &self.reading, path);
        let key = row.map_or("", routing_key);
        let mut versions = self.selection.route(key);
        let mut input = read(&versions);
        if input.is_err() {
            self.blame(row, &versions, path);
        }
        let gives_way = input.is_err() && matches!(versions, Cow::Owned(_));
        if gives_way {
            let cannot_read = |canary: &Selected| read(slice::from_ref(canary)).is_err();
            self.selection.fall_back(versions.to_mut(), cannot_read);
            input = read(&versions);
            if input.is_err() {
                versions = Cow::Borrowed(self.selection.unsplit());
                input = read(&versions);
            }
        }
        let input = input?;
        if gives_way || key.is_empty() {
            self.selection.count_unplaced(key, &versions, 1);
        }
        Ok((versions, input))
    }

    /// Counts a row that could not be read against those of its versions that cannot read it without
    /// the others. Of several models each may be strict about the features of the rest.
    fn blame(&self, row: Option<&pb::FeatureRow>, versions: &[Selected], path: RowPath) {
        let reading = Reading { strict: false, ..self.reading };
        for version in versions {
            let alone = slice::from_ref(version);
            if versions.len() == 1 || read_row(row, alone, &reading, path).is_err() {
                version.failed(1);
            }
        }
    }

    /// Answers a row that has been read for these versions, and scored by them.
    fn answer(
        &self,
        versions: &[Selected],
        input: RowInput,
        answers: Vec<Answer>,
        traits: &Traits,
        about: About<'_>,
    ) -> pb::ScoredRow {
        let _counted = CountedPanic(versions);
        let assign = |of| assign(versions, &input.rows, &answers, traits, of);
        let segments: Vec<Option<Assignment<'_>>> = (0..versions.len()).map(assign).collect();
        let first = segments.iter().flatten().next();
        let segment = first.and_then(|first| first.segment).unwrap_or_default().to_owned();
        let parts = versions.iter().zip(&input.rows).zip(answers).zip(&segments);
        let mut predictions = Vec::with_capacity(versions.len());
        for (((selected, row), answer), assigned) in parts {
            let assigned = assigned.as_ref();
            let name = assigned.and_then(|assigned| assigned.segment).unwrap_or_default();
            count(selected, row, &answer, name, assigned.map_or(0, |one| one.n_errors));
            let mut prediction = self.prediction(selected, row, answer, name);
            prediction.served_by_index = selected.slot;
            predictions.push(prediction);
        }
        let about = About {
            request_id: &self.request_id,
            suppress_log: self.options.suppress_log,
            now_us: self.reading.now_us,
            ..about
        };
        self.recorder.record(versions, input.rows, &about, &mut predictions);
        pb::ScoredRow { predictions, segment, warnings: input.warnings }
    }

    /// Scores a row, by one version after another.
    fn answers(&self, versions: &[Selected], input: &RowInput) -> Vec<Answer> {
        let _counted = CountedPanic(versions);
        let score = |(selected, row): (&Selected, &Vec<f64>)| {
            with_scores(&selected.served.model, row, |scores| self.answer_of(selected, scores))
        };
        versions.iter().zip(&input.rows).map(score).collect()
    }

    fn answer_of(&self, selected: &Selected, scores: Scores<'_>) -> Answer {
        let has_classes = !selected.served.model.classes().is_empty();
        let wanted = |is_wanted: bool, values: &[f64]| {
            if is_wanted { values.to_vec() } else { Vec::new() }
        };
        Answer {
            score: scores.score(),
            best: scores.best(),
            class_scores: wanted(has_classes, scores.outputs),
            margins: wanted(self.options.raw_margin, scores.margins),
        }
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

/// A panic is told by whoever catches it, but only here it is known whose it is.
struct CountedPanic<'a>(&'a [Selected]);

impl Drop for CountedPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.iter().for_each(|version| version.failed(1));
        }
    }
}

/// What a split of the traffic hashes of a row; empty for none.
fn routing_key(row: &pb::FeatureRow) -> &str {
    if row.routing_key.is_empty() { &row.subject_id } else { &row.routing_key }
}

fn count(selected: &Selected, row: &[f64], answer: &Answer, segment: &str, n_segment_errors: u64) {
    let served = &selected.served;
    served.counters.predictions.inc(selected.variant, segment);
    served.counters.score.observe(answer.score);
    selected.scored(answer.score);
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
