//! Writing XGBoost's JSON.

mod tree;

use std::collections::BTreeMap;

use segue_dataset::TargetKind;
use serde::Serialize;

use super::objective::{Inverse, margin};
use crate::exchange::expand::{Dialect, PlainLeaf, PlainTree, expand};
use crate::exchange::meta::{self, Meta};
use crate::exchange::{ExportError, Exported, Format};
use crate::{Combine, Link, Model};
use tree::{Rounding, WrittenTree, written};

const FORMAT: Format = Format::XgboostJson;

type Texts = BTreeMap<&'static str, String>;

#[derive(Serialize)]
struct Document {
    learner: Learner,
    version: [u32; 3],
}

#[derive(Serialize)]
struct Learner {
    attributes: Texts,
    feature_names: Vec<String>,
    feature_types: Vec<&'static str>,
    gradient_booster: Booster,
    learner_model_param: Texts,
    objective: BTreeMap<&'static str, Objective>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Objective {
    Name(&'static str),
    Parameters(Texts),
}

#[derive(Serialize)]
struct Booster {
    model: BoosterModel,
    name: &'static str,
}

#[derive(Serialize)]
struct BoosterModel {
    gbtree_model_param: Texts,
    iteration_indptr: Vec<usize>,
    tree_info: Vec<usize>,
    trees: Vec<WrittenTree>,
}

pub(in crate::exchange) fn write(model: &Model) -> Result<Exported, ExportError> {
    let ensemble = model.ensemble();
    let n_outputs = ensemble.n_outputs();
    let mut notes = Vec::new();
    let (name, inverse) = match (ensemble.link, model.target()) {
        (Link::Logistic, _) => ("binary:logistic", Inverse::Logit),
        (Link::Softmax, _) => ("multi:softprob", Inverse::Identity),
        (Link::Exp, _) => ("count:poisson", Inverse::Log),
        (Link::Identity, TargetKind::Regression) => ("reg:squarederror", Inverse::Identity),
        (Link::Identity, TargetKind::Binary) => {
            notes.push("probabilities are written as the numbers of a regression".to_owned());
            ("reg:squarederror", Inverse::Identity)
        }
        (Link::Identity, TargetKind::Multiclass { .. }) => {
            let reason = "it has no objective for trees that sum up to class probabilities";
            return Err(ExportError::Unsupported { format: FORMAT, reason: reason.to_owned() });
        }
    };
    let counts = ensemble.n_trees_by_output();
    let mut rounding = Rounding::default();
    let (mut trees, mut tree_info) = (Vec::new(), Vec::new());
    for (tree, &to) in ensemble.trees.iter().zip(&ensemble.tree_output) {
        let plain = expand(tree, model.schema(), Dialect::SideForMissing, FORMAT)?;
        for output in tree.outputs(to as usize) {
            let divisor = match ensemble.combine {
                Combine::Mean => counts[output],
                Combine::Sum => 1.0,
            };
            let value = |source: u32| {
                let values = tree.leaf_values(source);
                values[if values.len() == 1 { 0 } else { output }] / divisor
            };
            trees.push(written(&plain, value, trees.len(), model.schema().len(), &mut rounding));
            tree_info.push(output);
        }
    }
    let scores: Option<Vec<f32>> =
        ensemble.base.iter().map(|&base| score_of(base, inverse)).collect();
    let scores = scores.unwrap_or_else(|| {
        // no prediction has this margin: it becomes a tree, and the start is neutral
        for (output, &base) in ensemble.base.iter().enumerate() {
            let leaf =
                PlainTree { nodes: Vec::new(), leaves: vec![PlainLeaf { source: 0, cover: 0.0 }] };
            trees.push(written(&leaf, |_| base, trees.len(), model.schema().len(), &mut rounding));
            tree_info.push(output);
        }
        vec![neutral(inverse); n_outputs]
    });
    rounding.note(&mut notes);
    let n_categories =
        model.schema().features().iter().filter(|column| column.is_category()).count();
    if n_categories > 0 {
        notes.push(format!(
            "{n_categories} categorical columns: XGBoost must be given codes, in the order of the \
             names in the attribute \"segue\""
        ));
    }
    let document = document(model, name, &scores, tree_info, trees);
    // numbers and texts always have a JSON form
    Ok(Exported { bytes: serde_json::to_vec(&document).unwrap_or_default(), notes })
}

fn document(
    model: &Model,
    objective: &'static str,
    scores: &[f32],
    tree_info: Vec<usize>,
    trees: Vec<WrittenTree>,
) -> Document {
    let (schema, n_outputs) = (model.schema(), model.n_outputs());
    let features = schema.features();
    let n_classes = if n_outputs > 1 { n_outputs } else { 0 };
    let one = |key, value: String| BTreeMap::from([(key, value)]);
    let alike = scores.iter().all(|score| score.to_bits() == scores[0].to_bits());
    let texts: Vec<String> = scores.iter().map(ToString::to_string).collect();
    // one number for all classes is understood by every version, a list since 3.1
    let base_score = if alike { texts[0].clone() } else { format!("[{}]", texts.join(",")) };
    let parameter = if n_outputs > 1 {
        ("softmax_multiclass_param", one("num_class", n_classes.to_string()))
    } else if objective == "count:poisson" {
        ("poisson_regression_param", one("max_delta_step", "0.7".to_owned()))
    } else {
        ("reg_loss_param", one("scale_pos_weight", "1".to_owned()))
    };
    Document {
        learner: Learner {
            attributes: one(meta::KEY, Meta::text(schema, model.target())),
            feature_names: features.iter().map(|feature| feature.name.clone()).collect(),
            feature_types: features
                .iter()
                .map(|feature| if feature.is_category() { "c" } else { "float" })
                .collect(),
            gradient_booster: Booster {
                model: BoosterModel {
                    gbtree_model_param: BTreeMap::from([
                        ("num_parallel_tree", "1".to_owned()),
                        ("num_trees", trees.len().to_string()),
                    ]),
                    iteration_indptr: (0..=trees.len().div_ceil(n_outputs))
                        .map(|iteration| (iteration * n_outputs).min(trees.len()))
                        .collect(),
                    tree_info,
                    trees,
                },
                name: "gbtree",
            },
            learner_model_param: BTreeMap::from([
                ("base_score", base_score),
                ("boost_from_average", "1".to_owned()),
                ("num_class", n_classes.to_string()),
                ("num_feature", schema.len().to_string()),
                ("num_target", "1".to_owned()),
            ]),
            objective: BTreeMap::from([
                ("name", Objective::Name(objective)),
                (parameter.0, Objective::Parameters(parameter.1)),
            ]),
        },
        version: [3, 1, 0],
    }
}

/// The start that adds nothing.
fn neutral(inverse: Inverse) -> f32 {
    match inverse {
        Inverse::Identity => 0.0,
        Inverse::Logit => 0.5,
        Inverse::Log => 1.0,
    }
}

/// A prediction whose margin is exactly `base`, if there is one near.
fn score_of(base: f64, inverse: Inverse) -> Option<f32> {
    let mut score = match inverse {
        Inverse::Identity => base,
        Inverse::Logit => crate::sigmoid(base),
        Inverse::Log => crate::numeric::exp(base),
    } as f32;
    (0..4).for_each(|_| score = score.next_down());
    for _ in 0..9 {
        if margin(score, inverse) == base && score.is_finite() {
            // 0 rather than -0
            return Some(score + 0.0);
        }
        score = score.next_up();
    }
    None
}
