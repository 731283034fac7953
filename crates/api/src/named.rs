//! `segue.v1.NamedFeatures`, which is read for every score.
//!
//! Generated code would make a map of it, with one piece of memory a name and one a category. Here the
//! message stays the bytes that it came in, and is read where the row is scored: of a batch by many
//! threads, and without memory of its own.

mod entry;

use prost::bytes::{Buf, BufMut};
use prost::encoding::{
    DecodeContext, WireType, bool, decode_varint, double, encode_key, encode_varint,
    encoded_len_varint, int64, skip_field,
};
use prost::{DecodeError, Message};

pub use self::entry::{Name, NamedValue};
use crate::v1::{FeatureValue, feature_value::Kind};

/// Features by name: `map<string, FeatureValue> values = 1`. Of a name that comes twice the later
/// value counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedFeatures {
    /// The message as it came, or as it will be sent.
    message: Vec<u8>,
}

impl NamedFeatures {
    /// Bytes of memory that the values take.
    #[must_use]
    pub fn n_bytes_held(&self) -> usize {
        self.message.capacity()
    }

    /// Names and values in the order of the message, those of a repeated name among them.
    ///
    /// # Errors
    /// Of an entry whose bytes are no name and value; those behind it are read all the same.
    pub fn iter(&self) -> impl Iterator<Item = Result<(Name<'_>, NamedValue<'_>), DecodeError>> {
        let mut rest = self.message.as_slice();
        // Whole by its making.
        std::iter::from_fn(move || take_entry(&mut rest).map(entry::read))
    }

    /// Adds a value.
    pub fn push(&mut self, name: &str, value: NamedValue<'_>) {
        let value_len = value_len(value);
        let buf = &mut self.message;
        encode_key(1, WireType::LengthDelimited, buf);
        encode_varint((delimited_len(name.len()) + delimited_len(value_len)) as u64, buf);
        put_bytes(1, name.as_bytes(), buf);
        encode_key(2, WireType::LengthDelimited, buf);
        encode_varint(value_len as u64, buf);
        match value {
            NamedValue::Unset => {}
            NamedValue::Number(number) => double::encode(1, &number, buf),
            NamedValue::Integer(integer) => int64::encode(2, &integer, buf),
            NamedValue::Flag(flag) => bool::encode(3, &flag, buf),
            NamedValue::Category(category) => put_bytes(4, category.as_bytes(), buf),
            NamedValue::Missing => put_bytes(5, b"", buf),
        }
    }

    /// Adds a message that is part of another. What its entries are is seen when they are
    /// [read](Self::iter).
    pub(crate) fn merge_part(
        &mut self,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        let chunk = buf.chunk();
        let mut rest = chunk;
        if wire_type == WireType::LengthDelimited
            && let Some(message) = take_delimited(&mut rest)
            && is_all_entries(message)
        {
            self.message.extend_from_slice(message);
            let n_bytes = chunk.len() - rest.len();
            buf.advance(n_bytes);
            return Ok(());
        }
        // In several pieces of memory, with fields of later versions, or no message at all.
        prost::encoding::message::merge(wire_type, self, buf, ctx)
    }
}

impl<N: AsRef<str>> Extend<(N, FeatureValue)> for NamedFeatures {
    fn extend<I: IntoIterator<Item = (N, FeatureValue)>>(&mut self, values: I) {
        for (name, value) in values {
            let value = match &value.kind {
                None => NamedValue::Unset,
                Some(Kind::Number(number)) => NamedValue::Number(*number),
                Some(Kind::Integer(integer)) => NamedValue::Integer(*integer),
                Some(Kind::Flag(flag)) => NamedValue::Flag(*flag),
                Some(Kind::Category(category)) => NamedValue::Category(category),
                Some(Kind::Missing(_)) => NamedValue::Missing,
            };
            self.push(name.as_ref(), value);
        }
    }
}

impl<N: AsRef<str>> FromIterator<(N, FeatureValue)> for NamedFeatures {
    fn from_iter<I: IntoIterator<Item = (N, FeatureValue)>>(values: I) -> Self {
        let mut features = Self::default();
        features.extend(values);
        features
    }
}

impl Message for NamedFeatures {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        buf.put_slice(&self.message);
    }

    /// Adds an entry, unread.
    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        if tag != 1 {
            return skip_field(wire_type, tag, buf, ctx);
        }
        let mut entry = Vec::new();
        // Maps of generated messages do not look at the wire type either.
        prost::encoding::bytes::merge(WireType::LengthDelimited, &mut entry, buf, ctx)?;
        put_bytes(1, &entry, &mut self.message);
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.message.len()
    }

    fn clear(&mut self) {
        self.message.clear();
    }
}

/// Key of an entry.
const ENTRY: u8 = 0x0A;

/// Whether these bytes are entries and nothing else.
fn is_all_entries(mut message: &[u8]) -> bool {
    while take_entry(&mut message).is_some() {}
    message.is_empty()
}

/// Takes the bytes of an entry; `None` if none is at the front.
#[inline]
fn take_entry<'a>(message: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut rest = message.strip_prefix(&[ENTRY])?;
    let entry = take_delimited(&mut rest)?;
    *message = rest;
    Some(entry)
}

/// Takes the bytes of a delimited field from behind its key; `None` if they are not all there.
#[inline]
pub(crate) fn take_delimited<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut rest = *bytes;
    let length = match rest {
        [length @ ..0x80, behind @ ..] => {
            rest = behind;
            u64::from(*length)
        }
        _ => decode_varint(&mut rest).ok()?,
    };
    let (field, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(field)
}

/// Bytes of the key of a field, whose tag is below 16.
const KEY: usize = 1;

fn delimited_len(n_bytes: usize) -> usize {
    KEY + encoded_len_varint(n_bytes as u64) + n_bytes
}

fn value_len(value: NamedValue<'_>) -> usize {
    match value {
        NamedValue::Unset => 0,
        NamedValue::Number(number) => double::encoded_len(1, &number),
        NamedValue::Integer(integer) => int64::encoded_len(2, &integer),
        NamedValue::Flag(flag) => bool::encoded_len(3, &flag),
        NamedValue::Category(category) => delimited_len(category.len()),
        NamedValue::Missing => delimited_len(0),
    }
}

fn put_bytes(tag: u32, bytes: &[u8], buf: &mut impl BufMut) {
    encode_key(tag, WireType::LengthDelimited, buf);
    encode_varint(bytes.len() as u64, buf);
    buf.put_slice(bytes);
}
