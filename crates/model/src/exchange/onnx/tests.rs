//! Graphs that other libraries write and ours does not, and graphs that lie.

use prost::Message;
use segue_dataset::TargetKind;

use super::proto::*;
use super::read;
use crate::exchange::{Format, Imported, export};
use crate::{Combine, Link, Model, ModelParts, Split};

/// The small model's graph, as our writer makes it, with a change.
fn ours(change: impl Fn(&mut ModelProto)) -> Result<Imported, String> {
    let parts = crate::model::tests::small();
    let parts = ModelParts { calibration: crate::Calibration::None, ..parts };
    let bytes = export(&Model::new(parts).unwrap(), Format::Onnx, true).unwrap().bytes;
    let mut message = ModelProto::decode(&bytes[..]).unwrap();
    change(&mut message);
    read(&message.encode_to_vec()).map_err(|error| error.to_string())
}

fn graph(message: &mut ModelProto) -> &mut GraphProto {
    message.graph.as_mut().unwrap()
}

fn attribute<'a>(node: &'a mut NodeProto, name: &str) -> &'a mut AttributeProto {
    node.attribute.iter_mut().find(|attribute| attribute.name == name).unwrap()
}

fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), ints: ints.to_vec(), ..AttributeProto::default() }
}

fn floats(name: &str, floats: &[f32]) -> AttributeProto {
    AttributeProto { name: name.into(), floats: floats.to_vec(), ..AttributeProto::default() }
}

fn texts(name: &str, texts: &[&str]) -> AttributeProto {
    let strings = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    AttributeProto { name: name.into(), strings, ..AttributeProto::default() }
}

fn text(name: &str, text: &str) -> AttributeProto {
    AttributeProto { name: name.into(), s: text.into(), ..AttributeProto::default() }
}

fn operator(op_type: &str, input: &[&str], output: &[&str]) -> NodeProto {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    NodeProto {
        op_type: op_type.to_owned(),
        input: owned(input),
        output: owned(output),
        ..NodeProto::default()
    }
}

fn input(name: &str, elem_type: i32, width: i64) -> ValueInfoProto {
    let dim = |dim_value| DimensionProto { dim_value, dim_param: None };
    let shape = Some(TensorShapeProto { dim: vec![dim(None), dim(Some(width))] });
    let tensor_type = Some(TensorTypeProto { elem_type, shape });
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type }) }
}

/// A graph of version 3 with one split: left, leaf 1, is yes, and leaf 2 no.
fn one_split(kind: &str, mode: &str, threshold: f32, of_leaves: Vec<AttributeProto>) -> GraphProto {
    let mut trees = operator(&format!("TreeEnsemble{kind}"), &["x"], &["label", "scores"]);
    trees.domain = "ai.onnx.ml".to_owned();
    trees.attribute = vec![
        ints("nodes_treeids", &[0, 0, 0]),
        ints("nodes_nodeids", &[0, 1, 2]),
        ints("nodes_featureids", &[1, 0, 0]),
        floats("nodes_values", &[threshold, 0.0, 0.0]),
        texts("nodes_modes", &[mode, "LEAF", "LEAF"]),
        ints("nodes_truenodeids", &[1, 0, 0]),
        ints("nodes_falsenodeids", &[2, 0, 0]),
    ];
    trees.attribute.extend(of_leaves);
    if kind == "Regressor" {
        trees.output = vec!["scores".to_owned()];
    }
    GraphProto { node: vec![trees], input: vec![input("x", FLOAT, 2)], ..GraphProto::default() }
}

fn regressor(mode: &str, threshold: f32) -> GraphProto {
    let leaves = vec![
        ints("target_treeids", &[0, 0]),
        ints("target_nodeids", &[1, 2]),
        ints("target_ids", &[0, 0]),
        floats("target_weights", &[1.0, 2.0]),
    ];
    one_split("Regressor", mode, threshold, leaves)
}

/// Leaves of two labels, with weights of the classes of `ids`.
fn classifier(ids: &[i64], nodes: &[i64], weights: &[f32], post: &str) -> GraphProto {
    let leaves = vec![
        ints("classlabels_int64s", &[4, 9]),
        ints("class_treeids", &vec![0; ids.len()]),
        ints("class_nodeids", nodes),
        ints("class_ids", ids),
        floats("class_weights", weights),
        text("post_transform", post),
    ];
    one_split("Classifier", "BRANCH_LEQ", 1.0, leaves)
}

