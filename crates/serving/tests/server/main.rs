//! The server through its real sockets, over a registry in a temporary folder.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod canary;
mod canary_rows;
mod errors;
mod feedback;
mod guard;
mod harness;
mod inference;
mod inference_described;
mod inference_errors;
mod lifecycle;
mod limits;
mod net;
mod prediction_log;
mod registry;
mod rest;
mod rest_tensors;
mod scores;
mod shadows;
mod strangers;
mod tensors;
mod versions;
mod watching;
