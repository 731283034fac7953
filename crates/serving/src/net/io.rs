//! A socket, encrypted or not, whose bytes go out once a turn.
//!
//! HTTP/2 hands every answer to the socket as soon as it is encoded, which is a call of the system an
//! answer. Here a turn of the connection, in which a dozen requests may have been read and answered,
//! ends with one.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::connection::Connection;

/// What bytes go over.
#[derive(Debug)]
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A socket that tells its [`Connection`] when the caller has said something. hyper has one handle and
/// reads and writes; the driver of the connection has the other and sends what was written.
#[derive(Debug, Clone)]
pub(super) struct Io(Arc<Mutex<Wire>>);

#[derive(Debug)]
struct Wire {
    socket: Socket,
    /// Written and not yet sent: from `n_sent` on.
    held: Vec<u8>,
    n_sent: usize,
    /// Bytes that were ever held and sent.
    n_sent_ever: u64,
    /// Why sending failed, for whoever asks next.
    failure: Option<io::Error>,
    /// Bytes of the HTTP/2 preface that are not there yet.
    n_silent: usize,
    connection: Arc<Connection>,
}

/// `PRI * HTTP/2.0` and what belongs to it.
const PREFACE_BYTES: usize = 24;

/// Most that is held back. What is larger goes to the socket as it comes.
const HELD_BYTES: usize = 16 << 10;

impl Io {
    pub(super) fn new(socket: Socket, connection: Arc<Connection>) -> Self {
        Self(Arc::new(Mutex::new(Wire {
            socket,
            held: Vec::new(),
            n_sent: 0,
            n_sent_ever: 0,
            failure: None,
            n_silent: PREFACE_BYTES,
            connection,
        })))
    }

    /// Sends what was written; whoever waits is woken when there is room for more. An error is also
    /// told to the next who reads or writes.
    pub(super) fn poll_send(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.wire();
        let sent = ready!(wire.poll_send(context));
        if let Err(error) = &sent {
            wire.failure = Some(error.kind().into());
            wire.held.clear();
            wire.n_sent = 0;
        }
        Poll::Ready(sent)
    }

    /// If the socket has no room for what was written: how much has been sent before.
    pub(super) fn held_at(&self) -> Option<u64> {
        let wire = self.wire();
        (!wire.held.is_empty()).then_some(wire.n_sent_ever)
    }

    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Socket {
    /// As a reader and writer of either kind.
    fn pinned(&mut self) -> Pin<&mut dyn ReadWrite> {
        match self {
            Self::Plain(socket) => Pin::new(socket),
            Self::Tls(socket) => Pin::new(&mut **socket),
        }
    }
}

/// Both sides of a socket.
trait ReadWrite: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> ReadWrite for T {}

impl Wire {
    fn check(&mut self) -> io::Result<()> {
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Empties `held` into the socket.
    fn poll_empty(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.n_sent < self.held.len() {
            let rest = &self.held[self.n_sent..];
            let n = ready!(self.socket.pinned().poll_write(context, rest))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.n_sent += n;
            self.n_sent_ever += n as u64;
        }
        self.held.clear();
        self.n_sent = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_empty(context))?;
        // TLS has a buffer of its own, which may be left when nothing is held any more, and which takes
        // what was too large to be held.
        self.socket.pinned().poll_flush(context)
    }

