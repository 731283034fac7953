//! What a certificate says: until when, and whose it is.

use std::net::IpAddr;

use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A caller's certificate, proven by the TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerCertificate {
    /// `DNS:`, `URI:`, `IP:` and `EMAIL:` names of the subject, in the order of the certificate.
    pub(crate) names: Vec<String>,
    /// Seconds since 1970 after which it no longer counts, on a connection that is still open too.
    pub(crate) not_after: i64,
}

/// Reads a certificate; the error says what is wrong with it.
pub(super) fn read(certificate: &CertificateDer<'_>) -> Result<PeerCertificate, String> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| format!("not an X.509 certificate: {error}"))?;
    let names = parsed
        .subject_alternative_name()
        .map_err(|error| format!("bad subject alternative names: {error}"))?
        .map(|names| names.value.general_names.iter().filter_map(name).collect())
        .unwrap_or_default();
    Ok(PeerCertificate { names, not_after: parsed.validity().not_after.timestamp() })
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(format!("DNS:{name}")),
        GeneralName::URI(uri) => Some(format!("URI:{uri}")),
        GeneralName::RFC822Name(name) => Some(format!("EMAIL:{name}")),
        GeneralName::IPAddress(bytes) => {
            let address = match bytes.len() {
                4 => IpAddr::from(<[u8; 4]>::try_from(*bytes).ok()?),
                _ => IpAddr::from(<[u8; 16]>::try_from(*bytes).ok()?),
            };
            Some(format!("IP:{address}"))
        }
        _ => None,
    }
}
