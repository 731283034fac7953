use proptest::prelude::*;

use super::*;
use crate::histogram::Derivatives;

fn rules(min_rows: u64, categories: CategoryRules) -> SplitRules {
    SplitRules {
        lambda_l1: 0.25,
        lambda_l2: 0.5,
        min_rows,
        min_hessian: 0.125,
        min_gain: 0.01,
        categories,
        monotone: Vec::new(),
    }
}

/// Rows of one column: code, gradient, second derivative.
type Row = (u8, f64, f64);

struct Given<'a>(&'a [Row]);

impl Derivatives for Given<'_> {
    fn fill(&self, first: usize, gradients: &mut [f64], hessians: &mut [f64]) {
        for (row, (gradient, hessian)) in
            self.0[first..].iter().zip(gradients.iter_mut().zip(hessians))
        {
            (*gradient, *hessian) = (row.1, row.2);
        }
    }
}

fn histogram(rows: &[Row]) -> (Vec<Cell>, Cell, Scaled) {
    let mut scaled = Scaled::default();
    scaled.refill(rows.len(), &Given(rows), None);
    let mut cells = vec![Cell::default(); 260];
    let mut total = Cell::default();
    for (index, row) in rows.iter().enumerate() {
        cells[usize::from(row.0)].add(scaled.cell(index));
        total.add(scaled.cell(index));
    }
    (cells, total, scaled)
}

/// Gain of sending `left` codes left, straight from the rows; `None` if the rules forbid it.
fn naive_gain(rows: &[Row], left: &dyn Fn(u8) -> bool, rules: &SplitRules, l2: f64) -> Option<f64> {
    let sums = |side: bool| {
        rows.iter()
            .filter(|row| left(row.0) == side)
            .fold((0.0, 0.0, 0), |(g, h, n), row| (g + row.1, h + row.2, n + 1))
    };
    let score = |g: f64, h: f64, l2: f64| {
        let g = g.signum() * (g.abs() - rules.lambda_l1).max(0.0);
        g * g / (h + rules.lambda_l2 + l2)
    };
    let (a, b) = (sums(true), sums(false));
    let enough = |n: u64, h: f64| n >= rules.min_rows.max(1) && h >= rules.min_hessian;
    if !enough(a.2, a.1) || !enough(b.2, b.1) {
        return None;
    }
    let parent = score(a.0 + b.0, a.1 + b.1, 0.0);
    let gain = score(a.0, a.1, l2) + score(b.0, b.1, l2) - parent;
    (gain > rules.min_gain).then_some(gain)
}

fn largest(gains: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    gains.flatten().reduce(f64::max)
}

fn number_bins(n_cuts: usize) -> ColumnBins {
    ColumnBins::Number { cuts: (0..n_cuts).map(|cut| cut as f64).collect() }
}

fn category_bins(n: usize) -> ColumnBins {
    ColumnBins::Category { kept: (0..n as u32).collect(), code_of: (1..=n as u8).collect() }
}

