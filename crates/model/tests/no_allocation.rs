//! A row is scored without allocating once the scratch has seen the model.

#![expect(clippy::unwrap_used, reason = "what is built for a test is sound")]

#[path = "../../../tests/support/counting.rs"]
mod counting;

use std::sync::Arc;

use segue_dataset::{Feature, Schema, TargetKind};
use segue_model::{
    Calibration, CategorySet, Child, Combine, Ensemble, Link, MissingRule, Model, ModelParts, Node,
    Scratch, Split, Tree,
};

use counting::allocations_of;

/// Chains of `n_nodes` splits on a number and a category in turn.
fn model(n_nodes: u32, n_trees: usize) -> Model {
    let words = (0..20).map(|word| format!("word {word}")).collect();
    let features = vec![Feature::number("visits_7d"), Feature::category("plan", words)];
    let node = |index: u32| Node {
        feature: index % 2,
        split: if index.is_multiple_of(2) {
            Split::AtMost(f64::from(index) * 0.5)
        } else {
            Split::In(CategorySet::from_codes([index % 20, index % 7]))
        },
        missing: MissingRule::Right,
        left: Child::Leaf(index),
        right: if index + 1 < n_nodes { Child::Node(index + 1) } else { Child::Leaf(n_nodes) },
        gain: 1.0,
        cover: f64::from(n_nodes - index),
    };
    let tree = Tree {
        nodes: (0..n_nodes).map(node).collect(),
        leaf_values: (0..=n_nodes).map(|leaf| 0.01 * f64::from(leaf)).collect(),
        leaf_cover: vec![1.0; n_nodes as usize + 1],
        leaf_width: 1,
    };
    let parts = ModelParts {
        schema: Arc::new(Schema::new(features).unwrap()),
        target: TargetKind::Binary,
        task: "churn".to_owned(),
        ensemble: Ensemble {
            tree_output: vec![0; n_trees],
            trees: vec![tree; n_trees],
            base: vec![0.0],
            combine: Combine::Sum,
            link: Link::Logistic,
        },
        calibration: Calibration::Platt { slope: 1.0, intercept: 0.1 },
        behaviours: Vec::new(),
        feature_set_hash: None,
    };
    Model::decode(&Model::new(parts).unwrap().encode()).unwrap()
}

#[test]
fn scoring_a_row_does_not_allocate() {
    for (n_nodes, n_trees) in [(30, 100), (200, 3), (600, 2)] {
        let model = model(n_nodes, n_trees);
        let rows = [[3.5, 4.0], [f64::NAN, -1.0], [1e9, f64::NAN]];
        let mut scratch = Scratch::default();
        model.score(&rows[0], &mut scratch);
        let mut sum = 0.0;
        let n = allocations_of(|| {
            sum = rows.iter().map(|row| model.score(row, &mut scratch).score()).sum();
        });
        assert_eq!(n, 0, "{n_trees} trees of {n_nodes} nodes");
        assert!(sum > 0.0);
    }
}
