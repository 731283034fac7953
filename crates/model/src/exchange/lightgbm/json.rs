//! The JSON of `dump_model`: the head as keys, each tree as nodes within nodes.
//!
//! Missing types and the default side are spelt out, the categories of a set listed between `||`, and
//! leaves carry their numbers. Infinite thresholds are written as 1e300. A tree of more than some 120
//! levels is nested too deeply for the reader of JSON; the text has no such bound.

use serde::Deserialize;

use super::head::{Head, Info, check_outputs, check_version};
use super::lines::category_names;
use super::place::Place;
use super::question::{
    DEFAULT_LEFT, MISSING_NAN, MISSING_NONE, MISSING_ZERO, only_missing, question,
};
use crate::MissingRule;
use crate::exchange::ImportError;
use crate::exchange::assemble::{ForeignNode, ForeignSplit, ForeignTree};
use crate::exchange::document::At;

/// The head and the trees with their places.
pub(super) fn read(
    root: &At<'_>,
    n_bytes: usize,
) -> Result<(Head, Vec<(Place, ForeignTree)>), ImportError> {
    if root.find("tree_info").is_none() && root.find("tree_structure").is_some() {
        return Err(root.malformed("one tree without the head of a model: dump the whole model"));
    }
    let mut head = head(root, n_bytes)?;
    let trees = root.get("tree_info")?.items()?;
    let trees = trees.iter().map(|at| Ok((place(at), tree(at, &mut head)?)));
    let trees = trees.collect::<Result<_, ImportError>>()?;
    Ok((head, trees))
}

/// Names of categories, from the bytes: they may be numbers, and keep their spelling.
pub(super) fn pandas_categorical(bytes: &[u8]) -> Result<Vec<Vec<String>>, ImportError> {
    #[derive(Deserialize)]
    struct Tail {
        #[serde(default)]
        pandas_categorical: Option<Vec<Vec<serde_json::Value>>>,
    }
    let tail: Tail = serde_json::from_slice(bytes).map_err(|error| {
        Place::Path("pandas_categorical".to_owned()).malformed(error.to_string())
    })?;
    Ok(category_names(tail.pandas_categorical))
}

fn place(at: &At<'_>) -> Place {
    Place::Path(at.place())
}

fn head(root: &At<'_>, n_bytes: usize) -> Result<Head, ImportError> {
    let version_at = root.get("version")?;
    let version = version_at.text()?;
    check_version(version, &place(&version_at))?;
    let outputs = root.get("num_tree_per_iteration")?;
    let trees_per_iteration = outputs.number()?;
    check_outputs(trees_per_iteration, n_bytes, &place(&outputs))?;
    let names_at = root.get("feature_names")?;
    let names = names_at.items()?;
    let names = names.iter().map(|at| at.text().map(str::to_owned));
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let n_columns = root.get("max_feature_idx")?.number::<usize>()?.saturating_add(1);
    if names.len() != n_columns {
        let detail = format!("{} names, max_feature_idx asks for {n_columns}", names.len());
        return Err(names_at.malformed(detail));
    }
    let objective = match root.find("objective") {
        Some(at) => Some((place(&at), at.text()?.to_owned())),
        None => None,
    };
    let average = root.find("average_output").map_or(Ok(false), |at| at.flag())?;
    Ok(Head {
        start: place(root),
        version: version.to_owned(),
        trees_per_iteration,
        average,
        infos: infos(root, &names)?,
        names,
        objective,
        n_tree_sizes: None,
    })
}

/// Ranges and categories, by the name of the column; older dumps have none.
fn infos(root: &At<'_>, names: &[String]) -> Result<Vec<Info>, ImportError> {
    let Some(listed) = root.find("feature_infos") else {
        return Ok(vec![Info::Unknown; names.len()]);
    };
    let info = |name: &String| {
        let Some(at) = listed.find(name) else { return Ok(Info::Unknown) };
        let values = at.get("values")?.numbers()?;
        Ok(if values.is_empty() { Info::Number } else { Info::of_categories(values) })
    };
    names.iter().map(info).collect()
}

fn tree(at: &At<'_>, head: &mut Head) -> Result<ForeignTree, ImportError> {
    let n_leaves_at = at.get("num_leaves")?;
    let n_leaves: usize = n_leaves_at.number()?;
    let mut walk = Walk { head, n_leaves, inner: Vec::new(), leaves: Vec::new() };
    walk.node(&at.get("tree_structure")?)?;
    let Walk { inner: mut nodes, mut leaves, .. } = walk;
    if leaves.len() != n_leaves {
        let detail = format!("{n_leaves}, but the tree has {}", leaves.len());
        return Err(n_leaves_at.malformed(detail));
    }
    // leaves in the order of their numbers, as in the text
    leaves.sort_by_key(|&(number, _)| number);
    if let Some(pair) = leaves.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(at.malformed(format!("two leaves have number {}", pair[0].0)));
    }
    nodes.extend(leaves.into_iter().map(|(_, leaf)| leaf));
    Ok(ForeignTree { nodes, root: 0 })
}

