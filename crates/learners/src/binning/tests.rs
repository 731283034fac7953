use std::sync::Arc;

use proptest::prelude::*;
use segue_dataset::{Feature, Matrix, RowKeys, Schema, Target, TargetKind, UNSEEN_CATEGORY};
use segue_model::{Child, MissingRule, Node};

use super::*;
use crate::split::CodeSet;

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 96,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(9),
        ..ProptestConfig::default()
    }
}

fn numbers(columns: Vec<Vec<f64>>) -> Dataset {
    let n_rows = columns[0].len();
    let features = (0..columns.len()).map(|index| Feature::number(format!("x{index}"))).collect();
    let target = Target { kind: TargetKind::Regression, values: vec![0.0; n_rows] };
    let schema = Arc::new(Schema::new(features).unwrap());
    let matrix = Matrix::from_columns(n_rows, columns);
    Dataset::new(schema, matrix, target, None, RowKeys::default()).unwrap()
}

fn cuts_of(values: Vec<f64>, max_bins: usize) -> Vec<f64> {
    let binning = Binning::learn(&numbers(vec![values]), max_bins).unwrap();
    match &binning.columns()[0] {
        ColumnBins::Number { cuts } => cuts.clone(),
        ColumnBins::Category { .. } => unreachable!("the column is a number"),
    }
}

#[test]
fn few_values_are_kept_apart_by_midpoints() {
    let values = vec![3.0, 1.0, f64::NAN, 1.0, 7.0];
    assert_eq!(cuts_of(values, 255), [2.0, 5.0]);
    assert_eq!(cuts_of(vec![f64::NAN; 4], 255), Vec::<f64>::new());
    assert_eq!(cuts_of(vec![0.0, -0.0], 255), Vec::<f64>::new(), "signed zeros are one value");
}

#[test]
fn neighbouring_floats_and_extremes_are_told_apart() {
    let next = 1.0f64.next_up();
    assert_eq!(cuts_of(vec![1.0, next], 255), [1.0]);
    assert_eq!(cuts_of(vec![f64::MIN, f64::MAX], 255), [0.0]);
    assert_eq!(cuts_of(vec![0.0, 5e-324], 255), [0.0]);
}

#[test]
fn many_values_are_cut_at_equal_mass_and_heavy_values_stay_alone() {
    let mut values: Vec<f64> = (0..10_000).map(f64::from).collect();
    values.extend(vec![5_000.0; 10_000]);
    let cuts = cuts_of(values.clone(), 101);
    assert!(cuts.len() <= 99 && cuts.len() > 80, "{}", cuts.len());
    let heavy = cuts.iter().filter(|&&cut| (4_999.0..=5_001.0).contains(&cut)).count();
    assert_eq!(heavy, 2, "the heavy value has an interval of its own: {cuts:?}");
    let edges: Vec<f64> =
        [f64::MIN].into_iter().chain(cuts.iter().copied()).chain([f64::MAX]).collect();
    for pair in edges.windows(2) {
        let inside = values.iter().filter(|&&v| v > pair[0] && v <= pair[1] && v != 5_000.0);
        assert!(inside.count() <= 250, "an interval holds far more than its share");
    }
}

#[test]
fn the_sample_of_a_large_table_sees_every_row_of_a_user() {
    // Two and three rows a user, by time: each later one lies a thousand higher.
    for (n_rows, per_user) in [(300_000, 2), (450_000, 3)] {
        let later = |row: usize| ((row % per_user) * 1_000 + row / per_user % 500) as f64;
        let cuts = cuts_of((0..n_rows).map(later).collect(), 255);
        for turn in 0..per_user {
            let range = (turn * 1_000) as f64..(turn * 1_000 + 500) as f64;
            let n = cuts.iter().filter(|cut| range.contains(cut)).count() as f64;
            let share = n / cuts.len() as f64 * per_user as f64;
            assert!((0.9..1.1).contains(&share), "{n} of {} cuts are of turn {turn}", cuts.len());
        }
    }
}

