//! Certificates that may change while the server runs.
//!
//! A handshake takes the configuration that is current when it begins, so a new certificate, key or
//! authority holds from the next connection on, and those that are open keep theirs.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::certificate;
use crate::reload::{Files, ReloadError};
use crate::{ServeError, TlsFiles};

/// Which port a handshake is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsPort {
    Grpc,
    Http,
}

/// The certificates of now.
#[derive(Debug)]
pub(crate) struct Tls {
    files: TlsFiles,
    current: ArcSwap<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    grpc: Arc<ServerConfig>,
    http: Arc<ServerConfig>,
    not_after: i64,
}

impl Tls {
    /// Reads the files.
    pub(crate) fn open(files: TlsFiles) -> Result<Self, ServeError> {
        let loaded = load(&files, &Self::read(&files)?)?;
        Ok(Self { files, current: ArcSwap::from_pointee(loaded) })
    }

    /// The bytes of the files, certificate first.
    fn read(files: &TlsFiles) -> Result<Files, ReloadError> {
        Files::read(Self::paths_of(files))
    }

    fn paths_of(files: &TlsFiles) -> Vec<&Path> {
        let TlsFiles { certificate, key, client_ca, .. } = files;
        [Some(certificate), Some(key), client_ca.as_ref()]
            .into_iter()
            .flatten()
            .map(|path| path.as_path())
            .collect()
    }

    pub(crate) fn files(&self) -> Result<Files, ReloadError> {
        Self::read(&self.files)
    }

    /// Takes what the files say, or leaves everything as it is.
    pub(crate) fn take(&self, files: &Files) -> Result<(), ReloadError> {
        self.current.store(Arc::new(load(&self.files, files)?));
        Ok(())
    }

    /// What the next handshake uses.
    pub(super) fn config(&self, port: TlsPort) -> Arc<ServerConfig> {
        let current = self.current.load();
        Arc::clone(match port {
            TlsPort::Grpc => &current.grpc,
            TlsPort::Http => &current.http,
        })
    }

    /// Seconds since 1970 after which callers will refuse the certificate.
    pub(crate) fn not_after(&self) -> i64 {
        self.current.load().not_after
    }
}

fn load(files: &TlsFiles, contents: &Files) -> Result<Loaded, ReloadError> {
    let refuse = |path: &Path, detail: String| ReloadError::refused(path, detail);
    let chain = certificates(&files.certificate, contents)?;
    let first = chain.first().ok_or_else(|| {
        refuse(&files.certificate, "no certificate; expected PEM blocks CERTIFICATE".to_owned())
    })?;
    let leaf = certificate::read(first).map_err(|detail| refuse(&files.certificate, detail))?;
    if leaf.not_after <= crate::reload::now_seconds() {
        let detail = "the certificate has expired; have a new one issued".to_owned();
        return Err(refuse(&files.certificate, detail));
    }
    let key = PrivateKeyDer::from_pem_slice(contents.of(&files.key)).map_err(|error| {
        refuse(
            &files.key,
            format!("no private key ({error}); expected PEM, PKCS#8, SEC1 or PKCS#1"),
        )
    })?;
    let provider = Arc::new(ring::default_provider());
    let config = |port| {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| refuse(&files.certificate, error.to_string()))?;
        let builder = match &files.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let optional = files.client_optional || port == TlsPort::Http;
                builder.with_client_cert_verifier(verifier(path, contents, &provider, optional)?)
            }
        };
        let mut config = builder
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(|error| refuse(&files.key, format!("certificate and key: {error}")))?;
        config.alpn_protocols = match port {
            TlsPort::Grpc => vec![b"h2".to_vec()],
            TlsPort::Http => vec![b"http/1.1".to_vec()],
        };
        Ok::<_, ReloadError>(Arc::new(config))
    };
    let (grpc, http) = (config(TlsPort::Grpc)?, config(TlsPort::Http)?);
    Ok(Loaded { grpc, http, not_after: leaf.not_after })
}

fn verifier(
    path: &Path,
    contents: &Files,
    provider: &Arc<CryptoProvider>,
    optional: bool,
) -> Result<Arc<dyn tokio_rustls::rustls::server::danger::ClientCertVerifier>, ReloadError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(path, contents)? {
        roots.add(authority).map_err(|error| ReloadError::refused(path, error.to_string()))?;
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = if optional { builder.allow_unauthenticated() } else { builder };
    builder.build().map_err(|error| ReloadError::refused(path, error.to_string()))
}

fn certificates(
    path: &Path,
    contents: &Files,
) -> Result<Vec<CertificateDer<'static>>, ReloadError> {
    CertificateDer::pem_slice_iter(contents.of(path))
        .collect::<Result<_, _>>()
        .map_err(|error| ReloadError::refused(path, format!("not PEM: {error}")))
}
