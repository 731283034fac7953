//! What cannot be computed here is refused by name and place.

use super::{classes, error, plain, replaced, text};
use crate::exchange::{Format, ImportError, export, import};
use crate::{Link, MissingRule, Split};

/// What is changed in a good file, to what, and what its refusal then says.
type Cases<'a> = &'a [(&'a str, &'a str, &'a str)];

fn each_is_refused(good: &str, cases: Cases<'_>, begins: &str) {
    for (from, to, expected) in cases {
        let found = error(&replaced(good, from, to));
        assert!(found.contains(expected), "{found:?} does not say {expected:?}");
        assert!(found.starts_with(begins), "{found:?} does not begin with {begins:?}");
    }
}

#[test]
fn lightgbm_names_line_and_key() {
    let good = text(&plain(), Format::LightGbm);
    let cases: Cases<'_> = &[
        ("version=v4", "version=v9", "line 2, \"version\": not supported: version \"v9\""),
        (
            "objective=binary sigmoid:1",
            "objective=binary sigmoid:-1",
            "line 7, \"objective\": sigmoid -1",
        ),
        (
            "objective=binary sigmoid:1",
            "objective=multiclassova num_class:1",
            "multiclassova gives probabilities",
        ),
        ("objective=binary sigmoid:1", "objective=regression sqrt", "reg_sqrt squares"),
        ("objective=binary sigmoid:1", "objective=softmargin", "objective \"softmargin\""),
        (
            "objective=binary sigmoid:1",
            "objective=multiclass num_class:3",
            "another number of outputs than 1",
        ),
        (
            "max_feature_idx=4",
            "max_feature_idx=5",
            "\"feature_names\": 5 names, max_feature_idx asks for 6",
        ),
        ("is_linear=0", "is_linear=1", "\"is_linear\": not supported: linear models"),
        ("num_leaves=3", "num_leaves=4", "\"leaf_value\": 3 values, num_leaves is 4"),
        ("left_child=1 -2", "left_child=0 -2", "node 0 leads to a node that has a parent"),
        ("left_child=1 -2", "left_child=1 -9", "\"left_child\": child -9 is not there"),
        ("left_child=1 -2", "left_child=1", "\"left_child\": 1 numbers, expected 2"),
        ("split_feature=0 2", "split_feature=0 7", "node 1 reads column 7 of 5"),
        ("threshold=1.0 0", "threshold=NaN 0", "node 0 compares with NaN"),
        ("threshold=1.0 0", "threshold=1.0 3", "node 1 has set 3 of 1"),
        ("threshold=1.0 0", "threshold=one 0", "\"one\" is no number of this key"),
        ("cat_boundaries=0 2", "cat_boundaries=0 200", "words 0 to 200 of 2"),
        ("decision_type=8 9", "decision_type=12 9", "node 0 has decision type 12"),
        ("decision_type=8 9", "decision_type=9 9", "split as a number and as a category"),
        ("leaf_value=-1.0", "leaf_value=inf", "a leaf of inf"),
        ("Tree=1", "Tree=3", "expected \"Tree=1\""),
        ("end of trees", "end", "expected \"Tree=2\""),
        ("tree_sizes=", "tree_sizes=1 ", "sizes of 3 trees, but the file holds 2"),
        ("num_leaves=3", "num_leaves=3\nnum_leaves=3", "given twice in one tree"),
    ];
    each_is_refused(&good, cases, "LightGBM text, line ");
}

#[test]
fn xgboost_names_the_path() {
    let good = text(&plain(), Format::XgboostJson);
    let cases: Cases<'_> = &[
        (
            "\"name\":\"gbtree\"",
            "\"name\":\"gblinear\"",
            "learner.gradient_booster.name: not supported: booster \"gblinear\"",
        ),
        (
            "\"binary:logistic\"",
            "\"binary:hinge\"",
            "learner.objective.name: not supported: objective \"binary:hinge\"",
        ),
        (
            "\"num_target\":\"1\"",
            "\"num_target\":\"2\"",
            "learner_model_param.num_target: not supported: several targets",
        ),
        (
            "\"num_class\":\"0\",\"num_feature\":\"5\"",
            "\"num_class\":\"0\",\"num_feature\":\"6\"",
            "learner.feature_names: 5 entries, num_feature is 6",
        ),
        (
            "\"left_children\":[1",
            "\"left_children\":[0",
            "node 0 leads to a node that has a parent",
        ),
        (
            "\"left_children\":[1",
            "\"left_children\":[77",
            "node 0 leads to a node that is not there",
        ),
        (
            "\"right_children\":[2",
            "\"right_children\":[-1",
            "trees[0].left_children: node 0 has one child",
        ),
        (
            "\"split_indices\":[0",
            "\"split_indices\":[5",
            "trees[0].split_indices: node 0 reads column 5 of 5",
        ),
        (
            "\"categories_sizes\":[1]",
            "\"categories_sizes\":[9]",
            "trees[0].categories_nodes: 9 categories from 0 of 1",
        ),
        ("\"tree_info\":[0", "\"tree_info\":[1", "tree_info: item 0 is no class of 1"),
        (
            "\"categories_nodes\":[1],\"categories_segments\":[0],\"categories_sizes\":[1]",
            "\"categories_nodes\":[1,1],\"categories_segments\":[0,0],\"categories_sizes\":[1,1]",
            "categories_nodes: 1 categories from 0 of 1",
        ),
        ("\"trees\":[", "\"trees\":7,\"woods\":[", "model.trees: expected an array"),
        ("\"learner\":", "\"learned\":", "the document: there is no key \"learner\""),
        ("\"default_left\":[0", "\"default_left\":[\"no\"", "default_left: item 0 is not a number"),
    ];
    each_is_refused(&good, cases, "XGBoost JSON, ");
    let found = error("{\"learner\":1,\"learner\":2}");
    assert!(found.contains("key \"learner\" is given twice"), "{found}");
    let found = error("{\"learner\": }");
    assert!(found.contains("XGBoost JSON, line 1, column 13"), "{found}");
}

