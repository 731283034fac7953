//! Proof rows: inputs with the exact bits that the model must answer.
//!
//! One JSON object a line: `{"row":[0.5,null,-1.0],"output":[0.25],"output_bits":["3fd0000000000000"]}`.
//! `null` is missing; decimals are the shortest that read back to the same number. `output` is for
//! people, `output_bits` (16 hex digits, IEEE 754) is what counts, and the two must agree.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::{Model, Scratch};

/// A row and the outputs that a version gave for it when it was published.
#[derive(Debug, Clone)]
pub struct GoldenRow {
    /// One value a column of the schema, NaN is missing.
    pub row: Vec<f64>,
    /// Calibrated outputs, shape `(n_outputs,)`.
    pub outputs: Vec<f64>,
}

/// Why golden.jsonl cannot be read.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("golden row on line {line}: {detail}; publish the version again, it cannot be repaired")]
pub struct GoldenError {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub detail: String,
}

/// Why a model does not answer as it did when it was published.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum GoldenMismatch {
    /// The row belongs to another schema.
    #[error("golden row {row} has {found} values, the model reads {expected}")]
    Width {
        /// Index of the row, from 0.
        row: usize,
        /// Columns of the model.
        expected: usize,
        /// Values of the row.
        found: usize,
    },
    /// The answer has another number of outputs.
    #[error("golden row {row} expects {expected} outputs, the model gives {found}")]
    Outputs {
        /// Index of the row, from 0.
        row: usize,
        /// Outputs in the file.
        expected: usize,
        /// Outputs of the model.
        found: usize,
    },
    /// An output differs, be it in the last bit.
    #[error(
        "golden row {row} output {output} is {found:016x} ({found_value}), expected {expected:016x} \
         ({expected_value}): this build scores differently from the one that published the version"
    )]
    Bits {
        /// Index of the row, from 0.
        row: usize,
        /// Index of the output.
        output: usize,
        /// Published bits.
        expected: u64,
        /// Bits now.
        found: u64,
        /// Published value as text.
        expected_value: String,
        /// Value now as text.
        found_value: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    row: Vec<Option<f64>>,
    output: Vec<f64>,
    output_bits: Vec<String>,
}

impl GoldenRow {
    /// Scores a row and keeps the answer.
    ///
    /// # Panics
    /// If the row is not as wide as the model's schema, or holds an infinity, which the file cannot
    /// write (tables of rows hold none).
    #[must_use]
    pub fn of(model: &Model, row: &[f64]) -> Self {
        assert!(
            !row.iter().any(|value| value.is_infinite()),
            "golden rows must be finite or missing"
        );
        let mut scratch = Scratch::default();
        let outputs = model.score(row, &mut scratch).outputs.to_vec();
        Self { row: row.to_vec(), outputs }
    }
}

/// The text of golden.jsonl.
#[must_use]
pub fn encode_golden(rows: &[GoldenRow]) -> String {
    let mut text = String::new();
    for row in rows {
        let bits = |value: &f64| format!("{:016x}", value.to_bits());
        let line = Line {
            row: row.row.iter().map(|&value| (!value.is_nan()).then_some(value)).collect(),
            output: row.outputs.clone(),
            output_bits: row.outputs.iter().map(bits).collect(),
        };
        // Plain lists of numbers and strings always serialise.
        text.push_str(&serde_json::to_string(&line).unwrap_or_default());
        text.push('\n');
    }
    text
}

/// Reads golden.jsonl; empty lines are skipped.
///
/// # Errors
/// The first line that is not a golden row, or whose decimals and bits disagree.
pub fn decode_golden(text: &str) -> Result<Vec<GoldenRow>, GoldenError> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            decode_line(line).map_err(|detail| GoldenError { line: index + 1, detail })
        })
        .collect()
}

fn decode_line(line: &str) -> Result<GoldenRow, String> {
    let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if line.output.len() != line.output_bits.len() {
        let (values, bits) = (line.output.len(), line.output_bits.len());
        return Err(format!("{values} outputs but {bits} sets of bits"));
    }
    let mut outputs = Vec::with_capacity(line.output.len());
    for (value, text) in line.output.iter().zip(&line.output_bits) {
        let is_hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bits = u64::from_str_radix(text, 16).ok().filter(|_| is_hex);
        let bits = bits.ok_or_else(|| format!("{text:?} is not 16 hex digits"))?;
        if bits != value.to_bits() {
            return Err(format!("output {value} has other bits than {text}"));
        }
        outputs.push(*value);
    }
    let row = line.row.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect();
    Ok(GoldenRow { row, outputs })
}

/// Scores every golden row and compares bit for bit.
///
/// # Errors
/// The first row and output that differ.
pub fn replay_golden(model: &Model, rows: &[GoldenRow]) -> Result<(), GoldenMismatch> {
    let mut scratch = Scratch::default();
    for (index, golden) in rows.iter().enumerate() {
        let (expected, found) = (model.schema().len(), golden.row.len());
        if expected != found {
            return Err(GoldenMismatch::Width { row: index, expected, found });
        }
        let outputs = model.score(&golden.row, &mut scratch).outputs;
        if outputs.len() != golden.outputs.len() {
            let (expected, found) = (golden.outputs.len(), outputs.len());
            return Err(GoldenMismatch::Outputs { row: index, expected, found });
        }
        for (output, (found, expected)) in outputs.iter().zip(&golden.outputs).enumerate() {
            if found.to_bits() != expected.to_bits() {
                return Err(GoldenMismatch::Bits {
                    row: index,
                    output,
                    expected: expected.to_bits(),
                    found: found.to_bits(),
                    expected_value: expected.to_string(),
                    found_value: found.to_string(),
                });
            }
        }
    }
    Ok(())
}
