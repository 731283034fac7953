//! XGBoost's JSON and UBJSON, which hold one document, and the binary format before them; gbtree and
//! dart boosters.
//!
//! Rules that are easy to get wrong, from XGBoost's sources (`learner.cc`, `categorical.h`,
//! `tree_model.cc`):
//!
//! - A value is rounded to `f32` and goes left iff `value < split_condition`; missing by `default_left`.
//! - A category in the node's set goes **right**; unknown ones go left.
//! - `base_score` is given as a prediction: the inverse link makes it a margin. One number counts for
//!   every class.
//! - Trees of a random forest (`num_parallel_tree`) are summed; dart weighs each tree.
//!
//! XGBoost sums margins in `f32`, ours are `f64` sums: scores differ by its rounding.

mod binary;
mod categories;
mod objective;
mod tree;
mod write;

use super::assemble::{ForeignTree, assemble};
use super::document::{At, Value, parse_json};
use super::meta::{self, Meta};
use super::schema::{Column, ColumnKind, Columns};
use super::{Format, ImportError, Imported, most_width, ubjson};
use crate::{Combine, Ensemble};
pub(super) use binary::{is_binary, read as read_binary};
use objective::Objective;
pub(super) use write::write;

pub(super) fn read(bytes: &[u8], format: Format) -> Result<Imported, ImportError> {
    let document = match format {
        Format::XgboostUbjson => ubjson::parse(bytes)?,
        _ => parse_json(bytes, format)?,
    };
    read_document(&document, format, bytes.len())
}

fn read_document(
    document: &Value,
    format: Format,
    n_bytes: usize,
) -> Result<Imported, ImportError> {
    let root = At::root(document, format);
    let learner = root.get("learner")?;
    let mut warnings = Vec::new();
    let parameters = learner.get("learner_model_param")?;
    let objective = Objective::read(&learner, &parameters, most_width(n_bytes), &mut warnings)?;
    let (model, weights) = booster(&learner)?;
    warn_of_early_stop(&learner, &mut warnings);

    let mut columns = columns(&learner, &parameters, &model, most_width(n_bytes))?;
    let mut target = objective.target;
    if let Some(meta) = our_meta(&learner)?
        && meta.columns.len() == columns.0.len()
    {
        columns.0 = meta.columns;
        if meta.target.n_outputs() == target.n_outputs() {
            target = meta.target;
        }
    }
    let trees = model.get("trees")?.items()?;
    let info = model.get("tree_info")?.indices(trees.len())?;
    let n_outputs = objective.base.len();
    let mut bytes_left = super::most_memory(n_bytes);
    let (mut foreign, mut tree_output) = (Vec::with_capacity(trees.len()), Vec::new());
    for (index, at) in trees.iter().enumerate() {
        let weight = match &weights {
            Some(weights) => single(weights.get(index).copied().unwrap_or(1.0)),
            None => 1.0,
        };
        foreign.push(tree::read(at, columns.0.len(), n_outputs, weight, &mut bytes_left)?);
        match info[index] {
            Some(output) if output < n_outputs => tree_output.push(output as u32),
            _ => {
                let detail = format!("item {index} is no class of {n_outputs}");
                return Err(model.get("tree_info")?.malformed(detail));
            }
        }
    }
    let conflict = columns.adopt(foreign.iter().map(|(tree, _)| tree));
    if let Some(column) = conflict {
        let name = &columns.0[column].name;
        let detail = format!("column {name:?} is split as a number and as a category");
        return Err(model.unsupported(detail));
    }
    columns.learn_categories(foreign.iter().map(|(tree, _)| tree));
    let n_set_bytes = columns.bytes_of_sets(foreign.iter().map(|(tree, _)| tree));
    if n_set_bytes > super::most_memory(n_bytes) {
        return Err(model.unsupported(format!("sets of categories of {n_set_bytes} bytes")));
    }
    let built =
        foreign.iter().zip(&trees).map(|((tree, width), at): (&(ForeignTree, usize), _)| {
            assemble(tree, *width, |column, value| columns.code(column, value)).map_err(
                |misplaced| at.malformed(format!("node {} {}", misplaced.node, misplaced.fault)),
            )
        });
    let ensemble = Ensemble {
        trees: built.collect::<Result<_, _>>()?,
        tree_output,
        base: objective.base,
        combine: Combine::Sum,
        link: objective.link,
    };
    let schema = columns.schema().map_err(|source| ImportError::Schema { format, source })?;
    let version = root.find("version").and_then(|at| at.numbers().ok()).unwrap_or_default();
    let version: Vec<String> = version.iter().map(ToString::to_string).collect();
    let source = format!("{format} {}", version.join("."));
    Ok(Imported { schema, target, ensemble, source, warnings })
}

