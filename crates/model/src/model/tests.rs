//! Random models and rows for the tests of this crate, and the tests of checking and scoring.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use segue_dataset::{Feature, Matrix, Schema, TargetKind, UNSEEN_CATEGORY};

use super::*;
use crate::{CategorySet, Child, Combine, Link, MissingRule, Node, Split, Tree};

/// Columns of every random model: three numbers and two categories.
pub(crate) fn schema() -> Arc<Schema> {
    let words = |n: u32| (0..n).map(|code| format!("word {code}")).collect();
    let features = vec![
        Feature::number("visits_7d"),
        Feature::number("visits_30d"),
        Feature::category("plan", words(3)),
        Feature::number("gap_mean"),
        Feature::category("country", words(70)),
    ];
    Arc::new(Schema::new(features).unwrap())
}

const N_COLUMNS: u32 = 5;

/// Values near the thresholds, missing, signed zero, tiny, unseen.
pub(crate) fn row() -> impl Strategy<Value = Vec<f64>> {
    let number = prop_oneof![
        4 => (-3i32..4).prop_map(|value| f64::from(value) * 0.5),
        1 => Just(f64::NAN),
        1 => Just(-0.0),
        1 => Just(1e-36),
    ];
    let code = |n: u32| prop_oneof![4 => (0..n).prop_map(f64::from), 1 => Just(f64::NAN), 1 => Just(UNSEEN_CATEGORY)];
    (number.clone(), number.clone(), code(3), number, code(70))
        .prop_map(|(a, b, plan, c, country)| vec![a, b, plan, c, country])
}

#[derive(Debug, Clone)]
struct Cut {
    /// Which of the open leaves is split.
    at: prop::sample::Index,
    feature: u32,
    threshold: i32,
    codes: Vec<u32>,
    missing: u8,
    strict: bool,
}

/// A tree of up to `max_nodes` splits; covers are those of random leaf weights, some of them 0.
pub(crate) fn tree(width: usize, max_nodes: usize) -> impl Strategy<Value = Tree> {
    let cut = (
        any::<prop::sample::Index>(),
        0..N_COLUMNS,
        -3..4i32,
        prop::collection::vec(0..70u32, 0..6),
        0..5u8,
        any::<bool>(),
    )
        .prop_map(|(at, feature, threshold, codes, missing, strict)| Cut {
            at,
            feature,
            threshold,
            codes,
            missing,
            strict,
        });
    (prop::collection::vec(cut, 0..=max_nodes), any::<u64>())
        .prop_map(move |(cuts, seed)| grow(&cuts, width, seed))
}

fn grow(cuts: &[Cut], width: usize, seed: u64) -> Tree {
    let mut nodes: Vec<Node> = Vec::new();
    // Where each open leaf hangs: parent node and side.
    let mut open: Vec<Option<(usize, bool)>> = vec![None];
    for cut in cuts {
        let place = open.swap_remove(cut.at.index(open.len()));
        let index = nodes.len();
        hang(&mut nodes, place, Child::Node(index as u32));
        let threshold = f64::from(cut.threshold) * 0.5;
        let split = match (cut.feature, cut.strict) {
            (2 | 4, _) => Split::In(CategorySet::from_codes(cut.codes.iter().copied())),
            (_, true) => Split::Below(threshold),
            (_, false) => Split::AtMost(threshold),
        };
        let missing = match cut.missing {
            0 => MissingRule::Left,
            1 => MissingRule::Right,
            2 => MissingRule::AsZero,
            3 => MissingRule::ZeroLeft,
            _ => MissingRule::ZeroRight,
        };
        let leaf = Child::Leaf(0);
        nodes.push(Node {
            feature: cut.feature,
            split,
            missing,
            left: leaf,
            right: leaf,
            gain: f64::from(cut.threshold).abs(),
            cover: 0.0,
        });
        open.extend([Some((index, true)), Some((index, false))]);
    }
    let mut draw = draws(seed);
    let n_leaves = nodes.len() + 1;
    let leaf_values =
        (0..n_leaves * width).map(|_| f64::from(draw() % 2001) / 500.0 - 2.0).collect();
    let leaf_cover: Vec<f64> = (0..n_leaves).map(|_| f64::from(draw() % 6)).collect();
    for (leaf, place) in open.into_iter().enumerate() {
        hang(&mut nodes, place, Child::Leaf(leaf as u32));
    }
    add_covers(&mut nodes, &leaf_cover);
    Tree { nodes, leaf_values, leaf_cover, leaf_width: width as u32 }
}

