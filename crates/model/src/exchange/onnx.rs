//! ONNX: a graph with one tree ensemble, of `ai.onnx.ml` version 1, 3 or 5.
//!
//! Before the trees there may be casts and the joining of inputs; after them scores may be divided by
//! and added to constants, and pass a sigmoid, a softmax or an exponential. Everything else around the
//! trees is refused by name.
//!
//! Rules that are easy to get wrong, from the operators' specification and ONNX Runtime's sources:
//!
//! - Values are compared in the type of the input: `f32` unless the graph says otherwise.
//! - NaN answers no to every question but "not equal", unless the node says that it tracks true.
//! - A classifier of two labels whose weights are all of one class gives the score of the second label.
//! - A tree of versions 1 and 3 begins at the first node of its id.
//!
//! Most runtimes sum `f32` leaves in `f32`; ours are `f64` sums.

mod ensemble;
mod fault;
mod graph;
mod proto;
#[cfg(test)]
mod tests;
mod translate;
mod write;

use prost::Message;
use segue_dataset::TargetKind;

use super::assemble::assemble;
use super::meta::{self, Meta};
use super::schema::{Column, ColumnKind, Columns};
use super::{Format, ImportError, Imported, most_memory, most_width};
use crate::{Combine, Ensemble, Link};
use ensemble::{OnnxEnsemble, OnnxNode, PostTransform};
use fault::{malformed, unsupported};
use proto::ModelProto;
pub(super) use write::write;

pub(super) fn read(bytes: &[u8]) -> Result<Imported, ImportError> {
    let model =
        ModelProto::decode(bytes).map_err(|error| malformed("the message", error.to_string()))?;
    let graph = model.graph.as_ref().ok_or_else(|| malformed("the message", "no graph"))?;
    let node = graph::trees(graph)?;
    let place = graph::place(node);
    let mut ensemble = ensemble::read(node, most_width(bytes.len()))?;
    let inputs = graph::inputs(graph, node, bytes.len())?;
    let scores = if ensemble.labels.is_some() { node.output.get(1) } else { node.output.first() };
    let scores = scores.ok_or_else(|| malformed(&place, "no output for its scores"))?;
    let outputs = graph::outputs(graph, scores)?;
    let entry = model.metadata_props.iter().find(|entry| entry.key == meta::KEY);
    let meta = entry.map(|entry| Meta::parse(&entry.value)).transpose();
    let meta = meta.map_err(|detail| malformed("metadata \"segue\"", detail))?;
    let mut warnings = Vec::new();
    let meaning = Meaning::of(&mut ensemble, &outputs, meta.as_ref(), &place, &mut warnings)?;
    warnings.push(
        "no covers in the file: explanations weigh both branches of a split alike".to_owned(),
    );

    let mut columns = columns(&ensemble, &inputs, meta, &place)?;
    let category = match columns.0.iter().any(|column| column.kind != ColumnKind::Number) {
        true => columns.0.iter().map(|column| column.kind != ColumnKind::Number).collect(),
        false => translate::categories(&ensemble, columns.0.len()),
    };
    for (column, &category) in columns.0.iter_mut().zip(&category) {
        if category && column.kind == ColumnKind::Number {
            column.kind = ColumnKind::Numbered(Vec::new());
        }
    }
    let combine = combine(&ensemble, &outputs, &place)?;
    let n_outputs = ensemble.n_targets;
    let mut bytes_left = most_memory(bytes.len());
    let (mut trees, mut tree_output) = (Vec::new(), Vec::new());
    for (index, tree) in ensemble.trees.iter().enumerate() {
        let alone = (!ensemble.average || n_outputs == 1).then(|| only_target(tree)).flatten();
        let width = if alone.is_some() { 1 } else { n_outputs };
        let leaf = |values: &[(usize, f64)]| {
            let mut sums = vec![0.0; width];
            values
                .iter()
                .for_each(|&(target, value)| sums[if width == 1 { 0 } else { target }] += value);
            sums
        };
        let translated =
            translate::translate(tree, inputs.precision, &category, leaf, width, &mut bytes_left);
        let Some(translated) = translated else {
            let detail = format!(
                "tree {index} is too large for the size of the file when its sets are taken apart"
            );
            return Err(unsupported(&place, detail));
        };
        trees.push((translated, width));
        tree_output.push(alone.unwrap_or(0) as u32);
    }
    columns.learn_categories(trees.iter().map(|(tree, _)| tree));
    let n_set_bytes = columns.bytes_of_sets(trees.iter().map(|(tree, _)| tree));
    if n_set_bytes > most_memory(bytes.len()) {
        return Err(unsupported(&place, format!("sets of categories of {n_set_bytes} bytes")));
    }
    let built = trees.iter().enumerate().map(|(index, (tree, width))| {
        assemble(tree, *width, |column, value| columns.code(column, value))
            .map_err(|misplaced| malformed(&place, format!("tree {index}: {}", misplaced.fault)))
    });
    let trees = built.collect::<Result<_, ImportError>>()?;
    let base = base(&ensemble, &outputs, &place)?;
    let schema = columns.schema();
    let schema = schema.map_err(|source| ImportError::Schema { format: Format::Onnx, source })?;
    let version = model.opset_import.iter().find(|opset| opset.domain == "ai.onnx.ml");
    Ok(Imported {
        schema,
        target: meaning.target,
        ensemble: Ensemble { trees, tree_output, base, combine, link: meaning.link },
        source: format!("ONNX, ai.onnx.ml {}", version.map_or(0, |opset| opset.version)),
        warnings,
    })
}

