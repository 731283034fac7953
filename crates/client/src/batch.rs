//! Many rows, scored by the same versions.

use segue_api::v1 as pb;
use tonic::Request;

use crate::call::{CallOptions, call_options, fresh_id};
use crate::score::score_options;
use crate::{Client, Error, Failure, Row, Scored, Selector};

/// A call of `ScoreBatch` in the making.
#[derive(Debug, Clone)]
#[must_use = "nothing is asked before send"]
pub struct BatchCall {
    client: Client,
    pub(crate) call: CallOptions,
    models: Vec<Selector>,
    rows: Vec<Row>,
    options: pb::ScoreOptions,
    allow_partial: bool,
    request_id: String,
    packed: bool,
}

impl Client {
    /// Scores many rows with `model`, all by the same versions.
    pub fn batch(&self, model: impl Into<Selector>) -> BatchCall {
        BatchCall {
            client: self.clone(),
            call: CallOptions::default(),
            models: vec![model.into()],
            rows: Vec::new(),
            options: pb::ScoreOptions::default(),
            allow_partial: false,
            request_id: String::new(),
            packed: false,
        }
    }
}

/// The answers to a batch, one a row and in order.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredBatch {
    /// What the models say of each row, or what is wrong with it.
    pub rows: Vec<Result<Scored, Failure>>,
    /// The versions that answered for every row, in the order of the selectors.
    pub served_by: Vec<pb::ServedBy>,
    /// The id of the request.
    pub request_id: String,
}

impl BatchCall {
    call_options!();
    score_options!();

    /// One more row.
    pub fn row(mut self, row: Row) -> Self {
        self.rows.push(row);
        self
    }

    /// More rows.
    pub fn rows(mut self, rows: impl IntoIterator<Item = Row>) -> Self {
        self.rows.extend(rows);
        self
    }

    /// A bad row has an error of its own. Without this, one bad row fails the batch.
    pub fn allow_partial(mut self) -> Self {
        self.allow_partial = true;
        self
    }

    /// Asks.
    ///
    /// # Errors
    /// As [`ScoreCall::send`](crate::ScoreCall::send).
    pub async fn send(self) -> Result<ScoredBatch, Error> {
        let until = self.client.until(&self.call);
        let request = pb::ScoreBatchRequest {
            models: self.models.iter().map(Selector::to_proto).collect(),
            rows: Vec::new(),
            options: Some(self.options),
            allow_partial: self.allow_partial,
            request_id: if self.request_id.is_empty() { fresh_id() } else { self.request_id },
        };
        let (client, call, rows) = (&self.client, &self.call, &self.rows);
        let send = |rows: Vec<pb::FeatureRow>| {
            let request = pb::ScoreBatchRequest { rows, ..request.clone() };
            client.unary(call, until, request, |transport, request: Request<_>| {
                let mut scoring = client.scoring(transport);
                async move { scoring.score_batch(request).await }
            })
        };
        let answer = if self.packed && !rows.iter().any(Row::has_events) {
            let lenient = self.options.allow_missing;
            client
                .with_layout(call, until, &self.models[0], |layout| {
                    let sent = layout.pack_all(rows, lenient).map(&send);
                    async move { sent?.await }
                })
                .await?
        } else {
            send(rows.iter().map(Row::to_proto).collect()).await?
        };
        scored_batch(answer, rows.len())
    }
}

fn scored_batch(answer: pb::ScoreBatchResponse, n_rows: usize) -> Result<ScoredBatch, Error> {
    use pb::row_result::Result as Outcome;
    if answer.results.len() != n_rows {
        return Err(Error::Answer { part: "result for every row" });
    }
    let pb::ScoreBatchResponse { results, served_by, request_id } = answer;
    let row = |result: pb::RowResult| match result.result {
        Some(Outcome::Row(row)) => Scored::of(row, served_by.clone(), request_id.clone()).map(Ok),
        Some(Outcome::Error(status)) => Ok(Err(Failure::from(&status))),
        None => Err(Error::Answer { part: "result of a row" }),
    };
    let rows = results.into_iter().map(row).collect::<Result<_, _>>()?;
    Ok(ScoredBatch { rows, served_by, request_id })
}
