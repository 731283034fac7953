//! How a version behaves: rows, failures, time and scores, in numbers that can be subtracted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use segue_dataset::TargetKind;

/// Buckets of time, four to a doubling from one microsecond: 2^27 microseconds are two minutes.
const N_TIMES: usize = 4 * 27;

/// Buckets of scores: twenty equal parts of a probability, or forty of a number's asinh.
const N_SCORES: usize = 40;

/// What a version has done since it was loaded. Each number is exact; together they are of no one
/// instant.
#[derive(Debug)]
pub(crate) struct Behaviour {
    failed: AtomicU64,
    times: [AtomicU64; N_TIMES],
    scores: [AtomicU64; N_SCORES],
}

impl Default for Behaviour {
    fn default() -> Self {
        let zero = |_| AtomicU64::new(0);
        Self {
            failed: AtomicU64::new(0),
            times: std::array::from_fn(zero),
            scores: std::array::from_fn(zero),
        }
    }
}

impl Behaviour {
    /// A row was scored.
    pub(crate) fn scored(&self, score: f64, target: &TargetKind) {
        self.scores[score_bucket(score, target)].fetch_add(1, Ordering::Relaxed);
    }

    /// Rows were refused, fell back to another version, or panicked.
    pub(crate) fn failed(&self, n_rows: u64) {
        self.failed.fetch_add(n_rows, Ordering::Relaxed);
    }

    /// A request was answered.
    pub(crate) fn answered(&self, took: Duration) {
        self.times[time_bucket(took)].fetch_add(1, Ordering::Relaxed);
    }

    /// The numbers of this moment.
    pub(crate) fn read(&self) -> Behaved {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Behaved {
            failed: load(&self.failed),
            times: self.times.each_ref().map(load),
            scores: self.scores.each_ref().map(load),
        }
    }
}

/// Numbers of a moment, or of the time between two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Behaved {
    failed: u64,
    times: [u64; N_TIMES],
    scores: [u64; N_SCORES],
}

impl Behaved {
    /// What happened since an earlier moment.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        Self {
            failed: self.failed.saturating_sub(earlier.failed),
            times: std::array::from_fn(|at| self.times[at].saturating_sub(earlier.times[at])),
            scores: std::array::from_fn(|at| self.scores[at].saturating_sub(earlier.scores[at])),
        }
    }

    /// Rows scored or failed.
    pub(super) fn n_rows(&self) -> u64 {
        self.failed + self.n_scored()
    }

    fn n_scored(&self) -> u64 {
        self.scores.iter().sum()
    }

    /// Requests answered.
    pub(super) fn n_requests(&self) -> u64 {
        self.times.iter().sum()
    }

    /// Share of the rows that failed; 0 without rows.
    pub(super) fn error_rate(&self) -> f64 {
        self.failed as f64 / self.n_rows().max(1) as f64
    }

    /// The lower bound of the bucket of the 99th percentile, which is at most 16 % below it: what is
    /// judged by it is never judged too hard. 0 without requests.
    pub(super) fn p99(&self) -> Duration {
        let rank = (self.n_requests() * 99).div_ceil(100);
        let mut n_below = 0;
        for (bucket, n_here) in self.times.iter().enumerate() {
            n_below += n_here;
            if n_here > &0 && n_below >= rank {
                return Duration::from_secs_f64(1e-6 * 2_f64.powf(bucket as f64 / 4.0));
            }
        }
        Duration::ZERO
    }

    /// Population stability index of the scores against a reference, less what chance alone gives
    /// for so few rows, at least 0.
    pub(super) fn score_shift(&self, reference: &Self) -> f64 {
        let (n_here, n_there) = (self.n_scored() as f64, reference.n_scored() as f64);
        if n_here == 0.0 || n_there == 0.0 {
            return 0.0;
        }
        let (mut index, mut n_buckets) = (0.0, 0.0);
        for (&here, &there) in self.scores.iter().zip(&reference.scores) {
            if here + there == 0 {
                continue;
            }
            n_buckets += 1.0;
            // Half a row in an empty bucket, so that no logarithm is infinite.
            let share = |count: u64, n_rows: f64| (count as f64).max(0.5) / n_rows;
            let (here, there) = (share(here, n_here), share(there, n_there));
            index += (here - there) * (here / there).ln();
        }
        let by_chance = (n_buckets - 1.0) * (1.0 / n_here + 1.0 / n_there);
        (index - by_chance).max(0.0)
    }
}

