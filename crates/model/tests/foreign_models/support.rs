//! Where the fixtures are, and their tables of numbers.

use std::fs;
use std::path::{Path, PathBuf};

use segue_model::exchange::{Imported, import};
use segue_model::{Model, Scratch};

/// `SEGUE_DATA`, or `shared/data` beside the workspace. `None` is a reason to skip, unless
/// `SEGUE_REQUIRE_DATA` is set.
pub(crate) fn fixtures() -> Option<PathBuf> {
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

pub(crate) fn read(path: &Path) -> Imported {
    let bytes = fs::read(path).unwrap();
    import(&bytes, None).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Rows of numbers between tabs, commas or blanks.
pub(crate) fn table(path: &Path) -> Vec<Vec<f64>> {
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
pub(crate) fn sparse(path: &Path, n_columns: usize, absent: f64) -> Vec<Vec<f64>> {
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
pub(crate) fn coded(model: &Model, row: &[f64]) -> Vec<f64> {
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
pub(crate) enum Stage {
    Margin,
    Output,
}

/// Largest difference from the expected values over all rows.
pub(crate) fn largest_difference(
    model: &Model,
    rows: &[Vec<f64>],
    expected: &[Vec<f64>],
    at: Stage,
) -> f64 {
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
