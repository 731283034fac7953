//! What stands before and after the trees: types and names of the inputs, and how scores go on.

use super::fault::{malformed, unsupported};
use super::proto::{DOUBLE, FLOAT, GraphProto, INT32, INT64, NodeProto, TensorProto};
use crate::Link;
use crate::exchange::ImportError;

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

/// Walks back from the trees to the inputs of the graph.
pub(super) fn inputs(
    graph: &GraphProto,
    trees: &NodeProto,
    most_columns: usize,
) -> Result<Inputs, ImportError> {
    let first = trees.input.first();
    let mut value = first.ok_or_else(|| malformed(place(trees), "no input"))?.clone();
    let mut cast_to_single = false;
    // a chain is no longer than the graph
    for _ in 0..=graph.node.len() {
        if let Some(tensors) = tensor_columns(graph, std::slice::from_ref(&value), most_columns)? {
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
                return match tensor_columns(graph, &node.input, most_columns)? {
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
    Err(malformed(place(trees), "its inputs run in a circle"))
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

/// Columns of inputs of the graph; `None` if one of them is no input.
fn tensor_columns(
    graph: &GraphProto,
    values: &[String],
    most_columns: usize,
) -> Result<Option<Tensors>, ImportError> {
    let (mut names, mut kinds) = (Vec::new(), Vec::new());
    let mut all_known = true;
    for value in values {
        let Some(input) = graph.input.iter().find(|input| input.name == *value) else {
            return Ok(None);
        };
        let tensor = input.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
        let at = || format!("input {value:?}");
        let tensor = tensor.ok_or_else(|| malformed(at(), "not a tensor"))?;
        if ![FLOAT, DOUBLE, INT32, INT64].contains(&tensor.elem_type) {
            return Err(unsupported(at(), format!("elements of type {}", tensor.elem_type)));
        }
        kinds.push(tensor.elem_type);
        let dims = tensor.shape.as_ref().map_or(&[][..], |shape| &shape.dim);
        let width = dims.last().filter(|_| dims.len() > 1).and_then(|dim| dim.dim_value);
        match width {
            Some(width) if width > 0 => {
                if width as u64 > most_columns.saturating_sub(names.len()) as u64 {
                    return Err(unsupported(
                        at(),
                        format!("{width} columns, at most {most_columns}"),
                    ));
                }
                let alone = values.len() > 1 && width == 1;
                names.extend(
                    (0..width).map(
                        |column| {
                            if alone { value.clone() } else { format!("{value}_{column}") }
                        },
                    ),
                );
            }
            _ => all_known = false,
        }
    }
    if !all_known {
        names.clear();
    }
    Ok(Some(Tensors { names, kinds }))
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
    for _ in 0..=graph.node.len() {
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
    Err(malformed("graph", "its scores run in a circle"))
}
