//! An entry of named features: a name and a value, read from its bytes.

use prost::DecodeError;
use prost::encoding::{
    DecodeContext, WireType, bool, check_wire_type, decode_key, decode_varint, double, int64,
    skip_field, string,
};

use super::take_delimited;

/// What [`NamedFeatures`](super::NamedFeatures) says of a feature.
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

/// A feature's name as it came. Most are compared with the one that is expected next, and what equals a
/// text need not be proven to be one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// Whether it is this name.
    #[inline]
    #[must_use]
    pub fn is(self, name: &str) -> bool {
        self.0 == name.as_bytes()
    }

    /// The name.
    ///
    /// # Errors
    /// Of bytes that are not UTF-8.
    pub fn text(self) -> Result<&'a str, DecodeError> {
        text_of(self.0)
    }
}

/// A name and its value.
pub(super) type Entry<'a> = (Name<'a>, NamedValue<'a>);

/// Reads the bytes of an entry.
#[inline]
pub(super) fn read(entry: &[u8]) -> Result<Entry<'_>, DecodeError> {
    quick_entry(entry).map_or_else(|| read_entry(entry), Ok)
}

/// Reads an entry as encoders write it: a short name, then a value of one kind. `None` for every other,
/// which [`read_entry`] then reads or refuses.
#[inline]
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
    Some((Name(name), value))
}

/// The bytes of a field with this key and a length of one byte, and what is behind it.
#[inline]
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
    let (mut name, mut value) = (Name::default(), NamedValue::Unset);
    while !buf.is_empty() {
        match decode_key(buf)? {
            (1, wire_type) => name = Name(read_delimited(wire_type, buf)?),
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
            (4, wire_type) => NamedValue::Category(text_of(read_delimited(wire_type, buf)?)?),
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

/// Bytes as text.
fn text_of(bytes: &[u8]) -> Result<&str, DecodeError> {
    str::from_utf8(bytes).or_else(|_| {
        // For its error, which only prost can make.
        let mut delimited = Vec::new();
        prost::encoding::encode_varint(bytes.len() as u64, &mut delimited);
        delimited.extend_from_slice(bytes);
        let (text, ctx) = (&mut String::new(), DecodeContext::default());
        string::merge(WireType::LengthDelimited, text, &mut delimited.as_slice(), ctx).map(|()| "")
    })
}
