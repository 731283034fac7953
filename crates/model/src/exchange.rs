//! Models of other libraries: reading theirs as ours, and writing ours as theirs.
//!
//! ```text
//! bytes --lightgbm | xgboost | onnx--> ForeignTree --assemble--> Tree --> Imported --> Model
//! Model --expand--> questions that the other format knows --lightgbm | xgboost | onnx--> bytes
//! ```
//!
//! What a library computes is translated, not imitated: its rules for missing values, its comparison
//! in single precision and its categories become thresholds, sets and missing rules of our own nodes,
//! so that every row reaches the leaf that it reaches there. Sums are ours: `f64`, in tree order.
//! LightGBM sums so too, and its scores come out bit for bit; XGBoost and most ONNX models sum in
//! `f32`, and theirs differ by that rounding.
//!
//! Reading is total: whatever the bytes, it ends in a model or an [`ImportError`] with the place, and
//! takes memory in proportion to the input.

mod assemble;
mod document;
mod error;
mod expand;
mod format;
mod lightgbm;
mod meta;
mod onnx;
mod rounding;
mod schema;
#[cfg(test)]
mod tests;
mod ubjson;
mod xgboost;

use std::sync::Arc;

use segue_dataset::{Schema, TargetKind};

use crate::{Calibration, Ensemble, Model, ModelError, ModelParts};

pub use error::{ExportError, ImportError};
pub use format::Format;

/// Most columns, and most classes, of a file of so many bytes: names may be left out of it.
fn most_width(n_bytes: usize) -> usize {
    n_bytes.saturating_add(1 << 16)
}

/// Most bytes that sets and leaves of a file may take: a bound against files that ask for far more than
/// they hold, well above what the libraries write.
fn most_memory(n_bytes: usize) -> usize {
    (1 << 20) + n_bytes.saturating_mul(128)
}

/// What a foreign file says, in our terms.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The columns of a row. Categories are named as the file names them, or by their numbers.
    pub schema: Arc<Schema>,
    /// What is predicted, by the file's objective.
    pub target: TargetKind,
    /// The trees.
    pub ensemble: Ensemble,
    /// The format and the version that the file states.
    pub source: String,
    /// What the file says beyond this model, in words: for the one who imports.
    pub warnings: Vec<String>,
}

impl Imported {
    /// A model of a ready-made table, without calibration.
    ///
    /// # Errors
    /// [`ModelError`] for parts that do not fit together, such as leaves whose sum overflows.
    pub fn into_model(self, task: impl Into<String>) -> Result<Model, ModelError> {
        Model::new(ModelParts {
            schema: self.schema,
            target: self.target,
            task: task.into(),
            ensemble: self.ensemble,
            calibration: Calibration::None,
            behaviours: Vec::new(),
            feature_set_hash: None,
        })
    }
}

/// Reads a foreign model; without a format, by its first bytes.
///
/// # Errors
/// [`ImportError`] names the place and what was expected there, or what is not supported.
pub fn import(bytes: &[u8], format: Option<Format>) -> Result<Imported, ImportError> {
    let recognised = format.or_else(|| Format::detect(bytes));
    let Some(format) = recognised else {
        if format::is_pickle(bytes) {
            return Err(ImportError::Pickle);
        }
        return Err(ImportError::Unknown { found: bytes.iter().take(8).copied().collect() });
    };
    match format {
        Format::LightGbm => lightgbm::read(bytes),
        Format::LightGbmJson => lightgbm::read_json(bytes),
        Format::Onnx => onnx::read(bytes),
        Format::XgboostBinary => xgboost::read_binary(bytes),
        Format::XgboostJson | Format::XgboostUbjson => xgboost::read(bytes, format),
    }
}

/// A model in another library's format.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// The file.
    pub bytes: Vec<u8>,
    /// Where the file says less or something other than the model, in words.
    pub notes: Vec<String>,
}

/// Writes the trees and the link of a model for another library, without calibration.
///
/// - LightGBM text and ONNX (`ai.onnx.ml` 5, in double precision) compute the same leaves and, up to
///   the rounding of a link, the same scores.
/// - XGBoost JSON compares and sums in `f32`: thresholds are rounded so that rows of `f32` values take
///   the same branches, leaves to the nearest `f32`.
///
/// # Errors
/// [`ExportError`] for what the format cannot say; a calibration other than none unless `uncalibrated`.
pub fn export(model: &Model, format: Format, uncalibrated: bool) -> Result<Exported, ExportError> {
    if *model.calibration() != Calibration::None && !uncalibrated {
        let name = model.calibration().name();
        return Err(ExportError::Calibration { format, name });
    }
    let mut exported = match format {
        Format::LightGbm => lightgbm::write(model)?,
        Format::XgboostJson => xgboost::write(model)?,
        Format::Onnx => onnx::write(model)?,
        Format::XgboostUbjson | Format::XgboostBinary => {
            let reason = "XGBoost reads its JSON as well; write that".to_owned();
            return Err(ExportError::Unsupported { format, reason });
        }
        Format::LightGbmJson => {
            let reason = "LightGBM reads its text only; write that".to_owned();
            return Err(ExportError::Unsupported { format, reason });
        }
    };
    if *model.calibration() != Calibration::None {
        exported.notes.push(format!("without the {} calibration", model.calibration().name()));
    }
    Ok(exported)
}
