//! The attributes of the three operators, brought to one form.

use std::collections::HashMap;

use super::fault::{malformed, unsupported};
use super::graph::place;
use super::proto::{AttributeProto, NodeProto};
use crate::exchange::ImportError;

/// The question of a node; yes leads to `yes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    AtMost,
    Below,
    AtLeast,
    Above,
    Equal,
    NotEqual,
    Member,
}

/// A node; `yes` and `no` are indices into the tree's nodes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum OnnxNode {
    /// Values by target.
    Leaf(Vec<(usize, f64)>),
    Inner {
        column: usize,
        mode: Mode,
        /// One threshold, or the members of a set.
        values: Vec<f64>,
        missing_yes: bool,
        yes: usize,
        no: usize,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct OnnxTree {
    pub(super) nodes: Vec<OnnxNode>,
    pub(super) root: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PostTransform {
    None,
    Softmax,
    Logistic,
}

/// Any of the operators.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OnnxEnsemble {
    pub(super) trees: Vec<OnnxTree>,
    pub(super) n_targets: usize,
    /// Labels of a classifier; `None` for the other operators.
    pub(super) labels: Option<Vec<String>>,
    pub(super) base: Vec<f64>,
    pub(super) average: bool,
    pub(super) post: PostTransform,
    pub(super) n_columns: usize,
}

/// Trees that add to each output.
pub(super) fn trees_per_output(ensemble: &OnnxEnsemble) -> Vec<f64> {
    let mut counts = vec![0.0; ensemble.n_targets];
    for tree in &ensemble.trees {
        let mut adds = vec![];
        for node in &tree.nodes {
            if let OnnxNode::Leaf(values) = node {
                adds.extend(values.iter().map(|&(target, _)| target));
            }
        }
        adds.sort_unstable();
        adds.dedup();
        adds.into_iter().for_each(|target| counts[target] += 1.0);
    }
    // an output without trees is divided by 1
    counts.iter_mut().for_each(|count| *count = f64::max(*count, 1.0));
    counts
}

/// Attributes of a node by name.
struct Attributes<'a> {
    node: &'a NodeProto,
    /// Most columns and targets.
    most_width: usize,
    by_name: HashMap<&'a str, &'a AttributeProto>,
}

impl<'a> Attributes<'a> {
    fn new(node: &'a NodeProto, most_width: usize) -> Self {
        let by_name =
            node.attribute.iter().map(|attribute| (attribute.name.as_str(), attribute)).collect();
        Self { node, most_width, by_name }
    }

    fn place(&self, name: &str) -> String {
        format!("{}, {name:?}", place(self.node))
    }

    fn ints(&self, name: &str) -> &'a [i64] {
        self.by_name.get(name).map_or(&[], |attribute| &attribute.ints)
    }

    fn int(&self, name: &str, default: i64) -> i64 {
        self.by_name.get(name).map_or(default, |attribute| attribute.i)
    }

    fn text(&self, name: &str, default: &'static str) -> String {
        let text = self.by_name.get(name);
        text.map_or(default.to_owned(), |found| String::from_utf8_lossy(&found.s).into_owned())
    }

    /// The tensor of the name, or of the name with `_as_tensor`, or plain floats.
    fn numbers(&self, name: &str) -> Result<Vec<f64>, ImportError> {
        let as_tensor = format!("{name}_as_tensor");
        for name in [name, as_tensor.as_str()] {
            if let Some(tensor) = self.by_name.get(name).and_then(|found| found.t.as_ref()) {
                let numbers = tensor.numbers();
                return numbers.ok_or_else(|| {
                    unsupported(self.place(name), format!("a tensor of type {}", tensor.data_type))
                });
            }
        }
        let floats = self.by_name.get(name).map_or(&[][..], |found| &found.floats);
        Ok(floats.iter().copied().map(f64::from).collect())
    }

    fn length(&self, name: &str, found: usize, expected: usize) -> Result<(), ImportError> {
        if found == expected {
            return Ok(());
        }
        Err(malformed(self.place(name), format!("{found} entries, expected {expected}")))
    }

    fn ints_of(&self, name: &str, n: usize) -> Result<&'a [i64], ImportError> {
        let ints = self.ints(name);
        self.length(name, ints.len(), n)?;
        Ok(ints)
    }

    /// An index below a bound.
    fn index(&self, name: &str, value: i64, bound: usize) -> Result<usize, ImportError> {
        match usize::try_from(value) {
            Ok(index) if index < bound => Ok(index),
            _ => Err(malformed(
                self.place(name),
                format!("{value}, expected 0 to {bound} exclusive"),
            )),
        }
    }

    /// Columns by node, and how many there must be at least.
    fn columns(&self, n: usize) -> Result<(Vec<usize>, usize), ImportError> {
        let name = "nodes_featureids";
        let columns: Vec<usize> = (self.ints_of(name, n)?.iter())
            .map(|&column| self.index(name, column, self.most_width))
            .collect::<Result<_, _>>()?;
        let n_columns = columns.iter().max().map_or(0, |&column| column + 1);
        Ok((columns, n_columns))
    }

    /// Whether NaN answers yes, by node.
    fn tracks(&self, n: usize) -> Result<Vec<bool>, ImportError> {
        let name = "nodes_missing_value_tracks_true";
        let tracks = self.ints(name);
        if tracks.is_empty() {
            return Ok(vec![false; n]);
        }
        self.length(name, tracks.len(), n)?;
        Ok(tracks.iter().map(|&track| track == 1).collect())
    }
}

