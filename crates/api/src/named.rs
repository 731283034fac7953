//! `segue.v1.NamedFeatures`, which is read for every score.
//!
//! Generated code would make a map of it, with one piece of memory a name and one a category. Here the
//! values stay the bytes that they came in, and are read where the row is scored: of a batch by many
//! threads, and without memory of their own.

use prost::bytes::{Buf, BufMut};
use prost::encoding::{
    DecodeContext, WireType, bool, check_wire_type, decode_key, decode_varint, double, encode_key,
    encode_varint, encoded_len_varint, int64, skip_field, string,
};
use prost::{DecodeError, Message};

use crate::v1::{FeatureValue, feature_value::Kind};

/// Features by name: `map<string, FeatureValue> values = 1`. Of a name that comes twice the later
/// value counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedFeatures {
    /// Entries of the map, each behind its length, as they came.
    entries: Vec<u8>,
    n_entries: usize,
}

/// What [`NamedFeatures`] says of a feature.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum NamedValue<'a> {
    /// None of the kinds: the caller forgot it, or speaks a later version.
    #[default]
    Unset,
    /// A number, finite or not.
    Number(f64),
    /// A whole number.
    Integer(i64),
    /// A yes or no.
    Flag(bool),
    /// The text of a category.
    Category(&'a str),
    /// Known to be missing.
    Missing,
}

/// A name and its value.
type Entry<'a> = (&'a str, NamedValue<'a>);

impl NamedFeatures {
    /// Number of values, those of a repeated name among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.n_entries
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.n_entries == 0
    }

    /// Bytes of memory that the values take.
    #[must_use]
    pub fn n_bytes_held(&self) -> usize {
        self.entries.capacity()
    }

    /// Names and values in the order of the message.
    ///
    /// # Errors
    /// Of an entry whose bytes are no name and value; those behind it are read all the same.
    pub fn iter(&self) -> impl Iterator<Item = Result<Entry<'_>, DecodeError>> {
        let mut rest = self.entries.as_slice();
        std::iter::from_fn(move || {
            // Whole by its making.
            let entry = take_delimited(&mut rest)?;
            Some(quick_entry(entry).map_or_else(|| read_entry(entry), Ok))
        })
    }

    /// Adds a value.
    pub fn push(&mut self, name: &str, value: NamedValue<'_>) {
        let value_len = value_len(value);
        let buf = &mut self.entries;
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
        self.n_entries += 1;
    }

    /// Room for more values, in proportion to those that are there already: of a message that is all
    /// short rows, each would take a thousand times its bytes otherwise.
    fn make_room(&mut self) {
        if self.n_entries == SHORT_ROW {
            self.entries.reserve(LONG_ROW_BYTES);
        }
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
        let mut rest = self.entries.as_slice();
        while let Some(entry) = take_delimited(&mut rest) {
            put_bytes(1, entry, buf);
        }
    }

    /// Keeps the bytes of an entry. What they are is seen when they are [read](Self::iter).
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
        check_wire_type(WireType::LengthDelimited, wire_type)?;
        self.make_room();
        let chunk = buf.chunk();
        let mut rest = chunk;
        if take_delimited(&mut rest).is_some() {
            // In one piece of memory, as nearly always.
            let n_bytes = chunk.len() - rest.len();
            self.entries.extend_from_slice(&chunk[..n_bytes]);
            buf.advance(n_bytes);
        } else {
            let mut entry = Vec::new();
            prost::encoding::bytes::merge(wire_type, &mut entry, buf, ctx)?;
            encode_varint(entry.len() as u64, &mut self.entries);
            self.entries.extend_from_slice(&entry);
        }
        self.n_entries += 1;
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        let mut rest = self.entries.as_slice();
        let entries = std::iter::from_fn(|| take_delimited(&mut rest));
        entries.map(|entry| delimited_len(entry.len())).sum()
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.n_entries = 0;
    }
}

/// Values after which a row is taken for one of many.
const SHORT_ROW: usize = 8;

/// Room for what is mostly behind that many.
const LONG_ROW_BYTES: usize = 1024;

/// Takes the bytes of a delimited field from behind its key; `None` if they are not all there.
#[inline]
pub(crate) fn take_delimited<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = decode_varint(bytes).ok()?;
    let (field, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(field)
}

