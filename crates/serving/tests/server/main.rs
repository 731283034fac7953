//! The server through its real sockets, over a registry in a temporary folder.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod access;
mod bounds;
mod canary;
mod canary_rows;
mod corrupt;
mod errors;
mod feedback;
mod guard;
mod hanging;
mod harness;
mod inference;
mod inference_described;
mod inference_errors;
mod lifecycle;
mod limits;
mod loading;
mod net;
mod pki;
mod prediction_log;
mod registry;
mod request_log;
mod rest;
mod rest_tensors;
mod scores;
mod series;
mod shadows;
mod standing;
mod strangers;
mod stream_ends;
mod tensors;
mod tls;
mod traces;
mod versions;
mod watching;
