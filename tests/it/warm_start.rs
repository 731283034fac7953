//! Fits that go on: from a published version, and after the process was killed or interrupted.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use crate::support::{Run, interrupt, names_in, replaced, segue, until};
use crate::table::{JOB, rows};

/// A folder with the table and a job whose `[learner]` is `learner`.
fn desk(folder: &Path, name: &str, learner: &str) -> std::path::PathBuf {
    fs::write(folder.join("rows.csv"), rows()).unwrap();
    let job = folder.join(name);
    fs::write(&job, replaced(JOB, "rounds = 20\nleaves = 4\n", learner)).unwrap();
    job
}

fn train(job: &Path, registry: &Path) -> std::process::Command {
    let mut train = segue();
    train.arg("train").arg(job).arg("--registry").arg(registry);
    train
}

fn plain(rounds: u32) -> String {
    format!("rounds = {rounds}\nleaves = 4\nearly_stopping_rounds = 0\nrow_share = 0.8\n")
}

#[test]
fn a_job_goes_on_from_a_published_version() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, registry) = (folder.path(), folder.path().join("models"));
    let short = desk(folder, "short.toml", &plain(10));
    let long = desk(folder, "long.toml", &plain(30));
    assert_eq!(train(&short, &registry).json()["version"], 1);
    assert_eq!(train(&long, &registry).json()["version"], 2);
    segue().args(["promote", "table", "1", "--registry"]).arg(&registry).done();
    let model = |version: u32| registry.join(format!("table/versions/{version}/model.bin"));

    let from =
        |start: &str| desk(folder, "on.toml", &format!("{}start_from = {start:?}\n", plain(30)));
    let trained = train(&from("table@champion"), &registry).json();
    assert_eq!((&trained["version"], &trained["rounds"]), (&3.into(), &30.into()));
    assert_eq!(fs::read(model(3)).unwrap(), fs::read(model(2)).unwrap());
    let version = registry.join("table/versions/3");
    let job = fs::read_to_string(version.join("job.toml")).unwrap();
    assert!(job.contains("start_from = \"table@1\"\n"), "the alias may move:\n{job}");
    let shown = segue().args(["models", "show", "table@3", "--registry"]).arg(&registry).json();
    assert!(shown.to_string().contains("\"start_from\":\"table@1\""), "{shown}");

    // a path, from the job's folder, to the same trees
    let trained = train(&from("models/table/versions/1"), &registry).arg("--dry-run").json();
    assert_eq!(trained["rounds"], 30);

    let refused = |start: &str, code: i32, expected: &str| {
        let ran = train(&from(start), &registry).ran();
        assert_eq!(ran.code, Some(code), "{}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{}\nnot {expected}", ran.stderr);
    };
    refused("table@none", 1, "learner.start_from: \"table@none\"");
    refused("none.bin", 65, "learner.start_from: cannot read ");
    refused("rows.csv/../rows.csv", 65, "learner.start_from: ");
    refused("table@2", 65, "learner.rounds: is 30, but table@2 has 30 rounds already");
    let other = rows().replace("helped", "help").replace(",trial,", ",test,");
    let job = from("table@1");
    fs::write(folder.join("rows.csv"), other).unwrap();
    let ran = train(&job, &registry).ran();
    let expected = "learner.start_from: table@1 reads other features than these rows have: \
                    the rows have no \"helped\", it knows no \"help\", \"plan\" has other categories";
    assert_eq!(ran.code, Some(65));
    assert!(ran.stderr.contains(expected), "{}", ran.stderr);
}

#[test]
fn a_killed_training_is_taken_up_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let auto = "rounds = 90\nleaves = 4\nlearning_rate = \"auto\"\n";
    for (name, learner) in [("plain", plain(90)), ("auto", auto.to_owned())] {
        let job = desk(folder, &format!("{name}.toml"), &learner);
        let whole = folder.join(format!("{name}-whole"));
        train(&job, &whole).done();
        let (kept, registry) = (folder.join(name), folder.join(format!("{name}-killed")));
        let checkpointed = || {
            let mut train = train(&job, &registry);
            train.arg("--checkpoint").arg(&kept);
            train
        };
        // killed after its first checkpoint, then after the second of what was left
        for steps in ["1", "2"] {
            let killed = checkpointed().env("SEGUE_CRASH_AT_STEP", steps).ran();
            assert_eq!(killed.code, None, "{}", killed.stderr);
            assert_eq!(names_in(&kept), ["table.checkpoint"]);
        }
        let other = desk(folder, "other.toml", &plain(80));
        let ran = train(&other, &registry).arg("--checkpoint").arg(&kept).ran();
        assert_eq!(ran.code, Some(65));
        assert!(ran.stderr.contains("table.checkpoint: is of another fit: "), "{}", ran.stderr);
        checkpointed().done();
        assert!(names_in(&kept).is_empty(), "what is published needs no checkpoint");
        let [whole, killed] = [whole, registry].map(|registry| registry.join("table/versions/1"));
        for file in names_in(&whole).iter().filter(|file| *file != "manifest.json") {
            let same = fs::read(whole.join(file)).unwrap() == fs::read(killed.join(file)).unwrap();
            assert!(same, "{file} of {name} differs");
        }
    }
}

#[test]
fn a_training_that_is_interrupted_keeps_its_last_round() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (kept, registry) = (folder.join("kept"), folder.join("models"));
    let endless = desk(folder, "endless.toml", &plain(1_000_000));
    let checkpoint = kept.join("table.checkpoint");
    let interrupted = |args: &[&std::ffi::OsStr]| {
        let mut train = train(&endless, &registry);
        let child = train.args(args).stderr(Stdio::piped()).spawn().unwrap();
        (child.id(), child)
    };
    for _ in 0..2 {
        let before = fs::read(&checkpoint).ok();
        let (pid, child) = interrupted(&["--checkpoint".as_ref(), kept.as_os_str()]);
        until(|| fs::read(&checkpoint).is_ok_and(|bytes| Some(bytes) != before));
        interrupt(pid);
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(130), "{said}");
        let goes_on = format!("the same command goes on from {}", checkpoint.display());
        assert!(said.contains("stopping after this round") && said.contains(&goes_on), "{said}");
    }
    assert_eq!(names_in(&kept), ["table.checkpoint"]);

    // without a checkpoint there is nothing to go on from, and the message says so
    let (pid, mut child) = interrupted(&[]);
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.starts_with("fitting")));
    interrupt(pid);
    let said: Vec<String> = said.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(said.iter().any(|line| line.contains("nothing is kept of it")), "{said:?}");
    let shown = segue().args(["models", "list", "--registry"]).arg(&registry).json();
    assert_eq!(shown.as_array().map(Vec::len), Some(0), "{shown}");
}
