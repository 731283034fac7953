//! Certificates, shown and changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use segue_api::v1::scoring_service_client::ScoringServiceClient;
use segue_serving::{AccessOptions, NetOptions, ServeOptions, TlsFiles};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::harness::*;
use crate::pki::*;

fn encrypted(tls: TlsFiles) -> ServeOptions {
    let net = NetOptions { tls: Some(tls), ..NetOptions::default() };
    // Files are looked at when a test says so, and not by the clock.
    let access =
        AccessOptions { reload_interval: Duration::from_secs(3600), ..AccessOptions::default() };
    ServeOptions { net, access, ..quick() }
}

/// A page of the HTTP port over TLS.
async fn page(server: &TestServer, authority: &Authority, path: &str) -> String {
    let connector = authority.connector(None, b"http/1.1");
    let mut stream = secured(server.http, &connector).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn until_page_has(server: &TestServer, authority: &Authority, line: &str) {
    let asked = async { while !page(server, authority, "/metrics").await.contains(line) {} };
    tokio::time::timeout(PATIENCE, asked).await.expect(line);
}

/// Seconds since 1970 at which the certificate that is shown expires.
async fn shown_until(server: &TestServer, authority: &Authority) -> i64 {
    let stream = secured(server.grpc, &authority.connector(None, b"h2")).await.unwrap();
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    let (_, certificate) = X509Certificate::from_der(&chain[0]).unwrap();
    certificate.validity().not_after.timestamp()
}

const END_OF_2998: i64 = 32_472_057_600;
const END_OF_2999: i64 = 32_503_593_600;

#[tokio::test]
async fn both_ports_are_encrypted_and_speak_nothing_else() {
    let (folder, registry) = prepared();
    let authority = Authority::new();
    let tls = tls_files(folder.path(), &authority.server(2999), None);
    let server = TestServer::secured(folder, registry, encrypted(tls), &authority, None).await;
    server.score(request(&["churn"], good_row())).await.unwrap();
    assert!(page(&server, &authority, "/healthz").await.starts_with("HTTP/1.1 200"));
    until_page_has(
        &server,
        &authority,
        &format!("segue_tls_certificate_not_after_seconds {END_OF_2999}\n"),
    )
    .await;
    for address in [server.grpc, server.http] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let _closed = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP"), "{}", answer.escape_ascii());
    }
    let stranger = Authority::new();
    assert!(stranger.channel(server.grpc, None).await.is_err(), "callers know whom they talk to");
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_cut() {
    let (folder, registry) = prepared();
    let authority = Authority::new();
    let tls = tls_files(folder.path(), &authority.server(2999), None);
    let mut options = encrypted(tls);
    options.net.header_timeout = Duration::from_millis(200);
    let server = TestServer::secured(folder, registry, options, &authority, None).await;
    for address in [server.grpc, server.http] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&[22, 3, 1]).await.unwrap();
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        drop(closed.expect("cut"));
    }
    for port in ["grpc", "http"] {
        let line = format!(
            "segue_connections_refused_total{{port=\"{port}\",reason=\"tls_timeout\"}} 1\n"
        );
        until_page_has(&server, &authority, &line).await;
    }
}

#[tokio::test]
async fn a_port_that_asks_for_certificates_lets_nobody_in_without() {
    let (folder, registry) = prepared();
    let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let tls = tls_files(folder.path(), &authority.server(2999), Some(&clients));
    let good = clients.client("spiffe://test/back-end");
    let server =
        TestServer::secured(folder, registry, encrypted(tls), &authority, Some(&good)).await;
    server.score(request(&["churn"], good_row())).await.unwrap();
    let bad = strangers.client("spiffe://test/back-end");
    for shown in [None, Some(&bad)] {
        // With TLS 1.3 the caller may learn it only when it asks for something.
        let refused = match authority.channel(server.grpc, shown).await {
            Err(_) => true,
            Ok(channel) => {
                let mut client = ScoringServiceClient::new(channel);
                client.score(request(&["churn"], good_row())).await.is_err()
            }
        };
        assert!(refused);
    }
    // Probes have no certificate.
    assert!(page(&server, &authority, "/healthz").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_change_under_load_without_a_failed_request() {
    let (folder, registry) = prepared();
    let authority = Arc::new(Authority::new());
    let tls = tls_files(folder.path(), &authority.server(2998), None);
    let options = encrypted(tls);
    let reload = options.access.reload.clone();
    let server = TestServer::secured(folder, registry, options, &authority, None).await;
    let done = Arc::new(AtomicBool::new(false));
    let caller = |keeps_connection: bool| {
        let (authority, done, address) = (Arc::clone(&authority), Arc::clone(&done), server.grpc);
        let channel = server.channel.clone();
        tokio::spawn(async move {
            let (mut channel, mut n_answers) = (channel, 0);
            while !done.load(Ordering::Relaxed) {
                if !keeps_connection {
                    channel = authority.channel(address, None).await.unwrap();
                }
                let mut client = ScoringServiceClient::new(channel.clone());
                client.score(request(&["churn"], good_row())).await.unwrap();
                n_answers += 1;
            }
            n_answers
        })
    };
    let callers = [caller(true), caller(false)];
    assert_eq!(shown_until(&server, &authority).await, END_OF_2998);
    for year in [2999, 2998, 2999] {
        write(server.folder.path(), &authority.server(year));
        reload.now();
        let wanted = if year == 2999 { END_OF_2999 } else { END_OF_2998 };
        let taken = async { while shown_until(&server, &authority).await != wanted {} };
        tokio::time::timeout(PATIENCE, taken).await.expect("the new certificate is shown");
    }
    done.store(true, Ordering::Relaxed);
    for caller in callers {
        assert!(caller.await.unwrap() > 0);
    }
    let line = format!("segue_tls_certificate_not_after_seconds {END_OF_2999}\n");
    until_page_has(&server, &authority, &line).await;
    until_page_has(&server, &authority, "segue_reloads_total{what=\"tls\",result=\"ok\"} 3\n")
        .await;
}

#[tokio::test]
async fn broken_certificates_leave_the_old_one_in_force() {
    let (folder, registry) = prepared();
    let authority = Authority::new();
    let good = authority.server(2999);
    let options = encrypted(tls_files(folder.path(), &good, None));
    let reload = options.access.reload.clone();
    let server = TestServer::secured(folder, registry, options, &authority, None).await;
    let of_another_key = Certified { key: authority.server(2999).key, ..good.clone() };
    let broken = Certified { certificate: "no certificate".to_owned(), ..good.clone() };
    let expired = authority.server(2021);
    for (n_failed, bad) in [of_another_key, broken, expired].iter().enumerate() {
        write(server.folder.path(), bad);
        reload.now();
        let n_failed = n_failed + 1;
        let line = format!("segue_reloads_total{{what=\"tls\",result=\"failed\"}} {n_failed}\n");
        until_page_has(&server, &authority, &line).await;
        assert_eq!(shown_until(&server, &authority).await, END_OF_2999);
    }
    std::fs::remove_file(server.folder.path().join("tls.key")).unwrap();
    reload.now();
    until_page_has(&server, &authority, "segue_reloads_total{what=\"tls\",result=\"failed\"} 4\n")
        .await;
    write(server.folder.path(), &authority.server(2998));
    reload.now();
    until_page_has(&server, &authority, "segue_reloads_total{what=\"tls\",result=\"ok\"} 1\n")
        .await;
    assert_eq!(shown_until(&server, &authority).await, END_OF_2998);
}