/// Dyadic values: sums of them are exact in `f64` and in integers.
fn any_rows(n_codes: u8) -> impl Strategy<Value = Vec<Row>> {
    let row = (0..n_codes, -64i32..64, 1i32..32)
        .prop_map(|(code, g, h)| (code, f64::from(g) / 32.0, f64::from(h) / 32.0));
    prop::collection::vec(row, 2..60)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(9),
        ..ProptestConfig::default()
    })]

    #[test]
    fn numbers_are_split_as_by_exhaustive_search(rows in any_rows(9), min_rows in 0u64..4) {
        let rules = rules(min_rows, CategoryRules::default());
        let (cells, total, scaled) = histogram(&rows);
        let found = Judge::new(&rules, &scaled).best_split(3, &number_bins(7), &cells, total, &mut Cuts::new());
        let has_missing = rows.iter().any(|row| row.0 == MISSING_CODE);
        let questions = (1u8..9).flat_map(|code| [(code, false), (code, true)]);
        let wanted = largest(questions.filter(|q| has_missing || !q.1).map(|(code, missing_left)| {
            let left = move |c: u8| if c == MISSING_CODE { missing_left } else { c <= code };
            naive_gain(&rows, &left, &rules, 0.0)
        }));
        match (wanted, found) {
            (None, None) => {}
            (Some(gain), Some(found)) => {
                prop_assert!((gain - found.gain).abs() < 1e-9, "{} {}", gain, found.gain);
                let own = naive_gain(&rows, &|code| found.left_codes.contains(code), &rules, 0.0);
                prop_assert!((own.unwrap() - gain).abs() < 1e-9, "the set gives its gain");
                prop_assert_eq!(found.column, 3);
                prop_assert_eq!(found.left.n_rows() + found.right.n_rows(), rows.len() as u64);
            }
            (wanted, found) => prop_assert!(false, "{wanted:?} {found:?}"),
        }
    }

    /// In units a thousand bits apart the same cut is found, and its gain is in those units.
    #[test]
    fn the_unit_of_gradients_does_not_matter(rows in any_rows(9), exponent in -450i32..450) {
        let mut rules = rules(1, CategoryRules::default());
        (rules.lambda_l1, rules.lambda_l2, rules.min_gain, rules.min_hessian) = (0.0, 0.0, 0.0, 0.0);
        let unit = 2f64.powi(exponent);
        let of_unit: Vec<Row> = rows.iter().map(|&(code, g, h)| (code, g * unit, h * unit)).collect();
        let [plain, scaled] = [&rows, &of_unit].map(|rows| {
            let (cells, total, scaled) = histogram(rows);
            let judge = Judge::new(&rules, &scaled);
            judge.best_split(0, &number_bins(7), &cells, total, &mut Cuts::new())
        });
        prop_assert_eq!(plain.is_some(), scaled.is_some());
        if let (Some(plain), Some(scaled)) = (plain, scaled) {
            prop_assert_eq!(plain.left_codes, scaled.left_codes);
            prop_assert!((scaled.gain / unit / plain.gain - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn codes_up_to_one_are_all_of_them(last in any::<u8>()) {
        let codes: Vec<u8> = CodeSet::up_to(last).codes().collect();
        prop_assert_eq!(codes, (1..=last).collect::<Vec<u8>>());
    }

    /// Cut by cut with unbounded values is the search over all cuts at once; within bounds the gain is what
    /// the held values give.
    #[test]
    fn bounded_numbers_are_split_as_by_exhaustive_search(
        rows in any_rows(9), min_rows in 0u64..4, low in -2.0..0.5f64, width in 0.0..2.0f64,
    ) {
        let mut rules = rules(min_rows, CategoryRules::default());
        let (cells, total, scaled) = histogram(&rows);
        let judge = Judge::new(&rules, &scaled);
        let plain = judge.best_split(0, &number_bins(7), &cells, total, &mut Cuts::new());
        let free = judge.at(Some(Bounds::FREE), None);
        let free = free.best_split(0, &number_bins(7), &cells, total, &mut Cuts::new());
        prop_assert_eq!(plain.is_some(), free.is_some());
        if let (Some(plain), Some(free)) = (plain, free) {
            prop_assert!((plain.gain - free.gain).abs() < 1e-9);
        }

        rules.monotone = vec![Monotone::Increasing];
        let [above, _] = Bounds::FREE.split(Monotone::Decreasing, low, low);
        let [bounds, _] = above.split(Monotone::Increasing, low + width, low + width);
        let value_and_score = |left: &dyn Fn(u8) -> bool, side: bool| {
            let side = rows.iter().filter(|row| left(row.0) == side);
            let (g, h, n) = side.fold((0.0, 0.0, 0), |(g, h, n), r| (g + r.1, h + r.2, n + 1));
            let g = g.signum() * (g.abs() - rules.lambda_l1).max(0.0);
            let curvature = h + rules.lambda_l2;
            let value = (-g / curvature).clamp(low, low + width);
            let score = -2.0 * g * value - curvature * value * value;
            (value, score, n >= rules.min_rows.max(1) && h >= rules.min_hessian)
        };
        let parent = value_and_score(&|_| true, true).1;
        let has_missing = rows.iter().any(|row| row.0 == MISSING_CODE);
        let questions = (1u8..9).flat_map(|code| [(code, false), (code, true)]);
        let wanted = largest(questions.filter(|q| has_missing || !q.1).map(|(code, missing_left)| {
            let goes = move |c: u8| if c == MISSING_CODE { missing_left } else { c <= code };
            let (left, right) = (value_and_score(&goes, true), value_and_score(&goes, false));
            let gain = left.1 + right.1 - parent;
            (left.2 && right.2 && left.0 <= right.0 && gain > rules.min_gain).then_some(gain)
        }));
        let judge = Judge::new(&rules, &scaled).at(Some(bounds), None);
        let found = judge.best_split(0, &number_bins(7), &cells, total, &mut Cuts::new()).map(|found| found.gain);
        prop_assert_eq!(wanted.is_some(), found.is_some(), "{:?} {:?}", wanted, found);
        if let (Some(wanted), Some(found)) = (wanted, found) {
            prop_assert!((wanted - found).abs() < 1e-9, "{} {}", wanted, found);
        }
    }

    /// Few categories: one against the rest. Missing is one more category, "any other" never goes left.
    #[test]
    fn few_categories_are_split_one_from_the_rest(rows in any_rows(6), min_rows in 0u64..4) {
        let categories = CategoryRules { one_vs_rest_up_to: 5, ..CategoryRules::default() };
        let rules = rules(min_rows, categories);
        let (cells, total, scaled) = histogram(&rows);
        let found = Judge::new(&rules, &scaled).best_split(0, &category_bins(4), &cells, total, &mut Cuts::new());
        let wanted = largest((0u8..5).map(|code| naive_gain(&rows, &|c| c == code, &rules, 0.0)));
        prop_assert_eq!(wanted.is_some(), found.is_some());
        if let (Some(gain), Some(found)) = (wanted, found) {
            prop_assert!((gain - found.gain).abs() < 1e-9);
            prop_assert!(!found.left_codes.contains(5), "any other category stays right");
        }
    }

    /// Both sides of a set pay the penalty of sets.
    #[test]
    fn sets_of_categories_pay_their_penalty(rows in any_rows(9), l2 in 0.5..20.0f64) {
        let categories = CategoryRules { l2, ..CategoryRules::exhaustive() };
        let rules = rules(1, categories);
        let (cells, total, scaled) = histogram(&rows);
        let found = Judge::new(&rules, &scaled).best_split(0, &category_bins(7), &cells, total, &mut Cuts::new());
        if let Some(found) = found {
            let gain = naive_gain(&rows, &|code| found.left_codes.contains(code), &rules, l2);
            prop_assert!((gain.unwrap() - found.gain).abs() < 1e-9, "{gain:?} {}", found.gain);
        }
    }

    /// Without smoothing and penalties the ordered search finds the best of all subsets (Fisher 1958).
    #[test]
    fn ordered_categories_reach_the_best_of_all_subsets(rows in any_rows(6)) {
        let mut rules = rules(1, CategoryRules::exhaustive());
        (rules.lambda_l1, rules.lambda_l2, rules.min_hessian) = (0.0, 0.0, 0.0);
        let rows: Vec<Row> = rows.into_iter().filter(|row| row.0 < 5).collect();
        prop_assume!(rows.len() >= 2);
        let (cells, total, scaled) = histogram(&rows);
        let found = Judge::new(&rules, &scaled).best_split(0, &category_bins(4), &cells, total, &mut Cuts::new());
        let subsets = 1u32..31;
        let wanted = largest(subsets.map(|subset| {
            naive_gain(&rows, &|code| subset >> code & 1 == 1, &rules, 0.0)
        }));
        prop_assert_eq!(wanted.is_some(), found.is_some());
        if let (Some(gain), Some(found)) = (wanted, found) {
            prop_assert!((gain - found.gain).abs() < 1e-9 * gain.max(1.0), "{} {}", gain, found.gain);
        }
    }
}

/// Nothing can be divided by its second derivatives, so its leaf gains nothing; the other side does.
#[test]
fn a_side_without_second_derivatives_scores_nothing() {
    let mut rules = rules(1, CategoryRules::default());
    (rules.lambda_l1, rules.lambda_l2, rules.min_hessian) = (0.0, 0.0, 0.0);
    for (flat, curved) in [(1, 2), (2, 1)] {
        let (cells, total, scaled) = histogram(&[(flat, 1.0, 0.0), (curved, -3.0, 1.0)]);
        let judge = Judge::new(&rules, &scaled);
        let found = judge.best_split(0, &number_bins(1), &cells, total, &mut Cuts::new());
        assert_eq!(found.map(|found| found.gain), Some(9.0 - 4.0));
    }
}

#[test]
fn a_split_by_hand() {
    // Gradients -2, -2 | 3, 1 with unit second derivatives: (16/2 + 16/2) - 0 = 16.
    let rows = [(1, -2.0, 1.0), (1, -2.0, 1.0), (2, 3.0, 1.0), (3, 1.0, 1.0)];
    let (cells, total, scaled) = histogram(&rows);
    let mut rules = rules(1, CategoryRules::default());
    (rules.lambda_l1, rules.lambda_l2) = (0.0, 0.0);
    let found = Judge::new(&rules, &scaled)
        .best_split(0, &number_bins(2), &cells, total, &mut Cuts::new())
        .unwrap();
    assert_eq!((found.gain, found.at_most), (16.0, Some(1)));
    assert_eq!((found.left.n_rows(), found.right.n_rows()), (2, 2));
    assert!(found.left_codes.contains(MISSING_CODE), "without missing rows: the side of more rows");
}

#[test]
fn missing_alone_can_be_told_from_all_values() {
    let rows = [(1, 1.0, 1.0), (2, 1.0, 1.0), (MISSING_CODE, -1.0, 1.0), (MISSING_CODE, -1.0, 1.0)];
    let (cells, total, scaled) = histogram(&rows);
    let rules = rules(1, CategoryRules::default());
    let found = Judge::new(&rules, &scaled)
        .best_split(0, &number_bins(1), &cells, total, &mut Cuts::new())
        .unwrap();
    assert_eq!(found.at_most, Some(2));
    assert!(!found.left_codes.contains(MISSING_CODE));
    assert_eq!(number_bins(1).at_most(2), segue_model::Split::AtMost(f64::MAX));
}

#[test]
fn category_rules_of_groups_and_size_hold() {
    // Eight categories of 30 rows, gradients falling with the code.
    let rows: Vec<Row> = (1u8..=8)
        .flat_map(|code| std::iter::repeat_n((code, 4.0 - f64::from(code), 1.0), 30))
        .collect();
    let (cells, total, scaled) = histogram(&rows);
    let set = |categories: CategoryRules| -> Option<Vec<u8>> {
        let mut rules = rules(1, categories);
        rules.lambda_l1 = 0.0;
        let found = Judge::new(&rules, &scaled).best_split(
            0,
            &category_bins(8),
            &cells,
            total,
            &mut Cuts::new(),
        );
        found.map(|found| found.left_codes.value_codes().collect())
    };
    let free = CategoryRules { min_rows_per_group: 0, l2: 0.0, ..CategoryRules::default() };
    assert_eq!(set(free.clone()), Some(vec![5, 6, 7, 8]));
    assert_eq!(set(CategoryRules { max_categories: 2, ..free.clone() }), Some(vec![1, 2]));
    let grouped = CategoryRules { min_rows_per_group: 80, ..free.clone() };
    assert_eq!(set(grouped), Some(vec![1, 2, 3]), "judged only after 80 rows");
    assert_eq!(set(CategoryRules { smooth: 31.0, ..free }), None, "no category has 31 rows");
}
