//! Seeded draws. One independent stream per person and purpose, so that dirt never shifts what happens.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::params::{MILLISECOND_US, SECOND_US};

/// What a stream of random numbers is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Signups,
    Bots,
    Life(u64),
    Dirt(u64),
    Bot(u64),
}

impl Purpose {
    /// Streams of different purposes never meet: the purpose is in the high bits, the person in the low.
    fn stream(self) -> u64 {
        match self {
            Self::Signups => 0,
            Self::Bots => 1,
            Self::Life(person) => (1 << 40) | person,
            Self::Dirt(person) => (2 << 40) | person,
            Self::Bot(bot) => (3 << 40) | bot,
        }
    }
}

/// A stream of random numbers.
pub(crate) struct Chance(ChaCha8Rng);

impl Chance {
    pub(crate) fn new(seed: u64, purpose: Purpose) -> Self {
        let mut stream = ChaCha8Rng::seed_from_u64(seed);
        stream.set_stream(purpose.stream());
        Self(stream)
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        self.0.random()
    }

    /// Whether something of probability `p` happens.
    pub(crate) fn happens(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Uniform in `[least, most)`.
    pub(crate) fn between(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * self.unit()
    }

    /// A whole number in `0..n`; `n` must not be 0.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0.random_range(0..n)
    }

    /// A duration in microseconds, whole milliseconds, uniform between two numbers of seconds.
    pub(crate) fn seconds_us(&mut self, least: f64, most: f64) -> i64 {
        let us = self.between(least, most) * SECOND_US as f64;
        us as i64 / MILLISECOND_US * MILLISECOND_US
    }

    /// Mean 0, variance 1: twelve uniforms less six. No logarithm or cosine, so no platform differs.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    /// A Poisson count by multiplication (Knuth), at most `most`.
    pub(crate) fn poisson(&mut self, mean: f64, most: u32) -> u32 {
        let floor = (-mean).exp();
        let mut product = self.unit();
        let mut count = 0;
        while product > floor && count < most {
            product *= self.unit();
            count += 1;
        }
        count
    }

    /// One of the choices, in proportion to its weight; the last one takes what rounding leaves.
    pub(crate) fn choose<T: Copy>(&mut self, choices: &[(T, f64)], otherwise: T) -> T {
        let mut left = self.unit() * choices.iter().map(|(_, weight)| weight).sum::<f64>();
        for &(choice, weight) in choices {
            left -= weight;
            if left < 0.0 {
                return choice;
            }
        }
        otherwise
    }
}

/// The logistic function.
pub(crate) fn sigmoid(margin: f64) -> f64 {
    1.0 / (1.0 + (-margin).exp())
}
