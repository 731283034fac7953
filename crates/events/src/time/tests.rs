//! Times as sources write them.

use std::borrow::Cow;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;

fn read(text: &str, reader: &TimeReader) -> Result<Option<Micros>, RejectReason> {
    reader.read(&Cell::Text(Cow::Borrowed(text))).map_err(|(reason, _)| reason)
}

fn in_zone(name: &str) -> TimeReader {
    TimeReader { unit: None, zone: zone_named(name).unwrap(), format: None }
}

#[test]
fn one_instant_in_many_spellings() {
    let reader = TimeReader::utc(None);
    for text in [
        "2026-01-31T13:45:00Z",
        "2026-01-31T13:45:00.000z",
        "2026-01-31 13:45:00",
        "2026-01-31T13:45",
        " 2026-01-31 13:45:00.000000 ",
        "2026-01-31 13:45:00 UTC",
        "2026-01-31T15:45:00+02:00",
        "2026-01-31T15:45:00+0200",
        "2026-01-31T08:45:00-05",
        "2026-01-31T14:45:00+01:00[Europe/Paris]",
    ] {
        assert_eq!(read(text, &reader), Ok(Some(1_769_867_100_000_000)), "{text}");
    }
    assert_eq!(read("2026-01-31", &reader), Ok(Some(1_769_817_600_000_000)));
    assert_eq!(read("2026-01-31T13:45:00.123456789Z", &reader), Ok(Some(1_769_867_100_123_456)));
    assert_eq!(read("  ", &reader), Ok(None));
}

#[test]
fn what_is_no_time_is_refused() {
    let reader = TimeReader::utc(None);
    for text in ["yesterday", "31/01/2026", "2026-13-01", "2026-01-31T25:00:00Z", "1769867100", "é"]
    {
        assert_eq!(read(text, &reader), Err(RejectReason::InvalidTime), "{text}");
    }
    let refused = reader.read(&Cell::Integer(1_769_867_100)).unwrap_err();
    assert!(refused.1.contains("time_unit"), "{refused:?}");
}

#[test]
fn a_format_reads_what_is_not_iso() {
    let reader = |format: &str| TimeReader {
        format: Some(TimeFormat::new(format).unwrap()),
        ..in_zone("Europe/Berlin")
    };
    let month_first = reader("%m/%d/%Y %H:%M");
    assert_eq!(read("1/31/2026 14:45", &month_first), Ok(Some(1_769_867_100_000_000)));
    assert_eq!(read("01/31/2026 14:45", &month_first), Ok(Some(1_769_867_100_000_000)));
    assert_eq!(read("31/1/2026 14:45", &month_first), Err(RejectReason::InvalidTime));
    assert_eq!(read("2026-01-31T13:45:00Z", &month_first), Err(RejectReason::InvalidTime));
    assert_eq!(read("31.1.2026", &reader("%d.%m.%Y")), Ok(Some(1_769_814_000_000_000)));
    let with_offset = reader("%d/%b/%Y:%H:%M:%S %z");
    assert_eq!(read("31/Jan/2026:08:45:00 -0500", &with_offset), Ok(Some(1_769_867_100_000_000)));
    for format in ["", "%Q", "%H:%M", "%m/%d", "%"] {
        assert!(TimeFormat::new(format).is_err(), "{format:?} says no date");
    }
}

#[test]
fn a_zone_applies_to_times_that_name_none() {
    let berlin = in_zone("Europe/Berlin");
    assert_eq!(read("2026-01-31 14:45", &berlin), Ok(Some(1_769_867_100_000_000)));
    assert_eq!(read("2026-01-31T13:45:00Z", &berlin), Ok(Some(1_769_867_100_000_000)));
    let wall = berlin.read(&Cell::WallTime(1_769_870_700_000_000)).unwrap();
    assert_eq!(wall, Some(1_769_867_100_000_000));
    let instant = berlin.read(&Cell::Time(1_769_867_100_000_000)).unwrap();
    assert_eq!(instant, Some(1_769_867_100_000_000));
    // Clocks go back at 03:00 on 25 October: 02:30 comes twice and the first is meant.
    let twice = read("2026-10-25 02:30", &berlin).unwrap();
    assert_eq!(twice, read("2026-10-25T00:30:00Z", &berlin).unwrap());
    // They go forward at 02:00 on 29 March: 02:30 does not exist and is read as 03:30.
    let never = read("2026-03-29 02:30", &berlin).unwrap();
    assert_eq!(never, read("2026-03-29T01:30:00Z", &berlin).unwrap());
}

#[test]
fn a_wrong_unit_is_out_of_range() {
    let reader = |unit| TimeReader::utc(Some(unit));
    let seconds = Cell::Integer(1_769_867_100);
    assert_eq!(reader(TimeUnit::Seconds).read(&seconds).unwrap(), Some(1_769_867_100_000_000));
    for unit in [TimeUnit::Milliseconds, TimeUnit::Microseconds, TimeUnit::Nanoseconds] {
        let (reason, detail) = reader(unit).read(&seconds).unwrap_err();
        assert_eq!(reason, RejectReason::TimeOutOfRange);
        assert!(detail.contains(unit.name()), "{detail}");
    }
    for extreme in [i64::MAX, i64::MIN, 0] {
        assert!(reader(TimeUnit::Seconds).read(&Cell::Integer(extreme)).is_err());
        assert!(reader(TimeUnit::Seconds).read(&Cell::Number(extreme as f64)).is_err());
        assert!(in_zone("Asia/Tokyo").read(&Cell::WallTime(extreme)).is_err());
    }
    assert!(reader(TimeUnit::Seconds).read(&Cell::Number(f64::INFINITY)).is_err());
    assert_eq!(reader(TimeUnit::Seconds).read(&Cell::Number(f64::NAN)).unwrap(), None);
    assert!(read("NaN", &reader(TimeUnit::Seconds)).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256, failure_persistence: None, rng_seed: RngSeed::Fixed(5), ..ProptestConfig::default()
    })]

    #[test]
    fn times_round_trip(micros in EARLIEST..LATEST) {
        let utc = TimeReader::utc(None);
        let instant = jiff::Timestamp::from_microsecond(micros).unwrap();
        prop_assert_eq!(read(&instant.to_string(), &utc), Ok(Some(micros)));
        let civil = TimeZone::UTC.to_datetime(instant).to_string();
        prop_assert_eq!(read(&civil, &utc), Ok(Some(micros)));
        let zone = in_zone("Asia/Kolkata"); // has no clock changes since 1980
        let there = zone.zone.to_datetime(instant).to_string().replace('T', " ");
        prop_assert_eq!(read(&there, &zone), Ok(Some(micros)));
        let unit = |unit, value| TimeReader::utc(Some(unit)).read(&Cell::Integer(value)).unwrap();
        prop_assert_eq!(unit(TimeUnit::Microseconds, micros), Some(micros));
        prop_assert_eq!(unit(TimeUnit::Milliseconds, micros / 1000), Some(micros / 1000 * 1000));
        prop_assert_eq!(unit(TimeUnit::Nanoseconds, micros * 1000 + 999), Some(micros));
        let second = micros / 1_000_000;
        prop_assert_eq!(unit(TimeUnit::Seconds, second), Some(second * 1_000_000));
    }
}
