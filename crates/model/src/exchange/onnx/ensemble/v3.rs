//! Versions 1 and 3: nodes by tree and node id, leaves among them.

use std::collections::HashMap;

use super::{
    Attributes, Mode, OnnxEnsemble, OnnxNode, OnnxTree, PostTransform, check_threshold, missing_yes,
};
use crate::exchange::ImportError;
use crate::exchange::onnx::fault::{malformed, unsupported};

pub(super) fn read(attributes: &Attributes<'_>, of: &str) -> Result<OnnxEnsemble, ImportError> {
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
