//! Reading times: ISO-8601 text with or without a zone, text of a declared format, and epoch numbers of a
//! declared unit.

use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::record::Cell;
use crate::{Micros, RejectReason};

/// 1980-01-01 UTC. Earlier times are nearly always an epoch number read in too large a unit.
const EARLIEST: Micros = 315_532_800_000_000;
/// 2200-01-01 UTC. Later times are nearly always an epoch number read in too small a unit.
const LATEST: Micros = 7_258_118_400_000_000;

static PARSER: DateTimeParser = DateTimeParser::new();

/// Unit of an epoch number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    /// Seconds.
    #[serde(alias = "s")]
    Seconds,
    /// Milliseconds.
    #[serde(alias = "ms")]
    Milliseconds,
    /// Microseconds.
    #[serde(alias = "us")]
    Microseconds,
    /// Nanoseconds.
    #[serde(alias = "ns")]
    Nanoseconds,
}

impl TimeUnit {
    /// Name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
            Self::Microseconds => "microseconds",
            Self::Nanoseconds => "nanoseconds",
        }
    }

    fn micros_of_integer(self, value: i64) -> Option<Micros> {
        match self {
            Self::Seconds => value.checked_mul(1_000_000),
            Self::Milliseconds => value.checked_mul(1_000),
            Self::Microseconds => Some(value),
            Self::Nanoseconds => Some(value.div_euclid(1_000)),
        }
    }

    fn micros_of_number(self, value: f64) -> Option<Micros> {
        let micros = match self {
            Self::Seconds => value * 1e6,
            Self::Milliseconds => value * 1e3,
            Self::Microseconds => value,
            Self::Nanoseconds => value / 1e3,
        };
        // Well inside i64, so that the conversion is exact to the microsecond.
        (micros.abs() < 9e15).then(|| micros.round() as Micros)
    }
}

/// How the times of a source are written.
#[derive(Debug, Clone)]
pub(crate) struct TimeReader {
    /// Unit of numbers; `None` refuses them.
    pub(crate) unit: Option<TimeUnit>,
    /// Zone of times that name none.
    pub(crate) zone: TimeZone,
    /// How texts are written; `None` is ISO-8601.
    pub(crate) format: Option<TimeFormat>,
}

/// How a source writes its times: the letters of C's `strptime`, such as `%m/%d/%Y %H:%M`.
///
/// Reads year, month and day at least; a part of the day that is not written is 0. An offset (`%z`)
/// wins over the zone of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TimeFormat(String);

