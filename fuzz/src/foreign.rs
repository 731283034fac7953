//! Files of formats that are read but not written.

/// XGBoost's old binary: one dart tree of two leaves, an attribute.
pub fn xgboost_binary() -> Vec<u8> {
    let mut file = Vec::new();
    let words = |file: &mut Vec<u8>, words: &[u32]| {
        words.iter().for_each(|word| file.extend(word.to_le_bytes()));
    };
    let text = |file: &mut Vec<u8>, text: &str| {
        file.extend((text.len() as u64).to_le_bytes());
        file.extend(text.as_bytes());
    };
    let one_half = 0.5f32.to_bits();
    // start, columns, classes, attributes, metrics, version
    words(&mut file, &[one_half, 2, 0, 1, 0, 1, 7]);
    file.resize(136, 0);
    text(&mut file, "binary:logistic");
    text(&mut file, "dart");
    let ensemble = file.len();
    words(&mut file, &[1, 1]);
    file.resize(ensemble + 160, 0);
    let tree = file.len();
    words(&mut file, &[1, 3]);
    file.resize(tree + 148, 0);
    let none = u32::MAX;
    words(&mut file, &[none, 1, 2, 1 | 1 << 31, one_half]);
    words(&mut file, &[1 << 31, none, none, 0, one_half]);
    words(&mut file, &[0, none, none, 0, (-1.0f32).to_bits()]);
    words(&mut file, &[one_half; 12]);
    // the class of the tree, the number of weights, the weight
    words(&mut file, &[0, 1, 0, one_half]);
    file.extend(1u64.to_le_bytes());
    text(&mut file, "best_iteration");
    text(&mut file, "0");
    file
}

/// LightGBM's dump: a number and a category, a tree of one leaf.
pub const LIGHTGBM_JSON: &str = r#"{"name": "tree", "version": "v4", "num_class": 1,
"num_tree_per_iteration": 1, "max_feature_idx": 1, "objective": "binary sigmoid:1",
"average_output": false, "feature_names": ["visits", "plan"],
"feature_infos": {"visits": {"values": []}, "plan": {"values": [-1, 0, 1, 2]}},
"tree_info": [{"tree_index": 0, "num_leaves": 3, "tree_structure": {"split_feature": 0,
"split_gain": 5, "threshold": 3.5, "decision_type": "<=", "default_left": true,
"missing_type": "NaN", "internal_count": 80,
"left_child": {"leaf_index": 0, "leaf_value": 0.5, "leaf_count": 40},
"right_child": {"split_feature": 1, "threshold": "0||2", "decision_type": "==",
"default_left": false, "missing_type": "None",
"left_child": {"leaf_index": 1, "leaf_value": -1.25},
"right_child": {"leaf_index": 2, "leaf_value": 0.75}}}},
{"tree_index": 1, "num_leaves": 1, "tree_structure": {"leaf_value": 0.125}}],
"pandas_categorical": [["a", "b", 3]]}"#;
