use linfa::traits::Predict;
use ndarray::array;

use super::*;
use crate::foreign::tests::mixed_table;
use crate::{BoostingParams, ForestParams, LinfaTreeParams};

fn boosting() -> Learner {
    let params = BoostingParams { n_rounds: 30, min_rows_in_leaf: 5, ..BoostingParams::default() };
    Learner::Boosting(params)
}

#[test]
fn fits_and_predicts_numbers_through_linfa() {
    let data = mixed_table(600, TargetKind::Regression);
    let dataset = to_linfa_numbers(&data);
    let model = boosting().fit(&dataset).unwrap();
    let predicted: Array1<f64> = model.predict(dataset.records());
    let (mut error, mut spread) = (0.0, 0.0);
    for (predicted, label) in predicted.iter().zip(dataset.targets()) {
        error += (predicted - label).powi(2);
        spread += label.powi(2);
    }
    assert!(error < 0.2 * spread, "{error} of {spread}");
}

#[test]
fn labels_keep_their_values() {
    let records = Array2::from_shape_fn((90, 1), |(row, _)| row as f64);
    let targets: Array1<usize> = (0..90).map(|row| [7, 3, 40][row / 30]).collect();
    let dataset = linfa::Dataset::new(records, targets);
    for learner in [
        boosting(),
        Learner::Forest(ForestParams { min_rows_in_leaf: 2, ..ForestParams::default() }),
        Learner::LinfaTree(LinfaTreeParams::default()),
    ] {
        let model = learner.fit(&dataset).unwrap();
        assert_eq!(model.classes, [3, 7, 40]);
        let middle: Array1<usize> = model.predict(&array![[10.0], [45.0], [80.0]]);
        assert_eq!(middle.to_vec(), [7, 3, 40]);
        let shares = model.probabilities(&array![[10.0]]);
        assert!((shares.sum() - 1.0).abs() < 1e-9);
    }
}

#[test]
fn datasets_go_there_and_back() {
    let data = mixed_table(50, TargetKind::Binary);
    let weight: Vec<f64> = (0..50).map(|row| f64::from(row) / 8.0).collect();
    let data = Dataset::new(
        Arc::clone(data.schema()),
        data.features().clone(),
        data.target().clone(),
        Some(weight),
        RowKeys::default(),
    )
    .unwrap();
    let dataset = to_linfa_classes(&data);
    assert_eq!(dataset.feature_names(), ["a", "b", "c"]);
    let back = dataset_from_linfa(&dataset, data.target().clone()).unwrap();
    assert_eq!(back.weight(), data.weight());
    assert_eq!(back.schema().features()[2], Feature::number("c"), "linfa knows numbers only");
    for (one, other) in back.features().columns().iter().zip(data.features().columns()) {
        assert!(one.iter().zip(other).all(|(a, b)| a == b || (a.is_nan() && b.is_nan())));
    }
    let twice = linfa::Dataset::new(array![[0.0, 1.0], [1.0, 0.0]], array![0usize, 1])
        .with_feature_names(vec!["x", "x"]);
    let error = boosting().fit(&twice).unwrap_err();
    assert!(matches!(error, LearnError::Schema(_)) && error.to_string().contains("\"x\""));
    let infinite = linfa::Dataset::new(array![[f64::INFINITY], [0.0]], array![0usize, 1]);
    assert!(boosting().fit(&infinite).unwrap_err().to_string().contains("column_0"));
}
