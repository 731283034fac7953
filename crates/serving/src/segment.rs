//! Which segment a row falls into, by the segments of one of the models that scored it.

use std::collections::BTreeMap;

use segue_api::v1 as pb;
use segue_model::{SegmentInputs, TraitValue, Traits};

use crate::live::Selected;

/// One model's answer to one row.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) score: f64,
    /// The likeliest class; 0 where there is one output.
    pub(crate) best: usize,
    /// Probabilities of a multiclass target's classes, otherwise empty.
    pub(crate) class_scores: Vec<f64>,
    /// Margins of all outputs if the request asks for them, otherwise empty.
    pub(crate) margins: Vec<f64>,
}

/// What a model's segments say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Assignment<'a> {
    pub(crate) segment: Option<&'a str>,
    /// Conditions that failed to evaluate; a value that is missing is no failure.
    pub(crate) n_errors: u64,
}

/// Asks the segments of `selected[of]`; `None` if it has none. Conditions see the scores of all
/// selected models.
pub(crate) fn assign<'a>(
    selected: &'a [Selected],
    rows: &[Vec<f64>],
    answers: &[Answer],
    traits: &Traits,
    of: usize,
) -> Option<Assignment<'a>> {
    let served = &selected[of].served;
    let segments = served.segments.as_ref().filter(|segments| !segments.is_empty())?;
    let names = selected.iter().map(|one| one.served.name.as_str());
    let scores: Vec<(&str, f64)> = names.zip(answers.iter().map(|answer| answer.score)).collect();
    let classes = served.model.classes().iter().map(String::as_str);
    let class_scores: Vec<(&str, f64)> =
        classes.zip(answers[of].class_scores.iter().copied()).collect();
    let assigned = segments.assign(&SegmentInputs {
        score: answers[of].score,
        scores: &scores,
        class_scores: &class_scores,
        schema: served.model.schema(),
        row: &rows[of],
        traits,
    });
    Some(Assignment { segment: assigned.segment, n_errors: assigned.errors.len() as u64 })
}

/// Traits of the wire. Values have been checked to be set.
pub(crate) fn traits(given: &BTreeMap<String, pb::PropertyValue>) -> Traits {
    use pb::property_value::Kind;
    let value = |kind: &Kind| match kind {
        Kind::Number(number) => TraitValue::Number(*number),
        Kind::Text(text) => TraitValue::Text(text.clone()),
        Kind::Flag(flag) => TraitValue::Flag(*flag),
    };
    given.iter().filter_map(|(key, one)| Some((key.clone(), value(one.kind.as_ref()?)))).collect()
}
