//! The keys of `[learner]` take effect in the trees.

use segue_learners::{Monotone, Objective};
use segue_model::{Child, Tree};

use super::*;
use crate::job::Job;

/// `[learner]` as a job has it.
fn section(task: &str, learner: &str) -> LearnerSection {
    let text = format!(
        "model = \"m\"\ntask = \"{task}\"\n[table]\nfile = \"a.csv\"\nlabel = \"y\"\n[learner]\n{learner}\n"
    );
    Job::parse(&text, std::path::Path::new("j.toml"), PathBuf::new()).unwrap().learner
}

fn boosted(learner: &str) -> FittedModel {
    let base = "rounds = 40\nleaves = 15\nearly_stopping_rounds = 0\nmin_rows_per_leaf = 5\n";
    fitted(&section("churn", &format!("{base}{learner}")), 1.0, &TargetKind::Binary)
}

/// Scores along one feature, the others in the middle.
fn along(model: &Model, column: usize) -> Vec<f64> {
    let rows: Vec<Vec<f64>> = (0..=200)
        .map(|step| {
            let mut row = vec![0.5; 3];
            row[column] = f64::from(step) / 200.0;
            row
        })
        .collect();
    let columns = (0..3).map(|column| rows.iter().map(|row| row[column]).collect()).collect();
    model.score_rows(&Matrix::from_columns(rows.len(), columns))
}

fn falls(scores: &[f64]) -> bool {
    scores.windows(2).any(|pair| pair[1] < pair[0])
}

fn rises(scores: &[f64]) -> bool {
    scores.windows(2).any(|pair| pair[1] > pair[0])
}

#[test]
fn scores_of_a_monotone_job_are_monotone_in_the_feature() {
    let free = boosted("").model;
    assert!(falls(&along(&free, 0)), "noise bends an answer that is free");
    let up = boosted("monotone = { f0 = \"increasing\" }").model;
    assert!(!falls(&along(&up, 0)) && rises(&along(&up, 0)));
    assert!(falls(&along(&up, 1)) && rises(&along(&up, 1)), "the others stay free");
    let down = boosted("monotone = { f1 = \"decreasing\" }").model;
    assert!(!rises(&along(&down, 1)) && falls(&along(&down, 1)));
}

/// Calls `seen` with the columns of every path to a leaf.
fn paths(tree: &Tree, at: Child, above: &[u32], seen: &mut dyn FnMut(&[u32])) {
    match at {
        Child::Leaf(_) => seen(above),
        Child::Node(node) => {
            let node = &tree.nodes[node as usize];
            let path: Vec<u32> = above.iter().copied().chain([node.feature]).collect();
            paths(tree, node.left, &path, seen);
            paths(tree, node.right, &path, seen);
        }
    }
}

/// Whether columns 0 and 1 meet on a path, and 0 and 2.
fn meetings(model: &Model) -> (bool, bool) {
    let mut met = (false, false);
    for tree in &model.ensemble().trees {
        paths(tree, Child::Node(0), &[], &mut |path| {
            met.0 |= path.contains(&0) && path.contains(&1);
            met.1 |= path.contains(&0) && path.contains(&2);
        });
    }
    met
}

#[test]
fn groups_of_interactions_hold_on_every_path() {
    assert_eq!(meetings(&boosted("").model), (true, true));
    assert_eq!(meetings(&boosted("interactions = [[\"f0\", \"f2\"]]").model), (false, true));
    assert_eq!(meetings(&boosted("interactions = [[\"f0\"], [\"f1\"]]").model), (false, false));
}

#[test]
fn every_other_option_changes_the_trees() {
    let plain = boosted("").model;
    let options = [
        "goss = { top = 0.1, other = 0.1 }",
        "dart = { drop = 0.5, skip = 0.0 }",
        "extra_trees = true",
        "column_share_by_node = 0.4",
        "objective = \"focal\"",
        "class_weight = \"balanced\"",
    ];
    let models = options.map(|option| boosted(option).model.ensemble().clone());
    for (at, (ensemble, option)) in models.iter().zip(options).enumerate() {
        assert_ne!(ensemble, plain.ensemble(), "{option}");
        assert!(models[..at].iter().all(|other| other != ensemble), "{option}");
    }
    let forest = |more: &str| {
        let learner = format!("kind = \"forest\"\ntrees = 5\n{more}");
        fitted(&section("churn", &learner), 1.0, &TargetKind::Binary).model
    };
    for option in ["extra_trees = true", "bootstrap = false", "max_bins = 5", "min_gain = 0.01"] {
        assert_ne!(forest(option), forest(""), "{option}");
    }
    assert_eq!(forest("extra_trees = false"), forest(""));
}

