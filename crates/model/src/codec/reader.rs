//! Taking numbers and texts from the bytes of one section.

use super::DecodeError;

pub(super) struct Reader<'a> {
    section: &'static str,
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(section: &'static str, bytes: &'a [u8]) -> Self {
        Self { section, bytes, offset: 0 }
    }

    pub(super) fn error(&self, detail: impl Into<String>) -> DecodeError {
        let (section, offset) = (self.section, self.offset);
        DecodeError::Content { section, offset, detail: detail.into() }
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let left = self.bytes.len() - self.offset;
        if n > left {
            return Err(self.error(format!("{n} bytes are due, {left} are left")));
        }
        let taken = &self.bytes[self.offset..self.offset + n];
        self.offset += n;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn f64(&mut self) -> Result<f64, DecodeError> {
        Ok(f64::from_bits(self.u64()?))
    }

    /// A count of things of at least `bytes_each` bytes: refused if they cannot be there, before
    /// anything is allocated for them.
    pub(super) fn count(&mut self, bytes_each: usize) -> Result<usize, DecodeError> {
        let n = self.u64()?;
        let most = (self.bytes.len() - self.offset) / bytes_each.max(1);
        if n > most as u64 {
            return Err(self.error(format!("a count of {n}, there is room for {most}")));
        }
        Ok(n as usize)
    }

    pub(super) fn f64s(&mut self) -> Result<Vec<f64>, DecodeError> {
        let n = self.count(8)?;
        self.n_f64s(n)
    }

    /// Exactly `n` numbers; refused if they cannot be there, before anything is allocated for them.
    pub(super) fn n_f64s(&mut self, n: usize) -> Result<Vec<f64>, DecodeError> {
        Ok(self.words(n)?.map(f64::from_bits).collect())
    }

    /// As [`Self::n_f64s`].
    pub(super) fn n_u64s(&mut self, n: usize) -> Result<Vec<u64>, DecodeError> {
        Ok(self.words(n)?.collect())
    }

    fn words(&mut self, n: usize) -> Result<impl Iterator<Item = u64> + use<'a>, DecodeError> {
        let bytes = self.take(n.saturating_mul(8))?;
        Ok(bytes.as_chunks().0.iter().map(|&word| u64::from_le_bytes(word)))
    }

    pub(super) fn text(&mut self) -> Result<String, DecodeError> {
        let n = self.count(1)?;
        let bytes = self.take(n)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(self.error(format!("a text that is not UTF-8: {error}"))),
        }
    }

    pub(super) fn texts(&mut self) -> Result<Vec<String>, DecodeError> {
        let n = self.count(8)?;
        (0..n).map(|_| self.text()).collect()
    }

    /// Nothing may be left over.
    pub(super) fn end(self) -> Result<(), DecodeError> {
        let left = self.bytes.len() - self.offset;
        if left == 0 { Ok(()) } else { Err(self.error(format!("{left} bytes are left over"))) }
    }
}
