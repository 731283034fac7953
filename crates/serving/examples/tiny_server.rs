//! A server over two tiny models in a temporary registry, for clients in other languages.
//!
//! Says on stderr where it listens and where its registry is, in one line, and serves until its input
//! ends: `serving churn on 127.0.0.1:1234 (gRPC), 127.0.0.1:1235 (HTTP), registry /tmp/...`.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "the harness of the tests")]

use std::io::{Read, Write};

#[path = "../tests/server/harness.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod harness;

#[tokio::main]
async fn main() {
    let server = harness::TestServer::start().await;
    let registry = server.folder.path().display();
    let (grpc, http) = (server.grpc, server.http);
    let line = format!("serving churn on {grpc} (gRPC), {http} (HTTP), registry {registry}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    let until_closed = || std::io::stdin().read_to_end(&mut Vec::new());
    tokio::task::spawn_blocking(until_closed).await.unwrap().unwrap();
    server.stop.send(()).unwrap();
    server.task.await.unwrap().unwrap();
}
