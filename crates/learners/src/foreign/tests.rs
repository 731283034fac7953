use std::sync::Arc;

use rand::Rng;
use segue_dataset::{Feature, Matrix, RowKeys, Schema, Target, UNSEEN_CATEGORY};

use super::*;
use crate::sampling::generator;

/// Two numbers (one of small scale, with missing values) and a category that all matter.
pub(crate) fn mixed_table(n_rows: usize, kind: TargetKind) -> Dataset {
    let mut generator = generator(23, 0);
    let mut columns = vec![Vec::new(); 3];
    let mut labels = Vec::new();
    for _ in 0..n_rows {
        let (a, b): (f64, f64) =
            (generator.random_range(-1.0..1.0), generator.random_range(-1.0..1.0));
        let category = generator.random_range(0u32..6);
        let noise: f64 = generator.random_range(-0.3..0.3);
        let sum = a + b + f64::from(category % 3) * 0.4 - 0.4 + noise;
        // Differences below 1e-5, which linfa takes for equal.
        columns[0].push(if generator.random_bool(0.15) { f64::NAN } else { a * 1e-6 });
        columns[1].push(b);
        columns[2].push(if category == 5 { f64::NAN } else { f64::from(category) });
        labels.push(match &kind {
            TargetKind::Binary => f64::from(sum > 0.0),
            TargetKind::Regression => sum,
            TargetKind::Multiclass { .. } => {
                f64::from(u32::from(sum > -0.3) + u32::from(sum > 0.3))
            }
        });
    }
    let vocabulary = (0..6).map(|category| format!("k{category}")).collect();
    let features =
        vec![Feature::number("a"), Feature::number("b"), Feature::category("c", vocabulary)];
    let schema = Arc::new(Schema::new(features).unwrap());
    let matrix = Matrix::from_columns(n_rows, columns);
    Dataset::new(schema, matrix, Target { kind, values: labels }, None, RowKeys::default()).unwrap()
}

#[test]
fn every_threshold_on_positions_is_the_same_question_on_values() {
    let data = mixed_table(300, TargetKind::Binary);
    let table = PositionTable::new(&data, 300).unwrap();
    for column in 0..3 {
        for tenth in 0..=3_000 {
            let threshold = f64::from(tenth) / 10.0;
            let nodes = [
                ForeignNode::Split { column, threshold, left: 1, right: 2 },
                ForeignNode::Leaf,
                ForeignNode::Leaf,
            ];
            let tree = table.tree(&nodes, Some(2), |index, _| vec![index as f64]);
            let mut row = vec![0.0; 3];
            for index in (0..300).step_by(7) {
                data.features().copy_row(index, &mut row);
                let expected = u32::from(table.row(index)[column] > threshold);
                assert_eq!(tree.leaf(&row), expected, "column {column}, {threshold}, {row:?}");
            }
        }
    }
}

#[test]
fn missing_takes_the_median_and_unseen_categories_go_right() {
    let data = mixed_table(300, TargetKind::Binary);
    let table = PositionTable::new(&data, 300).unwrap();
    let median = table.columns[0].of_code[0];
    let below = (0..300).filter(|&row| table.row(row)[0] < f64::from(median)).count();
    assert!((100..160).contains(&below), "{below} rows are below the median of 255");
    for threshold in [0.5, 2.5, 4.5] {
        let (split, _) = table.question(2, threshold);
        let Split::In(set) = split else { panic!("a category is asked for a set") };
        assert!(!set.contains(UNSEEN_CATEGORY) && !set.contains(5.0), "5 is not in the sample");
    }
}

#[test]
fn covers_and_gains_come_from_the_sample() {
    let data = mixed_table(300, TargetKind::Regression);
    let table = PositionTable::new(&data, 300).unwrap();
    let nodes = [
        ForeignNode::Split { column: 1, threshold: 120.5, left: 1, right: 2 },
        ForeignNode::Leaf,
        ForeignNode::Leaf,
    ];
    let tree = table.tree(&nodes, None, |_, rows| vec![rows.len() as f64]);
    assert_eq!(tree.leaf_cover, tree.leaf_values);
    assert_eq!(tree.nodes[0].cover, 300.0);
    let mean =
        |rows: &[usize]| rows.iter().map(|&row| table.labels[row]).sum::<f64>() / rows.len() as f64;
    let squares = |rows: &[usize]| {
        rows.iter().map(|&row| (table.labels[row] - mean(rows)).powi(2)).sum::<f64>()
    };
    let (left, right): (Vec<usize>, Vec<usize>) =
        (0..300).partition(|&row| table.row(row)[1] <= 120.5);
    let all: Vec<usize> = (0..300).collect();
    let gain = squares(&all) - squares(&left) - squares(&right);
    assert!((tree.nodes[0].gain - gain).abs() < 1e-9 * gain);
}
