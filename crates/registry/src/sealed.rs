//! JSON that carries the SHA-256 of its own content.
//!
//! ```json
//! { "sha256": "…", "content": { "format": 1, … } }
//! ```
//!
//! The checksum is over the bytes of `content` as they stand in the file, so that a reader may know
//! fewer fields than the writer and still check all of them.

use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// Bytes that are hashed before others have their turn: some tenths of a millisecond.
const HASHED_AT_ONCE: usize = 512 << 10;

/// SHA-256 as 64 lower-case hex digits.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    let mut digest = Sha256::new();
    for (index, piece) in bytes.chunks(HASHED_AT_ONCE).enumerate() {
        if index > 0 {
            // A large file takes as long as hundreds of rows that others want to have scored.
            std::thread::yield_now();
        }
        digest.update(piece);
    }
    hex::encode(digest.finalize())
}

/// Why sealed bytes cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    #[error("it is not the JSON that was written: {0}")]
    Json(#[from] serde_json::Error),
    #[error("its content has SHA-256 {found}, the file says {expected}")]
    Checksum { expected: String, found: String },
    #[error("its format is {found}, this build reads up to {supported}")]
    Format { found: u32, supported: u32 },
}

#[derive(Deserialize)]
struct Envelope<'a> {
    sha256: String,
    #[serde(borrow)]
    content: &'a RawValue,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Writes `content`, which must have a field `format`, with its checksum.
pub(crate) fn seal<T: Serialize>(content: &T) -> Result<Vec<u8>, serde_json::Error> {
    let content = serde_json::to_string_pretty(content)?;
    let sha256 = sha256_hex(content.as_bytes());
    Ok(format!("{{\"sha256\": \"{sha256}\",\n\"content\": {content}}}\n").into_bytes())
}

/// Checks the checksum, then the format, and only then reads the fields.
pub(crate) fn unseal<T: DeserializeOwned>(bytes: &[u8], supported: u32) -> Result<T, SealError> {
    let envelope: Envelope<'_> = serde_json::from_slice(bytes)?;
    let content = envelope.content.get();
    let found = sha256_hex(content.as_bytes());
    if found != envelope.sha256 {
        return Err(SealError::Checksum { expected: envelope.sha256, found });
    }
    let Format { format } = serde_json::from_str(content)?;
    if format > supported {
        return Err(SealError::Format { found: format, supported });
    }
    Ok(serde_json::from_str(content)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Known {
        format: u32,
        name: String,
    }

    #[derive(Serialize)]
    struct Newer {
        format: u32,
        name: String,
        added: Vec<u32>,
    }

    #[test]
    fn fields_of_a_newer_writer_are_covered_and_passed_over() {
        let newer = Newer { format: 1, name: "churn".into(), added: vec![1, 2] };
        let bytes = seal(&newer).unwrap();
        let known: Known = unseal(&bytes, 1).unwrap();
        assert_eq!(known, Known { format: 1, name: "churn".into() });
        let newer = Newer { format: 2, ..newer };
        let error = unseal::<Known>(&seal(&newer).unwrap(), 1).unwrap_err();
        assert!(matches!(error, SealError::Format { found: 2, supported: 1 }));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let known = Known { format: 1, name: "churn".into() };
        let bytes = seal(&known).unwrap();
        for index in 0..bytes.len() {
            for flip in [1, 0x20, 0x80] {
                let mut changed = bytes.clone();
                changed[index] ^= flip;
                let opened = unseal::<Known>(&changed, 1);
                let same = opened.as_ref().is_ok_and(|opened| *opened == known);
                assert!(opened.is_err() || same, "byte {index} ^ {flip}");
            }
        }
    }
}
