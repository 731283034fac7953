//! Errors with the place in the graph.

use crate::exchange::{Format, ImportError};

pub(super) fn malformed(place: impl Into<String>, detail: impl Into<String>) -> ImportError {
    let (place, detail) = (place.into(), detail.into());
    ImportError::Malformed { format: Format::Onnx, place, detail }
}

pub(super) fn unsupported(place: impl Into<String>, detail: impl Into<String>) -> ImportError {
    let (place, detail) = (place.into(), detail.into());
    ImportError::Unsupported { format: Format::Onnx, place, detail }
}
