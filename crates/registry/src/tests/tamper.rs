//! Every file of a registry changed, cut and removed in turn: verification names it.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::sample::good;
use crate::{PromoteRequest, Registry, RegistryError};

/// Two versions, both promoted in turn.
fn registry(folder: &Path) -> Registry {
    let registry = Registry::open(folder.to_str().unwrap()).unwrap();
    for version in 1..=2 {
        registry.publish(&good(version as u32)).unwrap();
        let request =
            PromoteRequest { model: "churn".into(), version, ..PromoteRequest::default() };
        registry.promote(&request).unwrap();
    }
    registry
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn damage_is_named_wherever_it_is() {
    let folder = TempDir::new().unwrap();
    let registry = registry(folder.path());
    assert!(registry.verify(None).unwrap().is_clean());
    let files = files(&folder.path().join("churn"));
    assert_eq!(files.len(), 1 + 4 + 2 * 4, "state, events, versions: {files:?}");
    for path in files {
        let original = fs::read(&path).unwrap();
        let mut damaged = vec![original[..original.len() / 2].to_vec(), Vec::new()];
        for place in [0, original.len() / 3, original.len() / 2, original.len() - 3] {
            let mut flipped = original.clone();
            flipped[place] ^= 1;
            damaged.push(flipped);
        }
        for bytes in damaged {
            fs::write(&path, &bytes).unwrap();
            named(&registry, &path);
        }
        fs::remove_file(&path).unwrap();
        // Without its cache a registry is whole; any other file is missed.
        if !path.ends_with("state.json") {
            named(&registry, &path);
        }
        fs::write(&path, &original).unwrap();
        assert!(registry.verify(None).unwrap().is_clean());
    }
}

fn named(registry: &Registry, path: &Path) {
    let report = registry.verify(Some("churn")).unwrap();
    let newest_event_gone = path.ends_with("events/4.json") && !path.exists();
    let told = report.problems.iter().any(|problem| {
        Path::new(&problem.place) == path
            || (newest_event_gone && problem.place.ends_with("state.json"))
    });
    assert!(told, "{}: {report:?}", path.display());
}

#[test]
fn a_version_put_in_the_place_of_another_is_found() {
    let folder = TempDir::new().unwrap();
    let registry = registry(folder.path());
    // A whole version of another registry, every checksum in order.
    let other = TempDir::new().unwrap();
    let foreign = Registry::open(other.path().to_str().unwrap()).unwrap();
    foreign.publish(&good(7)).unwrap();
    let (ours, theirs) =
        (folder.path().join("churn/versions/1"), other.path().join("churn/versions/1"));
    for path in files(&theirs) {
        fs::copy(&path, ours.join(path.file_name().unwrap())).unwrap();
    }
    registry.load("churn", 1).unwrap();
    let report = registry.verify(None).unwrap();
    assert_eq!(report.problems.len(), 1);
    assert!(report.problems[0].what.contains("its event says"), "{report:?}");
}

#[test]
fn a_file_nobody_listed_is_found() {
    let folder = TempDir::new().unwrap();
    let registry = registry(folder.path());
    fs::write(folder.path().join("churn/versions/1/extra.txt"), "x").unwrap();
    let report = registry.verify(None).unwrap();
    assert!(report.problems[0].place.ends_with("extra.txt"), "{report:?}");
}

#[test]
fn damage_never_reaches_a_reader() {
    let folder = TempDir::new().unwrap();
    let registry = registry(folder.path());
    for path in files(&folder.path().join("churn/versions/2")) {
        let original = fs::read(&path).unwrap();
        let mut flipped = original.clone();
        flipped[original.len() / 2] ^= 1;
        fs::write(&path, flipped).unwrap();
        let error = registry.load("churn", 2).unwrap_err();
        let told = matches!(
            error,
            RegistryError::DigestMismatch { .. } | RegistryError::VersionNotFound { .. }
        );
        assert!(told, "{}: {error}", path.display());
        fs::write(&path, original).unwrap();
    }
}

#[test]
fn opening_mends_the_cache_and_hides_nothing() {
    let folder = TempDir::new().unwrap();
    let first = registry(folder.path());
    let state = folder.path().join("churn/state.json");
    let newest = fs::read(&state).unwrap();
    let expected = first.model("churn").unwrap();
    let damaged: [Option<&[u8]>; 3] = [None, Some(b""), Some(&newest[..newest.len() / 2])];
    for bytes in damaged {
        match bytes {
            Some(bytes) => fs::write(&state, bytes).unwrap(),
            None => fs::remove_file(&state).unwrap(),
        }
        assert_eq!(first.model("churn").unwrap(), expected, "the events are the truth");
        let opened = Registry::open(folder.path().to_str().unwrap()).unwrap();
        assert_eq!(fs::read(&state).unwrap(), newest);
        assert!(opened.verify(None).unwrap().is_clean());
    }
    // The newest event taken away: the cache still knows of it, and opening does not forget that.
    fs::remove_file(folder.path().join("churn/events/4.json")).unwrap();
    let opened = Registry::open(folder.path().to_str().unwrap()).unwrap();
    assert!(!opened.verify(None).unwrap().is_clean());
}
