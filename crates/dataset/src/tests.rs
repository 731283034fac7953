use std::sync::Arc;

use crate::{
    Dataset, DatasetError, Feature, Matrix, RowKeys, Schema, SchemaError, Target, TargetKind,
    UNSEEN_CATEGORY,
};

fn schema() -> Arc<Schema> {
    let plans = vec!["free".to_owned(), "paid".to_owned()];
    Arc::new(
        Schema::new(vec![Feature::number("visits"), Feature::category("plan", plans)]).unwrap(),
    )
}

fn dataset(columns: Vec<Vec<f64>>, labels: &[f64]) -> Result<Dataset, DatasetError> {
    let target = Target { kind: TargetKind::Binary, values: labels.to_vec() };
    let matrix = Matrix::from_columns(columns.first().map_or(0, Vec::len), columns);
    Dataset::new(schema(), matrix, target, None, RowKeys::default())
}

#[test]
fn digest_tells_schemas_apart() {
    let of = |features: Vec<Feature>| Schema::new(features).unwrap().digest().clone();
    let text = |text: &str| text.to_owned();
    let schemas = [
        of(vec![Feature::number("ab"), Feature::number("c")]),
        of(vec![Feature::number("a"), Feature::number("bc")]),
        of(vec![Feature::number("c"), Feature::number("ab")]),
        of(vec![Feature::category("ab", vec![]), Feature::number("c")]),
        of(vec![Feature::category("ab", vec![text("x"), text("y")]), Feature::number("c")]),
        of(vec![Feature::category("ab", vec![text("xy")]), Feature::number("c")]),
    ];
    for (index, digest) in schemas.iter().enumerate() {
        assert!(!schemas[..index].contains(digest), "schema {index} shares a digest");
    }
    assert_eq!(schemas[0], of(vec![Feature::number("ab"), Feature::number("c")]));
}

#[test]
fn schema_refuses_names_that_clash() {
    let twice = Schema::new(vec![Feature::number("a"), Feature::number("a")]).unwrap_err();
    assert_eq!(twice, SchemaError::DuplicateName { name: "a".into(), first: 0, second: 1 });
    let category = Feature::category("plan", vec!["x".into(), "x".into()]);
    assert!(matches!(Schema::new(vec![category]), Err(SchemaError::DuplicateCategory { .. })));
    assert_eq!(Schema::new(vec![Feature::number("")]), Err(SchemaError::EmptyName { index: 0 }));
}

#[test]
fn categories_have_codes() {
    let schema = schema();
    assert_eq!(schema.category_code(1, "paid"), 1.0);
    assert_eq!(schema.category_code(1, "gold"), UNSEEN_CATEGORY);
}

#[test]
fn dataset_refuses_values_that_do_not_fit() {
    let nan = f64::NAN;
    assert!(dataset(vec![vec![1.0, nan], vec![0.0, UNSEEN_CATEGORY]], &[0.0, 1.0]).is_ok());
    let infinite = dataset(vec![vec![1.0, f64::INFINITY], vec![0.0, 1.0]], &[0.0, 1.0]);
    assert!(matches!(infinite, Err(DatasetError::Value { row: 1, .. })));
    let code = dataset(vec![vec![1.0, 1.0], vec![0.0, 2.0]], &[0.0, 1.0]);
    assert!(matches!(code, Err(DatasetError::Value { row: 1, .. })));
    let label = dataset(vec![vec![1.0], vec![0.0]], &[0.5]);
    assert!(matches!(label, Err(DatasetError::Label { row: 0, .. })));
    let rows = dataset(vec![vec![1.0, 2.0], vec![0.0, 0.0]], &[1.0]);
    assert_eq!(rows.unwrap_err().to_string(), "the matrix has 2 rows, the labels have 1");
}

#[test]
fn selection_keeps_rows_together() {
    let data = dataset(vec![vec![1.0, 2.0, 3.0], vec![0.0, 1.0, 0.0]], &[0.0, 1.0, 0.0]).unwrap();
    let picked = data.select(&[2, 0, 2]);
    assert_eq!(picked.features().column(0), [3.0, 1.0, 3.0]);
    assert_eq!(picked.target().values, [0.0, 0.0, 0.0]);
    let mut row = [0.0; 2];
    data.features().copy_row(1, &mut row);
    assert_eq!(row, [2.0, 1.0]);
    assert_eq!(Matrix::from_rows(2, &[1.0, 2.0, 3.0, 4.0]).column(1), [2.0, 4.0]);
}