#[test]
fn onnx_names_the_node() {
    let good = export(&plain(), Format::Onnx, true).unwrap().bytes;
    let swapped = |from: &[u8], to: &[u8]| {
        assert_eq!(from.len(), to.len());
        let at = good.windows(from.len()).position(|window| window == from).unwrap();
        let mut bytes = good.clone();
        bytes[at..at + to.len()].copy_from_slice(to);
        import(&bytes, Some(Format::Onnx)).unwrap_err().to_string()
    };
    let cases: [(&[u8], &[u8], &str); 4] = [
        (b"TreeEnsemble", b"TreeAssemble", "no tree ensemble among"),
        (b"Sigmoid", b"Softabs", "node Softabs: not supported: an operator after the trees"),
        (b"leaf_targetids", b"leaf_targetidx", "\"leaf_targetids\": 0 entries, expected 3"),
        (b"nodes_splits", b"nodes_splitx", "\"nodes_splits\": 0 entries, expected 2"),
    ];
    for (from, to, expected) in cases {
        let found = swapped(from, to);
        assert!(found.contains(expected), "{found:?} does not say {expected:?}");
    }
}

#[test]
fn unknown_bytes_are_shown() {
    let found = import(b"PK\x03\x04 something", None).unwrap_err();
    let shown = ImportError::Unknown { found: b"PK\x03\x04 som".to_vec() };
    assert_eq!(found, shown);
}

/// What begins like a pickle is not looked into any further.
#[test]
fn pickles_are_told_as_such() {
    let cases: [&[u8]; 5] = [
        b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00",
        b"\x80\x02csklearn.tree\nDecisionTree\n",
        b"ccopy_reg\n_reconstructor\np0\n",
        b"cos\nsystem\n(S'true'\ntR.",
        b"c__builtin__\neval\n",
    ];
    for bytes in cases {
        assert_eq!(import(bytes, None).unwrap_err(), ImportError::Pickle);
    }
    for bytes in [&b"c"[..], b"\x80", b"case,of,commas\n1,2,3\n4,5,6\n", b"cos\nsystem"] {
        assert!(matches!(import(bytes, None), Err(ImportError::Unknown { .. })));
    }
}

