//! The steps of a write, one by one, so that a test can stop between any two of them.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Called with the name of each step of a write just before it is taken.
///
/// An error stops the write there, and nothing is cleaned up, as if the process had been killed.
/// A hook may also end the process itself.
pub type StepHook = Arc<dyn Fn(&str) -> io::Result<()> + Send + Sync>;

/// The hook, if any, and whether it has stopped a write.
#[derive(Clone, Default)]
pub(crate) struct Steps {
    hook: Option<StepHook>,
    stopped: Arc<AtomicBool>,
}

impl Steps {
    pub(crate) fn with_hook(hook: StepHook) -> Self {
        Self { hook: Some(hook), stopped: Arc::default() }
    }

    /// Asks the hook before the step `step`.
    pub(crate) fn before(&self, step: &str) -> io::Result<()> {
        let Some(hook) = &self.hook else { return Ok(()) };
        hook(step).inspect_err(|_| self.stopped.store(true, Ordering::SeqCst))
    }

    /// Whether the hook has stopped a write: then nothing more may be written, not even to clean up.
    pub(crate) fn stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steps").field("hooked", &self.hook.is_some()).finish_non_exhaustive()
    }
}

/// Stops at the n-th step and at every step after it.
#[derive(Debug, Clone)]
pub struct FaultPlan {
    stop_at: usize,
    taken: Arc<AtomicUsize>,
}

impl FaultPlan {
    /// Lets `stop_at` steps pass; 0 stops at the first.
    #[must_use]
    pub fn stop_at(stop_at: usize) -> Self {
        Self { stop_at, taken: Arc::default() }
    }

    /// Whether the plan has stopped a write.
    #[must_use]
    pub fn fired(&self) -> bool {
        self.taken.load(Ordering::SeqCst) > self.stop_at
    }

    /// The hook for [`Registry::with_step_hook`](crate::Registry::with_step_hook).
    #[must_use]
    pub fn hook(&self) -> StepHook {
        let plan = self.clone();
        Arc::new(move |step| {
            let taken = plan.taken.fetch_add(1, Ordering::SeqCst);
            if taken < plan.stop_at {
                return Ok(());
            }
            Err(io::Error::other(format!("stopped before step {taken}: {step}")))
        })
    }
}
