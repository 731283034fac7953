//! Random forests of every shape, and rows that sit on every edge.

use proptest::prelude::*;

use crate::model::tests::{add_covers, draws, hang};
use crate::{CategorySet, Child, Combine, Ensemble, Link, MissingRule, Node, Split, Tree};

/// Three numbers and two categories.
pub(super) const N_COLUMNS: usize = 5;
const RULES: [MissingRule; 5] = [
    MissingRule::Left,
    MissingRule::Right,
    MissingRule::AsZero,
    MissingRule::ZeroLeft,
    MissingRule::ZeroRight,
];

/// Numbers that are thresholds and values alike, so that rows hit thresholds exactly.
fn number() -> impl Strategy<Value = f64> {
    let edges = vec![
        0.0,
        -0.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        -f64::from_bits(1),
        1e-35,
        -1e-35,
        1e-35f64.next_up(),
        1e-36,
        0.5f64.next_down(),
        0.5f64.next_up(),
        -1.0,
    ];
    prop_oneof![
        4 => (-6i32..7).prop_map(|value| f64::from(value) * 0.5),
        2 => prop::sample::select(edges),
        2 => (0u32..400).prop_map(|value| f64::from(value) * 0.01),
    ]
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![8 => number(), 1 => Just(f64::NAN)]
}

fn code() -> impl Strategy<Value = f64> {
    let edges = vec![f64::NAN, -1.0, -0.0, 0.5, 1e-36, 2.5, f64::INFINITY, 1e20];
    prop_oneof![4 => (0u32..8).prop_map(f64::from), 2 => (0u32..140).prop_map(f64::from),
        1 => prop::sample::select(edges)]
}

pub(super) fn row() -> impl Strategy<Value = Vec<f64>> {
    (value(), value(), value(), code(), code()).prop_map(|(a, b, c, d, e)| vec![a, b, c, d, e])
}

#[derive(Debug, Clone)]
struct Cut {
    /// Which open leaf is split; the latest for a chain.
    at: prop::sample::Index,
    feature: u32,
    threshold: f64,
    codes: Vec<u32>,
    rule: MissingRule,
    strict: bool,
}

fn cut() -> impl Strategy<Value = Cut> {
    (
        any::<prop::sample::Index>(),
        0..N_COLUMNS as u32,
        number(),
        prop::collection::vec(prop_oneof![0..8u32, 0..130u32], 0..5),
        prop::sample::select(RULES.to_vec()),
        any::<bool>(),
    )
        .prop_map(|(at, feature, threshold, codes, rule, strict)| Cut {
            at,
            feature,
            threshold,
            codes,
            rule,
            strict,
        })
}

/// A tree of the cuts; `lean` of 10 times the youngest leaf is split, which makes it deep.
fn grow(cuts: &[Cut], width: usize, lean: u32, seed: u64) -> Tree {
    let mut nodes: Vec<Node> = Vec::new();
    let mut open: Vec<Option<(usize, bool)>> = vec![None];
    let mut draw = draws(seed);
    for cut in cuts {
        let youngest = draw() % 10 < lean;
        let at = if youngest { open.len() - 1 } else { cut.at.index(open.len()) };
        let place = open.swap_remove(at);
        let index = nodes.len();
        hang(&mut nodes, place, Child::Node(index as u32));
        let split = match (cut.feature, cut.strict) {
            (3 | 4, _) => Split::In(CategorySet::from_codes(cut.codes.iter().copied())),
            (_, true) => Split::Below(cut.threshold),
            (_, false) => Split::AtMost(cut.threshold),
        };
        let (left, right) = (Child::Leaf(0), Child::Leaf(0));
        let (feature, missing) = (cut.feature, cut.rule);
        open.extend([Some((index, true)), Some((index, false))]);
        nodes.push(Node { feature, split, missing, left, right, gain: 0.0, cover: 0.0 });
    }
    let n_leaves = open.len();
    for (leaf, place) in open.into_iter().enumerate() {
        hang(&mut nodes, place, Child::Leaf(leaf as u32));
    }
    // Sums in another order than the trees' would show: no two of these add without rounding.
    let leaf_values =
        (0..n_leaves * width).map(|_| (f64::from(draw()) / 3e8 - 3.0) * 0.1).collect();
    let leaf_cover: Vec<f64> = (0..n_leaves).map(|_| f64::from(draw() % 4)).collect();
    add_covers(&mut nodes, &leaf_cover);
    Tree { nodes, leaf_values, leaf_cover, leaf_width: width as u32 }
}

