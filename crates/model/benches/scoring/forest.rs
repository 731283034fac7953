//! Ensembles as boosting and forests grow them, and fresh rows for them.

use segue_dataset::{Feature, Matrix, Schema};
use segue_model::{CategorySet, Child, Combine, Ensemble, Link, MissingRule, Node, Split, Tree};

/// SplitMix64 (Steele and others 2014).
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    pub(crate) fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.share() * n as f64) as usize
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.share()).sum::<f64>() - 6.0
    }
}

pub(crate) const N_COLUMNS: usize = 28;
const N_CATEGORIES: usize = 12;
/// Columns from here on are categories.
const FIRST_CATEGORY: usize = 24;

/// Columns of [`table`].
pub(crate) fn schema() -> Schema {
    let feature = |column| {
        let name = format!("column {column}");
        if column < FIRST_CATEGORY {
            return Feature::number(name);
        }
        Feature::category(name, (0..N_CATEGORIES).map(|word| format!("word {word}")).collect())
    };
    Schema::new((0..N_COLUMNS).map(feature).collect()).unwrap()
}

/// 10 normals, 8 counts, 6 skewed durations, 4 categories; 3 % missing.
pub(crate) fn table(n_rows: usize, seed: u64) -> Matrix {
    let mut chance = Chance(seed);
    let mut value = |column: usize| {
        if chance.share() < 0.03 {
            return f64::NAN;
        }
        match column {
            0..10 => chance.normal(),
            10..18 => (-12.0 * (1.0 - chance.share()).ln()).floor(),
            18..FIRST_CATEGORY => (2.0 * chance.normal()).exp(),
            _ => chance.below(N_CATEGORIES) as f64,
        }
    };
    let columns = (0..N_COLUMNS).map(|column| (0..n_rows).map(|_| value(column)).collect());
    Matrix::from_columns(n_rows, columns.collect())
}

fn target(row: &[f64], chance: &mut Chance) -> f64 {
    let known = |column: usize| if row[column].is_nan() { 0.0 } else { row[column] };
    known(0) - 0.7 * known(1) * known(2) + (known(3) * 2.0).sin() - 0.1 * known(10)
        + 0.05 * known(11) * known(4)
        + (1.0 + known(18)).ln()
        + if known(24) as u32 % 3 == 1 { 1.0 } else { 0.0 }
        + chance.normal()
}

/// A leaf that may still be split.
struct Open {
    rows: Vec<u32>,
    parent: Option<(usize, bool)>,
    best: Option<(f64, usize, Split, MissingRule)>,
}

/// What an ensemble looks like.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) n_trees: usize,
    pub(crate) n_leaves: usize,
    pub(crate) n_rows: usize,
    pub(crate) with_categories: bool,
}

/// Grows trees leaf by leaf, each the best of a few random cuts, on what the earlier trees leave.
/// Thresholds are among 254 quantiles of a column, as histogram learners have them.
pub(crate) fn ensemble(shape: Shape, seed: u64) -> Ensemble {
    let mut chance = Chance(seed);
    let data = table(shape.n_rows, seed ^ 1);
    let mut row = vec![0.0; N_COLUMNS];
    let mut residual: Vec<f64> = (0..shape.n_rows)
        .map(|index| {
            data.copy_row(index, &mut row);
            target(&row, &mut chance)
        })
        .collect();
    let cuts: Vec<Vec<f64>> = data.columns().iter().map(|column| quantiles(column)).collect();
    let mut trees = Vec::new();
    for _ in 0..shape.n_trees {
        let tree = grow(shape, &data, &cuts, &mut residual, &mut chance);
        trees.push(tree);
    }
    Ensemble {
        tree_output: vec![0; trees.len()],
        trees,
        base: vec![-0.3],
        combine: Combine::Sum,
        link: Link::Logistic,
    }
}

/// Many trees: a hundred, again and again with other questions of the same columns.
pub(crate) fn varied(n_trees: usize, n_leaves: usize) -> Ensemble {
    let few = Shape { n_trees: 100, n_leaves, n_rows: 20_000, with_categories: true };
    let mut ensemble = ensemble(few, 5);
    let mut chance = Chance(11);
    let first = ensemble.trees.clone();
    while ensemble.trees.len() < n_trees {
        let mut tree = first[ensemble.trees.len() % first.len()].clone();
        for node in &mut tree.nodes {
            if chance.share() < 0.5 {
                let other = &first[chance.below(first.len())].nodes;
                let same = other.iter().find(|other| other.feature == node.feature);
                node.split = same.map_or_else(|| node.split.clone(), |other| other.split.clone());
            }
        }
        ensemble.trees.push(tree);
        ensemble.tree_output.push(0);
    }
    ensemble
}

fn quantiles(column: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = column.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    let mut cuts: Vec<f64> = (1..255)
        .map(|cut| {
            let at = cut * (sorted.len() - 1) / 255;
            0.5 * (sorted[at] + sorted[at + 1])
        })
        .collect();
    cuts.dedup();
    cuts
}

