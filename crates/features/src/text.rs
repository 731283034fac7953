//! The text by which a value counts as a category, made without allocating.

use std::fmt::{self, Write as _};

use segue_events::{Scalar, Symbols};

/// The longest number has a sign, `0.`, 307 zeros and 17 digits more, or 16 after 308 zeros.
const LONGEST_BYTES: usize = 352;

/// Hands the text of a value to `then`.
pub(crate) fn with_text<T>(value: Scalar, symbols: &Symbols, then: impl FnOnce(&str) -> T) -> T {
    match value {
        Scalar::Text(text) => then(symbols.text(text)),
        Scalar::Number(number) => with_number(number, then),
        Scalar::Flag(flag) => then(flag_text(flag)),
    }
}

/// Hands a number as text to `then`; both zeros are one.
pub(crate) fn with_number<T>(number: f64, then: impl FnOnce(&str) -> T) -> T {
    let mut digits = Digits { bytes: [0; LONGEST_BYTES], n_bytes: 0 };
    match write!(digits, "{}", number + 0.0) {
        Ok(()) => then(str::from_utf8(&digits.bytes[..digits.n_bytes]).unwrap_or_default()),
        Err(fmt::Error) => then(&(number + 0.0).to_string()),
    }
}

/// A flag as text.
pub(crate) fn flag_text(flag: bool) -> &'static str {
    if flag { "true" } else { "false" }
}

/// The text of a value, kept.
pub(crate) fn text_of(value: Scalar, symbols: &Symbols) -> String {
    with_text(value, symbols, str::to_owned)
}

struct Digits {
    bytes: [u8; LONGEST_BYTES],
    n_bytes: usize,
}

impl fmt::Write for Digits {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.n_bytes + text.len();
        let room = self.bytes.get_mut(self.n_bytes..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.n_bytes = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_read_as_the_standard_library_writes_them() {
        let numbers = [
            0.0,
            -0.0,
            1.0,
            -17.25,
            1e21,
            f64::MAX,
            f64::MIN,
            f64::MIN_POSITIVE,
            -2.225_073_858_507_201e-308,
            5e-324,
            0.1 + 0.2,
        ];
        for number in numbers {
            let expected = if number == 0.0 { "0".to_owned() } else { number.to_string() };
            assert!(expected.len() <= LONGEST_BYTES, "{} bytes", expected.len());
            with_number(number, |text| assert_eq!(text, expected));
        }
    }
}
