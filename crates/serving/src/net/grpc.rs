//! HTTP/2 for the gRPC port.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tower::Service;

use super::accept::{Port, Served};
use super::connection::Connection;
use super::io::Io;
use super::turn::InTurn;
use crate::guard::{Guard, Guarded};

/// Streams that a caller opened and took back before they were looked at; hyper's own default of 20
/// closes connections of callers with short deadlines.
const MAX_PENDING_RESETS: usize = 1024;

const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// What a caller may send before it is read. Handlers read at once, so that only requests that nobody
/// wants yet can fill it; one stream may, because a batch in several round trips is a slow batch.
const STREAM_WINDOW_BYTES: u32 = CONNECTION_WINDOW_BYTES;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;

/// What one stream may hold between its answer and the socket.
const SEND_BUFFER_BYTES: usize = 64 << 10;

type Http2<S> = http2::Connection<TokioIo<Io>, Guarded<S>, InTurn>;

impl<S> Served for Http2<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + Sync + Unpin + 'static,
    S::Future: Send,
{
    const BOUNDS_SILENCE: bool = false;

    fn close(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl Port {
    /// Answers gRPC with `service` behind the guard. At most `max_streams` a connection.
    pub(crate) async fn serve_grpc<S>(
        self,
        service: S,
        guard: Arc<Guard>,
        max_streams: u32,
        closing: watch::Receiver<bool>,
    ) where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S: Clone + Send + Sync + Unpin + 'static,
        S::Future: Send,
    {
        let max_header_bytes = self.options.max_header_bytes;
        let begin = move |io, connection: Arc<Connection>| {
            let mut http2 = http2::Builder::new(InTurn(Arc::clone(&connection)));
            http2
                .timer(TokioTimer::new())
                .keep_alive_interval(KEEPALIVE_INTERVAL)
                .keep_alive_timeout(KEEPALIVE_TIMEOUT)
                .max_concurrent_streams(max_streams)
                .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
                .max_header_list_size(max_header_bytes)
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .max_send_buf_size(SEND_BUFFER_BYTES)
                // Nobody reads it, and every answer would carry it.
                .auto_date_header(false);
            let guarded = Guarded::new(service.clone(), Arc::clone(&guard), connection);
            http2.serve_connection(TokioIo::new(io), guarded)
        };
        self.serve(closing, begin).await;
    }
}
