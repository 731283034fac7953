//! LightGBM's JSON beside the text of the same model.

use segue_dataset::TargetKind;
use serde_json::{Value, json};

use super::replaced;
use crate::exchange::{Format, import};
use crate::{Combine, Link};

/// Every missing type on either side, categories, a tree of one leaf.
const TEXT: &str = "tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=3
objective=binary sigmoid:2
average_output
feature_names=visits plan gap idle
feature_infos=[0:90] -1:0:7:40 [0:30] none

Tree=0
num_leaves=5
num_cat=1
split_feature=0 1 2 0
split_gain=5 3 2 1
threshold=3.5 0 1.0000000180025095e-35 7
decision_type=10 9 4 8
left_child=1 -1 -2 -4
right_child=2 -3 3 -5
leaf_value=0.5 -1.25 0.75 2 3
leaf_count=40 20 20 8 9
internal_count=97 60 37 17
cat_boundaries=0 2
cat_threshold=128 256

Tree=1
num_leaves=1
leaf_value=-0.125

end of trees

pandas_categorical:[[\"a\", 1, 2.0, true]]
";

pub(super) fn dump() -> Value {
    let leaf = |index: u32, value: f64, count: u32| json!({"leaf_index": index, "leaf_value": value, "leaf_count": count});
    let number = |feature: u32, threshold: f64, gain: u32, count: u32| {
        json!({
            "split_feature": feature, "split_gain": gain, "threshold": threshold,
            "decision_type": "<=", "default_left": false, "missing_type": "NaN",
            "internal_count": count,
        })
    };
    let with = |mut node: Value, left: Value, right: Value| {
        node["left_child"] = left;
        node["right_child"] = right;
        node
    };
    let mut root = number(0, 3.5, 5, 97);
    root["default_left"] = json!(true);
    let mut plan = number(1, 0.0, 3, 60);
    plan["decision_type"] = json!("==");
    plan["missing_type"] = json!("None");
    plan["threshold"] = json!("40||7");
    let mut gap = number(2, 1.000_000_018_002_509_5e-35, 2, 37);
    gap["missing_type"] = json!("Zero");
    let tree = with(
        root,
        with(plan, leaf(0, 0.5, 40), leaf(2, 0.75, 20)),
        with(
            gap,
            leaf(1, -1.25, 20),
            with(number(0, 7.0, 1, 17), leaf(3, 2.0, 8), leaf(4, 3.0, 9)),
        ),
    );
    json!({
        "name": "tree", "version": "v4", "num_class": 1, "num_tree_per_iteration": 1,
        "max_feature_idx": 3, "objective": "binary sigmoid:2", "average_output": true,
        "feature_names": ["visits", "plan", "gap", "idle"],
        "feature_infos": {
            "visits": {"min_value": 0, "max_value": 90, "values": []},
            "plan": {"min_value": -1, "max_value": 40, "values": [-1, 0, 7, 40]},
            "gap": {"min_value": 0, "max_value": 30, "values": []},
        },
        "tree_info": [
            {"tree_index": 0, "num_leaves": 5, "num_cat": 1, "tree_structure": tree},
            {"tree_index": 1, "num_leaves": 1, "tree_structure": {"leaf_value": -0.125}},
        ],
        "pandas_categorical": null,
    })
}

fn error(change: impl Fn(&mut Value)) -> String {
    let mut document = dump();
    change(&mut document);
    import(document.to_string().as_bytes(), None).unwrap_err().to_string()
}

#[test]
fn the_dump_says_what_the_text_says() {
    let without = replaced(TEXT, "[[\"a\", 1, 2.0, true]]", "null");
    let text = import(without.as_bytes(), None).unwrap();
    let json = import(dump().to_string().as_bytes(), None).unwrap();
    assert_eq!(
        (text.source.as_str(), json.source.as_str()),
        ("LightGBM text v4", "LightGBM JSON v4")
    );
    assert_eq!(json.ensemble, text.ensemble);
    assert_eq!(
        (json.schema, json.target, json.warnings),
        (text.schema, text.target, text.warnings)
    );
    assert_eq!((json.ensemble.combine, json.ensemble.link), (Combine::Mean, Link::Logistic));
    assert_eq!(json.ensemble.trees[0].leaf_values, [1.0, -2.5, 1.5, 4.0, 6.0]);
}

/// Names keep the spelling of the file, whatever they are there.
#[test]
fn category_names_are_those_of_the_text() {
    let names = |lists: &str| {
        let text = replaced(TEXT, "[[\"a\", 1, 2.0, true]]", lists);
        let mut document = dump();
        document["pandas_categorical"] = serde_json::from_str(lists).unwrap();
        let json = import(document.to_string().as_bytes(), None).unwrap();
        assert_eq!(json.schema, import(text.as_bytes(), None).unwrap().schema);
        json.schema.features()[1].vocabulary().unwrap().to_vec()
    };
    assert_eq!(names("[[\"a\", 1, 2.0, true]]"), ["a", "1", "2.0", "true"]);
    assert_eq!(names("[[1.0, 2.0]]"), ["1.0", "2.0"]);
    assert_eq!(names("[]"), ["0", "7", "40"]);
}

#[test]
fn classes_and_no_objective() {
    let mut document = dump();
    document.as_object_mut().unwrap().remove("objective");
    let read = |document: &Value| import(document.to_string().as_bytes(), None);
    let plain = read(&document).unwrap();
    assert_eq!((plain.target, plain.ensemble.link), (TargetKind::Regression, Link::Identity));
    assert!(plain.warnings[0].starts_with("no objective"));
    document["objective"] = json!("multiclass num_class:2");
    document["num_tree_per_iteration"] = json!(2);
    let classes = read(&document).unwrap();
    assert_eq!((classes.target.n_outputs(), classes.ensemble.tree_output), (2, vec![0, 1]));
}

#[test]
fn what_does_not_hold_is_refused_at_its_path() {
    type Change = fn(&mut Value);
    fn root(document: &mut Value) -> &mut Value {
        &mut document["tree_info"][0]["tree_structure"]
    }
    let cases: [(Change, &str); 18] = [
        (|d| d["version"] = json!("v9"), "version: not supported: version \"v9\""),
        (|d| d["num_tree_per_iteration"] = json!(0), "num_tree_per_iteration: 0, expected 1 to"),
        (
            |d| d["num_tree_per_iteration"] = json!(1e9),
            "num_tree_per_iteration: 1000000000, expected",
        ),
        (|d| d["num_tree_per_iteration"] = json!(2), "objective: an objective of another number"),
        (|d| d["max_feature_idx"] = json!(4), "feature_names: 4 names, max_feature_idx asks for 5"),
        (|d| d["objective"] = json!("regression sqrt"), "objective: not supported: reg_sqrt"),
        (
            |d| d["tree_info"][0]["num_leaves"] = json!(6),
            "tree_info[0].num_leaves: 6, but the tree has 5",
        ),
        (
            |d| d["tree_info"][0]["num_leaves"] = json!(1_000_000_000_000u64),
            "tree_info[0].num_leaves: 1000000000000, but the tree has 5",
        ),
        (
            |d| root(d)["left_child"]["left_child"]["leaf_index"] = json!(9),
            "tree_info[0].tree_structure.left_child.left_child: leaf_index 9, num_leaves is 5",
        ),
        (
            |d| root(d)["left_child"]["left_child"]["leaf_index"] = json!(2),
            "tree_info[0]: two leaves have number 2",
        ),
        (
            |d| root(d)["left_child"] = json!({"leaf_value": 1}),
            "tree_structure.left_child: there is no key \"leaf_index\"",
        ),
        (
            |d| root(d)["left_child"]["left_child"]["leaf_const"] = json!(1),
            "left_child.left_child: not supported: linear models in the leaves",
        ),
        (|d| root(d)["split_feature"] = json!(4), "tree_structure.split_feature: column 4 of 4"),
        (
            |d| root(d)["split_feature"] = json!(1),
            "tree_structure.split_feature: not supported: column \"plan\" is split as a number",
        ),
        (
            |d| root(d)["decision_type"] = json!("<"),
            "tree_structure.decision_type: not supported: decision type \"<\"",
        ),
        (
            |d| root(d)["missing_type"] = json!("Some"),
            "tree_structure.missing_type: not supported: missing type \"Some\"",
        ),
        (
            |d| root(d)["left_child"]["threshold"] = json!("1||x"),
            "tree_structure.left_child.threshold: \"x\" is no category",
        ),
        (
            |d| root(d)["internal_count"] = json!(-1),
            "tree_info[0].tree_structure: internal_count is -1",
        ),
    ];
    for (change, expected) in cases {
        let found = error(change);
        assert!(found.starts_with("LightGBM JSON, "), "{found}");
        assert!(found.contains(expected), "{found:?} does not say {expected:?}");
    }
}

#[test]
fn json_is_told_apart_by_its_keys() {
    let nested = json!({"version": [2], "a\"}": {"tree_info": 1}, "learner": {"tree_info": 2}});
    for (document, format) in [
        (dump().to_string(), Format::LightGbmJson),
        ("{ \"z\": \"tree_info\\\\\", \"tree_structure\": {}}".to_owned(), Format::LightGbmJson),
        (nested.to_string(), Format::XgboostJson),
        ("{\"version\": [2]}".to_owned(), Format::XgboostJson),
        ("{\"open".to_owned(), Format::XgboostJson),
        ("{\"open\\".to_owned(), Format::XgboostJson),
    ] {
        assert_eq!(Format::detect(document.as_bytes()), Some(format), "{document}");
    }
    let found = import(b"{\"tree_index\": 0, \"tree_structure\": {\"leaf_value\": 1}}", None);
    let found = found.unwrap_err().to_string();
    assert!(found.contains("one tree without the head of a model"), "{found}");
}

/// The reader of JSON ends at 128 levels, so a chain of nodes cannot exhaust the stack.
#[test]
fn deep_trees_are_refused() {
    let mut document = dump();
    document["tree_info"][0]["tree_structure"] = json!("deep");
    let text = format!("{}1{}", "{\"left_child\":".repeat(10_000), "}".repeat(10_000));
    let document = document.to_string().replace("\"deep\"", &text);
    let found = import(document.as_bytes(), None).unwrap_err().to_string();
    assert!(found.contains("recursion limit exceeded"), "{found}");
}
