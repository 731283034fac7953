//! The client, against a real server and against one that fails on purpose.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod connections;
mod deadlines;
mod fake;
#[path = "../../../serving/tests/server/harness.rs"]
#[expect(dead_code, reason = "the server's own tests use the rest")]
mod harness;
mod outcomes;
mod packed;
mod real;
mod retries;
mod tls;
