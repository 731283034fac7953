//! Version 5: inner nodes and leaves apart, sets of members, one target a leaf.

use super::{
    Attributes, Mode, OnnxEnsemble, OnnxNode, OnnxTree, PostTransform, check_threshold, missing_yes,
};
use crate::exchange::ImportError;
use crate::exchange::onnx::fault::{malformed, unsupported};

pub(super) fn read(attributes: &Attributes<'_>) -> Result<OnnxEnsemble, ImportError> {
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
        let mode = match modes[index] {
            0.0 => Mode::AtMost,
            1.0 => Mode::Below,
            2.0 => Mode::AtLeast,
            3.0 => Mode::Above,
            4.0 => Mode::Equal,
            5.0 => Mode::NotEqual,
            6.0 => Mode::Member,
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
    let trees = parted(attributes, n, &nodes)?;
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

/// The nodes of each root, each node in one tree only. Leaves stand after the `n_inner` inner nodes.
fn parted(
    attributes: &Attributes<'_>,
    n_inner: usize,
    nodes: &[OnnxNode],
) -> Result<Vec<OnnxTree>, ImportError> {
    let name = "tree_roots";
    let mut new_index: Vec<Option<usize>> = vec![None; nodes.len()];
    let mut trees = Vec::new();
    for &root in attributes.ints(name) {
        let root = attributes.index(name, root, n_inner)?;
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
