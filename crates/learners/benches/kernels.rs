//! Times of the boosting's kernels: `cargo bench -p segue-learners`.
//!
//! Kernels are not public, so each bench is a whole fit on one thread of a shape in which one of them takes
//! most of the time; data-set building is always part of it. Tables are seeded; criterion compares a run
//! with the one before it.

#![allow(missing_docs, reason = "criterion's macros make a public function")]
#![allow(clippy::expect_used, reason = "a bench has nobody to hand an error to")]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use segue_dataset::{Dataset, Feature, Matrix, RowKeys, Schema, Target, TargetKind};
use segue_learners::{BoostingParams, ForestParams, Learner, Monotone, Objective, fit};

/// Numbers of which every third is a small count, 3 % missing; labels follow the first columns.
fn table(n_rows: usize, n_columns: usize) -> Dataset {
    let mut generator = ChaCha8Rng::seed_from_u64(5);
    let columns: Vec<Vec<f64>> = (0..n_columns)
        .map(|column| {
            let mut value = || {
                let value: f64 = generator.random_range(-1.0..1.0);
                let missing = generator.random_bool(0.03);
                let value = if column % 3 == 2 { (value * 8.0).abs().floor() } else { value };
                if missing { f64::NAN } else { value }
            };
            (0..n_rows).map(|_| value()).collect()
        })
        .collect();
    let labels = (0..n_rows).map(|row| {
        let seen = columns.iter().take(4).map(|column| column[row]).filter(|value| !value.is_nan());
        let noise: f64 = generator.random_range(-1.0..1.0);
        f64::from(u8::from(seen.sum::<f64>() + noise > 1.0))
    });
    let values = labels.collect();
    let features = (0..n_columns).map(|column| Feature::number(format!("x{column}"))).collect();
    let schema = Arc::new(Schema::new(features).expect("names are unique"));
    let target = Target { kind: TargetKind::Binary, values };
    let matrix = Matrix::from_columns(n_rows, columns);
    Dataset::new(schema, matrix, target, None, RowKeys::default()).expect("lengths agree")
}

fn regression(data: &Dataset) -> Dataset {
    let values = data.target().values.iter().map(|label| label * 3.0 + 1.0).collect();
    let target = Target { kind: TargetKind::Regression, values };
    let (schema, matrix) = (Arc::clone(data.schema()), data.features().clone());
    Dataset::new(schema, matrix, target, None, RowKeys::default()).expect("lengths agree")
}

fn bench(criterion: &mut Criterion, name: &str, learner: Learner, data: &Dataset) {
    let learner = learner.check().expect("parameters are in range");
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| {
            fit(&learner, data, None, 1, &|_| ControlFlow::Continue(())).expect("the table fits")
        });
    });
}

fn boosting(n_rounds: usize, n_leaves: usize) -> BoostingParams {
    BoostingParams { n_rounds, n_leaves, ..BoostingParams::default() }
}

fn kernels(criterion: &mut Criterion) {
    let of = Learner::Boosting;
    let wide = table(200_000, 28);
    bench(criterion, "cuts and encode, 200k x 28", of(boosting(1, 2)), &wide);
    // 150 root histograms over rows that follow one another.
    bench(criterion, "histogram packed, dense, 200k x 28", of(boosting(150, 2)), &wide);
    let sparse = BoostingParams { row_share: 1.0 / 16.0, ..boosting(150, 2) };
    bench(criterion, "histogram packed, 1 row in 16, 200k x 28", of(sparse.clone()), &wide);
    // Below 32,768 rows gradients keep all their bits.
    let small = table(30_000, 28);
    bench(criterion, "histogram wide, dense, 30k x 28", of(boosting(150, 2)), &small);
    bench(criterion, "histogram wide, 1 row in 16, 30k x 28", of(sparse), &small);
    // Few rows and many columns: next to the scans nothing takes time.
    let many = table(2_000, 400);
    bench(criterion, "split scan, 2k x 400", of(boosting(10, 63)), &many);
    let monotone = vec![Monotone::Increasing; 400];
    let constrained = BoostingParams { monotone, ..boosting(10, 63) };
    bench(criterion, "split scan with constraints, 2k x 400", of(constrained), &many);
    // One column: its histogram is next to nothing.
    let narrow = table(200_000, 1);
    bench(criterion, "partition, 200k x 1", of(boosting(10, 255)), &narrow);
    bench(criterion, "boosting, 100 x 31 leaves, 200k x 28", of(boosting(100, 31)), &wide);
    let squared = BoostingParams { objective: Some(Objective::Squared), ..boosting(100, 31) };
    let numbers = regression(&wide);
    bench(criterion, "boosting, squared error, 200k x 28", of(squared), &numbers);
    let forest = ForestParams { n_trees: 4, out_of_bag: false, ..ForestParams::default() };
    bench(criterion, "forest, 4 trees, 200k x 28", Learner::Forest(forest), &wide);
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = kernels
}
criterion_main!(benches);
