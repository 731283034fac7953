//! Requests that are answered in the turn of their connection.
//!
//! A task for every request costs a wake-up of that task, another of the connection that sends the
//! answer, and a write for each. A single row has all that it needs when it is found and is scored in
//! less time than that, so it is worked on there and then; whatever has to wait, or chooses to because
//! it is long, becomes a task.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Waker};

use hyper::rt::Executor;

use super::connection::Connection;

/// Runs the requests of one connection.
#[derive(Debug, Clone)]
pub(super) struct InTurn(pub(super) Arc<Connection>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for InTurn {
    fn execute(&self, request: F) {
        let mut request = Box::pin(request);
        if self.0.is_in_turn() {
            // What it waits for it asks for again as a task, and is told by the task's own waker.
            let mut context = Context::from_waker(Waker::noop());
            let poll = || request.as_mut().poll(&mut context).is_ready();
            // The guard answers panics of handlers. One beside them ends its own stream, not the
            // others of its connection.
            if catch_unwind(AssertUnwindSafe(poll)).unwrap_or(true) {
                return;
            }
        }
        tokio::spawn(request);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::connection::{Budgets, Turn};
    use super::*;
    use crate::ServeOptions;

    fn executor(n_turn: usize) -> InTurn {
        let budgets = Arc::new(Budgets::new(&ServeOptions::default()));
        let connection = Connection::new(([127, 0, 0, 1], 1).into(), None, budgets);
        connection.begin_turn(Turn { n_requests: n_turn, n_bytes: 0 });
        InTurn(Arc::new(connection))
    }

    #[tokio::test]
    async fn so_many_are_answered_at_once_and_the_others_as_tasks() {
        let executor = executor(2);
        let done = Arc::new(Mutex::new(Vec::new()));
        let run = |name: &'static str, offers: bool| {
            if offers {
                executor.0.take_turn();
            }
            let done = Arc::clone(&done);
            executor.execute(async move { done.lock().unwrap().push(name) });
        };
        run("not offered", false);
        for name in ["first", "second", "third"] {
            run(name, true);
        }
        assert_eq!(*done.lock().unwrap(), ["first", "second"]);
        while done.lock().unwrap().len() < 4 {
            tokio::task::yield_now().await;
        }
        executor.0.begin_turn(Turn { n_requests: 1, n_bytes: 0 });
        run("of the next turn", true);
        assert_eq!(done.lock().unwrap().last(), Some(&"of the next turn"));
    }

    #[tokio::test]
    async fn who_steps_aside_is_finished_as_a_task() {
        let executor = executor(1);
        executor.0.take_turn();
        let (tell, told) = tokio::sync::oneshot::channel();
        executor.execute(async move {
            tokio::task::yield_now().await;
            tell.send(()).unwrap();
        });
        told.await.unwrap();
    }

    /// Asks in turn for something that ends as `end` does: it is asked once, and no task is left that would
    /// ask it again.
    async fn is_asked_once(end: fn() -> std::task::Poll<()>) {
        let executor = executor(1);
        executor.0.take_turn();
        let n_polls = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&n_polls);
        executor.execute(std::future::poll_fn(move |_| {
            seen.fetch_add(1, Ordering::Relaxed);
            end()
        }));
        tokio::task::yield_now().await;
        assert_eq!((n_polls.load(Ordering::Relaxed), Arc::strong_count(&n_polls)), (1, 1));
    }

    #[tokio::test]
    async fn a_panic_is_its_own_requests_alone() {
        is_asked_once(|| panic!("on purpose")).await;
    }

    #[tokio::test]
    async fn what_is_answered_in_turn_is_no_task_afterwards() {
        is_asked_once(|| std::task::Poll::Ready(())).await;
    }
}