impl TimeFormat {
    /// Checks a format on an instant of its own: what it writes must read back.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let probe = jiff::civil::date(2001, 11, 22).at(0, 0, 0, 0).to_zoned(TimeZone::UTC);
        let written = probe.map_err(|error| error.to_string())?;
        let written = strtime::format(text, &written).map_err(|error| error.to_string())?;
        let format = Self(text.to_owned());
        match format.read(&written, &TimeZone::UTC) {
            Ok(1_006_387_200_000_000) => Ok(format),
            Ok(_) => Err("it does not say year, month and day".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn read(&self, text: &str, zone: &TimeZone) -> Result<Micros, jiff::Error> {
        let parts = strtime::parse(&self.0, text)?;
        let local = parts.to_datetime()?;
        let zone = parts.offset().map_or_else(|| zone.clone(), TimeZone::fixed);
        Ok(local.to_zoned(zone)?.timestamp().as_microsecond())
    }
}

/// A zone by its IANA name, such as `Europe/Berlin`.
pub(crate) fn zone_named(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

impl TimeReader {
    /// ISO-8601 text; zone-less text is UTC; numbers are of `unit`.
    pub(crate) fn utc(unit: Option<TimeUnit>) -> Self {
        Self { unit, zone: TimeZone::UTC, format: None }
    }

    /// Reads a cell. `None` for null and empty text.
    #[inline]
    pub(crate) fn read(&self, cell: &Cell<'_>) -> Result<Option<Micros>, (RejectReason, String)> {
        let micros = match cell {
            Cell::Null => return Ok(None),
            Cell::Text(text) if text.trim().is_empty() => return Ok(None),
            Cell::Number(number) if number.is_nan() => return Ok(None),
            Cell::Text(text) => self.read_text(text.trim())?,
            Cell::Integer(value) => {
                let micros = self.unit_for(value)?.micros_of_integer(*value);
                micros.ok_or_else(|| self.out_of_range(value))?
            }
            Cell::Number(value) => {
                let micros = self.unit_for(value)?.micros_of_number(*value);
                micros.ok_or_else(|| self.out_of_range(value))?
            }
            Cell::Time(micros) => *micros,
            Cell::WallTime(micros) => self.at_wall_clock(*micros)?,
            Cell::Flag(flag) => {
                return Err((RejectReason::InvalidTime, format!("found {flag}, expected a time")));
            }
        };
        if (EARLIEST..LATEST).contains(&micros) {
            Ok(Some(micros))
        } else {
            Err(self.out_of_range(shown(cell)))
        }
    }

    fn read_text(&self, text: &str) -> Result<Micros, (RejectReason, String)> {
        if self.unit.is_some() {
            if let Ok(value) = text.parse::<i64>() {
                return self.read_number(Cell::Integer(value));
            }
            if let Ok(value) = text.parse::<f64>() {
                return self.read_number(Cell::Number(value));
            }
        }
        if let Some(format) = &self.format {
            return format.read(text, &self.zone).map_err(|error| {
                let (found, format) = (shortened(text), &format.0);
                let detail =
                    format!("found `{found}`, expected time_format = {format:?} ({error})");
                (RejectReason::InvalidTime, detail)
            });
        }
        let text = text.strip_suffix(" UTC").unwrap_or(text);
        // A sign after the date can only be an offset.
        let has_zone = text.get(10..).is_some_and(|rest| rest.contains(['Z', 'z', '+', '-', '[']));
        let micros = if has_zone {
            PARSER.parse_timestamp(text).map(jiff::Timestamp::as_microsecond)
        } else {
            PARSER.parse_datetime(text).and_then(|local| self.instant(local))
        };
        micros.map_err(|error| {
            let detail = format!(
                "found `{}`, expected ISO-8601 such as 2026-01-31T13:45:00Z, or another way to \
                 write times, named by time_format ({error})",
                shortened(text)
            );
            (RejectReason::InvalidTime, detail)
        })
    }

    fn read_number(&self, cell: Cell<'_>) -> Result<Micros, (RejectReason, String)> {
        let read = self.read(&cell)?;
        read.ok_or_else(|| (RejectReason::InvalidTime, "found NaN, expected a time".to_owned()))
    }

    /// The instant of a wall-clock time in the reader's zone. Of two (clocks set back) the first,
    /// of none (clocks set forward) the time shifted by the gap.
    fn instant(&self, local: DateTime) -> Result<Micros, jiff::Error> {
        let zoned = local.to_zoned(self.zone.clone())?;
        Ok(zoned.timestamp().as_microsecond())
    }

    /// The same for microseconds counted on the wall clock.
    pub(crate) fn at_wall_clock(&self, micros: Micros) -> Result<Micros, (RejectReason, String)> {
        if self.zone == TimeZone::UTC {
            return Ok(micros);
        }
        jiff::Timestamp::from_microsecond(micros)
            .and_then(|wall| self.instant(TimeZone::UTC.to_datetime(wall)))
            .map_err(|_| self.out_of_range(micros))
    }

    fn unit_for(&self, value: impl std::fmt::Display) -> Result<TimeUnit, (RejectReason, String)> {
        self.unit.ok_or_else(|| {
            let detail = format!(
                "found the number {value}; say its unit: time_unit = \"seconds\", \
                 \"milliseconds\", \"microseconds\" or \"nanoseconds\""
            );
            (RejectReason::InvalidTime, detail)
        })
    }

    fn out_of_range(&self, found: impl std::fmt::Display) -> (RejectReason, String) {
        let unit = self.unit.map_or_else(String::new, |unit| format!(" read as {}", unit.name()));
        let detail = format!("found {found}{unit}, expected a time from 1980 to 2199");
        (RejectReason::TimeOutOfRange, detail)
    }
}

fn shown(cell: &Cell<'_>) -> String {
    match cell {
        Cell::Null => "null".to_owned(),
        Cell::Flag(flag) => flag.to_string(),
        Cell::Integer(value) | Cell::Time(value) | Cell::WallTime(value) => value.to_string(),
        Cell::Number(value) => value.to_string(),
        Cell::Text(text) => format!("`{}`", shortened(text)),
    }
}

/// At most 60 characters of a text, for messages.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
