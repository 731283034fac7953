//! Constraints on values and paths, and random choices of nodes.

use super::*;
use crate::Monotone;

/// A table of 2 numbers (with ties and, in the first, missing values) and a category; any labels.
fn any_table(seed: u64, n_rows: usize, kind: TargetKind) -> Dataset {
    let mut generator = generator(seed, 7);
    let mut number = |missing: f64| -> Vec<f64> {
        (0..n_rows)
            .map(|_| {
                let value = f64::from(generator.random_range(0u32..20));
                if generator.random_bool(missing) { f64::NAN } else { value }
            })
            .collect()
    };
    let columns = [number(0.1), number(0.0)];
    let category: Vec<f64> =
        (0..n_rows).map(|_| f64::from(generator.random_range(0u32..6))).collect();
    let labels = (0..n_rows)
        .map(|row| {
            let noise: f64 = generator.random_range(-3.0..3.0);
            let margin = (columns[1][row] - 9.0) * (category[row] - 2.0) / 5.0 + noise
                - if columns[0][row] > 9.0 { 2.0 } else { 0.0 };
            match kind {
                TargetKind::Binary => f64::from(u8::from(margin > 0.0)),
                _ => margin,
            }
        })
        .collect();
    let vocabulary = (0..6).map(|category| format!("k{category}")).collect();
    let features =
        vec![Feature::number("a"), Feature::number("b"), Feature::category("c", vocabulary)];
    let [a, b] = columns;
    table(features, vec![a, b, category], Target { kind, values: labels })
}

/// Largest step against `sign` as `column` runs over its values, on copies of each row.
fn largest_step_against(fitted: &Fitted, data: &Dataset, column: usize, sign: f64) -> f64 {
    let mut row = vec![0.0; data.schema().len()];
    let mut worst: f64 = 0.0;
    for index in 0..data.n_rows() {
        data.features().copy_row(index, &mut row);
        let mut last = f64::NEG_INFINITY;
        for step in -1..=20 {
            row[column] = f64::from(step);
            let mut out = [0.0];
            fitted.ensemble.margins(&row, &mut out);
            worst = worst.max(last - sign * out[0]);
            last = sign * out[0];
        }
    }
    worst
}

/// Columns that each leaf's path asks about.
fn paths(tree: &Tree) -> Vec<Vec<u32>> {
    let mut open = vec![(Child::Node(0), Vec::new())];
    let mut paths = Vec::new();
    while let Some((at, path)) = open.pop() {
        match at {
            Child::Node(node) if !tree.nodes.is_empty() => {
                let node = &tree.nodes[node as usize];
                let mut path: Vec<u32> = path;
                path.push(node.feature);
                open.push((node.left, path.clone()));
                open.push((node.right, path));
            }
            _ => paths.push(path),
        }
    }
    paths
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 32,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(9),
        ..ProptestConfig::default()
    })]

    #[test]
    fn predictions_follow_monotone_constraints(
        seed in 0u64..10_000, binary: bool, absolute: bool, extra_trees: bool,
    ) {
        let kind = if binary { TargetKind::Binary } else { TargetKind::Regression };
        let data = any_table(seed, 250, kind);
        let params = BoostingParams {
            monotone: vec![Monotone::Increasing, Monotone::Decreasing, Monotone::Free],
            objective: (absolute && !binary).then_some(Objective::Absolute),
            min_rows_in_leaf: 2,
            lambda_l1: 0.1,
            n_rounds: 8,
            extra_trees,
            ..small()
        };
        let fitted = fit_with(params.clone(), &data, None, 1).unwrap();
        prop_assert!(largest_step_against(&fitted, &data, 0, 1.0) <= 1e-12);
        prop_assert!(largest_step_against(&fitted, &data, 1, -1.0) <= 1e-12);
        let free = BoostingParams { monotone: Vec::new(), ..params };
        let free = fit_with(free, &data, None, 1).unwrap();
        prop_assert!(largest_step_against(&free, &data, 1, -1.0) > 0.0, "the data is not monotone");
    }

    #[test]
    fn only_columns_of_one_group_meet_on_a_path(seed in 0u64..10_000) {
        let data = any_table(seed, 250, TargetKind::Regression);
        for interactions in [vec![vec![0, 1], vec![2, 1]], vec![vec![2, 0]], vec![vec![0, 0]]] {
            let params = BoostingParams {
                interactions: interactions.clone(), min_rows_in_leaf: 2, ..small()
            };
            let fitted = fit_with(params, &data, None, 1).unwrap();
            let listed: Vec<u32> = interactions.concat();
            let rest: Vec<u32> = (0..3).filter(|column| !listed.contains(column)).collect();
            let groups: Vec<Vec<u32>> = interactions.into_iter().chain([rest]).collect();
            for path in fitted.ensemble.trees.iter().flat_map(paths) {
                let fits = |group: &Vec<u32>| path.iter().all(|column| group.contains(column));
                prop_assert!(groups.iter().any(fits), "{path:?} {groups:?}");
            }
        }
    }
}

