//! What other libraries write and our own writers do not.

use segue_dataset::TargetKind;
use serde_json::{Value, json};

use super::{Format, Imported, classes, error, import, plain, replaced, text};
use crate::exchange::document::Value as Parsed;
use crate::exchange::ubjson;
use crate::{Combine, Link};

fn xgboost(change: impl Fn(&mut Value)) -> Result<Imported, String> {
    let mut document = serde_json::from_str(&text(&classes(), Format::XgboostJson)).unwrap();
    change(&mut document);
    import(document.to_string().as_bytes(), None).map_err(|error| error.to_string())
}

fn leaves(imported: &Imported, tree: usize) -> &[f64] {
    &imported.ensemble.trees[tree].leaf_values
}

/// In dart, the weight of a tree counts for all its leaves; a file with too few weights is refused.
#[test]
fn xgboost_dart_weighs_its_trees() {
    let dart = |weights: Value| {
        xgboost(move |document| {
            let inner = document["learner"]["gradient_booster"].take();
            document["learner"]["gradient_booster"] =
                json!({"name": "dart", "gbtree": inner, "weight_drop": weights});
        })
    };
    let imported = dart(json!([0.5, 1.0, 0.25])).unwrap();
    assert_eq!(leaves(&imported, 0), [-0.5, 0.25, 1.0]);
    assert_eq!(leaves(&imported, 1), [-1.0, 0.5, 2.0]);
    assert_eq!(leaves(&imported, 2), [-0.25, 0.125, 0.5]);
    let found = dart(json!([0.5])).unwrap_err();
    assert!(found.contains("weight_drop: 1 numbers, expected 3"), "{found}");
}

/// Vectors are counted by node in older files and by leaf, at the place of the right child, in newer.
#[test]
fn xgboost_leaves_may_be_vectors() {
    let vectors = |by_leaf: bool| {
        move |document: &mut Value| {
            let model = &mut document["learner"]["gradient_booster"]["model"];
            model["trees"].as_array_mut().unwrap().truncate(1);
            model["tree_info"] = json!([0]);
            let tree = &mut model["trees"][0];
            tree["tree_param"]["size_leaf_vector"] = json!("3");
            if by_leaf {
                tree["right_children"] = json!([2, 4, 0, 1, 2]);
                tree["leaf_weights"] = json!([7, 8, 9, 10, 11, 12, 13, 14, 15]);
            } else {
                let weights: Vec<u32> = (1..16).collect();
                tree["base_weights"] = json!(weights);
            }
        }
    };
    for by_leaf in [false, true] {
        let imported = xgboost(vectors(by_leaf)).unwrap();
        let expected: Vec<f64> = (7..16).map(f64::from).collect();
        assert_eq!(leaves(&imported, 0), expected, "by leaf: {by_leaf}");
        assert_eq!(imported.ensemble.trees[0].leaf_width, 3);
    }
    let short = xgboost(|document| {
        vectors(true)(document);
        let tree = &mut document["learner"]["gradient_booster"]["model"]["trees"][0];
        tree["leaf_weights"] = json!([7, 8, 9, 10, 11, 12, 13, 14]);
    });
    assert!(short.unwrap_err().contains("leaf 4 has no vector of 3 values"));
}

/// Since 3.1 the file names categories: texts end to end with their offsets, numbers as they are.
#[test]
fn xgboost_names_categories() {
    let named = |plan: Value| {
        xgboost(move |document| {
            document["learner"]["attributes"] = json!({"best_iteration": "1"});
            let none = json!({"offsets": [], "values": []});
            let country = json!({"values": [30, 10, 20]});
            document["learner"]["gradient_booster"]["model"]["cats"] =
                json!({"enc": [none, none, plan, none, country]});
        })
    };
    // u-umlaut is two bytes, signed in the file
    let plan = json!({"offsets": [0, 2, 2, 4], "values": [98, 50, -61, -68]});
    let imported = named(plan).unwrap();
    let names = |column: usize| imported.schema.features()[column].vocabulary().map(<[_]>::to_vec);
    assert_eq!(names(2).unwrap(), ["b2", "", "\u{fc}"]);
    assert_eq!(names(4).unwrap(), ["30", "10", "20"]);
    assert_eq!(names(0), None);
    assert!(imported.warnings.iter().any(|warning| warning.starts_with("best_iteration is 1:")));
    let found = named(json!({"offsets": [0, 9], "values": [98]})).unwrap_err();
    assert!(found.contains("enc[2].offsets: 0 to 9 is no text"), "{found}");
}

/// A column without names is a category if sets are asked of it, and then is not compared.
#[test]
fn xgboost_columns_are_numbers_or_categories() {
    let bare = |change: fn(&mut Value)| {
        xgboost(move |document| {
            document["learner"]["attributes"] = json!({});
            document["learner"]["feature_types"] = json!([]);
            change(document);
        })
    };
    let imported = bare(|_| {}).unwrap();
    assert_eq!(imported.schema.features()[2].vocabulary().unwrap(), ["1"]);
    assert!(!imported.schema.features()[4].is_category(), "nothing asks of it");
    let found = bare(|document| {
        let trees = &mut document["learner"]["gradient_booster"]["model"]["trees"];
        trees[1]["split_indices"] = json!([2, 2, 0, 0, 0]);
    });
    assert!(found.unwrap_err().contains("column \"plan\" is split as a number and as a category"));
}

