//! Trees that drop out (Rashmi and Gilad-Bachrach 2015, "DART: Dropouts meet Multiple Additive Regression
//! Trees").

use rand::Rng;

use super::params::Dart;
use crate::sampling::{draw_front, generator, hashed};

/// Keeps the draws apart from those of rows and columns.
const STREAM: u64 = 0xda27;

/// What a round leaves out while it grows, and how the outcome is weighed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Dropped {
    /// Indices of earlier rounds, ascending.
    pub(super) rounds: Vec<usize>,
}

impl Dropped {
    /// Draws for round `iteration` (from 1) out of the rounds before it.
    pub(super) fn draw(dart: Dart, iteration: usize, seed: u64) -> Self {
        let mut generator = generator(hashed(seed, STREAM), iteration as u64);
        if generator.random::<f64>() < dart.skip_drop {
            return Self { rounds: Vec::new() };
        }
        let mut rounds: Vec<u32> = (0..iteration as u32 - 1)
            .filter(|_| generator.random::<f64>() < dart.drop_rate)
            .collect();
        if dart.max_drop > 0 && rounds.len() > dart.max_drop {
            draw_front(&mut rounds, dart.max_drop, &mut generator);
            rounds.truncate(dart.max_drop);
            rounds.sort_unstable();
        }
        Self { rounds: rounds.into_iter().map(|round| round as usize).collect() }
    }

    /// Factor of the new trees: with `k` dropped rounds they share the place of `k + 1`.
    pub(super) fn new_factor(&self) -> f64 {
        1.0 / (self.rounds.len() as f64 + 1.0)
    }

    /// Factor of the dropped trees from now on.
    pub(super) fn old_factor(&self) -> f64 {
        let n_dropped = self.rounds.len() as f64;
        n_dropped / (n_dropped + 1.0)
    }
}