    /// Whether so many bytes are to be held back; makes room for them first.
    fn poll_room(&mut self, context: &mut Context<'_>, n_bytes: usize) -> Poll<io::Result<bool>> {
        self.check()?;
        if self.held.len() + n_bytes > HELD_BYTES {
            ready!(self.poll_empty(context))?;
        }
        Poll::Ready(Ok(n_bytes <= HELD_BYTES))
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut wire = self.wire();
        wire.check()?;
        if !wire.connection.may_read() {
            // Behind those that are ready now.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(wire.socket.pinned().poll_read(context, buffer))?;
        let n_bytes = buffer.filled().len() - before;
        wire.connection.has_read(n_bytes);
        if wire.n_silent > 0 {
            wire.n_silent = wire.n_silent.saturating_sub(n_bytes);
            if wire.n_silent == 0 {
                wire.connection.has_spoken.store(true, Ordering::Relaxed);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut wire = self.wire();
        if ready!(wire.poll_room(context, bytes.len()))? {
            wire.held.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        wire.socket.pinned().poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut wire = self.wire();
        let n_bytes = parts.iter().map(|part| part.len()).sum();
        if ready!(wire.poll_room(context, n_bytes))? {
            parts.iter().for_each(|part| wire.held.extend_from_slice(part));
            return Poll::Ready(Ok(n_bytes));
        }
        wire.socket.pinned().poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// The end of the turn sends.
    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.wire().check())
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.wire();
        wire.check()?;
        ready!(wire.poll_empty(context))?;
        wire.socket.pinned().poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::{Wake, Waker};

    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::super::connection::{Budgets, Turn};
    use super::*;
    use crate::ServeOptions;

    /// A socket over loopback, as both of its ends.
    async fn pair() -> (Io, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let caller = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, peer) = listener.accept().await.unwrap();
        let budgets = Arc::new(Budgets::new(&ServeOptions::default()));
        let connection = Arc::new(Connection::new(peer, None, budgets));
        connection.begin_turn(Turn { n_requests: 0, n_bytes: usize::MAX });
        (Io::new(Socket::Plain(socket), connection), caller)
    }

    /// The same, encrypted.
    async fn tls_pair() -> (Io, tokio_rustls::client::TlsStream<TcpStream>) {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = certified.cert.der().clone();
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let server = server.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let server = server.with_single_cert(vec![certificate.clone()], key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = ClientConfig::builder_with_provider(provider);
        let client = client.with_safe_default_protocol_versions().unwrap();
        let client = client.with_root_certificates(roots).with_no_client_auth();

        let (Io(wire), caller) = pair().await;
        let Wire { socket, connection, .. } = Arc::into_inner(wire).unwrap().into_inner().unwrap();
        let Socket::Plain(socket) = socket else { unreachable!() };
        let name = ServerName::try_from("localhost").unwrap();
        let (socket, caller) = tokio::join!(
            TlsAcceptor::from(Arc::new(server)).accept(socket),
            TlsConnector::from(Arc::new(client)).connect(name, caller),
        );
        (Io::new(Socket::Tls(Box::new(socket.unwrap())), connection), caller.unwrap())
    }

    /// Writes everything, as hyper does; `in_parts` as a vector of two.
    async fn write(io: &mut Io, mut bytes: &[u8], in_parts: bool) -> io::Result<()> {
        while !bytes.is_empty() {
            let (first, second) = bytes.split_at(bytes.len() / 3);
            let parts = [IoSlice::new(first), IoSlice::new(second)];
            let n = std::future::poll_fn(|context| {
                let io = Pin::new(&mut *io);
                if in_parts {
                    io.poll_write_vectored(context, &parts)
                } else {
                    io.poll_write(context, bytes)
                }
            });
            bytes = &bytes[n.await?..];
        }
        Ok(())
    }

    async fn send(io: &Io) -> io::Result<()> {
        std::future::poll_fn(|context| io.poll_send(context)).await
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

        /// Whatever is held back and whatever is not, the caller reads what was written.
        #[test]
        fn bytes_come_in_their_order(
            writes in prop::collection::vec((0_usize..40_000, any::<bool>(), any::<bool>()), 1..30),
        ) {
            let expected: Vec<u8> =
                (0..writes.iter().map(|one| one.0).sum()).map(|n: usize| (n % 251) as u8).collect();
            let read = runtime().block_on(async {
                let (mut io, mut caller) = pair().await;
                let written = async {
                    let mut rest = &expected[..];
                    for (n_bytes, in_parts, is_end_of_turn) in &writes {
                        let (now, later) = rest.split_at(*n_bytes);
                        write(&mut io, now, *in_parts).await.unwrap();
                        rest = later;
                        if *is_end_of_turn {
                            send(&io).await.unwrap();
                        }
                    }
                    std::future::poll_fn(|context| Pin::new(&mut io).poll_shutdown(context)).await
                };
                let mut read = Vec::new();
                let (written, n_read) = tokio::join!(written, caller.read_to_end(&mut read));
                written.unwrap();
                n_read.unwrap();
                read
            });
            prop_assert!(read == expected);
        }
    }

    #[tokio::test]
    async fn a_turn_is_one_piece_and_nothing_goes_before_its_end() {
        let (mut io, mut caller) = pair().await;
        for _ in 0..100 {
            write(&mut io, b"answer", false).await.unwrap();
            std::future::poll_fn(|context| Pin::new(&mut io).poll_flush(context)).await.unwrap();
        }
        assert_eq!(io.held_at(), Some(0));
        assert!(caller.try_read(&mut [0; 10]).is_err(), "nothing was sent yet");
        send(&io).await.unwrap();
        assert_eq!(io.held_at(), None);
        let mut read = [0; 600];
        caller.read_exact(&mut read).await.unwrap();
        assert_eq!(read, *b"answer".repeat(100));
        // By this is known that a caller who reads slowly does read.
        write(&mut io, b"more", true).await.unwrap();
        assert_eq!(io.held_at(), Some(600));
    }

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Else who sends megabytes would have the thread to itself for as long as there are more of them.
    #[tokio::test]
    async fn a_turn_reads_so_many_bytes_and_asks_for_another() {
        let (mut io, mut caller) = pair().await;
        let sent: Vec<u8> = (0..=255).cycle().take(3000).collect();
        caller.write_all(&sent).await.unwrap();
        std::future::poll_fn(|context| {
            let Socket::Plain(socket) = &io.wire().socket else { unreachable!() };
            socket.poll_read_ready(context)
        })
        .await
        .unwrap();
        let connection = Arc::clone(&io.wire().connection);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        let mut read = Vec::new();
        for n_turns in 1..=3 {
            connection.begin_turn(Turn { n_requests: 0, n_bytes: 1000 });
            for _ in 0..2 {
                let mut part = [0; 600];
                let mut buffer = ReadBuf::new(&mut part);
                let outcome = Pin::new(&mut io).poll_read(&mut context, &mut buffer);
                assert!(outcome.is_ready(), "{n_turns}");
                read.extend_from_slice(buffer.filled());
                assert_eq!(woken.0.load(Ordering::Relaxed), n_turns - 1);
                if read.len() == sent.len() {
                    assert_eq!(read, sent);
                    return;
                }
            }
            let mut part = [0; 600];
            let outcome = Pin::new(&mut io).poll_read(&mut context, &mut ReadBuf::new(&mut part));
            assert!(outcome.is_pending());
            assert_eq!(woken.0.load(Ordering::Relaxed), n_turns);
        }
        panic!("{} bytes came", read.len());
    }

    #[tokio::test]
    async fn what_is_larger_than_the_room_is_not_held() {
        for in_parts in [false, true] {
            let (mut io, mut caller) = pair().await;
            write(&mut io, &[7; HELD_BYTES - 1], in_parts).await.unwrap();
            write(&mut io, &[7], in_parts).await.unwrap();
            assert_eq!((io.held_at(), io.wire().held.len()), (Some(0), HELD_BYTES));
            // One more, and what was held goes first.
            write(&mut io, &[8], in_parts).await.unwrap();
            let held_at = Some(HELD_BYTES as u64);
            assert_eq!((io.held_at(), io.wire().held.len()), (held_at, 1));
            write(&mut io, &[9; HELD_BYTES + 1], in_parts).await.unwrap();
            assert_eq!(io.held_at(), None);
            let mut read = vec![0; 2 * HELD_BYTES + 2];
            caller.read_exact(&mut read).await.unwrap();
            assert_eq!(read[HELD_BYTES - 1..=HELD_BYTES + 1], [7, 8, 9]);
        }
    }

    #[tokio::test]
    async fn what_a_caller_has_no_room_for_is_told_and_bounded() {
        let (mut io, mut caller) = pair().await;
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut n_written = 0;
        // Until the system's own buffers are full.
        while let Poll::Ready(n) = Pin::new(&mut io).poll_write(&mut context, &[7; 1000]) {
            n_written += n.unwrap();
        }
        let before = io.held_at().expect("bytes are held");
        assert!(io.poll_send(&mut context).is_pending());
        assert_eq!(io.held_at(), Some(before), "stuck");
        assert!(io.wire().held.len() <= HELD_BYTES);
        let mut read = vec![0; n_written];
        let (sent, n_read) = tokio::join!(send(&io), caller.read_exact(&mut read));
        assert_eq!((sent.unwrap(), n_read.unwrap()), ((), n_written));
        assert_eq!(io.held_at(), None);
    }

    /// Nobody else empties the buffer that TLS has: without it, a caller who reads slowly would wait for
    /// the end of an answer until there is another one.
    #[tokio::test]
    async fn what_tls_has_taken_is_sent_too() {
        // What is held, and what is too large for it.
        for n_bytes in [1000, HELD_BYTES + 1] {
            let (mut io, mut caller) = tls_pair().await;
            let mut context = Context::from_waker(std::task::Waker::noop());
            let mut n_written = 0;
            // Until the system's own buffers are full.
            while io.poll_send(&mut context).is_ready() {
                let written = Pin::new(&mut io).poll_write(&mut context, &vec![7; n_bytes]);
                let Poll::Ready(n) = written else { break };
                n_written += n.unwrap();
            }
            let mut read = vec![0; n_written];
            let both = async { tokio::join!(send(&io), caller.read_exact(&mut read)) };
            let both = tokio::time::timeout(std::time::Duration::from_secs(20), both).await;
            let (sent, n_read) = both.unwrap_or_else(|_| panic!("{n_bytes}: some never came"));
            assert_eq!((sent.unwrap(), n_read.unwrap()), ((), n_written));
        }
    }

    /// Something that hyper does.
    type Ask = fn(&mut Io, &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whatever hyper does next: the socket itself may be well.
    #[tokio::test]
    async fn a_failure_is_told_once_and_whatever_is_asked() {
        let asks: [Ask; 5] = [
            |io, context| Pin::new(io).poll_read(context, &mut ReadBuf::new(&mut [0; 8])),
            |io, context| Pin::new(io).poll_write(context, b"x").map_ok(drop),
            |io, context| {
                Pin::new(io).poll_write_vectored(context, &[IoSlice::new(b"x")]).map_ok(drop)
            },
            |io, context| Pin::new(io).poll_flush(context),
            |io, context| Pin::new(io).poll_shutdown(context),
        ];
        for (index, ask) in asks.into_iter().enumerate() {
            let (mut io, _caller) = pair().await;
            let mut context = Context::from_waker(std::task::Waker::noop());
            io.wire().failure = Some(io::ErrorKind::TimedOut.into());
            let told = ask(&mut io, &mut context);
            let Poll::Ready(Err(error)) = told else { panic!("{index}: {told:?}") };
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{index}");
            assert!(!matches!(ask(&mut io, &mut context), Poll::Ready(Err(_))), "{index}");
        }
    }

    #[tokio::test]
    async fn a_failure_to_send_is_told_to_the_next_who_asks() {
        let (mut io, caller) = pair().await;
        // With bytes unread, the socket's end is a reset.
        write(&mut io, b"unread", false).await.unwrap();
        send(&io).await.unwrap();
        drop(caller);
        loop {
            write(&mut io, b"more", false).await.unwrap();
            if send(&io).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(io.held_at(), None, "it is not tried again");
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut buffer = [0; 8];
        let mut buffer = ReadBuf::new(&mut buffer);
        let read = Pin::new(&mut io).poll_read(&mut context, &mut buffer);
        assert!(matches!(read, Poll::Ready(Err(_))), "{read:?}");
    }
}