fn of_graph(graph: GraphProto) -> Result<Imported, String> {
    let message = ModelProto { ir_version: 8, graph: Some(graph), ..ModelProto::default() };
    read(&message.encode_to_vec()).map_err(|error| error.to_string())
}

fn margin(imported: &Imported, row: &[f64]) -> f64 {
    let mut margins = [0.0];
    imported.ensemble.margins(row, &mut margins);
    margins[0]
}

/// Yes leads to 1, no to 2; NaN answers no to all but "not equal", and yes where it is tracked.
#[test]
fn every_mode_asks_its_question() {
    type Asks = fn(f32) -> bool;
    let cases: [(&str, Asks); 6] = [
        ("BRANCH_LEQ", |value| value <= 1.5),
        ("BRANCH_LT", |value| value < 1.5),
        ("BRANCH_GTE", |value| value >= 1.5),
        ("BRANCH_GT", |value| value > 1.5),
        ("BRANCH_EQ", |value| value == 1.5),
        ("BRANCH_NEQ", |value| value != 1.5),
    ];
    let near = [1.5f64, 1.5f64.next_up(), 1.5f64.next_down()];
    let single = [1.5f32.next_up(), 1.5f32.next_down()].map(f64::from);
    let far = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0];
    for (mode, yes) in cases {
        for tracked in [false, true] {
            let mut graph = regressor(mode, 1.5);
            if tracked {
                let tracks = ints("nodes_missing_value_tracks_true", &[1, 0, 0]);
                graph.node[0].attribute.push(tracks);
            }
            let imported = of_graph(graph).unwrap();
            for value in near.into_iter().chain(single).chain(far) {
                let yes = yes(value as f32) || (tracked && value.is_nan());
                let expected = if yes { 1.0 } else { 2.0 };
                let found = margin(&imported, &[0.0, value]);
                assert_eq!(found, expected, "{mode} at {value:e}, tracked: {tracked}");
            }
        }
    }
    let found = of_graph(regressor("BRANCH_MEMBER", 1.5)).unwrap_err();
    assert!(found.contains("\"nodes_modes\": not supported: mode \"BRANCH_MEMBER\""), "{found}");
}

/// The type of the values decides, wherever on the way to the trees it is set.
#[test]
fn comparisons_are_in_the_precision_of_the_input() {
    let read = |elem_type: i32, casts: &[i32]| {
        let mut graph = regressor("BRANCH_LEQ", 1.5);
        graph.input = vec![input("x0", elem_type, 2)];
        for (at, &to) in casts.iter().enumerate() {
            let (from, into) = (format!("x{at}"), format!("x{}", at + 1));
            let mut cast = operator("Cast", &[&from], &[&into]);
            let to =
                AttributeProto { name: "to".into(), i: to.into(), ..AttributeProto::default() };
            cast.attribute.push(to);
            graph.node.push(cast);
        }
        graph.node[0].input = vec![format!("x{}", casts.len())];
        of_graph(graph).unwrap().ensemble.trees[0].nodes[0].split.clone()
    };
    let midpoint = f64::midpoint(1.5, f64::from(1.5f32.next_up()));
    let (single, double) = (Split::AtMost(midpoint), Split::AtMost(1.5));
    assert_eq!(read(DOUBLE, &[]), double);
    assert_eq!(read(DOUBLE, &[DOUBLE]), double);
    assert_eq!(read(FLOAT, &[]), single);
    assert_eq!(read(FLOAT, &[DOUBLE]), single);
    assert_eq!(read(DOUBLE, &[FLOAT]), single);
    assert_eq!(read(DOUBLE, &[FLOAT, DOUBLE]), single);
    assert_eq!(read(INT64, &[]), single);
}

/// Columns are joined in order; one that is alone keeps the name of its input.
#[test]
fn joined_inputs_name_the_columns() {
    let mut graph = regressor("BRANCH_LEQ", 1.5);
    graph.input = vec![input("a", DOUBLE, 1), input("b", DOUBLE, 2)];
    graph.node.insert(0, operator("Concat", &["b", "a"], &["x"]));
    let imported = of_graph(graph).unwrap();
    let names = imported.schema.features().iter().map(|feature| feature.name.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["b_0", "b_1", "a"]);
}

