//! Writing ONNX: one `TreeEnsemble` of `ai.onnx.ml` 5 in double precision, then what makes a
//! prediction of its sums, operator by operator as ours does.

use prost::Message;

use super::proto::{
    ATTRIBUTE_INT, ATTRIBUTE_INTS, ATTRIBUTE_TENSOR, AttributeProto, DOUBLE, DimensionProto,
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, UINT8, ValueInfoProto,
};
use crate::exchange::expand::{Dialect, PlainTree, Test, expand};
use crate::exchange::meta::{self, Meta};
use crate::exchange::{ExportError, Exported, Format};
use crate::{Child, Combine, Link, Model};

/// Codes of `nodes_modes`.
const LEQ: u8 = 0;
const LT: u8 = 1;
const MEMBER: u8 = 6;

/// The arrays of the operator.
#[derive(Default)]
struct Arrays {
    roots: Vec<i64>,
    features: Vec<i64>,
    modes: Vec<u8>,
    splits: Vec<f64>,
    members: Vec<f64>,
    tracks: Vec<i64>,
    /// Index and whether it is of a leaf, for yes and no.
    yes: (Vec<i64>, Vec<i64>),
    no: (Vec<i64>, Vec<i64>),
    leaf_targets: Vec<i64>,
    leaf_weights: Vec<f64>,
}

pub(in crate::exchange) fn write(model: &Model) -> Result<Exported, ExportError> {
    let (ensemble, schema) = (model.ensemble(), model.schema());
    let n_outputs = ensemble.n_outputs();
    if schema.is_empty() {
        let reason = "it has no columns".to_owned();
        return Err(ExportError::Unsupported { format: Format::Onnx, reason });
    }
    let mut arrays = Arrays::default();
    for (tree, &to) in ensemble.trees.iter().zip(&ensemble.tree_output) {
        let plain = expand(tree, schema, Dialect::SideForMissing, Format::Onnx)?;
        for output in tree.outputs(to as usize) {
            let value = |source: u32| {
                let values = tree.leaf_values(source);
                values[if values.len() == 1 { 0 } else { output }]
            };
            arrays.push(&plain, output, value);
        }
    }
    if ensemble.trees.is_empty() {
        arrays.push_leaf_alone(0, 0.0);
    }
    let mut nodes = vec![arrays.node(n_outputs)];
    let mut constants = Vec::new();
    let mut then = |operator: &str, constant: Option<(&str, Vec<f64>)>| {
        let before: &NodeProto = &nodes[nodes.len() - 1];
        let mut input = before.output.clone();
        if let Some((name, values)) = constant {
            input.push(name.to_owned());
            constants.push(tensor(name, values));
        }
        let output = vec![operator.to_lowercase()];
        let op_type = operator.to_owned();
        nodes.push(NodeProto { input, output, op_type, ..NodeProto::default() });
    };
    if ensemble.combine == Combine::Mean {
        then("Div", Some(("n_trees", ensemble.n_trees_by_output())));
    }
    if ensemble.base.iter().any(|&base| base != 0.0) {
        then("Add", Some(("base", ensemble.base.clone())));
    }
    match ensemble.link {
        Link::Identity => {}
        Link::Logistic => then("Sigmoid", None),
        Link::Softmax => then("Softmax", None),
        Link::Exp => then("Exp", None),
    }
    if let Some(last) = nodes.last_mut() {
        last.output = vec!["score".to_owned()];
    }
    let opset = |domain: &str, version| OperatorSetIdProto { domain: domain.to_owned(), version };
    let written = ModelProto {
        ir_version: 10,
        producer_name: "segue".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(GraphProto {
            node: nodes,
            name: "segue".to_owned(),
            initializer: constants,
            input: vec![matrix("row", schema.len())],
            output: vec![matrix("score", n_outputs)],
        }),
        opset_import: vec![opset("", 21), opset("ai.onnx.ml", 5)],
        metadata_props: vec![StringStringEntryProto {
            key: meta::KEY.to_owned(),
            value: Meta::text(schema, model.target()),
        }],
    };
    let categories = schema.features().iter().filter(|feature| feature.is_category()).count();
    let mut notes = Vec::new();
    if categories > 0 {
        notes.push(format!(
            "{categories} categorical columns: the graph takes codes, in the order of the names in the \
             metadata \"segue\"; -1 is unseen"
        ));
    }
    Ok(Exported { bytes: written.encode_to_vec(), notes })
}

