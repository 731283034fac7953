//! How a shadow's answers differ from a champion's: sums, extremes, a histogram.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use segue_registry::{DIFFERENCE_BOUNDS, ShadowCounts};

use super::compare::Compared;

/// Pairs of a model that are remembered; the one that was seen longest ago makes room.
const MAX_PAIRS: usize = 64;

/// Of a model: the version that answered, and the one that did not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pair {
    pub(crate) model: String,
    pub(crate) champion: u64,
    pub(crate) shadow: u64,
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
    pairs: Mutex<BTreeMap<Pair, ShadowCounts>>,
}

fn add(counts: &mut ShadowCounts, outcome: Outcome) {
    match outcome {
        Outcome::Unreadable => counts.n_unreadable += 1,
        Outcome::Error => counts.n_failed += 1,
        Outcome::Compared(compared) => {
            let Compared { difference, shift, is_equal, is_flip } = compared;
            counts.n_rows += 1;
            counts.n_equal += u64::from(is_equal);
            counts.n_segment_flips += u64::from(is_flip);
            counts.sum_abs_difference += difference;
            counts.max_abs_difference = counts.max_abs_difference.max(difference);
            counts.sum_shift += shift;
            let bucket = DIFFERENCE_BOUNDS.partition_point(|bound| *bound < difference);
            counts.buckets[bucket] += 1;
        }
    }
}

impl Tallies {
    pub(crate) fn add(&self, pair: Pair, outcome: Outcome, now_us: i64) {
        let mut pairs = self.lock();
        if !pairs.contains_key(&pair) {
            let of_model = || pairs.iter().filter(|(known, _)| known.model == pair.model);
            let oldest = of_model().min_by_key(|(_, counts)| counts.last_us);
            let oldest = oldest.map(|(pair, _)| pair.clone());
            if of_model().count() >= MAX_PAIRS {
                oldest.and_then(|pair| pairs.remove(&pair));
            }
        }
        let fresh = ShadowCounts {
            champion_version: pair.champion,
            shadow_version: pair.shadow,
            ..ShadowCounts::default()
        };
        let counts = pairs.entry(pair).or_insert(fresh);
        counts.count(now_us, |counts| add(counts, outcome));
    }

    /// The models that have pairs.
    pub(crate) fn models(&self) -> BTreeSet<String> {
        self.lock().keys().map(|pair| pair.model.clone()).collect()
    }

    /// The counts of a model, by champion and shadow.
    pub(crate) fn of(&self, model: &str) -> Vec<ShadowCounts> {
        let pairs = self.lock();
        let of_model = pairs.iter().filter(|(pair, _)| pair.model == model);
        of_model.map(|(_, counts)| counts.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Pair, ShadowCounts>> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
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
        let [tally] = &reports[..] else { panic!() };
        assert_eq!((tally.champion_version, tally.shadow_version), (1, 2));
        assert_eq!((tally.n_rows, tally.n_equal, tally.n_segment_flips), (3, 1, 1));
        assert_eq!((tally.n_unreadable, tally.n_failed), (1, 1));
        assert_eq!((tally.first_us, tally.last_us), (10, 14));
        assert!(
            (tally.mean_abs_difference() - 0.17).abs() < 1e-12 && tally.max_abs_difference == 0.5
        );
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
        assert_eq!(reports[0].shadow_version, 1);
        assert_eq!(tallies.of("visits").len(), 1, "another model's are its own");
    }
}
