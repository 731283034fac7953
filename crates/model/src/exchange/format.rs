//! Which library wrote a file, by what it begins with.

use std::fmt;

use super::xgboost;

/// A file format of another library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// The text of LightGBM's `save_model`, versions v2 to v4.
    LightGbm,
    /// The JSON of LightGBM's `dump_model`; read only.
    LightGbmJson,
    /// XGBoost's `save_model` to JSON.
    XgboostJson,
    /// XGBoost's `save_model` to UBJSON, its default.
    XgboostUbjson,
    /// XGBoost's binary format before those, which 3.0 was the last to write; read only.
    XgboostBinary,
    /// ONNX with a tree ensemble of `ai.onnx.ml` 1, 3 or 5.
    Onnx,
}

impl Format {
    /// Recognises a format by its first bytes; JSON by the keys of its document.
    #[must_use]
    pub fn detect(bytes: &[u8]) -> Option<Self> {
        // before all others: it begins with a number, whose bytes may be anything
        if xgboost::is_binary(bytes) {
            return Some(Self::XgboostBinary);
        }
        let start = bytes.trim_ascii_start();
        // a tree without the head of its model is for the reader to refuse
        if start.starts_with(b"tree") || start.starts_with(b"Tree=") {
            return Some(Self::LightGbm);
        }
        // field 1 of the message, a number: the version of the format
        if bytes.first() == Some(&0x08) {
            return Some(Self::Onnx);
        }
        let (&first, rest) = start.split_first()?;
        match (first, rest.trim_ascii_start().first()) {
            (b'{', Some(b'"' | b'}')) => Some(of_json(start)),
            (b'{', _) => Some(Self::XgboostUbjson),
            _ => None,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LightGbm => "LightGBM text",
            Self::LightGbmJson => "LightGBM JSON",
            Self::XgboostJson => "XGBoost JSON",
            Self::XgboostUbjson => "XGBoost UBJSON",
            Self::XgboostBinary => "XGBoost binary",
            Self::Onnx => "ONNX",
        })
    }
}

/// Whose JSON it is: the first key of the outermost object that only one of them writes there. Reads no
/// more of JSON than its texts and brackets; what is wrong with it is for the reader to say.
fn of_json(document: &[u8]) -> Format {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(&byte) = document.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let end = text_end(document, at);
                match document.get(at..end) {
                    Some(b"learner") if depth == 1 => return Format::XgboostJson,
                    Some(b"tree_info" | b"tree_structure") if depth == 1 => {
                        return Format::LightGbmJson;
                    }
                    _ => at = end + 1,
                }
            }
            _ => {}
        }
    }
    Format::XgboostJson
}

/// Where the quote is that ends the text which begins at `from`.
fn text_end(document: &[u8], from: usize) -> usize {
    let mut at = from;
    loop {
        match document.get(at) {
            None | Some(b'"') => return at.min(document.len()),
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

/// Whether these are the first bytes of a Python pickle: the mark of protocols 2 to 5, or the name of a
/// module and of something in it, each on a line, as protocols 0 and 1 begin for an object.
pub(super) fn is_pickle(bytes: &[u8]) -> bool {
    if let [0x80, 2..=5, ..] = bytes {
        return true;
    }
    let Some(rest) = bytes.strip_prefix(b"c") else { return false };
    let mut lines =
        rest.get(..200.min(rest.len())).unwrap_or_default().split(|&byte| byte == b'\n');
    let name = |line: Option<&[u8]>| {
        line.is_some_and(|line| {
            let letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
            !line.is_empty() && line.iter().all(letter)
        })
    };
    // the third line is there, or the second had no end
    name(lines.next()) && name(lines.next()) && lines.next().is_some()
}