/// Reads an entry as encoders write it: a short name, then a value of one kind. `None` for every other,
/// which [`read_entry`] then reads or refuses.
fn quick_entry(entry: &[u8]) -> Option<Entry<'_>> {
    let (name, rest) = short_field(0x0A, entry)?;
    let (value, rest) = short_field(0x12, rest)?;
    if !rest.is_empty() {
        return None;
    }
    let value = match value {
        [0x09, number @ ..] => NamedValue::Number(f64::from_le_bytes(number.try_into().ok()?)),
        [0x10, integer @ ..] => {
            let mut integer = integer;
            let read = decode_varint(&mut integer).ok().filter(|_| integer.is_empty())?;
            NamedValue::Integer(read as i64)
        }
        [0x18, flag @ (0 | 1)] => NamedValue::Flag(*flag == 1),
        [0x22, ..] => {
            let (text, rest) = short_field(0x22, value)?;
            NamedValue::Category(str::from_utf8(text).ok().filter(|_| rest.is_empty())?)
        }
        [0x2A, 0] => NamedValue::Missing,
        _ => return None,
    };
    Some((str::from_utf8(name).ok()?, value))
}

/// The bytes of a field with this key and a length of one byte, and what is behind it.
fn short_field(key: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    match bytes {
        [found, length @ ..0x80, rest @ ..] if *found == key => {
            rest.split_at_checked(usize::from(*length))
        }
        _ => None,
    }
}

/// Reads whatever entry there may be.
fn read_entry(mut bytes: &[u8]) -> Result<Entry<'_>, DecodeError> {
    let buf = &mut bytes;
    let ctx = DecodeContext::default();
    let (mut name, mut value) = ("", NamedValue::Unset);
    while !buf.is_empty() {
        match decode_key(buf)? {
            (1, wire_type) => name = read_text(wire_type, buf)?,
            (2, wire_type) => merge_value(&mut value, read_delimited(wire_type, buf)?)?,
            (tag, wire_type) => skip_field(wire_type, tag, buf, ctx.clone())?,
        }
    }
    Ok((name, value))
}

/// A `FeatureValue`, on top of what was read of it before. Of several kinds the last counts.
fn merge_value<'a>(value: &mut NamedValue<'a>, mut bytes: &'a [u8]) -> Result<(), DecodeError> {
    let buf = &mut bytes;
    let ctx = DecodeContext::default();
    while !buf.is_empty() {
        *value = match decode_key(buf)? {
            (1, wire_type) => {
                let mut number = 0.0;
                double::merge(wire_type, &mut number, buf, ctx.clone())?;
                NamedValue::Number(number)
            }
            (2, wire_type) => {
                let mut integer = 0;
                int64::merge(wire_type, &mut integer, buf, ctx.clone())?;
                NamedValue::Integer(integer)
            }
            (3, wire_type) => {
                let mut flag = false;
                bool::merge(wire_type, &mut flag, buf, ctx.clone())?;
                NamedValue::Flag(flag)
            }
            (4, wire_type) => NamedValue::Category(read_text(wire_type, buf)?),
            (5, wire_type) => {
                let mut missing = read_delimited(wire_type, buf)?;
                while !missing.is_empty() {
                    let (tag, wire_type) = decode_key(&mut missing)?;
                    skip_field(wire_type, tag, &mut missing, ctx.clone())?;
                }
                NamedValue::Missing
            }
            (tag, wire_type) => {
                skip_field(wire_type, tag, buf, ctx.clone())?;
                continue;
            }
        };
    }
    Ok(())
}

fn read_delimited<'a>(wire_type: WireType, buf: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    check_wire_type(WireType::LengthDelimited, wire_type)?;
    let mut again = *buf;
    match take_delimited(buf) {
        Some(field) => Ok(field),
        // For its error, which only prost can make.
        None => skip_field(wire_type, 1, &mut again, DecodeContext::default()).map(|()| &[][..]),
    }
}

fn read_text<'a>(wire_type: WireType, buf: &mut &'a [u8]) -> Result<&'a str, DecodeError> {
    let mut again = *buf;
    match str::from_utf8(read_delimited(wire_type, buf)?) {
        Ok(text) => Ok(text),
        Err(_) => {
            let read =
                string::merge(wire_type, &mut String::new(), &mut again, DecodeContext::default());
            read.map(|()| "")
        }
    }
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
