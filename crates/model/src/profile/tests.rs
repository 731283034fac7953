use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::model::tests::{row, schema};

fn table(rows: &[Vec<f64>]) -> (Matrix, Vec<f64>) {
    let scores = rows.iter().map(|row| if row[0].is_nan() { 0.1 } else { row[0] / 10.0 }).collect();
    (Matrix::from_rows(5, &rows.concat()), scores)
}

fn profile(rows: &[Vec<f64>]) -> Profile {
    let (matrix, scores) = table(rows);
    Profile::of(&schema(), &matrix, &["score".to_owned()], &scores)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() })]

    #[test]
    fn shares_sum_to_one_and_the_file_is_exact(rows in prop::collection::vec(row(), 1..60)) {
        let profile = profile(&rows);
        for of in profile.features.iter().chain(&profile.outputs) {
            prop_assert!((of.shares.iter().sum::<f64>() + of.missing - 1.0).abs() < 1e-9);
            prop_assert_eq!(of.shares.len(), of.bins.len());
            if let Bins::Quantiles(edges) = &of.bins {
                prop_assert!(edges.is_sorted_by(|a, b| a < b) && edges.len() < MAX_BINS);
                // Every bin of the reference rows holds something.
                prop_assert!(of.missing == 1.0 || of.shares.iter().all(|&share| share > 0.0));
            }
        }
        let back = Profile::from_json(&profile.to_json()).unwrap();
        prop_assert_eq!(&back, &profile);
        for drift in profile.psi(&back).unwrap() {
            prop_assert_eq!(drift.psi, 0.0);
        }
    }

    #[test]
    fn counting_one_by_one_or_at_once_is_the_same(
        before in prop::collection::vec(row(), 1..40), after in prop::collection::vec(row(), 0..40),
    ) {
        let reference = profile(&before);
        let (matrix, scores) = table(&after);
        let at_once = reference.count(&matrix, &scores);
        let mut counter = reference.counter();
        for (row, score) in after.iter().zip(&scores) {
            counter.add(row, &[*score]);
        }
        prop_assert_eq!(counter.profile(), at_once.clone());
        for drift in reference.psi(&at_once).unwrap() {
            prop_assert!(drift.psi >= 0.0 && drift.psi.is_finite());
        }
    }
}

#[test]
fn quantile_bins_are_equal_in_mass() {
    let rows: Vec<Vec<f64>> =
        (0..200).map(|row| vec![f64::from(row), 7.0, 0.0, 0.0, 0.0]).collect();
    let profile = profile(&rows);
    assert_eq!(profile.features[0].shares, vec![0.05; 20]);
    assert_eq!(profile.features[1].bins, Bins::Quantiles(Vec::new()));
    assert_eq!(profile.features[1].shares, [1.0]);
}

#[test]
fn psi_by_hand() {
    let rows = |n: u32| -> Vec<Vec<f64>> {
        (0..10).map(|row| vec![0.0, 0.0, f64::from(row < n), 0.0, f64::NAN]).collect()
    };
    let before = profile(&rows(5));
    let (matrix, scores) = table(&rows(8));
    let drifts = before.psi(&before.count(&matrix, &scores)).unwrap();
    let expected = 0.3 * (0.8f64 / 0.5).ln() - 0.3 * (0.2f64 / 0.5).ln();
    assert_eq!(drifts[2].name, "plan");
    assert!((drifts[2].psi - expected).abs() < 1e-12);
    assert_eq!((drifts[4].missing_before, drifts[4].psi), (1.0, 0.0));
    assert_eq!(drifts[5].name, "score");
}

