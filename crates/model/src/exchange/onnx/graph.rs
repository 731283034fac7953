//! What stands before and after the trees: types and names of the inputs, and how scores go on.

use std::collections::HashMap;

use super::fault::{malformed, unsupported};
use super::proto::{
    DOUBLE, FLOAT, GraphProto, INT32, INT64, NodeProto, TensorProto, ValueInfoProto,
};
use crate::Link;
use crate::exchange::{ImportError, most_memory, most_width};

/// Operators in a row before or after the trees, at most: each is looked for in the whole graph.
const MAX_OPERATORS: usize = 64;

/// Type in which values are when they are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Precision {
    Single,
    Double,
}

/// The columns that feed the trees.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Inputs {
    /// Names; empty if there is one tensor of unknown width.
    pub(super) names: Vec<String>,
    pub(super) precision: Precision,
}

/// What happens to the sums of the trees.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outputs {
    pub(super) link: Option<Link>,
    /// Divisors, one or one an output.
    pub(super) divide: Option<Vec<f64>>,
    /// Added after division, one or one an output.
    pub(super) add: Option<Vec<f64>>,
}

/// The one node of trees.
pub(super) fn trees(graph: &GraphProto) -> Result<&NodeProto, ImportError> {
    const TREES: [&str; 3] = ["TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor"];
    let is_trees =
        |node: &&NodeProto| node.domain == "ai.onnx.ml" && TREES.contains(&node.op_type.as_str());
    let mut found = graph.node.iter().filter(is_trees);
    match (found.next(), found.next()) {
        (Some(node), None) => Ok(node),
        (None, _) => {
            let operators: Vec<&str> =
                graph.node.iter().take(20).map(|node| node.op_type.as_str()).collect();
            Err(unsupported("graph", format!("no tree ensemble among {operators:?}")))
        }
        (Some(_), Some(second)) => {
            Err(unsupported(place(second), "a second tree ensemble in one graph"))
        }
    }
}

/// How a node is called in errors.
pub(super) fn place(node: &NodeProto) -> String {
    if node.name.is_empty() {
        format!("node {}", node.op_type)
    } else {
        format!("node {} {:?}", node.op_type, node.name)
    }
}

fn producer<'a>(graph: &'a GraphProto, value: &str) -> Option<&'a NodeProto> {
    graph.node.iter().find(|node| node.output.iter().any(|output| output == value))
}

fn constant<'a>(graph: &'a GraphProto, value: &str) -> Option<&'a TensorProto> {
    graph.initializer.iter().find(|tensor| tensor.name == value)
}

/// Walks back from the trees to the inputs of the graph, in a file of `n_bytes`.
pub(super) fn inputs(
    graph: &GraphProto,
    trees: &NodeProto,
    n_bytes: usize,
) -> Result<Inputs, ImportError> {
    let known = KnownInputs::of(graph, n_bytes);
    let first = trees.input.first();
    let mut value = first.ok_or_else(|| malformed(place(trees), "no input"))?.clone();
    let mut cast_to_single = false;
    for _ in 0..=MAX_OPERATORS {
        if let Some(tensors) = known.columns(std::slice::from_ref(&value))? {
            return Ok(Inputs {
                precision: precision(tensors.kinds, cast_to_single),
                names: tensors.names,
            });
        }
        let Some(node) = producer(graph, &value) else {
            return Err(malformed(place(trees), format!("input {value:?} comes from nowhere")));
        };
        match node.op_type.as_str() {
            "Identity" => {}
            "Cast" if integer(node, "to") == i64::from(FLOAT) => cast_to_single = true,
            "Cast" if integer(node, "to") == i64::from(DOUBLE) => {}
            "Concat" => {
                return match known.columns(&node.input)? {
                    Some(tensors) if !tensors.names.is_empty() => Ok(Inputs {
                        precision: precision(tensors.kinds, cast_to_single),
                        names: tensors.names,
                    }),
                    _ => Err(unsupported(place(node), "not of inputs of known width")),
                };
            }
            _ => return Err(unsupported(place(node), "an operator before the trees")),
        }
        let next = node.input.first();
        value = next.ok_or_else(|| malformed(place(node), "no input"))?.clone();
    }
    let detail =
        format!("more than {MAX_OPERATORS} operators before the trees, or a circle of them");
    Err(unsupported(place(trees), detail))
}

fn precision(kinds: Vec<i32>, cast_to_single: bool) -> Precision {
    if cast_to_single || kinds.iter().any(|&kind| kind != DOUBLE) {
        Precision::Single
    } else {
        Precision::Double
    }
}

struct Tensors {
    names: Vec<String>,
    kinds: Vec<i32>,
}

/// The inputs of the graph by name.
struct KnownInputs<'a> {
    by_name: HashMap<&'a str, &'a ValueInfoProto>,
    most_columns: usize,
    /// Bytes that the names of all columns may take: each repeats the name of its input.
    most_bytes: usize,
}

