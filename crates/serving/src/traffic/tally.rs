//! How a shadow's answers differ from a champion's: sums, extremes, a histogram.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::compare::Compared;

/// Upper bounds of the buckets of absolute differences; a last one is open.
pub(crate) const DIFFERENCE_BOUNDS: [f64; 10] =
    [1e-9, 1e-6, 1e-4, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2];

/// Pairs of a model that are remembered; the one that was seen longest ago makes room.
const MAX_PAIRS: usize = 64;

/// Of a model: the version that answered, and the one that did not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pair {
    pub(crate) model: String,
    pub(crate) champion: u64,
    pub(crate) shadow: u64,
}

/// What is known of a pair.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tally {
    /// Rows that both scored.
    pub(crate) n_rows: u64,
    /// Of those with the same bits.
    pub(crate) n_equal: u64,
    /// Of those with another segment.
    pub(crate) n_flips: u64,
    /// By [`DIFFERENCE_BOUNDS`].
    pub(crate) buckets: [u64; DIFFERENCE_BOUNDS.len() + 1],
    sum_abs: f64,
    pub(crate) max_abs: f64,
    /// Of shadow less champion.
    sum_shift: f64,
    /// Rows that the shadow cannot read.
    pub(crate) n_unreadable: u64,
    /// Rows that it cannot score.
    pub(crate) n_errors: u64,
    /// When the first and the last row came, in microseconds UTC.
    pub(crate) first_us: i64,
    pub(crate) last_us: i64,
}

/// A pair and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PairReport {
    pub(crate) champion: u64,
    pub(crate) shadow: u64,
    pub(crate) tally: Tally,
}

/// How the comparison of a row ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Outcome {
    Compared(Compared),
    Unreadable,
    Error,
}

/// What is known of all pairs. Only the thread of the shadows and who asks for a report come here.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    pairs: Mutex<BTreeMap<Pair, Tally>>,
}

impl Tally {
    fn add(&mut self, outcome: Outcome, now_us: i64) {
        if self.first_us == 0 {
            self.first_us = now_us;
        }
        self.last_us = now_us;
        match outcome {
            Outcome::Unreadable => self.n_unreadable += 1,
            Outcome::Error => self.n_errors += 1,
            Outcome::Compared(compared) => {
                let Compared { difference, shift, is_equal, is_flip } = compared;
                self.n_rows += 1;
                self.n_equal += u64::from(is_equal);
                self.n_flips += u64::from(is_flip);
                self.sum_abs += difference;
                self.max_abs = self.max_abs.max(difference);
                self.sum_shift += shift;
                self.buckets[DIFFERENCE_BOUNDS.partition_point(|bound| *bound < difference)] += 1;
            }
        }
    }

    /// 0 without rows.
    pub(crate) fn mean_abs(&self) -> f64 {
        self.sum_abs / self.n_rows.max(1) as f64
    }

    /// 0 without rows.
    pub(crate) fn mean_shift(&self) -> f64 {
        self.sum_shift / self.n_rows.max(1) as f64
    }
}

impl Tallies {
    pub(crate) fn add(&self, pair: Pair, outcome: Outcome, now_us: i64) {
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        if !pairs.contains_key(&pair) {
            let of_model = || pairs.iter().filter(|(known, _)| known.model == pair.model);
            let oldest = of_model().min_by_key(|(_, tally)| tally.last_us);
            let oldest = oldest.map(|(pair, _)| pair.clone());
            if of_model().count() >= MAX_PAIRS {
                oldest.and_then(|pair| pairs.remove(&pair));
            }
        }
        pairs.entry(pair).or_default().add(outcome, now_us);
    }

    /// The pairs of a model, by champion and shadow.
    pub(crate) fn of(&self, model: &str) -> Vec<PairReport> {
        let pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        let of_model = pairs.iter().filter(|(pair, _)| pair.model == model);
        let report = |(pair, tally): (&Pair, &Tally)| PairReport {
            champion: pair.champion,
            shadow: pair.shadow,
            tally: tally.clone(),
        };
        of_model.map(report).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(shadow: u64) -> Pair {
        Pair { model: "churn".to_owned(), champion: 1, shadow }
    }

    #[test]
    fn figures_are_those_of_the_rows() {
        let tallies = Tallies::default();
        let compared = |difference: f64, shift, is_flip| {
            let is_equal = difference == 0.0;
            Outcome::Compared(Compared { difference, shift, is_equal, is_flip })
        };
        for (at, outcome) in [
            compared(0.0, 0.0, false),
            compared(0.5, -0.5, true),
            compared(0.01, 0.01, false),
            Outcome::Unreadable,
            Outcome::Error,
        ]
        .into_iter()
        .enumerate()
        {
            tallies.add(pair(2), outcome, at as i64 + 10);
        }
        let reports = tallies.of("churn");
        assert!(tallies.of("visits").is_empty());
        let [PairReport { champion: 1, shadow: 2, tally }] = &reports[..] else { panic!() };
        assert_eq!((tally.n_rows, tally.n_equal, tally.n_flips), (3, 1, 1));
        assert_eq!((tally.n_unreadable, tally.n_errors), (1, 1));
        assert_eq!((tally.first_us, tally.last_us), (10, 14));
        assert!((tally.mean_abs() - 0.17).abs() < 1e-12 && tally.max_abs == 0.5);
        assert!((tally.mean_shift() + 0.49 / 3.0).abs() < 1e-12);
        // A difference on a bound is not above it.
        assert_eq!(tally.buckets, [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn the_pair_seen_longest_ago_makes_room() {
        let tallies = Tallies::default();
        let other = Pair { model: "visits".to_owned(), ..pair(0) };
        tallies.add(other, Outcome::Error, 1);
        for shadow in 0..=MAX_PAIRS as u64 {
            tallies.add(pair(shadow), Outcome::Error, 100 + shadow as i64);
        }
        let reports = tallies.of("churn");
        assert_eq!(reports.len(), MAX_PAIRS);
        assert_eq!(reports[0].shadow, 1);
        assert_eq!(tallies.of("visits").len(), 1, "another model's are its own");
    }
}
