//! Where output goes: results on stdout, notes on stderr, and nothing but results when asked to be quiet.

use std::fs;

use crate::small::small;
use crate::support::{Run, segue};
use crate::table::table;

/// Runs with and without `-q`: the same one line of result, and notes only without.
fn notes_are_silenced(args: &[&str], note: &str) {
    let folder = tempfile::tempdir().unwrap();
    let run = |more: &[&str]| segue().args(args).args(more).current_dir(folder.path()).done();
    let (loud, quiet) = (run(&[]), run(&["--quiet"]));
    assert!(loud.stderr.contains(&format!("note: {note}")), "{args:?}: {}", loud.stderr);
    assert_eq!(quiet.stderr, "", "{args:?}");
    assert_eq!(loud.stdout, quiet.stdout, "{args:?}: notes are no result");
    assert_eq!(quiet.stdout.lines().count(), 1, "{args:?}: {}", quiet.stdout);
}

#[test]
fn notes_go_to_stderr_and_can_be_silenced() {
    let (job, data) = (small().job(1), small().data());
    let (job, data) = (job.to_str().unwrap(), data.to_str().unwrap());
    let features = ["features", job, "--data", data, "--out", "f.csv"];
    notes_are_silenced(&features, "feature left out: ");

    let folder = tempfile::tempdir().unwrap();
    let rows = folder.path().join("odd.csv");
    fs::write(&rows, "helped,visits,plan\n0.5,many,free\n0.5,3,gold\n").unwrap();
    let registry = table().registry();
    let (rows, registry) = (rows.to_str().unwrap(), registry.to_str().unwrap());
    let score = ["score", "table", "--features", rows, "--out", "s.csv", "--registry", registry];
    notes_are_silenced(&score, "1 values were no numbers");
    notes_are_silenced(&score, "1 values are categories that the models do not know");
}

#[test]
fn what_changes_nothing_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let registry = table().copy_of_registry(&folder.path().join("models"));
    let registry = registry.to_str().unwrap();
    let said = |args: &[&str]| segue().args(args).args(["--registry", registry]).done().stdout;
    let nothing = "champion of table points at version 1 already; nothing was changed\n";
    assert_eq!(said(&["promote", "table", "1"]), nothing);
    assert_eq!(said(&["rollback", "table", "--to", "1"]), nothing);
    said(&["alias", "table", "canary", "2"]);
    let log = said(&["models", "log", "table"]);
    assert!(log.lines().last().unwrap().contains("aliases moved canary - -> 2"), "{log}");
}
