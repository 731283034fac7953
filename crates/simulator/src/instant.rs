//! Instants as text.

use jiff::Timestamp;

/// ISO 8601 in UTC with milliseconds, `2025-01-06T09:13:22.120Z`.
pub(crate) fn iso(micros: i64) -> String {
    // Parameters keep every instant within a few centuries of today, where the conversion holds.
    let instant = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{instant:.3}")
}
