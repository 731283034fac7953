//! Milliseconds from the bytes of a model of 5,000 trees of 31 leaves to a model that scores, one thread.
//!
//! `cargo bench -p segue-model --bench load`: `decode` is all of it, `compile` the engines' part.

#![expect(clippy::unwrap_used, reason = "a bench may stop")]

#[path = "scoring/forest.rs"]
#[expect(dead_code, reason = "the other benches also draw rows")]
mod forest;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use forest::{N_COLUMNS, schema, varied};
use segue_dataset::TargetKind;
use segue_model::{Calibration, Model, ModelParts, Scorer};

const N_TREES: usize = 5_000;
const N_LEAVES: usize = 31;

fn load(criterion: &mut Criterion) {
    let parts = ModelParts {
        schema: Arc::new(schema()),
        target: TargetKind::Binary,
        task: "churn".to_owned(),
        ensemble: varied(N_TREES, N_LEAVES),
        calibration: Calibration::None,
        behaviours: Vec::new(),
        feature_set_hash: None,
    };
    let model = Model::new(parts).unwrap();
    let bytes = model.encode();
    let mut group = criterion.benchmark_group("load");
    group.sample_size(20);
    group.bench_function("decode", |bencher| {
        bencher.iter(|| Model::decode(black_box(&bytes)).unwrap());
    });
    group.bench_function("compile", |bencher| {
        bencher.iter(|| Scorer::compile(black_box(model.ensemble()), N_COLUMNS));
    });
    group.finish();
}

criterion_group!(benches, load);
criterion_main!(benches);
