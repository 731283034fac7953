use super::*;
use crate::job::Job;

fn job(task: &str, learner: &str) -> Result<Job, String> {
    let text = format!(
        "model = \"m\"\ntask = \"{task}\"\n[table]\nfile = \"a.csv\"\nlabel = \"y\"\n[learner]\n{learner}\n"
    );
    Job::parse(&text, Path::new("j.toml"), PathBuf::from("jobs")).map_err(|error| error.to_string())
}

#[test]
fn every_option_is_explained_and_reads_back() {
    for (task, learner, expected) in [
        ("churn", "goss = {}", &["[learner.goss]\nother = 0.1\ntop = 0.2\n"][..]),
        ("churn", "goss = { top = 0 }", &["[learner.goss]\nother = 0.1\ntop = 0.0\n"]),
        (
            "churn",
            "dart = { drop = 0.2 }",
            &[
                "[learner.dart]\ndrop = 0.2\nmax_drop = 50\nskip = 0.5\n",
                "early_stopping_rounds = 0\n",
            ],
        ),
        (
            "churn",
            "objective = \"focal\"",
            &["objective = \"focal\"\n", "gamma = 2.0\n", "alpha = 0.25\n"],
        ),
        (
            "churn",
            "extra_trees = true\ncolumn_share_by_node = 0.5",
            &["extra_trees = true\n", "column_share_by_node = 0.5\n"],
        ),
        (
            "churn",
            "",
            &["extra_trees = false\n", "column_share_by_node = 1.0\n", "positive_weight = 1.0\n"],
        ),
        (
            "churn",
            "kind = \"forest\"\nextra_trees = true",
            &["kind = \"forest\"\n", "extra_trees = true\n"],
        ),
        (
            "churn",
            "monotone = { \"visits, all\" = \"increasing\", age = \"decreasing\" }",
            &["[learner.monotone]\nage = \"decreasing\"\n\"visits, all\" = \"increasing\"\n"],
        ),
        (
            "churn",
            "interactions = [[\"a\", \"b\"], [\"c\"]]",
            &["interactions = [[\"a\", \"b\"], [\"c\"]]\n"],
        ),
        ("churn", "class_weight = \"balanced\"", &["class_weight = \"balanced\"\n"]),
        ("needs_help_at", "", &["class_weight = \"equal\"\n"]),
        ("needs_help_at", "class_weight = { late = 3 }", &["[learner.class_weight]\nlate = 3.0\n"]),
        ("churn", "start_from = \"churn@champion\"", &["start_from = \"churn@champion\"\n"]),
    ] {
        let text = job(task, learner).unwrap().to_toml();
        for line in expected {
            assert!(text.contains(line), "{line} of {learner} in:\n{text}");
        }
        let again = Job::parse(&text, Path::new("j.toml"), PathBuf::new()).unwrap();
        assert_eq!(again.to_toml(), text);
    }
    let balanced = job("churn", "class_weight = \"balanced\"").unwrap().to_toml();
    assert!(!balanced.contains("positive_weight"), "{balanced}");
}

