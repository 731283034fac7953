//! XGBoost's binary format: structures as they lay in memory, little-endian, one after another.
//!
//! ```text
//! [binf] learner 136 | objective, booster: texts | ensemble 160 | trees | class of each tree i32
//!   | weights of dart: f32 | attributes: pairs of texts | what older versions add
//! tree: head 148 | nodes 20 each | statistics 16 each
//! text: length u64, bytes; lists as well
//! ```
//!
//! The first number is the start: until version 1.0, which is also the first to state its version, a
//! margin; a prediction since. Rules of splits are those of the other formats, without categories.

mod bytes;
mod tree;

use std::sync::Arc;

use segue_dataset::{Feature, Schema};

use super::objective::{Fault, Inverse, Meaning, margin};
use super::{BEST_ITERATION, early_stop, no_trees};
use crate::exchange::assemble::{ForeignNode, ForeignTree, assemble};
use crate::exchange::{Format, ImportError, Imported, most_width};
use crate::{Combine, Ensemble, Tree};
use bytes::Reader;

/// What some versions begin with.
const MAGIC: &[u8] = b"binf";
/// Bytes of the learner's parameters.
const LEARNER: usize = 136;
/// Bytes of the ensemble's parameters.
const ENSEMBLE: usize = 160;
/// The last major version that wrote this format.
const LAST_MAJOR: u32 = 3;

/// Whether the names of an objective and a booster stand where this format has them.
pub(in crate::exchange) fn is_binary(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(MAGIC).unwrap_or(bytes);
    let mut reader = Reader::new(bytes);
    let name = |reader: &mut Reader<'_>| {
        let text = reader.text().ok()?;
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_');
        (!text.is_empty() && text.len() <= 64 && text.bytes().all(letter)).then_some(())
    };
    reader.skip(LEARNER).is_ok() && name(&mut reader).and_then(|()| name(&mut reader)).is_some()
}

pub(in crate::exchange) fn read(bytes: &[u8]) -> Result<Imported, ImportError> {
    let mut reader = Reader::new(bytes);
    if bytes.starts_with(MAGIC) {
        reader.skip(MAGIC.len())?;
    }
    let mut warnings = Vec::new();
    let learner = Learner::read(&mut reader, most_width(bytes.len()), &mut warnings)?;
    let booster_at = reader.offset();
    let booster = reader.text()?;
    let has_weights = match booster {
        "gbtree" => false,
        "dart" => true,
        other => return Err(reader.unsupported_at(booster_at, no_trees(other))),
    };
    let target = learner.meaning.target.clone();
    let n_outputs = target.n_outputs();
    let (mut trees, tree_output) = ensemble(&mut reader, &learner, n_outputs)?;
    if has_weights {
        weigh(&mut reader, &mut trees)?;
    }
    tail(&mut reader, &learner, &mut warnings)?;
    let built = trees.iter().map(|placed| build(&reader, placed));
    let ensemble = Ensemble {
        trees: built.collect::<Result<_, _>>()?,
        tree_output,
        base: vec![learner.base; n_outputs],
        combine: Combine::Sum,
        link: learner.meaning.link,
    };
    let columns = (0..learner.n_columns).map(|index| Feature::number(format!("f{index}")));
    let format = Format::XgboostBinary;
    let schema =
        Schema::new(columns.collect()).map_err(|source| ImportError::Schema { format, source })?;
    let source = match learner.version {
        (0, _) => format!("{format} before 1.0"),
        (major, minor) => format!("{format} {major}.{minor}"),
    };
    Ok(Imported { schema: Arc::new(schema), target, ensemble, source, warnings })
}

/// The learner's parameters and its objective.
struct Learner {
    meaning: Meaning,
    /// The margin that every output starts at.
    base: f64,
    n_columns: usize,
    has_attributes: bool,
    has_metrics: bool,
    version: (u32, u32),
    is_poisson: bool,
}