/// The objective says what the start is a prediction of.
#[test]
fn xgboost_objectives_have_their_links() {
    let read = |name: &str, score: &str| {
        let text = text(&plain(), Format::XgboostJson);
        let text = replaced(&text, "\"segue\"", "\"theirs\"");
        let text =
            replaced(&text, "\"base_score\":\"0.5\"", &format!("\"base_score\":\"{score}\""));
        let text = replaced(&text, "\"binary:logistic\"", &format!("\"{name}\""));
        let imported = import(text.as_bytes(), None).unwrap();
        (imported.target, imported.ensemble.link, imported.ensemble.base[0])
    };
    assert_eq!(read("reg:squarederror", "2"), (TargetKind::Regression, Link::Identity, 2.0));
    assert_eq!(read("rank:ndcg", "2"), (TargetKind::Regression, Link::Identity, 2.0));
    for name in ["count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft"] {
        assert_eq!(read(name, "1"), (TargetKind::Regression, Link::Exp, 0.0), "{name}");
        let log_of_2 = f64::from(2f32.ln());
        assert_eq!(read(name, "2").2, log_of_2, "{name}");
    }
    assert_eq!(read("reg:logistic", "0.5"), (TargetKind::Binary, Link::Logistic, 0.0));
    assert_eq!(read("binary:logitraw", "0.5"), (TargetKind::Binary, Link::Logistic, 0.0));
}

/// A forest of an early file keeps probabilities in its leaves: neither the link nor the factor of the
/// sigmoid applies to them once more. The factor did, and a third became two thirds.
#[test]
fn lightgbm_probabilities_in_leaves_are_left_alone() {
    let forest = |version: &str, leaf: &str| {
        let text = text(&plain(), Format::LightGbm);
        let text = replaced(&text, "version=v4", version);
        let text = replaced(&text, "sigmoid:1", "sigmoid:2\naverage_output");
        let text =
            replaced(&text, "leaf_value=-1.0 2.0 0.5", &format!("leaf_value=0.25 {leaf} 0.5"));
        import(text.as_bytes(), None).unwrap()
    };
    let early = forest("version=v2", "1");
    assert_eq!((early.ensemble.link, early.ensemble.combine), (Link::Identity, Combine::Mean));
    assert_eq!(leaves(&early, 0), [0.25, 1.0, 0.5]);
    assert!(!early.warnings.iter().any(|warning| warning.contains("sigmoid")), "{early:?}");
    // a leaf that is no probability, or a later file: scores, and twice as large for the sigmoid
    for later in [forest("version=v2", "1.5"), forest("version=v3", "1.5")] {
        assert_eq!((later.ensemble.link, later.ensemble.combine), (Link::Logistic, Combine::Mean));
        assert_eq!(leaves(&later, 0), [0.5, 3.0, 1.0]);
        assert!(later.warnings.iter().any(|warning| warning.contains("margins are 2 times")));
    }
    assert_eq!(forest("version=v3", "1").ensemble.link, Link::Logistic);
}

/// Files before v3 go from the last tree to what follows without a line between.
#[test]
fn lightgbm_trees_end_as_their_version_ends_them() {
    let good = text(&plain(), Format::LightGbm);
    let bare = replaced(&good, "end of trees\n\n", "");
    assert!(error(&bare).contains("expected \"Tree=2\" or \"end of trees\""));
    let old = replaced(&bare, "version=v4", "version=v2");
    assert_eq!(import(old.as_bytes(), None).unwrap().ensemble.trees.len(), 2);
}

/// Categories by number are coded in ascending order, with those that only the head knows; lists of
/// a frame that fit the columns name them instead.
#[test]
fn lightgbm_categories_are_numbers_or_names() {
    let good = text(&plain(), Format::LightGbm);
    let tail = good.find("pandas_categorical:").unwrap();
    let bare = replaced(&good[..tail], "0:1:2 none", "-1:7:40 none");
    // word 1 is categories 32 to 63: 40
    let bare = replaced(&bare, "cat_threshold=2 0", "cat_threshold=0 256");
    let imported = import(bare.as_bytes(), None).unwrap();
    assert_eq!(imported.schema.features()[2].vocabulary().unwrap(), ["7", "40"]);
    let tree = &imported.ensemble.trees[0];
    assert_eq!(tree.leaf(&[0.0, 0.0, 1.0, 0.0, 0.0]), 1, "40 is in the set");
    assert_eq!(tree.leaf(&[0.0, 0.0, 0.0, 0.0, 0.0]), 2, "7 is not");
    assert_eq!(tree.leaf(&[0.0, 0.0, f64::NAN, 0.0, 0.0]), 2, "nor is missing");
    let warned = import(format!("{bare}pandas_categorical:[[\"a\"]]\n").as_bytes(), None).unwrap();
    assert!(warned.warnings[0].starts_with("pandas_categorical has 1 lists for 2 categorical"));
    assert_eq!(warned.schema.features()[2].vocabulary().unwrap(), ["7", "40"]);
}