/// The target that all leaves of a tree add to, if it is one.
fn only_target(tree: &ensemble::OnnxTree) -> Option<usize> {
    let targets = tree.nodes.iter().filter_map(|node| match node {
        OnnxNode::Leaf(values) => Some(values),
        OnnxNode::Inner { .. } => None,
    });
    let mut targets = targets.flatten().map(|&(target, _)| target);
    let first = targets.next().unwrap_or(0);
    targets.all(|target| target == first).then_some(first)
}

fn columns(
    ensemble: &OnnxEnsemble,
    inputs: &graph::Inputs,
    meta: Option<Meta>,
    place: &str,
) -> Result<Columns, ImportError> {
    let n_known = inputs.names.len();
    let n_columns = if n_known == 0 { ensemble.n_columns } else { n_known };
    if ensemble.n_columns > n_columns {
        let detail = format!("a node reads column {} of {n_columns}", ensemble.n_columns - 1);
        return Err(malformed(place, detail));
    }
    if let Some(meta) = meta {
        let found = meta.columns.len();
        if found < n_columns {
            let detail = format!("{found} columns, the graph reads {n_columns}");
            return Err(malformed("metadata \"segue\"", detail));
        }
        return Ok(Columns(meta.columns));
    }
    let name =
        |column: usize| inputs.names.get(column).cloned().unwrap_or_else(|| format!("f{column}"));
    let column = |index| Column { name: name(index), kind: ColumnKind::Number };
    Ok(Columns((0..n_columns).map(column).collect()))
}

fn combine(
    ensemble: &OnnxEnsemble,
    outputs: &graph::Outputs,
    place: &str,
) -> Result<Combine, ImportError> {
    let Some(divisors) = &outputs.divide else {
        return Ok(if ensemble.average { Combine::Mean } else { Combine::Sum });
    };
    let n_trees = ensemble::trees_per_output(ensemble);
    let fits = !ensemble.average
        && (divisors.len() == 1 || divisors.len() == n_trees.len())
        && n_trees.iter().enumerate().all(|(output, &n)| divisors[output % divisors.len()] == n);
    if fits {
        return Ok(Combine::Mean);
    }
    Err(unsupported(place, format!("scores divided by {divisors:?}, expected the number of trees")))
}

/// Start values: those of the operator, or those added after it.
fn base(
    ensemble: &OnnxEnsemble,
    outputs: &graph::Outputs,
    place: &str,
) -> Result<Vec<f64>, ImportError> {
    let n = ensemble.n_targets;
    let spread = |values: &[f64]| match values.len() {
        0 => Ok(vec![0.0; n]),
        1 => Ok(vec![values[0]; n]),
        found if found == n => Ok(values.to_vec()),
        found => Err(malformed(place, format!("{found} base values for {n} outputs"))),
    };
    let own = spread(&ensemble.base)?;
    let added = spread(outputs.add.as_deref().unwrap_or_default())?;
    Ok(own.iter().zip(&added).map(|(own, added)| own + added).collect())
}

