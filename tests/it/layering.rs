//! The walls of the workspace: data walks through the crates once, in order, and never back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Run, workspace};

/// Each crate and the crates of this workspace that it uses, no more and no fewer (`cli`: at most). A crate that is not
/// here has no room yet: decide what it may see before it grows.
const ROOMS: [(&str, &[&str]); 12] = [
    ("events", &[]),
    ("dataset", &[]),
    ("api", &[]),
    ("client", &["api"]),
    ("simulator", &[]),
    ("features", &["dataset", "events"]),
    ("model", &["dataset"]),
    ("learners", &["dataset", "model"]),
    ("registry", &["dataset", "model"]),
    ("training", &["dataset", "events", "features", "learners", "model", "registry"]),
    ("serving", &["api", "dataset", "events", "features", "model", "registry"]),
    (
        "cli",
        &[
            "api",
            "client",
            "dataset",
            "events",
            "features",
            "learners",
            "model",
            "registry",
            "serving",
            "simulator",
            "training",
        ],
    ),
];

/// Libraries that only some rooms may see.
const KEPT_TO: [(&str, &[&str]); 44] = [
    ("polars", &["training"]),
    ("csv", &["training"]),
    ("flate2", &["training"]),
    ("parquet", &["serving"]),
    ("glob", &["training"]),
    ("maud", &["training"]),
    ("plotters", &["training"]),
    ("linfa", &["learners"]),
    ("linfa-trees", &["learners"]),
    ("ndarray", &["learners"]),
    ("smartcore", &["learners"]),
    ("rand", &["client", "learners", "registry", "simulator", "training"]),
    ("rand_chacha", &["learners", "registry", "simulator", "training"]),
    ("rayon", &["features", "learners", "serving", "training"]),
    ("object_store", &["registry"]),
    ("tokio", &["cli", "client", "registry", "serving"]),
    ("tokio-stream", &["client", "serving"]),
    ("hyper", &["serving"]),
    ("hyper-util", &["serving"]),
    ("jsonwebtoken", &["serving"]),
    ("ring", &["serving"]),
    ("subtle", &["serving"]),
    ("tokio-rustls", &["serving"]),
    ("x509-parser", &["serving"]),
    ("axum", &["serving"]),
    ("tower", &["serving"]),
    ("prometheus-client", &["serving"]),
    ("opentelemetry", &["serving"]),
    ("opentelemetry-otlp", &["serving"]),
    ("opentelemetry_sdk", &["serving"]),
    ("arc-swap", &["serving"]),
    ("rustix", &["serving"]),
    ("prost", &["api", "model", "serving"]),
    ("prost-reflect", &["serving"]),
    ("prost-types", &["api", "cli", "client", "serving"]),
    ("tonic", &["api", "cli", "client", "serving"]),
    ("tonic-prost", &["api"]),
    ("tonic-types", &["api", "client", "serving"]),
    ("tonic-health", &["cli", "client", "serving"]),
    ("tonic-reflection", &["serving"]),
    ("anyhow", &["cli"]),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("tracing-subscriber", &["cli"]),
];

/// Rooms that know no file format.
const NO_FORMATS: [&str; 1] = ["dataset"];

/// What the source of a room must not name: the clock, files and the network reach it as arguments only.
const PURE: [(&str, &[&str]); 6] = [
    ("events", &["std::fs", "std::net", "SystemTime", "Instant::now", "Timestamp::now"]),
    ("dataset", &["std::fs", "std::net", "SystemTime", "Instant::now"]),
    ("features", &["std::fs", "std::net", "SystemTime", "Instant::now", "Timestamp::now"]),
    ("model", &["std::fs", "std::net", "SystemTime", "Instant::now"]),
    ("learners", &["std::fs", "std::net", "SystemTime", "Instant::now"]),
    ("simulator", &["std::fs", "std::net", "SystemTime", "Instant::now", "Timestamp::now"]),
];

/// Normal and build dependencies by crate, for any platform.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(workspace());
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&cargo.done().stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let members = packages.map(|package| {
        let used = package["dependencies"].as_array().unwrap().iter();
        let used = used.filter(|dependency| dependency["kind"] != "dev");
        let used = used.map(|dependency| short(dependency["name"].as_str().unwrap()));
        (short(package["name"].as_str().unwrap()), used.collect())
    });
    // benches look at every room, and nothing looks at them
    members.filter(|(name, _)| name != "benches").collect()
}

fn short(name: &str) -> String {
    name.strip_prefix("segue-").unwrap_or(name).to_owned()
}

#[test]
fn crates_use_the_crates_they_may() {
    let found = dependencies();
    let names: BTreeSet<&str> = found.keys().map(String::as_str).collect();
    let rooms: BTreeSet<&str> = ROOMS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, rooms, "crates of the workspace, and rooms of the table");
    for (room, may_use) in ROOMS {
        let used: Vec<&str> =
            found[room].iter().map(String::as_str).filter(|name| rooms.contains(name)).collect();
        if room == "cli" {
            // the top of the house may look into any room, and need not
            assert!(used.iter().all(|name| may_use.contains(name)), "cli uses {used:?}");
        } else {
            assert_eq!(used, may_use, "crates that {room} uses, and crates that it may use");
        }
    }
}

#[test]
fn libraries_stay_in_their_rooms() {
    let found = dependencies();
    for (library, rooms) in KEPT_TO {
        let seen: Vec<&str> = found
            .iter()
            .filter(|(_, used)| used.contains(library))
            .map(|(name, _)| name.as_str())
            .filter(|name| !rooms.contains(name))
            .collect();
        assert!(seen.is_empty(), "{library} is for {rooms:?}, but {seen:?} uses it too");
        let used = found.values().any(|used| used.contains(library));
        assert!(used, "{library} is in the table, but no crate uses it");
    }
    for room in NO_FORMATS {
        for format in ["serde", "serde_json", "toml"] {
            assert!(!found[room].contains(format), "{room} must not know {format}");
        }
    }
}

#[test]
fn pure_crates_see_no_clock_and_no_files() {
    for (room, forbidden) in PURE {
        let mut sources = Vec::new();
        gather(&workspace().join("crates").join(room).join("src"), &mut sources);
        assert!(!sources.is_empty());
        for (place, text) in sources {
            for word in forbidden {
                assert!(!text.contains(word), "{place} names {word}");
            }
        }
    }
}

/// Sources below a folder but those of tests.
fn gather(folder: &Path, sources: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.file_stem().is_some_and(|name| name == "tests") {
            continue;
        }
        if path.is_dir() {
            gather(&path, sources);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            sources.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
}
