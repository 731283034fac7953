//! The body of an answer, counted until it is on its way.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use axum::http::HeaderMap;
use hyper::body::{Body, Frame, SizeHint};
use tonic::{Code, Status};

use super::connection::{Connection, Unread};
use crate::ServingError;
use crate::guard::StreamEnd;
use crate::limits::{Limits, Permit};

/// What goes out.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Encoded already.
    Full(Full),
    /// Encoded as it is sent.
    Stream(Box<Streamed>),
}

/// Data, and what closes it.
#[derive(Debug, Default)]
pub(crate) struct Full {
    first: Option<Bytes>,
    /// Nearly always nothing.
    more: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
}

/// An answer whose parts are counted one by one, until it is over or its caller may no longer have it.
pub(crate) struct Streamed {
    body: tonic::body::Body,
    connection: Arc<Connection>,
    limits: Arc<Limits>,
    /// Lasts as long as the stream.
    _place: Option<StreamPlace>,
    lost: Option<Lost>,
    end: Option<StreamEnd>,
    is_over: bool,
}

/// Why a caller may no longer have what it has begun; pending for as long as it may.
pub(crate) type Lost = Pin<Box<dyn Future<Output = ServingError> + Send>>;

/// Its place among all streams of its kind, and among those of its connection.
pub(crate) type StreamPlace = (Permit, Permit);

impl fmt::Debug for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streamed").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}

impl Answer {
    pub(crate) fn stream(
        body: tonic::body::Body,
        connection: Arc<Connection>,
        limits: Arc<Limits>,
        place: Option<StreamPlace>,
        lost: Option<Lost>,
    ) -> Self {
        let (_place, end, is_over) = (place, None, false);
        let streamed = Streamed { body, connection, limits, _place, lost, end, is_over };
        Self::Stream(Box::new(streamed))
    }

    /// Has the end of a stream told; gives it back if this is none.
    pub(crate) fn tell_end(&mut self, end: StreamEnd) -> Option<StreamEnd> {
        match self {
            Self::Full(_) => Some(end),
            Self::Stream(streamed) => {
                streamed.end = Some(end);
                None
            }
        }
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

impl Streamed {
    fn next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        // First: a stream that always has something to say must not outlive the right to it.
        if let Some(lost) = &mut self.lost
            && let Poll::Ready(error) = lost.as_mut().poll(context)
        {
            return Poll::Ready(Some(Ok(self.cut(error))));
        }
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            Some(Err(status)) => {
                self.over(status.code());
                return Poll::Ready(Some(Err(status)));
            }
            None => {
                self.over(Code::Unknown);
                return Poll::Ready(None);
            }
        };
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(data) => match keep(&self.connection, data) {
                Ok(data) => Frame::data(data),
                Err(unread) => self.cut(self.limits.unread(unread)),
            },
            Err(frame) => {
                let status = frame.trailers_ref().and_then(Status::from_header_map);
                self.over(status.map_or(Code::Unknown, |status| status.code()));
                frame
            }
        })))
    }

    /// Ends here with an error.
    fn cut(&mut self, error: ServingError) -> Frame<Bytes> {
        let status = Status::from(error);
        self.over(status.code());
        self.is_over = true;
        // Whoever made it hears of it now, and not when the caller has read to the end.
        self.body = tonic::body::Body::empty();
        let mut trailers = HeaderMap::new();
        // Its parts are all fit for headers.
        drop(status.add_header(&mut trailers));
        Frame::trailers(trailers)
    }

    fn over(&mut self, code: Code) {
        self.lost = None;
        if let Some(end) = self.end.take() {
            end.tell(code);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.get_mut() {
            Self::Full(full) => {
                let data = full.first.take().or_else(|| full.more.pop_front()).map(Frame::data);
                let frame = data.or_else(|| full.trailers.take().map(Frame::trailers));
                Poll::Ready(frame.map(Ok))
            }
            Self::Stream(streamed) => streamed.next(context),
        }
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
