//! Several people change one model at once: each change is whole, and nobody loses one unawares.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::{Run, segue};
use crate::table::table;

/// Someone else was faster.
const CONFLICT: Option<i32> = Some(75);

fn promote(registry: &Path, alias: &str, actor: usize) -> Command {
    let mut promote = segue();
    promote.args(["promote", "table", "2", "--alias", alias, "--override-gates"]);
    promote.args(["--json", "--actor", &format!("racer {actor}"), "--registry"]).arg(registry);
    promote.stdout(Stdio::piped()).stderr(Stdio::piped());
    promote
}

fn finish(children: Vec<Child>) -> Vec<(Option<i32>, String, String)> {
    children
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
            assert!(!stderr.contains("panicked"), "{stderr}");
            (output.status.code(), stdout, stderr)
        })
        .collect()
}

fn show(registry: &Path) -> Value {
    segue().args(["models", "show", "table", "--registry"]).arg(registry).json()
}

/// The audit trail, which must be unbroken.
fn log(registry: &Path) -> Vec<Value> {
    let report = segue().args(["models", "verify", "--registry"]).arg(registry).json();
    assert_eq!(report["clean"], true, "{report}");
    let log = segue().args(["models", "log", "table", "--registry"]).arg(registry).json();
    let log = log.as_array().unwrap().clone();
    for (event, expected) in log.iter().zip(1_u64..) {
        assert_eq!(event["generation"], expected);
    }
    log
}

#[test]
fn of_promoters_that_read_the_same_state_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let registry = table().copy_of_registry(&folder.path().join("models"));
    let before = show(&registry);
    let etag = before["etag"].as_str().unwrap();
    let racers = (0..6)
        .map(|racer| promote(&registry, "champion", racer).args(["--etag", etag]).spawn().unwrap());
    let ended = finish(racers.collect());
    let won = ended.iter().filter(|(code, _, _)| *code == Some(0)).count();
    assert_eq!(won, 1, "{ended:#?}");
    for (code, _, stderr) in ended.iter().filter(|(code, _, _)| *code != Some(0)) {
        assert_eq!(*code, CONFLICT, "{stderr}");
        assert!(stderr.contains("table") && stderr.contains("changed"), "{stderr}");
        assert!(
            stderr.contains("read the model again") || stderr.contains("read it again"),
            "{stderr}"
        );
    }
    let generation = |state: &Value| state["generation"].as_u64().unwrap();
    assert_eq!(generation(&show(&registry)), generation(&before) + 1);
    assert_eq!(log(&registry).len() as u64, generation(&before) + 1);
}

#[test]
fn promoters_without_an_etag_follow_one_another() {
    let folder = tempfile::tempdir().unwrap();
    let registry = table().copy_of_registry(&folder.path().join("models"));
    let n_before = log(&registry).len();
    // each moves an alias of its own, so that each success is a change
    let alias = |racer: usize| format!("racer-{racer}");
    let racers = (0..6).map(|racer| promote(&registry, &alias(racer), racer).spawn().unwrap());
    let ended = finish(racers.collect());
    let mut generations = Vec::new();
    for (racer, (code, stdout, stderr)) in ended.iter().enumerate() {
        let there = !show(&registry)["aliases"][alias(racer)].is_null();
        assert_eq!(there, *code == Some(0), "racer {racer}: {stderr}");
        if *code == Some(0) {
            let said: Value = serde_json::from_str(stdout).unwrap();
            generations.push(said["generation"].as_u64().unwrap());
        } else {
            assert_eq!(*code, CONFLICT, "{stderr}");
        }
    }
    assert!(!generations.is_empty(), "{ended:#?}");
    let log = log(&registry);
    assert_eq!(
        log.len(),
        n_before + generations.len(),
        "each success is one event, each failure none"
    );
    generations.sort_unstable();
    generations.dedup();
    assert_eq!(log.len(), n_before + generations.len(), "each success has a generation of its own");
    assert_eq!(show(&registry)["aliases"]["champion"], 1);
}

#[test]
fn trainers_that_publish_at_once_get_versions_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let registry = folder.path().join("models");
    table().train(1, &registry).done();
    let racers = ["2", "3", "5", "6"].map(|leaves| {
        let text = crate::support::replaced(
            crate::table::JOB,
            "leaves = 4",
            &format!("leaves = {leaves}"),
        );
        let job = table().folder.join(format!("racer-{leaves}.toml"));
        std::fs::write(&job, text).unwrap();
        let mut train = segue();
        train.arg("train").arg(job).arg("--json").arg("--registry").arg(&registry);
        train.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    });
    let mut versions = Vec::new();
    for (code, stdout, stderr) in finish(racers.into()) {
        assert_eq!(code, Some(0), "{stderr}");
        let said: Value = serde_json::from_str(&stdout).unwrap();
        versions.push(said["version"].as_u64().unwrap());
    }
    versions.sort_unstable();
    assert_eq!(versions, [2, 3, 4, 5]);
    assert_eq!(log(&registry).len(), 5);
}