#[test]
fn contradictions_name_their_key() {
    for (task, learner, expected) in [
        ("churn", "goss = {}\nrow_share = 0.5", "learner.row_share: contradicts learner.goss: "),
        ("churn", "goss = { top = 1.0 }", "learner.goss.top: is 1, expected a number not below 0"),
        (
            "churn",
            "goss = { other = 0.9 }",
            "learner.goss.other: is 0.9, expected a number above 0",
        ),
        (
            "churn",
            "dart = {}\nearly_stopping_rounds = 5",
            "learner.early_stopping_rounds: contradicts learner.dart: ",
        ),
        (
            "churn",
            "dart = { drop = 2.0 }",
            "learner.dart.drop: is 2, expected a number from 0 to 1",
        ),
        ("churn", "dart = { skip = -1.0 }", "learner.dart.skip: is -1, expected "),
        (
            "churn",
            "dart = {}\nlearning_rate = \"auto\"",
            "learner.learning_rate: \"auto\" is found by early stopping, which learner.dart",
        ),
        (
            "churn",
            "early_stopping_rounds = 0\nlearning_rate = \"auto\"",
            "learner.learning_rate: \"auto\" is found by early stopping, but learner.early",
        ),
        (
            "churn",
            "start_from = \"m@1\"\nlearning_rate = \"auto\"",
            "learner.learning_rate: \"auto\" is found by a fit from nothing, but learner.start_from",
        ),
        (
            "churn",
            "gamma = 1.0",
            "learner.gamma: belongs to objective \"focal\", this one is \"logistic\"",
        ),
        (
            "churn",
            "alpha = 0.5",
            "learner.alpha: belongs to objective \"quantile\" or \"focal\", this one is \"logistic\"",
        ),
        ("churn", "objective = \"focal\"\ngamma = -1.0", "learner.gamma: is -1, expected "),
        ("churn", "objective = \"focal\"\nalpha = 1.0", "learner.alpha: is 1, expected "),
        (
            "lifetime_value",
            "objective = \"focal\"",
            "learner.objective: \"focal\" predicts a yes or no, ",
        ),
        ("churn", "column_share_by_node = 0.0", "learner.column_share_by_node: is 0, expected "),
        ("churn", "interactions = [[]]", "learner.interactions: has an empty group"),
        (
            "churn",
            "class_weight = \"balanced\"\npositive_weight = 2.0",
            "learner.class_weight: says the same as learner.positive_weight",
        ),
        ("churn", "class_weight = { \"1\" = 2.0 }", "learner.class_weight: names classes, but "),
        (
            "needs_help_at",
            "class_weight = { late = 0 }",
            "learner.class_weight: is 0 of class \"late\", expected a finite number above 0",
        ),
        (
            "lifetime_value",
            "class_weight = \"balanced\"",
            "learner.class_weight: task \"lifetime_value\" asks for a number, ",
        ),
        (
            "churn",
            "kind = \"forest\"\ngoss = {}",
            "learner.goss: learner \"forest\" has no such parameter",
        ),
        (
            "churn",
            "kind = \"linfa_tree\"\nextra_trees = false",
            "learner.extra_trees: learner \"linfa_tree\" has no such parameter",
        ),
        (
            "churn",
            "kind = \"forest\"\nmonotone = { x = \"increasing\" }",
            "learner.monotone: learner \"forest\" has no such parameter",
        ),
        (
            "churn",
            "kind = \"smartcore_forest\"\nstart_from = \"m@1\"",
            "learner.start_from: learner \"smartcore_forest\" has no such parameter",
        ),
    ] {
        let message = job(task, learner).unwrap_err();
        assert!(message.starts_with(&format!("j.toml: {expected}")), "{message}\nnot {expected}");
    }
}

#[test]
fn words_and_keys_inside_options_are_known() {
    for (learner, expected) in [
        ("goss = { tops = 0.1 }", "unknown key \"tops\""),
        ("dart = { max = 1 }", "unknown key \"max\""),
        ("monotone = { x = \"rising\" }", "unknown value \"rising\""),
        ("class_weight = \"balance\"", "\"balance\" is neither \"balanced\" nor \"equal\""),
        ("class_weight = { a = \"b\" }", "of class \"a\" is no number"),
    ] {
        let message = job("churn", learner).unwrap_err();
        assert!(message.contains(expected), "{message}\nnot {expected}");
    }
}

#[test]
fn a_start_is_a_version_or_a_path() {
    let of = |text: &str| StartFrom::of(text, Path::new("jobs"));
    assert_eq!(of("churn@champion"), StartFrom::Version("churn@champion".to_owned()));
    assert_eq!(of("churn.v2@3"), StartFrom::Version("churn.v2@3".to_owned()));
    assert_eq!(of("old.bin"), StartFrom::File(PathBuf::from("jobs/old.bin")));
    assert_eq!(of("./churn"), StartFrom::File(PathBuf::from("jobs/./churn")));
    assert_eq!(of("/models/1"), StartFrom::File(PathBuf::from("/models/1")));
}
