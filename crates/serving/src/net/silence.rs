//! For how long a stream may say nothing.
//!
//! Pings keep its connection alive, and it holds permits of others: without a bound a caller who has
//! forgotten its streams keeps everybody else out. What counts is the time in which the next message was
//! waited for, not the time in which nobody here had looked.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Measures one silence after the other.
#[derive(Debug)]
pub(super) struct Silence {
    limit: Duration,
    /// Since when a message is waited for.
    since: Option<Instant>,
    /// Set anew when it rings and not at every message.
    clock: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, since: None, clock: None }
    }

    /// A whole message has come.
    pub(super) fn is_over(&mut self) {
        self.since = None;
    }

    /// Nothing is there: after which time, if that is too long. Otherwise the task is told when it is.
    pub(super) fn broken(&mut self, context: &mut Context<'_>) -> Option<Duration> {
        let until = *self.since.get_or_insert_with(Instant::now) + self.limit;
        let clock = self.clock.get_or_insert_with(|| Box::pin(sleep_until(until)));
        while clock.as_mut().poll(context) == Poll::Ready(()) {
            if clock.deadline() >= until {
                return Some(self.limit);
            }
            clock.as_mut().reset(until);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(20);

    async fn waits(silence: &mut Silence) -> Duration {
        std::future::poll_fn(|context| match silence.broken(context) {
            Some(after) => Poll::Ready(after),
            None => Poll::Pending,
        })
        .await
    }

    #[tokio::test]
    async fn every_message_begins_a_silence_anew() {
        let mut silence = Silence::new(LIMIT);
        let started = Instant::now();
        for n_messages in 1..=3 {
            assert_eq!(waits(&mut silence).await, LIMIT);
            assert!(started.elapsed() >= n_messages * LIMIT, "{n_messages}");
            silence.is_over();
        }
    }

    #[tokio::test]
    async fn what_is_looked_at_again_began_when_it_did() {
        let mut silence = Silence::new(LIMIT);
        let look = |silence: &mut Silence| {
            let mut context = Context::from_waker(std::task::Waker::noop());
            let _ = silence.broken(&mut context);
            silence.since
        };
        assert!(silence.since.is_none(), "nobody waits yet");
        let begun = look(&mut silence);
        waits(&mut silence).await;
        assert!(
            begun.is_some() && look(&mut silence) == begun,
            "parts of a message are no end of it"
        );
        silence.is_over();
        assert!(look(&mut silence) > begun);
    }
}
