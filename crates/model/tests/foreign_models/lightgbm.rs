//! LightGBM's text and JSON.

use std::fs;

use segue_dataset::TargetKind;
use segue_model::Scratch;
use segue_model::exchange::import;

use crate::support::{Stage, fixtures, largest_difference, read, sparse, table};

#[test]
fn lightgbm_leaves_are_those_of_the_source() {
    let Some(fixtures) = fixtures() else { return };
    let folder = fixtures.join("leaves");
    let model = read(&folder.join("lg_breast_cancer.txt")).into_model("cancer").unwrap();
    let rows = table(&folder.join("lg_breast_cancer_data.txt"));
    let expected = table(&folder.join("lg_breast_cancer_data_pred_leaves.txt"));
    assert_eq!((rows.len(), expected.len(), model.ensemble().trees.len()), (57, 57, 39));
    for (row, expected) in rows.iter().zip(&expected) {
        let trees = model.ensemble().trees.iter();
        let leaves: Vec<f64> = trees.map(|tree| f64::from(tree.leaf(row))).collect();
        assert_eq!(&leaves, expected);
    }
}

#[test]
fn lightgbm_predictions_are_those_of_the_source() {
    let Some(fixtures) = fixtures() else { return };
    let folder = fixtures.join("leaves");
    // model, input, expected, stage, tolerance: 0 where the source prints all digits of a sum
    let cases = [
        (
            "lg_dart_breast_cancer.model",
            "breast_cancer_test.tsv",
            "lg_dart_breast_cancer_true_predictions.txt",
            Stage::Output,
            1e-15,
        ),
        (
            "lg_kddcup99.model",
            "kddcup99_test.tsv",
            "lg_kddcup99_true_predictions.txt",
            Stage::Margin,
            0.0,
        ),
        (
            "lgmulticlass.model",
            "multiclass_test.tsv",
            "lgmulticlass_true_raw_predictions.txt",
            Stage::Margin,
            0.0,
        ),
        (
            "lgmulticlass.model",
            "multiclass_test.tsv",
            "lgmulticlass_true_predictions.txt",
            Stage::Output,
            1e-15,
        ),
        (
            "lg_rf_iris.model",
            "iris_test.libsvm",
            "lg_rf_iris_true_predictions.txt",
            Stage::Output,
            0.0,
        ),
        (
            "genlin_fmtp_poisson_Frequency.model",
            "genlin_fmtp_poisson_Frequency_features.tsv",
            "genlin_fmtp_poisson_Frequency_true_predictions.txt",
            Stage::Output,
            1e-15,
        ),
        (
            "genlin_fmtp_gamma_AvgClaimAmount.model",
            "genlin_fmtp_gamma_AvgClaimAmount_features.tsv",
            "genlin_fmtp_gamma_AvgClaimAmount_true_predictions.txt",
            Stage::Output,
            1e-15,
        ),
        (
            "genlin_fmtp_tweedie_PurePremium.model",
            "genlin_fmtp_tweedie_PurePremium_features.tsv",
            "genlin_fmtp_tweedie_PurePremium_true_predictions.txt",
            Stage::Output,
            1e-15,
        ),
    ];
    for (file, input, expected, stage, tolerance) in cases {
        let model = read(&folder.join(file)).into_model("fixture").unwrap();
        let n_columns = model.schema().len();
        let mut rows = if input.ends_with("libsvm") {
            sparse(&folder.join(input), n_columns, 0.0)
        } else {
            table(&folder.join(input))
        };
        // the label comes first where there is one column too many
        for row in &mut rows {
            row.drain(..row.len() - n_columns);
        }
        let mut expected = table(&folder.join(expected));
        expected.retain(|row| !row.is_empty());
        let difference = largest_difference(&model, &rows, &expected, stage);
        println!("{file}: {} rows, largest difference {difference:e}", rows.len());
        assert!(difference <= tolerance, "{file}: {difference:e}");
    }
}

#[test]
fn lightgbm_categories_are_looked_up_as_in_the_source() {
    let Some(fixtures) = fixtures() else { return };
    let folder = fixtures.join("treelite");
    for (name, expected, stage, absent) in [
        ("toy_categorical", "toy_categorical.test.pred", Stage::Output, f64::NAN),
        ("sparse_categorical", "sparse_categorical.test.margin", Stage::Margin, f64::NAN),
    ] {
        let folder = folder.join(name);
        let model = read(&folder.join(format!("{name}_model.txt"))).into_model(name).unwrap();
        let rows = sparse(&folder.join(format!("{name}.test")), model.schema().len(), absent);
        let expected = table(&folder.join(expected));
        let difference = largest_difference(&model, &rows, &expected, stage);
        println!("{name}: {} rows, largest difference {difference:e}", rows.len());
        assert!(difference <= 0.0, "{name}: {difference:e}");
    }
}

