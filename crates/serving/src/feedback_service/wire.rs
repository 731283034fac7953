//! From the wire to outcomes, and back to answers.

use segue_api::v1 as pb;

use super::outcome::{Label, NewOutcome};
use super::store::Recorded;
use crate::error::rpc_status;
use crate::from_proto::micros_of;
use crate::prediction_log::{HOUR_US, PredictionId};
use crate::{Reason, ServingError, Violation};

/// Longest class name and request id.
const MAX_TEXT_BYTES: usize = 1024;

/// A prediction of a later time than this from now was made by nobody.
const MAX_AHEAD_US: i64 = HOUR_US;

/// Checks an outcome found under `path`.
pub(super) fn read(
    outcome: Option<pb::Outcome>,
    request_id: &str,
    path: &str,
    now_us: i64,
) -> Result<NewOutcome, ServingError> {
    let mut violations = Vec::new();
    let mut bad = |field: &str, reason, description: String| {
        let field = if field.is_empty() { path.to_owned() } else { format!("{path}.{field}") };
        violations.push(Violation { field, reason, description });
    };
    let Some(outcome) = outcome else {
        let description = "no outcome: give the prediction's id and a label";
        return Err(ServingError::invalid(path, Reason::OutcomeLabelAbsent, description));
    };
    let id = PredictionId::parse(&outcome.prediction_id)
        .filter(|id| id.time_us() <= now_us.saturating_add(MAX_AHEAD_US));
    if id.is_none() {
        let description = "expected the prediction_id of an answer, such as \
                           1a20448123b-7471cea6ff1-000000002a, not one from the future";
        bad("prediction_id", Reason::PredictionIdInvalid, description.to_owned());
    }
    let label = match outcome.label {
        Some(pb::outcome::Label::Binary(flag)) => Some(Label::Binary(flag)),
        Some(pb::outcome::Label::ClassName(class)) => {
            if class.is_empty() || class.len() > MAX_TEXT_BYTES {
                let description = format!("expected a class of 1 to {MAX_TEXT_BYTES} bytes");
                bad("class_name", Reason::OutcomeInvalid, description);
            }
            Some(Label::Class(class.into()))
        }
        Some(pb::outcome::Label::Value(value)) => {
            if !value.is_finite() {
                let description = format!("expected a finite number, found {value}");
                bad("value", Reason::OutcomeInvalid, description);
            }
            Some(Label::Value(value))
        }
        None => {
            let description = "no label: give `binary`, `class_name` or `value`".to_owned();
            bad("", Reason::OutcomeLabelAbsent, description);
            None
        }
    };
    let weight = outcome.weight.unwrap_or(1.0);
    if !(weight.is_finite() && weight > 0.0) {
        let description = format!("expected a finite number above 0, found {weight}");
        bad("weight", Reason::OutcomeInvalid, description);
    }
    let event_us = outcome.event_time.as_ref().map(micros_of);
    if event_us == Some(None) {
        let description = "expected a time of the years 0001 to 9999".to_owned();
        bad("event_time", Reason::OutcomeInvalid, description);
    }
    if request_id.len() > MAX_TEXT_BYTES {
        let (field, reason) = ("request_id".to_owned(), Reason::OutcomeInvalid);
        let description = format!("expected at most {MAX_TEXT_BYTES} bytes");
        violations.push(Violation { field, reason, description });
    }
    match (id, label) {
        (Some(id), Some(label)) if violations.is_empty() => Ok(NewOutcome {
            id,
            label,
            event_us: event_us.flatten(),
            weight,
            request_id: request_id.to_owned(),
        }),
        _ => Err(ServingError::Invalid(violations)),
    }
}

/// The answer about one outcome.
pub(super) fn response(recorded: Recorded) -> pb::RecordOutcomeResponse {
    let status =
        if recorded.is_matched { pb::OutcomeStatus::Matched } else { pb::OutcomeStatus::Unmatched };
    pb::RecordOutcomeResponse {
        status: status.into(),
        is_duplicate: recorded.is_duplicate,
        is_correction: recorded.is_correction,
    }
}

/// One result of a batch.
pub(super) fn result(recording: Result<Recorded, ServingError>) -> pb::OutcomeResult {
    use pb::outcome_result::Result as Outcome;
    let result = match recording {
        Ok(recorded) => Outcome::Recorded(response(recorded)),
        Err(error) => Outcome::Error(rpc_status(error)),
    };
    pb::OutcomeResult { result: Some(result) }
}