/// A classifier of two labels becomes one output: the second label's.
#[test]
fn two_labels_are_one_output() {
    // weights of one class alone are the second label's score, whichever class they name
    for id in [0, 1] {
        let graph = classifier(&[id, id], &[1, 2], &[-1.0, 2.0], "LOGISTIC");
        let imported = of_graph(graph).unwrap();
        assert_eq!(
            (&imported.target, imported.ensemble.link),
            (&TargetKind::Binary, Link::Logistic)
        );
        assert_eq!([0.0, 2.0].map(|value| margin(&imported, &[0.0, value])), [-1.0, 2.0]);
    }
    let both = |post: &str| {
        of_graph(classifier(&[0, 1, 0, 1], &[1, 1, 2, 2], &[0.75, 0.25, 0.5, 0.5], post)).unwrap()
    };
    let imported = both("NONE");
    assert_eq!(imported.ensemble.link, Link::Identity);
    assert_eq!([0.0, 2.0].map(|value| margin(&imported, &[0.0, value])), [0.25, 0.5]);
    // a softmax of two is a sigmoid of their difference
    let imported = both("SOFTMAX");
    assert_eq!(imported.ensemble.link, Link::Logistic);
    assert_eq!([0.0, 2.0].map(|value| margin(&imported, &[0.0, value])), [-0.5, 0.0]);
    let with_base = |base: &[f32], post: &str| {
        let mut graph = classifier(&[0, 1, 0, 1], &[1, 1, 2, 2], &[0.75, 0.25, 0.5, 0.5], post);
        graph.node[0].attribute.push(floats("base_values", base));
        of_graph(graph)
    };
    assert_eq!(with_base(&[0.125, 1.0], "SOFTMAX").unwrap().ensemble.base, [0.875]);
    assert_eq!(with_base(&[0.125, 1.0], "NONE").unwrap().ensemble.base, [1.0]);
    let found = with_base(&[0.0, 0.0, 0.0], "NONE").unwrap_err();
    assert!(found.contains("3 base values for two classes"), "{found}");
    let negative = of_graph(classifier(&[1, 1], &[1, 2], &[-1.0, 2.0], "NONE")).unwrap_err();
    assert!(negative.contains("Identity scores of two classes"), "{negative}");
}

/// After the trees: division by their number, a start, a link, in that order.
#[test]
fn what_follows_the_trees_is_read() {
    let follow = |operators: &[(&str, f32)]| {
        let mut graph = regressor("BRANCH_LEQ", 1.5);
        let mut from = "scores".to_owned();
        for (at, &(op_type, value)) in operators.iter().enumerate() {
            let (to, constant) = (format!("y{at}"), format!("c{at}"));
            graph.initializer.push(TensorProto {
                data_type: FLOAT,
                float_data: vec![value],
                name: constant.clone(),
                ..TensorProto::default()
            });
            graph.node.push(operator(op_type, &[&from, &constant], &[&to]));
            from = to;
        }
        of_graph(graph)
    };
    let imported = follow(&[("Div", 1.0), ("Add", 0.5), ("Exp", 0.0)]).unwrap();
    let ensemble = &imported.ensemble;
    assert_eq!((ensemble.combine, ensemble.link), (Combine::Mean, Link::Exp));
    assert_eq!(ensemble.base, [0.5]);
    for (operators, expected) in [
        (&[("Div", 2.0)][..], "scores divided by [2.0], expected the number of trees"),
        (&[("Add", 0.5), ("Div", 1.0)], "node Div: not supported: an operator after"),
        (&[("Add", 0.5), ("Add", 0.5)], "node Add: not supported: an operator after"),
        (&[("Sigmoid", 0.0), ("Add", 0.5)], "node Add: not supported: an operator after"),
        (&[("Sigmoid", 0.0), ("Exp", 0.5)], "node Exp: not supported: an operator after"),
    ] {
        let found = follow(operators).unwrap_err();
        assert!(found.contains(expected), "{found:?} does not say {expected:?}");
    }
}