/// Hangs a child on a side of its parent; the root hangs nowhere.
pub(crate) fn hang(nodes: &mut [Node], place: Option<(usize, bool)>, child: Child) {
    if let Some((parent, left)) = place {
        if left { nodes[parent].left = child } else { nodes[parent].right = child }
    }
}

/// Gives every node the cover of the leaves below it.
pub(crate) fn add_covers(nodes: &mut [Node], leaf_cover: &[f64]) {
    for index in (0..nodes.len()).rev() {
        let cover = |child| match child {
            Child::Node(node) => nodes[node as usize].cover,
            Child::Leaf(leaf) => leaf_cover[leaf as usize],
        };
        nodes[index].cover = cover(nodes[index].left) + cover(nodes[index].right);
    }
}

/// Numbers below 2^31, as a linear congruential generator draws them.
pub(crate) fn draws(seed: u64) -> impl FnMut() -> u32 {
    let mut state = seed;
    move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    }
}

fn calibration(target: &TargetKind) -> BoxedStrategy<Calibration> {
    let platt = || (0.1f64..3.0, -1.0f64..1.0);
    let isotonic =
        Calibration::Isotonic { knots: vec![0.1, 0.4, 0.9], values: vec![0.05, 0.5, 0.5] };
    let one = prop_oneof![
        Just(Calibration::None),
        platt().prop_map(|(slope, intercept)| Calibration::Platt { slope, intercept }),
        Just(isotonic),
    ];
    match target {
        TargetKind::Binary => one.boxed(),
        TargetKind::Multiclass { classes } => prop_oneof![
            Just(Calibration::None),
            prop::collection::vec(one, classes.len()).prop_map(Calibration::PerClass),
        ]
        .boxed(),
        TargetKind::Regression => {
            platt().prop_map(|(slope, intercept)| Calibration::Linear { slope, intercept }).boxed()
        }
    }
}

/// Any kind of model.
pub(crate) fn model() -> impl Strategy<Value = Model> {
    let classes = || vec!["stay".to_owned(), "leave".to_owned(), "return".to_owned()];
    let kind = prop_oneof![
        Just((TargetKind::Binary, Link::Logistic)),
        Just((TargetKind::Binary, Link::Identity)),
        Just((TargetKind::Multiclass { classes: classes() }, Link::Softmax)),
        Just((TargetKind::Regression, Link::Identity)),
        Just((TargetKind::Regression, Link::Exp)),
    ];
    kind.prop_flat_map(|(target, link)| {
        let n_outputs = target.n_outputs();
        let one_tree =
            prop_oneof![(tree(1, 12), 0..n_outputs as u32), (tree(n_outputs, 12), Just(0u32)),];
        let combine = prop_oneof![Just(Combine::Sum), Just(Combine::Mean)];
        let base = prop::collection::vec(-1.0f64..1.0, n_outputs);
        let trees = prop::collection::vec(one_tree, 0..6);
        (trees, combine, base, calibration(&target), any::<bool>()).prop_map(
            move |(trees, combine, base, calibration, table)| {
                let (trees, tree_output) = trees.into_iter().unzip();
                Model::new(ModelParts {
                    schema: schema(),
                    target: target.clone(),
                    task: "churn".to_owned(),
                    ensemble: Ensemble { trees, tree_output, base, combine, link },
                    calibration,
                    behaviours: vec![
                        "visits".to_owned(),
                        "visits".to_owned(),
                        "plan".to_owned(),
                        "gap".to_owned(),
                        "country".to_owned(),
                    ],
                    feature_set_hash: table.then(|| "abc".to_owned()),
                })
                .unwrap()
            },
        )
    })
}