/// What the scores are.
struct Meaning {
    target: TargetKind,
    link: Link,
}

impl Meaning {
    /// Brings a classifier of two labels to one output.
    fn of(
        ensemble: &mut OnnxEnsemble,
        outputs: &graph::Outputs,
        meta: Option<&Meta>,
        place: &str,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ImportError> {
        let post = match ensemble.post {
            PostTransform::None => None,
            PostTransform::Softmax => Some(Link::Softmax),
            PostTransform::Logistic => Some(Link::Logistic),
        };
        if post.is_some() && outputs.link.is_some() {
            return Err(unsupported(place, "a post transform and an operator after it"));
        }
        let mut link = post.or(outputs.link).unwrap_or(Link::Identity);
        if let Some(labels) = ensemble.labels.clone() {
            if labels.len() == 2 {
                link = two_labels(ensemble, link, place)?;
                return Ok(Self { target: TargetKind::Binary, link });
            }
            if link == Link::Logistic || link == Link::Exp || labels.len() < 2 {
                let detail = format!("{link:?} scores of {} classes", labels.len());
                return Err(unsupported(place, detail));
            }
            return Ok(Self { target: TargetKind::Multiclass { classes: labels }, link });
        }
        let target = match (meta, ensemble.n_targets, link) {
            (Some(meta), n, _) if meta.target.n_outputs() == n => meta.target.clone(),
            (_, 1, Link::Logistic) => TargetKind::Binary,
            (_, 1, Link::Identity | Link::Exp) => TargetKind::Regression,
            (_, n, Link::Softmax | Link::Identity) if n > 1 => {
                if link == Link::Identity {
                    warnings.push(format!(
                        "{n} targets without softmax: read as class probabilities, cut to 0 to 1"
                    ));
                }
                TargetKind::Multiclass { classes: (0..n).map(|class| class.to_string()).collect() }
            }
            (_, n, link) => {
                return Err(unsupported(place, format!("{link:?} scores of {n} targets")));
            }
        };
        Ok(Self { target, link })
    }
}

/// One output of two: the score of the second label.
fn two_labels(ensemble: &mut OnnxEnsemble, link: Link, place: &str) -> Result<Link, ImportError> {
    let mut targets = [false; 2];
    let mut negative = false;
    for node in ensemble.trees.iter().flat_map(|tree| &tree.nodes) {
        if let OnnxNode::Leaf(values) = node {
            values.iter().for_each(|&(target, value)| {
                targets[target] = true;
                negative |= value < 0.0;
            });
        }
    }
    if ensemble.base.len() > 2 {
        let detail = format!("{} base values for two classes", ensemble.base.len());
        return Err(malformed(place, detail));
    }
    let both = targets == [true, true];
    let base = |index: usize| ensemble.base.get(index).copied().unwrap_or(0.0);
    // the weight of a class in the score, and the start of the score
    let (weights, start, link) = match (both, link) {
        (false, Link::Logistic) => ([1.0, 1.0], base(ensemble.base.len().saturating_sub(1)), link),
        (false, Link::Identity) if !negative => {
            ([1.0, 1.0], base(ensemble.base.len().saturating_sub(1)), link)
        }
        (true, Link::Identity | Link::Logistic) => ([0.0, 1.0], base(1), link),
        (true, Link::Softmax) => ([-1.0, 1.0], base(1) - base(0), Link::Logistic),
        _ => return Err(unsupported(place, format!("{link:?} scores of two classes"))),
    };
    for node in ensemble.trees.iter_mut().flat_map(|tree| &mut tree.nodes) {
        if let OnnxNode::Leaf(values) = node {
            let sum = values.iter().map(|&(target, value)| weights[target] * value).sum();
            *values = vec![(0, sum)];
        }
    }
    ensemble.base = vec![start];
    ensemble.n_targets = 1;
    Ok(link)
}
