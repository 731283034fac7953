use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::model::tests::{model, row, schema, small, tree};
use crate::{Combine, Link, ModelParts};
use quadrature::Quadrature;

/// Expectation of a tree when only the columns in `known` (a bit mask) are known.
fn expectation(tree: &Tree, row: &[f64], known: u32, at: Child, k: usize) -> f64 {
    match at {
        Child::Leaf(leaf) => tree.leaf_values(leaf)[k],
        Child::Node(index) => {
            let node = &tree.nodes[index as usize];
            if known >> node.feature & 1 == 1 {
                return expectation(tree, row, known, node.next(row[node.feature as usize]), k);
            }
            let [left, right] = shares(tree, node);
            left * expectation(tree, row, known, node.left, k)
                + right * expectation(tree, row, known, node.right, k)
        }
    }
}

/// Shapley's formula over all subsets of the columns.
fn shapley_by_subsets(tree: &Tree, row: &[f64], k: usize) -> Vec<f64> {
    let root = if tree.nodes.is_empty() { Child::Leaf(0) } else { Child::Node(0) };
    let n = row.len() as u32;
    let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
    (0..n)
        .map(|column| {
            let without = (0..1u32 << n).filter(|set| set >> column & 1 == 0);
            let gain = |set: u32| {
                let size = set.count_ones();
                let weight = factorial(size) * factorial(n - size - 1) / factorial(n);
                let with = expectation(tree, row, set | 1 << column, root, k);
                weight * (with - expectation(tree, row, set, root, k))
            };
            without.map(gain).sum()
        })
        .collect()
}

/// The definition of Lundberg and others (2018), equation 5: half of the mean second difference.
fn interaction_by_subsets(tree: &Tree, row: &[f64], k: usize, i: u32, j: u32) -> f64 {
    let root = if tree.nodes.is_empty() { Child::Leaf(0) } else { Child::Node(0) };
    let n = row.len() as u32;
    let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
    let (with_i, with_j) = (1 << i, 1 << j);
    let second_difference = |set: u32| {
        let value = |set| expectation(tree, row, set, root, k);
        let both = value(set | with_i | with_j) - value(set | with_i) - value(set | with_j);
        let size = set.count_ones();
        let weight = factorial(size) * factorial(n - size - 2) / (2.0 * factorial(n - 1));
        weight * (both + value(set))
    };
    (0..1u32 << n).filter(|set| set & (with_i | with_j) == 0).map(second_difference).sum()
}

/// A model of two outputs whose one tree has a value of each in every leaf.
fn of_one_tree(tree: &Tree) -> Model {
    Model::new(ModelParts {
        target: segue_dataset::TargetKind::Multiclass { classes: vec!["a".into(), "b".into()] },
        ensemble: Ensemble {
            trees: vec![tree.clone()],
            tree_output: vec![0],
            base: vec![0.5, -0.5],
            combine: Combine::Sum,
            link: Link::Softmax,
        },
        calibration: crate::Calibration::None,
        ..small()
    })
    .unwrap()
}

fn sum_of_largest_leaves(model: &Model) -> f64 {
    let largest = |tree: &Tree| tree.leaf_values.iter().fold(1e-3f64, |all, v| all.max(v.abs()));
    1.0 + model.ensemble().trees.iter().map(largest).sum::<f64>()
}

