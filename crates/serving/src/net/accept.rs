//! The loop that takes connections, the same for both ports.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::certificate::{self, PeerCertificate};
use super::connection::{Budgets, Connection, Turn};
use super::io::{Io, Socket};
use super::tls::{Tls, TlsPort};
use crate::NetOptions;
use crate::guard::AUDIT_TARGET;
use crate::metrics::{ConnectionLabels, Metrics, PortLabels};

/// A bound socket, and what its connections may do.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) name: &'static str,
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<(Arc<Tls>, TlsPort)>,
    pub(crate) max_connections: usize,
    /// Requests that all connections together may answer in their turns.
    pub(crate) max_in_turn: usize,
    pub(crate) options: NetOptions,
    pub(crate) budgets: Arc<Budgets>,
    pub(crate) metrics: Arc<Metrics>,
}

/// A connection of hyper's, whatever its protocol.
pub(super) trait Served: Future<Output = hyper::Result<()>> + Send {
    /// Answers what was asked, and takes no more.
    fn close(self: Pin<&mut Self>);
    /// Whether the protocol itself bounds the time until the caller says something.
    const BOUNDS_SILENCE: bool;
}

/// Waits after a failure to accept, which is mostly that there are no more file descriptors: they
/// come back when connections close.
const PAUSE: Duration = Duration::from_millis(50);

impl Port {
    /// Serves every connection with what `begin` makes of it, until `closing` is true and the last
    /// one is over. Dropping this ends them all.
    pub(super) async fn serve<S: Served + 'static>(
        self,
        mut closing: watch::Receiver<bool>,
        begin: impl Fn(Io, Arc<Connection>) -> S + Clone + Send + Sync + 'static,
    ) {
        let Self { name, listener, tls, options, budgets, metrics, .. } = self;
        let max_connections = self.max_connections.min(Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(max_connections));
        let turns =
            Turns { max_in_turn: self.max_in_turn, max_connections, places: Arc::clone(&places) };
        let keeper = Keeper { name, tls, turns, options, budgets, metrics };
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => break,
                Some(over) = connections.join_next() => {
                    keeper.count_panic(over);
                    continue;
                }
                accepted = listener.accept() => accepted,
            };
            let (socket, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    keeper.refused("accept_error");
                    tracing::warn!(port = name, %error, "cannot accept a connection");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            // Closed at once, so that the caller knows, and can go elsewhere.
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                keeper.refused("too_many");
                continue;
            };
            let (keeper, begin, closing) = (keeper.clone(), begin.clone(), closing.clone());
            connections.spawn(keeper.keep(socket, peer, place, closing, begin));
        }
        // New callers get a reset instead of a queue that nobody looks at.
        drop(listener);
        while let Some(over) = connections.join_next().await {
            keeper.count_panic(over);
        }
    }
}

/// How much a connection may do in a turn.
#[derive(Debug, Clone)]
struct Turns {
    max_in_turn: usize,
    max_connections: usize,
    places: Arc<Semaphore>,
}

/// Most requests of one turn: other tasks wait for its end.
const MAX_TURN: usize = 16;

/// Bytes that all connections together may read while one waits for its turn, unless they are so many
/// that each reads [`MIN_TURN_BYTES`].
const TURNS_BYTES: usize = 2 << 20;

/// Fewer are not worth a turn.
const MIN_TURN_BYTES: usize = 64 << 10;

impl Turns {
    /// Less the more connections there are: who sends a row behind a crowd that sends megabytes waits for
    /// a part of each, and what waits for other connections' turns stays bounded like what has a permit.
    fn next(&self) -> Turn {
        let n_open = (self.max_connections - self.places.available_permits()).max(1);
        Turn {
            n_requests: (self.max_in_turn / n_open).min(MAX_TURN),
            n_bytes: (TURNS_BYTES / n_open).max(MIN_TURN_BYTES),
        }
    }
}

/// What every connection of a port shares.
#[derive(Debug, Clone)]
struct Keeper {
    name: &'static str,
    tls: Option<(Arc<Tls>, TlsPort)>,
    turns: Turns,
    options: NetOptions,
    budgets: Arc<Budgets>,
    metrics: Arc<Metrics>,
}

impl Keeper {
    async fn keep<S: Served>(
        self,
        socket: TcpStream,
        peer: SocketAddr,
        _place: OwnedSemaphorePermit,
        closing: watch::Receiver<bool>,
        begin: impl Fn(Io, Arc<Connection>) -> S,
    ) {
        let open =
            self.metrics.net.connections.get_or_create_owned(&PortLabels { port: self.name });
        let _open = Open::new(open);
        // Answers are small; a socket that cannot take the option is still one.
        drop(socket.set_nodelay(true));
        let Some((socket, certificate)) = self.secured(socket, peer).await else { return };
        let connection = Connection::new(peer, certificate, Arc::clone(&self.budgets));
        let connection = Arc::new(connection);
        let io = Io::new(socket, Arc::clone(&connection));
        let served = begin(io.clone(), Arc::clone(&connection));
        self.drive(served, &io, &connection, closing).await;
    }

