//! Folds within the training part: each is judged on rows later than those it is fitted on, or, without
//! times, on other users.

use std::collections::BTreeSet;

use segue_dataset::{Dataset, TargetKind};

/// Shares of the rows that come before the first validation, tried in turn.
const STARTS: [f64; 5] = [0.4, 0.5, 0.6, 0.7, 0.8];
/// Least share of the rows that a fold is fitted on.
const MIN_FIT_SHARE: f64 = 0.2;
/// Least rows of a class (of all, for a number) on either side.
const MIN_ROWS: usize = 10;

/// Rows of one fold, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fold {
    /// Rows to fit.
    pub(super) fit: Vec<u32>,
    /// Rows to stop early and to judge by.
    pub(super) validate: Vec<u32>,
}

/// Folds forward in time: the rows after a first share are cut into pieces of equal size; each is judged
/// after fitting on all that is at least `embargo_us` earlier, less the users that it holds itself. Rows
/// of one instant stay together. The first share grows, and then the number of folds falls, until
/// every fold has enough on both sides; empty if none can be made.
pub(super) fn forward(data: &Dataset, n_folds: usize, embargo_us: i64) -> Vec<Fold> {
    let mut times = data.keys().t.clone();
    times.sort_unstable();
    let all = (1..=n_folds).rev().flat_map(|n| STARTS.map(|start| (n, start)));
    for (n_folds, start) in all {
        let cut = |piece: usize| {
            let share = start + (1.0 - start) * piece as f64 / n_folds as f64;
            times.get((times.len() as f64 * share) as usize).copied().unwrap_or(i64::MAX)
        };
        let folds: Vec<Fold> = (0..n_folds)
            .map(|piece| fold_between(data, cut(piece), cut(piece + 1), embargo_us))
            .collect();
        if folds.iter().all(|fold| is_enough(data, fold)) {
            return folds;
        }
    }
    Vec::new()
}

fn fold_between(data: &Dataset, from: i64, to: i64, embargo_us: i64) -> Fold {
    let (t, user) = (&data.keys().t, &data.keys().user);
    let rows = || 0..data.n_rows() as u32;
    let validate: Vec<u32> = rows().filter(|&row| (from..to).contains(&t[row as usize])).collect();
    let held: BTreeSet<&str> =
        validate.iter().filter_map(|&row| user.get(row as usize)).map(AsRef::as_ref).collect();
    let is_fitted = |row: &u32| {
        let at = *row as usize;
        let is_before = t[at].saturating_add(embargo_us) <= from;
        is_before && user.get(at).is_none_or(|user| !held.contains(user.as_ref()))
    };
    Fold { fit: rows().filter(is_fitted).collect(), validate }
}

/// Folds of whole users (of rows, where users are not known), dealt out in the order in which they
/// come. Fewer until each has enough on both sides; empty if none can be made.
pub(super) fn by_user(data: &Dataset, n_folds: usize) -> Vec<Fold> {
    let user = &data.keys().user;
    let mut numbers: std::collections::HashMap<&str, usize> = std::collections::HashMap::new();
    let number: Vec<usize> = (0..data.n_rows())
        .map(|row| match user.get(row) {
            Some(user) => {
                let next = numbers.len();
                *numbers.entry(user).or_insert(next)
            }
            None => row,
        })
        .collect();
    for n_folds in (2..=n_folds.max(2)).rev() {
        let fold = |of: usize| {
            let (validate, fit) =
                (0..data.n_rows() as u32).partition(|&row| number[row as usize] % n_folds == of);
            Fold { fit, validate }
        };
        let folds: Vec<Fold> = (0..n_folds).map(fold).collect();
        if folds.iter().all(|fold| is_enough(data, fold)) {
            return folds;
        }
    }
    Vec::new()
}

