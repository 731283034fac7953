//! `segue.v1.PackedFeatures`, which is read for every score.
//!
//! Generated code takes the numbers from the message one by one, into a list that grows. Here they are taken
//! at once: a packed list of doubles is their bytes.

use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType, double, skip_field, string};
use prost::{DecodeError, Message};

use crate::named::take_delimited;

/// Features by position, for the schema of a digest: `repeated double values = 1`,
/// `string schema_digest = 2`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PackedFeatures {
    /// One value a column of the schema: a number, the index of a category, -1 for one that training
    /// has not seen, NaN for missing.
    pub values: Vec<f64>,
    /// Digest of the schema, as `GetModelSchema` gives it.
    pub schema_digest: String,
}

impl Message for PackedFeatures {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        double::encode_packed(1, &self.values, buf);
        if !self.schema_digest.is_empty() {
            string::encode(2, &self.schema_digest, buf);
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => merge_values(&mut self.values, wire_type, buf, ctx),
            2 => string::merge(wire_type, &mut self.schema_digest, buf, ctx),
            _ => skip_field(wire_type, tag, buf, ctx),
        }
    }

    fn encoded_len(&self) -> usize {
        let digest = &self.schema_digest;
        let digest_len = if digest.is_empty() { 0 } else { string::encoded_len(2, digest) };
        double::encoded_len_packed(1, &self.values) + digest_len
    }

    fn clear(&mut self) {
        self.values.clear();
        self.schema_digest.clear();
    }
}

fn merge_values(
    values: &mut Vec<f64>,
    wire_type: WireType,
    buf: &mut impl Buf,
    ctx: DecodeContext,
) -> Result<(), DecodeError> {
    let chunk = buf.chunk();
    let mut rest = chunk;
    if wire_type == WireType::LengthDelimited
        && let Some(packed) = take_delimited(&mut rest)
        && let (numbers, []) = packed.as_chunks()
    {
        values.extend(numbers.iter().map(|&bytes| f64::from_le_bytes(bytes)));
        let n_bytes = chunk.len() - rest.len();
        buf.advance(n_bytes);
        return Ok(());
    }
    // One by one, in several pieces of memory, or no doubles at all.
    double::merge_repeated(wire_type, values, buf, ctx)
}
