//! One tree: a head, its nodes, and their statistics.

use super::bytes::Reader;
use crate::MissingRule;
use crate::exchange::ImportError;
use crate::exchange::assemble::{ForeignNode, ForeignSplit, ForeignTree};
use crate::exchange::rounding::below_single;

/// Bytes of the head.
const HEAD: usize = 148;
/// Bytes of a node, and of its statistics.
const NODE: usize = 20;
const STATISTICS: usize = 16;
/// Bytes of the smallest tree.
pub(super) const LEAST: usize = HEAD + NODE + STATISTICS;
/// The child of a leaf.
const NONE: i32 = -1;
/// Column of a node that pruning left behind.
const DELETED: u32 = u32::MAX;
/// The bit beside the column: missing values go left.
const DEFAULT_LEFT: u32 = 1 << 31;

/// The byte at which a node of the tree at `start` begins.
pub(super) fn node_at(start: usize, node: usize) -> usize {
    start + HEAD + node * NODE
}

/// A node as it lies in the file.
struct Raw {
    left: i32,
    right: i32,
    column: u32,
    /// Threshold or value of a leaf.
    value: f32,
}

pub(super) fn read(
    reader: &mut Reader<'_>,
    n_columns: usize,
    major: u32,
) -> Result<ForeignTree, ImportError> {
    let start = reader.offset();
    let n_roots = reader.i32()?;
    if n_roots != 1 {
        return Err(reader.unsupported_at(start, format!("a tree with {n_roots} roots")));
    }
    let count_at = reader.offset();
    let n_nodes = reader.count()?;
    // deleted nodes, depth, columns
    reader.skip(12)?;
    let width_at = reader.offset();
    let width = reader.count()?;
    // early versions count vectors beside the leaf, later ones the numbers in a leaf
    if width > usize::from(major > 0) {
        return Err(reader.unsupported_at(width_at, format!("leaves of {width} values")));
    }
    reader.skip(start + HEAD - reader.offset())?;
    if n_nodes == 0 {
        return Err(reader.malformed_at(count_at, "a tree without nodes"));
    }
    reader.due(n_nodes, NODE + STATISTICS, count_at, "nodes")?;
    let mut raw = Vec::with_capacity(n_nodes);
    for _ in 0..n_nodes {
        // the parent, which the children know as well
        reader.skip(4)?;
        raw.push(Raw {
            left: reader.i32()?,
            right: reader.i32()?,
            column: reader.u32()?,
            value: reader.f32()?,
        });
    }
    let mut nodes = Vec::with_capacity(n_nodes);
    for index in 0..n_nodes {
        let (gain, cover) = (f64::from(reader.f32()?), f64::from(reader.f32()?));
        reader.skip(8)?;
        let cover = if cover > 0.0 && cover.is_finite() { cover } else { 0.0 };
        let node = node(&raw, index, n_columns, gain, cover);
        nodes.push(node.map_err(|detail| reader.malformed_at(node_at(start, index), detail))?);
    }
    Ok(ForeignTree { nodes, root: 0 })
}

fn node(
    raw: &[Raw],
    index: usize,
    n_columns: usize,
    gain: f64,
    cover: f64,
) -> Result<ForeignNode, String> {
    let Raw { left, right, column, value } = raw[index];
    if column == DELETED && index > 0 {
        // nothing leads here, as `child` sees to
        return Ok(ForeignNode::Leaf { values: vec![0.0], cover: 0.0 });
    }
    if left == NONE {
        if !value.is_finite() {
            return Err(format!("leaf {index} holds {value}"));
        }
        return Ok(ForeignNode::Leaf { values: vec![f64::from(value)], cover });
    }
    let child = |child: i32| {
        let at = usize::try_from(child).ok().filter(|&at| at < raw.len());
        let at =
            at.ok_or_else(|| format!("node {index} leads to node {child}, which is not there"))?;
        if raw[at].column == DELETED {
            return Err(format!("node {index} leads to node {child}, which is deleted"));
        }
        Ok(at)
    };
    let (yes, no) = (child(left)?, child(right)?);
    let missing = if column & DEFAULT_LEFT == 0 { MissingRule::Right } else { MissingRule::Left };
    let feature = usize::try_from(column & !DEFAULT_LEFT).unwrap_or(usize::MAX);
    if feature >= n_columns {
        return Err(format!("node {index} reads column {feature} of {n_columns}"));
    }
    if value.is_nan() {
        return Err(format!("node {index} compares with NaN"));
    }
    let split = ForeignSplit::Number(below_single(value));
    Ok(ForeignNode::Inner { feature, split, missing, yes, no, gain, cover })
}
