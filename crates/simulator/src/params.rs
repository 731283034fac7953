//! What a simulation is asked for, and the ranges it accepts.

use serde::{Deserialize, Serialize};

use crate::SimulatorError;

/// One millisecond in microseconds; every simulated time is a whole number of them.
pub(crate) const MILLISECOND_US: i64 = 1_000;
/// One second in microseconds.
pub(crate) const SECOND_US: i64 = 1_000 * MILLISECOND_US;
/// One hour in microseconds.
pub(crate) const HOUR_US: i64 = 3_600 * SECOND_US;
/// One day in microseconds.
pub(crate) const DAY_US: i64 = 24 * HOUR_US;

/// Visits before signup begin at most this long before it, and signups this long after the log's start.
pub(crate) const BEFORE_SIGNUP_US: i64 = 4 * DAY_US;

/// Days that the log goes on after the last label window has closed, so that a reader which waits
/// a week for late events still finds every user mature.
pub(crate) const TAIL_DAYS: u32 = 14;

/// Monday 2025-01-06 00:00 UTC.
pub(crate) const DEFAULT_START_US: i64 = 1_736_121_600_000_000;
const EARLIEST_START_US: i64 = 31_536_000_000_000;
const LATEST_START_US: i64 = 7_258_118_400_000_000;

/// What to simulate. Unchecked: see [`SimulationParams::check`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimulationParams {
    /// People who sign up, 1 to 10,000,000. Default 10,000.
    pub n_users: u64,
    /// Seed: the same parameters and seed give the same bytes. Default 7.
    pub seed: u64,
    /// First day of the log, microseconds since 1970-01-01 UTC. Default Monday 2025-01-06.
    pub start: i64,
    /// Days over which people sign up, 1 to 3,650. Default 150.
    pub signup_days: u32,
    /// Days from signup to the snapshot, the instant of prediction, 1 to 90. Default 7.
    pub snapshot_days: u32,
    /// Days of the label window `[snapshot, snapshot + label_days)`, 1 to 365. Default 28.
    pub label_days: u32,
    /// What spoils the log on its way.
    pub dirt: Dirt,
}

impl Default for SimulationParams {
    fn default() -> Self {
        Self {
            n_users: 10_000,
            seed: 7,
            start: DEFAULT_START_US,
            signup_days: 150,
            snapshot_days: 7,
            label_days: 28,
            dirt: Dirt::default(),
        }
    }
}

impl SimulationParams {
    /// Checks every field.
    ///
    /// # Errors
    /// [`SimulatorError::OutOfRange`], [`SimulatorError::Start`] or [`SimulatorError::Rate`], naming
    /// the first field that is wrong and its range.
    pub fn check(&self) -> Result<(), SimulatorError> {
        in_range("n_users", self.n_users, 1, 10_000_000)?;
        in_range("signup_days", self.signup_days.into(), 1, 3_650)?;
        in_range("snapshot_days", self.snapshot_days.into(), 1, 90)?;
        in_range("label_days", self.label_days.into(), 1, 365)?;
        let whole = self.start % MILLISECOND_US == 0;
        if !whole || !(EARLIEST_START_US..LATEST_START_US).contains(&self.start) {
            return Err(SimulatorError::Start { found: self.start, example: DEFAULT_START_US });
        }
        self.dirt.check()
    }

    /// The last instant of the log by the clock of what happened.
    pub(crate) fn end_us(&self) -> i64 {
        let days = self.signup_days + self.snapshot_days + self.label_days + TAIL_DAYS;
        self.start + BEFORE_SIGNUP_US + i64::from(days) * DAY_US
    }

    /// Signup to snapshot.
    pub(crate) fn snapshot_us(&self) -> i64 {
        i64::from(self.snapshot_days) * DAY_US
    }

    /// Length of the label window.
    pub(crate) fn label_us(&self) -> i64 {
        i64::from(self.label_days) * DAY_US
    }
}

fn in_range(field: &'static str, found: u64, least: u64, most: u64) -> Result<(), SimulatorError> {
    if (least..=most).contains(&found) {
        Ok(())
    } else {
        Err(SimulatorError::OutOfRange { field, least, most, found })
    }
}

/// How often the log is spoiled. None of it changes what happened, so the truth is the same with any dirt.
///
/// Shares are of true events unless stated. Signups, identifies, tickets, upgrades and the event by which
/// a user is seen again after the snapshot always arrive in time: they decide rows and outcomes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dirt {
    /// Sent a second time with the same `messageId`, a second to two hours later. Default 0.01.
    pub duplicate_rate: f64,
    /// Received one hour to six days late. Default 0.005.
    pub late_rate: f64,
    /// Received eight to twenty days late, which a reader with a week's patience drops. Default 0.0005.
    pub too_late_rate: f64,
    /// Users (not events) whose clock is wrong by ten minutes to two days: their lines have no
    /// `timestamp`, and `originalTimestamp` and `sentAt` are wrong by the same amount, so that
    /// `receivedAt - (sentAt - originalTimestamp)` is exactly when it happened. Default 0.02.
    pub skewed_user_rate: f64,
    /// An extra event, one to sixty days in the future of its receipt. Default 0.0005.
    pub future_rate: f64,
    /// Anonymous crawlers per user: hundreds of page views seconds apart, named as bots by
    /// `context.userAgent`, never identified. Rounded up to a whole bot. Default 0.002.
    pub bot_rate: f64,
    /// An extra line: the copy of a line, broken off in its middle. Default 0, no such line.
    pub malformed_rate: f64,
}

impl Default for Dirt {
    fn default() -> Self {
        Self {
            duplicate_rate: 0.01,
            late_rate: 0.005,
            too_late_rate: 0.0005,
            skewed_user_rate: 0.02,
            future_rate: 0.0005,
            bot_rate: 0.002,
            malformed_rate: 0.0,
        }
    }
}

impl Dirt {
    /// A clean log: everything arrives once and within two seconds, by right clocks, from people.
    #[must_use]
    pub fn none() -> Self {
        Self {
            duplicate_rate: 0.0,
            late_rate: 0.0,
            too_late_rate: 0.0,
            skewed_user_rate: 0.0,
            future_rate: 0.0,
            bot_rate: 0.0,
            malformed_rate: 0.0,
        }
    }

    fn check(&self) -> Result<(), SimulatorError> {
        let rates = [
            ("duplicate_rate", self.duplicate_rate, 1.0),
            ("late_rate", self.late_rate, 0.5),
            ("too_late_rate", self.too_late_rate, 0.5),
            ("skewed_user_rate", self.skewed_user_rate, 1.0),
            ("future_rate", self.future_rate, 1.0),
            ("bot_rate", self.bot_rate, 1.0),
            ("malformed_rate", self.malformed_rate, 1.0),
        ];
        for (field, found, most) in rates {
            if !(0.0..=most).contains(&found) {
                return Err(SimulatorError::Rate { field, most, found });
            }
        }
        Ok(())
    }

    /// Crawlers among `n_users` people.
    pub(crate) fn n_bots(&self, n_users: u64) -> u64 {
        (self.bot_rate * n_users as f64).ceil() as u64
    }
}
