//! The binary from the outside: jobs, registry, server and messages, and the walls of the workspace.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "figures and skips are told")]

mod bad_input;
mod crashes;
mod determinism;
mod exchange;
mod feedback;
mod first_job;
mod help;
mod layering;
mod quiet;
mod races;
mod real_data;
mod scoring;
mod serving;
mod simulated;
mod small;
mod streaming;
mod support;
mod table;
mod trail;
mod tuning;
mod warm_start;
mod watched;
