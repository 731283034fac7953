//! Long work that gives way.
//!
//! A model is mostly loaded where another one scores. The kernel takes a processor from a running thread
//! at a tick of its clock, which comes every 1 to 10 ms, and a row is scored in a thousandth of that. So
//! what takes long, decoding and compiling, offers its processor in between.

use sha2::{Digest, Sha256};

/// Trees between two offers: a few tenths of a millisecond of work. On a full machine whoever takes an
/// offer keeps the processor for milliseconds, so that too many of them would be the end of all progress.
const ITEMS: usize = 64;

/// Bytes that are hashed between two offers: about as long.
const BYTES: usize = 512 << 10;

/// The same items, and before every sixty-fourth whoever waits for this thread's processor.
pub(crate) fn giving_way<I: IntoIterator>(items: I) -> impl Iterator<Item = I::Item> {
    items.into_iter().enumerate().map(|(index, item)| {
        if index % ITEMS == ITEMS - 1 {
            std::thread::yield_now();
        }
        item
    })
}

/// The SHA-256 of bytes that may be many.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for (index, piece) in bytes.chunks(BYTES).enumerate() {
        if index > 0 {
            std::thread::yield_now();
        }
        digest.update(piece);
    }
    digest.finalize().into()
}