/// Only the comparison that our own writer uses to part missing from categories is asked of one.
#[test]
fn lightgbm_compares_no_category() {
    let good = text(&plain(), Format::LightGbm);
    let compared = |threshold: &str, decision: &str| {
        let text = replaced(&good, "threshold=1.0 0", &format!("threshold={threshold} 0"));
        let text = replaced(&text, "decision_type=8 9", &format!("decision_type={decision} 9"));
        let text = replaced(&text, "split_feature=0 2", "split_feature=2 2");
        import(text.as_bytes(), None).map_err(|error| error.to_string())
    };
    let lowest = format!("{:?}", f64::MIN);
    let imported = compared(&lowest, "10").unwrap();
    let tree = &imported.ensemble.trees[0];
    assert_eq!(tree.nodes[0].next(f64::NAN), tree.nodes[0].left);
    assert_eq!(tree.nodes[0].next(0.0), tree.nodes[0].right);
    // with zero as missing, category 0 would leave, too, which a code cannot say
    for (threshold, decision) in [("-2", "10"), (lowest.as_str(), "6"), (lowest.as_str(), "2")] {
        let found = compared(threshold, decision).unwrap_err();
        assert!(found.contains("split as a number and as a category"), "{found}");
    }
}

/// Three classes take their trees in turn: a file that ends within a turn was cut short.
#[test]
fn lightgbm_rounds_of_classes_are_whole() {
    let good = text(&classes(), Format::LightGbm);
    let (last, end) = (good.find("Tree=2").unwrap(), good.find("end of trees").unwrap());
    let cut = format!("{}{}", &good[..last], &good[end..]).replace("tree_sizes", "sizes");
    let found = error(&cut);
    assert!(found.contains("\"tree\": 2 trees, expected a multiple of 3"), "{found}");
}

/// Gains that overflowed in training are unknown, and no reason to refuse a model that scores.
#[test]
fn gains_that_are_not_finite_are_unknown() {
    let text = text(&plain(), Format::LightGbm);
    let text = replaced(&text, "split_gain=1 1", "split_gain=inf nan");
    let model = import(text.as_bytes(), None).unwrap().into_model("gains").unwrap();
    let gains = model.ensemble().trees[0].nodes.iter().map(|node| node.gain);
    assert_eq!(gains.collect::<Vec<_>>(), [0.0, 0.0]);
}

/// Numbers of every type, counted and not, with no-ops where the specification allows them.
#[test]
fn ubjson_is_read_as_specified() {
    let read = |bytes: &[u8]| ubjson::parse(bytes);
    let numbers = |values: &[f64]| Ok(Parsed::Numbers(values.to_vec()));
    assert_eq!(
        read(b"[i\xffU\xffI\xff\xfel\xff\xff\xff\xfd]"),
        numbers(&[-1.0, 255.0, -2.0, -3.0])
    );
    assert_eq!(read(b"[L\xff\xff\xff\xff\xff\xff\xff\xfc]"), numbers(&[-4.0]));
    assert_eq!(read(b"[d\x3f\xc0\0\0D\x3f\xf8\0\0\0\0\0\0]"), numbers(&[1.5, 1.5]));
    assert_eq!(read(b"[#i\x02i\x01i\x02"), numbers(&[1.0, 2.0]));
    // 0x4e is the number 78 here, and a no-op below
    assert_eq!(read(b"[$U#i\x02NN"), numbers(&[78.0, 78.0]));
    assert_eq!(read(b"N[Ni\x01NNi\x02N]"), numbers(&[1.0, 2.0]));
    let flags = vec![Parsed::Null, Parsed::Bool(true), Parsed::Bool(false)];
    assert_eq!(read(b"[ZTF]"), Ok(Parsed::List(flags)));
    let object = |value| Ok(Parsed::Object([("a".to_owned(), value)].into()));
    assert_eq!(read(b"{i\x01aSi\x02ab}"), object(Parsed::Text("ab".to_owned())));
    assert_eq!(read(b"{#i\x01i\x01aCx"), object(Parsed::Text("x".to_owned())));
    assert_eq!(read(b"{Ni\x01aZN}"), object(Parsed::Null));
    assert_eq!(read(b"{$i#i\x01i\x01a\x05"), object(Parsed::Number(5.0)));
    for (bytes, expected) in [
        (&b"[i\x01"[..], "byte 3: 1 bytes are due, 0 are left"),
        (b"{i\x01aZi\x01aZ}", "key \"a\" is given twice"),
        (b"Si\x02\xff\xff", "not UTF-8"),
        (b"ZZ", "byte 1: 1 bytes are left over"),
        (b"Sd\0\0\0\0", "marker 'd' where a length is due"),
    ] {
        let found = read(bytes).unwrap_err().to_string();
        assert!(found.contains(expected), "{found:?} does not say {expected:?}");
    }
}
