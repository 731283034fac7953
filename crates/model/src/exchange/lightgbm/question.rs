//! What a node asks: the same bits and thresholds in the text and in the JSON.

use super::head::Head;
use crate::exchange::assemble::ForeignSplit;
use crate::tree::LIGHTGBM_ZERO;
use crate::{MissingRule, Split};

/// Bits of `decision_type`.
pub(super) const CATEGORICAL: u8 = 1;
pub(super) const DEFAULT_LEFT: u8 = 2;
/// Missing types, in the two bits above those.
pub(super) const MISSING_NONE: u8 = 0;
pub(super) const MISSING_ZERO: u8 = 1;
pub(super) const MISSING_NAN: u8 = 2;

/// Whether a comparison is what our own writer asks of a category to part missing from the rest.
pub(super) fn only_missing(head: &Head, column: usize, decided: u8, threshold: f64) -> bool {
    decided & CATEGORICAL == 0
        && threshold == f64::MIN
        && decided >> 2 & 3 == MISSING_NAN
        && head.is_category(column)
}

/// The question of a node that compares; in words what is wrong with it.
pub(super) fn question(
    threshold: f64,
    decided: u8,
    only_missing: bool,
) -> Result<(ForeignSplit, MissingRule), String> {
    if threshold.is_nan() {
        return Err("compares with NaN".to_owned());
    }
    let missing = missing_rule(decided).ok_or_else(|| format!("has decision type {decided}"))?;
    let split = if only_missing {
        ForeignSplit::OneOf(Vec::new())
    } else {
        ForeignSplit::Number(number_split(threshold))
    };
    Ok((split, missing))
}

/// `value <= threshold`, where a value of at most `1e-35f` in size counts as 0.
fn number_split(threshold: f64) -> Split {
    if (0.0..LIGHTGBM_ZERO).contains(&threshold) {
        Split::AtMost(LIGHTGBM_ZERO)
    } else if (-LIGHTGBM_ZERO..0.0).contains(&threshold) {
        Split::Below(-LIGHTGBM_ZERO)
    } else {
        Split::AtMost(threshold)
    }
}

fn missing_rule(decision: u8) -> Option<MissingRule> {
    let left = decision & DEFAULT_LEFT != 0;
    Some(match (decision >> 2 & 3, left) {
        (MISSING_NONE, _) => MissingRule::AsZero,
        (MISSING_ZERO, true) => MissingRule::ZeroLeft,
        (MISSING_ZERO, false) => MissingRule::ZeroRight,
        (MISSING_NAN, true) => MissingRule::Left,
        (MISSING_NAN, false) => MissingRule::Right,
        _ => return None,
    })
}