fn is_enough(data: &Dataset, fold: &Fold) -> bool {
    let labels = &data.target().values;
    let has_each = |rows: &[u32]| match &data.target().kind {
        TargetKind::Binary => [0.0, 1.0].iter().all(|class| {
            rows.iter().filter(|&&row| labels[row as usize] == *class).count() >= MIN_ROWS
        }),
        TargetKind::Multiclass { .. } | TargetKind::Regression => rows.len() >= 2 * MIN_ROWS,
    };
    let share = fold.fit.len() as f64 / data.n_rows().max(1) as f64;
    share >= MIN_FIT_SHARE && has_each(&fold.fit) && has_each(&fold.validate)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use segue_dataset::{Feature, Matrix, RowKeys, Schema, Target};

    use super::*;

    fn data(rows: &[(u8, i64, bool)], with_users: bool) -> Dataset {
        let schema = Arc::new(Schema::new(vec![Feature::number("x")]).unwrap());
        let user = rows.iter().map(|(user, _, _)| Arc::from(format!("u{user}")));
        let keys = RowKeys {
            user: if with_users { user.collect() } else { Vec::new() },
            t: rows.iter().map(|(_, t, _)| *t).collect(),
        };
        let values = rows.iter().map(|(_, _, label)| f64::from(u8::from(*label))).collect();
        let target = Target { kind: TargetKind::Binary, values };
        let matrix = Matrix::from_columns(rows.len(), vec![vec![0.0; rows.len()]]);
        Dataset::new(schema, matrix, target, None, keys).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 128,
            failure_persistence: None,
            rng_seed: proptest::test_runner::RngSeed::Fixed(5),
            ..ProptestConfig::default()
        })]

        #[test]
        fn folds_look_back_only_and_keep_users_whole(
            rows in prop::collection::vec((0u8..200, 0i64..500, any::<bool>()), 200..400),
            embargo in 0i64..120,
        ) {
            let data = data(&rows, true);
            let folds = forward(&data, 3, embargo);
            let mut judged = BTreeSet::new();
            for fold in &folds {
                let time = |row: &u32| rows[*row as usize].1;
                let latest = fold.fit.iter().map(time).max().unwrap();
                let first = fold.validate.iter().map(time).min().unwrap();
                prop_assert!(latest + embargo <= first);
                let users = |rows_of: &[u32]| -> BTreeSet<u8> {
                    rows_of.iter().map(|&row| rows[row as usize].0).collect()
                };
                prop_assert!(users(&fold.fit).is_disjoint(&users(&fold.validate)));
                prop_assert!(fold.validate.iter().all(|row| judged.insert(*row)), "judged twice");
            }
        }

        #[test]
        fn user_folds_judge_each_row_once(
            rows in prop::collection::vec((0u8..60, 0i64..5, any::<bool>()), 150..300),
            with_users in any::<bool>(),
        ) {
            let data = data(&rows, with_users);
            let folds = by_user(&data, 4);
            prop_assert!(!folds.is_empty());
            let n_judged: usize = folds.iter().map(|fold| fold.validate.len()).sum();
            prop_assert_eq!(n_judged, rows.len());
            for fold in folds.iter().filter(|_| with_users) {
                let user = |row: &u32| rows[*row as usize].0;
                let held: BTreeSet<u8> = fold.validate.iter().map(user).collect();
                prop_assert!(fold.fit.iter().all(|row| !held.contains(&user(row))));
            }
        }
    }

    #[test]
    fn a_long_embargo_leaves_fewer_folds_or_none() {
        let rows: Vec<(u8, i64, bool)> =
            (0..240).map(|row| ((row % 240) as u8, i64::from(row), row % 2 == 0)).collect();
        let data = data(&rows, true);
        assert_eq!(forward(&data, 3, 0).len(), 3);
        let few = forward(&data, 3, 130);
        assert!((1..3).contains(&few.len()), "{}", few.len());
        assert_eq!(forward(&data, 3, 230), []);
    }
}
