//! What a feature set learns from data: which values are categories, and which categories.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use rayon::prelude::*;
use segue_events::{EventLog, Micros, RoleMap, Scalar};

use crate::binding::{Binding, Cell, Scratch};
use crate::error::FeatureError;
use crate::operator::Measure;
use crate::plan::{Plan, Visibility};
use crate::request::RequestFields;
use crate::spec::{FeatureSpec, MAX_CATEGORIES, ValueKind};
use crate::text::text_of;

/// Category of every value beyond a full vocabulary.
pub const OTHER_CATEGORY: &str = "__other__";

/// Values of a column over the rows.
#[derive(Default)]
struct Seen {
    n_texts: u64,
    by_value: HashMap<(u8, u64), (Scalar, u64), RandomState>,
}

impl Seen {
    fn add(&mut self, value: Scalar) {
        let key = match value {
            Scalar::Flag(flag) => (0, u64::from(flag)),
            Scalar::Number(number) => (1, (number + 0.0).to_bits()),
            Scalar::Text(text) => {
                self.n_texts += 1;
                (2, text.index() as u64)
            }
        };
        let entry = self.by_value.entry(key).or_insert((value, 0));
        entry.1 += 1;
    }

    /// Adds what other rows hold.
    fn join(mut self, other: Self) -> Self {
        self.n_texts += other.n_texts;
        for (key, (value, n)) in other.by_value {
            self.by_value.entry(key).or_insert((value, 0)).1 += n;
        }
        self
    }
}

/// Replaces every value kind that is not yet decided by a frozen one.
pub(crate) fn freeze(
    specs: &mut [FeatureSpec],
    roles: &RoleMap,
    visibility: Visibility,
    log: &EventLog,
    rows: &[(usize, Micros)],
) -> Result<(), FeatureError> {
    let is_open = |spec: &FeatureSpec| {
        matches!(spec.value, ValueKind::Learned | ValueKind::Category { vocabulary: None, .. })
    };
    let open: Vec<usize> = (0..specs.len()).filter(|&index| is_open(&specs[index])).collect();
    if open.is_empty() {
        return Ok(());
    }
    let measures: Vec<Measure> = open.iter().map(|&index| specs[index].measure.clone()).collect();
    let plan =
        Plan::new(&measures, roles, visibility).map_err(|reason| FeatureError::Toml { reason })?;
    let binding = Binding::new(&plan, &log.symbols);
    let request = RequestFields::new();
    let of_rows = |rows: &[(usize, Micros)]| {
        let mut scratch = Scratch::default();
        let mut seen: Vec<Seen> = open.iter().map(|_| Seen::default()).collect();
        for &(history, t) in rows {
            binding.pass(&log.histories[history], t, &mut scratch);
            for (column, seen) in seen.iter_mut().enumerate() {
                if let Cell::Value(Some(value)) = binding.cell(column, t, &request, &scratch) {
                    seen.add(value);
                }
            }
        }
        seen
    };
    let join = |a: Vec<Seen>, b: Vec<Seen>| -> Vec<Seen> {
        a.into_iter().zip(b).map(|(a, b)| a.join(b)).collect()
    };
    let share = rows.len().div_ceil(rayon::current_num_threads()).max(1);
    let seen =
        rows.par_chunks(share).map(of_rows).reduce_with(join).unwrap_or_else(|| of_rows(&[]));
    for (&index, seen) in open.iter().zip(&seen) {
        specs[index].value = frozen(&specs[index].value, seen, log);
    }
    Ok(())
}

fn frozen(kind: &ValueKind, seen: &Seen, log: &EventLog) -> ValueKind {
    let max_categories = match kind {
        ValueKind::Learned if seen.n_texts == 0 => return ValueKind::Number,
        ValueKind::Category { max_categories, .. } => *max_categories,
        _ => MAX_CATEGORIES,
    };
    let mut by_text: BTreeMap<String, u64> = BTreeMap::new();
    for &(value, n) in seen.by_value.values() {
        *by_text.entry(text_of(value, &log.symbols)).or_default() += n;
    }
    let mut texts: Vec<(String, u64)> = by_text.into_iter().collect();
    if texts.len() > max_categories {
        texts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        texts.retain(|(text, _)| text != OTHER_CATEGORY);
        texts.truncate(max_categories - 1);
        texts.push((OTHER_CATEGORY.to_owned(), 0));
    }
    let mut vocabulary: Vec<String> = texts.into_iter().map(|(text, _)| text).collect();
    vocabulary.sort();
    ValueKind::Category { max_categories, vocabulary: Some(vocabulary) }
}
