//! The server under what a bad day brings: versions that change a thousand times, ten times the load,
//! a stop in the middle, a registry that is gone.
//!
//! ```text
//! cargo test -p segue-serving --test soak                               # short, as the suite runs it
//! SEGUE_SOAK=long cargo test --release -p segue-serving --test soak -- --nocapture --test-threads 1
//! ```
//!
//! What was seen, latencies among it, is printed; nothing is asserted about time.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "what was seen is for whoever runs it long")]

mod drain;
#[path = "../server/harness.rs"]
#[expect(dead_code, reason = "the tests of the server use the rest")]
mod harness;
mod outages;
mod overload;
mod swaps;
mod traffic;

/// `short` times, or `long` times if the environment asks for it.
fn times(short: usize, long: usize) -> usize {
    if std::env::var("SEGUE_SOAK").is_ok_and(|soak| soak == "long") { long } else { short }
}
