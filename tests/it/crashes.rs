//! A process that dies at any step of a write leaves the old state or the new one, and never stands in
//! the way of the next.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Run, segue};
use crate::table::table;

/// More steps than any write has.
const TOO_MANY_STEPS: usize = 200;

fn verified(registry: &Path) {
    let report = segue().args(["models", "verify", "--registry"]).arg(registry).json();
    assert_eq!(report["clean"], true, "{report}");
}

fn state(registry: &Path) -> Value {
    segue().args(["models", "show", "table", "--registry"]).arg(registry).json()
}

fn alias(registry: &Path, name: &str) -> Option<u64> {
    state(registry)["aliases"][name].as_u64()
}

fn versions(registry: &Path) -> Vec<u64> {
    let state = state(registry);
    let versions = state["versions"].as_array().unwrap().iter();
    versions.map(|version| version["version"].as_u64().unwrap()).collect()
}

/// Lets `command` die at its first write step, its second and so on until it survives. After each death
/// `seen` looks at the registry and says whether the change is there; then the command runs again in full.
fn die_at_every_step(
    prepare: &dyn Fn(&Path),
    command: &dyn Fn(&Path) -> Command,
    seen: &dyn Fn(&Path) -> bool,
) {
    let folder = tempfile::tempdir().unwrap();
    let (mut without, mut with) = (0, 0);
    for step in 1..TOO_MANY_STEPS {
        let registry = folder.path().join(step.to_string());
        prepare(&registry);
        let ran = command(&registry).env("SEGUE_CRASH_AT_STEP", step.to_string()).ran();
        verified(&registry);
        let changed = seen(&registry);
        if ran.code == Some(0) {
            assert!(changed, "step {step}: success without a change");
            // both sides of the commit must have been seen, or no crash has been tested
            assert!(without > 2 && with > 0, "{without} deaths before the change, {with} after it");
            return;
        }
        assert_eq!(ran.code, None, "step {step} should have died: {}", ran.stderr);
        assert!(changed || with == 0, "step {step}: the change was there a step earlier");
        (without, with) = if changed { (without, with + 1) } else { (without + 1, with) };
        command(&registry).done();
        assert!(seen(&registry), "step {step}: the next command did not do its work");
        verified(&registry);
    }
    panic!("still dying after {TOO_MANY_STEPS} steps");
}

fn copied(registry: &Path) {
    table().copy_of_registry(registry);
}

#[test]
fn a_promotion_that_dies_moves_the_alias_or_does_not() {
    let promote = |registry: &Path| {
        let mut promote = segue();
        promote.args(["promote", "table", "2", "--override-gates", "--registry"]).arg(registry);
        promote
    };
    die_at_every_step(&copied, &promote, &|registry| {
        let champion = alias(registry, "champion").expect("the champion is gone");
        assert!(champion == 1 || champion == 2);
        champion == 2
    });
}

#[test]
fn a_rollback_that_dies_moves_the_alias_or_does_not() {
    let prepare = |registry: &Path| {
        copied(registry);
        let mut promote = segue();
        promote
            .args(["promote", "table", "2", "--override-gates", "--registry"])
            .arg(registry)
            .done();
    };
    let rollback = |registry: &Path| {
        let mut rollback = segue();
        rollback.args(["rollback", "table", "--to", "1", "--registry"]).arg(registry);
        rollback
    };
    die_at_every_step(&prepare, &rollback, &|registry| {
        let champion = alias(registry, "champion").expect("the champion is gone");
        assert!(champion == 1 || champion == 2);
        champion == 1
    });
}

#[test]
fn a_rollback_that_is_only_tried_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let registry = folder.path().join("models");
    copied(&registry);
    let mut promote = segue();
    promote.args(["promote", "table", "2", "--override-gates", "--registry"]);
    promote.arg(&registry).done();
    let before = state(&registry);
    let rollback = |more: &[&str]| {
        let mut rollback = segue();
        rollback.args(["rollback", "table", "--registry"]).arg(&registry).args(more);
        rollback
    };
    let told = rollback(&["--dry-run"]).json();
    assert_eq!(
        (&told["from"], &told["to"], &told["dry_run"]),
        (&2.into(), &1.into(), &true.into())
    );
    let said = rollback(&["--dry-run"]).ran();
    assert!(said.stdout.contains("would move back from version 2 to version 1"), "{}", said.stdout);
    assert_eq!(state(&registry), before);
    let refused = rollback(&["--dry-run", "--to", "9"]).ran();
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    rollback(&[]).done();
    assert_eq!(alias(&registry, "champion"), Some(1));
}

#[test]
fn an_alias_that_dies_is_there_or_is_not() {
    let name = |registry: &Path| {
        let mut name = segue();
        name.args(["alias", "table", "canary", "2", "--registry"]).arg(registry);
        name
    };
    die_at_every_step(&copied, &name, &|registry| {
        assert_eq!(alias(registry, "champion"), Some(1));
        alias(registry, "canary").inspect(|version| assert_eq!(*version, 2)).is_some()
    });
}

#[test]
fn a_version_is_archived_by_a_command_that_dies_or_is_not() {
    let archive = |registry: &Path| {
        let mut archive = segue();
        archive.args(["archive", "table", "2", "--registry"]).arg(registry);
        archive
    };
    die_at_every_step(&copied, &archive, &|registry| {
        state(registry)["archived"] == serde_json::json!([2])
    });
}

#[test]
fn traffic_is_split_by_a_command_that_dies_or_is_not() {
    let split = |registry: &Path| {
        let mut split = segue();
        split.args(["traffic", "table", "--canary", "2", "--share", "500", "--registry"]);
        split.arg(registry);
        split
    };
    die_at_every_step(&copied, &split, &|registry| {
        let traffic = state(registry)["traffic"].clone();
        assert!(traffic.is_null() || traffic["canary_basis_points"] == 500, "{traffic}");
        traffic["canary_version"] == 2
    });
}

#[test]
fn a_publication_that_dies_is_a_whole_version_or_none() {
    let prepare = |registry: &Path| {
        table().train(1, registry).done();
    };
    let publish = |registry: &Path| table().train(2, registry);
    die_at_every_step(&prepare, &publish, &|registry| {
        let versions = versions(registry);
        assert_eq!(versions[0], 1);
        if let Some(newest) = versions.get(1) {
            // whole: it loads, and its proof rows replay
            let mut check = segue();
            check.args(["promote", "table", &newest.to_string(), "--dry-run", "--registry"]);
            check.arg(registry).done();
        }
        versions.len() == 2
    });
}
