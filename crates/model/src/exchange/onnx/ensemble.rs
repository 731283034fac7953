//! The attributes of the three operators, brought to one form.

mod v3;
mod v5;

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
        "TreeEnsemble" => v5::read(&attributes),
        "TreeEnsembleClassifier" => v3::read(&attributes, "class"),
        _ => v3::read(&attributes, "target"),
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