fn grow(
    shape: Shape,
    data: &Matrix,
    cuts: &[Vec<f64>],
    residual: &mut [f64],
    chance: &mut Chance,
) -> Tree {
    let all = (0..shape.n_rows as u32).collect();
    let mut root = Open { rows: all, parent: None, best: None };
    root.best = best_cut(shape, &root.rows, data, cuts, residual, chance);
    let mut open = vec![root];
    let mut nodes: Vec<Node> = Vec::new();
    while open.len() < shape.n_leaves {
        let gain = |leaf: &Open| leaf.best.as_ref().map_or(-1.0, |best| best.0);
        let next = (0..open.len()).max_by(|&a, &b| gain(&open[a]).total_cmp(&gain(&open[b])));
        let leaf = open.swap_remove(next.unwrap());
        let Some((gain, column, split, missing)) = leaf.best else {
            open.push(leaf);
            break;
        };
        let index = nodes.len();
        if let Some((parent, left)) = leaf.parent {
            let child = Child::Node(index as u32);
            if left { nodes[parent].left = child } else { nodes[parent].right = child }
        }
        nodes.push(Node {
            feature: column as u32,
            split,
            missing,
            left: Child::Leaf(0),
            right: Child::Leaf(1),
            gain,
            cover: leaf.rows.len() as f64,
        });
        let goes_left =
            |&row: &u32| nodes[index].next(data.column(column)[row as usize]) == Child::Leaf(0);
        let (left, right): (Vec<u32>, Vec<u32>) = leaf.rows.iter().partition(|row| goes_left(row));
        for (rows, is_left) in [(left, true), (right, false)] {
            let best = best_cut(shape, &rows, data, cuts, residual, chance);
            open.push(Open { rows, parent: Some((index, is_left)), best });
        }
    }
    let (mut leaf_values, mut leaf_cover) = (Vec::new(), Vec::new());
    for (leaf, place) in open.iter().enumerate() {
        let child = Child::Leaf(leaf as u32);
        if let Some((parent, left)) = place.parent {
            if left { nodes[parent].left = child } else { nodes[parent].right = child }
        }
        let sum: f64 = place.rows.iter().map(|&row| residual[row as usize]).sum();
        let value = 0.1 * sum / place.rows.len().max(1) as f64;
        place.rows.iter().for_each(|&row| residual[row as usize] -= value);
        leaf_values.push(value);
        leaf_cover.push(place.rows.len() as f64);
    }
    Tree { nodes, leaf_values, leaf_cover, leaf_width: 1 }
}

fn best_cut(
    shape: Shape,
    rows: &[u32],
    data: &Matrix,
    cuts: &[Vec<f64>],
    residual: &[f64],
    chance: &mut Chance,
) -> Option<(f64, usize, Split, MissingRule)> {
    let mut best = None;
    let mut best_gain = 0.0;
    for _ in 0..12 {
        let column = chance.below(if shape.with_categories { N_COLUMNS } else { FIRST_CATEGORY });
        let values = data.column(column);
        let split = if column >= FIRST_CATEGORY {
            Split::In(CategorySet::from_codes(
                (0..N_CATEGORIES as u32).filter(|_| chance.share() < 0.4),
            ))
        } else {
            // Around a row of the leaf, so that both sides have rows.
            let value = values[rows[chance.below(rows.len())] as usize];
            let at = cuts[column].partition_point(|&cut| cut < value);
            Split::AtMost(cuts[column][at.min(cuts[column].len() - 1)])
        };
        let missing = if chance.share() < 0.5 { MissingRule::Left } else { MissingRule::Right };
        let node = Node {
            feature: column as u32,
            split,
            missing,
            left: Child::Leaf(0),
            right: Child::Leaf(1),
            gain: 0.0,
            cover: 0.0,
        };
        let (mut n, mut sum) = ([0.0f64; 2], [0.0f64; 2]);
        for &row in rows {
            let side = usize::from(node.next(values[row as usize]) == Child::Leaf(1));
            n[side] += 1.0;
            sum[side] += residual[row as usize];
        }
        let total = sum[0] + sum[1];
        let gain = sum[0] * sum[0] / n[0] + sum[1] * sum[1] / n[1] - total * total / (n[0] + n[1]);
        if n[0] > 0.0 && n[1] > 0.0 && gain > best_gain {
            best_gain = gain;
            best = Some((gain, column, node.split, node.missing));
        }
    }
    best
}

/// Mean over leaves of the number of nodes above them, and the largest.
pub(crate) fn depths(ensemble: &Ensemble) -> (f64, usize) {
    let (mut sum, mut n, mut largest) = (0usize, 0usize, 0);
    for tree in &ensemble.trees {
        let mut depth = vec![0; tree.nodes.len()];
        for (index, node) in tree.nodes.iter().enumerate() {
            for child in [node.left, node.right] {
                match child {
                    Child::Node(child) => depth[child as usize] = depth[index] + 1,
                    Child::Leaf(_) => {
                        sum += depth[index] + 1;
                        n += 1;
                        largest = largest.max(depth[index] + 1);
                    }
                }
            }
        }
    }
    (sum as f64 / n as f64, largest)
}
