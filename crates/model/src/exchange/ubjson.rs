//! UBJSON, as far as its specification (draft 12) goes without high-precision numbers.
//!
//! Arrays and objects may state their element type (`$`) and count (`#`). Counts are believed only as
//! far as the bytes reach, and nesting ends at [`MAX_DEPTH`].

use std::collections::BTreeMap;

use super::document::{Gathered, Value};
use super::{Format, ImportError};

/// Deepest nesting; XGBoost's models have 7 levels.
const MAX_DEPTH: usize = 64;

pub(super) fn parse(bytes: &[u8]) -> Result<Value, ImportError> {
    let mut reader = Reader { bytes, offset: 0 };
    let marker = reader.marker()?;
    let value = reader.value(marker, 0)?;
    if reader.offset < bytes.len() {
        return Err(reader.error(format!("{} bytes are left over", bytes.len() - reader.offset)));
    }
    Ok(value)
}

struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    fn error(&self, detail: impl Into<String>) -> ImportError {
        let place = format!("byte {}", self.offset);
        ImportError::Malformed { format: Format::XgboostUbjson, place, detail: detail.into() }
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], ImportError> {
        let left = self.bytes.len() - self.offset;
        if n > left {
            return Err(self.error(format!("{n} bytes are due, {left} are left")));
        }
        self.offset += n;
        Ok(&self.bytes[self.offset - n..self.offset])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ImportError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn byte(&mut self) -> Result<u8, ImportError> {
        Ok(self.array::<1>()?[0])
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.offset).copied()
    }

    /// The next marker that is not a no-op.
    fn marker(&mut self) -> Result<u8, ImportError> {
        loop {
            let marker = self.byte()?;
            if marker != b'N' {
                return Ok(marker);
            }
        }
    }

    /// A number of the type that the marker names.
    fn number(&mut self, marker: u8) -> Result<Option<f64>, ImportError> {
        Ok(Some(match marker {
            b'i' => f64::from(i8::from_be_bytes(self.array()?)),
            b'U' => f64::from(self.byte()?),
            b'I' => f64::from(i16::from_be_bytes(self.array()?)),
            b'l' => f64::from(i32::from_be_bytes(self.array()?)),
            b'L' => i64::from_be_bytes(self.array()?) as f64,
            b'd' => f64::from(f32::from_be_bytes(self.array()?)),
            b'D' => f64::from_be_bytes(self.array()?),
            _ => return Ok(None),
        }))
    }

    fn length(&mut self) -> Result<usize, ImportError> {
        let marker = self.marker()?;
        let length = match marker {
            b'd' | b'D' => None,
            marker => self.number(marker)?,
        };
        match length {
            Some(length) if length >= 0.0 => Ok(length as usize),
            Some(length) => Err(self.error(format!("a length of {length}"))),
            None => {
                Err(self.error(format!("marker {:?} where a length is due", char::from(marker))))
            }
        }
    }

    fn text(&mut self) -> Result<String, ImportError> {
        let n = self.length()?;
        let bytes = self.take(n)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(self.error("a text that is not UTF-8")),
        }
    }

    fn value(&mut self, marker: u8, depth: usize) -> Result<Value, ImportError> {
        if depth > MAX_DEPTH {
            return Err(self.error(format!("nested deeper than {MAX_DEPTH}")));
        }
        if let Some(number) = self.number(marker)? {
            return Ok(Value::Number(number));
        }
        match marker {
            b'Z' => Ok(Value::Null),
            b'T' => Ok(Value::Bool(true)),
            b'F' => Ok(Value::Bool(false)),
            b'S' => Ok(Value::Text(self.text()?)),
            b'C' => Ok(Value::Text(char::from(self.byte()?).to_string())),
            b'[' => self.list(depth),
            b'{' => self.object(depth),
            _ => Err(self.error(format!("unknown marker {:?}", char::from(marker)))),
        }
    }

    /// Whether a container goes on; takes its end if it does not. `due` is what is left of its count.
    fn more(&mut self, due: &mut Option<usize>, end: u8) -> bool {
        if let Some(left) = due {
            let more = *left > 0;
            *left = left.saturating_sub(1);
            return more;
        }
        while self.peek() == Some(b'N') {
            self.offset += 1;
        }
        let ends = self.peek() == Some(end);
        self.offset += usize::from(ends);
        !ends
    }

    /// Element type and count after the opening of an array or object.
    fn head(&mut self) -> Result<(Option<u8>, Option<usize>), ImportError> {
        let mut kind = None;
        if self.peek() == Some(b'$') {
            self.offset += 1;
            kind = Some(self.byte()?);
            if self.peek() != Some(b'#') {
                return Err(self.error("a type without a count"));
            }
        }
        let mut count = None;
        if self.peek() == Some(b'#') {
            self.offset += 1;
            count = Some(self.length()?);
        }
        Ok((kind, count))
    }

    fn list(&mut self, depth: usize) -> Result<Value, ImportError> {
        let (kind, mut due) = self.head()?;
        if let (Some(kind), Some(count)) = (kind, due) {
            return self.typed_list(kind, count, depth);
        }
        let mut gathered = Gathered::default();
        while self.more(&mut due, b']') {
            let marker = self.marker()?;
            gathered.push(self.value(marker, depth + 1)?);
        }
        Ok(gathered.value())
    }

    fn typed_list(&mut self, kind: u8, count: usize, depth: usize) -> Result<Value, ImportError> {
        // what takes no bytes could be claimed in any number
        if matches!(kind, b'Z' | b'T' | b'F' | b'N') && count > 0 {
            return Err(self.error("an array of a type without content"));
        }
        let left = self.bytes.len() - self.offset;
        if count > left {
            return Err(self.error(format!("a count of {count}, {left} bytes are left")));
        }
        let mut gathered = Gathered::default();
        for _ in 0..count {
            gathered.push(self.value(kind, depth + 1)?);
        }
        Ok(gathered.value())
    }

    fn object(&mut self, depth: usize) -> Result<Value, ImportError> {
        let (kind, mut due) = self.head()?;
        let mut object = BTreeMap::new();
        while self.more(&mut due, b'}') {
            let key = self.text()?;
            let marker = match kind {
                Some(kind) => kind,
                None => self.marker()?,
            };
            let value = self.value(marker, depth + 1)?;
            if object.contains_key(&key) {
                return Err(self.error(format!("key {key:?} is given twice")));
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}