#[test]
fn categories_keep_their_codes_and_the_rare_share_one() {
    let vocabulary: Vec<String> = (0..300).map(|category| format!("c{category}")).collect();
    let schema = Schema::new(vec![Feature::category("kind", vocabulary)]).unwrap();
    // Category 299 is frequent, 0..=46 do not occur.
    let mut values: Vec<f64> = (47..300).map(f64::from).collect();
    values.extend([299.0, UNSEEN_CATEGORY, f64::NAN]);
    let target = Target { kind: TargetKind::Regression, values: vec![0.0; values.len()] };
    let matrix = Matrix::from_columns(values.len(), vec![values]);
    let data = Dataset::new(Arc::new(schema), matrix, target, None, RowKeys::default()).unwrap();
    let binning = Binning::learn(&data, 255).unwrap();
    let bins = &binning.columns()[0];
    assert_eq!(bins.n_codes(), 255);
    assert_eq!(bins.code(299.0), 253);
    assert_eq!(bins.code(3.0), 254, "a category without a code of its own");
    assert_eq!(bins.code(UNSEEN_CATEGORY), 254);
    assert_eq!(bins.code(f64::NAN), MISSING_CODE);
    let expected = Split::In(CategorySet::from_codes([47, 299]));
    assert_eq!(bins.one_of(&[1, 253, 254, MISSING_CODE]), expected);
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -5i32..5,
        1 => Just(i32::MIN),
    ]
    .prop_flat_map(|whole| {
        let ordinary = (-1e6f64..1e6).boxed();
        if whole == i32::MIN { ordinary } else { Just(f64::from(whole)).boxed() }
    })
}

proptest! {
    #![proptest_config(config())]

    /// A question on codes and its translation to values agree, on and beside every threshold.
    #[test]
    fn codes_and_values_go_to_the_same_side(
        values in prop::collection::vec(any_value(), 1..400),
        max_bins in 3usize..=255,
    ) {
        let data = numbers(vec![values.clone()]);
        let binning = Binning::learn(&data, max_bins).unwrap();
        let bins = &binning.columns()[0];
        prop_assert!(bins.n_codes() <= max_bins);
        let ColumnBins::Number { cuts } = bins else { unreachable!("the column is a number") };
        prop_assert!(cuts.windows(2).all(|pair| pair[0] < pair[1]));
        let mut probes = values;
        for &cut in cuts {
            probes.extend([cut, cut.next_up(), cut.next_down()]);
        }
        probes.extend([0.0, -0.0, f64::MAX, f64::MIN]);
        for code in 1..bins.n_codes() as u8 {
            let node = Node {
                feature: 0,
                split: bins.at_most(code),
                missing: MissingRule::Right,
                left: Child::Leaf(0),
                right: Child::Leaf(1),
                gain: 0.0,
                cover: 0.0,
            };
            for &probe in &probes {
                let by_value = node.next(probe) == Child::Leaf(0);
                prop_assert_eq!(by_value, bins.code(probe) <= code, "{} at {}", probe, code);
            }
        }
    }

    /// The block coder equals the plain search, with a byte a column and with shared bytes.
    #[test]
    fn the_code_matrix_holds_the_codes_of_the_values(
        columns in (1usize..20, 1usize..60).prop_flat_map(|(n_columns, n_rows)| {
            let value = prop_oneof![9 => any_value(), 1 => Just(f64::NAN)];
            prop::collection::vec(prop::collection::vec(value, n_rows), n_columns)
        }),
        max_bins in 3usize..=255,
    ) {
        let data = numbers(columns.clone());
        let binning = Binning::learn(&data, max_bins).unwrap();
        for bundles in [Bundles::one_a_column(binning.columns()), Bundles::joint(binning.columns())] {
            let codes = binning.encode(bundles.clone(), data.features());
            for (index, (column, bins)) in columns.iter().zip(binning.columns()).enumerate() {
                for (row, &value) in column.iter().enumerate() {
                    prop_assert_eq!(codes.code(row, index), bins.code(value));
                    let state = codes.row(row)[bundles.bundle_of(index)];
                    prop_assert_eq!(bundles.code(index, state), bins.code(value));
                }
            }
        }
    }

    /// Columns that share a byte are asked for by the states that hold their codes, and no byte overflows.
    #[test]
    fn joint_bytes_tell_their_columns_apart(n_cuts in prop::collection::vec(0usize..254, 1..12)) {
        let columns: Vec<ColumnBins> = n_cuts
            .iter()
            .map(|&n| ColumnBins::Number { cuts: (0..n).map(|cut| cut as f64).collect() })
            .collect();
        let bundles = Bundles::joint(&columns);
        prop_assert!(bundles.n_states().iter().all(|&n| n <= 256));
        prop_assert!(bundles.len() <= columns.len());
        for (column, bins) in columns.iter().enumerate() {
            let mut left = CodeSet::default();
            (0..bins.n_codes() as u8).filter(|code| code % 3 == 1).for_each(|code| left.insert(code));
            let states = bundles.states_of(column, left);
            let mut seen = vec![false; bins.n_codes()];
            for state in 0..bundles.n_states()[bundles.bundle_of(column)] {
                let code = bundles.code(column, state as u8);
                seen[usize::from(code)] = true;
                prop_assert_eq!(states.contains(state as u8), left.contains(code));
            }
            prop_assert!(seen.into_iter().all(|seen| seen), "every code has a state");
        }
    }
}
