//! Writing LightGBM's text, version v4.

use std::collections::HashSet;
use std::fmt::{Display, Write};

use segue_dataset::{Schema, TargetKind};

use crate::exchange::expand::{Dialect, PlainTree, Test, expand};
use crate::exchange::{ExportError, Exported, Format};
use crate::tree::LIGHTGBM_ZERO;
use crate::{Child, Combine, Ensemble, Link, MissingRule, Model, Tree};

/// A tree as LightGBM has it, and the values of its leaves.
struct Written {
    tree: PlainTree,
    values: Vec<f64>,
}

pub(in crate::exchange) fn write(model: &Model) -> Result<Exported, ExportError> {
    let (ensemble, schema) = (model.ensemble(), model.schema());
    let unsupported =
        |reason: &str| ExportError::Unsupported { format: Format::LightGbm, reason: reason.into() };
    if schema.is_empty() {
        return Err(unsupported("it has no columns"));
    }
    let mut notes = Vec::new();
    let average = ensemble.combine == Combine::Mean && averages_alike(ensemble);
    if ensemble.combine == Combine::Mean && !average {
        notes.push("leaves are divided by the number of trees, which rounds them".to_owned());
    }
    let trees = trees(model, average)?;
    let n_outputs = ensemble.n_outputs();
    let objective = match (ensemble.link, model.target()) {
        (Link::Logistic, _) => Some("binary sigmoid:1".to_owned()),
        (Link::Softmax, _) => Some(format!("multiclass num_class:{n_outputs}")),
        (Link::Exp, _) => Some("poisson".to_owned()),
        (Link::Identity, TargetKind::Regression) => Some("regression".to_owned()),
        (Link::Identity, TargetKind::Binary) => {
            notes.push("probabilities are written as the numbers of a regression".to_owned());
            Some("regression".to_owned())
        }
        (Link::Identity, TargetKind::Multiclass { .. }) => {
            notes.push("probabilities are written without an objective".to_owned());
            None
        }
    };
    if touches_zero(&trees) {
        notes.push("LightGBM reads numbers of at most 1e-35 in size as 0".to_owned());
    }
    let mut text = format!(
        "tree\nversion=v4\nnum_class={n_outputs}\nnum_tree_per_iteration={n_outputs}\n\
         label_index=0\nmax_feature_idx={}\n",
        schema.len() - 1
    );
    if let Some(objective) = objective {
        text.push_str(&format!("objective={objective}\n"));
    }
    if average {
        text.push_str("average_output\n");
    }
    line(&mut text, "feature_names", names(schema, &mut notes));
    line(&mut text, "feature_infos", infos(schema, &trees));
    let blocks: Vec<String> =
        trees.iter().enumerate().map(|(index, written)| block(index, written)).collect();
    line(&mut text, "tree_sizes", blocks.iter().map(String::len));
    text.push('\n');
    blocks.iter().for_each(|block| text.push_str(block));
    text.push_str("end of trees\n\nfeature_importances:\n\nparameters:\nend of parameters\n\n");
    let vocabularies = schema.features().iter().filter_map(|feature| feature.vocabulary());
    let vocabularies: serde_json::Value = vocabularies.map(frame_categories).collect();
    text.push_str(&format!("pandas_categorical:{vocabularies}\n"));
    Ok(Exported { bytes: text.into_bytes(), notes })
}

/// The categories of a frame: names that are all whole numbers were most likely numbers there, and a
/// frame's number is not its text.
fn frame_categories(names: &[String]) -> serde_json::Value {
    let number = |name: &String| name.parse::<i64>().ok().filter(|n| n.to_string() == *name);
    let numbers: Option<Vec<i64>> = names.iter().map(number).collect();
    numbers.map_or_else(|| serde_json::json!(names), |numbers| serde_json::json!(numbers))
}

/// Whether every output is the mean of as many trees and starts from 0, as LightGBM's forests do.
fn averages_alike(ensemble: &Ensemble) -> bool {
    let counts = ensemble.n_trees_by_output();
    counts.iter().all(|count| *count == counts[0]) && ensemble.base.iter().all(|&base| base == 0.0)
}