/// The mean of the operator is over all its trees.
#[test]
fn an_average_is_over_all_trees() {
    let mut graph = regressor("BRANCH_LEQ", 1.5);
    graph.node[0].attribute.push(text("aggregate_function", "AVERAGE"));
    graph.node[0].attribute.push(floats("base_values", &[0.5]));
    let imported = of_graph(graph.clone()).unwrap();
    assert_eq!(
        (imported.ensemble.combine, &imported.ensemble.base[..]),
        (Combine::Mean, &[0.5][..])
    );
    attribute(&mut graph.node[0], "aggregate_function").s = b"MIN".to_vec();
    assert!(of_graph(graph).unwrap_err().contains("aggregate function \"MIN\""));
}

/// Trees of one target each count for both: each output is half of its own tree.
#[test]
fn an_average_counts_trees_of_other_targets() {
    let mut graph = regressor("BRANCH_LEQ", 1.5);
    let trees = &mut graph.node[0];
    let doubled = |attribute: &mut AttributeProto| {
        attribute.ints.extend_from_within(..);
        attribute.floats.extend_from_within(..);
        attribute.strings.extend_from_within(..);
    };
    trees.attribute.iter_mut().for_each(doubled);
    attribute(trees, "nodes_treeids").ints = vec![0, 0, 0, 1, 1, 1];
    attribute(trees, "target_treeids").ints = vec![0, 0, 1, 1];
    attribute(trees, "target_ids").ints = vec![0, 0, 1, 1];
    let n_targets = AttributeProto { name: "n_targets".into(), i: 2, ..AttributeProto::default() };
    trees.attribute.extend([n_targets, text("aggregate_function", "AVERAGE")]);
    let imported = of_graph(graph).unwrap();
    let mut margins = [0.0; 2];
    imported.ensemble.margins(&[0.0, 0.0], &mut margins);
    assert_eq!(margins, [0.5, 0.5]);
}

/// Nodes of the older operators that are not where they should be, and leaves of no number.
#[test]
fn versions_1_and_3_check_their_nodes() {
    let change = |change: fn(&mut NodeProto)| {
        let mut graph = regressor("BRANCH_LEQ", 1.5);
        change(&mut graph.node[0]);
        of_graph(graph).unwrap_err()
    };
    // a tree is one run of its id: what stands behind another tree is not in it
    let parted = change(|trees| {
        attribute(trees, "nodes_treeids").ints = vec![0, 1, 0];
        attribute(trees, "target_treeids").ints = vec![1, 0];
    });
    assert!(parted.contains("node 1 of tree 0 is not there"), "{parted}");
    let behind = change(|trees| {
        attribute(trees, "nodes_treeids").ints = vec![0, 1, 0];
        attribute(trees, "nodes_truenodeids").ints = vec![2, 0, 0];
        attribute(trees, "target_treeids").ints = vec![1, 0];
    });
    assert!(behind.contains("node 2 of tree 0 is not there"), "{behind}");
    let twice = change(|trees| attribute(trees, "nodes_nodeids").ints = vec![0, 1, 1]);
    assert!(twice.contains("node 1 of tree 0 is there twice"), "{twice}");
    let infinite = change(|trees| attribute(trees, "target_weights").floats[1] = f32::INFINITY);
    assert!(infinite.contains("\"target_weights\": a leaf of inf"), "{infinite}");
    let compared = change(|trees| attribute(trees, "nodes_values").floats[0] = f32::NAN);
    assert!(compared.contains("\"nodes_values\": a node compares with NaN"), "{compared}");
}

/// Indices, modes and roots of the newer operator that point beside what they should.
#[test]
fn version_5_checks_its_indices() {
    let change = |name: &'static str, value: i64| {
        ours(move |message| attribute(&mut graph(message).node[0], name).ints[0] = value)
            .unwrap_err()
    };
    // 2 nodes, so that 2 would be the first leaf, which is no tree of its own
    for root in [2, -1] {
        let found = change("tree_roots", root);
        assert!(found.contains(&format!("\"tree_roots\": {root}, expected 0 to 2")), "{found}");
    }
    assert!(change("leaf_targetids", 1).contains("\"leaf_targetids\": 1, expected 0 to 1"));
    assert!(change("nodes_falsenodeids", 3).contains("\"nodes_falsenodeids\": 3, expected 0 to 3"));
    for mode in [f64::NAN, 0.5, 7.0] {
        let found = ours(move |message| {
            let modes = attribute(&mut graph(message).node[0], "nodes_modes").t.as_mut().unwrap();
            (modes.data_type, modes.double_data) = (DOUBLE, vec![mode, 6.0]);
            modes.raw_data.clear();
        });
        let expected = format!("\"nodes_modes\": not supported: mode {mode}");
        assert!(found.unwrap_err().contains(&expected), "{expected}");
    }
}