/// One small tree, binary.
pub(crate) fn small() -> ModelParts {
    let node = |feature, split, left, right, cover| Node {
        feature,
        split,
        missing: MissingRule::Right,
        left,
        right,
        gain: 1.0,
        cover,
    };
    let tree = Tree {
        nodes: vec![
            node(0, Split::AtMost(1.0), Child::Node(1), Child::Leaf(0), 10.0),
            node(2, Split::In(CategorySet::from_codes([1])), Child::Leaf(1), Child::Leaf(2), 6.0),
        ],
        leaf_values: vec![-1.0, 2.0, 0.5],
        leaf_cover: vec![4.0, 2.0, 4.0],
        leaf_width: 1,
    };
    ModelParts {
        schema: schema(),
        target: TargetKind::Binary,
        task: "churn".to_owned(),
        ensemble: Ensemble {
            trees: vec![tree],
            tree_output: vec![0],
            base: vec![0.25],
            combine: Combine::Sum,
            link: Link::Logistic,
        },
        calibration: Calibration::Platt { slope: 2.0, intercept: -0.5 },
        behaviours: Vec::new(),
        feature_set_hash: None,
    }
}

#[test]
fn a_row_is_scored_through_all_stages() {
    let model = Model::new(small()).unwrap();
    let mut scratch = Scratch::default();
    let scores = model.score(&[0.5, 0.0, 1.0, 0.0, 0.0], &mut scratch);
    assert_eq!(scores.margins, [2.25]);
    assert_eq!(scores.raw, [crate::sigmoid(2.25)]);
    assert!((scores.score() - crate::sigmoid(2.0 * 2.25 - 0.5)).abs() < 1e-12);
    assert_eq!(scores.best(), 0);
    let missing = model.score(&[f64::NAN; 5], &mut scratch);
    assert_eq!(missing.margins, [-0.75]);
    assert_eq!(model.behaviours()[1], "visits_30d");
}

#[test]
fn a_forest_of_one_tree_a_class_averages_each_class_over_its_own_trees() {
    let classes = vec!["a".to_owned(), "b".to_owned()];
    let constant = |value| Tree::constant(vec![value], 1.0);
    let model = Model::new(ModelParts {
        target: TargetKind::Multiclass { classes },
        ensemble: Ensemble {
            trees: vec![
                constant(0.2),
                constant(0.4),
                constant(0.7),
                Tree::constant(vec![0.3, 0.1], 1.0),
            ],
            tree_output: vec![0, 0, 1, 0],
            base: vec![0.0, 0.0],
            combine: Combine::Mean,
            link: Link::Identity,
        },
        calibration: Calibration::None,
        ..small()
    })
    .unwrap();
    let mut scratch = Scratch::default();
    let scores = model.score(&[0.0; 5], &mut scratch);
    assert!((scores.margins[0] - 0.3).abs() < 1e-15);
    assert!((scores.margins[1] - 0.4).abs() < 1e-15);
    assert_eq!(scores.best(), 1);
}

#[test]
fn the_largest_numbers_stay_finite() {
    let mut parts = small();
    parts.target = TargetKind::Regression;
    parts.ensemble.link = Link::Exp;
    parts.ensemble.base = vec![800.0];
    parts.calibration = Calibration::Linear { slope: 3.0, intercept: 1.0 };
    let model = Model::new(parts).unwrap();
    let mut scratch = Scratch::default();
    assert_eq!(model.score(&[0.0; 5], &mut scratch).outputs, [f64::MAX]);
}

type Break = fn(&mut ModelParts);

