use std::ops::ControlFlow;
use std::sync::Arc;

use rand::Rng;
use segue_dataset::{Feature, Matrix, RowKeys, Schema, Target};
use segue_model::Split;

use super::*;
use crate::Learner;

fn table(columns: Vec<Vec<f64>>, kind: TargetKind, values: Vec<f64>) -> Dataset {
    let features = (0..columns.len()).map(|index| Feature::number(format!("x{index}"))).collect();
    let schema = Arc::new(Schema::new(features).unwrap());
    let matrix = Matrix::from_columns(values.len(), columns);
    Dataset::new(schema, matrix, Target { kind, values }, None, RowKeys::default()).unwrap()
}

/// Four numbers, of which two decide; every tenth value is missing.
fn noisy(n_rows: usize, kind: TargetKind) -> Dataset {
    let mut generator = generator(11, 0);
    let mut columns = vec![Vec::new(); 4];
    let mut labels = Vec::new();
    for _ in 0..n_rows {
        let row: [f64; 4] = std::array::from_fn(|_| generator.random_range(-1.0..1.0));
        let noise: f64 = generator.random_range(-0.5..0.5);
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(if generator.random_bool(0.1) { f64::NAN } else { value });
        }
        labels.push(match &kind {
            TargetKind::Binary => f64::from(row[0] + row[1] + noise > 0.0),
            TargetKind::Regression => row[0] + row[1] + noise,
            TargetKind::Multiclass { .. } => {
                f64::from(u32::from(row[0] + noise > 0.0) + u32::from(row[1] + noise > 0.3))
            }
        });
    }
    table(columns, kind, labels)
}

fn fit_with(params: ForestParams, data: &Dataset, n_threads: usize) -> Fitted {
    let learner = Learner::Forest(params).check().unwrap();
    crate::fit(&learner, data, None, n_threads, &|_| ControlFlow::Continue(())).unwrap()
}

fn three() -> TargetKind {
    TargetKind::Multiclass { classes: ["a", "b", "c"].map(str::to_owned).to_vec() }
}

fn predict(fitted: &Fitted, data: &Dataset, row: usize) -> Vec<f64> {
    let mut values = vec![0.0; data.schema().len()];
    data.features().copy_row(row, &mut values);
    let mut out = vec![0.0; fitted.ensemble.n_outputs()];
    fitted.ensemble.margins(&values, &mut out);
    out
}

#[test]
fn a_tree_without_bootstrap_by_hand() {
    let one_tree = ForestParams {
        n_trees: 1,
        features: FeatureShare::All,
        min_rows_in_leaf: 1,
        max_depth: 1,
        bootstrap: false,
        out_of_bag: false,
        ..ForestParams::default()
    };
    let column = vec![vec![1., 2., 3., 4.]];
    let data = table(column.clone(), TargetKind::Regression, vec![0., 0., 2., 4.]);
    let fitted = fit_with(one_tree.clone(), &data, 1);
    let tree = &fitted.ensemble.trees[0];
    // Squares of sums over rows: 0 + 36/2 - 36/4 = 9 at 2.5; 4/3 + 16 - 9 = 8.33 at 3.5.
    assert_eq!((&tree.nodes[0].split, tree.nodes[0].gain), (&Split::AtMost(2.5), 9.0));
    assert_eq!(tree.leaf_values, [0.0, 3.0]);
    let data = table(column, three(), vec![0., 1., 2., 2.]);
    let fitted = fit_with(one_tree, &data, 1);
    let tree = &fitted.ensemble.trees[0];
    // Gini: 2/2 + 4/2 - 6/4 = 1.5 at 2.5.
    assert_eq!((&tree.nodes[0].split, tree.nodes[0].gain), (&Split::AtMost(2.5), 1.5));
    assert_eq!(tree.leaf_values, [0.5, 0.5, 0.0, 0.0, 0.0, 1.0]);
    assert_eq!(tree.leaf_cover, [2.0, 2.0]);
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let kinds = [TargetKind::Binary, TargetKind::Regression, three()];
    for (kind, extra_trees) in kinds.into_iter().zip([false, true, true]) {
        let data = noisy(2_000, kind);
        let params = ForestParams { n_trees: 9, extra_trees, ..ForestParams::default() };
        let [one, two, three] = [1, 2, 3].map(|n| fit_with(params.clone(), &data, n));
        let bits = |fitted: &Fitted| -> Vec<u64> {
            let estimate = fitted.out_of_bag.as_ref().unwrap();
            estimate.predictions.iter().map(|value| value.to_bits()).collect()
        };
        assert!(one.ensemble == two.ensemble && one.ensemble == three.ensemble);
        assert!(bits(&one) == bits(&two) && bits(&one) == bits(&three));
    }
}

