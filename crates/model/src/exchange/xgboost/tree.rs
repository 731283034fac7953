//! One tree: parallel arrays over its nodes.

use std::collections::HashMap;

use super::single;
use crate::MissingRule;
use crate::exchange::ImportError;
use crate::exchange::assemble::{ForeignNode, ForeignSplit, ForeignTree};
use crate::exchange::document::At;
use crate::exchange::rounding::below_single;

/// The tree and the width of its leaves, their values times `weight`. Leaves are paid for from
/// `bytes_left`: many may share one vector of the file.
pub(super) fn read(
    at: &At<'_>,
    n_columns: usize,
    n_outputs: usize,
    weight: f64,
    bytes_left: &mut usize,
) -> Result<(ForeignTree, usize), ImportError> {
    let left_at = at.get("left_children")?;
    let n = left_at.numbers()?.len();
    let left = left_at.indices(n)?;
    let right = at.get("right_children")?.indices(n)?;
    let split_at = at.get("split_conditions")?;
    let splits = split_at.exactly(n)?;
    let feature_at = at.get("split_indices")?;
    let features = feature_at.exactly(n)?;
    let default_left = at.get("default_left")?.exactly(n)?;
    let categorical = match at.find("split_type") {
        Some(kinds) => kinds.exactly(n)?,
        None => vec![0.0; n],
    };
    let sets = sets(at)?;
    let optional = |key: &str| match at.find(key) {
        Some(values) => values.exactly(n),
        None => Ok(vec![0.0; n]),
    };
    let (covers, gains) = (optional("sum_hessian")?, optional("loss_changes")?);
    let leaves = Leaves::read(at, n_outputs)?;
    let n_leaves = left.iter().filter(|left| left.is_none()).count();
    let cost = n_leaves.saturating_mul(leaves.width).saturating_mul(8);
    *bytes_left = bytes_left.checked_sub(cost).ok_or_else(|| {
        at.unsupported(format!(
            "{n_leaves} leaves of {} values for the size of the file",
            leaves.width
        ))
    })?;
    let cover = |node: usize| {
        if covers[node] > 0.0 && covers[node].is_finite() { covers[node] } else { 0.0 }
    };
    let mut nodes = Vec::with_capacity(n);
    for node in 0..n {
        let Some(yes) = left[node] else {
            let mut values = leaves.values(&splits, &right, node, at)?;
            values.iter_mut().for_each(|value| *value = single(*value) * weight);
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return Err(split_at.malformed(format!("leaf {node} holds {value}")));
            }
            nodes.push(ForeignNode::Leaf { values, cover: cover(node) });
            continue;
        };
        let Some(no) = right[node] else {
            return Err(left_at.malformed(format!("node {node} has one child")));
        };
        let feature = features[node];
        if !(feature >= 0.0 && feature < n_columns as f64) {
            let detail = format!("node {node} reads column {feature} of {n_columns}");
            return Err(feature_at.malformed(detail));
        }
        let missing_left = default_left[node] != 0.0;
        let inner = |split, missing_yes, yes, no| ForeignNode::Inner {
            feature: feature as usize,
            split,
            missing: if missing_yes { MissingRule::Left } else { MissingRule::Right },
            yes,
            no,
            gain: gains[node],
            cover: cover(node),
        };
        nodes.push(if categorical[node] == 0.0 {
            let threshold = splits[node] as f32;
            if threshold.is_nan() {
                return Err(split_at.malformed(format!("node {node} compares with NaN")));
            }
            inner(ForeignSplit::Number(below_single(threshold)), missing_left, yes, no)
        } else {
            let set = sets.get(&node).cloned().ok_or_else(|| {
                at.malformed(format!("node {node} is categorical, but categories_nodes lacks it"))
            })?;
            // categories of the set go right there, and to yes here
            inner(ForeignSplit::OneOf(set), !missing_left, no, yes)
        });
    }
    if nodes.is_empty() {
        return Err(left_at.malformed("a tree without nodes"));
    }
    Ok((ForeignTree { nodes, root: 0 }, leaves.width))
}

/// Where the values of leaves are.
struct Leaves {
    width: usize,
    /// Values of vector leaves, and whether they are counted by leaf instead of by node.
    vectors: Option<(Vec<f64>, bool)>,
}

impl Leaves {
    fn read(at: &At<'_>, n_outputs: usize) -> Result<Self, ImportError> {
        let size = at.find("tree_param").and_then(|parameters| parameters.find("size_leaf_vector"));
        let width = match &size {
            Some(size) => size.number::<usize>()?.max(1),
            None => 1,
        };
        if width == 1 {
            return Ok(Self { width, vectors: None });
        }
        if let Some(size) = size.filter(|_| width != n_outputs) {
            return Err(size.malformed(format!("leaves of {width} values, expected {n_outputs}")));
        }
        let vectors = match at.find("leaf_weights") {
            Some(weights) => (weights.numbers()?, true),
            None => (at.get("base_weights")?.numbers()?, false),
        };
        Ok(Self { width, vectors: Some(vectors) })
    }

    fn values(
        &self,
        splits: &[f64],
        right: &[Option<usize>],
        node: usize,
        at: &At<'_>,
    ) -> Result<Vec<f64>, ImportError> {
        let Some((vectors, by_leaf)) = &self.vectors else { return Ok(vec![splits[node]]) };
        let row = if *by_leaf { right[node].unwrap_or(usize::MAX) } else { node };
        let values = row
            .checked_mul(self.width)
            .and_then(|start| vectors.get(start..start.checked_add(self.width)?));
        let missing =
            || at.malformed(format!("leaf {node} has no vector of {} values", self.width));
        values.map(<[f64]>::to_vec).ok_or_else(missing)
    }
}

/// Sets of categories by node.
fn sets(at: &At<'_>) -> Result<HashMap<usize, Vec<f64>>, ImportError> {
    let Some(nodes_at) = at.find("categories_nodes") else { return Ok(HashMap::new()) };
    let nodes = nodes_at.numbers()?;
    if nodes.is_empty() {
        return Ok(HashMap::new());
    }
    let categories_at = at.get("categories")?;
    let categories = categories_at.numbers()?;
    if let Some(category) = categories.iter().find(|c| !(**c >= 0.0 && c.fract() == 0.0)) {
        return Err(categories_at.malformed(format!("{category} is no category")));
    }
    let starts = at.get("categories_segments")?.indices(nodes.len())?;
    let sizes = at.get("categories_sizes")?.indices(nodes.len())?;
    let mut sets = HashMap::new();
    let mut left = categories.len();
    for (index, &node) in nodes.iter().enumerate() {
        let (start, size) = (starts[index].unwrap_or(0), sizes[index].unwrap_or(0));
        let set = start.checked_add(size).and_then(|end| categories.get(start..end));
        // segments do not overlap, so that what is copied is no more than what is there
        let Some(set) = set.filter(|set| set.len() <= left) else {
            let detail = format!("{size} categories from {start} of {}", categories.len());
            return Err(nodes_at.malformed(detail));
        };
        left -= set.len();
        let mut set = set.to_vec();
        set.sort_unstable_by(f64::total_cmp);
        sets.insert(node as usize, set);
    }
    Ok(sets)
}
