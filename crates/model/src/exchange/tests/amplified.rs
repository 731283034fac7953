//! Small files that ask for far more memory or time than they are long: refused before it is spent.
//!
//! Each of these once ran out of memory, or would not have come to an end in this suite.

use super::{Format, classes, error, import, plain, text};
use crate::model::tests::small;
use crate::{Child, MissingRule, Model, Node, Split, Tree};

/// A chain of `n` nodes that all look column 0 up in set `set` of the words of `sets`.
fn chain_of_lookups(n: usize, set: usize, sets: &[Vec<&str>]) -> String {
    let each =
        |value: &dyn Fn(usize) -> String, n: usize| (0..n).map(value).collect::<Vec<_>>().join(" ");
    let last =
        |node: usize| if node + 1 < n { (node + 1).to_string() } else { format!("-{}", n + 1) };
    let bounds = sets.iter().scan(0, |end, words| {
        *end += words.len();
        Some(format!(" {end}"))
    });
    format!(
        "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=0\n\
         objective=regression\nfeature_names=a\nfeature_infos=none\n\n\
         Tree=0\nnum_leaves={}\nnum_cat={}\nsplit_feature={}\nthreshold={}\ndecision_type={}\n\
         left_child={}\nright_child={}\nleaf_value={}\ncat_boundaries=0{}\ncat_threshold={}\n\n\
         end of trees\n",
        n + 1,
        sets.len(),
        each(&|_| "0".to_owned(), n),
        // the first node asks for every set's categories, so that all are known
        each(&|node| if node == 0 { 0 } else { set }.to_string(), n),
        each(&|_| "9".to_owned(), n),
        each(&last, n),
        each(&|node| format!("-{}", node + 1), n),
        each(&|_| "1".to_owned(), n + 1),
        bounds.collect::<String>(),
        sets.concat().join(" "),
    )
}

/// One set of 64,000 categories for 500 nodes: half a megabyte each.
#[test]
fn lightgbm_nodes_may_not_share_a_large_set_without_end() {
    let all = vec!["4294967295"; 2_000];
    let found = error(&chain_of_lookups(500, 0, std::slice::from_ref(&all)));
    assert!(found.contains("\"threshold\": not supported: sets of more categories"), "{found}");
    // once is what LightGBM writes
    let imported = import(chain_of_lookups(1, 0, &[all]).as_bytes(), None).unwrap();
    assert_eq!(imported.schema.features()[0].vocabulary().unwrap().len(), 64_000);
}

/// A set of one category, the last of 64,000, is as long as the set of all.
#[test]
fn lightgbm_sets_count_by_their_last_code() {
    let mut last = vec!["0"; 1_999];
    last.push("2147483648");
    let all = vec!["4294967295"; 2_000];
    let found = error(&chain_of_lookups(3_000, 1, &[all.clone(), last]));
    assert!(
        found.contains("\"end of trees\": not supported: sets of categories of 240"),
        "{found}"
    );
    // a set of the first alone is short, however many categories the column has
    let imported = import(chain_of_lookups(3_000, 1, &[all, vec!["1"]]).as_bytes(), None);
    assert_eq!(imported.unwrap().ensemble.trees[0].nodes.len(), 3_000);
}

/// 400,000 names of no letters, and 5,000 sets of the last of them, as long as the set of all.
#[test]
fn xgboost_sets_count_by_their_last_code() {
    let (n_names, n) = (400_000, 5_000);
    let mut document: serde_json::Value =
        serde_json::from_str(&text(&plain(), Format::XgboostJson)).unwrap();
    document["learner"]["attributes"] = serde_json::json!({});
    let model = &mut document["learner"]["gradient_booster"]["model"];
    let named = serde_json::json!({"offsets": vec![0; n_names + 1], "values": []});
    let number = serde_json::json!({"offsets": [], "values": []});
    model["cats"] = serde_json::json!({"enc": [number, number, named, number, number]});
    // inner nodes, then their leaves on the right, then the last leaf
    let inner = |value: &dyn Fn(usize) -> i64, leaf: i64| -> Vec<i64> {
        (0..2 * n + 1).map(|node| if node < n { value(node) } else { leaf }).collect()
    };
    let left = |node: usize| if node + 1 < n { node as i64 + 1 } else { 2 * n as i64 };
    let nodes: Vec<usize> = (0..n).collect();
    model["trees"][0] = serde_json::json!({
        "left_children": inner(&left, -1),
        "right_children": inner(&|node| (n + node) as i64, -1),
        "split_conditions": inner(&|_| 0, 1),
        "split_indices": inner(&|_| 2, 0),
        "default_left": inner(&|_| 0, 0),
        "split_type": inner(&|_| 1, 0),
        "categories": vec![n_names - 1; n],
        "categories_nodes": nodes,
        "categories_segments": nodes,
        "categories_sizes": vec![1; n],
    });
    let found = error(&document.to_string());
    assert!(found.contains("not supported: sets of categories of 250000000 bytes"), "{found}");
}

