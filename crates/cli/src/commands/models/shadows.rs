//! What shadows would have answered: counts of all servers, for people and for programs.

use segue_registry::{DIFFERENCE_BOUNDS, ShadowCounts};
use serde_json::{Value, json};

use crate::console::{instant, table};

pub(super) fn json(counts: &[ShadowCounts]) -> Value {
    counts.iter().map(pair_json).collect()
}

fn pair_json(counts: &ShadowCounts) -> Value {
    let bounds = DIFFERENCE_BOUNDS.iter().map(|bound| json!(bound)).chain([Value::Null]);
    let bucket = |(upper_bound, n_rows)| json!({ "upper_bound": upper_bound, "rows": n_rows });
    let buckets: Vec<Value> = bounds.zip(counts.buckets).map(bucket).collect();
    json!({
        "champion_version": counts.champion_version,
        "shadow_version": counts.shadow_version,
        "rows": counts.n_rows,
        "equal_rows": counts.n_equal,
        "segment_flips": counts.n_segment_flips,
        "mean_absolute_difference": counts.mean_abs_difference(),
        "max_absolute_difference": counts.max_abs_difference,
        "mean_shift": counts.mean_shift(),
        "unreadable_rows": counts.n_unreadable,
        "failed_rows": counts.n_failed,
        "buckets": buckets,
        "first_time_us": counts.first_us,
        "last_time_us": counts.last_us,
    })
}

pub(super) fn text(model: &str, counts: &[ShadowCounts]) -> String {
    if counts.is_empty() {
        return format!(
            "no version of {model} has scored as a shadow; segue traffic {model} --shadow VERSION \
             --shadow-share BASIS_POINTS makes one"
        );
    }
    let rows: Vec<Vec<String>> = counts
        .iter()
        .map(|counts| {
            let share = counts.n_segment_flips as f64 / counts.n_rows.max(1) as f64;
            vec![
                counts.champion_version.to_string(),
                counts.shadow_version.to_string(),
                counts.n_rows.to_string(),
                counts.n_equal.to_string(),
                format!("{} ({:.2} %)", counts.n_segment_flips, share * 100.0),
                format!("{:.6}", counts.mean_abs_difference()),
                format!("{:.6}", counts.max_abs_difference),
                format!("{:+.6}", counts.mean_shift()),
                format!("{} / {}", counts.n_unreadable, counts.n_failed),
                instant(counts.last_us),
            ]
        })
        .collect();
    let header = [
        "champion",
        "shadow",
        "rows",
        "same bits",
        "other segment",
        "mean |diff|",
        "max |diff|",
        "mean shift",
        "unread / failed",
        "last row",
    ];
    table(&header, &rows)
}
