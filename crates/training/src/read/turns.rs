//! Work that is done by several threads and handed in as if by one: in the order of its parts.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Where parts are handed in. Parts are taken in their order, so the one whose turn it is is always
/// being worked on, and nobody waits for nothing.
pub(crate) struct Turns<S, E> {
    state: Mutex<State<S, E>>,
    changed: Condvar,
}

struct State<S, E> {
    shared: S,
    /// The part whose turn it is.
    turn: usize,
    failed: Option<E>,
    /// A thread panicked: its part will never be handed in.
    is_broken: bool,
}

/// Another part failed: what is left is not worth doing.
pub(crate) struct Stopped;

impl<S, E> Turns<S, E> {
    fn lock(&self) -> MutexGuard<'_, State<S, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is `part`'s turn and lets it touch what is shared. With `is_last` the turn passes
    /// on. An error, the part's own or one of touching, stops everybody.
    pub(crate) fn hand_in(
        &self,
        part: usize,
        is_last: bool,
        touch: impl FnOnce(&mut S) -> Result<(), E>,
    ) -> Result<(), Stopped> {
        let mut state = self.lock();
        while state.turn != part && state.failed.is_none() && !state.is_broken {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.failed.is_some() || state.is_broken {
            return Err(Stopped);
        }
        let touched = touch(&mut state.shared);
        state.turn += usize::from(is_last);
        state.failed = touched.err();
        self.changed.notify_all();
        if state.failed.is_some() { Err(Stopped) } else { Ok(()) }
    }
}

/// Lets nobody wait for a thread that panicked.
struct Breaking<'a, S, E>(&'a Turns<S, E>);

impl<S, E> Drop for Breaking<'_, S, E> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().is_broken = true;
            self.0.changed.notify_all();
        }
    }
}

/// Does `n_parts` parts of a work on `n_threads` threads. Each thread has a value of its own, made by
/// `own`; `work` does one part and must end it with a last [`Turns::hand_in`]. Gives the threads' values
/// and what was shared, or the error of the first part, by order, that failed.
pub(crate) fn in_turns<S: Send, E: Send, W: Send>(
    n_parts: usize,
    n_threads: usize,
    shared: S,
    own: impl Fn() -> W + Sync,
    work: impl Fn(usize, &mut W, &Turns<S, E>) -> Result<(), Stopped> + Sync,
) -> Result<(Vec<W>, S), E> {
    let state = State { shared, turn: 0, failed: None, is_broken: false };
    let turns = Turns { state: Mutex::new(state), changed: Condvar::new() };
    let next = AtomicUsize::new(0);
    let run = || {
        let _breaking = Breaking(&turns);
        let mut value = own();
        loop {
            let part = next.fetch_add(1, Ordering::Relaxed);
            if part >= n_parts || work(part, &mut value, &turns).is_err() {
                return value;
            }
        }
    };
    let values = std::thread::scope(|scope| {
        let others: Vec<_> =
            (1..n_threads.clamp(1, n_parts.max(1))).map(|_| scope.spawn(run)).collect();
        let mut values = vec![run()];
        for other in others {
            match other.join() {
                Ok(value) => values.push(value),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        values
    });
    let state = turns.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match state.failed {
        Some(error) => Err(error),
        None => Ok((values, state.shared)),
    }
}

/// Computes `n_parts` parts on `n_threads` threads, each with a value of its own made by `own`, and
/// hands what came out to `take`, one part at a time and in their order. Gives the error of the first
/// part, by order, that failed.
pub(crate) fn in_order<T, W: Send, E: Send>(
    n_parts: usize,
    n_threads: usize,
    own: impl Fn() -> W + Sync,
    compute: impl Fn(usize, &mut W) -> Result<T, E> + Sync,
    take: impl FnMut(T) -> Result<(), E> + Send,
) -> Result<(), E> {
    let work = |part: usize, value: &mut W, turns: &Turns<_, E>| {
        let computed = compute(part, value);
        turns.hand_in(part, true, |take: &mut _| computed.and_then(take))
    };
    in_turns(n_parts, n_threads, take, own, work).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(n_threads: usize, fails: &[usize]) -> Result<Vec<(usize, u8)>, usize> {
        let work = |part: usize, done: &mut usize, turns: &Turns<Vec<(usize, u8)>, usize>| {
            *done += 1;
            turns.hand_in(part, false, |order| {
                order.push((part, 0));
                Ok(())
            })?;
            turns.hand_in(part, true, |order| {
                order.push((part, 1));
                if fails.contains(&part) { Err(part) } else { Ok(()) }
            })
        };
        let (done, order) = in_turns(50, n_threads, Vec::new(), || 0, work)?;
        assert_eq!(done.iter().sum::<usize>(), 50);
        Ok(order)
    }

    #[test]
    #[should_panic(expected = "part 3")]
    fn a_panic_ends_the_wait_of_the_others() {
        let work = |part: usize, (): &mut (), turns: &Turns<(), ()>| {
            assert_ne!(part, 3, "part 3");
            turns.hand_in(part, true, |()| Ok(()))
        };
        let _ = in_turns(20, 4, (), || (), work);
    }

    #[test]
    fn parts_are_handed_in_by_order_whatever_the_threads() {
        let expected: Vec<_> = (0..50).flat_map(|part| [(part, 0), (part, 1)]).collect();
        for n_threads in [0, 1, 2, 5, 60] {
            assert_eq!(run(n_threads, &[]), Ok(expected.clone()));
            assert_eq!(run(n_threads, &[30, 17, 44]), Err(17));
        }
    }
}