#[test]
fn columns_in_no_group_are_one_more() {
    let data = any_table(3, 400, TargetKind::Regression);
    let params = BoostingParams { interactions: vec![vec![0]], ..small() };
    let fitted = fit_with(params, &data, None, 1).unwrap();
    let meet = |path: Vec<u32>| path.contains(&1) && path.contains(&2);
    assert!(fitted.ensemble.trees.iter().flat_map(paths).any(meet), "1 and 2 are in no group");
}

#[test]
fn all_columns_in_one_group_change_nothing() {
    let data = any_table(3, 400, TargetKind::Regression);
    let grouped = BoostingParams { interactions: vec![vec![2, 1, 0]], ..small() };
    let free_to_move = BoostingParams { monotone: vec![Monotone::Free; 3], ..small() };
    let plain = fit_with(small(), &data, None, 1).unwrap();
    assert_eq!(fit_with(grouped, &data, None, 1).unwrap(), plain);
    assert_eq!(fit_with(free_to_move, &data, None, 1).unwrap(), plain);
}

#[test]
fn a_constraint_parts_the_values_in_the_middle() {
    // 0, 6 | 12, 2 with the mean 5: the first cut is behind 1 (-5 | 5/3); the rest may not fall below the
    // middle of -5 and 5/3.
    let data = number_table(vec![1., 2., 3., 4.], TargetKind::Regression, vec![0., 6., 12., 2.]);
    let params = BoostingParams {
        n_rounds: 1,
        n_leaves: 4,
        min_rows_in_leaf: 1,
        learning_rate: 1.0,
        monotone: vec![Monotone::Increasing],
        ..BoostingParams::default()
    };
    let fitted = fit_with(params, &data, None, 1).unwrap();
    // 6 | 12, 2 gains (1/1 + 4/2 - 25/9*3); 6, 12 | 2 falls and is forbidden.
    assert_eq!(margins(&fitted, &data).concat(), [0.0, 6.0, 7.0, 7.0]);
}

#[test]
fn constraints_cost_nothing_where_the_data_obeys_them() {
    let column: Vec<f64> = (0..200).map(f64::from).collect();
    let labels = column.iter().map(|value| value.sqrt()).collect();
    let data = number_table(column, TargetKind::Regression, labels);
    let constrained = BoostingParams { monotone: vec![Monotone::Increasing], ..small() };
    let one = fit_with(constrained, &data, None, 1).unwrap();
    let other = fit_with(small(), &data, None, 1).unwrap();
    let splits = |fitted: &Fitted| -> Vec<Split> {
        let nodes = fitted.ensemble.trees.iter().flat_map(|tree| &tree.nodes);
        nodes.map(|node| node.split.clone()).collect()
    };
    assert_eq!(splits(&one)[..7], splits(&other)[..7]);
    let (one, other) = (one.history[19].train_loss, other.history[19].train_loss);
    assert!(one < 1.5 * other, "{one} {other}");
}