/// Gathers the nodes of a tree from the root down. The reader of JSON bounds the depth.
struct Walk<'h> {
    head: &'h mut Head,
    n_leaves: usize,
    inner: Vec<ForeignNode>,
    /// With their numbers.
    leaves: Vec<(usize, ForeignNode)>,
}

impl Walk<'_> {
    /// The index of the node in a list of all inner nodes, one fewer than leaves, and then the leaves.
    fn node(&mut self, at: &At<'_>) -> Result<usize, ImportError> {
        if let Some(value_at) = at.find("leaf_value") {
            return self.leaf(at, &value_at);
        }
        let index = self.inner.len();
        let (feature, split, missing) = self.asks(at)?;
        let (gain, cover) = (optional(at, "split_gain")?, count(at, "internal_count")?);
        self.inner.push(ForeignNode::Inner { feature, split, missing, yes: 0, no: 0, gain, cover });
        let (left, right) =
            (self.node(&at.get("left_child")?)?, self.node(&at.get("right_child")?)?);
        if let Some(ForeignNode::Inner { yes, no, .. }) = self.inner.get_mut(index) {
            (*yes, *no) = (left, right);
        }
        Ok(index)
    }

    fn leaf(&mut self, at: &At<'_>, value_at: &At<'_>) -> Result<usize, ImportError> {
        if at.find("leaf_const").is_some() {
            return Err(at.unsupported("linear models in the leaves (linear_tree)"));
        }
        let value: f64 = value_at.number()?;
        if !value.is_finite() {
            return Err(value_at.malformed(format!("a leaf of {value}")));
        }
        let number = match at.find("leaf_index") {
            Some(at) => at.number()?,
            // the only leaf of a tree has no number
            None if self.n_leaves == 1 => 0,
            None => return Err(at.malformed("there is no key \"leaf_index\"")),
        };
        if number >= self.n_leaves {
            return Err(
                at.malformed(format!("leaf_index {number}, num_leaves is {}", self.n_leaves))
            );
        }
        let leaf = ForeignNode::Leaf { values: vec![value], cover: count(at, "leaf_count")? };
        self.leaves.push((number, leaf));
        Ok(self.n_leaves - 1 + number)
    }

    /// Column, question and the side of missing values.
    fn asks(&mut self, at: &At<'_>) -> Result<(usize, ForeignSplit, MissingRule), ImportError> {
        let feature_at = at.get("split_feature")?;
        let feature: usize = feature_at.number()?;
        if feature >= self.head.n_columns() {
            let detail = format!("column {feature} of {}", self.head.n_columns());
            return Err(feature_at.malformed(detail));
        }
        let (kind_at, threshold_at) = (at.get("decision_type")?, at.get("threshold")?);
        match kind_at.text()? {
            "==" => {
                self.head.asked(feature, true, &place(&feature_at))?;
                Ok((feature, ForeignSplit::OneOf(set(&threshold_at)?), MissingRule::Right))
            }
            "<=" => {
                let (threshold, decided) = (threshold_at.number()?, decided(at)?);
                let only_missing = only_missing(self.head, feature, decided, threshold);
                self.head.asked(feature, only_missing, &place(&feature_at))?;
                let (split, missing) = question(threshold, decided, only_missing)
                    .map_err(|fault| at.malformed(fault))?;
                Ok((feature, split, missing))
            }
            other => Err(kind_at.unsupported(format!("decision type {other:?}"))),
        }
    }
}

/// The bits that the text has for what the JSON spells out.
fn decided(at: &At<'_>) -> Result<u8, ImportError> {
    let missing_at = at.get("missing_type")?;
    let missing = match missing_at.text()? {
        "None" => MISSING_NONE,
        "Zero" => MISSING_ZERO,
        "NaN" => MISSING_NAN,
        other => return Err(missing_at.unsupported(format!("missing type {other:?}"))),
    };
    let default_left = at.get("default_left")?.flag()?;
    Ok(missing << 2 | if default_left { DEFAULT_LEFT } else { 0 })
}

/// The categories of a set, ascending.
fn set(at: &At<'_>) -> Result<Vec<f64>, ImportError> {
    let text = at.text()?;
    let category = |word: &str| {
        let shown: String = word.chars().take(40).collect();
        let number = word.trim().parse::<u32>().map(f64::from);
        number.map_err(|_| at.malformed(format!("{shown:?} is no category")))
    };
    // an empty set has no words
    let words = text.split("||").filter(|_| !text.is_empty());
    let mut set = words.map(category).collect::<Result<Vec<_>, _>>()?;
    set.sort_unstable_by(f64::total_cmp);
    set.dedup();
    Ok(set)
}

/// A number that may be left out; 0 then.
fn optional(at: &At<'_>, key: &str) -> Result<f64, ImportError> {
    at.find(key).map_or(Ok(0.0), |at| at.number())
}

fn count(at: &At<'_>, key: &str) -> Result<f64, ImportError> {
    let count = optional(at, key)?;
    if count.is_finite() && count >= 0.0 {
        return Ok(count);
    }
    Err(at.malformed(format!("{key} is {count}")))
}