/// Trees of one value a leaf, output by output in turn. Start values are constant trees at the end,
/// since they are added last.
fn trees(model: &Model, average: bool) -> Result<Vec<Written>, ExportError> {
    let ensemble = model.ensemble();
    let n_outputs = ensemble.n_outputs();
    let counts = ensemble.n_trees_by_output();
    let mut by_output: Vec<Vec<Written>> = (0..n_outputs).map(|_| Vec::new()).collect();
    for (tree, &to) in ensemble.trees.iter().zip(&ensemble.tree_output) {
        let plain = expand(tree, model.schema(), Dialect::LightGbm, Format::LightGbm)?;
        for output in tree.outputs(to as usize) {
            let divisor = match (ensemble.combine, average) {
                (Combine::Mean, false) => counts[output],
                _ => 1.0,
            };
            let values = plain.leaves.iter().map(|leaf| {
                let values = tree.leaf_values(leaf.source);
                values[if values.len() == 1 { 0 } else { output }] / divisor
            });
            by_output[output].push(Written { values: values.collect(), tree: plain.clone() });
        }
    }
    if ensemble.base.iter().any(|&base| base != 0.0) {
        for (trees, &base) in by_output.iter_mut().zip(&ensemble.base) {
            trees.push(constant(base));
        }
    }
    // LightGBM loads no model without trees
    let n_iterations = by_output.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let mut in_turn = Vec::with_capacity(n_iterations * n_outputs);
    let mut by_output: Vec<_> = by_output.into_iter().map(Vec::into_iter).collect();
    for _ in 0..n_iterations {
        in_turn.extend(by_output.iter_mut().map(|trees| trees.next().unwrap_or(constant(0.0))));
    }
    Ok(in_turn)
}

fn constant(value: f64) -> Written {
    let leaf = Tree::constant(vec![value], 0.0);
    let leaves = vec![crate::exchange::expand::PlainLeaf { source: 0, cover: leaf.leaf_cover[0] }];
    Written { tree: PlainTree { nodes: Vec::new(), leaves }, values: leaf.leaf_values }
}

/// Whether a question parts the numbers that LightGBM takes for 0.
fn touches_zero(trees: &[Written]) -> bool {
    let tests = trees.iter().flat_map(|written| &written.tree.nodes).map(|node| &node.test);
    tests.clone().any(|test| match test {
        Test::AtMost(threshold) => (-LIGHTGBM_ZERO..LIGHTGBM_ZERO).contains(threshold),
        Test::Below(threshold) => *threshold > -LIGHTGBM_ZERO && *threshold <= LIGHTGBM_ZERO,
        Test::OneOf(_) => false,
    })
}

fn line<T: Display>(text: &mut String, key: &str, values: impl IntoIterator<Item = T>) {
    text.push_str(key);
    for (at, value) in values.into_iter().enumerate() {
        // writing to a text does not fail
        let _ = write!(text, "{}{value}", if at == 0 { '=' } else { ' ' });
    }
    if text.ends_with(key) {
        text.push('=');
    }
    text.push('\n');
}

/// Names without what LightGBM forbids in them, and still different.
fn names(schema: &Schema, notes: &mut Vec<String>) -> Vec<String> {
    let forbidden = |letter: char| letter.is_whitespace() || r#"[]{}":,="#.contains(letter);
    let mut taken = HashSet::new();
    let mut changed = 0;
    let mut name = |feature: &segue_dataset::Feature| {
        let mut name = feature.name.replace(forbidden, "_");
        while !taken.insert(name.clone()) {
            name.push('_');
        }
        changed += usize::from(name != feature.name);
        name
    };
    let names = schema.features().iter().map(&mut name).collect();
    if changed > 0 {
        notes
            .push(format!("{changed} column names hold what LightGBM forbids in names: _ instead"));
    }
    names
}

