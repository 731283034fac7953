//! Which threads go first where there are fewer processors than work.
//!
//! The runtime's threads read, refuse and score single rows, and keep the system's default. Whatever
//! may take its time gives way to them, so that a load of a model or a large batch is not felt by
//! callers of one row.

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