    /// The socket after its handshake, if there is to be one.
    async fn secured(
        &self,
        socket: TcpStream,
        peer: SocketAddr,
    ) -> Option<(Socket, Option<PeerCertificate>)> {
        let Some((tls, port)) = &self.tls else { return Some((Socket::Plain(socket), None)) };
        let handshake = TlsAcceptor::from(tls.config(*port)).accept(socket);
        let stream = match tokio::time::timeout(self.options.header_timeout, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                self.refused("tls_failed");
                tracing::debug!(port = self.name, %peer, %error, "no TLS handshake");
                return None;
            }
            Err(_elapsed) => {
                self.refused("tls_timeout");
                return None;
            }
        };
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let certificate = match shown.map(certificate::read).transpose() {
            Ok(certificate) => certificate,
            Err(error) => {
                self.refused("tls_failed");
                tracing::debug!(port = self.name, %peer, error, "unreadable certificate");
                return None;
            }
        };
        Some((Socket::Tls(Box::new(stream)), certificate))
    }

    /// Polls the connection to its end, and ends it if its caller is silent or does not read.
    async fn drive<S: Served>(
        &self,
        served: S,
        io: &Io,
        connection: &Connection,
        mut closing: watch::Receiver<bool>,
    ) {
        let mut served = std::pin::pin!(served);
        let mut is_closing = false;
        let NetOptions { header_timeout, answer_timeout, .. } = self.options;
        let mut spoke = S::BOUNDS_SILENCE;
        let first = if spoke { answer_timeout } else { header_timeout };
        let mut clock = std::pin::pin!(tokio::time::sleep(first));
        // What was held back at the last look of the clock.
        let mut held = None;
        loop {
            tokio::select! {
                biased;
                outcome = self.turns(served.as_mut(), io, connection) => {
                    if let Err(error) = outcome {
                        let peer = connection.peer;
                        let names = connection.certificate.as_ref().map(|shown| &shown.names);
                        tracing::debug!(port = self.name, %peer, ?names, %error, "connection ended");
                    }
                    return;
                }
                _ = closing.wait_for(|closing| *closing), if !is_closing => {
                    is_closing = true;
                    served.as_mut().close();
                }
                () = clock.as_mut() => {
                    if !spoke {
                        if !connection.has_spoken.load(Ordering::Relaxed) {
                            return self.cut("silent", connection);
                        }
                        spoke = true;
                    } else if !connection.next_round() || is_stuck(io, &mut held) {
                        return self.cut("answer_unread", connection);
                    }
                    clock.as_mut().reset(tokio::time::Instant::now() + answer_timeout);
                }
            }
        }
    }

    /// Turn by turn: what has come is read and answered, then everything is sent.
    async fn turns<S: Served>(
        &self,
        mut served: Pin<&mut S>,
        io: &Io,
        connection: &Connection,
    ) -> hyper::Result<()> {
        std::future::poll_fn(|context| {
            loop {
                connection.begin_turn(self.turns.next());
                let outcome = served.as_mut().poll(context);
                match io.poll_send(context) {
                    // It is to hear of it at once.
                    Poll::Ready(Err(_failure)) if outcome.is_pending() => {}
                    _ => return outcome,
                }
            }
        })
        .await
    }

    /// Handlers catch their own; this one was beside them and has taken its connection along.
    fn count_panic(&self, over: Result<(), JoinError>) {
        if over.is_err_and(|error| error.is_panic()) {
            self.metrics.requests.panics.inc();
        }
    }

    fn refused(&self, reason: &'static str) {
        let labels = ConnectionLabels { port: self.name, reason };
        self.metrics.net.refused.get_or_create(&labels).inc();
    }

    fn cut(&self, reason: &'static str, connection: &Connection) {
        let labels = ConnectionLabels { port: self.name, reason };
        self.metrics.net.cut.get_or_create(&labels).inc();
        let peer = connection.peer;
        tracing::warn!(target: AUDIT_TARGET, port = self.name, %peer, reason, "connection cut");
    }
}

/// Whether bytes have been held back since the last look and none has gone.
fn is_stuck(io: &Io, last: &mut Option<u64>) -> bool {
    let before = std::mem::replace(last, io.held_at());
    before.is_some() && *last == before
}

/// Counts a connection while it is there.
struct Open(prometheus_client::metrics::gauge::Gauge);

impl Open {
    fn new(gauge: prometheus_client::metrics::gauge::Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_connections_the_shorter_their_turns() {
        let places = Arc::new(Semaphore::new(1000));
        let turns = Turns { max_in_turn: 64, max_connections: 1000, places: Arc::clone(&places) };
        let with = |n_open: u32| {
            let _open = places.try_acquire_many(n_open).unwrap();
            let Turn { n_requests, n_bytes } = turns.next();
            (n_requests, n_bytes)
        };
        assert_eq!(with(1), (MAX_TURN, TURNS_BYTES));
        assert_eq!(with(8), (8, TURNS_BYTES / 8));
        assert_eq!(with(41), (1, MIN_TURN_BYTES));
        assert_eq!(with(1000), (0, MIN_TURN_BYTES));
    }
}
