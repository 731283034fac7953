//! Local dates, fast: the offsets of a time zone from 1970 to 2100 as a sorted list.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use segue_events::Micros;

use crate::operator::CalendarPart;
use crate::window::{DAY_US, SECOND_US};

/// Start of 2100, after which rules are asked for each time.
const END_US: i64 = 4_102_444_800 * SECOND_US;

/// A time zone with its transitions spelled out.
#[derive(Debug, Clone)]
pub(crate) struct Zone {
    zone: TimeZone,
    /// From when (ascending), offset in microseconds; the first is at 1970-01-01.
    offsets: Vec<(Micros, i64)>,
}

impl Zone {
    /// `None` if there is no such IANA time zone.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let zone = TimeZone::get(name).ok()?;
        let offset_us = |at: Timestamp| i64::from(zone.to_offset(at).seconds()) * SECOND_US;
        let mut offsets = vec![(0, offset_us(Timestamp::UNIX_EPOCH))];
        for transition in zone.following(Timestamp::UNIX_EPOCH) {
            let at = transition.timestamp();
            if at.as_microsecond() >= END_US {
                break;
            }
            offsets.push((at.as_microsecond(), offset_us(at)));
        }
        Some(Self { zone, offsets })
    }

    fn offset_us(&self, at: Micros) -> i64 {
        if (0..END_US).contains(&at) {
            let after = self.offsets.partition_point(|&(from, _)| from <= at);
            return self.offsets[after - 1].1;
        }
        let outside = Timestamp::from_microsecond(at).unwrap_or(if at < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        });
        i64::from(self.zone.to_offset(outside).seconds()) * SECOND_US
    }

    /// Local time as microseconds since the local 1970-01-01T00:00.
    fn local_us(&self, at: Micros) -> i64 {
        at.saturating_add(self.offset_us(at))
    }

    /// Days since the local 1970-01-01.
    pub(crate) fn day(&self, at: Micros) -> i64 {
        self.local_us(at).div_euclid(DAY_US)
    }

    /// A part of the local date and time.
    pub(crate) fn part(&self, part: CalendarPart, at: Micros) -> f64 {
        let day = self.day(at);
        // 1970-01-01 was a Thursday.
        let day_of_week = (day + 3).rem_euclid(7) + 1;
        let value = match part {
            CalendarPart::Hour => self.local_us(at).rem_euclid(DAY_US) / (3600 * SECOND_US),
            CalendarPart::DayOfWeek => day_of_week,
            CalendarPart::DayOfMonth => month_and_day(day).1,
            CalendarPart::Month => month_and_day(day).0,
            CalendarPart::IsWeekend => i64::from(day_of_week >= 6),
        };
        value as f64
    }
}

/// Month (1 to 12) and day of month (1 to 31) in the proleptic Gregorian calendar, by counting in
/// years that begin in March, so that the leap day comes last.
fn month_and_day(day: i64) -> (i64, i64) {
    let since_march_0000 = day + 719_468;
    let day_of_era = since_march_0000.rem_euclid(146_097);
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_jiff_on_every_part() {
        for name in ["UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"] {
            let zone = Zone::new(name).unwrap();
            for step in -2_000..9_000_i64 {
                let at = step * 11 * 3600 * SECOND_US * 13 + step * 977;
                let local = Timestamp::from_microsecond(at).unwrap().to_zoned(zone.zone.clone());
                let expected = [
                    (CalendarPart::Hour, i64::from(local.hour())),
                    (CalendarPart::DayOfWeek, i64::from(local.weekday().to_monday_one_offset())),
                    (CalendarPart::DayOfMonth, i64::from(local.day())),
                    (CalendarPart::Month, i64::from(local.month())),
                ];
                for (part, value) in expected {
                    assert_eq!(zone.part(part, at), value as f64, "{name} {part:?} {local}");
                }
            }
        }
    }

    #[test]
    fn an_unknown_zone_is_none() {
        assert!(Zone::new("Europe/Atlantis").is_none());
    }
}
