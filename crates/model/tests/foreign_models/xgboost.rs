//! XGBoost's binary format of before 1.0.
//!
//! XGBoost sums leaves in `f32` and takes the sigmoid there; ours are `f64`. A sum of `n` numbers of
//! size `s` in `f32` is off by at most `n * s * 2^-24`: for the 3 to 10 leaves here, which are below 2,
//! under 1.2e-6. The files print what came of those sums.

use std::fs;

use segue_dataset::TargetKind;
use segue_model::exchange::{Imported, import};
use segue_model::{Link, Scratch};

use crate::support::{Stage, fixtures, largest_difference, read, sparse, table};

/// Sums of up to 10 leaves in single precision.
const SINGLE_SUMS: f64 = 1.2e-6;

/// Keeps the first trees.
fn first(mut imported: Imported, n: usize) -> Imported {
    imported.ensemble.trees.truncate(n);
    imported.ensemble.tree_output.truncate(n);
    imported
}

#[test]
fn old_binaries_score_as_the_source_printed() {
    let Some(fixtures) = fixtures() else { return };
    let folder = fixtures.join("leaves");
    // model, trees in it and of those the ones that were asked, input, expected, rows, columns, stage
    let cases = [
        (
            "xgagaricus.model",
            (3, 3),
            "agaricus_test.libsvm",
            "xgagaricus_true_predictions.txt",
            (1_611, 127),
            Stage::Output,
        ),
        (
            "xg_dart_agaricus.model",
            (20, 10),
            "agaricus_test.libsvm",
            "xg_dart_agaricus_true_predictions.txt",
            (1_611, 127),
            Stage::Margin,
        ),
        (
            "xgdermatology.model",
            (30, 30),
            "dermatology_test.libsvm",
            "xgdermatology_true_predictions.txt",
            (110, 33),
            Stage::Margin,
        ),
    ];
    for (file, (n_trees, n_asked), input, expected, (n_rows, n_columns), stage) in cases {
        let imported = read(&folder.join(file));
        assert_eq!(imported.source, "XGBoost binary before 1.0", "{file}");
        assert_eq!((imported.schema.len(), imported.ensemble.trees.len()), (n_columns, n_trees));
        let model = first(imported, n_asked).into_model("fixture").unwrap();
        let rows = sparse(&folder.join(input), n_columns, f64::NAN);
        let mut expected = table(&folder.join(expected));
        expected.retain(|row| !row.is_empty());
        assert_eq!((rows.len(), expected.len()), (n_rows, n_rows), "{file}");
        let difference = largest_difference(&model, &rows, &expected, stage);
        println!("{file}: {n_rows} rows, largest difference {difference:e}");
        assert!(difference <= SINGLE_SUMS, "{file}: {difference:e}");
    }
}

/// The same sums taken in `f32`, in the order of the trees, are the printed ones to the last bit: what is
/// left of the difference above is rounding, and every row has reached its leaves.
#[test]
fn old_binaries_summed_in_single_precision_are_the_source_bit_for_bit() {
    let Some(fixtures) = fixtures() else { return };
    let folder = fixtures.join("leaves");
    for (file, n_asked, input, expected) in [
        (
            "xg_dart_agaricus.model",
            10,
            "agaricus_test.libsvm",
            "xg_dart_agaricus_true_predictions.txt",
        ),
        (
            "xgdermatology.model",
            30,
            "dermatology_test.libsvm",
            "xgdermatology_true_predictions.txt",
        ),
    ] {
        let imported = first(read(&folder.join(file)), n_asked);
        let rows = sparse(&folder.join(input), imported.schema.len(), f64::NAN);
        let expected = table(&folder.join(expected));
        let ensemble = &imported.ensemble;
        for (row, expected) in rows.iter().zip(&expected) {
            let mut sums: Vec<f32> = ensemble.base.iter().map(|&base| base as f32).collect();
            for (tree, &output) in ensemble.trees.iter().zip(&ensemble.tree_output) {
                sums[output as usize] += tree.leaf_values[tree.leaf(row) as usize] as f32;
            }
            let expected: Vec<f32> = expected.iter().map(|&value| value as f32).collect();
            assert_eq!(sums, expected, "{file}");
        }
    }
}

#[test]
fn the_mushroom_model_reads_and_scores() {
    let Some(fixtures) = fixtures() else { return };
    let imported = read(&fixtures.join("treelite/mushroom/mushroom.model"));
    assert_eq!((imported.schema.len(), imported.ensemble.trees.len()), (127, 2));
    assert_eq!((&imported.target, imported.ensemble.link), (&TargetKind::Binary, Link::Logistic));
    assert_eq!(imported.ensemble.base, [0.0]);
    let model = imported.into_model("mushroom").unwrap();
    let path = fixtures.join("leaves/agaricus_test.libsvm");
    let rows = sparse(&path, 127, f64::NAN);
    let labels = fs::read_to_string(path).unwrap();
    let labels = labels.lines().map(|line| line.starts_with('1'));
    let mut scratch = Scratch::default();
    // no predictions are published; the task is nearly separable, and the model was fitted on it
    let right = |(row, label): (&Vec<f64>, bool)| {
        (model.score(row, &mut scratch).outputs[0] > 0.5) == label
    };
    let n_right = rows.iter().zip(labels).map(right).filter(|&right| right).count();
    assert!(n_right * 100 >= rows.len() * 97, "{n_right} of {} rows are right", rows.len());
}

#[test]
fn a_linear_booster_is_refused_by_name() {
    let Some(fixtures) = fixtures() else { return };
    let bytes = fs::read(fixtures.join("leaves/xgblin_agaricus.model")).unwrap();
    assert_eq!(
        import(&bytes, None).unwrap_err().to_string(),
        "XGBoost binary, byte 159: not supported: booster \"gblinear\" is a linear model without \
         trees: fit it again with booster \"gbtree\" or \"dart\""
    );
}
