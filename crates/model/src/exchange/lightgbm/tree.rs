//! One block of the file: a tree.

use std::collections::BTreeMap;

use super::head::Head;
use super::lines::{Entry, Lines};
use super::place::Place;
use super::question::{CATEGORICAL, only_missing, question};
use crate::MissingRule;
use crate::exchange::ImportError;
use crate::exchange::assemble::{ForeignNode, ForeignSplit, ForeignTree};

/// The next tree; `None` where the trees end. Sets of categories are paid for from `bytes_left`: many
/// nodes may share one set of the file.
pub(super) fn read(
    lines: &mut Lines<'_>,
    due: usize,
    head: &mut Head,
    bytes_left: &mut usize,
) -> Result<Option<(Place, ForeignTree)>, ImportError> {
    while lines.peek().is_some_and(|line| line.trim().is_empty()) {
        lines.skip();
    }
    let Some(line) = lines.peek() else {
        return Err(lines.here("end of trees").malformed("the file ends before its trees do"));
    };
    // files before v3 have no line that ends the trees, only what comes next
    let ended = ["feature importances:", "feature_importances:", "parameters:"].contains(&line);
    if line == "end of trees" || (ended && head.version == "v2") {
        return Ok(None);
    }
    let block = Block::take(lines)?;
    if block.start.key != "Tree" || block.start.number::<usize>()? != due {
        let detail = format!("expected \"Tree={due}\" or \"end of trees\"");
        return Err(block.start.place.malformed(detail));
    }
    let tree = block.tree(head, bytes_left)?;
    Ok(Some((block.start.place, tree)))
}

/// The lines of a tree up to the next blank one, by key.
struct Block<'a> {
    start: Entry<'a>,
    entries: BTreeMap<String, Entry<'a>>,
}

impl<'a> Block<'a> {
    fn take(lines: &mut Lines<'a>) -> Result<Self, ImportError> {
        let here = lines.here("Tree");
        let start = lines.entry().ok_or_else(|| here.malformed("expected a tree"))?;
        let mut entries = BTreeMap::new();
        while lines.peek().is_some_and(|line| !line.trim().is_empty()) {
            let Some(entry) = lines.entry() else { break };
            let place = entry.place.clone();
            if entries.insert(entry.key.to_owned(), entry).is_some() {
                return Err(place.malformed("given twice in one tree"));
            }
        }
        Ok(Self { start, entries })
    }