pub(super) fn read(node: &NodeProto, most_width: usize) -> Result<OnnxEnsemble, ImportError> {
    let attributes = Attributes::new(node, most_width);
    match node.op_type.as_str() {
        "TreeEnsemble" => read_v5(&attributes),
        "TreeEnsembleClassifier" => read_v3(&attributes, "class"),
        _ => read_v3(&attributes, "target"),
    }
}

/// A threshold must be a number; members of sets are checked where they are parted.
fn check_threshold(attributes: &Attributes<'_>, name: &str, value: f64) -> Result<(), ImportError> {
    if value.is_nan() {
        return Err(malformed(attributes.place(name), "a node compares with NaN"));
    }
    Ok(())
}

/// NaN equals nothing, so that it answers yes to "not equal" alone.
fn missing_yes(mode: Mode, tracks: bool) -> bool {
    tracks || mode == Mode::NotEqual
}

/// Versions 1 and 3: nodes by tree and node id, leaves among them.
fn read_v3(attributes: &Attributes<'_>, of: &str) -> Result<OnnxEnsemble, ImportError> {
    let labels = labels(attributes, of);
    let n_targets = match &labels {
        Some(labels) => labels.len(),
        None => attributes.int("n_targets", 1).try_into().unwrap_or(0),
    };
    if n_targets == 0 || n_targets > attributes.most_width {
        let place = attributes.place("n_targets or classlabels");
        return Err(malformed(place, format!("{n_targets} outputs")));
    }
    let tree_ids = attributes.ints("nodes_treeids");
    let n = tree_ids.len();
    let node_ids = attributes.ints_of("nodes_nodeids", n)?;
    let (columns, n_columns) = attributes.columns(n)?;
    let values = attributes.numbers("nodes_values")?;
    attributes.length("nodes_values", values.len(), n)?;
    let modes = attributes.by_name.get("nodes_modes").map_or(&[][..], |found| &found.strings);
    attributes.length("nodes_modes", modes.len(), n)?;
    let yes = attributes.ints_of("nodes_truenodeids", n)?;
    let no = attributes.ints_of("nodes_falsenodeids", n)?;
    let tracks = attributes.tracks(n)?;
    // a tree is a run of one id, and its first node is the root
    let mut starts: Vec<usize> =
        (0..n).filter(|&at| at == 0 || tree_ids[at] != tree_ids[at - 1]).collect();
    starts.push(n);
    let mut at = HashMap::with_capacity(n);
    for (index, key) in tree_ids.iter().copied().zip(node_ids.iter().copied()).enumerate() {
        if at.insert(key, index).is_some() {
            let detail = format!("node {} of tree {} is there twice", key.1, key.0);
            return Err(malformed(attributes.place("nodes_nodeids"), detail));
        }
    }
    let mut leaves = leaf_values(attributes, of, n_targets, &at, n)?;
    let find = |start: usize, end: usize, id: i64, name: &str| {
        let found = at.get(&(tree_ids[start], id)).copied();
        found.filter(|found| (start..end).contains(found)).map(|found| found - start).ok_or_else(
            || {
                let detail = format!("node {id} of tree {} is not there", tree_ids[start]);
                malformed(attributes.place(name), detail)
            },
        )
    };
    let mut trees = Vec::with_capacity(starts.len() - 1);
    for run in starts.windows(2) {
        let (start, end) = (run[0], run[1]);
        let mut nodes = Vec::with_capacity(end - start);
        for index in start..end {
            let mode = match modes[index].as_slice() {
                b"LEAF" => {
                    nodes.push(OnnxNode::Leaf(std::mem::take(&mut leaves[index])));
                    continue;
                }
                b"BRANCH_LEQ" => Mode::AtMost,
                b"BRANCH_LT" => Mode::Below,
                b"BRANCH_GTE" => Mode::AtLeast,
                b"BRANCH_GT" => Mode::Above,
                b"BRANCH_EQ" => Mode::Equal,
                b"BRANCH_NEQ" => Mode::NotEqual,
                other => {
                    let detail = format!("mode {:?}", String::from_utf8_lossy(other));
                    return Err(unsupported(attributes.place("nodes_modes"), detail));
                }
            };
            check_threshold(attributes, "nodes_values", values[index])?;
            nodes.push(OnnxNode::Inner {
                column: columns[index],
                mode,
                values: vec![values[index]],
                missing_yes: missing_yes(mode, tracks[index]),
                yes: find(start, end, yes[index], "nodes_truenodeids")?,
                no: find(start, end, no[index], "nodes_falsenodeids")?,
            });
        }
        trees.push(OnnxTree { nodes, root: 0 });
    }
    let average = match attributes.text("aggregate_function", "SUM").as_str() {
        "SUM" => false,
        "AVERAGE" => true,
        other => {
            let detail = format!("aggregate function {other:?}");
            return Err(unsupported(attributes.place("aggregate_function"), detail));
        }
    };
    let post = match attributes.text("post_transform", "NONE").as_str() {
        "NONE" => PostTransform::None,
        "SOFTMAX" => PostTransform::Softmax,
        "LOGISTIC" => PostTransform::Logistic,
        other => {
            let detail = format!("post transform {other:?}");
            return Err(unsupported(attributes.place("post_transform"), detail));
        }
    };
    let base = attributes.numbers("base_values")?;
    Ok(OnnxEnsemble { trees, n_targets, labels, base, average, post, n_columns })
}