fn infos(schema: &Schema, trees: &[Written]) -> Vec<String> {
    let mut ranges = vec![(f64::INFINITY, f64::NEG_INFINITY); schema.len()];
    for node in trees.iter().flat_map(|written| &written.tree.nodes) {
        if let Test::AtMost(threshold) | Test::Below(threshold) = node.test
            && threshold.is_finite()
        {
            let (low, high) = &mut ranges[node.feature as usize];
            (*low, *high) = (low.min(threshold), high.max(threshold));
        }
    }
    let info = |(feature, &(low, high)): (&segue_dataset::Feature, &(f64, f64))| match feature
        .vocabulary()
    {
        Some([]) => "0".to_owned(),
        Some(names) => {
            let codes: Vec<String> = (0..names.len()).map(|code| code.to_string()).collect();
            codes.join(":")
        }
        None if low <= high => format!("[{low:?}:{high:?}]"),
        None => "none".to_owned(),
    };
    schema.features().iter().zip(&ranges).map(info).collect()
}

/// Column by column of the block.
#[derive(Default)]
struct Columns {
    feature: Vec<u32>,
    gain: Vec<f64>,
    threshold: Vec<String>,
    decision: Vec<u8>,
    left: Vec<i64>,
    right: Vec<i64>,
    cover: Vec<f64>,
    boundaries: Vec<usize>,
    words: Vec<u32>,
}

fn block(index: usize, written: &Written) -> String {
    let Written { tree, values } = written;
    let mut columns = Columns { boundaries: vec![0], ..Columns::default() };
    for node in &tree.nodes {
        let (threshold, decision) = match &node.test {
            Test::AtMost(threshold) => (format!("{threshold:?}"), number_decision(node)),
            // the largest number below it
            Test::Below(threshold) => {
                (format!("{:?}", threshold.next_down()), number_decision(node))
            }
            Test::OneOf(set) => {
                let at = columns.boundaries.len() - 1;
                columns.words.extend(
                    set.words().iter().flat_map(|word| [*word as u32, (*word >> 32) as u32]),
                );
                columns.boundaries.push(columns.words.len());
                // category, missing type NaN
                (at.to_string(), 1 | 2 << 2)
            }
        };
        columns.feature.push(node.feature);
        columns.gain.push(node.gain);
        columns.threshold.push(threshold);
        columns.decision.push(decision);
        columns.left.push(child(node.yes));
        columns.right.push(child(node.no));
        columns.cover.push(node.cover);
    }
    let n_sets = columns.boundaries.len() - 1;
    let mut text = format!("Tree={index}\nnum_leaves={}\nnum_cat={n_sets}\n", values.len());
    line(&mut text, "split_feature", &columns.feature);
    line(&mut text, "split_gain", &columns.gain);
    line(&mut text, "threshold", &columns.threshold);
    line(&mut text, "decision_type", &columns.decision);
    line(&mut text, "left_child", &columns.left);
    line(&mut text, "right_child", &columns.right);
    line(&mut text, "leaf_value", values.iter().map(|value| format!("{value:?}")));
    line(&mut text, "leaf_weight", tree.leaves.iter().map(|leaf| leaf.cover));
    line(&mut text, "leaf_count", tree.leaves.iter().map(|leaf| count(leaf.cover)));
    line(&mut text, "internal_value", columns.cover.iter().map(|_| 0));
    line(&mut text, "internal_weight", &columns.cover);
    line(&mut text, "internal_count", columns.cover.iter().map(|&cover| count(cover)));
    if n_sets > 0 {
        line(&mut text, "cat_boundaries", &columns.boundaries);
        line(&mut text, "cat_threshold", &columns.words);
    }
    text.push_str("is_linear=0\nshrinkage=1\n\n\n");
    text
}

fn number_decision(node: &crate::exchange::expand::PlainNode) -> u8 {
    // a question that parts missing from categories has its own side
    let missing = match (&node.test, node.missing_yes) {
        (Test::AtMost(f64::MIN), true) => MissingRule::Left,
        _ => node.missing,
    };
    match missing {
        MissingRule::AsZero => 0,
        MissingRule::ZeroLeft => 2 | 1 << 2,
        MissingRule::ZeroRight => 1 << 2,
        MissingRule::Left => 2 | 2 << 2,
        MissingRule::Right => 2 << 2,
    }
}

fn child(child: Child) -> i64 {
    match child {
        Child::Node(node) => i64::from(node),
        Child::Leaf(leaf) => !i64::from(leaf),
    }
}

/// Counts are whole there, and fit 31 bits.
fn count(cover: f64) -> i32 {
    cover.round() as i32
}
