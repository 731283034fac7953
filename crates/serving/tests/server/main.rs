//! The server through its real sockets, over a registry in a temporary folder.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod errors;
mod harness;
mod lifecycle;
mod limits;
mod registry;
mod scores;