#[test]
fn every_part_that_does_not_fit_is_named() {
    let cases: Vec<(&str, Break)> = vec![
        ("the base has 2", |parts| parts.ensemble.base.push(0.0)),
        ("tree_output has 0", |parts| parts.ensemble.tree_output.clear()),
        ("adds to output 1 of 1", |parts| parts.ensemble.tree_output[0] = 1),
        ("behaviours has 1 entries, expected 5", |parts| parts.behaviours.push("x".into())),
        ("does not fit a binary target", |parts| parts.ensemble.link = Link::Exp),
        ("base 0 is NaN", |parts| parts.ensemble.base[0] = f64::NAN),
        ("overflow", |parts| {
            parts.ensemble.base[0] = f64::MAX;
            parts.ensemble.trees[0].leaf_values[0] = f64::MAX;
        }),
        ("overflow", |parts| {
            parts.ensemble.trees[0].leaf_values[..2].copy_from_slice(&[1e308, -1e308]);
        }),
        ("calibration linear: does not fit", |parts| {
            parts.calibration = Calibration::Linear { slope: 1.0, intercept: 0.0 };
        }),
        ("slope -1", |parts| {
            parts.calibration = Calibration::Platt { slope: -1.0, intercept: 0.0 };
        }),
        ("strictly ascending", |parts| {
            let (knots, values) = (vec![0.5, 0.5], vec![0.1, 0.2]);
            parts.calibration = Calibration::Isotonic { knots, values };
        }),
        ("two classes", |parts| {
            parts.target = TargetKind::Multiclass { classes: vec!["a".into(), "a".into()] };
        }),
        ("leaves of 2 values", |parts| parts.ensemble.trees[0].leaf_width = 2),
        ("one more leaf", |parts| parts.ensemble.trees[0].leaf_cover.push(0.0)),
        ("2 leaf values for 3", |parts| parts.ensemble.trees[0].leaf_values.truncate(2)),
        ("leaf 1 holds inf", |parts| parts.ensemble.trees[0].leaf_values[1] = f64::INFINITY),
        ("covers must be", |parts| parts.ensemble.trees[0].leaf_cover[1] = -1.0),
        ("reads column 5 of 5", |parts| parts.ensemble.trees[0].nodes[1].feature = 5),
        ("compares with NaN", |parts| {
            parts.ensemble.trees[0].nodes[0].split = Split::Below(f64::NAN);
        }),
        ("looks up number \"visits_7d\"", |parts| {
            parts.ensemble.trees[0].nodes[0].split = Split::In(CategorySet::default());
        }),
        ("has gain inf", |parts| parts.ensemble.trees[0].nodes[0].gain = f64::INFINITY),
        ("leads back to node 0", |parts| {
            parts.ensemble.trees[0].nodes[1].right = Child::Node(0);
        }),
        ("leads back to node 1", |parts| {
            parts.ensemble.trees[0].nodes[1].right = Child::Node(1);
        }),
        ("leaf 0 has two parents", |parts| {
            parts.ensemble.trees[0].nodes[1].right = Child::Leaf(0);
        }),
        ("leaf 9, which is not there", |parts| {
            parts.ensemble.trees[0].nodes[1].right = Child::Leaf(9);
        }),
    ];
    for (expected, spoil) in cases {
        let mut parts = small();
        spoil(&mut parts);
        let error = Model::new(parts).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() })]

    #[test]
    fn answers_are_finite_and_probabilities_are_probabilities(model in model(), row in row()) {
        let mut scratch = Scratch::default();
        let scores = model.score(&row, &mut scratch);
        prop_assert!(scores.outputs.iter().chain(scores.margins).all(|value| value.is_finite()));
        if *model.target() != TargetKind::Regression {
            prop_assert!(scores.outputs.iter().all(|p| (0.0..=1.0).contains(p)));
        }
        if model.n_outputs() > 1 {
            prop_assert!((scores.outputs.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn scratch_and_table_do_not_change_the_bits(
        model in model(), rows in prop::collection::vec(row(), 1..8),
    ) {
        let table = Matrix::from_rows(5, &rows.concat());
        let outputs = model.score_rows(&table);
        let bits = |of: &[f64]| of.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let stages = |of: Scores<'_>| [of.margins, of.raw, of.outputs].map(bits);
        let (mut each, mut used) = (Vec::new(), Scratch::default());
        model.score(&rows[0], &mut used);
        model.score_each(&table, &mut used, |row, scores| each.push((row, stages(scores))));
        prop_assert_eq!(each.len(), rows.len());
        for (index, (row, outputs)) in rows.iter().zip(outputs.chunks(model.n_outputs())).enumerate() {
            let mut fresh = Scratch::default();
            let alone = model.score(row, &mut fresh);
            prop_assert_eq!(bits(alone.outputs), bits(outputs));
            prop_assert_eq!(&each[index], &(index, stages(alone)));
        }
    }
}