/// Any ensemble: one output or three, trees of one value or all, from one leaf to several hundred.
pub(super) fn ensemble() -> impl Strategy<Value = Ensemble> {
    let n_nodes = prop_oneof![4 => 0..34usize, 2 => 0..140usize, 1 => 240..300usize];
    let tree = n_nodes.prop_flat_map(|n_nodes| {
        (prop::collection::vec(cut(), n_nodes), 0..11u32, any::<u64>(), any::<bool>(), 0..3u32)
    });
    let n_trees = prop_oneof![3 => 0..6usize, 1 => 30..40usize];
    let trees = n_trees.prop_flat_map(move |n_trees| prop::collection::vec(tree.clone(), n_trees));
    (trees, prop::bool::weighted(0.4), any::<bool>()).prop_map(|(trees, three, mean)| {
        let n_outputs = if three { 3 } else { 1 };
        let tree_output = trees.iter().map(|tree| tree.4 % n_outputs as u32).collect();
        let grown = trees.iter().map(|(cuts, lean, seed, all, _)| {
            grow(cuts, if *all { n_outputs } else { 1 }, *lean, *seed)
        });
        Ensemble {
            trees: grown.collect(),
            tree_output,
            base: (0..n_outputs).map(|output| 0.3 - 0.2 * output as f64).collect(),
            combine: if mean { Combine::Mean } else { Combine::Sum },
            link: Link::Identity,
        }
    })
}

/// The same questions of rows of 13 columns, which hold those of [`row`] in other places.
pub(super) fn spread(ensemble: &Ensemble, rows: &[Vec<f64>]) -> (Ensemble, Vec<Vec<f64>>) {
    const PLACES: [usize; N_COLUMNS] = [12, 1, 6, 9, 4];
    let mut ensemble = ensemble.clone();
    for node in ensemble.trees.iter_mut().flat_map(|tree| &mut tree.nodes) {
        node.feature = PLACES[node.feature as usize] as u32;
    }
    let spread = |row: &Vec<f64>| {
        let mut wide = vec![f64::NAN; 13];
        PLACES.iter().zip(row).for_each(|(&place, &value)| wide[place] = value);
        wide
    };
    (ensemble, rows.iter().map(spread).collect())
}

/// Two trees of one node a column, of other thresholds and rules, and rows around the thresholds.
pub(super) fn of_many_columns(n_columns: usize) -> (Ensemble, Vec<Vec<f64>>) {
    let stump = |index: usize| {
        let leaf = |leaf| Child::Leaf(leaf);
        let threshold = (index % 7) as f64 - 3.0;
        let mut node = number_node(threshold, leaf(0), leaf(1));
        node.feature = (index % n_columns) as u32;
        node.missing = RULES[index * 3 / n_columns % RULES.len()];
        one_tree(vec![node]).trees.swap_remove(0)
    };
    let trees: Vec<Tree> = (0..2 * n_columns).map(stump).collect();
    let (tree_output, base) = (vec![0; trees.len()], vec![0.0]);
    let ensemble =
        Ensemble { trees, tree_output, base, combine: Combine::Sum, link: Link::Identity };
    let value = |at: usize| match at % 13 {
        12 => f64::NAN,
        step => step as f64 * 0.5 - 3.0,
    };
    let rows = (0..70).map(|row| (0..n_columns).map(|column| value(row * 5 + column)).collect());
    (ensemble, rows.collect())
}

