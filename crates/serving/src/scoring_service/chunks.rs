//! The rows of a request, a few at a time.

use std::ops::Range;

use rayon::prelude::*;

use crate::ServingError;
use crate::guard::Deadline;

/// Rows between two looks at the deadline.
const ROWS_PER_CHUNK: usize = 64;

/// Chunks before others have their turn: about half a millisecond of named rows.
const CHUNKS_AT_ONCE: usize = 4;

/// Works on ranges of rows that cover `0..n_rows`, in order. After the deadline none is begun.
///
/// `is_shared`: among the threads of the pool that this must then run on. Those let whoever else wants
/// their processor go first every few ranges: the kernel takes it from them only at the next tick of its
/// clock, which is up to 4 ms later, and callers of one row must not wait so long for a batch.
pub(super) fn each<T: Send>(
    n_rows: usize,
    is_shared: bool,
    deadline: Deadline,
    work: impl Fn(Range<usize>) -> T + Sync,
) -> Result<Vec<T>, ServingError> {
    let chunk = |chunk: usize| {
        deadline.check()?;
        let first = chunk * ROWS_PER_CHUNK;
        Ok(work(first..n_rows.min(first + ROWS_PER_CHUNK)))
    };
    let chunks = 0..n_rows.div_ceil(ROWS_PER_CHUNK);
    if !is_shared {
        return chunks.map(chunk).collect();
    }
    let shared = |one: usize| {
        let done = chunk(one);
        if one % CHUNKS_AT_ONCE == CHUNKS_AT_ONCE - 1 {
            std::thread::yield_now();
        }
        done
    };
    chunks.into_par_iter().map(shared).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    #[test]
    fn every_row_has_its_turn_in_its_place() {
        let far = Deadline(Instant::now() + Duration::from_secs(3600));
        for (n_rows, is_shared) in [(0, false), (1, true), (64, false), (65, true), (1000, true)] {
            let ranges = each(n_rows, is_shared, far, |rows| rows).unwrap();
            assert_eq!(ranges.into_iter().flatten().collect::<Vec<_>>(), Vec::from_iter(0..n_rows));
        }
    }

    #[test]
    fn after_the_deadline_nothing_is_begun() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        for (is_shared, at_most) in [(false, 1), (true, 2)] {
            let deadline = Instant::now() + Duration::from_millis(20);
            let n_begun = AtomicUsize::new(0);
            // Whoever has begun does not end before it is too late.
            let slow = |_| {
                n_begun.fetch_add(1, Ordering::Relaxed);
                while Instant::now() < deadline {
                    std::hint::spin_loop();
                }
            };
            let ended = pool.install(|| each(100_000, is_shared, Deadline(deadline), slow));
            assert!(matches!(ended, Err(ServingError::DeadlineExceeded)), "{ended:?}");
            let n_begun = n_begun.into_inner();
            assert!(n_begun <= at_most, "{n_begun} were begun");
        }
    }
}
