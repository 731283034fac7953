//! Does everything in a model fit together?

use segue_dataset::{Feature, TargetKind};

use super::ModelParts;
use crate::courtesy::giving_way;
use crate::{Calibration, Child, Ensemble, Link, Split, Tree};

/// Why parts do not make a model.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum ModelError {
    /// A list has another length than what it belongs to.
    #[error("{part} has {found} entries, expected {expected}")]
    Length {
        /// Which list.
        part: &'static str,
        /// What it should have.
        expected: usize,
        /// What it has.
        found: usize,
    },
    /// Class names that are too few or not unique.
    #[error("a multiclass target has at least two classes with different names, found {classes:?}")]
    Classes {
        /// The class names.
        classes: Vec<String>,
    },
    /// A link that gives no value of the target's kind.
    #[error("link {link:?} does not fit a {target} target, expected {expected}")]
    LinkOfTarget {
        /// The link.
        link: Link,
        /// The kind of target.
        target: &'static str,
        /// The links that fit.
        expected: &'static str,
    },
    /// A base value that is not finite, or leaves whose sums or differences may not be.
    #[error("margins may not stay finite: {detail}")]
    NotFinite {
        /// Where.
        detail: String,
    },
    /// A calibration that is not monotone, not finite, or not of the target's kind.
    #[error("calibration {name}: {fault}")]
    Calibration {
        /// Kind of calibration.
        name: &'static str,
        /// What is wrong.
        fault: String,
    },
    /// A tree that cannot be walked.
    #[error("tree {tree}: {fault}")]
    Tree {
        /// Index of the tree.
        tree: usize,
        /// What is wrong.
        fault: String,
    },
}

pub(super) fn check(parts: &ModelParts) -> Result<(), ModelError> {
    let length = |part: &'static str, expected: usize, found: usize| {
        if expected == found { Ok(()) } else { Err(ModelError::Length { part, expected, found }) }
    };
    if let TargetKind::Multiclass { classes } = &parts.target {
        let mut names: Vec<&String> = classes.iter().collect();
        names.sort_unstable();
        names.dedup();
        if names.len() < 2 || names.len() != classes.len() {
            return Err(ModelError::Classes { classes: classes.clone() });
        }
    }
    let ensemble = &parts.ensemble;
    let n_outputs = parts.target.n_outputs();
    length("the base", n_outputs, ensemble.base.len())?;
    length("tree_output", ensemble.trees.len(), ensemble.tree_output.len())?;
    length("behaviours", parts.schema.len(), parts.behaviours.len())?;
    check_link(&parts.target, ensemble.link)?;
    let trees = ensemble.trees.iter().zip(&ensemble.tree_output).enumerate();
    for (index, (tree, &output)) in giving_way(trees) {
        check_tree(tree, output, n_outputs, parts.schema.features())
            .map_err(|fault| ModelError::Tree { tree: index, fault })?;
    }
    check_margins(ensemble)?;
    check_calibration(&parts.calibration, &parts.target)
}

fn check_link(target: &TargetKind, link: Link) -> Result<(), ModelError> {
    let (target, expected, fits) = match target {
        TargetKind::Binary => {
            let fits = matches!(link, Link::Logistic | Link::Identity);
            ("binary", "Logistic or Identity", fits)
        }
        TargetKind::Multiclass { .. } => {
            let fits = matches!(link, Link::Softmax | Link::Identity);
            ("multiclass", "Softmax or Identity", fits)
        }
        TargetKind::Regression => {
            ("regression", "Identity or Exp", matches!(link, Link::Identity | Link::Exp))
        }
    };
    if fits { Ok(()) } else { Err(ModelError::LinkOfTarget { link, target, expected }) }
}

/// No sum of leaves may overflow, so that every row's margin is finite, and no difference of two such
/// sums, so that every contribution is.
fn check_margins(ensemble: &Ensemble) -> Result<(), ModelError> {
    if let Some(output) = ensemble.base.iter().position(|base| !base.is_finite()) {
        let detail = format!("base {output} is {}", ensemble.base[output]);
        return Err(ModelError::NotFinite { detail });
    }
    let largest =
        |values: &[f64]| values.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    let bound = largest(&ensemble.base)
        + ensemble.trees.iter().map(|tree| largest(&tree.leaf_values)).sum::<f64>();
    if (2.0 * bound).is_finite() {
        return Ok(());
    }
    Err(ModelError::NotFinite { detail: "the largest leaves of all trees overflow".to_owned() })
}

