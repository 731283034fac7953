//! `segue.v1.NamedFeatures`, the one message that is written by hand.
//!
//! It is read for every score. Generated code would make a map of it, with one piece of memory a name
//! and one a category; here all of them lie in one. The bytes on the wire are those of the proto file.

use std::ops::Range;

use prost::bytes::{Buf, BufMut};
use prost::encoding::{
    DecodeContext, WireType, bool, bytes, check_wire_type, decode_key, decode_varint, double,
    encode_key, encode_varint, encoded_len_varint, int64, skip_field, string,
};
use prost::{DecodeError, Message};

use crate::v1::{FeatureValue, feature_value::Kind};

/// Features by name: `map<string, FeatureValue> values = 1`. Of a name that comes twice the later
/// value counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NamedFeatures {
    /// Names and categories, one behind the other.
    text: String,
    /// In the order of the message.
    values: Vec<Entry>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Entry {
    name: Range<usize>,
    value: Stored,
}

/// A value whose text lies elsewhere.
#[derive(Debug, Clone, Default, PartialEq)]
enum Stored {
    #[default]
    Unset,
    Number(f64),
    Integer(i64),
    Flag(bool),
    Category(Range<usize>),
    Missing,
}

/// What [`NamedFeatures`] says of a feature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NamedValue<'a> {
    /// None of the kinds: the caller forgot it, or speaks a later version.
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

impl NamedFeatures {
    /// Number of values, those of a repeated name among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Bytes of memory that the values take.
    #[must_use]
    pub fn n_bytes_held(&self) -> usize {
        self.text.capacity() + self.values.capacity() * size_of::<Entry>()
    }

    /// Names and values in the order of the message.
    pub fn iter(&self) -> impl Iterator<Item = (&str, NamedValue<'_>)> {
        let text = |range: &Range<usize>| &self.text[range.clone()];
        self.values.iter().map(move |Entry { name, value }| {
            let value = match value {
                Stored::Unset => NamedValue::Unset,
                Stored::Number(number) => NamedValue::Number(*number),
                Stored::Integer(integer) => NamedValue::Integer(*integer),
                Stored::Flag(flag) => NamedValue::Flag(*flag),
                Stored::Category(category) => NamedValue::Category(text(category)),
                Stored::Missing => NamedValue::Missing,
            };
            (text(name), value)
        })
    }

