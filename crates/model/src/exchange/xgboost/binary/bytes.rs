//! Numbers and texts, none of them believed beyond the bytes that are there.

use crate::exchange::{Format, ImportError};

pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn malformed_at(&self, offset: usize, detail: impl Into<String>) -> ImportError {
        let (format, place) = (Format::XgboostBinary, format!("byte {offset}"));
        ImportError::Malformed { format, place, detail: detail.into() }
    }

    pub(super) fn unsupported_at(&self, offset: usize, detail: impl Into<String>) -> ImportError {
        let (format, place) = (Format::XgboostBinary, format!("byte {offset}"));
        ImportError::Unsupported { format, place, detail: detail.into() }
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.offset
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], ImportError> {
        let left = self.left();
        if n > left {
            let detail = format!("{n} bytes are due, {left} are left");
            return Err(self.malformed_at(self.offset, detail));
        }
        self.offset += n;
        Ok(&self.bytes[self.offset - n..self.offset])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ImportError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn skip(&mut self, n: usize) -> Result<(), ImportError> {
        self.take(n).map(drop)
    }

    pub(super) fn i32(&mut self) -> Result<i32, ImportError> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, ImportError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn f32(&mut self) -> Result<f32, ImportError> {
        Ok(f32::from_le_bytes(self.array()?))
    }

    /// A number of things, in 32 bits with a sign.
    pub(super) fn count(&mut self) -> Result<usize, ImportError> {
        let at = self.offset;
        let count = self.i32()?;
        usize::try_from(count).map_err(|_| self.malformed_at(at, format!("a count of {count}")))
    }

    /// A length in 64 bits.
    pub(super) fn length(&mut self) -> Result<usize, ImportError> {
        let at = self.offset;
        let length = u64::from_le_bytes(self.array()?);
        usize::try_from(length).map_err(|_| self.malformed_at(at, format!("a length of {length}")))
    }

    /// Refuses a count of things of at least `size` bytes each for which the bytes are not there.
    pub(super) fn due(
        &self,
        count: usize,
        size: usize,
        at: usize,
        what: &str,
    ) -> Result<(), ImportError> {
        let left = self.left();
        if count.checked_mul(size).is_some_and(|due| due <= left) {
            return Ok(());
        }
        Err(self.malformed_at(at, format!("{count} {what} are due, {left} bytes are left")))
    }

    pub(super) fn text(&mut self) -> Result<&'a str, ImportError> {
        let n = self.length()?;
        let at = self.offset;
        std::str::from_utf8(self.take(n)?)
            .map_err(|_| self.malformed_at(at, "a text that is not UTF-8"))
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.left() == 0
    }

    /// Nothing may follow.
    pub(super) fn end(&self) -> Result<(), ImportError> {
        if self.is_at_end() {
            return Ok(());
        }
        let detail = format!("{} bytes follow the end of the model", self.left());
        Err(self.malformed_at(self.offset, detail))
    }
}