fn number_node(threshold: f64, left: Child, right: Child) -> Node {
    let split = Split::AtMost(threshold);
    Node { feature: 0, split, missing: MissingRule::Right, left, right, gain: 0.0, cover: 0.0 }
}

fn one_tree(nodes: Vec<Node>) -> Ensemble {
    let n_leaves = nodes.len() + 1;
    let tree = Tree {
        nodes,
        leaf_values: (0..n_leaves).map(|leaf| leaf as f64 * 0.1).collect(),
        leaf_cover: vec![0.0; n_leaves],
        leaf_width: 1,
    };
    Ensemble {
        trees: vec![tree.clone(), tree],
        tree_output: vec![0, 0],
        base: vec![0.0],
        combine: Combine::Sum,
        link: Link::Identity,
    }
}

/// A tree that is one path, as deep as it can be.
pub(super) fn chain(n_nodes: usize) -> Ensemble {
    let node = |index: usize| {
        let last = index + 1 == n_nodes;
        let below = if last { n_nodes as u32 } else { index as u32 + 1 };
        let below = if last { Child::Leaf(below) } else { Child::Node(below) };
        number_node(index as f64 * 0.5, Child::Leaf(index as u32), below)
    };
    one_tree((0..n_nodes).map(node).collect())
}

/// A path of sets of 300 categories, each a set that no other tree or node has.
pub(super) fn chain_of_sets(tree: u32, n_nodes: u32) -> Tree {
    let mut nodes = chain(n_nodes as usize).trees.swap_remove(0).nodes;
    for (index, node) in (0..).zip(&mut nodes) {
        // Nine of ten go on, and the first codes count in binary.
        let number = tree * n_nodes + index;
        let inside = (0..300).filter(|code| match code {
            0..18 => number >> code & 1 == 1,
            _ => (code * 7 + number).is_multiple_of(10),
        });
        node.split = Split::In(CategorySet::from_codes(inside));
        // Few rows go far, so that a walk would be cheapest on machines without vectors.
        node.cover = 0.5f64.powi(index as i32);
        node.missing =
            if number.is_multiple_of(3) { MissingRule::Left } else { MissingRule::Right };
    }
    let n_leaves = nodes.len() + 1;
    Tree {
        nodes,
        leaf_values: (0..n_leaves).map(|leaf| leaf as f64 * 0.1 - f64::from(tree)).collect(),
        leaf_cover: vec![0.0; n_leaves],
        leaf_width: 1,
    }
}

/// A balanced tree of as many thresholds on one column, and rows on and beside them.
pub(super) fn wide(n_thresholds: usize) -> (Ensemble, Vec<Vec<f64>>) {
    let mut nodes = Vec::new();
    let mut n_leaves = 0;
    let mut open = vec![(0..n_thresholds, None)];
    while let Some((thresholds, place)) = open.pop() {
        if thresholds.is_empty() {
            hang(&mut nodes, place, Child::Leaf(n_leaves));
            n_leaves += 1;
            continue;
        }
        let index = nodes.len();
        hang(&mut nodes, place, Child::Node(index as u32));
        let middle = thresholds.start + thresholds.len() / 2;
        let leaf = Child::Leaf(0);
        nodes.push(number_node(middle as f64, leaf, leaf));
        open.push((thresholds.start..middle, Some((index, true))));
        open.push((middle + 1..thresholds.end, Some((index, false))));
    }
    let step = (n_thresholds / 500).max(1);
    let around = |at: usize| [at as f64 - 0.5, at as f64];
    let last = n_thresholds as f64;
    let values =
        (0..n_thresholds).step_by(step).flat_map(around).chain([last - 1.0, last, f64::NAN]);
    (one_tree(nodes), values.map(|value| vec![value]).collect())
}