#[test]
fn profiles_of_other_bins_are_not_compared() {
    let a = profile(&[vec![0.0; 5], vec![1.0, 0.0, 0.0, 0.0, 0.0]]);
    let b = profile(&[vec![5.0, 0.0, 0.0, 0.0, 0.0], vec![6.0, 0.0, 0.0, 0.0, 0.0]]);
    assert!(a.psi(&b).unwrap_err().to_string().contains("binned differently"));
    let mut fewer = b;
    fewer.features.pop();
    assert!(matches!(a.psi(&fewer), Err(ProfileError::Columns { expected: 6, found: 5 })));
    let spoiled = a.to_json().replacen("0.5", "1.5", 1);
    assert!(matches!(Profile::from_json(&spoiled), Err(ProfileError::Shares { .. })));
    assert!(matches!(Profile::from_json("{}"), Err(ProfileError::Json(_))));
    let mut turned = a.clone();
    turned.features[0].bins = Bins::Quantiles(vec![1.0, 1.0]);
    turned.features[0].shares = vec![0.5, 0.25, 0.25];
    let error = Profile::from_json(&turned.to_json()).unwrap_err().to_string();
    assert!(error.contains("visits_7d") && error.contains("ascending"), "{error}");
}

#[test]
fn unseen_and_missing_have_their_own_places() {
    let rows: Vec<Vec<f64>> =
        [-1.0, f64::NAN, 2.0, 2.0].map(|code| vec![0.0, 0.0, code, 0.0, 0.0]).to_vec();
    let plan = profile(&rows).features[2].clone();
    assert_eq!(plan.shares, [0.0, 0.0, 0.5, 0.25]);
    assert_eq!(plan.missing, 0.25);
    assert_eq!(plan.bins.bin_of(1.5), Some(3));
}

/// Numbers within [0, 1) from a fixed start.
fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[test]
fn many_categories_do_not_move_by_chance_and_still_move() {
    const N_CATEGORIES: usize = 200;
    let names = (0..N_CATEGORIES).map(|category| format!("c{category}")).collect();
    let schema = Schema::new(vec![segue_dataset::Feature::category("city", names)]).unwrap();
    let mut state = 11;
    for is_even in [true, false] {
        let mut draw = |n: usize, first: f64| -> Vec<f64> {
            let mut one = || {
                if uniform(&mut state) < first {
                    return 0.0;
                }
                let place = uniform(&mut state);
                // Even, or falling from the first to the last.
                let place = if is_even { place } else { place.powi(3) };
                (place * N_CATEGORIES as f64).floor()
            };
            (0..n).map(|_| one()).collect()
        };
        let table = |column: &[f64]| Matrix::from_rows(1, column);
        let training = draw(10_000, 0.0);
        let profile = Profile::of(&schema, &table(&training), &[], &[]);
        let mut psi = |n: usize, first: f64| {
            let later = profile.count(&table(&draw(n, first)), &[]);
            profile.psi(&later).unwrap()[0].psi
        };
        for _ in 0..200 {
            let by_chance = psi(500, 0.0);
            assert!(by_chance < 0.25, "{by_chance} even: {is_even}");
        }
        let moved = psi(500, 0.5);
        assert!(moved > 0.25, "{moved} even: {is_even}");
    }
}

#[test]
fn rare_categories_count_together_and_unseen_ones_alone() {
    let names = (0..40).map(|category| format!("c{category}")).collect();
    let schema = Schema::new(vec![segue_dataset::Feature::category("city", names)]).unwrap();
    let table = |column: &[f64]| Matrix::from_rows(1, column);
    // One of two rows has the first; each of the others one of 78. So in twenty groups: the first
    // alone, and of the others the first four, the next four, and so on.
    let training: Vec<f64> = (1..40).flat_map(|code| [0.0, f64::from(code)]).collect();
    let profile = Profile::of(&schema, &table(&training), &[], &[]);
    let psi = |column: &[f64]| profile.psi(&profile.count(&table(column), &[])).unwrap()[0].psi;
    let changed = |from: f64, to: f64| -> Vec<f64> {
        training.iter().map(|code| if *code == from { to } else { *code }).collect()
    };
    assert!(psi(&changed(2.0, 3.0)) < 1e-12);
    assert!(psi(&changed(2.0, 30.0)) > 0.003);
    let of_all_the_first = changed(0.0, 30.0);
    assert!(psi(&of_all_the_first) > 2.0, "{}", psi(&of_all_the_first));
    let unseen = changed(0.0, -1.0);
    assert!(psi(&unseen) > 4.0, "{}", psi(&unseen));
}