#[test]
fn two_classes_as_multiclass_give_the_same_questions_as_binary() {
    let binary = noisy(1_500, TargetKind::Binary);
    let names = ["no", "yes"].map(str::to_owned).to_vec();
    let columns = binary.features().columns().to_vec();
    let kind = TargetKind::Multiclass { classes: names };
    let multiclass = table(columns, kind, binary.target().values.clone());
    for extra_trees in [false, true] {
        let params = ForestParams { n_trees: 3, extra_trees, ..ForestParams::default() };
        let (a, b) = (fit_with(params.clone(), &binary, 1), fit_with(params, &multiclass, 1));
        for row in 0..binary.n_rows() {
            let (p, shares) = (predict(&a, &binary, row)[0], predict(&b, &multiclass, row));
            assert!((p - shares[1]).abs() < 1e-9 && (shares[0] + shares[1] - 1.0).abs() < 1e-9);
        }
    }
}

#[test]
fn extra_trees_ask_about_random_cuts_of_every_kind_of_target() {
    for kind in [TargetKind::Binary, three()] {
        let data = noisy(1_500, kind);
        let params = ForestParams {
            n_trees: 200,
            max_depth: 1,
            features: FeatureShare::All,
            out_of_bag: false,
            ..ForestParams::default()
        };
        // Distinct tenths of the range of a column at which roots cut it.
        let n_tenths = |extra_trees| {
            let fitted = fit_with(ForestParams { extra_trees, ..params.clone() }, &data, 1);
            let roots = fitted.ensemble.trees.iter().map(|tree| &tree.nodes[0]);
            let cuts = roots.filter_map(|node| match node.split {
                Split::AtMost(cut) => Some((cut * 10.0).floor() as i32),
                _ => None,
            });
            cuts.collect::<std::collections::BTreeSet<i32>>().len()
        };
        assert!(n_tenths(true) > n_tenths(false), "random cuts spread");
    }
}

#[test]
fn out_of_bag_loss_is_near_the_loss_on_new_rows() {
    let all = noisy(6_000, TargetKind::Binary);
    let train = all.select(&(0..3_000).collect::<Vec<_>>());
    let fitted = fit_with(ForestParams { n_trees: 60, ..ForestParams::default() }, &train, 2);
    let estimate = fitted.out_of_bag.as_ref().unwrap();
    assert_eq!(estimate.predictions.len(), 3_000);
    assert!(estimate.n_rows_covered >= 2_999);
    let loss_of = |rows: std::ops::Range<usize>| {
        let n = rows.len() as f64;
        let loss = |row: usize| {
            let label = all.target().values[row];
            row_loss(&TargetKind::Binary, &predict(&fitted, &all, row), label)
        };
        rows.map(loss).sum::<f64>() / n
    };
    let (on_new, on_train) = (loss_of(3_000..6_000), loss_of(0..3_000));
    assert!((estimate.loss - on_new).abs() < 0.03, "{} {on_new}", estimate.loss);
    assert!(on_train < estimate.loss - 0.02, "rows seen are easier: {on_train}");
}

#[test]
fn out_of_bag_predictions_leave_out_the_trees_that_saw_the_row() {
    let data = noisy(200, TargetKind::Regression);
    let params = ForestParams { n_trees: 2, min_rows_in_leaf: 5, ..ForestParams::default() };
    let fitted = fit_with(params, &data, 1);
    let estimate = fitted.out_of_bag.as_ref().unwrap();
    let mut n_without = 0;
    for row in 0..200 {
        let drawn = [0, 1].map(|tree| bootstrap_counts(200, &mut generator(0, tree))[row] > 0);
        let mut values = vec![0.0; 4];
        data.features().copy_row(row, &mut values);
        let of_tree = |tree: usize| {
            let tree = &fitted.ensemble.trees[tree];
            tree.leaf_values(tree.leaf(&values))[0]
        };
        let expected = match drawn {
            [true, true] => f64::NAN,
            [true, false] => of_tree(1),
            [false, true] => of_tree(0),
            [false, false] => (of_tree(0) + of_tree(1)) / 2.0,
        };
        n_without += usize::from(expected.is_nan());
        assert_eq!(estimate.predictions[row].to_bits(), expected.to_bits(), "{row} {drawn:?}");
    }
    assert_eq!(estimate.n_rows_covered, 200 - n_without);
}

#[test]
fn leaves_keep_their_smallest_number_of_rows() {
    let data = noisy(1_000, three());
    let params = ForestParams {
        n_trees: 4,
        min_rows_in_leaf: 30,
        bootstrap: false,
        out_of_bag: false,
        ..ForestParams::default()
    };
    for tree in &fit_with(params, &data, 1).ensemble.trees {
        assert!(tree.leaf_cover.iter().all(|&rows| rows >= 30.0));
        assert!(tree.n_leaves() > 5);
    }
}

#[test]
fn contradicting_parameters_are_named() {
    let params = ForestParams { bootstrap: false, ..ForestParams::default() };
    assert_eq!(
        params.check().unwrap_err().to_string(),
        "out_of_bag contradicts bootstrap: without bootstrap every tree sees every row; \
         turn one of them around"
    );
}
