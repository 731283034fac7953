//! Why a foreign file is not read, or a model not written.

use segue_dataset::SchemaError;

use super::Format;

/// Why bytes are not a model that can be read here.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum ImportError {
    /// The first bytes belong to no known format.
    #[error(
        "not a known model file: it begins with {found:02x?}; known are LightGBM text and JSON, \
         XGBoost JSON, UBJSON and binary, and ONNX"
    )]
    Unknown {
        /// The first bytes, at most 8.
        found: Vec<u8>,
    },
    /// A Python object as it was in memory: to read one is to run what it says.
    #[error(
        "this is a Python pickle: a program, which is never run here; in Python, export a \
         scikit-learn model to ONNX (skl2onnx), or save a booster of LightGBM or XGBoost with its \
         save_model, and import that file"
    )]
    Pickle,
    /// The file breaks the rules of its format.
    #[error("{format}, {place}: {detail}")]
    Malformed {
        /// Its format.
        format: Format,
        /// Line and key, path of keys, or byte offset.
        place: String,
        /// What was expected and what is there.
        detail: String,
    },
    /// The file is in order, but computes something that our models cannot.
    #[error("{format}, {place}: not supported: {detail}")]
    Unsupported {
        /// Its format.
        format: Format,
        /// Line and key, path of keys, or byte offset.
        place: String,
        /// What it asks for.
        detail: String,
    },
    /// Names of columns or categories do not make a schema.
    #[error("{format}: {source}")]
    Schema {
        /// Its format.
        format: Format,
        /// What is wrong.
        source: SchemaError,
    },
}

/// Why a model cannot be written for another library.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum ExportError {
    /// Its probabilities pass a calibration, for which the format has no place.
    #[error(
        "{format} has no place for the {name} calibration of this model: ask for an export without \
         it, and its scores will not be the model's"
    )]
    Calibration {
        /// The format asked for.
        format: Format,
        /// Kind of calibration.
        name: &'static str,
    },
    /// The format cannot say what the model computes.
    #[error("{format} cannot hold this model: {reason}")]
    Unsupported {
        /// The format asked for.
        format: Format,
        /// What it cannot hold.
        reason: String,
    },
}
