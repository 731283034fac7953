//! Work that nobody waits for: a bounded queue, and one thread behind everything else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use crate::ServeError;
use crate::priority::{SHADOWS, give_way};

/// Hands items over. The thread ends when the last of these is gone.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    items: SyncSender<(T, usize)>,
    n_bytes: Arc<AtomicUsize>,
    max_bytes: usize,
}

/// Why an item was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// The thread does not keep up.
    Full,
    /// What waits is too large already.
    Bytes,
    /// The thread has ended.
    Ended,
}

impl<T: Send + 'static> Queue<T> {
    /// Starts a thread called `name` that does `work` for each item in its order, at the lowest
    /// priority that the system has. At most `max_items` of `max_bytes` together wait. Work that panics
    /// is `panicked`, and the next item is its turn.
    pub(crate) fn start(
        name: &'static str,
        max_items: usize,
        max_bytes: usize,
        work: impl FnMut(T) + Send + 'static,
        panicked: impl Fn(&str) + Send + 'static,
    ) -> Result<Self, ServeError> {
        let (items, inbox) = sync_channel(max_items);
        let n_bytes = Arc::new(AtomicUsize::new(0));
        let waiting = Arc::clone(&n_bytes);
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(&inbox, &waiting, work, panicked))
            .map_err(|source| ServeError::Resource {
                action: "start a thread for shadows",
                source: source.into(),
            })?;
        Ok(Self { items, n_bytes, max_bytes })
    }

    /// Queues an item of so many bytes, or says why not. Never waits.
    pub(crate) fn offer(&self, item: T, n_bytes: usize) -> Result<(), Dropped> {
        let before = self.n_bytes.fetch_add(n_bytes, Ordering::Relaxed);
        let outcome = if before.saturating_add(n_bytes) > self.max_bytes {
            Err(Dropped::Bytes)
        } else {
            self.items.try_send((item, n_bytes)).map_err(|error| match error {
                TrySendError::Full(_) => Dropped::Full,
                TrySendError::Disconnected(_) => Dropped::Ended,
            })
        };
        if outcome.is_err() {
            self.n_bytes.fetch_sub(n_bytes, Ordering::Relaxed);
        }
        outcome
    }
}

fn run<T>(
    inbox: &Receiver<(T, usize)>,
    n_bytes: &AtomicUsize,
    mut work: impl FnMut(T),
    panicked: impl Fn(&str),
) {
    give_way(SHADOWS);
    while let Ok((item, size)) = inbox.recv() {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(item))) {
            panicked(crate::guard::panic_text(&*panic));
        }
        n_bytes.fetch_sub(size, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_slow_worker_holds_nobody_up() {
        let (started, is_started) = channel();
        let (release, released) = channel::<()>();
        let done = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&done);
        let work = move |item: u32| {
            started.send(()).unwrap();
            released.recv().unwrap();
            kept.lock().unwrap().push(item);
        };
        let queue = Queue::start("slow", 2, 100, work, |_| {}).unwrap();
        queue.offer(0, 10).unwrap();
        is_started.recv().unwrap();
        // The worker is at work and stays there: two may wait, the others are told at once.
        queue.offer(1, 10).unwrap();
        assert_eq!(queue.offer(9, 81), Err(Dropped::Bytes));
        queue.offer(2, 80).unwrap();
        assert_eq!(queue.offer(9, 0), Err(Dropped::Full));
        for _ in 0..3 {
            release.send(()).unwrap();
        }
        is_started.recv().unwrap();
        is_started.recv().unwrap();
        // What was dropped holds no bytes.
        while queue.n_bytes.load(Ordering::Relaxed) > 0 {
            std::thread::yield_now();
        }
        assert_eq!(*done.lock().unwrap(), [0, 1, 2]);
    }

    #[test]
    fn a_panic_is_told_and_the_next_item_is_worked_on() {
        let (done, is_done) = channel();
        let (told, is_told) = channel();
        let work = move |item: u32| {
            assert_ne!(item, 1, "on purpose");
            done.send(item).unwrap();
        };
        let tell = move |text: &str| told.send(text.to_owned()).unwrap();
        let queue = Queue::start("panics", 8, 100, work, tell).unwrap();
        for item in 0..3 {
            queue.offer(item, 1).unwrap();
        }
        assert_eq!([is_done.recv().unwrap(), is_done.recv().unwrap()], [0, 2]);
        assert!(is_told.recv().unwrap().contains("on purpose"));
    }
}
