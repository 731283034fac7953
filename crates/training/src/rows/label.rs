//! The label of each row, by the same evaluator that computes features.

use rayon::prelude::*;
use segue_dataset::{Target, TargetKind};
use segue_events::{EventLog, Micros, RoleMap};
use segue_features::{
    EVENT_NAME, EventPattern, FeatureError, LabelSpec, LogSummary, Operator, Scratch, Selector,
};

use super::log::CHUNK_ROWS;
use crate::job::{Label, LabelKind};

/// Long enough to reach back to the first event of any history.
const LIFETIME_US: Micros = 3_650 * 86_400_000_000;

/// Class of users who do not ask for help in the window.
const NO_HELP: &str = "none";
/// Class of users who ask for help before their first step.
const BEFORE_FIRST_STEP: &str = "(before the first step)";

/// Labels of all rows.
pub(super) fn labels(
    label: &Label,
    log: &EventLog,
    summary: &LogSummary,
    roles: &RoleMap,
    rows: &[(usize, Micros)],
) -> Result<Target, FeatureError> {
    let (events, gap_us, horizon_us) = (label.events.as_str(), label.gap.us, label.window.us);
    let value = |spec: LabelSpec| -> Result<Vec<f64>, FeatureError> {
        let compiled = spec.compile(roles, Some(summary))?;
        let bound = compiled.bind(&log.symbols);
        let of_rows = |rows: &'_ [(usize, Micros)]| {
            let mut scratch = Scratch::default();
            let of_row = |&(history, t): &(usize, Micros)| {
                bound.value_with(&mut scratch, &log.histories[history], t)
            };
            rows.iter().map(of_row).collect::<Vec<f64>>()
        };
        Ok(rows.par_chunks(CHUNK_ROWS).flat_map_iter(of_rows).collect())
    };
    let binary = |values: Vec<f64>| Target { kind: TargetKind::Binary, values };
    let flag = |flag: bool| f64::from(u8::from(flag));
    match label.kind {
        LabelKind::Occurs => {
            let counts = value(LabelSpec::count(&[events], gap_us, horizon_us))?;
            Ok(binary(counts.into_iter().map(|n| flag(n > 0.0)).collect()))
        }
        LabelKind::Absent => {
            let counts = value(LabelSpec::count(&[events], gap_us, horizon_us))?;
            Ok(binary(counts.into_iter().map(|n| flag(n == 0.0)).collect()))
        }
        LabelKind::Sum => {
            let property = label.value.as_deref().unwrap_or("revenue");
            let sums = value(LabelSpec::sum(&[events], property, gap_us, horizon_us))?;
            // no such event in the window: nothing was added up
            let values = sums.into_iter().map(|sum| if sum.is_nan() { 0.0 } else { sum }).collect();
            Ok(Target { kind: TargetKind::Regression, values })
        }
        LabelKind::Step => {
            let first_help = LabelSpec {
                operator: Operator::TimeSinceFirst,
                events: Selector::activity(vec![EventPattern::parse(events)]),
                gap_us,
                horizon_us,
            };
            let since_help_s = value(first_help)?;
            steps(label, log, summary, roles, rows, &since_help_s)
        }
    }
}

/// The last step before the first help event of the window.
fn steps(
    label: &Label,
    log: &EventLog,
    summary: &LogSummary,
    roles: &RoleMap,
    rows: &[(usize, Micros)],
    since_help_s: &[f64],
) -> Result<Target, FeatureError> {
    let steps = label.steps.as_deref().unwrap_or("onboarding_step");
    let last_step = LabelSpec {
        operator: Operator::Last(EVENT_NAME.to_owned()),
        events: Selector::activity(vec![EventPattern::parse(steps)]),
        gap_us: 0,
        horizon_us: LIFETIME_US,
    };
    let compiled = last_step.compile(roles, Some(summary))?;
    let bound = compiled.bind(&log.symbols);
    let texts: Vec<String> = rows
        .par_iter()
        .zip(since_help_s)
        .map(|(&(history, t), &since_s)| {
            if since_s.is_nan() {
                return NO_HELP.to_owned();
            }
            let end = t + label.reach().us;
            let help = end - (since_s * 1e6).round() as Micros;
            bound
                .class(&log.histories[history], help - LIFETIME_US)
                .unwrap_or_else(|| BEFORE_FIRST_STEP.to_owned())
        })
        .collect();
    let mut classes = texts.clone();
    classes.sort_unstable();
    classes.dedup();
    let class_of = |text: &String| classes.binary_search(text).unwrap_or_default() as f64;
    let values = texts.iter().map(class_of).collect();
    Ok(Target { kind: TargetKind::Multiclass { classes }, values })
}
