//! `segue init` and `segue train`: from event files that nobody has described to a model and its figures.

use std::fs;

use crate::small::small;
use crate::support::{Run, segue, workspace};
use crate::table::table;

#[test]
fn init_writes_a_job_that_trains() {
    let folder = tempfile::tempdir().unwrap();
    let job = folder.path().join("job.toml");
    segue().arg("init").arg(small().events()).arg("--out").arg(&job).done();
    let text = fs::read_to_string(&job).unwrap();
    assert!(text.lines().any(|line| line.trim_start().starts_with('#')), "no comments:\n{text}");
    let mut train = segue();
    train.arg("train").arg(&job).arg("--registry").arg(folder.path().join("models"));
    let trained = train.json();
    assert_eq!(trained["version"], 1);
    // whichever question the log answers best: its users are ranked far better than by chance
    let metrics = &trained["metrics"];
    let auc = metrics["auc"].as_f64().is_some_and(|auc| auc > 0.6);
    let spearman = metrics["spearman"].as_f64().is_some_and(|spearman| spearman > 0.1);
    assert!(auc || spearman, "{metrics}");
}

/// What a person reads in the report, a script reads in the answer.
#[test]
fn train_tells_machines_what_the_model_is_compared_with() {
    let registry = tempfile::tempdir().unwrap();
    let said = table().train(1, registry.path()).json();
    let comparisons = said["comparisons"].as_array().unwrap();
    let auc_of = |contender: &str| {
        let of = comparisons.iter().find(|other| other["contender"] == contender).unwrap();
        of["metrics"]["auc"].as_f64().unwrap()
    };
    assert!(auc_of("single_feature") > 0.7 && auc_of("base_rate") == 0.5, "{said}");
    let calibration = &said["calibration"];
    let losses = calibration["log_loss"].as_object().unwrap();
    let least = losses.values().filter_map(serde_json::Value::as_f64).fold(f64::INFINITY, f64::min);
    let chosen = calibration["chosen"].as_str().unwrap();
    assert_eq!(losses[chosen].as_f64(), Some(least), "{calibration}");
    let before = calibration["uncalibrated_metrics"]["calibration_error"].as_f64();
    assert_eq!(before.is_some(), chosen != "none", "{calibration}");
}

#[test]
fn init_profiles_the_sample_and_its_job_computes_features() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let sample = workspace().join("data/sample/events.jsonl.gz");
    let mut init = segue();
    init.arg("init").arg(sample).arg("--out").arg(path("job.toml"));
    let said = init.json();
    assert!(said["profile"].to_string().contains("Signed Up"), "{said}");
    segue().arg("features").arg(path("job.toml")).arg("--out").arg(path("features.csv")).done();
    // every default in place, and the same job again
    let explained = segue().args(["train", "--explain"]).arg(path("job.toml")).done().stdout;
    fs::write(path("explained.toml"), &explained).unwrap();
    let again = segue().args(["train", "--explain"]).arg(path("explained.toml")).done().stdout;
    assert_eq!(explained, again);
}

#[test]
fn init_overwrites_only_when_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let job = folder.path().join("job.toml");
    fs::write(&job, "mine").unwrap();
    let mut init = segue();
    init.arg("init").arg(small().events()).arg("--force").arg("--out").arg(&job).done();
    assert_ne!(fs::read_to_string(&job).unwrap(), "mine");
}
