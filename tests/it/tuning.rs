//! `segue tune` from the outside: killed and taken up again, and a job that trains as it stands.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Run, interrupt, replaced, segue};
use crate::table::{JOB, rows};

/// A folder with `rows.csv` and `job.toml`.
fn desk() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rows.csv"), rows()).unwrap();
    let job = replaced(JOB, "leaves = 4", "leaves = 31   # far too many");
    fs::write(folder.path().join("job.toml"), job).unwrap();
    folder
}

fn tune(folder: &Path, out: &str) -> Command {
    let mut tune = segue();
    tune.args(["tune", "job.toml", "--trials", "14", "--out", out]).current_dir(folder);
    tune
}

#[test]
fn a_killed_search_loses_the_running_trial_at_most() {
    let folder = desk();
    let whole = tune(folder.path(), "whole.toml").json();
    assert_eq!(whole["search"]["n_trials"], 14);
    for kill_at in ["trial 3", "trial 9"] {
        let mut child = tune(folder.path(), "killed.toml").stderr(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        let begun = said.lines().map(Result::unwrap).find(|line| line.starts_with(kill_at));
        assert!(begun.is_some(), "{kill_at} never began");
        child.kill().unwrap();
        child.wait().unwrap();
        let kept = fs::read_to_string(folder.path().join("killed.trials.jsonl")).unwrap();
        let n: usize = kill_at.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(kept.lines().count() > n, "{kept}");
    }
    let resumed = tune(folder.path(), "killed.toml").json();
    assert!(resumed["search"]["n_resumed"].as_u64().unwrap() >= 9);
    assert_eq!(resumed["search"]["best"], whole["search"]["best"]);
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(read("killed.trials.jsonl"), read("whole.trials.jsonl"));
    assert_eq!(read("killed.toml"), read("whole.toml"));
}

#[test]
fn a_search_that_is_interrupted_writes_the_best_it_has_found() {
    let folder = desk();
    let mut endless = segue();
    endless.args(["tune", "job.toml", "--trials", "1000000"]).current_dir(folder.path());
    let mut child = endless.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.starts_with("trial 3")), "trial 3 never began");
    interrupt(child.id());
    let said: Vec<String> = said.collect();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{said:?}");
    let told = String::from_utf8(ended.stdout).unwrap();
    assert!(told.contains("stopped by a signal; the same command goes on from here"), "{told}");
    let mut train = segue();
    train.args(["train", "job.tuned.toml", "--dry-run"]).current_dir(folder.path());
    assert!(train.json()["metrics"]["auc"].is_number());
}

#[test]
fn the_tuned_job_keeps_its_comments_and_trains() {
    let folder = desk();
    let said = tune(folder.path(), "tuned.toml").json();
    let (best, first) = (&said["search"]["best"]["loss"], &said["search"]["first"]["loss"]);
    assert!(best.as_f64().unwrap() < first.as_f64().unwrap(), "{said}");
    let text = fs::read_to_string(folder.path().join("tuned.toml")).unwrap();
    assert!(text.contains("# far too many") && !text.contains("leaves = 31 "), "{text}");
    let mut train = segue();
    train.args(["train", "tuned.toml", "--dry-run"]).current_dir(folder.path());
    assert!(train.json()["metrics"]["auc"].as_f64().unwrap() > 0.7);
    assert_eq!(said["train"], "segue train tuned.toml");
}

#[test]
fn what_cannot_be_tuned_is_said_and_leaves_nothing() {
    let folder = desk();
    fs::write(folder.path().join("mine.toml"), "mine").unwrap();
    fs::write(
        folder.path().join("tree.toml"),
        replaced(JOB, "rounds = 20\nleaves = 4", "kind = \"linfa_tree\""),
    )
    .unwrap();
    let cases: [(&[&str], i32, &str); 6] = [
        (&["job.toml", "--out", "mine.toml"], 1, "--force"),
        (&["job.toml", "--out", "job.toml"], 1, "the job itself"),
        (&["job.toml", "--minutes", "0"], 1, "--minutes is 0"),
        (&["job.toml", "--out", "no/where.toml"], 1, "no/where.trials.jsonl"),
        (&["tree.toml"], 65, "learner.kind: \"linfa_tree\" is not tuned"),
        (&["absent.toml"], 65, "absent.toml"),
    ];
    for (args, code, says) in cases {
        let ran = segue().arg("tune").args(args).current_dir(folder.path()).ran();
        assert_eq!(ran.code, Some(code), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{args:?}: {}", ran.stderr);
    }
    assert_eq!(fs::read_to_string(folder.path().join("mine.toml")).unwrap(), "mine");
    assert!(!folder.path().join("tree.tuned.trials.jsonl").exists());
}