#[test]
fn parameters_are_those_of_the_keys() {
    let params = |learner: &str| match learner_of(&section("churn", learner), Answer::YesNo, 1) {
        Learner::Boosting(params) => params,
        other => panic!("{other:?}"),
    };
    let goss = params("goss = { top = 0.3, other = 0.2 }").goss.unwrap();
    assert_eq!((goss.top_rate, goss.other_rate), (0.3, 0.2));
    let dart = params("dart = { drop = 0.3, skip = 0.2, max_drop = 7 }").dart.unwrap();
    assert_eq!((dart.drop_rate, dart.skip_drop, dart.max_drop), (0.3, 0.2, 7));
    let focal = params("objective = \"focal\"\ngamma = 1.5\nalpha = 0.4").objective;
    assert_eq!(focal, Some(Objective::Focal { gamma: 1.5, alpha: 0.4 }));
    let categories = params(
        "cat_smooth = 3\ncat_l2 = 4\nmax_cat_threshold = 5\nmax_cat_to_onehot = 6\nmin_data_per_group = 7",
    )
    .categories;
    assert_eq!((categories.smooth, categories.l2), (3.0, 4.0));
    assert_eq!((categories.max_categories, categories.one_vs_rest_up_to), (5, 6));
    assert_eq!(categories.min_rows_per_group, 7);
    let forest = |learner: &str| {
        let learner = format!("kind = \"forest\"\n{learner}");
        match learner_of(&section("churn", &learner), Answer::YesNo, 1) {
            Learner::Forest(params) => (params.bootstrap, params.out_of_bag),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(forest(""), (true, true));
    assert_eq!(forest("out_of_bag = false"), (true, false));
    assert_eq!(forest("bootstrap = false"), (false, false), "no bag, nothing out of it");
    assert_eq!(params("").early_stopping_rounds, 50);
    assert_eq!(params("dart = {}").early_stopping_rounds, 0);
}

#[test]
fn names_are_looked_up_in_the_rows() {
    let features = vec![
        Feature::number("visits"),
        Feature::category("plan", vec!["free".to_owned()]),
        Feature::number("visits_7d"),
    ];
    let schema = Schema::new(features).unwrap();
    let classes =
        TargetKind::Multiclass { classes: vec!["early".into(), "late".into(), "no".into()] };
    let bound = |learner: &str| {
        let mut params = BoostingParams::default();
        let section = section("needs_help_at", learner);
        bind(&mut params, &section, &schema, &classes).map(|()| params).map_err(|e| e.to_string())
    };
    let params = bound(
        "monotone = { visits_7d = \"decreasing\" }\ninteractions = [[\"visits_7d\", \"plan\"]]\n\
         class_weight = { late = 3 }",
    )
    .unwrap();
    assert_eq!(params.monotone, [Monotone::Free, Monotone::Free, Monotone::Decreasing]);
    assert_eq!(params.interactions, [[2, 1]]);
    assert_eq!(params.class_weight, segue_learners::ClassWeight::Each(vec![1.0, 3.0, 1.0]));
    for (learner, expected) in [
        (
            "monotone = { vists = \"increasing\" }",
            "learner.monotone: the rows have no feature \"vists\"; nearest first, they have: visits, ",
        ),
        (
            "monotone = { plan = \"increasing\" }",
            "learner.monotone: \"plan\" is a category; only numbers have an order",
        ),
        (
            "interactions = [[\"visits\", \"plam\"]]",
            "learner.interactions: the rows have no feature \"plam\"; nearest first, they have: plan, ",
        ),
        (
            "class_weight = { lat = 2 }",
            "learner.class_weight: the rows have no class \"lat\"; did you mean \"late\"?",
        ),
    ] {
        let message = bound(learner).unwrap_err();
        assert!(message.starts_with(expected), "{message}");
    }
}
