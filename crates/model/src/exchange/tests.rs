//! There and back, what only other libraries write, files that lie, and what is refused.

mod amplified;
mod binary;
mod dump;
mod foreign;
mod hostile;
mod refused;
mod round_trip;

use segue_dataset::TargetKind;

use super::{Format, Imported, export, import};
use crate::model::tests::small;
use crate::{Calibration, Link, Model, ModelParts};

/// The small model without its calibration.
fn plain() -> Model {
    Model::new(ModelParts { calibration: Calibration::None, ..small() }).unwrap()
}

/// A model of three classes with a tree each.
fn classes() -> Model {
    let parts = small();
    let mut ensemble = parts.ensemble.clone();
    ensemble.trees = vec![ensemble.trees[0].clone(); 3];
    ensemble.tree_output = vec![0, 1, 2];
    ensemble.base = vec![0.0; 3];
    ensemble.link = Link::Softmax;
    let classes = ["a", "b", "c"].map(str::to_owned).to_vec();
    let target = TargetKind::Multiclass { classes };
    Model::new(ModelParts { ensemble, target, calibration: Calibration::None, ..small() }).unwrap()
}

fn text(model: &Model, format: Format) -> String {
    String::from_utf8(export(model, format, true).unwrap().bytes).unwrap()
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in\n{text}");
    text.replacen(from, to, 1)
}

fn error(text: &str) -> String {
    import(text.as_bytes(), None).unwrap_err().to_string()
}