impl Learner {
    fn read(
        reader: &mut Reader<'_>,
        most: usize,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ImportError> {
        let start = reader.offset();
        let score = reader.f32()?;
        let columns_at = reader.offset();
        let n_columns = reader.count()?;
        if n_columns > most {
            let detail = format!("{n_columns} columns, at most {most}");
            return Err(reader.unsupported_at(columns_at, detail));
        }
        let classes_at = reader.offset();
        let n_classes = reader.count()?;
        if n_classes > most {
            return Err(reader.unsupported_at(classes_at, format!("{n_classes} classes")));
        }
        let (has_attributes, has_metrics) = (reader.i32()? != 0, reader.i32()? != 0);
        let version_at = reader.offset();
        let version = (reader.u32()?, reader.u32()?);
        if version.0 > LAST_MAJOR {
            let detail = format!("version {}.{}", version.0, version.1);
            return Err(reader.unsupported_at(version_at, detail));
        }
        let targets_at = reader.offset();
        if reader.u32()? > 1 && version.0 > 0 {
            return Err(reader.unsupported_at(targets_at, "several targets"));
        }
        reader.skip(start + LEARNER - reader.offset())?;
        let name_at = reader.offset();
        let name = reader.text()?;
        let meaning = Meaning::of(name, n_classes, warnings).map_err(|fault| match fault {
            Fault::Name(detail) => reader.unsupported_at(name_at, detail),
            Fault::Classes(detail) => reader.malformed_at(classes_at, detail),
        })?;
        let inverse = if version.0 == 0 { Inverse::Identity } else { meaning.inverse };
        let base = margin(score, inverse);
        if !base.is_finite() {
            let detail = format!("a start of {score} is outside the predictions of the objective");
            return Err(reader.malformed_at(start, detail));
        }
        let is_poisson = name == "count:poisson";
        Ok(Self { meaning, base, n_columns, has_attributes, has_metrics, version, is_poisson })
    }
}

/// A tree and the byte that it begins at.
struct Placed {
    at: usize,
    tree: ForeignTree,
}

/// The trees with the output of each.
fn ensemble(
    reader: &mut Reader<'_>,
    learner: &Learner,
    n_outputs: usize,
) -> Result<(Vec<Placed>, Vec<u32>), ImportError> {
    let start = reader.offset();
    let n_trees = reader.count()?;
    reader.skip(start + ENSEMBLE - reader.offset())?;
    reader.due(n_trees, tree::LEAST + 4, start, "trees")?;
    let mut trees = Vec::with_capacity(n_trees);
    for _ in 0..n_trees {
        let at = reader.offset();
        let tree = tree::read(reader, learner.n_columns, learner.version.0)?;
        trees.push(Placed { at, tree });
    }
    let mut outputs = Vec::with_capacity(n_trees);
    for tree in 0..n_trees {
        let at = reader.offset();
        let output = reader.u32()?;
        if !usize::try_from(output).is_ok_and(|output| output < n_outputs) {
            let detail = format!("tree {tree} is of class {output} of {n_outputs}");
            return Err(reader.malformed_at(at, detail));
        }
        outputs.push(output);
    }
    Ok((trees, outputs))
}

/// Multiplies the leaves of each tree by its weight.
fn weigh(reader: &mut Reader<'_>, trees: &mut [Placed]) -> Result<(), ImportError> {
    let start = reader.offset();
    let n_weights = reader.length()?;
    if n_weights != trees.len() {
        let detail = format!("{n_weights} weights for {} trees", trees.len());
        return Err(reader.malformed_at(start, detail));
    }
    for placed in trees {
        let at = reader.offset();
        let weight = f64::from(reader.f32()?);
        for node in &mut placed.tree.nodes {
            let ForeignNode::Leaf { values, .. } = node else { continue };
            values.iter_mut().for_each(|value| *value *= weight);
        }
        if !weight.is_finite() {
            return Err(reader.malformed_at(at, format!("a weight of {weight}")));
        }
    }
    Ok(())
}

/// What comes after the trees changes no score, but shows whether the file is whole.
fn tail(
    reader: &mut Reader<'_>,
    learner: &Learner,
    warnings: &mut Vec<String>,
) -> Result<(), ImportError> {
    if learner.has_attributes {
        let at = reader.offset();
        let n = reader.length()?;
        reader.due(n, 16, at, "attributes")?;
        for _ in 0..n {
            let (key, value) = (reader.text()?, reader.text()?);
            if key == BEST_ITERATION {
                warnings.push(early_stop(value));
            }
        }
    }
    // Before 1.0, a parameter of this one objective, which the first versions lack.
    if learner.is_poisson && learner.version.0 == 0 && !reader.is_at_end() {
        reader.text()?;
    }
    if learner.has_metrics && !reader.is_at_end() {
        let at = reader.offset();
        let n = reader.length()?;
        reader.due(n, 8, at, "metrics")?;
        for _ in 0..n {
            reader.text()?;
        }
    }
    reader.end()
}

fn build(reader: &Reader<'_>, placed: &Placed) -> Result<Tree, ImportError> {
    // no column has categories
    assemble(&placed.tree, 1, |_, _| None).map_err(|misplaced| {
        let at = tree::node_at(placed.at, misplaced.node);
        reader.malformed_at(at, format!("node {} {}", misplaced.node, misplaced.fault))
    })
}
