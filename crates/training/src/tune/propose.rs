//! Where to look next: spread over the cube at first, then near what was good and far from what was not.
//!
//! The first points are an additive recurrence (Roberts 2018, "The unreasonable effectiveness of
//! quasirandom sequences"), then a tree-structured Parzen estimator (Bergstra and others 2011): the best
//! few trials and the rest each give a density, one parameter at a time, and of some draws from the good
//! density the one with the largest ratio of good to bad is taken. Few are good: a share that grows with
//! all trials keeps the density as wide as it was, and then the search does not close in.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Points that are spread before any is proposed from others.
const N_SPREAD: usize = 12;
/// Trials that count as good, as a share of the square root of those that were finished (hyperopt's rule).
const GOOD_SHARE: f64 = 0.25;
/// Least trials that count as good.
const MIN_GOOD: usize = 3;
/// Draws from the good density.
const N_CANDIDATES: usize = 32;
/// Narrowest kernel, as a share of the range.
const NARROWEST: f64 = 0.04;

/// What came of a point: its loss, infinite if it was given up.
#[derive(Debug, Clone)]
pub(super) struct Tried {
    pub(super) point: Vec<f64>,
    pub(super) loss: f64,
}

/// The next point of the unit cube. A function of its arguments alone: the same trials give the same
/// proposal, whoever asks again.
pub(super) fn propose(n_dimensions: usize, tried: &[Tried], seed: u64) -> Vec<f64> {
    let nth = tried.len();
    let n_finished = tried.iter().filter(|it| it.loss.is_finite()).count();
    if nth < N_SPREAD || n_finished < 4 {
        return spread(n_dimensions, nth, seed);
    }
    let mut order: Vec<&Tried> = tried.iter().collect();
    order.sort_by(|a, b| a.loss.total_cmp(&b.loss));
    let n_good = (((n_finished as f64).sqrt() * GOOD_SHARE).ceil() as usize).max(MIN_GOOD);
    let (good, bad) = order.split_at(n_good.min(order.len() - 1));
    let mut random = Random::new(seed, nth as u64);
    let densities: Vec<(Density, Density)> =
        (0..n_dimensions).map(|at| (Density::of(good, at), Density::of(bad, at))).collect();
    let candidate = |random: &mut Random| -> (f64, Vec<f64>) {
        let point: Vec<f64> = densities.iter().map(|(good, _)| good.draw(random)).collect();
        let ratio = point.iter().zip(&densities);
        (ratio.map(|(&x, (good, bad))| (good.at(x) / bad.at(x)).ln()).sum(), point)
    };
    let mut best = candidate(&mut random);
    for _ in 1..N_CANDIDATES {
        let next = candidate(&mut random);
        if next.0 > best.0 {
            best = next;
        }
    }
    best.1
}

/// The `nth` point of the recurrence `x + nth / g^(k + 1)`, where `g` solves `g^(d + 1) = g + 1`.
fn spread(n_dimensions: usize, nth: usize, seed: u64) -> Vec<f64> {
    let mut g: f64 = 2.0;
    for _ in 0..50 {
        g = (1.0 + g).powf(1.0 / (n_dimensions as f64 + 1.0));
    }
    let mut random = Random::new(seed, u64::MAX);
    (1..=n_dimensions)
        .map(|k| (random.unit() + (nth + 1) as f64 / g.powi(k as i32)).fract())
        .collect()
}

/// A mixture of the uniform density and a normal kernel around each point, on 0 to 1.
struct Density {
    centres: Vec<f64>,
    width: f64,
}

impl Density {
    fn of(tried: &[&Tried], dimension: usize) -> Self {
        let centres: Vec<f64> = tried.iter().map(|it| it.point[dimension]).collect();
        let n = centres.len() as f64;
        let mean = centres.iter().sum::<f64>() / n;
        let variance = centres.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        // Scott's rule, as wide as the points are spread
        let width = (variance.sqrt() * n.powf(-0.2)).max(NARROWEST);
        Self { centres, width }
    }

    /// Not normalised for the part of a kernel beyond the ends: the same in both densities.
    fn at(&self, x: f64) -> f64 {
        let kernel = |centre: &f64| (-0.5 * ((x - centre) / self.width).powi(2)).exp();
        let scale = self.width * std::f64::consts::TAU.sqrt();
        let kernels = self.centres.iter().map(kernel).sum::<f64>() / scale;
        (1.0 + kernels) / (1.0 + self.centres.len() as f64)
    }

    fn draw(&self, random: &mut Random) -> f64 {
        let which = (random.unit() * (self.centres.len() as f64 + 1.0)) as usize;
        let Some(centre) = self.centres.get(which) else { return random.unit() };
        loop {
            let x = centre + self.width * random.normal();
            if (0.0..=1.0).contains(&x) {
                return x;
            }
        }
    }
}

struct Random(ChaCha8Rng);

impl Random {
    fn new(seed: u64, stream: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(stream);
        Self(generator)
    }

    /// From 0 to below 1.
    fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal (Box and Muller 1958).
    fn normal(&mut self) -> f64 {
        let (radius, angle) = (1.0 - self.unit(), self.unit());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn searched(
        loss: &dyn Fn(&[f64]) -> f64,
        n_dimensions: usize,
        seed: u64,
        n: usize,
    ) -> Vec<Tried> {
        let mut tried: Vec<Tried> = Vec::new();
        for _ in 0..n {
            let point = propose(n_dimensions, &tried, seed);
            assert!(point.iter().all(|x| (0.0..=1.0).contains(x)), "{point:?}");
            tried.push(Tried { loss: loss(&point), point });
        }
        tried
    }

    fn best(tried: &[Tried]) -> f64 {
        tried.iter().map(|it| it.loss).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn it_comes_nearer_to_a_minimum_than_spreading_does() {
        let bowl = |point: &[f64]| {
            let goal = [0.2, 0.7, 0.45, 0.9];
            point.iter().zip(goal).map(|(x, goal)| (x - goal).powi(2)).sum::<f64>()
        };
        // single searches may be lucky or not: the mean of the logarithms over ten
        let gain = |seed: u64| {
            let tried = searched(&bowl, 4, seed, 60);
            let spread: Vec<Tried> = (0..60)
                .map(|nth| spread(4, nth, seed))
                .map(|point| Tried { loss: bowl(&point), point })
                .collect();
            (best(&tried) / best(&spread)).ln()
        };
        let mean = (0..10).map(gain).sum::<f64>() / 10.0;
        assert!(mean < 0.25_f64.ln(), "{}", mean.exp());
    }

    #[test]
    fn trials_that_were_given_up_are_avoided() {
        let half = |point: &[f64]| if point[0] > 0.5 { f64::INFINITY } else { point[1] };
        let tried = searched(&half, 2, 3, 60);
        let late = &tried[30..];
        assert!(late.iter().filter(|it| it.loss.is_finite()).count() > 22);
    }

    #[test]
    fn the_same_trials_give_the_same_proposal() {
        let flat = |_: &[f64]| 1.0;
        let (a, b) = (searched(&flat, 3, 1, 20), searched(&flat, 3, 1, 20));
        assert!(a.iter().zip(&b).all(|(a, b)| a.point == b.point));
        assert_ne!(searched(&flat, 3, 2, 1)[0].point, a[0].point);
        let never = |_: &[f64]| f64::INFINITY;
        assert_eq!(searched(&never, 3, 1, 30).len(), 30);
    }
}
