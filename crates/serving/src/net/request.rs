//! The body of a request, counted while it is received.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tonic::Status;

use super::connection::{Budgets, Connection};
use crate::ServingError;

/// A body whose bytes are taken from the budget of all requests until it is dropped. Of those that are
/// read as they come only the part that can be under way is counted.
#[derive(Debug)]
pub(crate) struct Counted {
    body: Incoming,
    n_bytes: usize,
    most: usize,
    budgets: Arc<Budgets>,
    retry_after: Duration,
}

/// More is being received than there is room for.
#[derive(Debug, Clone, thiserror::Error)]
#[error("more bytes of requests are being received than the server has room for")]
pub(crate) struct OverBudget {
    limit: usize,
    retry_after: Duration,
}

impl From<OverBudget> for ServingError {
    fn from(over: OverBudget) -> Self {
        let OverBudget { limit, retry_after } = over;
        Self::Overloaded { what: "bytes of requests", limit, retry_after }
    }
}

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("no room")]
    OverBudget(#[from] OverBudget),
    #[error("the connection failed")]
    Connection(#[from] hyper::Error),
}

impl Counted {
    /// Counts up to `most` bytes.
    pub(crate) fn new(
        body: Incoming,
        most: usize,
        connection: &Connection,
        retry_after: Duration,
    ) -> Self {
        let budgets = Arc::clone(connection.budgets());
        Self { body, n_bytes: 0, most, budgets, retry_after }
    }

    /// With errors as gRPC has them.
    pub(crate) fn for_grpc(self) -> tonic::body::Body {
        tonic::body::Body::new(ForGrpc(self))
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let Some(frame) = frame.transpose()? else { return Poll::Ready(None) };
        if let Some(data) = frame.data_ref() {
            let n_bytes = data.len().min(self.most - self.n_bytes);
            if !self.budgets.requests.take(n_bytes) {
                let (limit, retry_after) = (self.budgets.requests.limit(), self.retry_after);
                return Poll::Ready(Some(Err(OverBudget { limit, retry_after }.into())));
            }
            self.n_bytes += n_bytes;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.budgets.requests.give_back(self.n_bytes);
    }
}

struct ForGrpc(Counted);

impl Body for ForGrpc {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.0).poll_frame(context).map_err(|error| match error {
            BodyError::OverBudget(over) => ServingError::from(over).into(),
            // As tonic reads it: a caller who has left is CANCELLED, and so on.
            BodyError::Connection(error) => Status::from_error(error.into()),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
