//! Spans of time before `t`: durations, lifetime and the current session.

use segue_events::Micros;

/// Microseconds in a second.
pub(crate) const SECOND_US: i64 = 1_000_000;
/// Microseconds in a minute.
pub(crate) const MINUTE_US: i64 = 60 * SECOND_US;
/// Microseconds in a day of 24 hours.
pub(crate) const DAY_US: i64 = 24 * 60 * MINUTE_US;
/// A session ends after this long without an event, unless said otherwise.
pub(crate) const SESSION_TIMEOUT_US: i64 = 30 * MINUTE_US;
/// Shortest and longest window of a feature.
pub(crate) const WINDOW_RANGE_US: (i64, i64) = (5 * MINUTE_US, 90 * DAY_US);

const UNITS: [(&str, &str, i64); 4] = [
    ("d", "day", DAY_US),
    ("h", "hour", 60 * MINUTE_US),
    ("m", "minute", MINUTE_US),
    ("s", "second", SECOND_US),
];

/// Which visible events an aggregate looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Window {
    /// `[t - offset - length, t - offset)`.
    Span {
        /// Length, microseconds, above 0.
        length_us: i64,
        /// How far before `t` it ends, microseconds, at least 0.
        offset_us: i64,
    },
    /// Everything before `t`.
    Lifetime,
    /// The session that is open at `t`: page, screen and track events back to the first gap of at
    /// least `timeout_us` or to another supplied session id. Empty if the last such event is that
    /// long ago.
    Session {
        /// The gap that ends a session, microseconds.
        timeout_us: i64,
    },
}

impl Window {
    /// The last `length_us` microseconds before `t`.
    #[must_use]
    pub fn last(length_us: Micros) -> Self {
        Self::Span { length_us, offset_us: 0 }
    }

    /// As a name ends: `7d`, `7d_before_7d`, `lifetime`, `session`.
    pub(crate) fn suffix(self) -> String {
        match self {
            Self::Span { length_us, offset_us: 0 } => format_duration(length_us),
            Self::Span { length_us, offset_us } => {
                format!("{}_before_{}", format_duration(length_us), format_duration(offset_us))
            }
            Self::Lifetime => "lifetime".to_owned(),
            Self::Session { .. } => "session".to_owned(),
        }
    }

    /// As a sentence ends: `in the last 7 days`; empty for lifetime.
    pub(crate) fn words(self) -> String {
        match self {
            Self::Span { length_us, offset_us: 0 } => {
                format!("in the last {}", duration_words(length_us))
            }
            Self::Span { length_us, offset_us } => format!(
                "in the {} that ended {} ago",
                duration_words(length_us),
                counted_words(offset_us)
            ),
            Self::Lifetime => "so far".to_owned(),
            Self::Session { .. } => "in this session".to_owned(),
        }
    }
}

/// Reads `90d`, `12h`, `30m`, `45s`; `None` if it is no such thing or not above zero.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (_, _, unit_us) = UNITS.iter().find(|(unit, ..)| text.ends_with(unit))?;
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: i64 = digits.parse().ok()?;
    count.checked_mul(*unit_us).filter(|&us| us > 0)
}

/// The shortest text that reads back to the same duration (whole seconds).
pub(crate) fn format_duration(us: i64) -> String {
    let (unit, _, unit_us) = unit_of(us);
    format!("{}{unit}", us / unit_us)
}

/// `7 days`, `hour`: what follows "the last".
fn duration_words(us: i64) -> String {
    let (_, word, unit_us) = unit_of(us);
    match us / unit_us {
        1 => (*word).to_owned(),
        count => format!("{count} {word}s"),
    }
}

fn counted_words(us: i64) -> String {
    let words = duration_words(us);
    if words.starts_with(|first: char| first.is_ascii_digit()) {
        words
    } else {
        format!("1 {words}")
    }
}

fn unit_of(us: i64) -> &'static (&'static str, &'static str, i64) {
    UNITS.iter().find(|(_, _, unit_us)| us % unit_us == 0).unwrap_or(&UNITS[3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_back() {
        for text in ["5m", "1h", "90d", "45s", "7d"] {
            assert_eq!(parse_duration(text).map(format_duration).as_deref(), Some(text));
        }
        assert_eq!(parse_duration("24h").map(format_duration).as_deref(), Some("1d"));
        for text in ["", "d", "0d", "-1d", "7", "7 d", "7w", "99999999999999999999d", "é", "1é"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn windows_read_as_sentences() {
        assert_eq!(Window::last(7 * DAY_US).words(), "in the last 7 days");
        assert_eq!(Window::last(DAY_US).words(), "in the last day");
        let before = Window::Span { length_us: 7 * DAY_US, offset_us: DAY_US };
        assert_eq!(before.words(), "in the 7 days that ended 1 day ago");
        assert_eq!(before.suffix(), "7d_before_1d");
    }
}
