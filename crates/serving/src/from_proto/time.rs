//! Timestamps of the wire in microseconds.

use prost_types::Timestamp;

/// Microseconds since 1970 UTC, what is below a microsecond cut off. `None` if the timestamp is not
/// one of the years 0001 to 9999, as protobuf defines it.
pub(crate) fn micros_of(time: &Timestamp) -> Option<i64> {
    const FIRST_SECOND: i64 = -62_135_596_800;
    const LAST_SECOND: i64 = 253_402_300_799;
    let in_range = (FIRST_SECOND..=LAST_SECOND).contains(&time.seconds)
        && (0..1_000_000_000).contains(&time.nanos);
    in_range.then(|| time.seconds * 1_000_000 + i64::from(time.nanos / 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_keep_their_sign_and_bounds() {
        let micros = |seconds, nanos| micros_of(&Timestamp { seconds, nanos });
        assert_eq!(micros(1, 999_999_999), Some(1_999_999));
        assert_eq!(micros(-1, 500_000_000), Some(-500_000));
        assert_eq!(micros(i64::MAX, 0), None);
        assert_eq!(micros(0, -1), None);
        assert_eq!(micros(0, 1_000_000_000), None);
    }
}
