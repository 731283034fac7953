//! What became of predictions, told to the server that joins it to them.

use segue_api::v1 as pb;
use segue_api::v1::feedback_service_client::FeedbackServiceClient;
use tonic::Request;

use crate::call::{CallOptions, Transport, call_options, fresh_id};
use crate::{Client, Error, Failure, Timestamp};

/// What happened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Label {
    /// Whether what was predicted happened. For binary models.
    Binary(bool),
    /// Which class it was. For multiclass models.
    Class(String),
    /// Which number it was. For regressions.
    Value(f64),
}

impl From<bool> for Label {
    fn from(happened: bool) -> Self {
        Self::Binary(happened)
    }
}

impl From<&str> for Label {
    fn from(class: &str) -> Self {
        Self::Class(class.to_owned())
    }
}

impl From<String> for Label {
    fn from(class: String) -> Self {
        Self::Class(class)
    }
}

impl From<f64> for Label {
    fn from(value: f64) -> Self {
        Self::Value(value)
    }
}

/// What became of one prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome(pb::Outcome);

impl Outcome {
    /// Of the prediction that [`Scored::prediction_id`](crate::Scored::prediction_id) names.
    pub fn new(prediction_id: impl Into<String>, label: impl Into<Label>) -> Self {
        use pb::outcome::Label as Wire;
        let label = match label.into() {
            Label::Binary(happened) => Wire::Binary(happened),
            Label::Class(class) => Wire::ClassName(class),
            Label::Value(value) => Wire::Value(value),
        };
        Self(pb::Outcome {
            prediction_id: prediction_id.into(),
            label: Some(label),
            ..pb::Outcome::default()
        })
    }

    /// When it became known; without it, when the server receives it. Of two outcomes of one prediction
    /// the later counts.
    #[must_use]
    pub fn at(mut self, event_time: Timestamp) -> Self {
        self.0.event_time = Some(event_time);
        self
    }

    /// How much it counts, above 0; without it 1.
    #[must_use]
    pub fn weight(mut self, weight: f64) -> Self {
        self.0.weight = Some(weight);
        self
    }
}

/// What recording an outcome did. It is on the server's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// Whether the prediction is in the log already. If not, it is joined when it appears.
    pub is_matched: bool,
    /// It was recorded before; nothing has changed.
    pub is_duplicate: bool,
    /// Another outcome of the prediction was recorded before.
    pub is_correction: bool,
}

impl From<pb::RecordOutcomeResponse> for Recorded {
    fn from(answer: pb::RecordOutcomeResponse) -> Self {
        Self {
            is_matched: answer.status() == pb::OutcomeStatus::Matched,
            is_duplicate: answer.is_duplicate,
            is_correction: answer.is_correction,
        }
    }
}

impl Client {
    /// Tells what became of a prediction.
    pub fn outcome(
        &self,
        prediction_id: impl Into<String>,
        label: impl Into<Label>,
    ) -> OutcomeCall {
        let outcome = Outcome::new(prediction_id, label);
        let call = CallOptions::default();
        OutcomeCall { client: self.clone(), call, outcome, request_id: fresh_id() }
    }

    /// Tells what became of many predictions, at most as many as a batch of rows may have.
    pub fn outcomes(&self, outcomes: impl IntoIterator<Item = Outcome>) -> OutcomesCall {
        let outcomes = outcomes.into_iter().map(|outcome| outcome.0).collect();
        let call = CallOptions::default();
        OutcomesCall { client: self.clone(), call, outcomes, request_id: fresh_id() }
    }

    fn feedback(&self, transport: Transport) -> FeedbackServiceClient<Transport> {
        FeedbackServiceClient::new(transport)
            .max_decoding_message_size(self.shared.max_message_bytes)
    }
}

/// The id that makes a repeat harmless.
macro_rules! request_id {
    () => {
        /// Your own id, the same for every attempt at telling this, also after a restart; without one,
        /// or with an empty one, it gets a fresh one. A repeat changes nothing, even after a correction
        /// by another request.
        pub fn request_id(mut self, id: impl Into<String>) -> Self {
            let id = id.into();
            self.request_id = if id.is_empty() { fresh_id() } else { id };
            self
        }
    };
}

/// A call of `RecordOutcome` in the making.
#[derive(Debug, Clone)]
#[must_use = "nothing is told before send"]
pub struct OutcomeCall {
    client: Client,
    call: CallOptions,
    outcome: Outcome,
    request_id: String,
}

impl OutcomeCall {
    call_options!();
    request_id!();

    /// When it became known; without it, when the server receives it.
    pub fn at(mut self, event_time: Timestamp) -> Self {
        self.outcome = self.outcome.at(event_time);
        self
    }

    /// How much it counts, above 0; without it 1.
    pub fn weight(mut self, weight: f64) -> Self {
        self.outcome = self.outcome.weight(weight);
        self
    }

    /// Tells.
    ///
    /// # Errors
    /// [`Error::Failed`] with what the server said: the id names no prediction, the label is not one, it
    /// is too late, the server keeps no log.
    pub async fn send(self) -> Result<Recorded, Error> {
        let Self { client, call, outcome, request_id } = self;
        let request = pb::RecordOutcomeRequest { outcome: Some(outcome.0), request_id };
        let answer =
            client.unary(&call, client.until(&call), request, |transport, request: Request<_>| {
                let mut feedback = client.feedback(transport);
                async move { feedback.record_outcome(request).await }
            });
        answer.await.map(Recorded::from)
    }
}

/// A call of `BatchRecordOutcomes` in the making.
#[derive(Debug, Clone)]
#[must_use = "nothing is told before send"]
pub struct OutcomesCall {
    client: Client,
    call: CallOptions,
    outcomes: Vec<pb::Outcome>,
    request_id: String,
}

impl OutcomesCall {
    call_options!();
    request_id!();

    /// Tells; the answers are one an outcome and in order. A bad outcome has an error of its own.
    ///
    /// # Errors
    /// As [`OutcomeCall::send`], for all of them: nothing was recorded then.
    pub async fn send(self) -> Result<Vec<Result<Recorded, Failure>>, Error> {
        use pb::outcome_result::Result as Wire;
        let Self { client, call, outcomes, request_id } = self;
        let n_outcomes = outcomes.len();
        let request = pb::BatchRecordOutcomesRequest { outcomes, request_id };
        let answer =
            client.unary(&call, client.until(&call), request, |transport, request: Request<_>| {
                let mut feedback = client.feedback(transport);
                async move { feedback.batch_record_outcomes(request).await }
            });
        let results = answer.await?.results;
        if results.len() != n_outcomes {
            return Err(Error::Answer { part: "result for every outcome" });
        }
        let read = |result: pb::OutcomeResult| match result.result {
            Some(Wire::Recorded(recorded)) => Ok(Ok(Recorded::from(recorded))),
            Some(Wire::Error(status)) => Ok(Err(Failure::from(&status))),
            None => Err(Error::Answer { part: "result of an outcome" }),
        };
        results.into_iter().map(read).collect()
    }
}