impl Arrays {
    fn push(&mut self, plain: &PlainTree, output: usize, value: impl Fn(u32) -> f64) {
        if plain.nodes.is_empty() {
            return self.push_leaf_alone(output, value(0));
        }
        let first_node = self.features.len();
        let first_leaf = self.leaf_weights.len();
        self.roots.push(first_node as i64);
        for node in &plain.nodes {
            let (mode, split) = match &node.test {
                Test::AtMost(threshold) => (LEQ, *threshold),
                Test::Below(threshold) => (LT, *threshold),
                Test::OneOf(set) => {
                    self.members.extend(set.codes().map(f64::from));
                    self.members.push(f64::NAN);
                    (MEMBER, 0.0)
                }
            };
            let at = |child: Child| match child {
                Child::Node(node) => ((first_node + node as usize) as i64, 0),
                Child::Leaf(leaf) => ((first_leaf + leaf as usize) as i64, 1),
            };
            self.push_node(
                node.feature,
                (mode, split),
                node.missing_yes,
                at(node.yes),
                at(node.no),
            );
        }
        for leaf in &plain.leaves {
            self.push_leaf(output, value(leaf.source));
        }
    }

    /// The operator knows no tree without a question: both answers lead to the leaf.
    fn push_leaf_alone(&mut self, output: usize, value: f64) {
        let leaf = (self.leaf_weights.len() as i64, 1);
        self.roots.push(self.features.len() as i64);
        self.push_node(0, (LEQ, 0.0), false, leaf, leaf);
        self.push_leaf(output, value);
    }

    fn push_node(
        &mut self,
        feature: u32,
        (mode, split): (u8, f64),
        tracks: bool,
        yes: (i64, i64),
        no: (i64, i64),
    ) {
        self.features.push(i64::from(feature));
        self.modes.push(mode);
        self.splits.push(split);
        self.tracks.push(i64::from(tracks));
        for (side, (at, leaf)) in [(&mut self.yes, yes), (&mut self.no, no)] {
            side.0.push(at);
            side.1.push(leaf);
        }
    }

    fn push_leaf(&mut self, output: usize, value: f64) {
        self.leaf_targets.push(output as i64);
        self.leaf_weights.push(value);
    }

    fn node(self, n_outputs: usize) -> NodeProto {
        let modes = TensorProto {
            dims: vec![self.modes.len() as i64],
            data_type: UINT8,
            raw_data: self.modes,
            name: "nodes_modes".to_owned(),
            ..TensorProto::default()
        };
        let mut attribute = vec![
            int("aggregate_function", 1),
            ints("leaf_targetids", self.leaf_targets),
            of_tensor(tensor("leaf_weights", self.leaf_weights)),
            int("n_targets", n_outputs as i64),
            ints("nodes_falseleafs", self.no.1),
            ints("nodes_falsenodeids", self.no.0),
            ints("nodes_featureids", self.features),
            ints("nodes_missing_value_tracks_true", self.tracks),
            of_tensor(modes),
            of_tensor(tensor("nodes_splits", self.splits)),
            ints("nodes_trueleafs", self.yes.1),
            ints("nodes_truenodeids", self.yes.0),
            int("post_transform", 0),
            ints("tree_roots", self.roots),
        ];
        if !self.members.is_empty() {
            attribute.push(of_tensor(tensor("membership_values", self.members)));
        }
        NodeProto {
            input: vec!["row".to_owned()],
            output: vec!["sum".to_owned()],
            name: "trees".to_owned(),
            op_type: "TreeEnsemble".to_owned(),
            attribute,
            domain: "ai.onnx.ml".to_owned(),
        }
    }
}

fn tensor(name: &str, values: Vec<f64>) -> TensorProto {
    TensorProto {
        dims: vec![values.len() as i64],
        data_type: DOUBLE,
        double_data: values,
        name: name.to_owned(),
        ..TensorProto::default()
    }
}

fn attribute(name: &str, r#type: i32) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type, ..AttributeProto::default() }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { i, ..attribute(name, ATTRIBUTE_INT) }
}

fn ints(name: &str, ints: Vec<i64>) -> AttributeProto {
    AttributeProto { ints, ..attribute(name, ATTRIBUTE_INTS) }
}

fn of_tensor(tensor: TensorProto) -> AttributeProto {
    let attribute = attribute(&tensor.name, ATTRIBUTE_TENSOR);
    AttributeProto { t: Some(tensor), ..attribute }
}

/// A matrix of doubles with any number of rows.
fn matrix(name: &str, n_columns: usize) -> ValueInfoProto {
    let rows = DimensionProto { dim_value: None, dim_param: Some("rows".to_owned()) };
    let columns = DimensionProto { dim_value: Some(n_columns as i64), dim_param: None };
    let shape = TensorShapeProto { dim: vec![rows, columns] };
    let tensor = TensorTypeProto { elem_type: DOUBLE, shape: Some(shape) };
    let r#type = Some(TypeProto { tensor_type: Some(tensor) });
    ValueInfoProto { name: name.to_owned(), r#type }
}