fn labels(attributes: &Attributes<'_>, of: &str) -> Option<Vec<String>> {
    if of != "class" {
        return None;
    }
    let numbers = attributes.ints("classlabels_int64s");
    if !numbers.is_empty() {
        return Some(numbers.iter().map(ToString::to_string).collect());
    }
    let texts = attributes.by_name.get("classlabels_strings").map_or(&[][..], |at| &at.strings);
    Some(texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect())
}

/// Values by target for every node.
fn leaf_values(
    attributes: &Attributes<'_>,
    of: &str,
    n_targets: usize,
    at: &HashMap<(i64, i64), usize>,
    n: usize,
) -> Result<Vec<Vec<(usize, f64)>>, ImportError> {
    let name = |what: &str| format!("{of}_{what}");
    let weights = attributes.numbers(&name("weights"))?;
    let targets = attributes.ints_of(&name("ids"), weights.len())?;
    let tree_ids = attributes.ints_of(&name("treeids"), weights.len())?;
    let node_ids = attributes.ints_of(&name("nodeids"), weights.len())?;
    let mut leaves = vec![Vec::new(); n];
    for (index, &weight) in weights.iter().enumerate() {
        let target = attributes.index(&name("ids"), targets[index], n_targets)?;
        let Some(&node) = at.get(&(tree_ids[index], node_ids[index])) else {
            let detail = format!("no node {} in tree {}", node_ids[index], tree_ids[index]);
            return Err(malformed(attributes.place(&name("nodeids")), detail));
        };
        if !weight.is_finite() {
            return Err(malformed(
                attributes.place(&name("weights")),
                format!("a leaf of {weight}"),
            ));
        }
        leaves[node].push((target, weight));
    }
    Ok(leaves)
}

