//! Settings of connections, TLS and access.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::ServeError;

/// How many connections there may be, and what each may hold and wait for.
#[derive(Debug, Clone)]
pub struct NetOptions {
    /// Connections of the gRPC port at once, at least 1; what comes above is closed at once.
    pub max_connections: usize,
    /// Connections of the HTTP port at once, at least 1; what comes above is closed at once.
    pub max_http_connections: usize,
    /// The longest that a TLS handshake may take, and after it the first bytes of HTTP/2, or the
    /// headers of an HTTP/1 request. Idle connections of the HTTP port are closed after it too.
    pub header_timeout: Duration,
    /// Answers must be taken within this time; a connection that leaves one for longer is closed,
    /// after at most twice the time.
    pub answer_timeout: Duration,
    /// A stream of requests of which nothing whole has come for so long is ended: it holds a place of
    /// others.
    pub max_stream_silence: Duration,
    /// Bytes of answers that the callers of one connection have not taken; above, new requests of
    /// the connection are refused. One answer always fits.
    pub max_unread_bytes_per_connection: usize,
    /// The same of all connections together.
    pub max_unread_bytes: usize,
    /// Bytes of requests being received, of all connections together.
    pub max_request_bytes: usize,
    /// Bytes of the headers of a request, at least 1024.
    pub max_header_bytes: u32,
    /// Certificates of both ports; without them there is no TLS.
    pub tls: Option<TlsFiles>,
}

/// PEM files of TLS. They are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and after it those of the authorities between it and the root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities whose certificates callers must show on the gRPC port, and may show on the
    /// other.
    pub client_ca: Option<PathBuf>,
    /// Whether callers of the gRPC port may come without a certificate although there is a
    /// [`client_ca`](Self::client_ca).
    pub client_optional: bool,
}

/// Who may do what.
#[derive(Debug, Clone)]
pub struct AccessOptions {
    /// The access file. Without one everybody who can connect may do everything.
    pub file: Option<PathBuf>,
    /// Whether `/metrics` is shown to everybody. Otherwise it needs the role viewer, if there is an
    /// access file.
    pub open_metrics: bool,
    /// How often certificates and the access file are looked at, 1 ms or more.
    pub reload_interval: Duration,
    /// Has them looked at now.
    pub reload: ReloadSignal,
}

impl Default for NetOptions {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_http_connections: 256,
            header_timeout: Duration::from_secs(20),
            answer_timeout: Duration::from_secs(30),
            max_stream_silence: Duration::from_secs(600),
            max_unread_bytes_per_connection: 16 << 20,
            max_unread_bytes: 256 << 20,
            max_request_bytes: 256 << 20,
            max_header_bytes: 16 << 10,
            tls: None,
        }
    }
}

impl Default for AccessOptions {
    fn default() -> Self {
        Self {
            file: None,
            open_metrics: false,
            reload_interval: Duration::from_secs(10),
            reload: ReloadSignal::default(),
        }
    }
}

impl NetOptions {
    pub(super) fn check(&self) -> Result<(), ServeError> {
        let headers = self.max_header_bytes as usize;
        for (option, found, least, expected) in [
            ("max_connections", self.max_connections, 1, "at least 1"),
            ("max_http_connections", self.max_http_connections, 1, "at least 1"),
            ("max_unread_bytes", self.max_unread_bytes, 1, "at least 1"),
            ("max_request_bytes", self.max_request_bytes, 1024, "at least 1024"),
            ("max_header_bytes", headers, 1024, "at least 1024"),
        ] {
            if found < least {
                return Err(ServeError::Option { option, found: found.to_string(), expected });
            }
        }
        for (option, found) in [
            ("header_timeout", self.header_timeout),
            ("answer_timeout", self.answer_timeout),
            ("max_stream_silence", self.max_stream_silence),
        ] {
            if found < Duration::from_millis(1) {
                let found = format!("{found:?}");
                return Err(ServeError::Option { option, found, expected: "at least 1 ms" });
            }
        }
        Ok(())
    }
}

/// A wish that files be read again now, from whoever holds a clone.
#[derive(Debug, Clone)]
pub struct ReloadSignal(Arc<watch::Sender<u64>>);

impl Default for ReloadSignal {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl ReloadSignal {
    /// Asks for it. The files are read soon, and once for any number of wishes before that.
    pub fn now(&self) {
        self.0.send_modify(|n_asked| *n_asked += 1);
    }

    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}
