//! Scores as they come, on one connection.

use std::sync::Arc;

use segue_api::v1 as pb;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{Shared, catch};
use crate::ServingError;
use crate::error::rpc_status;
use crate::guard::{Deadline, caught};
use crate::limits::Lane;

/// Answers that wait for a slow reader; then its requests are no longer read.
const ANSWERS_AHEAD: usize = 16;

type Answers = mpsc::Sender<Result<pb::ScoreStreamResponse, Status>>;

/// Answers each request in its order. The permit lasts as long as the stream.
pub(super) fn answer(
    shared: Arc<Shared>,
    requests: Streaming<pb::ScoreStreamRequest>,
    deadline: Deadline,
    permit: OwnedSemaphorePermit,
) -> ReceiverStream<Result<pb::ScoreStreamResponse, Status>> {
    let (answers, receiver) = mpsc::channel(ANSWERS_AHEAD);
    tokio::spawn(async move {
        let _permit = permit;
        let pumped = pump(&shared, requests, deadline, &answers);
        let pumped = caught(&shared.metrics, "ScoreStream", pumped).await;
        if let Err(end) = pumped.map_err(Status::from).flatten() {
            // A reader that has gone does not see how it ended.
            let _ = answers.send(Err(end)).await;
        }
    });
    ReceiverStream::new(receiver)
}

/// Ends well when the caller has no more requests or no more interest.
async fn pump(
    shared: &Shared,
    mut requests: Streaming<pb::ScoreStreamRequest>,
    deadline: Deadline,
    answers: &Answers,
) -> Result<(), Status> {
    let mut closing = shared.closing.clone();
    loop {
        let request = tokio::select! {
            biased;
            request = requests.message() => request?,
            () = answers.closed() => return Ok(()),
            () = tokio::time::sleep_until(deadline.0) => {
                return Err(ServingError::DeadlineExceeded.into());
            }
            _ = closing.wait_for(|closing| *closing) => {
                return Err(ServingError::Draining.into());
            }
        };
        let Some(request) = request else { return Ok(()) };
        let answer = pb::ScoreStreamResponse {
            sequence: request.sequence,
            result: Some(score(shared, request.request.unwrap_or_default(), deadline)),
        };
        // A reader that no longer reads must not outlive its deadline here.
        match tokio::time::timeout_at(deadline.0, answers.send(Ok(answer))).await {
            Ok(Ok(())) => {}
            Ok(Err(_gone)) => return Ok(()),
            Err(_elapsed) => return Err(ServingError::DeadlineExceeded.into()),
        }
        if *closing.borrow() {
            return Err(ServingError::Draining.into());
        }
    }
}

/// A bad request, a full server and a panic are each the answer to one message only.
fn score(
    shared: &Shared,
    request: pb::ScoreRequest,
    deadline: Deadline,
) -> pb::score_stream_response::Result {
    use pb::score_stream_response::Result as Outcome;
    let snapshot = shared.live.snapshot();
    let scored = shared.limits.enter(Lane::Scoring).and_then(|_permit| {
        catch(&shared.metrics, || shared.score(&snapshot, request, deadline)).flatten()
    });
    match scored {
        Ok(response) => Outcome::Response(response),
        Err(error) => Outcome::Error(rpc_status(error)),
    }
}
