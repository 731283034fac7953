//! One row, answered by the champion and scored by a shadow.

use std::slice;
use std::sync::Arc;

use segue_api::v1 as pb;
use segue_dataset::Schema;
use segue_model::Traits;

use super::tally::Outcome;
use crate::from_proto::{Reading, RowPath, read_row};
use crate::live::{Selected, ServedVersion, Variant};
use crate::scratch::with_scores;
use crate::segment::{Answer, assign, traits};

/// A row that was answered.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) input: Input,
    pub(super) reading: Reading,
    /// The versions that answered, and the score of each.
    pub(super) versions: Vec<Selected>,
    pub(super) scores: Vec<f64>,
}

/// What the row was answered from.
#[derive(Debug)]
pub(crate) enum Input {
    /// As it came.
    Row(Box<pb::FeatureRow>),
    /// By the columns of the version that answered.
    Values(Vec<f64>),
}

/// What the champion said of the sample.
#[derive(Debug)]
pub(super) struct Answered {
    /// Which of the sample's versions it is.
    pub(super) of: usize,
    pub(super) segment: String,
    /// In class order; empty where there is one output.
    pub(super) class_scores: Vec<f64>,
}

/// How two answers differ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Compared {
    /// Of the scores; with classes the largest of any class.
    pub(crate) difference: f64,
    /// The shadow's score less the champion's.
    pub(crate) shift: f64,
    pub(crate) is_equal: bool,
    pub(crate) is_flip: bool,
}

impl Sample {
    /// Scores the sample by a shadow.
    pub(super) fn compare(&self, answered: &Answered, shadow: &Arc<ServedVersion>) -> Outcome {
        let Some(row) = self.row_for(answered.of, shadow) else { return Outcome::Unreadable };
        let model = &shadow.model;
        let answer = with_scores(model, &row, |scores| Answer {
            score: scores.score(),
            best: scores.best(),
            class_scores: if model.classes().is_empty() {
                Vec::new()
            } else {
                scores.outputs.to_vec()
            },
            margins: Vec::new(),
        });
        let champion = self.scores[answered.of];
        let shift = answer.score - champion;
        let classes = answered.class_scores.iter().zip(&answer.class_scores);
        let difference = if answered.class_scores.len() == answer.class_scores.len() {
            classes.map(|(one, other)| (one - other).abs()).fold(shift.abs(), f64::max)
        } else {
            shift.abs()
        };
        if !difference.is_finite() {
            return Outcome::Error;
        }
        let is_equal = answer.score.to_bits() == champion.to_bits() && difference == 0.0;
        let is_flip = self.segment(answered.of, shadow, row, answer) != answered.segment;
        Outcome::Compared(Compared { difference, shift, is_equal, is_flip })
    }

    /// The row as the shadow reads it; `None` if it cannot.
    fn row_for(&self, of: usize, shadow: &Arc<ServedVersion>) -> Option<Vec<f64>> {
        use pb::feature_row::Features;
        let (answering, wanted) = (self.versions[of].served.model.schema(), shadow.model.schema());
        match &self.input {
            Input::Values(values) => columns_of(values, answering, wanted),
            Input::Row(row) => {
                if let Some(Features::Packed(packed)) = &row.features {
                    return columns_of(&packed.values, answering, wanted);
                }
                // What is strict for the champion's features need not fit another's.
                let reading = Reading { strict: false, ..self.reading };
                let version = selected(shadow);
                read_row(Some(row), slice::from_ref(&version), &reading, RowPath::Row)
                    .ok()?
                    .rows
                    .pop()
            }
        }
    }

    /// The segment that the shadow's own conditions give, over its score and those that the other
    /// models of the request gave.
    fn segment(
        &self,
        of: usize,
        shadow: &Arc<ServedVersion>,
        row: Vec<f64>,
        answer: Answer,
    ) -> String {
        let mut versions = self.versions.clone();
        versions[of] = selected(shadow);
        // Conditions ask for the columns of their own model only.
        let mut rows = vec![Vec::new(); versions.len()];
        rows[of] = row;
        let given = |score: &f64| Answer {
            score: *score,
            best: 0,
            class_scores: Vec::new(),
            margins: Vec::new(),
        };
        let mut answers: Vec<Answer> = self.scores.iter().map(given).collect();
        answers[of] = answer;
        let traits = match &self.input {
            Input::Row(row) => traits(&row.traits),
            Input::Values(_) => Traits::new(),
        };
        let assigned = assign(&versions, &rows, &answers, &traits, of);
        assigned.and_then(|assigned| assigned.segment).unwrap_or_default().to_owned()
    }
}

fn selected(shadow: &Arc<ServedVersion>) -> Selected {
    Selected { served: Arc::clone(shadow), generation: 0, variant: Variant::Pinned, slot: 0 }
}

/// The columns of another schema, if each of them is there under the same name, of the same kind and
/// with the same vocabulary.
fn columns_of(values: &[f64], given: &Schema, wanted: &Schema) -> Option<Vec<f64>> {
    if given.digest() == wanted.digest() {
        return Some(values.to_vec());
    }
    let column = |feature: &segue_dataset::Feature| {
        let index = given.index_of(&feature.name)?;
        (given.features()[index].kind == feature.kind).then(|| values[index])
    };
    wanted.features().iter().map(column).collect()
}