    fn need(&self, key: &str) -> Result<&Entry<'a>, ImportError> {
        let missing = || self.start.place.malformed(format!("the tree has no {key:?}"));
        self.entries.get(key).ok_or_else(missing)
    }

    /// Counts that older files leave out; zeros then.
    fn counts(&self, key: &str, n: usize) -> Result<Vec<f64>, ImportError> {
        let Some(entry) = self.entries.get(key).filter(|entry| !entry.value.trim().is_empty())
        else {
            return Ok(vec![0.0; n]);
        };
        let counts: Vec<f64> = entry.exactly(n)?;
        match counts.iter().find(|count| !(count.is_finite() && **count >= 0.0)) {
            Some(count) => Err(entry.place.malformed(format!("a count of {count}"))),
            None => Ok(counts),
        }
    }

    fn tree(&self, head: &mut Head, bytes_left: &mut usize) -> Result<ForeignTree, ImportError> {
        if let Some(linear) = self.entries.get("is_linear")
            && linear.value.trim() != "0"
        {
            return Err(linear.place.unsupported("linear models in the leaves (linear_tree)"));
        }
        let leaf_value = self.need("leaf_value")?;
        let values: Vec<f64> = leaf_value.numbers()?;
        let n_leaves: usize = self.need("num_leaves")?.number()?;
        if values.len() != n_leaves || n_leaves == 0 {
            let detail = format!("{} values, num_leaves is {n_leaves}", values.len());
            return Err(leaf_value.place.malformed(detail));
        }
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(leaf_value.place.malformed(format!("a leaf of {value}")));
        }
        let n_inner = n_leaves - 1;
        let leaf_count = self.counts("leaf_count", n_leaves).or_else(|error| {
            // a tree of one leaf may leave its count out or keep that of the data
            if n_inner == 0 { Ok(vec![0.0]) } else { Err(error) }
        })?;
        let mut nodes = Vec::with_capacity(n_inner + n_leaves);
        if n_inner > 0 {
            self.inner_nodes(n_leaves, head, bytes_left, &mut nodes)?;
        }
        let leaves = values.into_iter().zip(leaf_count);
        nodes.extend(leaves.map(|(value, cover)| ForeignNode::Leaf { values: vec![value], cover }));
        Ok(ForeignTree { nodes, root: 0 })
    }

    fn inner_nodes(
        &self,
        n_leaves: usize,
        head: &mut Head,
        bytes_left: &mut usize,
        nodes: &mut Vec<ForeignNode>,
    ) -> Result<(), ImportError> {
        let n = n_leaves - 1;
        let feature = self.need("split_feature")?;
        let features: Vec<usize> = feature.exactly(n)?;
        let threshold = self.need("threshold")?;
        let thresholds: Vec<f64> = threshold.exactly(n)?;
        let decision = self.need("decision_type")?;
        let decisions: Vec<u8> = decision.exactly(n)?;
        let sets = self.sets()?;
        let children =
            [self.children("left_child", n, n_leaves)?, self.children("right_child", n, n_leaves)?];
        let gains = match self.entries.get("split_gain") {
            Some(entry) => entry.exactly(n)?,
            None => vec![0.0; n],
        };
        let covers = self.counts("internal_count", n)?;
        for node in 0..n {
            let (column, decided) = (features[node], decisions[node]);
            if column >= head.n_columns() {
                let detail = format!("node {node} reads column {column} of {}", head.n_columns());
                return Err(feature.place.malformed(detail));
            }
            let in_set = decided & CATEGORICAL != 0;
            let only_missing = only_missing(head, column, decided, thresholds[node]);
            head.asked(column, in_set || only_missing, &feature.place)?;
            let (split, missing) = if in_set {
                let set = sets.get(thresholds[node] as usize);
                let set = set.filter(|_| thresholds[node] >= 0.0).ok_or_else(|| {
                    let detail =
                        format!("node {node} has set {} of {}", thresholds[node], sets.len());
                    threshold.place.malformed(detail)
                })?;
                *bytes_left = bytes_left.checked_sub(8 * set.len()).ok_or_else(|| {
                    let detail = "sets of more categories than a file of this size may hold";
                    threshold.place.unsupported(detail)
                })?;
                (ForeignSplit::OneOf(set.clone()), MissingRule::Right)
            } else {
                question(thresholds[node], decided, only_missing).map_err(|fault| {
                    let entry = if thresholds[node].is_nan() { threshold } else { decision };
                    entry.place.malformed(format!("node {node} {fault}"))
                })?
            };
            nodes.push(ForeignNode::Inner {
                feature: column,
                split,
                missing,
                yes: children[0][node],
                no: children[1][node],
                gain: gains[node],
                cover: covers[node],
            });
        }
        Ok(())
    }

    /// Indices into the list of inner nodes and then leaves.
    fn children(&self, key: &str, n: usize, n_leaves: usize) -> Result<Vec<usize>, ImportError> {
        let entry = self.need(key)?;
        let children: Vec<i32> = entry.exactly(n)?;
        let index = |child: i32| {
            let (index, most) =
                if child >= 0 { (child as usize, n) } else { (!child as usize, n_leaves) };
            if index >= most {
                return Err(entry.place.malformed(format!("child {child} is not there")));
            }
            Ok(if child >= 0 { index } else { n + index })
        };
        children.into_iter().map(index).collect()
    }

    /// The tree's sets of categories, ascending.
    fn sets(&self) -> Result<Vec<Vec<f64>>, ImportError> {
        let n: usize = match self.entries.get("num_cat") {
            Some(entry) => entry.number()?,
            None => 0,
        };
        if n == 0 {
            return Ok(Vec::new());
        }
        let boundary = self.need("cat_boundaries")?;
        let boundaries: Vec<usize> = boundary.exactly(n.saturating_add(1))?;
        let entry = self.need("cat_threshold")?;
        let words: Vec<u32> = entry.numbers()?;
        let set = |ends: &[usize]| {
            let words = words.get(ends[0]..ends[1]).ok_or_else(|| {
                let (from, to, n) = (ends[0], ends[1], words.len());
                boundary.place.malformed(format!("words {from} to {to} of {n}"))
            })?;
            let bits = (0u32..).zip(words).flat_map(|(at, &word)| {
                (0..32u32).filter(move |bit| word >> bit & 1 == 1).map(move |bit| (at, bit))
            });
            Ok(bits.map(|(at, bit)| f64::from(at) * 32.0 + f64::from(bit)).collect())
        };
        boundaries.windows(2).map(set).collect()
    }
}
