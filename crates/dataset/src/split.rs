//! Which rows fit, calibrate and test: later rows test earlier ones, and no user is on both sides.
//!
//! Rows are ordered in time and cut at two instants. A row whose label window reaches past the test
//! cut would let fitting and calibration see the test's days, so rows within the embargo before that
//! cut are dropped and counted. Between train and calibrate there is no embargo: nothing that is
//! reported is measured there, users are still not shared, and a second gap of a whole label window
//! would cost more training rows than it is worth.

use std::collections::HashMap;
use std::sync::Arc;

use crate::RowKeys;

/// A length of time in microseconds.
pub type TimeUnits = i64;

/// Where a row goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Trees are fitted on these.
    Train,
    /// Early stopping and calibration look at these.
    Calibrate,
    /// Every reported figure is measured on these.
    Test,
}

/// How to split.
#[derive(Debug, Clone, PartialEq)]
pub enum SplitPlan {
    /// By time: the last `test` share of rows tests. Of the rows before, less the embargo, the latest
    /// calibrate and the rest trains, in the proportion of `calibrate` to what is left for training.
    /// A user with rows in several parts keeps only those of the latest part.
    ByTime {
        /// Share of rows, 0 to 1.
        calibrate: f64,
        /// Share of rows, 0 to 1.
        test: f64,
        /// Rows before the test cut with `t + embargo` beyond it are dropped, microseconds.
        embargo: TimeUnits,
        /// `None`: the latest of the rows before the test cut calibrate. A seed: users drawn by a
        /// hash from all of them do, for data whose latest stretch is like no other (a few courses,
        /// one season).
        calibrate_seed: Option<u64>,
    },
    /// By a hash of the user with `seed`: for tables without a time.
    ByUser {
        /// Share of users, 0 to 1.
        calibrate: f64,
        /// Share of users, 0 to 1.
        test: f64,
        /// Changes which users go where.
        seed: u64,
    },
    /// Taken from a column of the table, shape `(n_rows,)`.
    Given(Vec<Part>),
}

/// Row indices of each part, ascending, and how many rows no part may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Split {
    /// Rows to fit.
    pub train: Vec<u32>,
    /// Rows to calibrate.
    pub calibrate: Vec<u32>,
    /// Rows to test.
    pub test: Vec<u32>,
    /// Dropped because their label window crosses a cut.
    pub n_embargoed: usize,
    /// Dropped because their user has rows in a later part.
    pub n_user_overlap: usize,
}

/// Why rows cannot be split.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum SplitError {
    /// A share is out of range.
    #[error(
        "split shares calibrate = {calibrate} and test = {test} must be above 0 and sum to less than 1"
    )]
    Shares {
        /// As given.
        calibrate: f64,
        /// As given.
        test: f64,
    },
    /// A split by time needs a time for each row.
    #[error("a split by time needs a time for each row; use a split by user or name a time column")]
    NoTime,
    /// A given split has another length than the rows.
    #[error("the split column has {got} rows, the table has {expected}")]
    Length {
        /// Rows of the table.
        expected: usize,
        /// Rows of the column.
        got: usize,
    },
    /// A part would be empty.
    #[error(
        "the {part} part is empty: {n_rows} rows, of which {n_embargoed} fall to the embargo and {n_user_overlap} to users that also appear later"
    )]
    EmptyPart {
        /// Which part.
        part: &'static str,
        /// Rows there were.
        n_rows: usize,
        /// Rows lost to the embargo.
        n_embargoed: usize,
        /// Rows lost to users in several parts.
        n_user_overlap: usize,
    },
}

/// Assigns each row to a part.
///
/// Ties: rows with the same `t` go to the same part. Deterministic; no random numbers.
///
/// # Errors
/// [`SplitError`] when shares are out of range, times are missing, or a part comes out empty.
pub fn split_rows(keys: &RowKeys, n_rows: usize, plan: &SplitPlan) -> Result<Split, SplitError> {
    let split = match plan {
        SplitPlan::ByTime { calibrate, test, embargo, calibrate_seed } => {
            check_shares(*calibrate, *test)?;
            if keys.t.len() != n_rows {
                return Err(SplitError::NoTime);
            }
            by_time(keys, *calibrate, *test, *embargo, *calibrate_seed)
        }
        SplitPlan::ByUser { calibrate, test, seed } => {
            check_shares(*calibrate, *test)?;
            by_user(keys, n_rows, *calibrate, *test, *seed)
        }
        SplitPlan::Given(parts) => {
            if parts.len() != n_rows {
                return Err(SplitError::Length { expected: n_rows, got: parts.len() });
            }
            collect((0u32..).zip(parts.iter().map(|&part| Some(part))))
        }
    };
    for (part, rows) in
        [("train", &split.train), ("calibrate", &split.calibrate), ("test", &split.test)]
    {
        if rows.is_empty() {
            let Split { n_embargoed, n_user_overlap, .. } = split;
            return Err(SplitError::EmptyPart { part, n_rows, n_embargoed, n_user_overlap });
        }
    }
    Ok(split)
}

