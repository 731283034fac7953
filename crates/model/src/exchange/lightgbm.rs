//! LightGBM's text format: `key=value` lines, a head, one block a tree, and a tail; and its JSON, which
//! says the same in another way.
//!
//! Rules that are easy to get wrong, from LightGBM's sources (`tree.h`, `gbdt_model_text.cpp`,
//! `c_api.cpp`):
//!
//! - A number goes left iff `value <= threshold`, in `f64`. A value of at most `1e-35f` in size is
//!   read as 0 before any tree sees it, whatever the missing type.
//! - Missing type None reads NaN as 0, Zero sends NaN and 0 to the default side, NaN only NaN.
//! - A category in the set goes left; NaN, negative and unknown ones go right.
//! - The initial score is part of the first tree; random forests divide by their iterations.

mod head;
mod json;
mod lines;
mod objective;
mod place;
mod question;
mod tree;
mod write;

use super::assemble::{ForeignTree, assemble};
use super::document::{At, parse_json};
use super::{Format, ImportError, Imported, most_memory};
use crate::{Combine, Ensemble};
use head::Head;
use lines::Lines;
use place::Place;
pub(super) use write::write;

pub(super) fn read(bytes: &[u8]) -> Result<Imported, ImportError> {
    let mut lines = Lines::new(bytes)?;
    let mut head = Head::read(&mut lines, bytes.len())?;
    let mut trees: Vec<(Place, ForeignTree)> = Vec::new();
    let mut bytes_left = most_memory(bytes.len());
    while let Some((place, tree)) = tree::read(&mut lines, trees.len(), &mut head, &mut bytes_left)?
    {
        trees.push((place, tree));
    }
    let end = lines.here("end of trees");
    let pandas = lines.pandas_categorical()?;
    finish(head, trees, pandas, &end, Format::LightGbm, bytes.len())
}

pub(super) fn read_json(bytes: &[u8]) -> Result<Imported, ImportError> {
    let format = Format::LightGbmJson;
    let document = parse_json(bytes, format)?;
    let (head, trees) = json::read(&At::root(&document, format), bytes.len())?;
    let pandas = json::pandas_categorical(bytes)?;
    let end = Place::Path("tree_info".to_owned());
    finish(head, trees, pandas, &end, format, bytes.len())
}

/// The model of a head and its trees. `end` is where all trees are read.
fn finish(
    mut head: Head,
    trees: Vec<(Place, ForeignTree)>,
    pandas: Vec<Vec<String>>,
    end: &Place,
    format: Format,
    n_bytes: usize,
) -> Result<Imported, ImportError> {
    head.check_count(trees.len())?;
    let probabilities_in_leaves = head.leaves_hold_probabilities(&trees);
    let mut warnings = Vec::new();
    let (target, link, scale) = head.target(probabilities_in_leaves, &mut warnings)?;
    let mut columns = head.columns(pandas, &mut warnings);
    columns.learn_categories(trees.iter().map(|(_, tree)| tree));
    let n_set_bytes = columns.bytes_of_sets(trees.iter().map(|(_, tree)| tree));
    if n_set_bytes > most_memory(n_bytes) {
        let detail = format!("sets of categories of {n_set_bytes} bytes");
        return Err(end.unsupported(detail));
    }
    let n_outputs = head.trees_per_iteration;
    let trees: Vec<_> = (trees.into_iter())
        .map(|(place, tree)| {
            let built = assemble(&tree, 1, |column, value| columns.code(column, value));
            let mut built = built.map_err(|misplaced| {
                let (node, fault) = (misplaced.node, misplaced.fault);
                place.malformed(format!("node {node} {fault}"))
            })?;
            built.leaf_values.iter_mut().for_each(|value| *value *= scale);
            Ok(built)
        })
        .collect::<Result<_, ImportError>>()?;
    let ensemble = Ensemble {
        tree_output: (0..trees.len()).map(|tree| (tree % n_outputs) as u32).collect(),
        trees,
        base: vec![0.0; n_outputs],
        combine: if head.average { Combine::Mean } else { Combine::Sum },
        link,
    };
    let schema = columns.schema();
    let schema = schema.map_err(|source| ImportError::Schema { format, source })?;
    let source = format!("{format} {}", head.version);
    Ok(Imported { schema, target, ensemble, source, warnings })
}
