//! What the version said as a shadow, of rows that the present one answered.

use super::{GateOutcome, GateResult, Incumbent, NO_CHAMPION};
use crate::evidence::ShadowCounts;
use crate::manifest::VersionSummary;

pub(super) const NAME: &str = "shadow_agreement";

/// Since 2 a row that could not be scored counts as one of another segment.
const GATE_VERSION: u32 = 2;

/// Share of the rows that fall into another segment, or into none because they could not be scored; 0
/// without rows.
fn flip_rate(seen: &ShadowCounts) -> f64 {
    (seen.n_segment_flips + seen.n_failed) as f64 / n_asked(seen).max(1) as f64
}

/// Rows that it could read.
fn n_asked(seen: &ShadowCounts) -> u64 {
    seen.n_rows + seen.n_failed
}

/// Judges what was seen beside the version to be replaced, if the candidate's policy sets bounds;
/// otherwise keeps the figures.
pub(super) fn agreement(
    candidate: &VersionSummary,
    incumbent: Option<&Incumbent>,
    evidence: &[ShadowCounts],
) -> GateResult {
    let policy = &candidate.gates;
    let Some(incumbent) = incumbent else {
        return GateResult::new(NAME, GateOutcome::Skipped, NO_CHAMPION).of_version(GATE_VERSION);
    };
    let is_judged = policy.min_shadow_rows > 0 || policy.max_shadow_flip_rate.is_some();
    let champion = incumbent.version;
    let found = evidence.iter().find(|one| one.champion_version == champion && n_asked(one) > 0);
    let Some(seen) = found else {
        let message = format!("it has scored no rows as a shadow of version {champion}");
        let outcome = if is_judged { GateOutcome::Failed } else { GateOutcome::Skipped };
        return GateResult::new(NAME, outcome, message)
            .of_version(GATE_VERSION)
            .with("n_rows", 0.0)
            .with("min_rows", policy.min_shadow_rows.max(1) as f64);
    };
    let (n_rows, flip_rate) = (seen.n_rows, flip_rate(seen));
    let enough = n_rows >= policy.min_shadow_rows;
    let agrees = policy.max_shadow_flip_rate.is_none_or(|most| flip_rate <= most);
    let figures = format!(
        "{n_rows} rows beside version {champion}, {} of them in another segment; {} more that it could \
         not score, {} that it could not read",
        seen.n_segment_flips, seen.n_failed, seen.n_unreadable
    );
    let (outcome, message) = if !is_judged {
        (GateOutcome::Skipped, format!("{figures}; the version's gates set no bounds"))
    } else if !enough {
        let wanted = policy.min_shadow_rows;
        (GateOutcome::Failed, format!("{figures}; {wanted} rows are asked for"))
    } else if !agrees {
        (GateOutcome::Failed, format!("{figures}, which is too many"))
    } else {
        (GateOutcome::Passed, figures)
    };
    let bounded = policy.max_shadow_flip_rate.unwrap_or(f64::NAN);
    GateResult::new(NAME, outcome, message)
        .of_version(GATE_VERSION)
        .with("champion_version", champion as f64)
        .with("n_rows", n_rows as f64)
        .with("min_rows", policy.min_shadow_rows as f64)
        .with("n_equal", seen.n_equal as f64)
        .with("n_segment_flips", seen.n_segment_flips as f64)
        .with("flip_rate", flip_rate)
        .with("max_flip_rate", bounded)
        .with("mean_abs_difference", seen.mean_abs_difference())
        .with("max_abs_difference", seen.max_abs_difference)
        .with("mean_shift", seen.mean_shift())
        .with("n_unreadable", seen.n_unreadable as f64)
        .with("n_failed", seen.n_failed as f64)
}