/// Each missing category that goes left is a question of its own for LightGBM, with a copy of the left
/// branch: a chain of them would double at every node.
#[test]
fn lightgbm_copies_of_branches_end() {
    let n = 60u32;
    let mut parts = plain().into_parts();
    let node = |index: u32| Node {
        feature: 2,
        split: Split::In(crate::CategorySet::from_codes([1])),
        missing: MissingRule::Left,
        left: if index + 1 < n { Child::Node(index + 1) } else { Child::Leaf(n) },
        right: Child::Leaf(index),
        gain: 0.0,
        cover: 1.0,
    };
    parts.ensemble.trees = vec![Tree {
        nodes: (0..n).map(node).collect(),
        leaf_values: vec![0.5; n as usize + 1],
        leaf_cover: vec![1.0; n as usize + 1],
        leaf_width: 1,
    }];
    let model = Model::new(parts).unwrap();
    let found = super::export(&model, Format::LightGbm, true).unwrap_err().to_string();
    assert!(found.contains("make a tree of 60 nodes larger than 1504"), "{found}");
    super::export(&model, Format::XgboostJson, true).unwrap();
}

/// As many classes as trees: counting the trees of each class by a pass over all of them took hours.
#[test]
fn a_mean_of_many_classes_is_counted_in_one_pass() {
    let n = 400_000;
    let mut ensemble = small().ensemble;
    ensemble.trees = vec![Tree::constant(vec![0.5], 1.0); n];
    ensemble.tree_output = (0..n as u32).collect();
    ensemble.base = vec![0.0; n];
    ensemble.trees.push(Tree::constant(vec![0.5], 1.0));
    ensemble.tree_output.push(3);
    let counts = ensemble.n_trees_by_output();
    assert_eq!((counts.len(), counts[2], counts[3]), (n, 1.0, 2.0));
    ensemble.base = vec![0.0; 5];
    ensemble.trees.truncate(3);
    ensemble.tree_output.truncate(3);
    ensemble.trees[1] = Tree::constant(vec![0.5; 5], 1.0);
    let one_by_one: Vec<f64> = (0..5).map(|output| ensemble.n_trees_of(output)).collect();
    assert_eq!(ensemble.n_trees_by_output(), one_by_one);
    assert_eq!(one_by_one, [2.0, 1.0, 2.0, 1.0, 1.0]);
}

/// A chain as deep as it is long: whatever is done for each node once for all above it never ends.
#[test]
fn a_chain_of_nodes_is_read_in_passes_over_it() {
    const N: u32 = 200_000;
    let node = |index: u32| {
        let below = if index + 1 < N { Child::Node(index + 1) } else { Child::Leaf(N) };
        let (left, right) = if index.is_multiple_of(2) {
            (below, Child::Leaf(index))
        } else {
            (Child::Leaf(index), below)
        };
        Node {
            feature: [0, 1, 3][index as usize % 3],
            split: Split::AtMost(f64::from(index)),
            missing: MissingRule::Right,
            left,
            right,
            gain: 0.0,
            cover: f64::from(N - index) + 1.0,
        }
    };
    let mut parts = plain().into_parts();
    parts.ensemble.trees = vec![Tree {
        nodes: (0..N).map(node).collect(),
        leaf_values: vec![0.5; N as usize + 1],
        leaf_cover: vec![1.0; N as usize + 1],
        leaf_width: 1,
    }];
    let model = Model::new(parts).unwrap();
    assert_eq!(Model::decode(&model.encode()).unwrap(), model);
    let row = [0.5; 5];
    let margin = model.explain(&row).margin(0);
    for format in [Format::LightGbm, Format::XgboostJson, Format::Onnx] {
        let exported = super::export(&model, format, true).unwrap();
        let back = import(&exported.bytes, None).unwrap().into_model("back").unwrap();
        assert_eq!(back.ensemble().trees[0].nodes.len(), N as usize, "{format}");
        let off = back.explain(&row).margin(0) - margin;
        assert!(off.abs() < 1e-9, "{format}: {off:e}");
    }
}

/// A count of classes alone, with no trees for them.
#[test]
fn xgboost_classes_are_no_more_than_the_file_could_name() {
    let text = text(&classes(), Format::XgboostJson);
    let found =
        error(&super::replaced(&text, "\"num_class\":\"3\"", "\"num_class\":\"900000000\""));
    assert!(found.contains("num_class: not supported: 900000000 classes"), "{found}");
}