fn check_shares(calibrate: f64, test: f64) -> Result<(), SplitError> {
    let fits = calibrate > 0.0 && test > 0.0 && calibrate + test < 1.0;
    if fits { Ok(()) } else { Err(SplitError::Shares { calibrate, test }) }
}

fn collect(parts: impl Iterator<Item = (u32, Option<Part>)>) -> Split {
    let mut split = Split::default();
    for (row, part) in parts {
        match part {
            Some(Part::Train) => split.train.push(row),
            Some(Part::Calibrate) => split.calibrate.push(row),
            Some(Part::Test) => split.test.push(row),
            None => {}
        }
    }
    split
}

fn by_time(
    keys: &RowKeys,
    calibrate: f64,
    test: f64,
    embargo: TimeUnits,
    calibrate_seed: Option<u64>,
) -> Split {
    let test_cut = cut(keys.t.clone(), 1.0 - test);
    let clear = |t: i64| t.saturating_add(embargo) <= test_cut;
    let before: Vec<i64> = keys.t.iter().copied().filter(|&t| clear(t)).collect();
    let share = calibrate / (1.0 - test);
    let calibrate_cut = cut(before, 1.0 - share);
    let calibrates = |row: usize, t: i64| match calibrate_seed {
        Some(seed) => unit_of(keys, row, seed) < share,
        None => t >= calibrate_cut,
    };
    let mut n_embargoed = 0;
    let mut parts: Vec<Option<Part>> = keys
        .t
        .iter()
        .enumerate()
        .map(|(row, &t)| match t {
            t if t >= test_cut => Some(Part::Test),
            t if !clear(t) => {
                n_embargoed += 1;
                None
            }
            t if calibrates(row, t) => Some(Part::Calibrate),
            _ => Some(Part::Train),
        })
        .collect();
    let n_user_overlap = keep_latest_part(&keys.user, &mut parts);
    let split = collect((0u32..).zip(parts));
    Split { n_embargoed, n_user_overlap, ..split }
}

/// The instant with this share of the rows before it; rows of one instant stay together.
fn cut(mut times: Vec<i64>, share_before: f64) -> i64 {
    times.sort_unstable();
    let index = (times.len() as f64 * share_before) as usize;
    times.get(index).copied().unwrap_or(i64::MAX)
}

/// A user's rows stay together: rows in an earlier part than the user's latest are dropped.
fn keep_latest_part(users: &[Arc<str>], parts: &mut [Option<Part>]) -> usize {
    let rank = |part: Part| match part {
        Part::Train => 0u8,
        Part::Calibrate => 1,
        Part::Test => 2,
    };
    let mut latest: HashMap<&str, u8> = HashMap::new();
    for (user, part) in users.iter().zip(parts.iter()) {
        if let Some(part) = part {
            let seen = latest.entry(user).or_default();
            *seen = (*seen).max(rank(*part));
        }
    }
    let mut dropped = 0;
    for (user, slot) in users.iter().zip(parts.iter_mut()) {
        if slot.is_some_and(|part| latest.get(&**user).is_some_and(|&seen| rank(part) < seen)) {
            *slot = None;
            dropped += 1;
        }
    }
    dropped
}

fn by_user(keys: &RowKeys, n_rows: usize, calibrate: f64, test: f64, seed: u64) -> Split {
    collect((0u32..).zip((0..n_rows).map(|row| {
        let unit = unit_of(keys, row, seed);
        Some(if unit < test {
            Part::Test
        } else if unit < test + calibrate {
            Part::Calibrate
        } else {
            Part::Train
        })
    })))
}

/// A number from 0 to 1 that depends on the user alone, or on the row where users are not known.
fn unit_of(keys: &RowKeys, row: usize, seed: u64) -> f64 {
    let hash = match keys.user.get(row) {
        Some(user) => mix(user.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })),
        None => mix(seed.wrapping_add((row as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))),
    };
    (hash >> 11) as f64 / (1u64 << 53) as f64
}

/// splitmix64's finaliser: spreads a weak hash over all bits.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests;
