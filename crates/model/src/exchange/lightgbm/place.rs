//! Where in a file something stands.

use crate::exchange::{Format, ImportError};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A key on a line of the text; lines count from 1.
    Line { line: usize, key: String },
    /// The way to a value of the JSON.
    Path(String),
}

impl Place {
    fn parts(&self) -> (Format, String) {
        match self {
            Self::Line { line, key } => {
                let shown: String = key.chars().take(40).collect();
                (Format::LightGbm, format!("line {line}, {shown:?}"))
            }
            Self::Path(path) => (Format::LightGbmJson, path.clone()),
        }
    }

    pub(super) fn malformed(&self, detail: impl Into<String>) -> ImportError {
        let (format, place) = self.parts();
        ImportError::Malformed { format, place, detail: detail.into() }
    }

    pub(super) fn unsupported(&self, detail: impl Into<String>) -> ImportError {
        let (format, place) = self.parts();
        ImportError::Unsupported { format, place, detail: detail.into() }
    }
}
