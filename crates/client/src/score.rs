//! One row, scored.

use segue_api::v1 as pb;
use segue_api::v1::scoring_service_client::ScoringServiceClient;
use tonic::Request;

use crate::call::{CallOptions, Transport, call_options, fresh_id};
use crate::{Client, Error, Row, Scored, Selector, Value};

/// A call of `Score` in the making.
#[derive(Debug, Clone)]
#[must_use = "nothing is asked before send"]
pub struct ScoreCall {
    client: Client,
    pub(crate) call: CallOptions,
    models: Vec<Selector>,
    row: Row,
    options: pb::ScoreOptions,
    request_id: String,
    packed: bool,
}

impl Client {
    /// Scores one row with `model`: `client.score("churn").subject("u1").feature("visits", 3).send()`.
    pub fn score(&self, model: impl Into<Selector>) -> ScoreCall {
        ScoreCall {
            client: self.clone(),
            call: CallOptions::default(),
            models: vec![model.into()],
            row: Row::new(),
            options: pb::ScoreOptions::default(),
            request_id: String::new(),
            packed: false,
        }
    }

    pub(crate) fn scoring(&self, transport: Transport) -> ScoringServiceClient<Transport> {
        ScoringServiceClient::new(transport)
            .max_decoding_message_size(self.shared.max_message_bytes)
    }
}

/// What an answer should carry and how rows are read, as methods of a call.
macro_rules! score_options {
    () => {
        /// One more model for the same rows.
        pub fn and_model(mut self, model: impl Into<$crate::Selector>) -> Self {
            self.models.push(model.into());
            self
        }

        /// Give the `top` strongest reasons; 0: five.
        pub fn explain(mut self, top: u32) -> Self {
            self.options.explain = true;
            self.options.top_attributions = top;
            self
        }

        /// Give the margins before link and calibration.
        pub fn raw_margin(mut self) -> Self {
            self.options.raw_margin = true;
            self
        }

        /// Features that are not given are missing values and no errors.
        pub fn allow_missing(mut self) -> Self {
            self.options.allow_missing = true;
            self
        }

        /// Extra features, unseen categories and events that cannot be used are errors.
        pub fn strict(mut self) -> Self {
            self.options.strict = true;
            self
        }

        /// Keep these rows out of the prediction log.
        pub fn suppress_log(mut self) -> Self {
            self.options.suppress_log = true;
            self
        }

        /// Your own id of the request, which the answer carries; without one it gets a fresh one.
        pub fn request_id(mut self, id: impl Into<String>) -> Self {
            self.request_id = id.into();
            self
        }

        /// Send features by position, with the digest of their schema: less to send and to read. The
        /// schema is asked for once, and again when the server serves another.
        pub fn packed(mut self) -> Self {
            self.packed = true;
            self
        }
    };
}
pub(crate) use score_options;

impl ScoreCall {
    call_options!();
    score_options!();

    /// The whole row at once, in the place of what was set of it before.
    pub fn row(mut self, row: Row) -> Self {
        self.row = row;
        self
    }

    /// As [`Row::subject`].
    pub fn subject(mut self, id: impl Into<String>) -> Self {
        self.row = self.row.subject(id);
        self
    }

    /// As [`Row::routing_key`].
    pub fn routing_key(mut self, key: impl Into<String>) -> Self {
        self.row = self.row.routing_key(key);
        self
    }

    /// As [`Row::feature`].
    pub fn feature(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.row = self.row.feature(name, value);
        self
    }

    /// As [`Row::category`].
    pub fn category(mut self, name: impl Into<String>, category: impl Into<String>) -> Self {
        self.row = self.row.category(name, category);
        self
    }

    /// As [`Row::missing`].
    pub fn missing(mut self, name: impl Into<String>) -> Self {
        self.row = self.row.missing(name);
        self
    }

    /// As [`Row::user_trait`].
    pub fn user_trait(
        mut self,
        name: impl Into<String>,
        value: impl Into<pb::property_value::Kind>,
    ) -> Self {
        self.row = self.row.user_trait(name, value);
        self
    }

    /// As [`Row::events`].
    pub fn events(mut self, history: pb::EventHistory) -> Self {
        self.row = self.row.events(history);
        self
    }

    /// Asks.
    ///
    /// # Errors
    /// [`Error::Failed`] with what the server said, or DEADLINE_EXCEEDED, or UNAVAILABLE if no attempt
    /// reached it; [`Error::Packing`] if a packed row does not fit the schema.
    pub async fn send(self) -> Result<Scored, Error> {
        let until = self.client.until(&self.call);
        let request = pb::ScoreRequest {
            models: self.models.iter().map(Selector::to_proto).collect(),
            row: None,
            options: Some(self.options),
            request_id: if self.request_id.is_empty() { fresh_id() } else { self.request_id },
        };
        let client = &self.client;
        let (call, row) = (&self.call, &self.row);
        let send = |row: pb::FeatureRow| {
            let request = pb::ScoreRequest { row: Some(row), ..request.clone() };
            client.unary(call, until, request, |transport, request: Request<pb::ScoreRequest>| {
                let mut scoring = client.scoring(transport);
                async move { scoring.score(request).await }
            })
        };
        let answer = if self.packed && !row.has_events() {
            let lenient = self.options.allow_missing;
            client
                .with_layout(call, until, &self.models[0], |layout| {
                    let packed = layout.pack(row, lenient);
                    let sent = packed.map(&send);
                    async move { sent?.await }
                })
                .await?
        } else {
            send(row.to_proto()).await?
        };
        Scored::new(answer)
    }
}
