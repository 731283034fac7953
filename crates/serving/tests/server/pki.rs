//! Authorities, certificates and connections for tests of TLS and of access.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType,
};
use segue_registry::Registry;
use segue_serving::{ServeOptions, TlsFiles};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::health_check_response::ServingStatus;

use crate::harness::TestServer;

/// Who signs.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub(crate) struct Certified {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) der: CertificateDer<'static>,
    pub(crate) key_der: Vec<u8>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// For a server on this machine, until the end of `year`.
    pub(crate) fn server(&self, year: i32) -> Certified {
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth, year)
    }

    /// For a caller with a URI as its name.
    pub(crate) fn client(&self, uri: &str) -> Certified {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        self.sign(params, ExtendedKeyUsagePurpose::ClientAuth, 2999)
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
        year: i32,
    ) -> Certified {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 12, 31);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Certified {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().clone(),
            key_der: key.serialize_der(),
        }
    }

    /// Trusts this authority, and shows a certificate if there is one.
    pub(crate) fn connector(&self, shown: Option<&Certified>, alpn: &[u8]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match shown {
            None => builder.with_no_client_auth(),
            Some(shown) => {
                let key = PrivateKeyDer::try_from(shown.key_der.clone()).unwrap();
                builder.with_client_auth_cert(vec![shown.der.clone()], key).unwrap()
            }
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        TlsConnector::from(Arc::new(config))
    }

    /// A channel that trusts this authority.
    pub(crate) async fn channel(
        &self,
        address: SocketAddr,
        shown: Option<&Certified>,
    ) -> Result<Channel, tonic::transport::Error> {
        let connector = self.connector(shown, b"h2");
        let connect = move |_: Uri| {
            let connector = connector.clone();
            async move { secured(address, &connector).await.map(TokioIo::new) }
        };
        let endpoint = Endpoint::from_static("http://localhost");
        endpoint.connect_with_connector(tower::service_fn(connect)).await
    }
}

impl TestServer {
    /// A server whose ports are encrypted, and a channel to it that trusts the authority and shows a
    /// certificate if there is one.
    pub(crate) async fn secured(
        folder: TempDir,
        registry: Registry,
        options: ServeOptions,
        authority: &Authority,
        shown: Option<&Certified>,
    ) -> Self {
        let connect = |address| async move { authority.channel(address, shown).await.unwrap() };
        let server = Self::over_with(folder, registry, options, connect).await;
        server.wait_for_health("", ServingStatus::Serving).await;
        server.wait_for_health("model/visits", ServingStatus::Serving).await;
        server
    }
}

pub(crate) async fn secured(
    address: SocketAddr,
    connector: &TlsConnector,
) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await?;
    connector.connect(ServerName::try_from("localhost").unwrap(), socket).await
}

/// Puts a certificate and its key where a server reads them.
pub(crate) fn write(folder: &Path, certified: &Certified) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    std::fs::write(&certificate, &certified.certificate).unwrap();
    std::fs::write(&key, &certified.key).unwrap();
    (certificate, key)
}

/// Files for a server; `client_ca` asks its callers for certificates.
pub(crate) fn tls_files(
    folder: &Path,
    certified: &Certified,
    client_ca: Option<&Authority>,
) -> TlsFiles {
    let (certificate, key) = write(folder, certified);
    let client_ca = client_ca.map(|authority| {
        let path = folder.join("clients.crt");
        std::fs::write(&path, authority.pem()).unwrap();
        path
    });
    TlsFiles { certificate, key, client_ca, client_optional: false }
}
