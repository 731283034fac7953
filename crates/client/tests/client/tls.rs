//! TLS, in one direction and in both.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use segue_client::{Client, Code, TlsOptions};
use tonic::transport::{Certificate, Identity};

use crate::fake::{Fake, identity_config};

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Certificate and key, in PEM.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

#[tokio::test]
async fn a_server_is_trusted_for_its_certificate_and_shown_ours() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("scores.example");
    let config = identity_config(Identity::from_pem(certificate, key))
        .client_ca_root(Certificate::from_pem(&authority.pem));
    let fake = Fake::default();
    let (address, _stop) = fake.start_on("127.0.0.1:0".parse().unwrap(), Some(config)).await;
    let url = format!("https://{address}");
    let trusting = TlsOptions::new().ca_pem(authority.pem.clone()).server_name("scores.example");
    let (certificate, key) = authority.issue("backend.example");
    let client = |tls: TlsOptions| Client::builder(&url).tls(tls).connect().unwrap();
    let known = trusting.clone().identity_pem(certificate, key);
    client(known.clone()).score("churn").send().await.unwrap();
    let nobody = client(trusting.clone()).score("churn").send().await.unwrap_err();
    assert_ne!(nobody.code(), Code::Ok);
    let other_name = known.clone().server_name("other.example");
    let stranger = known.ca_pem(Authority::new().pem);
    for tls in [other_name, stranger] {
        let error = client(tls).score("churn").send().await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{error}");
    }
    assert_eq!(fake.n_requests(), 1);
}