/// Version 5: inner nodes and leaves apart, sets of members, one target a leaf.
fn read_v5(attributes: &Attributes<'_>) -> Result<OnnxEnsemble, ImportError> {
    let n_targets: usize = attributes.int("n_targets", 1).try_into().unwrap_or(0);
    if n_targets == 0 || n_targets > attributes.most_width {
        return Err(malformed(attributes.place("n_targets"), format!("{n_targets} outputs")));
    }
    let n = attributes.ints("nodes_featureids").len();
    let (columns, n_columns) = attributes.columns(n)?;
    let splits = attributes.numbers("nodes_splits")?;
    attributes.length("nodes_splits", splits.len(), n)?;
    let modes = attributes.numbers("nodes_modes")?;
    attributes.length("nodes_modes", modes.len(), n)?;
    let tracks = attributes.tracks(n)?;
    let weights = attributes.numbers("leaf_weights")?;
    let targets = attributes.ints_of("leaf_targetids", weights.len())?;
    let members = attributes.numbers("membership_values")?;
    // sets stand one after another, in the order of their nodes, each followed by NaN
    let mut sets = members.split(|value| value.is_nan());
    let mut nodes: Vec<OnnxNode> = Vec::with_capacity(n);
    let mut leaves: Vec<OnnxNode> = Vec::new();
    let sides =
        [("nodes_truenodeids", "nodes_trueleafs"), ("nodes_falsenodeids", "nodes_falseleafs")];
    let mut sides_of = Vec::with_capacity(2);
    for (ids, flags) in sides {
        sides_of.push((ids, attributes.ints_of(ids, n)?, attributes.ints_of(flags, n)?));
    }
    for index in 0..n {
        let mode = match modes[index] as i64 {
            0 => Mode::AtMost,
            1 => Mode::Below,
            2 => Mode::AtLeast,
            3 => Mode::Above,
            4 => Mode::Equal,
            5 => Mode::NotEqual,
            6 => Mode::Member,
            other => {
                return Err(unsupported(attributes.place("nodes_modes"), format!("mode {other}")));
            }
        };
        let values = if mode == Mode::Member {
            let set = sets.next().ok_or_else(|| {
                let detail = format!("no set for node {index}");
                malformed(attributes.place("membership_values"), detail)
            })?;
            set.to_vec()
        } else {
            check_threshold(attributes, "nodes_splits", splits[index])?;
            vec![splits[index]]
        };
        let mut children = [0; 2];
        for (child, (name, ids, flags)) in children.iter_mut().zip(&sides_of) {
            if flags[index] == 0 {
                *child = attributes.index(name, ids[index], n)?;
                continue;
            }
            let leaf = attributes.index(name, ids[index], weights.len())?;
            let target = attributes.index("leaf_targetids", targets[leaf], n_targets)?;
            if !weights[leaf].is_finite() {
                let detail = format!("a leaf of {}", weights[leaf]);
                return Err(malformed(attributes.place("leaf_weights"), detail));
            }
            *child = n + leaves.len();
            leaves.push(OnnxNode::Leaf(vec![(target, weights[leaf])]));
        }
        let [yes, no] = children;
        let (column, missing_yes) = (columns[index], missing_yes(mode, tracks[index]));
        nodes.push(OnnxNode::Inner { column, mode, values, missing_yes, yes, no });
    }
    nodes.append(&mut leaves);
    let trees = parted(attributes, &nodes)?;
    let average = match attributes.int("aggregate_function", 1) {
        0 => true,
        1 => false,
        other => {
            let detail = format!("aggregate function {other}");
            return Err(unsupported(attributes.place("aggregate_function"), detail));
        }
    };
    let post = match attributes.int("post_transform", 0) {
        0 => PostTransform::None,
        1 => PostTransform::Softmax,
        2 => PostTransform::Logistic,
        other => {
            let detail = format!("post transform {other}");
            return Err(unsupported(attributes.place("post_transform"), detail));
        }
    };
    let base = Vec::new();
    Ok(OnnxEnsemble { trees, n_targets, labels: None, base, average, post, n_columns })
}

/// The nodes of each root, each node in one tree only.
fn parted(attributes: &Attributes<'_>, nodes: &[OnnxNode]) -> Result<Vec<OnnxTree>, ImportError> {
    let name = "tree_roots";
    let mut new_index: Vec<Option<usize>> = vec![None; nodes.len()];
    let mut trees = Vec::new();
    for &root in attributes.ints(name) {
        let root = attributes.index(name, root, nodes.len())?;
        let mut order = vec![root];
        let mut at = 0;
        while at < order.len() {
            let index = order[at];
            if new_index[index].replace(at).is_some() {
                return Err(malformed(
                    attributes.place(name),
                    format!("node {index} has two parents"),
                ));
            }
            if let OnnxNode::Inner { yes, no, .. } = nodes[index] {
                order.extend([yes, no]);
            }
            at += 1;
        }
        let moved = |&index: &usize| {
            let mut node = nodes[index].clone();
            if let OnnxNode::Inner { yes, no, .. } = &mut node {
                (*yes, *no) = (new_index[*yes].unwrap_or(0), new_index[*no].unwrap_or(0));
            }
            node
        };
        trees.push(OnnxTree { nodes: order.iter().map(moved).collect(), root: 0 });
    }
    Ok(trees)
}