#[test]
fn whole_models_are_read_and_broken_ones_refused() {
    let Some(fixtures) = fixtures() else { return };
    let lleaves = fixtures.join("lleaves");
    for (name, n_columns, n_trees) in [
        ("NYC_taxi", 5, 100),
        ("airline", 6, 100),
        ("boston_housing", 13, 100),
        ("leaf_scan", 1, 1),
        ("mixed_categorical", 5, 1),
        ("mtpl2", 15, 1000),
        ("multiclass", 13, 0),
        ("pure_categorical", 3, 1),
        ("single_tree", 10, 1),
        ("tiniest_single_tree", 3, 1),
    ] {
        let imported = read(&lleaves.join(name).join("model.txt"));
        assert_eq!(imported.schema.len(), n_columns, "{name}");
        if let TargetKind::Multiclass { classes } = &imported.target {
            assert_eq!((name, classes.len()), ("multiclass", 3));
        } else {
            assert_eq!(imported.ensemble.trees.len(), n_trees, "{name}");
        }
        imported.into_model(name).unwrap();
    }
    let regions = read(&lleaves.join("mtpl2/model.txt"));
    let named = regions.schema.features().iter().filter_map(|feature| feature.vocabulary());
    let named: Vec<&str> = named.map(|names| names[0].as_str()).collect();
    assert_eq!(named, ["R11", "Diesel"]);

    let cut = fs::read(lleaves.join("mtpl2/model_small.txt")).unwrap();
    let error = import(&cut, None).unwrap_err().to_string();
    assert!(error.contains("line 10, \"tree_sizes\": sizes of 1000 trees"), "{error}");
    for fragment in ["tree_1leaf.txt", "tree_2leaves.txt", "tree_3leaves.txt"] {
        let bytes = fs::read(fixtures.join("leaves").join(fragment)).unwrap();
        assert!(import(&bytes, None).is_err(), "{fragment} has no head");
    }
    let simple = read(&fixtures.join("leaves/model_simple.txt")).into_model("simple").unwrap();
    assert!(simple.schema().features()[1].is_category());
}

/// The dump and the text of one fit: the same leaves, the same columns, and the published probabilities.
#[test]
fn lightgbm_json_scores_as_the_source() {
    let Some(fixtures) = fixtures() else { return };
    let folder = fixtures.join("leaves");
    let imported = read(&folder.join("lg_dart_breast_cancer.json"));
    assert_eq!(imported.source, "LightGBM JSON v2");
    assert_eq!((imported.schema.len(), imported.ensemble.trees.len()), (30, 10));
    // the dump states no objective, so that its scores are margins
    assert_eq!(imported.target, TargetKind::Regression);
    assert!(imported.warnings[0].starts_with("no objective"), "{:?}", imported.warnings);
    let text = read(&folder.join("lg_dart_breast_cancer.model"));
    assert_eq!(imported.schema, text.schema);

    let model = imported.into_model("cancer").unwrap();
    let text = text.into_model("cancer").unwrap();
    let rows = table(&folder.join("breast_cancer_test.tsv"));
    let mut expected = table(&folder.join("lg_dart_breast_cancer_true_predictions.txt"));
    expected.retain(|row| !row.is_empty());
    assert_eq!((rows.len(), expected.len()), (57, 57));
    let mut scratch = Scratch::default();
    let mut largest = 0.0f64;
    for (row, expected) in rows.iter().zip(&expected) {
        let row = &row[row.len() - 30..];
        for (ours, theirs) in model.ensemble().trees.iter().zip(&text.ensemble().trees) {
            assert_eq!(ours.leaf(row), theirs.leaf(row));
        }
        let margin = model.score(row, &mut scratch).margins[0];
        let probability = 1.0 / (1.0 + (-margin).exp());
        largest = largest.max((probability - expected[0]).abs());
    }
    println!("lg_dart_breast_cancer.json: 57 rows, largest difference {largest:e}");
    // the last bits are of the sigmoid, which is not the library's
    assert!(largest <= 1e-15, "{largest:e}");
}

/// Their parts contradict each other: no such file is a model.
#[test]
fn dumps_of_one_tree_are_refused() {
    let Some(fixtures) = fixtures() else { return };
    for (file, expected) in [
        (
            "lg_1tree.json",
            "LightGBM JSON, tree_info[0].tree_structure.right_child: leaf_index 3, num_leaves is 3",
        ),
        (
            "lg_1tree_1leaf.json",
            "LightGBM JSON, feature_names: 1 names, max_feature_idx asks for 41",
        ),
    ] {
        let bytes = fs::read(fixtures.join("leaves").join(file)).unwrap();
        assert_eq!(import(&bytes, None).unwrap_err().to_string(), expected);
    }
}
