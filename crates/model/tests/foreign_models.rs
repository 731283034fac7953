//! Published models of other libraries with their inputs and their own predictions, whenever the data
//! is there: `SEGUE_DATA/model_fixtures`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "figures and skips are told")]

use std::fs;
use std::path::{Path, PathBuf};

use segue_dataset::TargetKind;
use segue_model::exchange::{Format, Imported, export, import};
use segue_model::{Model, Scratch};

/// `SEGUE_DATA`, or `shared/data` beside the workspace. `None` is a reason to skip, unless
/// `SEGUE_REQUIRE_DATA` is set.
fn fixtures() -> Option<PathBuf> {
    let named = std::env::var_os("SEGUE_DATA").map(PathBuf::from);
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = named.unwrap_or_else(beside).join("model_fixtures");
    if folder.is_dir() {
        return Some(folder);
    }
    let required = std::env::var_os("SEGUE_REQUIRE_DATA").is_some_and(|value| value == "1");
    assert!(!required, "SEGUE_REQUIRE_DATA is set, but {} is no folder", folder.display());
    println!("skipped: no model fixtures; name the folder above them in SEGUE_DATA");
    None
}

fn read(path: &Path) -> Imported {
    let bytes = fs::read(path).unwrap();
    import(&bytes, None).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Rows of numbers between tabs, commas or blanks.
fn table(path: &Path) -> Vec<Vec<f64>> {
    let number = |word: &str| word.trim().parse().unwrap_or(f64::NAN);
    let text = fs::read_to_string(path).unwrap();
    let row = |line: &str| {
        if line.contains(['\t', ',']) {
            line.split(['\t', ',']).map(number).collect()
        } else {
            line.split_ascii_whitespace().map(number).collect()
        }
    };
    text.lines().map(row).collect()
}

/// Rows of `label column:value ...`, columns from 0; what is not there is `absent`.
fn sparse(path: &Path, n_columns: usize, absent: f64) -> Vec<Vec<f64>> {
    let text = fs::read_to_string(path).unwrap();
    let row = |line: &str| {
        let mut row = vec![absent; n_columns];
        for pair in line.split_ascii_whitespace().skip(1) {
            let (column, value) = pair.split_once(':').unwrap();
            row[column.parse::<usize>().unwrap()] = value.parse().unwrap();
        }
        row
    };
    text.lines().map(row).collect()
}

/// A row with its categories as our codes.
fn coded(model: &Model, row: &[f64]) -> Vec<f64> {
    let features = model.schema().features().iter().enumerate().zip(row);
    let code = |((column, feature), &value): ((usize, &segue_dataset::Feature), &f64)| {
        if feature.is_category() && !value.is_nan() {
            model.schema().category_code(column, &value.to_string())
        } else {
            value
        }
    };
    features.map(code).collect()
}

/// Which stage of scoring the source printed.
#[derive(Clone, Copy)]
enum Stage {
    Margin,
    Output,
}

/// Largest difference from the expected values over all rows.
fn largest_difference(model: &Model, rows: &[Vec<f64>], expected: &[Vec<f64>], at: Stage) -> f64 {
    assert_eq!(rows.len(), expected.len());
    let mut scratch = Scratch::default();
    let mut largest = 0.0f64;
    for (row, expected) in rows.iter().zip(expected) {
        let scores = model.score(&coded(model, row), &mut scratch);
        let found = match at {
            Stage::Margin => scores.margins,
            Stage::Output => scores.outputs,
        };
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            largest = largest.max((found - expected).abs() / expected.abs().max(1.0));
        }
    }
    largest
}

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

/// Numbers of one array of an uncompressed `.npz`.
fn npz(path: &Path, name: &str) -> Vec<f64> {
    let bytes = fs::read(path).unwrap();
    let find = |from: usize, what: &[u8]| {
        let at = bytes[from..].windows(what.len()).position(|window| window == what);
        from + at.unwrap_or_else(|| panic!("{} has no {}", path.display(), what.escape_ascii()))
    };
    let start = find(find(0, name.as_bytes()), b"\x93NUMPY");
    let n_head = usize::from(u16::from_le_bytes([bytes[start + 8], bytes[start + 9]]));
    let data = start + 10 + n_head;
    let head = String::from_utf8_lossy(&bytes[start + 10..data]);
    let shape = head.split(['(', ')']).nth(1).unwrap();
    let sizes = shape.split(',').filter_map(|size| size.trim().parse::<usize>().ok());
    let n: usize = sizes.product();
    let number = |at: usize| match head.contains("<f8") {
        true => f64::from_le_bytes(bytes[data + 8 * at..][..8].try_into().unwrap()),
        false => f64::from(f32::from_le_bytes(bytes[data + 4 * at..][..4].try_into().unwrap())),
    };
    (0..n).map(number).collect()
}

