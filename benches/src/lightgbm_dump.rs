//! Our model from LightGBM's `dump_model()`, so that every engine walks the very same trees.
//!
//! Binary objective, numbers and categories, one output.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use segue_dataset::TargetKind;
use segue_model::{
    Calibration, CategorySet, Child, Combine, Ensemble, Link, MissingRule, Model, ModelParts, Node,
    Split, Tree,
};
use serde::Deserialize;

use crate::fit::schema_of;

#[derive(Deserialize)]
struct Dump {
    objective: String,
    tree_info: Vec<TreeInfo>,
}

#[derive(Deserialize)]
struct TreeInfo {
    tree_structure: Branch,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Branch {
    Inner(Inner),
    Leaf {
        leaf_value: f64,
        #[serde(default)]
        leaf_count: f64,
    },
}

#[derive(Deserialize)]
struct Inner {
    split_feature: u32,
    threshold: Threshold,
    default_left: bool,
    missing_type: String,
    split_gain: f64,
    internal_count: f64,
    left_child: Box<Branch>,
    right_child: Box<Branch>,
}

/// A number, or codes as `0||3||7`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Threshold {
    AtMost(f64),
    OneOf(String),
}

/// Reads a dump; `n_categories` as in a table.
pub(crate) fn read(path: &Path, n_categories: &[u64]) -> anyhow::Result<Model> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let dump: Dump = serde_json::from_str(&text)
        .with_context(|| format!("{} is no dump of LightGBM", path.display()))?;
    ensure!(dump.objective == "binary sigmoid:1", "objective {:?}", dump.objective);
    let trees = dump.tree_info.iter().map(|info| tree(&info.tree_structure));
    let trees = trees.collect::<anyhow::Result<Vec<Tree>>>()?;
    Ok(Model::new(ModelParts {
        schema: Arc::new(schema_of(n_categories)?),
        target: TargetKind::Binary,
        task: "benches".to_owned(),
        ensemble: Ensemble {
            tree_output: vec![0; trees.len()],
            trees,
            base: vec![0.0],
            combine: Combine::Sum,
            link: Link::Logistic,
        },
        calibration: Calibration::None,
        behaviours: Vec::new(),
        feature_set_hash: None,
    })?)
}

fn tree(root: &Branch) -> anyhow::Result<Tree> {
    let mut tree =
        Tree { nodes: Vec::new(), leaf_values: Vec::new(), leaf_cover: Vec::new(), leaf_width: 1 };
    add(root, &mut tree)?;
    Ok(tree)
}

/// Adds a branch, parents before children.
fn add(branch: &Branch, tree: &mut Tree) -> anyhow::Result<Child> {
    match branch {
        Branch::Leaf { leaf_value, leaf_count } => {
            tree.leaf_values.push(*leaf_value);
            tree.leaf_cover.push(*leaf_count);
            Ok(Child::Leaf(tree.leaf_cover.len() as u32 - 1))
        }
        Branch::Inner(inner) => {
            let at = tree.nodes.len();
            tree.nodes.push(Node {
                feature: inner.split_feature,
                split: inner.split()?,
                missing: inner.missing()?,
                left: Child::Leaf(0),
                right: Child::Leaf(0),
                gain: inner.split_gain,
                cover: inner.internal_count,
            });
            let left = add(&inner.left_child, tree)?;
            let right = add(&inner.right_child, tree)?;
            (tree.nodes[at].left, tree.nodes[at].right) = (left, right);
            Ok(Child::Node(at as u32))
        }
    }
}

impl Inner {
    fn split(&self) -> anyhow::Result<Split> {
        Ok(match &self.threshold {
            Threshold::AtMost(threshold) => Split::AtMost(*threshold),
            Threshold::OneOf(codes) => {
                let codes: Result<Vec<u32>, _> = codes.split("||").map(str::parse).collect();
                Split::In(CategorySet::from_codes(codes?))
            }
        })
    }

    fn missing(&self) -> anyhow::Result<MissingRule> {
        Ok(match (&self.threshold, self.missing_type.as_str(), self.default_left) {
            (Threshold::OneOf(_), _, _) | (_, "NaN", false) => MissingRule::Right,
            (_, "NaN", true) => MissingRule::Left,
            (_, "None", _) => MissingRule::AsZero,
            (_, "Zero", true) => MissingRule::ZeroLeft,
            (_, "Zero", false) => MissingRule::ZeroRight,
            (_, other, _) => bail!("missing type {other:?}"),
        })
    }
}
