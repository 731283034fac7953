//! A table's cell as an instant.

use segue_events::Cell;

/// Microseconds UTC of a time, a whole number of microseconds, or a date or date-time text
/// (without a zone: UTC).
pub(super) fn instant_of(cell: &Cell<'_>) -> Option<i64> {
    match cell {
        Cell::Time(us) | Cell::WallTime(us) | Cell::Integer(us) => Some(*us),
        Cell::Text(text) => parse_instant(text),
        Cell::Null | Cell::Flag(_) | Cell::Number(_) => None,
    }
}

/// Microseconds UTC of a date or date-time text, without a zone in UTC.
pub(crate) fn parse_instant(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Some(instant.as_microsecond());
    }
    let civil = text
        .parse::<jiff::civil::DateTime>()
        .or_else(|_| text.parse::<jiff::civil::Date>().map(|date| date.at(0, 0, 0, 0)))
        .ok()?;
    Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_microsecond())
}