impl<'a> KnownInputs<'a> {
    fn of(graph: &'a GraphProto, n_bytes: usize) -> Self {
        let by_name = graph.input.iter().map(|input| (input.name.as_str(), input)).collect();
        Self { by_name, most_columns: most_width(n_bytes), most_bytes: most_memory(n_bytes) }
    }

    /// Columns of inputs; `None` if one of them is no input.
    fn columns(&self, values: &[String]) -> Result<Option<Tensors>, ImportError> {
        let (mut names, mut kinds, mut bytes_left) = (Vec::new(), Vec::new(), self.most_bytes);
        let mut all_known = true;
        for value in values {
            let Some(input) = self.by_name.get(value.as_str()) else { return Ok(None) };
            let at = || {
                let shown: String = value.chars().take(40).collect();
                format!("input {shown:?}")
            };
            let tensor = input.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
            let tensor = tensor.ok_or_else(|| malformed(at(), "not a tensor"))?;
            if ![FLOAT, DOUBLE, INT32, INT64].contains(&tensor.elem_type) {
                return Err(unsupported(at(), format!("elements of type {}", tensor.elem_type)));
            }
            kinds.push(tensor.elem_type);
            let dims = tensor.shape.as_ref().map_or(&[][..], |shape| &shape.dim);
            let width = dims.last().filter(|_| dims.len() > 1).and_then(|dim| dim.dim_value);
            let width = width.and_then(|width| usize::try_from(width).ok()).unwrap_or(0);
            if width == 0 {
                all_known = false;
                continue;
            }
            if width > self.most_columns.saturating_sub(names.len()) {
                let detail = format!("{width} columns, at most {}", self.most_columns);
                return Err(unsupported(at(), detail));
            }
            bytes_left =
                bytes_left.checked_sub(width.saturating_mul(value.len())).ok_or_else(|| {
                    let detail = format!("{width} columns with a name of {} bytes", value.len());
                    unsupported(at(), detail)
                })?;
            if values.len() > 1 && width == 1 {
                names.push(value.clone());
            } else {
                names.extend((0..width).map(|column| format!("{value}_{column}")));
            }
        }
        if !all_known {
            names.clear();
        }
        Ok(Some(Tensors { names, kinds }))
    }
}

/// An integer attribute; 0 if it is not there.
pub(super) fn integer(node: &NodeProto, name: &str) -> i64 {
    node.attribute.iter().find(|attribute| attribute.name == name).map_or(0, |found| found.i)
}

/// Walks on from the scores of the trees.
pub(super) fn outputs(graph: &GraphProto, scores: &str) -> Result<Outputs, ImportError> {
    /// Operators that make a label of scores, which are not needed.
    const LABELS: [&str; 7] = [
        "ArgMax",
        "ArrayFeatureExtractor",
        "Binarizer",
        "Greater",
        "LabelEncoder",
        "TopK",
        "Gather",
    ];
    let mut value = scores.to_owned();
    let mut outputs = Outputs { link: None, divide: None, add: None };
    for _ in 0..=MAX_OPERATORS {
        let uses = |node: &&NodeProto| {
            node.input.contains(&value) && !LABELS.contains(&node.op_type.as_str())
        };
        let mut users = graph.node.iter().filter(uses);
        let Some(node) = users.next() else { return Ok(outputs) };
        if let Some(second) = users.next() {
            return Err(unsupported(place(second), "a second use of the scores"));
        }
        let operand = || {
            let other = node.input.iter().find(|input| **input != value);
            let tensor = other.and_then(|other| constant(graph, other));
            let numbers = tensor.and_then(TensorProto::numbers);
            numbers.ok_or_else(|| unsupported(place(node), "not with a constant"))
        };
        let linked = outputs.link.is_some();
        match node.op_type.as_str() {
            "Identity" | "ZipMap" | "Reshape" | "Squeeze" | "Flatten" => {}
            "Cast" if [FLOAT, DOUBLE].map(i64::from).contains(&integer(node, "to")) => {}
            "Sigmoid" if !linked => outputs.link = Some(Link::Logistic),
            "Softmax" if !linked => outputs.link = Some(Link::Softmax),
            "Exp" if !linked => outputs.link = Some(Link::Exp),
            "Add" if !linked && outputs.add.is_none() => outputs.add = Some(operand()?),
            "Div" if !linked && outputs.divide.is_none() && outputs.add.is_none() => {
                if node.input.first() != Some(&value) {
                    return Err(unsupported(place(node), "division by the scores"));
                }
                outputs.divide = Some(operand()?);
            }
            _ => return Err(unsupported(place(node), "an operator after the trees")),
        }
        let next = node.output.first();
        value = next.ok_or_else(|| malformed(place(node), "no output"))?.clone();
    }
    let detail =
        format!("more than {MAX_OPERATORS} operators after the trees, or a circle of them");
    Err(unsupported("graph", detail))
}
