//! Ctrl-C and SIGTERM in the middle of long work: a fit ends after its round and keeps what it has kept so
//! far, a search writes the best it has found. Work that does not ask is ended at once, as ever.

use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// 128 and the number of SIGINT, as shells have it.
pub(crate) const EXIT_INTERRUPTED: u8 = 130;

/// Work that asks does so within this time of its beginning.
const SOON: Duration = Duration::from_millis(300);

/// Whether work that is running looks at [`IS_WANTED`] every now and then.
static IS_LOOKED_AT: AtomicBool = AtomicBool::new(false);
static IS_WANTED: AtomicBool = AtomicBool::new(false);

/// Takes signals from now on. The second one ends the process at once.
pub(crate) fn listen(say: impl Fn(&str) + Send + 'static) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let listening = async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if IS_WANTED.swap(true, Ordering::Relaxed) {
                exit(EXIT_INTERRUPTED.into());
            }
            if tokio::time::timeout(SOON, looked_at()).await.is_err() {
                exit(EXIT_INTERRUPTED.into());
            }
            say("stopping after this round; once more to stop at once");
        }
    };
    std::thread::spawn(move || runtime.block_on(listening));
    Ok(())
}

async fn looked_at() {
    while !IS_LOOKED_AT.load(Ordering::Relaxed) {
        tokio::time::sleep(SOON / 30).await;
    }
}

/// Whether the work should end. Whoever asks once is taken to ask again soon.
pub(crate) fn is_asked() -> bool {
    IS_LOOKED_AT.store(true, Ordering::Relaxed);
    IS_WANTED.load(Ordering::Relaxed)
}

/// Other work begins, which may not ask.
pub(crate) fn nobody_asks() {
    IS_LOOKED_AT.store(false, Ordering::Relaxed);
}
