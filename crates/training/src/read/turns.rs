//! Work that is done by several threads and handed in as if by one: in the order of its parts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Where parts are handed in. Parts are taken in their order, so the one whose turn it is is always
/// being worked on, and nobody waits for nothing.
pub(crate) struct Turns<'env, S, E> {
    state: Mutex<State<'env, S, E>>,
    changed: Condvar,
}

/// What a part does to what is shared.
type Touch<'env, S, E> = Box<dyn FnOnce(&mut S) -> Result<(), E> + Send + 'env>;

struct State<'env, S, E> {
    shared: S,
    /// The part whose turn it is.
    turn: usize,
    /// What parts ahead have left to be done.
    left: BTreeMap<usize, Touch<'env, S, E>>,
    failed: Option<E>,
    /// A thread panicked: its part will never be handed in.
    is_broken: bool,
}

impl<S, E> State<'_, S, E> {
    fn is_stopped(&self) -> bool {
        self.failed.is_some() || self.is_broken
    }

    /// Lets the part whose turn it is touch what is shared, and after its last all that are left behind it.
    fn touch(
        &mut self,
        touch: impl FnOnce(&mut S) -> Result<(), E>,
        is_last: bool,
    ) -> Result<(), Stopped> {
        if self.is_stopped() {
            return Err(Stopped);
        }
        let mut touched = touch(&mut self.shared);
        self.turn += usize::from(is_last);
        while touched.is_ok()
            && let Some(touch) = self.left.remove(&self.turn)
        {
            touched = touch(&mut self.shared);
            self.turn += 1;
        }
        self.failed = touched.err();
        if self.failed.is_some() { Err(Stopped) } else { Ok(()) }
    }
}

/// Another part failed: what is left is not worth doing.
pub(crate) struct Stopped;

impl<'env, S, E> Turns<'env, S, E> {
    fn lock(&self) -> MutexGuard<'_, State<'env, S, E>> {
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
        while state.turn != part && !state.is_stopped() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let touched = state.touch(touch, is_last);
        self.changed.notify_all();
        touched
    }

    /// The last that a part hands in, without waiting: if it is not its turn, whoever ends the turn before
    /// does it. Until then it is kept, so it should be small.
    pub(crate) fn leave(
        &self,
        part: usize,
        touch: impl FnOnce(&mut S) -> Result<(), E> + Send + 'env,
    ) -> Result<(), Stopped> {
        let mut state = self.lock();
        if state.turn != part && !state.is_stopped() {
            state.left.insert(part, Box::new(touch));
            return Ok(());
        }
        let touched = state.touch(touch, true);
        self.changed.notify_all();
        touched
    }
}

/// Lets nobody wait for a thread that panicked.
struct Breaking<'a, 'env, S, E>(&'a Turns<'env, S, E>);

impl<S, E> Drop for Breaking<'_, '_, S, E> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().is_broken = true;
            self.0.changed.notify_all();
        }
    }
}

/// Does `n_parts` parts of a work on `n_threads` threads. Each thread has a value of its own, made by
/// `own`; `work` does one part and must end it with a last [`Turns::hand_in`] or with [`Turns::leave`]. Gives
/// the threads' values and what was shared, or the error of the first part, by order, that failed.
pub(crate) fn in_turns<'env, S: Send, E: Send, W: Send>(
    n_parts: usize,
    n_threads: usize,
    shared: S,
    own: impl Fn() -> W + Sync,
    work: impl Fn(usize, &mut W, &Turns<'env, S, E>) -> Result<(), Stopped> + Sync,
) -> Result<(Vec<W>, S), E> {
    let state = State { shared, turn: 0, left: BTreeMap::new(), failed: None, is_broken: false };
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
/// hands what came out to `take`, one part at a time and in their order; a thread that is ahead waits, so
/// that little is in memory. Gives the error of the first part, by order, that failed.
pub(crate) fn in_order<T, W: Send, E: Send>(
    n_parts: usize,
    n_threads: usize,
    own: impl Fn() -> W + Sync,
    compute: impl Fn(usize, &mut W) -> Result<T, E> + Sync,
    take: impl FnMut(T) -> Result<(), E> + Send,
) -> Result<(), E> {
    let work = |part: usize, value: &mut W, turns: &Turns<'_, _, E>| {
        let computed = compute(part, value);
        turns.hand_in(part, true, |take: &mut _| computed.and_then(take))
    };
    in_turns(n_parts, n_threads, take, own, work).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Order = Vec<(usize, u8)>;

    fn run(n_threads: usize, fails: &'static [usize]) -> Result<Order, usize> {
        let work = |part: usize, done: &mut usize, turns: &Turns<'_, Order, usize>| {
            *done += 1;
            let last = move |order: &mut Order| {
                order.push((part, 1));
                if fails.contains(&part) { Err(part) } else { Ok(()) }
            };
            if part.is_multiple_of(3) {
                return turns.leave(part, last);
            }
            turns.hand_in(part, false, |order| {
                order.push((part, 0));
                Ok(())
            })?;
            turns.hand_in(part, true, last)
        };
        let (done, order) = in_turns(50, n_threads, Vec::new(), || 0, work)?;
        assert_eq!(done.iter().sum::<usize>(), 50);
        Ok(order)
    }

    #[test]
    #[should_panic(expected = "part 3")]
    fn a_panic_ends_the_wait_of_the_others() {
        let work = |part: usize, (): &mut (), turns: &Turns<'_, (), ()>| {
            assert_ne!(part, 3, "part 3");
            turns.hand_in(part, true, |()| Ok(()))
        };
        let _ = in_turns(20, 4, (), || (), work);
    }

    #[test]
    fn parts_are_handed_in_by_order_whatever_the_threads() {
        let of_part = |part: usize| {
            let first = (!part.is_multiple_of(3)).then_some((part, 0));
            first.into_iter().chain([(part, 1)])
        };
        let expected: Order = (0..50).flat_map(of_part).collect();
        for n_threads in [0, 1, 2, 5, 60] {
            assert_eq!(run(n_threads, &[]), Ok(expected.clone()));
            assert_eq!(run(n_threads, &[30, 17, 44]), Err(17));
            assert_eq!(run(n_threads, &[30, 45]), Err(30));
        }
    }

    /// One thread does parts 1 to 3 while the other is at part 0; what was done, in order, and how it ended.
    fn left_behind(fails: usize) -> (Vec<usize>, Result<(), usize>) {
        let (first, rest) = std::sync::mpsc::channel();
        let rest = Mutex::new(rest);
        let done = Mutex::new(Vec::new());
        let work = |part: usize, (): &mut (), turns: &Turns<'_, &Mutex<Vec<usize>>, usize>| {
            if part == 0 {
                let rest = rest.lock().unwrap();
                (1..4).for_each(|part| assert_eq!(rest.recv(), Ok(part)));
            }
            let left = turns.leave(part, move |done| {
                done.lock().unwrap().push(part);
                if part == fails { Err(part) } else { Ok(()) }
            });
            first.send(part).unwrap();
            left
        };
        let ended = in_turns(4, 2, &done, || (), work).map(|_| ());
        (done.into_inner().unwrap(), ended)
    }

    /// A thread that was quicker than the others used to wait at the end of every part.
    #[test]
    fn what_is_left_does_not_wait_for_its_turn() {
        assert_eq!(left_behind(4), (vec![0, 1, 2, 3], Ok(())));
        assert_eq!(left_behind(2), (vec![0, 1, 2], Err(2)));
        assert_eq!(left_behind(0), (vec![0], Err(0)));
    }
}
