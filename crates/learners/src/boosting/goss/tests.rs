use rand::Rng;

use super::*;
use crate::Objective;
use crate::boosting::gradients::Source;
use crate::sampling::generator;

/// The rows as a sort puts them, the lower one first among equals.
fn sorted(rows: &[u32], sizes: &[f64], n: usize) -> (Vec<u32>, Vec<u32>) {
    let mut order = rows.to_vec();
    order.sort_by(|&a, &b| sizes[b as usize].total_cmp(&sizes[a as usize]).then(a.cmp(&b)));
    let mut others = order.split_off(n);
    order.sort_unstable();
    others.sort_unstable();
    (order, others)
}

#[test]
fn the_largest_are_those_of_a_sort() {
    let n_rows = 3 * COUNTED_ROWS + 77;
    let mut generator = generator(3, 0);
    let fine: Vec<f64> = (0..n_rows).map(|_| generator.random_range(0.0..1.0)).collect();
    // Few distinct sizes, in many blocks each, and zeros, subnormals and what is not finite.
    let coarse: Vec<f64> = fine.iter().map(|size| (size * 5.0).floor() / 4.0).collect();
    let extreme: Vec<f64> = fine
        .iter()
        .map(|size| [0.0, 5e-324, 1.0, f64::MAX, f64::INFINITY][(size * 5.0) as usize])
        .collect();
    let rows: Vec<u32> = (0..n_rows as u32).filter(|row| row % 7 != 3).collect();
    for sizes in [fine, coarse, extreme, vec![0.5; n_rows]] {
        for n in [0, 1, 100, rows.len() / 5, rows.len() - 1, rows.len()] {
            assert!(divide(&rows, &sizes, n) == sorted(&rows, &sizes, n), "{n}");
        }
    }
}

#[test]
fn a_sample_of_many_blocks_is_the_same_on_any_number_of_threads() {
    let n_rows = 50_000;
    let labels: Vec<f64> = (0..n_rows).map(|row| f64::from(row as u32 % 997)).collect();
    let margins = vec![500.0; n_rows];
    let rows: Vec<u32> = (0..n_rows as u32).filter(|row| row % 5 != 0).collect();
    let goss = Goss { top_rate: 0.1, other_rate: 0.3 };
    let sampled = |n_threads: usize, stream: u64| {
        let objective = Objective::Squared;
        let source = Source::Margins { objective: &objective, margins: &margins };
        let gradients = Gradients { labels: &labels, weights: None, max_weight: 1.0, source };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        let sample =
            pool.install(|| draw_by_gradient(goss, &rows, n_rows, &[gradients], 4, stream));
        (sample.rows, sample.factors.unwrap())
    };
    let (drawn, factors) = sampled(1, 2);
    assert!(sampled(3, 2) == (drawn.clone(), factors.clone()));
    assert!(sampled(1, 4).0 != drawn, "another round draws others");
    assert_eq!(drawn.len(), 16_000);
    assert!(drawn.is_sorted() && drawn.iter().all(|&row| factors[row as usize] > 0.0));
    // 4,000 of the largest count once, 12,000 of the other 36,000 three times.
    assert_eq!(factors.iter().filter(|&&factor| factor == 1.0).count(), 4_000);
    assert_eq!(factors.iter().filter(|&&factor| factor == 3.0).count(), 12_000);
    let smallest_top = rows.iter().filter(|&&row| factors[row as usize] == 1.0);
    let smallest_top = smallest_top.map(|&row| (labels[row as usize] - 500.0).abs());
    assert!(smallest_top.fold(f64::INFINITY, f64::min) >= 448.0);
}
