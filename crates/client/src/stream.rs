//! Scores as they come, on one connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use segue_api::v1 as pb;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::call::{CallOptions, fresh_id, too_late};
use crate::{Client, Error, Failure, Row, Scored, Selector};

/// Requests that wait for the connection; then [`ScoreRequests::send`] waits.
const REQUESTS_AHEAD: usize = 64;

/// A call of `ScoreStream` in the making.
#[derive(Debug, Clone)]
#[must_use = "nothing is opened before open"]
pub struct StreamCall {
    client: Client,
    call: CallOptions,
    models: Vec<Selector>,
    options: pb::ScoreOptions,
}

impl Client {
    /// Opens a stream that scores rows with `model` as they come. Every request looks its version up
    /// anew.
    pub fn stream(&self, model: impl Into<Selector>) -> StreamCall {
        StreamCall {
            client: self.clone(),
            call: CallOptions::default(),
            models: vec![model.into()],
            options: pb::ScoreOptions::default(),
        }
    }
}

/// An open stream. [`split`](Self::split) it to send and to read at the same time.
#[derive(Debug)]
pub struct ScoreStream {
    /// Where requests go.
    pub requests: ScoreRequests,
    /// Where answers come from.
    pub answers: ScoreAnswers,
}

/// Where the requests of a stream go. Without it, the server answers what it has and ends the stream.
#[derive(Debug)]
pub struct ScoreRequests {
    sender: mpsc::Sender<pb::ScoreStreamRequest>,
    models: Vec<pb::ModelSelector>,
    options: pb::ScoreOptions,
    next: u64,
    owed: Arc<Owed>,
}

/// Answers that are to come. Nobody is late who has not been asked.
#[derive(Debug, Default)]
struct Owed {
    n_sent: AtomicU64,
    /// No request will come any more: the end of the stream is owed.
    is_over: AtomicBool,
    /// Told of every change.
    changed: Notify,
}

/// Where the answers of a stream come from, in the order of the requests.
#[derive(Debug)]
pub struct ScoreAnswers {
    stream: Streaming<pb::ScoreStreamResponse>,
    patience: Duration,
    owed: Arc<Owed>,
    n_answered: u64,
}

/// The answer to one request of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamAnswer {
    /// What [`ScoreRequests::send`] gave.
    pub sequence: u64,
    /// What the models say, or what is wrong with this request; the stream goes on.
    pub outcome: Result<Scored, Failure>,
}

impl StreamCall {
    /// One more model for the same rows.
    pub fn and_model(mut self, model: impl Into<Selector>) -> Self {
        self.models.push(model.into());
        self
    }

    /// What every answer should carry, and how rows are read.
    pub fn options(mut self, options: pb::ScoreOptions) -> Self {
        self.options = options;
        self
    }

    /// How long to wait for each answer, from when one is owed. The stream itself may stay open.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.call.deadline = Some(deadline);
        self
    }

    /// A header of the stream, such as `traceparent`.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.call.header(name, value);
        self
    }

    /// Opens the stream. It is not opened again when it breaks: which requests were answered is the
    /// caller's to know.
    ///
    /// # Errors
    /// [`Error::Failed`] with what the server said.
    pub async fn open(self) -> Result<ScoreStream, Error> {
        let until = self.client.until(&self.call);
        let patience = until.saturating_duration_since(tokio::time::Instant::now());
        let (sender, receiver) = mpsc::channel(REQUESTS_AHEAD);
        let mut request = self.client.request(&self.call, until, ReceiverStream::new(receiver))?;
        // The deadline is for each answer, not for the stream.
        request.metadata_mut().remove("grpc-timeout");
        let mut scoring = self.client.scoring(self.client.transport());
        let opening = tokio::time::timeout_at(until, scoring.score_stream(request)).await;
        let stream = match opening {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => return Err(Error::after(&status, 1)),
            Err(_elapsed) => return Err(too_late(1, None)),
        };
        let models = self.models.iter().map(Selector::to_proto).collect();
        let owed = Arc::new(Owed::default());
        let answers = ScoreAnswers { stream, patience, owed: Arc::clone(&owed), n_answered: 0 };
        let requests = ScoreRequests { sender, models, options: self.options, next: 0, owed };
        Ok(ScoreStream { requests, answers })
    }
}

impl ScoreStream {
    /// Both ends, for two tasks.
    #[must_use]
    pub fn split(self) -> (ScoreRequests, ScoreAnswers) {
        (self.requests, self.answers)
    }
}

impl ScoreRequests {
    /// Sends a row and gives the number that its answer will carry: 0, 1, 2 ... Waits while the server
    /// does not read.
    ///
    /// # Errors
    /// [`Error::StreamEnded`]; [`ScoreAnswers::next`] says why.
    pub async fn send(&mut self, row: &Row) -> Result<u64, Error> {
        let sequence = self.next;
        let request = pb::ScoreRequest {
            models: self.models.clone(),
            row: Some(row.to_proto()),
            options: Some(self.options),
            request_id: fresh_id(),
        };
        let request = pb::ScoreStreamRequest { sequence, request: Some(request) };
        self.sender.send(request).await.map_err(|_| Error::StreamEnded)?;
        self.next += 1;
        self.owed.n_sent.store(self.next, Ordering::Release);
        self.owed.changed.notify_one();
        Ok(sequence)
    }
}

impl Drop for ScoreRequests {
    fn drop(&mut self) {
        self.owed.is_over.store(true, Ordering::Release);
        self.owed.changed.notify_one();
    }
}

impl ScoreAnswers {
    /// The next answer; `None` after the last, when the requests have ended. Waits for the first request
    /// that is not answered as long as it takes, and from then on no longer than the deadline.
    ///
    /// # Errors
    /// [`Error::Failed`]: how the stream ended, UNAVAILABLE when the server stops, or DEADLINE_EXCEEDED
    /// if no answer came in time.
    pub async fn next(&mut self) -> Result<Option<StreamAnswer>, Error> {
        use pb::score_stream_response::Result as Outcome;
        let message = loop {
            if self.is_owed() {
                break match tokio::time::timeout(self.patience, self.stream.message()).await {
                    Ok(message) => message,
                    Err(_elapsed) => return Err(too_late(1, None)),
                };
            }
            tokio::select! {
                message = self.stream.message() => break message,
                () = self.owed.changed.notified() => {}
            }
        };
        let answer = match message {
            Ok(Some(answer)) => answer,
            Ok(None) => return Ok(None),
            Err(status) => return Err(Error::after(&status, 1)),
        };
        // In order: what is before it will not be answered any more.
        self.n_answered = self.n_answered.max(answer.sequence.saturating_add(1));
        let outcome = match answer.result {
            Some(Outcome::Response(response)) => Ok(Scored::new(response)?),
            Some(Outcome::Error(status)) => Err(Failure::from(&status)),
            None => return Err(Error::Answer { part: "result of a message" }),
        };
        Ok(Some(StreamAnswer { sequence: answer.sequence, outcome }))
    }

    /// Whether the server has something to say.
    fn is_owed(&self) -> bool {
        self.owed.is_over.load(Ordering::Acquire)
            || self.owed.n_sent.load(Ordering::Acquire) > self.n_answered
    }
}
