//! Artefact bytes: one container format for model.bin and holdout.bin.
//!
//! ```text
//! magic            8 bytes
//! format version   u32
//! section count    u32
//! per section      name (4 bytes), length u64
//! the sections, one after another
//! SHA-256          32 bytes, over everything before it
//! ```
//!
//! All integers are little-endian, every `f64` is its IEEE 754 bits. Reading is total: whatever the
//! bytes, it ends in a value or a [`DecodeError`], and never allocates more than a small multiple of
//! the input's length.

mod holdout;
mod model;
mod parts;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use sha2::{Digest, Sha256};

use crate::ModelError;
use crate::courtesy::sha256;
use reader::Reader;
use writer::Writer;

/// Why bytes are not an artefact.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes begin differently.
    #[error("not a {expected} file: it begins with {found:02x?}")]
    Magic {
        /// What the file should be.
        expected: &'static str,
        /// Its first bytes, at most 8.
        found: Vec<u8>,
    },
    /// Written in a format that this build does not read.
    #[error(
        "{file} format version {found}, this build reads {oldest} to {newest}: use a newer build, \
         or publish the version again with this one"
    )]
    Version {
        /// What the file is.
        file: &'static str,
        /// Its version.
        found: u32,
        /// Oldest version read.
        oldest: u32,
        /// Newest version read.
        newest: u32,
    },
    /// The file is shorter or longer than its head says.
    #[error("{file} has {found} bytes, its head asks for {expected}: the copy is not whole")]
    Length {
        /// What the file is.
        file: &'static str,
        /// Bytes that should be there.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// The bytes have changed since they were written.
    #[error("{file} does not match its checksum: the bytes changed after they were written")]
    Checksum {
        /// What the file is.
        file: &'static str,
    },
    /// A section is not there or not in its place.
    #[error("section {index} is {found:?}, expected {expected:?}")]
    Section {
        /// Index of the section.
        index: usize,
        /// The name that should be there.
        expected: String,
        /// The name that is there.
        found: String,
    },
    /// A section's content makes no sense.
    #[error("section {section:?} at byte {offset}: {detail}")]
    Content {
        /// Name of the section.
        section: &'static str,
        /// Position within the section.
        offset: usize,
        /// What is wrong.
        detail: String,
    },
    /// Everything was read, but the parts do not fit each other.
    #[error("the parts do not make a model: {0}")]
    Model(#[from] ModelError),
    /// Everything was read, but the table is not a checked table.
    #[error("the parts do not make a holdout table: {detail}")]
    Table {
        /// What is wrong.
        detail: String,
    },
}

/// One kind of file.
pub(crate) struct Format<const N: usize> {
    /// For messages.
    file: &'static str,
    magic: [u8; 8],
    oldest: u32,
    newest: u32,
    /// Names of four bytes, in order.
    sections: [&'static str; N],
}

const CHECKSUM_BYTES: usize = 32;
const HEAD_BYTES: usize = 16;
const SECTION_HEAD_BYTES: usize = 12;

impl<const N: usize> Format<N> {
    /// Joins sections given in the order of `self.sections`.
    fn seal(&self, sections: &[Writer; N]) -> Vec<u8> {
        let mut out = Writer::default();
        out.bytes(&self.magic);
        out.u32(self.newest);
        out.u32(N as u32);
        for (name, section) in self.sections.iter().zip(sections) {
            out.bytes(name.as_bytes());
            out.u64(section.as_slice().len() as u64);
        }
        sections.iter().for_each(|section| out.bytes(section.as_slice()));
        let checksum = Sha256::digest(out.as_slice());
        out.bytes(&checksum);
        out.into_vec()
    }

    /// Checks head and checksum, and splits the bytes into sections.
    fn open<'a>(&self, bytes: &'a [u8]) -> Result<[Reader<'a>; N], DecodeError> {
        let file = self.file;
        if bytes.get(..8) != Some(&self.magic) {
            let found = bytes[..bytes.len().min(8)].to_vec();
            return Err(DecodeError::Magic { expected: file, found });
        }
        let head_bytes = HEAD_BYTES + N * SECTION_HEAD_BYTES;
        let short = |expected: usize| DecodeError::Length {
            file,
            expected: expected as u64,
            found: bytes.len() as u64,
        };
        let word = |at: usize| {
            let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
            four.map(u32::from_le_bytes).ok_or_else(|| short(head_bytes + CHECKSUM_BYTES))
        };
        let found = word(8)?;
        if !(self.oldest..=self.newest).contains(&found) {
            let (oldest, newest) = (self.oldest, self.newest);
            return Err(DecodeError::Version { file, found, oldest, newest });
        }
        let body_end = bytes
            .len()
            .checked_sub(CHECKSUM_BYTES)
            .filter(|&end| end >= head_bytes)
            .ok_or_else(|| short(head_bytes + CHECKSUM_BYTES))?;
        let (body, checksum) = bytes.split_at(body_end);
        let lengths = self.section_lengths(&body[HEAD_BYTES..head_bytes], word(12)?)?;
        let total = lengths.iter().fold(head_bytes as u64, |sum, &n| sum.saturating_add(n));
        if total != body_end as u64 {
            let expected = total.saturating_add(CHECKSUM_BYTES as u64);
            return Err(DecodeError::Length { file, expected, found: bytes.len() as u64 });
        }
        if sha256(body)[..] != *checksum {
            return Err(DecodeError::Checksum { file });
        }
        let mut rest = &body[head_bytes..];
        Ok(std::array::from_fn(|index| {
            // The lengths sum to what is there, so each fits.
            let (section, after) = rest.split_at(lengths[index] as usize);
            rest = after;
            Reader::new(self.sections[index], section)
        }))
    }

    fn section_lengths(&self, heads: &[u8], found: u32) -> Result<[u64; N], DecodeError> {
        if found as usize != N {
            return Err(DecodeError::Section {
                index: N,
                expected: format!("the end after {N} sections"),
                found: format!("{found} sections"),
            });
        }
        let mut lengths = [0; N];
        for (index, head) in heads.chunks_exact(SECTION_HEAD_BYTES).enumerate() {
            let (name, length) = head.split_at(4);
            if name != self.sections[index].as_bytes() {
                return Err(DecodeError::Section {
                    index,
                    expected: self.sections[index].to_owned(),
                    found: String::from_utf8_lossy(name).into_owned(),
                });
            }
            let mut eight = [0; 8];
            eight.copy_from_slice(length);
            lengths[index] = u64::from_le_bytes(eight);
        }
        Ok(lengths)
    }
}
