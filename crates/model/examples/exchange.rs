//! Foreign models from the outside, for comparisons with the libraries that wrote them.
//!
//!     exchange score MODEL ROWS.csv
//!         one JSON object a row: leaf of each tree, margins, predictions
//!     exchange export MODEL FORMAT OUT
//!         reads a foreign model and writes it as lightgbm, xgboost or onnx
//!
//! ROWS.csv has no header; an empty cell is missing. Cells of categorical columns are names.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool prints")]

use std::error::Error;
use std::process::ExitCode;

use segue_model::exchange::{Format, Imported, export, import};
use segue_model::{Model, Scratch};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["score", model, rows] => score(model, rows),
        ["export", model, format, out] => write(model, format, out),
        _ => Err("arguments: score MODEL ROWS.csv | export MODEL FORMAT OUT".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn read(path: &str) -> Result<Model, Box<dyn Error>> {
    let imported: Imported = import(&std::fs::read(path)?, None)?;
    for warning in &imported.warnings {
        eprintln!("{warning}");
    }
    Ok(imported.into_model("exchange")?)
}

fn score(path: &str, rows: &str) -> Result<(), Box<dyn Error>> {
    let model = read(path)?;
    let mut scratch = Scratch::default();
    for line in std::fs::read_to_string(rows)?.lines() {
        let row = row(&model, line)?;
        let trees = model.ensemble().trees.iter();
        let leaves: Vec<u32> = trees.map(|tree| tree.leaf(&row)).collect();
        let scores = model.score(&row, &mut scratch);
        let object = serde_json::json!({
            "leaves": leaves, "margins": scores.margins, "predictions": scores.outputs,
        });
        println!("{object}");
    }
    Ok(())
}

fn write(path: &str, format: &str, out: &str) -> Result<(), Box<dyn Error>> {
    let format = match format {
        "lightgbm" => Format::LightGbm,
        "xgboost" => Format::XgboostJson,
        "onnx" => Format::Onnx,
        other => return Err(format!("format {other:?}: lightgbm, xgboost or onnx").into()),
    };
    let exported = export(&read(path)?, format, false)?;
    for note in &exported.notes {
        eprintln!("{note}");
    }
    Ok(std::fs::write(out, exported.bytes)?)
}

fn row(model: &Model, line: &str) -> Result<Vec<f64>, Box<dyn Error>> {
    let features = model.schema().features();
    let cells: Vec<&str> = line.split(',').collect();
    if cells.len() != features.len() {
        return Err(format!("{} cells for {} columns", cells.len(), features.len()).into());
    }
    let value = |(column, cell): (usize, &&str)| -> Result<f64, Box<dyn Error>> {
        if cell.is_empty() {
            return Ok(f64::NAN);
        }
        if features[column].is_category() {
            return Ok(model.schema().category_code(column, cell));
        }
        Ok(cell.parse()?)
    };
    cells.iter().enumerate().map(value).collect()
}
