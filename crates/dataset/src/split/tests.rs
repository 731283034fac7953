use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::{Part, SplitError, SplitPlan, split_rows};
use crate::RowKeys;

fn keys(rows: &[(u8, i64)]) -> RowKeys {
    RowKeys {
        user: rows.iter().map(|(user, _)| Arc::from(format!("u{user}"))).collect(),
        t: rows.iter().map(|(_, t)| *t).collect(),
    }
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn time_split_keeps_order_embargo_and_users(
        rows in prop::collection::vec((0u8..60, 0i64..1_000), 20..200),
        embargo in 0i64..200,
    ) {
        let keys = keys(&rows);
        let plan = SplitPlan::ByTime { calibrate: 0.2, test: 0.3, embargo, calibrate_seed: None };
        let Ok(split) = split_rows(&keys, rows.len(), &plan) else { return Ok(()) };
        let time = |row: &u32| keys.t[*row as usize];
        let latest_train = split.train.iter().map(time).max();
        let first_calibrate = split.calibrate.iter().map(time).min();
        let latest_calibrate = split.calibrate.iter().map(time).max();
        let first_test = split.test.iter().map(time).min();
        prop_assert!(latest_train < first_calibrate);
        prop_assert!(latest_calibrate.map(|t| t + embargo) <= first_test);
        let users = |rows: &[u32]| -> BTreeSet<Arc<str>> {
            rows.iter().map(|&row| Arc::clone(&keys.user[row as usize])).collect()
        };
        let (train, calibrate, test) =
            (users(&split.train), users(&split.calibrate), users(&split.test));
        prop_assert!(train.is_disjoint(&calibrate));
        prop_assert!(train.is_disjoint(&test));
        prop_assert!(calibrate.is_disjoint(&test));
        let n_used = split.train.len() + split.calibrate.len() + split.test.len();
        prop_assert_eq!(n_used + split.n_embargoed + split.n_user_overlap, rows.len());
    }

    #[test]
    fn user_split_puts_all_rows_of_a_user_in_one_part(
        rows in prop::collection::vec((0u8..40, 0i64..10), 60..200),
        seed in any::<u64>(),
    ) {
        let keys = keys(&rows);
        let plan = SplitPlan::ByUser { calibrate: 0.3, test: 0.3, seed };
        let Ok(split) = split_rows(&keys, rows.len(), &plan) else { return Ok(()) };
        let parts = [&split.train, &split.calibrate, &split.test];
        for user in 0..40u8 {
            let name = format!("u{user}");
            let holds = |rows: &&&Vec<u32>| rows.iter().any(|&row| *keys.user[row as usize] == *name);
            prop_assert!(parts.iter().filter(holds).count() <= 1);
        }
        prop_assert_eq!(parts.iter().map(|part| part.len()).sum::<usize>(), rows.len());
    }
}

#[test]
fn shares_come_out_as_asked() {
    let rows: Vec<(u8, i64)> = (0..1_000).map(|t| ((t % 250) as u8, t)).collect();
    let keys = RowKeys { user: Vec::new(), ..keys(&rows) };
    let plan = SplitPlan::ByTime { calibrate: 0.2, test: 0.25, embargo: 100, calibrate_seed: None };
    let split = split_rows(&keys, rows.len(), &plan).unwrap();
    // 750 rows before the cut, 99 of them within the embargo; 651 divide 55 to 20
    assert_eq!((split.test.len(), split.n_embargoed), (250, 99));
    assert_eq!((split.train.len(), split.calibrate.len()), (477, 174));
}

#[test]
fn calibrating_users_may_be_drawn_from_all_earlier_rows() {
    let rows: Vec<(u8, i64)> = (0..1_000).map(|t| ((t % 200) as u8, t)).collect();
    let keys = keys(&rows);
    let plan = SplitPlan::ByTime { calibrate: 0.2, test: 0.2, embargo: 0, calibrate_seed: Some(3) };
    let keys = RowKeys { user: (0..1_000).map(|t| Arc::from(format!("{t}"))).collect(), ..keys };
    let split = split_rows(&keys, rows.len(), &plan).unwrap();
    assert_eq!(split.test, (800..1_000).collect::<Vec<u32>>());
    assert!((150..250).contains(&split.calibrate.len()), "{}", split.calibrate.len());
    assert!(split.calibrate[0] < 100 && split.train.last() > Some(&700));
}

#[test]
fn says_what_is_wrong() {
    let none = RowKeys::default();
    let by_time =
        |calibrate, test| SplitPlan::ByTime { calibrate, test, embargo: 0, calibrate_seed: None };
    assert_eq!(split_rows(&none, 3, &by_time(0.2, 0.2)), Err(SplitError::NoTime));
    let shares = SplitError::Shares { calibrate: 0.6, test: 0.5 };
    assert_eq!(split_rows(&none, 3, &by_time(0.6, 0.5)), Err(shares));
    let given = SplitPlan::Given(vec![Part::Train, Part::Test]);
    assert_eq!(split_rows(&none, 3, &given), Err(SplitError::Length { expected: 3, got: 2 }));
    let empty = split_rows(&none, 2, &given).unwrap_err().to_string();
    assert!(empty.starts_with("the calibrate part is empty: 2 rows"), "{empty}");
}
