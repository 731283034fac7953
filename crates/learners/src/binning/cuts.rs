//! Where to cut a number into intervals.

/// A distinct value of the sample and how often it occurs.
type Counted = (f64, usize);

/// Cuts that make at most `max_intervals` intervals of the values of `sample` that are not missing.
pub(super) fn quantile_cuts(mut sample: Vec<f64>, max_intervals: usize) -> Vec<f64> {
    sample.retain(|value| !value.is_nan());
    sample.sort_unstable_by(f64::total_cmp);
    let mut values: Vec<Counted> = Vec::new();
    for value in sample {
        match values.last_mut() {
            Some((last, count)) if *last == value => *count += 1,
            _ => values.push((value, 1)),
        }
    }
    let ends = if values.len() <= max_intervals {
        (1..values.len()).collect()
    } else {
        equal_mass_ends(&values, max_intervals)
    };
    ends.into_iter().map(|end| midpoint(values[end - 1].0, values[end].0)).collect()
}

/// Indices at which a new interval begins. Values more frequent than an interval's share stay alone;
/// the others are filled up to the share that is left, which is adjusted after each heavy value.
fn equal_mass_ends(values: &[Counted], max_intervals: usize) -> Vec<usize> {
    let total: usize = values.iter().map(|&(_, count)| count).sum();
    let share = total as f64 / max_intervals as f64;
    let heavy = |index: usize| values[index].1 as f64 >= share;
    let (mut light_intervals, mut light_rows) = (max_intervals, total);
    for index in (0..values.len()).filter(|&index| heavy(index)) {
        light_intervals -= 1;
        light_rows -= values[index].1;
    }
    let mut light_share = light_rows as f64 / light_intervals.max(1) as f64;
    let mut ends = Vec::with_capacity(max_intervals);
    let mut filled = 0usize;
    for (index, &(_, count)) in values.iter().enumerate().take(values.len() - 1) {
        if ends.len() + 1 == max_intervals {
            break;
        }
        if !heavy(index) {
            light_rows -= count;
        }
        filled += count;
        let next_heavy = heavy(index + 1) && filled as f64 >= (light_share * 0.5).max(1.0);
        if heavy(index) || filled as f64 >= light_share || next_heavy {
            ends.push(index + 1);
            filled = 0;
            if !heavy(index) {
                light_intervals = light_intervals.saturating_sub(1).max(1);
                light_share = light_rows as f64 / light_intervals as f64;
            }
        }
    }
    ends
}

/// A number `m` with `low <= m < high`, as near to the middle as `f64` allows.
fn midpoint(low: f64, high: f64) -> f64 {
    let middle = low / 2.0 + high / 2.0;
    if low <= middle && middle < high { middle } else { low }
}
