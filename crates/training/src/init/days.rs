//! Which days a log covers, and which it leaves out.

use segue_events::{EventLog, Micros};
use serde::Serialize;

const DAY_US: Micros = 86_400_000_000;

/// Days in a row without one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// First day (UTC) without an event.
    pub first: String,
    /// Last day without an event.
    pub last: String,
    /// Number of days.
    pub n_days: i64,
}

/// Days (UTC) between the first and the last event on which nobody did anything.
pub(super) fn gaps(log: &EventLog) -> Vec<Gap> {
    let first = log.first_ts.div_euclid(DAY_US);
    let n_days = log.last_ts.div_euclid(DAY_US) - first + 1;
    let Ok(n_days) = usize::try_from(n_days) else { return Vec::new() };
    let mut is_active = vec![false; n_days];
    for event_ts in log.histories.iter().flat_map(|history| history.event_ts()) {
        if let Some(day) = is_active.get_mut((event_ts.div_euclid(DAY_US) - first) as usize) {
            *day = true;
        }
    }
    let mut gaps = Vec::new();
    let mut day = 0;
    while day < n_days {
        let length = is_active[day..].iter().take_while(|active| !**active).count();
        if length > 0 && length < n_days {
            let at = |day: usize| day_text((first + day as i64) * DAY_US);
            gaps.push(Gap { first: at(day), last: at(day + length - 1), n_days: length as i64 });
        }
        day += length + 1;
    }
    gaps
}

/// The date of an instant, UTC.
pub(super) fn day_text(instant: Micros) -> String {
    jiff::Timestamp::from_microsecond(instant)
        .map_or_else(|_| instant.to_string(), |instant| instant.strftime("%Y-%m-%d").to_string())
}