fn check_calibration(calibration: &Calibration, target: &TargetKind) -> Result<(), ModelError> {
    let n_classes = target.n_outputs();
    let fault = calibration.fault().or_else(|| match (calibration, target) {
        (Calibration::None, _)
        | (Calibration::Linear { .. }, TargetKind::Regression)
        | (Calibration::Platt { .. } | Calibration::Isotonic { .. }, TargetKind::Binary) => None,
        (Calibration::PerClass(classes), TargetKind::Multiclass { .. }) => {
            if let Some(inner) =
                classes.iter().find(|inner| matches!(inner, Calibration::Linear { .. }))
            {
                return Some(format!("{} does not keep a probability in [0, 1]", inner.name()));
            }
            let found = classes.len();
            (found != n_classes).then(|| format!("{found} entries for {n_classes} classes"))
        }
        _ => Some("does not fit the target".to_owned()),
    });
    match fault {
        Some(fault) => Err(ModelError::Calibration { name: calibration.name(), fault }),
        None => Ok(()),
    }
}

fn check_tree(
    tree: &Tree,
    output: u32,
    n_outputs: usize,
    features: &[Feature],
) -> Result<(), String> {
    let (width, n_leaves) = (tree.leaf_width as usize, tree.leaf_cover.len());
    if width != 1 && width != n_outputs {
        return Err(format!("leaves of {width} values, expected 1 or {n_outputs}"));
    }
    if output as usize >= n_outputs {
        return Err(format!("adds to output {output} of {n_outputs}"));
    }
    if n_leaves != tree.nodes.len() + 1 {
        return Err(format!(
            "{} nodes and {n_leaves} leaves, expected one more leaf than nodes",
            tree.nodes.len()
        ));
    }
    if n_leaves.checked_mul(width) != Some(tree.leaf_values.len()) {
        let found = tree.leaf_values.len();
        return Err(format!("{found} leaf values for {n_leaves} leaves of {width}"));
    }
    if let Some(at) = tree.leaf_values.iter().position(|value| !value.is_finite()) {
        return Err(format!("leaf {} holds {}", at / width, tree.leaf_values[at]));
    }
    let fits = |cover: &f64| cover.is_finite() && *cover >= 0.0;
    if !tree.leaf_cover.iter().all(fits) || !tree.nodes.iter().all(|node| fits(&node.cover)) {
        return Err("covers must be finite and not below 0".to_owned());
    }
    check_nodes(tree, features)
}

/// Every node and leaf is the child of exactly one node that comes before it.
fn check_nodes(tree: &Tree, features: &[Feature]) -> Result<(), String> {
    let (mut node_seen, mut leaf_seen) =
        (vec![false; tree.nodes.len()], vec![false; tree.n_leaves()]);
    for (index, node) in tree.nodes.iter().enumerate() {
        let Some(feature) = features.get(node.feature as usize) else {
            let (column, n) = (node.feature, features.len());
            return Err(format!("node {index} reads column {column} of {n}"));
        };
        match &node.split {
            Split::AtMost(threshold) | Split::Below(threshold) if threshold.is_nan() => {
                return Err(format!("node {index} compares with NaN"));
            }
            Split::In(_) if !feature.is_category() => {
                return Err(format!("node {index} looks up number {:?} in a set", feature.name));
            }
            _ => {}
        }
        if !node.gain.is_finite() {
            return Err(format!("node {index} has gain {}", node.gain));
        }
        for child in [node.left, node.right] {
            let (seen, what, at) = match child {
                Child::Node(at) => (node_seen.get_mut(at as usize), "node", at),
                Child::Leaf(at) => (leaf_seen.get_mut(at as usize), "leaf", at),
            };
            let later = !matches!(child, Child::Node(at) if at as usize <= index);
            match seen {
                Some(seen) if later && !*seen => *seen = true,
                Some(_) if later => return Err(format!("{what} {at} has two parents")),
                Some(_) => return Err(format!("node {index} leads back to node {at}")),
                None => {
                    return Err(format!("node {index} leads to {what} {at}, which is not there"));
                }
            }
        }
    }
    Ok(())
}