    /// Adds a value.
    pub fn push(&mut self, name: &str, value: NamedValue<'_>) {
        let name = push_text(&mut self.text, name);
        let value = match value {
            NamedValue::Unset => Stored::Unset,
            NamedValue::Number(number) => Stored::Number(number),
            NamedValue::Integer(integer) => Stored::Integer(integer),
            NamedValue::Flag(flag) => Stored::Flag(flag),
            NamedValue::Category(category) => Stored::Category(push_text(&mut self.text, category)),
            NamedValue::Missing => Stored::Missing,
        };
        self.values.push(Entry { name, value });
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

fn push_text(text: &mut String, more: &str) -> Range<usize> {
    let start = text.len();
    text.push_str(more);
    start..text.len()
}

impl NamedFeatures {
    /// Room for more values, in proportion to those that are there already: of a message that is all
    /// short rows, each would take a thousand times its bytes otherwise.
    fn make_room(&mut self) {
        if self.values.len() == SHORT_ROW {
            let (n_values, n_bytes) = LONG_ROW;
            self.values.reserve(n_values);
            self.text.reserve(n_bytes);
        }
    }

    /// Reads an entry as encoders write it: a short name, then a value of one kind. `None` for every
    /// other, which [`read_entry`](Self::read_entry) then reads or refuses.
    ///
    /// The bytes begin with the entry's length; how many there are of it is told beside it.
    fn quick_entry(&mut self, bytes: &[u8]) -> Option<(usize, Entry)> {
        let (length, rest) = bytes.split_first().filter(|(length, _)| **length < 0x80)?;
        let entry = rest.get(..usize::from(*length))?;
        let (name, rest) = short_field(0x0A, entry)?;
        let (value, rest) = short_field(0x12, rest)?;
        if !rest.is_empty() {
            return None;
        }
        let name = str::from_utf8(name).ok()?;
        let mut category = "";
        let mut stored = match value {
            [0x09, number @ ..] => Stored::Number(f64::from_le_bytes(number.try_into().ok()?)),
            [0x10, integer @ ..] => {
                let mut integer = integer;
                let read = decode_varint(&mut integer).ok().filter(|_| integer.is_empty())?;
                Stored::Integer(read as i64)
            }
            [0x18, flag @ (0 | 1)] => Stored::Flag(*flag == 1),
            [0x22, ..] => {
                let (text, rest) = short_field(0x22, value)?;
                category = str::from_utf8(text).ok().filter(|_| rest.is_empty())?;
                Stored::Category(0..0)
            }
            [0x2A, 0] => Stored::Missing,
            _ => return None,
        };
        let name = push_text(&mut self.text, name);
        if let Stored::Category(range) = &mut stored {
            *range = push_text(&mut self.text, category);
        }
        Some((1 + entry.len(), Entry { name, value: stored }))
    }

    fn read_entry(&mut self, mut bytes: &[u8], ctx: DecodeContext) -> Result<Entry, DecodeError> {
        let buf = &mut bytes;
        let mut entry = Entry::default();
        while !buf.is_empty() {
            match decode_key(buf)? {
                (1, wire_type) => entry.name = read_text(&mut self.text, wire_type, buf, &ctx)?,
                (2, wire_type) => {
                    check_wire_type(WireType::LengthDelimited, wire_type)?;
                    in_one_piece(buf, ctx.clone(), |bytes, ctx| {
                        merge_value(&mut entry.value, &mut self.text, bytes, &ctx)
                    })?;
                }
                (tag, wire_type) => skip_field(wire_type, tag, buf, ctx.clone())?,
            }
        }
        Ok(entry)
    }
}

impl Message for NamedFeatures {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        for (name, value) in self.iter() {
            let value_len = value_len(value);
            encode_key(1, WireType::LengthDelimited, buf);
            encode_varint(entry_len(name, value_len) as u64, buf);
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
    }

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
        if let Some((n_bytes, entry)) = self.quick_entry(buf.chunk()) {
            buf.advance(n_bytes);
            self.values.push(entry);
            return Ok(());
        }
        let entry = in_one_piece(buf, ctx, |bytes, ctx| self.read_entry(bytes, ctx));
        let entry = entry.map_err(|mut error| {
            error.push("NamedFeatures", "values");
            error
        })?;
        self.values.push(entry);
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        let of_entry = |(name, value)| {
            let entry = entry_len(name, value_len(value));
            KEY + encoded_len_varint(entry as u64) + entry
        };
        self.iter().map(of_entry).sum()
    }

    fn clear(&mut self) {
        self.text.clear();
        self.values.clear();
    }
}

/// Values after which a row is taken for one of many.
const SHORT_ROW: usize = 8;

/// Room for what is mostly behind that many: values, and bytes of text.
const LONG_ROW: (usize, usize) = (56, 1024);

/// The bytes of a field with this key and a length of one byte, and what is behind it.
fn short_field(key: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    match bytes {
        [found, length @ ..0x80, rest @ ..] if *found == key => {
            rest.split_at_checked(usize::from(*length))
        }
        _ => None,
    }
}

/// Hands the bytes of a delimited field to `read`. Nearly always they lie in one piece of memory
/// already, where reading is much cheaper than from several.
fn in_one_piece<T>(
    buf: &mut impl Buf,
    ctx: DecodeContext,
    read: impl FnOnce(&[u8], DecodeContext) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let chunk = buf.chunk();
    let mut rest = chunk;
    let length = decode_varint(&mut rest).ok().and_then(|length| usize::try_from(length).ok());
    if let Some(field) = length.and_then(|length| rest.get(..length)) {
        let n_bytes = chunk.len() - rest.len() + field.len();
        let read = read(field, ctx)?;
        buf.advance(n_bytes);
        return Ok(read);
    }
    let mut field = Vec::new();
    bytes::merge(WireType::LengthDelimited, &mut field, buf, ctx.clone())?;
    read(&field, ctx)
}

/// Bytes of the key of a field, whose tag is below 16.
const KEY: usize = 1;

fn delimited_len(n_bytes: usize) -> usize {
    KEY + encoded_len_varint(n_bytes as u64) + n_bytes
}

fn entry_len(name: &str, value_len: usize) -> usize {
    delimited_len(name.len()) + delimited_len(value_len)
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

/// A `FeatureValue`, on top of what was read of it before. Of several kinds the last counts.
fn merge_value(
    value: &mut Stored,
    text: &mut String,
    mut bytes: &[u8],
    ctx: &DecodeContext,
) -> Result<(), DecodeError> {
    let buf = &mut bytes;
    while !buf.is_empty() {
        *value = match decode_key(buf)? {
            (1, wire_type) => {
                let mut number = 0.0;
                double::merge(wire_type, &mut number, buf, ctx.clone())?;
                Stored::Number(number)
            }
            (2, wire_type) => {
                let mut integer = 0;
                int64::merge(wire_type, &mut integer, buf, ctx.clone())?;
                Stored::Integer(integer)
            }
            (3, wire_type) => {
                let mut flag = false;
                bool::merge(wire_type, &mut flag, buf, ctx.clone())?;
                Stored::Flag(flag)
            }
            (4, wire_type) => Stored::Category(read_text(text, wire_type, buf, ctx)?),
            (5, wire_type) => {
                check_wire_type(WireType::LengthDelimited, wire_type)?;
                in_one_piece(buf, ctx.clone(), skip_all)?;
                Stored::Missing
            }
            (tag, wire_type) => {
                skip_field(wire_type, tag, buf, ctx.clone())?;
                continue;
            }
        };
    }
    Ok(())
}

fn skip_all(mut bytes: &[u8], ctx: DecodeContext) -> Result<(), DecodeError> {
    while !bytes.is_empty() {
        let (tag, wire_type) = decode_key(&mut bytes)?;
        skip_field(wire_type, tag, &mut bytes, ctx.clone())?;
    }
    Ok(())
}

/// Appends a text to `text` and says where.
fn read_text(
    text: &mut String,
    wire_type: WireType,
    buf: &mut &[u8],
    ctx: &DecodeContext,
) -> Result<Range<usize>, DecodeError> {
    check_wire_type(WireType::LengthDelimited, wire_type)?;
    let read = |bytes: &[u8], _| match str::from_utf8(bytes) {
        Ok(more) => Ok(Some(push_text(text, more))),
        Err(_) => Ok(None),
    };
    let mut again = *buf;
    match in_one_piece(buf, ctx.clone(), read)? {
        Some(range) => Ok(range),
        // For its error, which only prost can make.
        None => {
            string::merge(wire_type, &mut String::new(), &mut again, ctx.clone()).map(|()| 0..0)
        }
    }
}