#[test]
fn onnx_outputs_are_those_of_the_source() {
    let Some(fixtures) = fixtures() else { return };
    for (name, n_columns, n_rows, n_outputs) in
        [("single_tree", 2, 3, 2), ("set_membership", 1, 6, 4)]
    {
        let folder = fixtures.join(format!("onnx/test_ai_onnx_ml_tree_ensemble_{name}"));
        let imported = read(&folder.join("model.onnx"));
        assert_eq!((imported.schema.len(), imported.ensemble.n_outputs()), (n_columns, n_outputs));
        let (rows, expected) =
            (npz(&folder.join("data_0.npz"), "in_0"), npz(&folder.join("data_0.npz"), "out_0"));
        assert_eq!((rows.len(), expected.len()), (n_rows * n_columns, n_rows * n_outputs));
        let mut found = vec![0.0; n_outputs];
        for (row, expected) in rows.chunks(n_columns).zip(expected.chunks(n_outputs)) {
            imported.ensemble.margins(row, &mut found);
            assert_eq!(found, expected, "{name} at {row:?}");
        }
    }
}

/// Every published model, written in every format and read back, scores as before.
#[test]
fn published_models_survive_the_way_there_and_back() {
    let Some(fixtures) = fixtures() else { return };
    for (file, input) in [
        ("leaves/lg_breast_cancer.txt", Some("leaves/lg_breast_cancer_data.txt")),
        ("leaves/lg_dart_breast_cancer.model", Some("leaves/breast_cancer_test.tsv")),
        ("leaves/lg_kddcup99.model", Some("leaves/kddcup99_test.tsv")),
        ("leaves/lgmulticlass.model", None),
        ("leaves/lg_rf_iris.model", None),
        (
            "leaves/genlin_fmtp_poisson_Frequency.model",
            Some("leaves/genlin_fmtp_poisson_Frequency_features.tsv"),
        ),
        ("lleaves/NYC_taxi/model.txt", None),
        ("lleaves/mixed_categorical/model.txt", None),
        ("treelite/toy_categorical/toy_categorical_model.txt", None),
    ] {
        let model = read(&fixtures.join(file)).into_model("fixture").unwrap();
        let n_columns = model.schema().len();
        let mut rows = match input {
            Some(input) => table(&fixtures.join(input)),
            // small numbers that are categories, too
            None => (0..200u32)
                .map(|row| {
                    (0..n_columns as u32)
                        .map(|at| f64::from((row * 7 + at * 13) % 11) / 2.0)
                        .collect()
                })
                .collect(),
        };
        rows.push(vec![f64::NAN; n_columns]);
        for format in [Format::LightGbm, Format::Onnx, Format::XgboostJson] {
            let exported = export(&model, format, false).unwrap();
            let back = import(&exported.bytes, None).unwrap().into_model("back").unwrap();
            let (mut found, mut expected) =
                (vec![0.0; model.n_outputs()], vec![0.0; model.n_outputs()]);
            for row in &rows {
                let row = coded(&model, row);
                if format == Format::XgboostJson {
                    let row: Vec<f64> = row.iter().map(|&value| f64::from(value as f32)).collect();
                    back.ensemble().margins(&row, &mut found);
                    model.ensemble().margins(&row, &mut expected);
                    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-5 * b.abs().max(1.0);
                    assert!(
                        found.iter().zip(&expected).all(near),
                        "{file} {format}: {found:?} {expected:?}"
                    );
                } else {
                    back.ensemble().margins(&row, &mut found);
                    model.ensemble().margins(&row, &mut expected);
                    assert_eq!(found, expected, "{file} {format} at {row:?}");
                }
            }
        }
    }
}
