//! Lengths of time as people write them: `30m`, `12h`, `7d`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A length of time in microseconds, written as a whole number and one of `s m h d w`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    /// The length in microseconds, not negative.
    pub us: i64,
}

const UNITS: [(char, i64); 5] = [
    ('w', 7 * 86_400_000_000),
    ('d', 86_400_000_000),
    ('h', 3_600_000_000),
    ('m', 60_000_000),
    ('s', 1_000_000),
];

impl Span {
    /// So many days.
    #[must_use]
    pub const fn days(days: i64) -> Self {
        Self { us: days * 86_400_000_000 }
    }

    /// In days, for people.
    #[must_use]
    pub fn in_days(self) -> f64 {
        self.us as f64 / 86_400e6
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "{text:?} is not a length of time; write a whole number and one of s, m, h, d, w, such as \"7d\""
            )
        };
        let unit = text.chars().last().ok_or_else(bad)?;
        let (_, scale) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
        let number: i64 = text[..text.len() - 1].trim().parse().map_err(|_| bad())?;
        if number < 0 {
            return Err(format!("{text:?} is negative"));
        }
        number.checked_mul(scale).map(|us| Self { us }).ok_or_else(bad)
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // weeks read worse than days, so days are the largest unit that is printed
        for (name, scale) in UNITS.into_iter().skip(1) {
            if self.us % scale == 0 && (self.us != 0 || name == 'd') {
                return write!(f, "{}{name}", self.us / scale);
            }
        }
        write!(f, "{}s", self.us / 1_000_000)
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::Span;

    #[test]
    fn reads_what_it_writes() {
        for text in ["0d", "30m", "12h", "7d", "90d", "45s"] {
            assert_eq!(text.parse::<Span>().map(|span| span.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("2w".parse::<Span>(), Ok(Span::days(14)));
    }

    #[test]
    fn refuses_what_is_no_length() {
        for text in ["", "7", "d", "7 years", "-1d", "1.5h", "99999999999999w"] {
            assert!(text.parse::<Span>().is_err(), "{text:?} must be refused");
        }
    }
}
