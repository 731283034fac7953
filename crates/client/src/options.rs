//! How a client reaches the server, and what holds for every call.

use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::{Client, Error, RetryPolicy};

/// What a client is made with. [`Client::builder`] is where it starts.
#[derive(Debug, Clone)]
pub struct ClientBuilder {
    endpoints: Vec<String>,
    deadline: Duration,
    change_deadline: Duration,
    retry: RetryPolicy,
    tls: Option<TlsOptions>,
    bearer_key: Option<MetadataValue<Ascii>>,
    bad_key: bool,
    plaintext_key: bool,
    connect_timeout: Duration,
    max_message_bytes: usize,
}

/// Whom to trust, and who to be. Without anything set: the roots of the system, and nobody.
#[derive(Debug, Clone, Default)]
pub struct TlsOptions {
    ca_pem: Option<Vec<u8>>,
    identity_pem: Option<(Vec<u8>, Vec<u8>)>,
    server_name: Option<String>,
}

impl TlsOptions {
    /// The roots of the system.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trust these roots, in PEM, and no others.
    #[must_use]
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_pem = Some(pem.into());
        self
    }

    /// Show this certificate chain, with its private key, both in PEM: mutual TLS.
    #[must_use]
    pub fn identity_pem(
        mut self,
        certificates: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.identity_pem = Some((certificates.into(), key.into()));
        self
    }

    /// The name that the server's certificate must carry, if it is not that of the endpoint.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    fn config(&self) -> ClientTlsConfig {
        let mut config = match &self.ca_pem {
            Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        if let Some((certificates, key)) = &self.identity_pem {
            config = config.identity(Identity::from_pem(certificates, key));
        }
        if let Some(name) = &self.server_name {
            config = config.domain_name(name);
        }
        config
    }
}

impl ClientBuilder {
    pub(crate) fn new(endpoint: String) -> Self {
        Self {
            endpoints: vec![endpoint],
            deadline: Duration::from_secs(1),
            change_deadline: Duration::from_secs(30),
            retry: RetryPolicy::default(),
            tls: None,
            bearer_key: None,
            bad_key: false,
            plaintext_key: false,
            connect_timeout: Duration::from_secs(2),
            max_message_bytes: 64 << 20,
        }
    }

    /// One more server. Calls are spread over all; one that does not answer is left out until it does.
    #[must_use]
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoints.push(url.into());
        self
    }

    /// How long a call may take in all, unless it says otherwise. Default: 1 s.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same for calls that change the registry: a promotion loads and judges a version. Default:
    /// 30 s.
    #[must_use]
    pub fn change_deadline(mut self, deadline: Duration) -> Self {
        self.change_deadline = deadline;
        self
    }

    /// How often an UNAVAILABLE server is asked again.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Whom to trust on `https://` endpoints, and who to be.
    #[must_use]
    pub fn tls(mut self, options: TlsOptions) -> Self {
        self.tls = Some(options);
        self
    }

    /// The key that every call shows. Refused by [`connect`](Self::connect) if it would go over the
    /// network in plain text.
    #[must_use]
    pub fn bearer_key(mut self, key: &str) -> Self {
        match format!("Bearer {key}").parse::<MetadataValue<Ascii>>() {
            Ok(mut value) => {
                value.set_sensitive(true);
                self.bearer_key = Some(value);
            }
            Err(_) => self.bad_key = true,
        }
        self
    }

    /// Send the key although an `http://` endpoint is not this machine: something else encrypts.
    #[must_use]
    pub fn plaintext_key(mut self) -> Self {
        self.plaintext_key = true;
        self
    }

    /// How long the making of a connection may take. Default: 2 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Bytes that an answer may have. Default: 64 MiB.
    #[must_use]
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// The client. No connection is made before the first call needs it.
    ///
    /// Must be called within a tokio runtime, where the connections will live.
    ///
    /// # Errors
    /// [`Error::Option`] if an endpoint is no URL, a certificate cannot be read, the key has characters
    /// that no header takes, or it would be sent in plain text.
    pub fn connect(self) -> Result<Client, Error> {
        if self.bad_key {
            let expected = "printable ASCII characters".to_owned();
            return Err(Error::Option { option: "bearer_key", found: "(hidden)".into(), expected });
        }
        if self.retry.max_attempts == 0 {
            let expected = "at least 1".to_owned();
            return Err(Error::Option { option: "max_attempts", found: "0".into(), expected });
        }
        let endpoints: Vec<Endpoint> =
            self.endpoints.iter().map(|url| self.endpoint_of(url)).collect::<Result<_, _>>()?;
        let channel = match endpoints.as_slice() {
            [one] => one.connect_lazy(),
            _ => Channel::balance_list(endpoints.into_iter()),
        };
        Ok(Client::over(
            channel,
            self.bearer_key,
            self.deadline,
            self.change_deadline,
            self.retry,
            self.max_message_bytes,
        ))
    }

    fn endpoint_of(&self, url: &str) -> Result<Endpoint, Error> {
        let refused = |expected: String| Error::Option {
            option: "endpoint",
            found: url.to_owned(),
            expected,
        };
        let form = "expected http://HOST:PORT or https://HOST:PORT";
        let endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(|error| refused(format!("{error}; {form}")))?;
        let scheme = endpoint.uri().scheme_str();
        if !matches!(scheme, Some("http" | "https")) || endpoint.uri().host().is_none() {
            return Err(refused(form.to_owned()));
        }
        let is_tls = scheme == Some("https");
        if self.bearer_key.is_some() && !is_tls && !self.plaintext_key && !is_loopback(&endpoint) {
            return Err(refused(
                "the key would be sent in plain text; use https, or say plaintext_key() if \
                 something else encrypts"
                    .to_owned(),
            ));
        }
        if self.tls.is_some() && !is_tls {
            return Err(refused("TLS options need an https:// endpoint".to_owned()));
        }
        let endpoint = endpoint
            .user_agent(concat!("segue-client/", env!("CARGO_PKG_VERSION")))
            .map_err(|error| refused(error.to_string()))?
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .tcp_keepalive(Some(KEEPALIVE_INTERVAL))
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        if !is_tls {
            return Ok(endpoint);
        }
        let config = self.tls.clone().unwrap_or_default().config();
        endpoint.tls_config(config).map_err(|error| Error::Option {
            option: "tls",
            found: url.to_owned(),
            expected: with_causes(&error),
        })
    }
}

/// A connection that has died is found within half a minute, also while nothing is asked.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

fn is_loopback(endpoint: &Endpoint) -> bool {
    let host = endpoint.uri().host().unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