fn time_bucket(took: Duration) -> usize {
    let micros = took.as_secs_f64() * 1e6;
    // A negative logarithm and NaN are the first bucket.
    ((4.0 * micros.log2()) as usize).min(N_TIMES - 1)
}

fn score_bucket(score: f64, target: &TargetKind) -> usize {
    let bucket = match target {
        TargetKind::Binary | TargetKind::Multiclass { .. } => (score * 20.0).min(19.0),
        TargetKind::Regression => (score.asinh() * 2.0 + 20.0).floor(),
    };
    (bucket as usize).min(N_SCORES - 1)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Rows with these scores, so many failures, and requests that took so long.
    pub(in crate::traffic) fn behaved(
        scores: impl IntoIterator<Item = f64>,
        n_failed: u64,
        times_ms: impl IntoIterator<Item = f64>,
    ) -> Behaved {
        let behaviour = Behaviour::default();
        add(&behaviour, scores, n_failed, times_ms);
        behaviour.read()
    }

    pub(in crate::traffic) fn add(
        behaviour: &Behaviour,
        scores: impl IntoIterator<Item = f64>,
        n_failed: u64,
        times_ms: impl IntoIterator<Item = f64>,
    ) {
        scores.into_iter().for_each(|score| behaviour.scored(score, &TargetKind::Binary));
        behaviour.failed(n_failed);
        let times = times_ms.into_iter().map(|ms| Duration::from_secs_f64(ms / 1000.0));
        times.for_each(|took| behaviour.answered(took));
    }

    fn evenly(n_rows: usize) -> impl Iterator<Item = f64> {
        (0..n_rows).map(move |row| (row as f64 + 0.5) / n_rows as f64)
    }

    #[test]
    fn rates_and_percentiles_are_those_of_the_rows() {
        let times = (1..=100).map(f64::from);
        let behaved = behaved(evenly(300), 100, times);
        assert_eq!((behaved.n_rows(), behaved.error_rate()), (400, 0.25));
        let p99 = behaved.p99().as_secs_f64() * 1000.0;
        assert!((99.0 / 1.19..=99.0).contains(&p99), "{p99}");
        let none = behaved.since(&behaved);
        assert_eq!((none.n_rows(), none.error_rate(), none.p99()), (0, 0.0, Duration::ZERO));
    }

    #[test]
    fn shifts_are_told_from_chance() {
        let reference = behaved(evenly(10_000), 0, []);
        assert_eq!(reference.score_shift(&reference), 0.0);
        // As many rows as buckets of the same scores: chance alone would give nearly one.
        let few = behaved(evenly(20).map(|score| score * score.sqrt().sqrt()), 0, []);
        assert!(few.score_shift(&reference) < 0.1, "{}", few.score_shift(&reference));
        // (0.95 - 0.05) * ln(19) + 19 * (0.05 - 0.0026) * ln(19) is about 5.3.
        let top = evenly(10_000).map(|score| 1.0 - score * 0.05);
        let shift = behaved(top, 0, []).score_shift(&reference);
        assert!(shift > 5.0, "{shift}");
        let lower = evenly(10_000).map(|score| score * 0.8);
        let shift = behaved(lower, 0, []).score_shift(&reference);
        assert!((0.25..3.0).contains(&shift), "{shift}");
    }

    #[test]
    fn every_number_has_a_bucket() {
        for score in
            [f64::NAN, f64::NEG_INFINITY, -1e300, -1.0, -0.0, 0.5, 1.0, 1e300, f64::INFINITY]
        {
            for target in [TargetKind::Binary, TargetKind::Regression] {
                assert!(score_bucket(score, &target) < N_SCORES);
            }
        }
        for took in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            assert!(time_bucket(took) < N_TIMES);
        }
        let regression = |score| score_bucket(score, &TargetKind::Regression);
        assert!(regression(-10.0) < regression(0.0) && regression(0.0) < regression(10.0));
    }
}
