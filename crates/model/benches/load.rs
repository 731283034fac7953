//! Milliseconds from the bytes of a model of 5,000 trees of 31 leaves to a model that scores, one thread.
//!
//! `cargo bench -p segue-model --bench load`: `decode` is all of it, `compile` the engines' part. `product` has
//! four categories of 12 values; in `session` half of the questions are sets of a category of 300 values, of
//! which hardly two are alike.

#![expect(clippy::unwrap_used, reason = "a bench may stop")]

#[path = "scoring/forest.rs"]
#[expect(dead_code, reason = "the other benches also draw rows")]
mod forest;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use forest::{Chance, N_COLUMNS, schema, varied};
use segue_dataset::TargetKind;
use segue_model::{Calibration, CategorySet, Ensemble, Model, ModelParts, Scorer, Split};

const N_TREES: usize = 5_000;
const N_LEAVES: usize = 31;
const N_WIDE_CATEGORIES: u32 = 300;

fn with_wide_sets(mut ensemble: Ensemble) -> Ensemble {
    let mut chance = Chance(12);
    for node in ensemble.trees.iter_mut().flat_map(|tree| &mut tree.nodes) {
        if chance.share() < 0.5 {
            node.feature = N_COLUMNS as u32 - 1;
            let inside = (0..N_WIDE_CATEGORIES).filter(|_| chance.share() < 0.4);
            node.split = Split::In(CategorySet::from_codes(inside));
        }
    }
    ensemble
}

fn load(criterion: &mut Criterion) {
    let product = varied(N_TREES, N_LEAVES);
    load_of(criterion, "session", with_wide_sets(product.clone()));
    load_of(criterion, "product", product);
}

fn load_of(criterion: &mut Criterion, table: &str, ensemble: Ensemble) {
    let parts = ModelParts {
        schema: Arc::new(schema()),
        target: TargetKind::Binary,
        task: "churn".to_owned(),
        ensemble,
        calibration: Calibration::None,
        behaviours: Vec::new(),
        feature_set_hash: None,
    };
    let model = Model::new(parts).unwrap();
    let bytes = model.encode();
    let mut group = criterion.benchmark_group(format!("load {table}"));
    group.sample_size(20);
    group.bench_function("decode", |bencher| {
        bencher.iter_with_large_drop(|| Model::decode(black_box(&bytes)).unwrap());
    });
    group.bench_function("compile", |bencher| {
        bencher.iter_with_large_drop(|| Scorer::compile(black_box(model.ensemble()), N_COLUMNS));
    });
    group.finish();
}

criterion_group!(benches, load);
criterion_main!(benches);