#[test]
fn xgboost_thresholds_are_of_single_precision() {
    let imported = import(text(&plain(), Format::XgboostJson).as_bytes(), None).unwrap();
    let node = &imported.ensemble.trees[0].nodes[0];
    // below the next f32 after 1, and so at most the midpoint between the two, which rounds to 1
    let midpoint = f64::midpoint(1.0, f64::from(1.0f32.next_up()));
    assert_eq!(node.split, Split::AtMost(midpoint));
    assert_eq!(node.missing, MissingRule::Right);
}

#[test]
fn starts_are_margins() {
    let good = text(&plain(), Format::XgboostJson);
    let base = |text: &str| import(text.as_bytes(), None).unwrap().ensemble.base;
    let at = good.find("\"base_score\":\"").unwrap() + 14;
    let end = at + good[at..].find('"').unwrap();
    let with = |score: &str| format!("{}{score}{}", &good[..at], &good[end..]);
    assert_eq!(base(&with("5E-1")), [0.0]);
    assert_eq!(base(&with("[5E-1]")), [0.0]);
    assert!((base(&with("0.2"))[0] - crate::logit(0.2)).abs() < 1e-7);
    let found = error(&with("1.5"));
    assert!(found.contains("base_score: 1.5 is outside the predictions"), "{found}");
    let found = error(&with("[0.1,0.2]"));
    assert!(found.contains("2 numbers for 1 outputs"), "{found}");
    let three = text(&classes(), Format::XgboostJson);
    let three = replaced(&three, "\"base_score\":\"0\"", "\"base_score\":\"[1E0,2E0,3E0]\"");
    let imported = import(three.as_bytes(), None).unwrap();
    assert_eq!(
        (imported.ensemble.base, imported.ensemble.link),
        (vec![1.0, 2.0, 3.0], Link::Softmax)
    );
}

#[test]
fn lightgbm_takes_tiny_numbers_for_zero() {
    let good = text(&plain(), Format::LightGbm);
    // left of the root is the lookup of "plan", right of it leaf 0
    let right_of_root = |threshold: &str, visits: f64| {
        let file = replaced(&good, "threshold=1.0 0", &format!("threshold={threshold} 0"));
        let ensemble = import(file.as_bytes(), None).unwrap().ensemble;
        ensemble.trees[0].leaf(&[visits, 0.0, 0.0, 0.0, 0.0]) == 0
    };
    let zero = f64::from(1e-35f32);
    for tiny in [0.0, -0.0, 1e-36, -1e-36, zero, -zero] {
        assert!(!right_of_root("0", tiny), "0 <= 0, and {tiny:e} is read as 0");
        assert!(right_of_root("-1e-36", tiny), "0 > -1e-36, and {tiny:e} is read as 0");
    }
    assert!(right_of_root("0", zero.next_up()));
    assert!(!right_of_root("-1e-36", (-zero).next_down()));
}

#[test]
fn xgboost_sends_the_set_right() {
    let document: serde_json::Value =
        serde_json::from_str(&text(&plain(), Format::XgboostJson)).unwrap();
    let tree = &document["learner"]["gradient_booster"]["model"]["trees"][0];
    let node = tree["categories_nodes"][0].as_u64().unwrap() as usize;
    let leaf = |side: &str| {
        let child = tree[side][node].as_u64().unwrap() as usize;
        tree["split_conditions"][child].as_f64().unwrap()
    };
    // in our tree the set leads to the leaf of 2, everything else to the leaf of one half
    assert_eq!(
        (tree["categories"][0].as_u64(), leaf("right_children"), leaf("left_children")),
        (Some(1), 2.0, 0.5)
    );
    assert_eq!(tree["default_left"][node], 1, "missing goes where unknown categories go");
}
