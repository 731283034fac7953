//! The body of an answer, counted until it is on its way.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::HeaderMap;
use hyper::body::{Body, Frame, SizeHint};
use tonic::Status;

use super::connection::{Connection, Unread};
use crate::ServingError;
use crate::limits::Permit;

/// What goes out.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Encoded already.
    Full(Full),
    /// Encoded as it is sent.
    Stream(Streamed),
}

/// Data, and what closes it.
#[derive(Debug, Default)]
pub(crate) struct Full {
    first: Option<Bytes>,
    /// Nearly always nothing.
    more: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
}

/// An answer whose parts are counted one by one.
#[derive(Debug)]
pub(crate) struct Streamed {
    body: tonic::body::Body,
    connection: Arc<Connection>,
    retry_after: Duration,
    /// Lasts as long as the stream.
    _permit: Option<Permit>,
    is_over: bool,
}

impl Answer {
    pub(crate) fn stream(
        body: tonic::body::Body,
        connection: Arc<Connection>,
        retry_after: Duration,
        permit: Option<Permit>,
    ) -> Self {
        Self::Stream(Streamed { body, connection, retry_after, _permit: permit, is_over: false })
    }

    /// Nothing but headers.
    pub(crate) fn empty() -> Self {
        Self::Full(Full::default())
    }

    /// A short body that is in memory.
    pub(crate) async fn uncounted<B: Body<Data = Bytes> + Unpin>(mut body: B) -> Self {
        let first = match next(&mut body).await {
            Some(Ok(frame)) => frame.into_data().ok(),
            _ => None,
        };
        Self::Full(Full { first, ..Full::default() })
    }
}

/// Reads a body to its end, here and now, so that what it holds is encoded under the permit of its
/// request, and so that its size is known.
pub(crate) async fn full<B>(body: B, connection: &Arc<Connection>) -> Result<Answer, Unread>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut body = body;
    let mut full = Full::default();
    while let Some(frame) = next(&mut body).await {
        // Bodies of answers are in memory: they have nothing that could fail.
        let Ok(frame) = frame else { break };
        match frame.into_data() {
            Ok(data) => {
                let data = keep(connection, data)?;
                if full.first.is_none() {
                    full.first = Some(data);
                } else {
                    full.more.push_back(data);
                }
            }
            Err(frame) => full.trailers = frame.into_trailers().ok(),
        }
    }
    Ok(Answer::Full(full))
}

async fn next<B: Body + Unpin>(body: &mut B) -> Option<Result<Frame<B::Data>, B::Error>> {
    std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await
}

fn keep(connection: &Arc<Connection>, data: Bytes) -> Result<Bytes, Unread> {
    if data.is_empty() { Ok(data) } else { connection.keep(data) }
}

fn overloaded(unread: Unread, retry_after: Duration) -> ServingError {
    let Unread { what, limit } = unread;
    ServingError::Overloaded { what, limit, retry_after }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let streamed = match self.get_mut() {
            Self::Full(full) => {
                let data = full.first.take().or_else(|| full.more.pop_front()).map(Frame::data);
                let frame = data.or_else(|| full.trailers.take().map(Frame::trailers));
                return Poll::Ready(frame.map(Ok));
            }
            Self::Stream(streamed) => streamed,
        };
        if streamed.is_over {
            return Poll::Ready(None);
        }
        let Some(frame) = ready!(Pin::new(&mut streamed.body).poll_frame(context)).transpose()?
        else {
            return Poll::Ready(None);
        };
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => return Poll::Ready(Some(Ok(frame))),
        };
        let frame = keep(&streamed.connection, data).map_or_else(
            |unread| {
                streamed.is_over = true;
                let status = Status::from(overloaded(unread, streamed.retry_after));
                let mut trailers = HeaderMap::new();
                // Its parts are all fit for headers.
                drop(status.add_header(&mut trailers));
                Frame::trailers(trailers)
            },
            Frame::data,
        );
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(Full { first, more, trailers }) => {
                first.is_none() && more.is_empty() && trailers.is_none()
            }
            Self::Stream(streamed) => streamed.is_over || streamed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(full) => {
                let data = full.first.iter().chain(&full.more);
                SizeHint::with_exact(data.map(|data| data.len() as u64).sum())
            }
            Self::Stream(streamed) => streamed.body.size_hint(),
        }
    }
}