/// Half a megabyte whose columns would be named with 130 gigabytes.
#[test]
fn long_names_of_wide_inputs_are_refused() {
    let mut graph = regressor("BRANCH_LEQ", 1.5);
    let name = "x".repeat(250_000);
    graph.input = vec![input(&name, DOUBLE, 500_000)];
    graph.node[0].input = vec![name];
    let found = of_graph(graph).unwrap_err();
    assert!(found.contains("500000 columns with a name of 250000 bytes"), "{found}");
    assert!(found.len() < 200, "the name itself is cut");
    let mut graph = regressor("BRANCH_LEQ", 1.5);
    graph.input = vec![input("x", DOUBLE, 50_000)];
    assert_eq!(of_graph(graph).unwrap().schema.len(), 50_000);
}

/// Operators are looked for one after another in the whole graph: a long row of them took hours.
#[test]
fn rows_of_operators_end() {
    let row = |n: usize, from: &str, to: &str| -> Vec<NodeProto> {
        let name = |at: usize| match at {
            0 => from.to_owned(),
            at if at == n => to.to_owned(),
            at => format!("{from}{at}"),
        };
        (0..n).map(|at| operator("Identity", &[&name(at)], &[&name(at + 1)])).collect()
    };
    for (n, ends) in [(60, true), (100_000, false)] {
        let mut before = regressor("BRANCH_LEQ", 1.5);
        before.node[0].input = vec!["y".to_owned()];
        before.node.extend(row(n, "x", "y"));
        let mut after = regressor("BRANCH_LEQ", 1.5);
        after.node.extend(row(n, "scores", "out"));
        for (graph, where_) in [(before, "before"), (after, "after")] {
            let read = of_graph(graph);
            assert_eq!(read.is_ok(), ends, "{n} {where_}");
            if let Err(found) = read {
                let expected = format!("more than 64 operators {where_} the trees");
                assert!(found.contains(&expected), "{found}");
            }
        }
    }
    let mut circle = regressor("BRANCH_LEQ", 1.5);
    circle.node[0].input = vec!["a".to_owned()];
    circle
        .node
        .extend([operator("Identity", &["b"], &["a"]), operator("Identity", &["a"], &["b"])]);
    assert!(of_graph(circle).unwrap_err().contains("or a circle of them"));
}

/// A set of fractions copies its branches, and with each copy the large set below: 2,000 times 16,000
/// categories of one file of a quarter of a megabyte.
#[test]
fn copies_of_large_sets_are_paid_for() {
    let with_sets = |n_fractions: usize| {
        ours(move |message| {
            message.metadata_props.clear();
            let trees = &mut graph(message).node[0];
            let fractions = (0..n_fractions).map(|at| at as f64 + 0.5);
            let categories = (0..16_000).map(f64::from);
            let ends = std::iter::once(f64::NAN);
            let members: Vec<f64> =
                fractions.chain(ends.clone()).chain(categories).chain(ends).collect();
            let member = attribute(trees, "membership_values").t.as_mut().unwrap();
            member.double_data = members;
            let modes = attribute(trees, "nodes_modes").t.as_mut().unwrap();
            modes.raw_data = vec![6, 6];
        })
    };
    let found = with_sets(2_000).unwrap_err();
    assert!(found.contains("tree 0 is too large for the size of the file"), "{found}");
    let imported = with_sets(1).unwrap();
    assert_eq!(imported.schema.features()[2].vocabulary().unwrap().len(), 16_000);
    let nodes = &imported.ensemble.trees[0].nodes;
    assert_eq!(nodes.len(), 3, "two comparisons and a set");
}