#[test]
fn constraints_and_draws_give_the_same_bits_for_any_number_of_threads() {
    let train = mixed(40_000, 3, TargetKind::Binary);
    let monotone = vec![Monotone::Free, Monotone::Increasing, Monotone::Free];
    let constrained = BoostingParams { monotone, n_rounds: 3, ..BoostingParams::default() };
    let interactions = vec![vec![0, 2]];
    for params in [
        BoostingParams { interactions, column_share_by_node: 0.6, ..constrained.clone() },
        BoostingParams { extra_trees: true, ..constrained },
    ] {
        let [one, three] = [1, 3].map(|n| fit_with(params.clone(), &train, None, n).unwrap());
        assert_eq!(one, three);
    }
}

#[test]
fn nodes_draw_their_own_columns() {
    let data = any_table(5, 2_000, TargetKind::Regression);
    // A third of three columns is one: a node without choice asks about its column.
    let params = BoostingParams { column_share_by_node: 0.3, n_leaves: 64, ..small() };
    let fitted = fit_with(params.clone(), &data, None, 1).unwrap();
    let roots: Vec<u32> = fitted.ensemble.trees.iter().map(|tree| tree.nodes[0].feature).collect();
    assert!((0..3).all(|column| roots.contains(&column)), "{roots:?}");
    let by_path = paths(&fitted.ensemble.trees[0]);
    assert!(by_path.iter().any(|path| path.iter().any(|column| *column != path[0])));
    let other = fit_with(BoostingParams { seed: 1, ..params }, &data, None, 1).unwrap();
    assert_ne!(fitted.ensemble, other.ensemble);
}

#[test]
fn extra_trees_cut_anywhere_between_the_ends() {
    // The best cut is always the one in the middle; random ones are spread over all codes.
    let column: Vec<f64> = (0..100).map(f64::from).collect();
    let labels = column.iter().map(|&value| f64::from(u8::from(value >= 50.0))).collect();
    let data = number_table(column, TargetKind::Regression, labels);
    let params = BoostingParams {
        extra_trees: true,
        n_leaves: 2,
        n_rounds: 300,
        learning_rate: 0.01,
        min_rows_in_leaf: 1,
        ..BoostingParams::default()
    };
    let fitted = fit_with(params, &data, None, 1).unwrap();
    let cuts: std::collections::BTreeSet<i64> = fitted
        .ensemble
        .trees
        .iter()
        .map(|tree| match tree.nodes[0].split {
            Split::AtMost(cut) => cut as i64,
            _ => panic!("a number is cut"),
        })
        .collect();
    assert!(cuts.len() > 60, "{cuts:?}");
    assert!(cuts.iter().all(|cut| (0..99).contains(cut)));
}

#[test]
fn constraints_that_do_not_fit_the_table_are_errors() {
    let data = mixed(50, 1, TargetKind::Binary);
    let error = |params| fit_with(params, &data, None, 1).unwrap_err().to_string();
    let monotone = |monotone| BoostingParams { monotone, ..small() };
    assert_eq!(
        error(monotone(vec![Monotone::Increasing])),
        "monotone lists 1 columns, the table has 3"
    );
    assert_eq!(
        error(monotone(vec![Monotone::Free, Monotone::Free, Monotone::Decreasing])),
        "monotone constrains column \"c\", which is a category; only numbers have an order"
    );
    assert_eq!(
        error(BoostingParams { interactions: vec![vec![0], vec![1, 3]], ..small() }),
        "group 1 of interactions names column 3, the table has 3 columns"
    );
    let share = BoostingParams { column_share_by_node: 0.0, ..small() }.check();
    assert!(matches!(share, Err(ParamError::Real { field: "column_share_by_node", .. })));
}

/// Free trees of a table that is neither monotone nor without interactions.
fn free_trees(kind: TargetKind) -> (Dataset, segue_model::Ensemble) {
    let data = any_table(3, 400, kind);
    let free = BoostingParams { min_rows_in_leaf: 2, ..small() };
    let ensemble = fit_with(free, &data, None, 1).unwrap().ensemble;
    (data, ensemble)
}

