use std::ops::ControlFlow;
use std::sync::Arc;

use segue_dataset::{Feature, Matrix, RowKeys, Schema, Target};
use segue_model::Child;

use super::*;
use crate::Learner;
use crate::foreign::tests::mixed_table;

fn fit_default(data: &Dataset) -> Fitted {
    let learner = Learner::LinfaTree(LinfaTreeParams::default()).check().unwrap();
    crate::fit(&learner, data, None, 1, &|_| ControlFlow::Continue(())).unwrap()
}

#[test]
fn every_question_is_linfas_own_for_the_rows_of_the_node() {
    let data = mixed_table(700, TargetKind::Binary);
    let params = LinfaTreeParams::default();
    let table = PositionTable::new(&data, params.max_rows).unwrap();
    let targets: Vec<usize> = table.labels.iter().map(|&label| label as usize).collect();
    let tree = &fit_default(&data).ensemble.trees[0];
    assert!(tree.n_leaves() > 4);
    let mut rows_of = vec![Vec::new(); tree.nodes.len()];
    rows_of[0] = (0..table.rows.len()).collect::<Vec<usize>>();
    let mut n_asked = 0;
    for (index, node) in tree.nodes.iter().enumerate() {
        let rows = std::mem::take(&mut rows_of[index]);
        let values = rows.iter().flat_map(|&row| table.row(row)).copied().collect();
        let records = Array2::from_shape_vec((rows.len(), 3), values).unwrap();
        let of_node: Array1<usize> = rows.iter().map(|&row| targets[row]).collect();
        let asked = linfa::Dataset::new(records, of_node);
        let min_rows = params.min_rows_in_leaf as f32;
        let stump = DecisionTree::params().max_depth(Some(1)).min_weight_leaf(min_rows);
        let stump = stump.fit(&asked).unwrap();
        let mut row = vec![0.0; 3];
        for (&at, values) in rows.iter().zip(asked.records().rows()) {
            data.features().copy_row(at, &mut row);
            let child = node.next(row[node.feature as usize]);
            if !stump.root_node().is_leaf() {
                let (column, threshold, _) = stump.root_node().split();
                assert_eq!(child == node.left, values[column] <= threshold, "node {index}");
                n_asked += 1;
            }
            if let Child::Node(child) = child {
                rows_of[child as usize].push(at);
            }
        }
    }
    assert!(n_asked > 1_000, "{n_asked} answers compared");
}

/// A table of numbers with labels 0 and 1.
fn numbers(columns: Vec<Vec<f64>>, labels: Vec<f64>) -> Dataset {
    let names = (0..columns.len()).map(|column| Feature::number(format!("f{column}"))).collect();
    let schema = Arc::new(Schema::new(names).unwrap());
    let matrix = Matrix::from_columns(labels.len(), columns);
    let target = Target { kind: TargetKind::Binary, values: labels };
    Dataset::new(schema, matrix, target, None, RowKeys::default()).unwrap()
}

/// The flag divides the rows; on one side the count tells the classes apart, but the last row of
/// every count is on the other side. Grown at once, linfa passes over all those thresholds.
#[test]
fn runs_of_equal_values_hide_no_threshold() {
    let n = 800;
    let flag: Vec<f64> = (0..n).map(|row| f64::from(row >= 300)).collect();
    let count: Vec<f64> = (0..n).map(|row| f64::from(row % 4)).collect();
    let labels: Vec<f64> =
        (0..n as usize).map(|row| f64::from(flag[row] == 0.0 && count[row] <= 1.0)).collect();
    let data = numbers(vec![flag, count], labels.clone());
    let tree = &fit_default(&data).ensemble.trees[0];
    let mut row = [0.0; 2];
    for (index, label) in labels.iter().enumerate() {
        data.features().copy_row(index, &mut row);
        assert_eq!(tree.leaf_values(tree.leaf(&row)), [*label], "{row:?}");
    }
}

/// Where the rarer class is the rarer everywhere, linfa takes back every question.
#[test]
fn a_rare_class_still_gets_questions() {
    let n = 2_000;
    let x: Vec<f64> = (0..n).map(|row| f64::from(row % 10)).collect();
    // 30 of 100 where x is at most 1, 2 of 100 elsewhere.
    let rate = |x: f64| if x <= 1.0 { 30 } else { 2 };
    let labels: Vec<f64> =
        (0..n).map(|row| f64::from(row / 10 % 100 < rate(x[row as usize]))).collect();
    let data = numbers(vec![x], labels);
    let tree = &fit_default(&data).ensemble.trees[0];
    assert_eq!(tree.leaf_values(tree.leaf(&[1.0])), [0.3]);
    assert_eq!(tree.leaf_values(tree.leaf(&[2.0])), [0.02]);
    assert!(tree.leaf_cover.iter().all(|&cover| cover >= 20.0));
}

#[test]
fn more_classes_give_probabilities() {
    let classes = ["a", "b", "c"].map(str::to_owned).to_vec();
    let data = mixed_table(700, TargetKind::Multiclass { classes });
    let (fitted, again) = (fit_default(&data), fit_default(&data));
    assert_eq!(fitted, again, "linfa's random order must not show");
    let mut row = vec![0.0; data.schema().len()];
    let mut n_right = 0;
    for (index, &label) in data.target().values.iter().enumerate() {
        data.features().copy_row(index, &mut row);
        let mut shares = [0.0; 3];
        fitted.ensemble.margins(&row, &mut shares);
        fitted.ensemble.link(&mut shares);
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let best = (0..3).max_by(|&a, &b| shares[a].total_cmp(&shares[b])).unwrap();
        n_right += usize::from(best == label as usize);
    }
    assert!(n_right > 450, "{n_right} of 700");
}

#[test]
fn numbers_are_refused() {
    let schema = Schema::new(vec![Feature::number("x")]).unwrap();
    let matrix = Matrix::from_columns(2, vec![vec![0.0, 1.0]]);
    let target = Target { kind: TargetKind::Regression, values: vec![0.0, 1.0] };
    let data = Dataset::new(Arc::new(schema), matrix, target, None, RowKeys::default()).unwrap();
    let learner = Learner::LinfaTree(LinfaTreeParams::default()).check().unwrap();
    let error = crate::fit(&learner, &data, None, 1, &|_| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().starts_with("linfa_tree only classifies"));
}
