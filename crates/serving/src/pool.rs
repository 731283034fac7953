//! Larger batches: a fixed pool of threads, so that scoring never crowds out the runtime.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rayon::ThreadPool;
use tokio::sync::oneshot;

use crate::guard::panic_text;
use crate::limits::Lease;
use crate::metrics::Metrics;
use crate::observe::Errand;
use crate::priority::{BATCHES, give_way};
use crate::{ServeError, ServingError};

/// The threads that score.
#[derive(Debug, Clone)]
pub(crate) struct ScoringPool {
    threads: Arc<ThreadPool>,
    metrics: Arc<Metrics>,
}

impl ScoringPool {
    /// Starts `n_threads` threads.
    pub(crate) fn new(n_threads: usize, metrics: Arc<Metrics>) -> Result<Self, ServeError> {
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(n_threads)
            .thread_name(|index| format!("segue-score-{index}"))
            .start_handler(|_| give_way(BATCHES))
            .build()
            .map_err(|source| ServeError::Resource {
                action: "start the scoring threads",
                source: source.into(),
            })?;
        Ok(Self { threads: Arc::new(threads), metrics })
    }

    /// Runs `work` on the pool; parallel iterators inside it use the pool's threads. A caller that
    /// leaves before its turn is skipped, a panic is an internal error. The request's lease lasts
    /// until the work is done or skipped.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ServingError> {
        let (answer, answered) = oneshot::channel();
        let metrics = Arc::clone(&self.metrics);
        let (errand, lease) = (Errand::here(), Lease::here());
        self.threads.spawn(move || {
            let _lease = lease;
            if answer.is_closed() {
                return;
            }
            // The receiver may be gone by now; then nobody waits for the answer.
            let _ = answer.send(errand.run(|| catch(&metrics, work)));
        });
        let Ok((outcome, report)) = answered.await else { return Err(ServingError::Internal) };
        report.deliver();
        outcome
    }
}

/// Runs `work`; a panic is counted, logged and an internal error.
pub(crate) fn catch<T>(metrics: &Metrics, work: impl FnOnce() -> T) -> Result<T, ServingError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        metrics.requests.panics.inc();
        tracing::error!(panic = panic_text(&*panic), "scoring panicked");
        ServingError::Internal
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_answered_and_the_pool_lives() {
        let metrics = Arc::new(Metrics::new());
        let pool = ScoringPool::new(1, Arc::clone(&metrics)).unwrap();
        let died = pool.run(|| -> u8 { panic!("on purpose") }).await;
        assert!(matches!(died, Err(ServingError::Internal)));
        assert_eq!(metrics.requests.panics.get(), 1);
        assert_eq!(pool.run(|| 7).await.unwrap(), 7);
    }

    /// A caller who leaves takes its permit along only when the pool has done with its work.
    #[tokio::test]
    async fn what_is_given_up_holds_its_permit_until_it_is_done() {
        let options = crate::ServeOptions { max_in_flight: 1, ..crate::ServeOptions::default() };
        let metrics = Arc::new(Metrics::new());
        let budgets = Arc::new(crate::net::Budgets::new(&options));
        let limits = crate::limits::Limits::new(&options, Arc::clone(&metrics));
        let enter = || limits.enter(crate::limits::Lane::Scoring);
        let pool = ScoringPool::new(1, metrics).unwrap();
        let (begin, begun) = oneshot::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let lease = Lease::new(enter().unwrap(), budgets);
        let asked = lease.over(async move {
            let wait = move || {
                begin.send(()).unwrap();
                released.recv()
            };
            pool.run(wait).await.unwrap()
        });
        let asked = tokio::spawn(asked);
        begun.await.unwrap();
        asked.abort();
        assert!(asked.await.unwrap_err().is_cancelled());
        assert!(enter().is_err(), "the work goes on");
        release.send(()).unwrap();
        while enter().is_err() {
            tokio::task::yield_now().await;
        }
    }
}
