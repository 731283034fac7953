//! Which threads go first where there are fewer processors than work.
//!
//! The runtime's threads read, refuse and score single rows: they have little to do at a time, and are
//! woken at once. Whatever may take its time gives way to them, so that a load of a model or a large
//! batch is not felt by callers of one row.

use std::io;

use tokio::runtime::{Builder, Runtime};

/// What a thread of the runtime runs at a time where others want its processor.
#[cfg(target_os = "linux")]
const SLICE: std::time::Duration = std::time::Duration::from_micros(100);

/// Rows of large batches.
pub(crate) const BATCHES: i32 = 5;
/// Loading, proving and freeing models, reading and changing the registry.
pub(crate) const MODELS: i32 = 10;
/// Shadows: nobody waits for them.
pub(crate) const SHADOWS: i32 = 19;

/// Lowers this thread's priority to so high a niceness. On Linux a thread has one of its own;
/// elsewhere nothing happens, and the bounds on what is done at once must do.
pub(crate) fn give_way(niceness: i32) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, niceness) {
        tracing::debug!(%error, "the priority of a thread cannot be lowered");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = niceness;
}

/// The runtime for [`run`](crate::run): as many threads as processors, which are woken promptly.
///
/// # Errors
/// The system refuses threads or timers.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().on_thread_start(wake_promptly).build()
}

/// Has this thread take its processor at once when there is something to do.
///
/// Linux leaves a running thread alone until its slice is over, and looks at that at the ticks of its
/// clock, every 1 to 10 ms, whatever the niceness of either. From 6.12 on a thread that asks for a shorter
/// slice is let in when it wakes, and gets no more of the processor in all
/// (`PREEMPT_SHORT` in `kernel/sched/features.h`). Before, and elsewhere, nothing happens.
fn wake_promptly() {
    #[cfg(target_os = "linux")]
    if let Err(error) = slice::set(SLICE) {
        tracing::debug!(%error, "the slice of a thread cannot be shortened");
    }
}

#[cfg(target_os = "linux")]
mod slice {
    #![allow(
        unsafe_code,
        reason = "no library wraps sched_setattr(2) for threads of the default policy"
    )]

    use std::io;
    use std::time::Duration;

    /// Asks for slices of this length for this thread, which keeps its niceness.
    pub(super) fn set(slice: Duration) -> io::Result<()> {
        let attributes = libc::sched_attr {
            size: size_of::<libc::sched_attr>() as u32,
            sched_policy: libc::SCHED_OTHER as u32,
            sched_flags: 0,
            sched_nice: rustix::process::getpriority_process(None)?,
            sched_priority: 0,
            sched_runtime: slice.as_nanos() as u64,
            sched_deadline: 0,
            sched_period: 0,
        };
        // SAFETY: the kernel reads `size` bytes of `attributes`, which lives past the call, and writes none.
        let done = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_shorter_slice_is_granted_and_leaves_the_niceness_alone() {
        std::thread::spawn(|| {
            give_way(3);
            slice::set(SLICE).unwrap();
            assert_eq!(rustix::process::getpriority_process(None).unwrap(), 3);
        })
        .join()
        .unwrap();
    }
}
