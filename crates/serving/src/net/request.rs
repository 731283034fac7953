//! The body of a request, counted while it is received.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tonic::Status;

use super::connection::{Budgets, Connection};
use super::silence::Silence;
use crate::ServingError;
use crate::limits::{Lease, Limits};

/// How many bytes of a body may come, and how they are counted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BodyBound {
    /// Nobody knows who asks, and there is little to ask: a few bytes, which no budget need count.
    Tiny,
    /// One message, in memory until it has been worked on. More bytes than these are not counted;
    /// whoever reads the message refuses it.
    Whole(usize),
    /// Messages that are worked on as they come: the one that is not yet whole is in memory.
    Messages,
}

/// Bytes of a [`BodyBound::Tiny`] body.
const TINY_BYTES: usize = 4 << 10;

/// A body whose bytes are taken from the budget of all requests until it is dropped, or its lease is.
#[derive(Debug)]
pub(crate) struct Counted {
    body: Incoming,
    bound: BodyBound,
    n_bytes: usize,
    n_received: usize,
    messages: Messages,
    lease: Option<Arc<Lease>>,
    silence: Option<Silence>,
    budgets: Arc<Budgets>,
    limits: Arc<Limits>,
}

/// Follows the messages of gRPC: a byte, four of a length, the message.
#[derive(Debug, Default)]
struct Messages {
    prefix: [u8; 5],
    n_prefix: usize,
    /// Bytes of the open message that are still to come.
    n_left: usize,
}

impl Messages {
    /// Bytes of the message that is not whole, of which `n_open` were there before `data`.
    fn follow(&mut self, mut n_open: usize, mut data: &[u8]) -> usize {
        while !data.is_empty() {
            if self.n_left > 0 {
                let n = self.n_left.min(data.len());
                (self.n_left, n_open, data) = (self.n_left - n, n_open + n, &data[n..]);
                if self.n_left == 0 {
                    n_open = 0;
                }
                continue;
            }
            self.prefix[self.n_prefix] = data[0];
            (self.n_prefix, n_open, data) = (self.n_prefix + 1, n_open + 1, &data[1..]);
            if self.n_prefix == self.prefix.len() {
                let [_flags, length @ ..] = self.prefix;
                self.n_prefix = 0;
                self.n_left = u32::from_be_bytes(length) as usize;
                if self.n_left == 0 {
                    n_open = 0;
                }
            }
        }
        n_open
    }
}

/// More is being received than there is room for.
#[derive(Debug, Clone, thiserror::Error)]
#[error("more bytes of requests are being received than the server has room for")]
pub(crate) struct OverBudget {
    pub(crate) limit: usize,
    pub(crate) retry_after: Duration,
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
    #[error("the request has more than {TINY_BYTES} bytes")]
    TooLarge,
    #[error("silent")]
    Silent(Duration),
    #[error("the connection failed")]
    Connection(#[from] hyper::Error),
}

impl Counted {
    pub(crate) fn new(
        body: Incoming,
        bound: BodyBound,
        lease: Option<Arc<Lease>>,
        connection: &Connection,
        limits: &Arc<Limits>,
    ) -> Self {
        let (budgets, limits) = (Arc::clone(connection.budgets()), Arc::clone(limits));
        let (messages, silence) = (Messages::default(), None);
        Self { body, bound, n_bytes: 0, n_received: 0, messages, lease, silence, budgets, limits }
    }

    /// Ends if the next message, or the end, is waited for longer than this.
    pub(crate) fn within(mut self, max_silence: Option<Duration>) -> Self {
        self.silence = max_silence.map(Silence::new);
        self
    }

    fn count(&mut self, data: &[u8]) -> Result<(), BodyError> {
        self.n_received = self.n_received.saturating_add(data.len());
        let wanted = match self.bound {
            BodyBound::Tiny if self.n_received > TINY_BYTES => return Err(BodyError::TooLarge),
            BodyBound::Tiny => 0,
            BodyBound::Whole(most) => self.n_received.min(most),
            BodyBound::Messages => self.messages.follow(self.n_bytes, data),
        };
        let budget = &self.budgets.requests;
        if wanted > self.n_bytes && !budget.take(wanted - self.n_bytes) {
            return Err(self.limits.request_bytes(budget.limit()).into());
        }
        let is_whole = wanted < self.n_bytes.saturating_add(data.len());
        if let (BodyBound::Messages, true, Some(silence)) =
            (self.bound, is_whole, &mut self.silence)
        {
            silence.is_over();
        }
        budget.give_back(self.n_bytes.saturating_sub(wanted));
        self.n_bytes = wanted;
        Ok(())
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
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            let silence = self.silence.as_mut();
            return match silence.and_then(|silence| silence.broken(context)) {
                Some(after) => Poll::Ready(Some(Err(BodyError::Silent(after)))),
                None => Poll::Pending,
            };
        };
        let Some(frame) = frame.transpose()? else { return Poll::Ready(None) };
        if let Some(data) = frame.data_ref() {
            self.count(data)?;
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
        match &self.lease {
            // Read, and about to be worked on.
            Some(lease) => lease.keep_bytes(self.n_bytes),
            None => self.budgets.requests.give_back(self.n_bytes),
        }
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
            BodyError::Silent(after) => ServingError::StreamIdle { after }.into(),
            // As tonic says it of a message that is too large.
            BodyError::TooLarge => Status::out_of_range(BodyError::TooLarge.to_string()),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        /// However the bytes are cut, those of the message that is not whole are counted.
        #[test]
        fn messages_are_followed_over_pieces(
            lengths in prop::collection::vec(0_usize..40, 0..8),
            pieces in prop::collection::vec(1_usize..30, 1..40),
        ) {
            let mut bytes = Vec::new();
            let mut ends = vec![0];
            for length in &lengths {
                bytes.push(0);
                bytes.extend_from_slice(&u32::try_from(*length).unwrap().to_be_bytes());
                bytes.resize(bytes.len() + length, 7);
                ends.push(bytes.len());
            }
            let (mut messages, mut n_open, mut at) = (Messages::default(), 0, 0);
            for piece in pieces.into_iter().cycle() {
                let end = bytes.len().min(at + piece);
                n_open = messages.follow(n_open, &bytes[at..end]);
                at = end;
                let last_end = ends.iter().rev().find(|end| **end <= at).unwrap();
                prop_assert_eq!(n_open, at - last_end);
                if at == bytes.len() {
                    break;
                }
            }
        }
    }
}
