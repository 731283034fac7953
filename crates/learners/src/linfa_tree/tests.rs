use std::sync::Arc;

use linfa::traits::Predict;
use segue_dataset::{Feature, Matrix, RowKeys, Schema, Target};

use super::*;
use crate::Learner;
use crate::foreign::tests::mixed_table;

fn fit_default(data: &Dataset) -> Fitted {
    let learner = Learner::LinfaTree(LinfaTreeParams::default()).check().unwrap();
    crate::fit(&learner, data, None, 1, &|_| ControlFlow::Continue(())).unwrap()
}

#[test]
fn predicts_on_the_sample_what_linfa_predicts() {
    let data = mixed_table(700, TargetKind::Binary);
    let params = LinfaTreeParams::default();
    let table = PositionTable::new(&data, params.max_rows).unwrap();
    let targets: Array1<usize> = table.labels.iter().map(|&label| label as usize).collect();
    let original = linfa_tree(&params, &table, targets).unwrap();
    let shape = (table.rows.len(), table.n_columns());
    let records = Array2::from_shape_vec(shape, table.values.clone()).unwrap();
    let expected: Array1<usize> = original.predict(&records);
    let fitted = fit_default(&data);
    assert!(fitted.ensemble.trees[0].n_leaves() > 4);
    let mut row = vec![0.0; data.schema().len()];
    for (index, &label) in expected.iter().enumerate() {
        data.features().copy_row(table.rows[index] as usize, &mut row);
        let mut p = [0.0];
        fitted.ensemble.margins(&row, &mut p);
        assert_eq!(usize::from(p[0] >= 0.5), label, "row {index}, p {}", p[0]);
    }
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