fn bits(of: &[f64]) -> Vec<u64> {
    of.iter().map(|value| value.to_bits()).collect()
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() })]

    #[test]
    fn contributions_are_shapley_values(tree in tree(2, 16), row in row()) {
        let model = of_one_tree(&tree);
        let explanation = model.explain(&row);
        let root = if tree.nodes.is_empty() { Child::Leaf(0) } else { Child::Node(0) };
        for k in 0..2 {
            let expected = shapley_by_subsets(&tree, &row, k);
            for (found, expected) in explanation.contributions(k).iter().zip(&expected) {
                prop_assert!(close(*found, *expected), "{found} is not {expected}");
            }
            let nothing_known = expectation(&tree, &row, 0, root, k) + [0.5, -0.5][k];
            prop_assert!(close(explanation.bias()[k], nothing_known));
        }
    }

    #[test]
    fn bias_and_contributions_sum_to_the_margin(model in model(), row in row()) {
        let explanation = model.explain(&row);
        let mut scratch = crate::Scratch::default();
        let scores = model.score(&row, &mut scratch);
        for (output, &margin) in scores.margins.iter().enumerate() {
            let error = explanation.margin(output) - margin;
            prop_assert!(error.abs() <= 1e-13 * sum_of_largest_leaves(&model), "{error:e}");
        }
    }

    #[test]
    fn interactions_are_those_of_the_definition(tree in tree(2, 12), row in row()) {
        let model = of_one_tree(&tree);
        let interactions = model.interactions(&row);
        for k in 0..2 {
            let found = interactions.values(k);
            for i in 0..5 {
                for j in (0..5).filter(|&j| j != i) {
                    let expected = interaction_by_subsets(&tree, &row, k, i, j);
                    let found = found[(i * 5 + j) as usize];
                    prop_assert!(close(found, expected), "{i} {j}: {found} is not {expected}");
                }
            }
        }
    }

    #[test]
    fn interactions_sum_to_contributions_and_are_symmetric(model in model(), row in row()) {
        let (explanation, interactions) = (model.explain(&row), model.interactions(&row));
        for output in 0..model.n_outputs() {
            let values = interactions.values(output);
            for (i, contribution) in explanation.contributions(output).iter().enumerate() {
                prop_assert!(close(values[i * 5..][..5].iter().sum(), *contribution));
                prop_assert!((0..i).all(|j| values[i * 5 + j] == values[j * 5 + i]));
            }
        }
    }

    #[test]
    fn the_strongest_pairs_are_whole_and_in_order(model in model(), row in row(), n in 0_usize..12) {
        let interactions = model.interactions(&row);
        for output in 0..model.n_outputs() {
            let values = interactions.values(output);
            let strongest = interactions.strongest(output, n);
            let all = interactions.strongest(output, usize::MAX);
            prop_assert_eq!(&strongest[..], &all[..n.min(all.len())]);
            prop_assert!(all.is_sorted_by(|one, other| one.2.abs() >= other.2.abs()));
            prop_assert!(all.iter().all(|&(i, j, value)| i < j && value == 2.0 * values[i * 5 + j]));
            let found: std::collections::BTreeSet<_> = all.iter().map(|&(i, j, _)| (i, j)).collect();
            let pairs = (0..5).flat_map(|i| (i + 1..5).map(move |j| (i, j)));
            let expected = pairs.filter(|&(i, j)| values[i * 5 + j] != 0.0).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn rows_get_the_same_bits_together_alone_and_in_any_registers(
        model in model(), rows in prop::collection::vec(row(), 0..40),
    ) {
        let matrix = Matrix::from_rows(5, &rows.concat());
        let together = model.explain_rows(&matrix);
        prop_assert_eq!(together.n_rows(), rows.len());
        for (index, row) in rows.iter().enumerate() {
            let alone = model.explain(row);
            prop_assert_eq!(bits(&together.row(index).contributions), bits(&alone.contributions));
            for output in 0..model.n_outputs() {
                let of_output = together.contributions(index, output);
                prop_assert_eq!(bits(of_output), bits(alone.contributions(output)));
            }
        }
        for registers in Registers::here() {
            let mut out = vec![0.0; together.contributions.len()];
            model.contributions_of_rows(registers, &matrix, &mut out);
            prop_assert_eq!(bits(&out), bits(&together.contributions));
            for (row, expected) in rows.iter().zip(out.chunks(5 * model.n_outputs())) {
                let mut out = vec![0.0; expected.len()];
                model.contributions_of_row(registers, row, &mut out);
                prop_assert_eq!(bits(&out), bits(expected));
            }
        }
    }

    #[test]
    fn reasons_add_up_the_columns_of_a_behaviour(model in model(), row in row()) {
        let explanation = model.explain(&row);
        for output in 0..model.n_outputs() {
            let reasons = model.reasons(&explanation, &row, output, usize::MAX);
            let contributions = explanation.contributions(output);
            for pair in reasons.windows(2) {
                prop_assert!(pair[0].contribution.abs() >= pair[1].contribution.abs());
            }
            for reason in &reasons {
                let columns = model.behaviours().iter().zip(contributions);
                let of: Vec<f64> =
                    columns.filter(|(b, _)| **b == reason.behaviour).map(|(_, c)| *c).collect();
                prop_assert_eq!(of.iter().sum::<f64>(), reason.contribution);
                let raises = reason.direction == Direction::Raises;
                prop_assert_eq!(raises, reason.contribution > 0.0);
                let column = model.schema().index_of(&reason.feature).unwrap();
                let sign = reason.contribution.signum();
                prop_assert!(of.iter().all(|c| c * sign <= contributions[column] * sign));
            }
        }
    }
}

/// A chain of as many splits as features, each of a feature of its own.
fn chain(n: u32) -> Model {
    let features = (0..n).map(|i| segue_dataset::Feature::number(format!("f{i}"))).collect();
    let schema = std::sync::Arc::new(segue_dataset::Schema::new(features).unwrap());
    let nodes = (0..n)
        .map(|index| Node {
            feature: index,
            split: crate::Split::AtMost(0.0),
            missing: crate::MissingRule::Left,
            left: if index + 1 < n { Child::Node(index + 1) } else { Child::Leaf(n) },
            right: Child::Leaf(index),
            gain: 0.0,
            cover: f64::from(n - index) + 1.0,
        })
        .collect();
    let tree = Tree {
        nodes,
        leaf_values: (0..=n).map(|leaf| f64::from(leaf) / f64::from(n)).collect(),
        leaf_cover: vec![1.0; n as usize + 1],
        leaf_width: 1,
    };
    let mut parts = small();
    parts.schema = schema;
    parts.ensemble.trees = vec![tree];
    Model::new(parts).unwrap()
}

/// Where alternating sums would have lost every digit, and where the points are fewer than half the
/// features (from 85 on) and come in several groups.
#[test]
fn deep_paths_stay_exact() {
    for n in [15, 16, 17, 60, 85, 600] {
        let model = chain(n);
        let leaves_at = n / 7;
        let row: Vec<f64> = (0..n).map(|i| f64::from(i >= leaves_at && i % 3 == 0)).collect();
        let explanation = model.explain(&row);
        let margin = model.score(&row, &mut crate::Scratch::default()).margins[0];
        let error = explanation.margin(0) - margin;
        assert!(error.abs() < 2e-13, "{n}: {error:e}");
        // Passing the first split leads to the larger leaves, and then the row leaves the chain.
        let leaving = leaves_at.next_multiple_of(3) as usize;
        assert!(explanation.contributions(0)[0] > 0.0);
        assert!(explanation.contributions(0)[leaving] < 0.0);
    }
}

/// One path of `n` features, the row going down to its end: by symmetry all share alike.
#[test]
fn long_paths_of_equal_features_share_alike() {
    for n in [84, 85, 300, 2000] {
        let model = chain(n);
        let mut parts = model.into_parts();
        let tree = &mut parts.ensemble.trees[0];
        // Both sides alike, and only the last leaf counts.
        tree.nodes.iter_mut().for_each(|node| node.cover = 0.0);
        tree.leaf_cover.fill(0.0);
        tree.leaf_values.fill(0.0);
        tree.leaf_values[n as usize] = 1.0;
        let explanation = Model::new(parts).unwrap().explain(&vec![0.0; n as usize]);
        let expected = (1.0 - 0.5f64.powi(n as i32)) / f64::from(n);
        for found in explanation.contributions(0) {
            assert!((found - expected).abs() < 1e-13 * expected, "{n}: {found} is not {expected}");
        }
    }
}

#[test]
fn a_model_without_columns_or_rows_is_explained() {
    let mut parts = small();
    parts.schema = std::sync::Arc::new(segue_dataset::Schema::new(Vec::new()).unwrap());
    parts.ensemble.trees = vec![Tree::constant(vec![0.5], 1.0)];
    let model = Model::new(parts).unwrap();
    assert_eq!(model.explain(&[]).margin(0), 0.75);
    assert!(model.interactions(&[]).values(0).is_empty());
    let rows = model.explain_rows(&Matrix::default());
    assert_eq!((rows.n_rows(), rows.bias()), (0, &[0.75][..]));
}

#[test]
fn quadrature_integrates_polynomials() {
    for n in 1..=24 {
        let rule = Quadrature::gauss_legendre(n);
        for degree in 0..2 * n as i32 {
            let points = rule.points.iter().zip(&rule.weights);
            let integral: f64 = points.map(|(x, w)| w * x.powi(degree)).sum();
            assert!((integral - 1.0 / f64::from(degree + 1)).abs() < 1e-14, "{n} {degree}");
        }
    }
}

#[test]
fn a_category_and_a_missing_value_read_as_words() {
    let model = Model::new(small()).unwrap();
    let row = [0.5, 0.0, 1.0, 0.0, 0.0];
    let explanation = model.explain(&row);
    assert_eq!(model.reasons(&explanation, &row, 0, 1).len(), 1);
    let reasons = model.reasons(&explanation, &row, 0, 9);
    let found: Vec<&str> = reasons.iter().map(|reason| reason.feature.as_str()).collect();
    assert_eq!(found, ["visits_7d", "plan"]);
    assert_eq!(reasons[1].value, FeatureValue::Category("word 1".to_owned()));
    assert_eq!(reasons[1].direction, Direction::Raises);
    let schema = schema();
    assert_eq!(FeatureValue::read(&schema, 2, -1.0), FeatureValue::Unseen);
    assert_eq!(FeatureValue::read(&schema, 2, f64::NAN), FeatureValue::Missing);
    assert_eq!(FeatureValue::read(&schema, 0, 2.5), FeatureValue::Number(2.5));
}

#[test]
fn branches_without_cover_weigh_one_half() {
    let mut parts = small();
    parts.ensemble.trees[0].leaf_cover = vec![0.0; 3];
    parts.ensemble.trees[0].nodes.iter_mut().for_each(|node| node.cover = 0.0);
    let model = Model::new(parts).unwrap();
    let expected = 0.25 - 0.5 + 0.25 * 2.0 + 0.25 * 0.5;
    assert!((model.explain(&[0.0; 5]).bias()[0] - expected).abs() < 1e-15);
}
