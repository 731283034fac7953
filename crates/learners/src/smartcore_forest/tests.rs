use std::ops::ControlFlow;

use super::*;
use crate::Learner;
use crate::foreign::tests::mixed_table;

fn small() -> SmartcoreForestParams {
    SmartcoreForestParams { n_trees: 15, max_rows: 400, ..SmartcoreForestParams::default() }
}

fn fit_small(data: &Dataset) -> Fitted {
    let learner = Learner::SmartcoreForest(small()).check().unwrap();
    crate::fit(&learner, data, None, 1, &|_| ControlFlow::Continue(())).unwrap()
}

/// Our predictions for the sampled rows, scored from raw values.
fn predictions(data: &Dataset, table: &PositionTable) -> Vec<Vec<f64>> {
    let fitted = fit_small(data);
    assert_eq!(fitted.ensemble.trees.len(), 15);
    let mut row = vec![0.0; data.schema().len()];
    let predict = |&index: &u32| {
        data.features().copy_row(index as usize, &mut row);
        let mut out = vec![0.0; fitted.ensemble.n_outputs()];
        fitted.ensemble.margins(&row, &mut out);
        out
    };
    table.rows.iter().map(predict).collect()
}

#[test]
fn classes_are_voted_as_smartcore_votes() {
    let classes = ["a", "b", "c"].map(str::to_owned).to_vec();
    for kind in [TargetKind::Binary, TargetKind::Multiclass { classes }] {
        let data = mixed_table(700, kind);
        let table = PositionTable::new(&data, small().max_rows).unwrap();
        assert_eq!(table.rows.len(), 400, "as many as there may be");
        let forest = classifier(&small(), &table).unwrap();
        let expected = forest.predict(&matrix(&table).unwrap()).unwrap();
        for (shares, &label) in predictions(&data, &table).iter().zip(&expected) {
            let shares = match shares.as_slice() {
                &[p] => vec![1.0 - p, p],
                shares => shares.to_vec(),
            };
            // The first of the classes with most votes, as smartcore counts.
            let mut best = 0;
            for class in 1..shares.len() {
                if shares[class] > shares[best] + 1e-9 {
                    best = class;
                }
            }
            assert_eq!(best as u32, label, "{shares:?}");
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }
}

#[test]
fn numbers_are_averaged_as_smartcore_averages() {
    let data = mixed_table(700, TargetKind::Regression);
    let table = PositionTable::new(&data, small().max_rows).unwrap();
    let forest = regressor(&small(), &table).unwrap();
    let expected = forest.predict(&matrix(&table).unwrap()).unwrap();
    for (ours, theirs) in predictions(&data, &table).iter().zip(expected) {
        assert!((ours[0] - theirs).abs() < 1e-9, "{} {theirs}", ours[0]);
    }
}
