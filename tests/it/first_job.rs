//! `segue init`: from event files that nobody has described to a job that runs.

use std::fs;

use crate::small::small;
use crate::support::{Run, segue, workspace};

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
