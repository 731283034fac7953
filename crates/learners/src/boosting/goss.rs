//! Gradient-based one-side sampling (Ke et al. 2017): rows with large gradients always, some of the others,
//! which then count for all of them.

use rayon::prelude::*;

use super::gradients::Gradients;
use super::params::Goss;
use crate::histogram::Derivatives;
use crate::sampling::{draw_front, generator};

/// Rows whose gradients one thread computes together.
const BLOCK_ROWS: usize = 4_096;

/// Rows of a round.
pub(super) struct Sample {
    /// Ascending.
    pub(super) rows: Vec<u32>,
    /// How often each row of the table counts, 0 for those that were not drawn; `None` if all drawn
    /// rows count once.
    pub(super) factors: Option<Vec<f64>>,
}

/// Draws from `rows` (ascending) by the absolute gradients, summed over outputs. Among equal ones the lower
/// row is larger.
pub(super) fn draw_by_gradient(
    goss: Goss,
    rows: &[u32],
    n_rows: usize,
    outputs: &[Gradients<'_>],
    seed: u64,
    stream: u64,
) -> Sample {
    let sizes = sizes(n_rows, outputs);
    let n_top = share(goss.top_rate, rows.len());
    let mut order = rows.to_vec();
    if n_top > 0 && n_top < order.len() {
        let size = |row: u32| sizes[row as usize];
        order.select_nth_unstable_by(n_top - 1, |&a, &b| {
            size(b).total_cmp(&size(a)).then(a.cmp(&b))
        });
    }
    let others = &mut order[n_top..];
    others.sort_unstable();
    let n_others = share(goss.other_rate, rows.len()).min(others.len());
    draw_front(others, n_others, &mut generator(seed, stream));
    let factor = others.len() as f64 / n_others.max(1) as f64;
    let mut factors = vec![0.0; n_rows];
    order.truncate(n_top + n_others);
    for (index, &row) in order.iter().enumerate() {
        factors[row as usize] = if index < n_top { 1.0 } else { factor };
    }
    order.sort_unstable();
    Sample { rows: order, factors: Some(factors) }
}

fn share(rate: f64, n_rows: usize) -> usize {
    ((rate * n_rows as f64).ceil() as usize).min(n_rows)
}

fn sizes(n_rows: usize, outputs: &[Gradients<'_>]) -> Vec<f64> {
    let mut sizes = vec![0.0; n_rows];
    sizes.par_chunks_mut(BLOCK_ROWS).enumerate().for_each(|(block, sizes)| {
        let (mut gradients, mut hessians) = (vec![0.0; sizes.len()], vec![0.0; sizes.len()]);
        for output in outputs {
            output.fill(block * BLOCK_ROWS, &mut gradients, &mut hessians);
            sizes.iter_mut().zip(&gradients).for_each(|(size, g)| *size += g.abs());
        }
    });
    sizes
}
