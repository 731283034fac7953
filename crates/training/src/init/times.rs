//! How the times of a column are written: ISO-8601, numbers of a unit, or dates with the month or the day
//! first.

use segue_events::{Mapper, MapperOptions, PlainMapping, SourceFormat, TimeUnit};
use serde_json::{Map, Value as Json};

use super::sample::Sample;

/// Share of the values that must read for a column to be taken.
const MOST: f64 = 0.9;

/// How times are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TimeForm {
    /// ISO-8601.
    Iso,
    /// Numbers.
    Number(TimeUnit),
    /// A format of `strptime`.
    Text(String),
    /// All values read with the month first, and all with the day first.
    Ambiguous {
        /// Format with the month first.
        month_first: String,
        /// Format with the day first.
        day_first: String,
    },
}

impl TimeForm {
    /// What a mapping says of it.
    pub(super) fn unit_and_format(&self) -> (Option<TimeUnit>, Option<String>) {
        match self {
            Self::Number(unit) => (Some(*unit), None),
            Self::Text(format) => (None, Some(format.clone())),
            Self::Iso | Self::Ambiguous { .. } => (None, None),
        }
    }
}

/// The form in which (nearly) all values of a column are instants of our age.
pub(super) fn form_of(sample: &Sample, key: &str) -> Option<TimeForm> {
    let units =
        [TimeUnit::Seconds, TimeUnit::Milliseconds, TimeUnit::Microseconds, TimeUnit::Nanoseconds];
    let forms = std::iter::once(TimeForm::Iso).chain(units.map(TimeForm::Number));
    let mut forms = forms.filter(|form| share_read(sample, key, form) >= MOST);
    forms.next().or_else(|| date_form(sample, key))
}

/// Whether (nearly) all values of a column are in this form.
pub(super) fn is_of(sample: &Sample, key: &str, form: &TimeForm) -> bool {
    share_read(sample, key, form) >= MOST
}

/// Dates that are not ISO-8601: the year first, or the month or the day, whichever reads more values.
fn date_form(sample: &Sample, key: &str) -> Option<TimeForm> {
    let first = sample.values(key).find_map(Json::as_str)?;
    let separator = first.chars().find(|letter| !letter.is_ascii_digit())?;
    let n_digits = first.chars().take_while(char::is_ascii_digit).count();
    if !matches!(separator, '/' | '-' | '.') || !(1..=4).contains(&n_digits) {
        return None;
    }
    let s = separator;
    let clocks = ["", " %H:%M", " %H:%M:%S", " %H:%M:%S%.f", " %I:%M %p", " %I:%M:%S %p"];
    let share = |form: &TimeForm| share_read(sample, key, form);
    for clock in clocks {
        let year_first = TimeForm::Text(format!("%Y{s}%m{s}%d{clock}"));
        if share(&year_first) >= MOST {
            return Some(year_first);
        }
        for year in ["%Y", "%y"] {
            let month_first = format!("%m{s}%d{s}{year}{clock}");
            let day_first = format!("%d{s}%m{s}{year}{clock}");
            let by_month = share(&TimeForm::Text(month_first.clone()));
            let by_day = share(&TimeForm::Text(day_first.clone()));
            if by_month.max(by_day) < MOST {
                continue;
            }
            return Some(match by_month.total_cmp(&by_day) {
                std::cmp::Ordering::Greater => TimeForm::Text(month_first),
                std::cmp::Ordering::Less => TimeForm::Text(day_first),
                std::cmp::Ordering::Equal => TimeForm::Ambiguous { month_first, day_first },
            });
        }
    }
    None
}

/// Share of a column's values that the mapping itself reads as times. No value counts as none.
fn share_read(sample: &Sample, key: &str, form: &TimeForm) -> f64 {
    let (time_unit, time_format) = form.unit_and_format();
    let mapping = PlainMapping {
        user: Some("user".into()),
        time: Some("time".into()),
        event_name: Some("event".into()),
        time_unit,
        time_format,
        ..PlainMapping::default()
    };
    let Ok(mapper) = Mapper::new(SourceFormat::Plain, Some(mapping), MapperOptions::default())
    else {
        return 0.0;
    };
    let (mut n, mut n_read) = (0u32, 0u32);
    for value in sample.values(key) {
        let fields =
            [("user".to_owned(), Json::from("someone")), ("time".to_owned(), value.clone())];
        let record: Map<String, Json> = fields.into_iter().collect();
        n += 1;
        n_read += u32::from(mapper.map(&record).is_ok());
    }
    if 2 * n < sample.records.len() as u32 { 0.0 } else { f64::from(n_read) / f64::from(n) }
}
