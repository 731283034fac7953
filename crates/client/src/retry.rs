//! When to ask again, and after how long.

use std::time::Duration;

use rand::Rng;

/// How often an UNAVAILABLE server is asked again, within the deadline of the call.
///
/// Attempt `n` waits a random time of up to `first_wait * 2^(n - 1)`, never more than `longest_wait`:
/// callers that were refused together do not come back together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts of one call in all, at least 1; 1: no retry.
    pub max_attempts: u32,
    /// The longest wait before the second attempt.
    pub first_wait: Duration,
    /// The longest wait before any attempt.
    pub longest_wait: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 4,
            first_wait: Duration::from_millis(20),
            longest_wait: Duration::from_secs(1),
        }
    }
}

impl RetryPolicy {
    /// One attempt only.
    #[must_use]
    pub fn never() -> Self {
        Self { max_attempts: 1, ..Self::default() }
    }

    /// The longest wait after `n_attempts`.
    fn bound(&self, n_attempts: u32) -> Duration {
        let doublings = n_attempts.saturating_sub(1).min(30);
        self.first_wait.saturating_mul(1 << doublings).min(self.longest_wait)
    }

    /// How long to wait after `n_attempts`, at least as long as the server asked for.
    pub(crate) fn wait(&self, n_attempts: u32, asked: Option<Duration>) -> Duration {
        let share = rand::rng().random_range(0.0..=1.0);
        self.bound(n_attempts).mul_f64(share).max(asked.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let policy = RetryPolicy {
            max_attempts: 99,
            first_wait: Duration::from_millis(10),
            longest_wait: Duration::from_millis(50),
        };
        let bounds = [1, 2, 3, 4, 99].map(|n| policy.bound(n).as_millis());
        assert_eq!(bounds, [10, 20, 40, 50, 50]);
        let waits: Vec<Duration> = (0..200).map(|_| policy.wait(2, None)).collect();
        assert!(waits.iter().all(|wait| *wait <= Duration::from_millis(20)));
        // spread, not all at the bound
        assert!(waits.iter().any(|wait| *wait < Duration::from_millis(10)));
        assert!(waits.iter().any(|wait| *wait > Duration::from_millis(10)));
        let asked = Duration::from_secs(2);
        assert_eq!(policy.wait(1, Some(asked)), asked);
    }
}
