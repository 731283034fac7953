//! The answer to one row.

use segue_api::v1 as pb;

use crate::Error;

/// What the models say of one row, and which versions said it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    row: pb::ScoredRow,
    served_by: Vec<pb::ServedBy>,
    request_id: String,
}

impl Scored {
    /// Checks that there is a prediction and that every prediction has its version.
    pub(crate) fn new(answer: pb::ScoreResponse) -> Result<Self, Error> {
        let row = answer.result.ok_or(Error::Answer { part: "result" })?;
        Self::of(row, answer.served_by, answer.request_id)
    }

    pub(crate) fn of(
        row: pb::ScoredRow,
        served_by: Vec<pb::ServedBy>,
        request_id: String,
    ) -> Result<Self, Error> {
        if row.predictions.is_empty() {
            return Err(Error::Answer { part: "prediction" });
        }
        let known = |one: &pb::Prediction| (one.served_by_index as usize) < served_by.len();
        if !row.predictions.iter().all(known) {
            return Err(Error::Answer { part: "served_by of a prediction" });
        }
        Ok(Self { row, served_by, request_id })
    }

    /// Of the first model: the calibrated probability (binary), the probability of the likeliest class
    /// (multiclass), or the number.
    #[must_use]
    pub fn score(&self) -> f64 {
        self.row.predictions[0].score
    }

    /// The segment of the first selected model that has any; empty for none.
    #[must_use]
    pub fn segment(&self) -> &str {
        &self.row.segment
    }

    /// The version that gave the first model's score.
    #[must_use]
    pub fn served_by(&self) -> &pb::ServedBy {
        self.served_by_of(&self.row.predictions[0])
    }

    /// What names the first model's prediction to FeedbackService.
    #[must_use]
    pub fn prediction_id(&self) -> &str {
        &self.row.predictions[0].prediction_id
    }

    /// The first model's reasons, strongest first; empty unless asked for.
    #[must_use]
    pub fn reasons(&self) -> &[pb::Attribution] {
        &self.row.predictions[0].attributions
    }

    /// One a model, in the order in which they were asked for.
    #[must_use]
    pub fn predictions(&self) -> &[pb::Prediction] {
        &self.row.predictions
    }

    /// The version that gave a prediction of this row.
    #[must_use]
    pub fn served_by_of(&self, prediction: &pb::Prediction) -> &pb::ServedBy {
        // in range, or this would not have been made
        &self.served_by[(prediction.served_by_index as usize).min(self.served_by.len() - 1)]
    }

    /// What was not quite as it was given.
    #[must_use]
    pub fn warnings(&self) -> &[pb::Warning] {
        &self.row.warnings
    }

    /// The id of the request.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.request_id
    }
}