fn started(
    params: BoostingParams,
    data: &Dataset,
    start: &segue_model::Ensemble,
) -> Result<Fitted, String> {
    let options = crate::FitOptions { start: Some(start), ..crate::FitOptions::new(&quiet) };
    let params = BoostingParams { n_rounds: 30, min_rows_in_leaf: 2, ..params };
    let learner = Learner::Boosting(params).check().unwrap();
    crate::fit_with(&learner, data, None, 1, &options).map_err(|error| error.to_string())
}

#[test]
fn trees_taken_over_must_keep_monotone_constraints() {
    for kind in [TargetKind::Binary, TargetKind::Regression] {
        let (data, free) = free_trees(kind);
        let down = vec![Monotone::Free, Monotone::Decreasing, Monotone::Free];
        let constrained = BoostingParams { monotone: down, ..small() };
        assert!(started(small(), &data, &free).is_ok());
        let refused = started(constrained.clone(), &data, &free).unwrap_err();
        assert!(
            refused.starts_with("the fit cannot start from the given trees: tree "),
            "{refused}"
        );
        assert!(refused.contains("is not decreasing in \"b\", as monotone asks"), "{refused}");
        let start = fit_with(constrained.clone(), &data, None, 1).unwrap().ensemble;
        let fitted = started(constrained.clone(), &data, &start).unwrap();
        assert!(largest_step_against(&fitted, &data, 1, -1.0) <= 1e-12);
        let up = vec![Monotone::Free, Monotone::Increasing, Monotone::Free];
        let turned = BoostingParams { monotone: up, ..small() };
        assert!(started(turned, &data, &start).unwrap_err().contains("is not increasing in \"b\""));
    }
}

#[test]
fn trees_taken_over_must_keep_interaction_groups() {
    let (data, free) = free_trees(TargetKind::Regression);
    let grouped = BoostingParams { interactions: vec![vec![0, 1]], ..small() };
    let refused = started(grouped.clone(), &data, &free).unwrap_err();
    assert!(refused.starts_with("the fit cannot start from the given trees: tree "), "{refused}");
    assert!(refused.contains("which no group of interactions lets meet"), "{refused}");
    assert!(refused.contains("\"c\""), "column 2 meets none: {refused}");
    let start = fit_with(grouped.clone(), &data, None, 1).unwrap().ensemble;
    assert!(started(grouped, &data, &start).is_ok());
    let other = BoostingParams { interactions: vec![vec![0], vec![1]], ..small() };
    assert!(started(other, &data, &start).unwrap_err().contains("asks about"));
}

#[test]
fn a_zero_that_counts_as_missing_is_out_of_order() {
    let data = number_table(vec![-1., 0., 1., 2.], TargetKind::Regression, vec![0., 1., 2., 3.]);
    let tree = |missing| Tree {
        nodes: vec![segue_model::Node {
            feature: 0,
            split: Split::AtMost(1.0),
            missing,
            left: Child::Leaf(0),
            right: Child::Leaf(1),
            gain: 1.0,
            cover: 4.0,
        }],
        leaf_values: vec![-1.0, 1.0],
        leaf_cover: vec![2.0, 2.0],
        leaf_width: 1,
    };
    let start = |missing| segue_model::Ensemble {
        trees: vec![tree(missing)],
        tree_output: vec![0],
        base: vec![1.5],
        combine: segue_model::Combine::Sum,
        link: segue_model::Link::Identity,
    };
    let up = BoostingParams { monotone: vec![Monotone::Increasing], ..small() };
    for missing in [MissingRule::Right, MissingRule::AsZero, MissingRule::ZeroLeft] {
        assert!(started(up.clone(), &data, &start(missing)).is_ok(), "{missing:?}");
    }
    // 0 goes with 2, and 1 below it does not.
    let refused = started(up, &data, &start(MissingRule::ZeroRight)).unwrap_err();
    assert!(refused.contains("tree 0 is not increasing in \"x\""), "{refused}");
}