/// Columns and target of a model that we exported.
fn our_meta(learner: &At<'_>) -> Result<Option<Meta>, ImportError> {
    let written = learner.find("attributes").and_then(|attributes| attributes.find(meta::KEY));
    let Some(at) = written else { return Ok(None) };
    Meta::parse(at.text()?).map(Some).map_err(|detail| at.malformed(detail))
}

/// The trees and, for dart, their weights.
fn booster<'a>(learner: &At<'a>) -> Result<(At<'a>, Option<Vec<f64>>), ImportError> {
    let booster = learner.get("gradient_booster")?;
    let name = booster.get("name")?;
    match name.text()? {
        "gbtree" => Ok((booster.get("model")?, None)),
        "dart" => {
            let model = booster.get("gbtree")?.get("model")?;
            let n_trees = model.get("trees")?.items()?.len();
            let weights = booster.get("weight_drop")?.exactly(n_trees)?;
            Ok((model, Some(weights)))
        }
        other => Err(name.unsupported(no_trees(other))),
    }
}

fn columns(
    learner: &At<'_>,
    parameters: &At<'_>,
    model: &At<'_>,
    most_columns: usize,
) -> Result<Columns, ImportError> {
    let declared = parameters.get("num_feature")?;
    let n_columns: usize = declared.number()?;
    if n_columns > most_columns {
        return Err(declared.unsupported(format!("{n_columns} columns, at most {most_columns}")));
    }
    let texts = |key: &str| -> Result<Vec<&str>, ImportError> {
        let Some(at) = learner.find(key) else { return Ok(Vec::new()) };
        let texts = at.items()?.iter().map(At::text).collect::<Result<Vec<_>, _>>()?;
        if !texts.is_empty() && texts.len() != n_columns {
            let detail = format!("{} entries, num_feature is {n_columns}", texts.len());
            return Err(at.malformed(detail));
        }
        Ok(texts)
    };
    let (names, types) = (texts("feature_names")?, texts("feature_types")?);
    let mut known = categories::read(model, n_columns)?;
    let column = |index: usize| {
        let name = names.get(index).map_or_else(|| format!("f{index}"), |name| (*name).to_owned());
        let kind = match (known.get_mut(index).and_then(Option::take), types.get(index)) {
            (Some(names), _) => ColumnKind::Named(names),
            (None, Some(&"c")) => ColumnKind::Numbered(Vec::new()),
            (None, _) => ColumnKind::Number,
        };
        Column { name, kind }
    };
    Ok(Columns((0..n_columns).map(column).collect()))
}

/// A fit that stopped early keeps its later trees; XGBoost's `Booster.predict` uses them all, too.
fn warn_of_early_stop(learner: &At<'_>, warnings: &mut Vec<String>) {
    let best = learner.find("attributes").and_then(|attributes| attributes.find(BEST_ITERATION));
    if let Some(best) = best.and_then(|at| at.text().ok()) {
        warnings.push(early_stop(best));
    }
}

/// The attribute that a fit which stopped early leaves.
const BEST_ITERATION: &str = "best_iteration";

fn early_stop(best: &str) -> String {
    format!(
        "best_iteration is {best}: all trees are used, as Booster.predict does; slice the booster \
         before saving to score as the scikit-learn wrapper does"
    )
}

/// Why a booster is refused.
fn no_trees(booster: &str) -> String {
    match booster {
        "gblinear" => {
            "booster \"gblinear\" is a linear model without trees: fit it again with booster \
                       \"gbtree\" or \"dart\""
                .to_owned()
        }
        other => format!("booster {other:?}: no trees"),
    }
}

/// A number as XGBoost holds it.
fn single(value: f64) -> f64 {
    f64::from(value as f32)
}
