//! Every file of a registry changed, cut and removed in turn: verification names it.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::sample::good;
use crate::event::EventWire;
use crate::manifest::{content_digest, summary_text, to_bytes};
use crate::sealed::{sha256_hex, unseal};
use crate::{
    EVENT_FORMAT, FileEntry, GOLDEN_FILE, PromoteRequest, Registry, RegistryError, RollbackRequest,
};

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

/// An event rewritten with every checksum of its own in order: only the chain tells.
#[test]
fn a_rewritten_event_breaks_the_chain() {
    let folder = TempDir::new().unwrap();
    let registry = registry(folder.path());
    let path = folder.path().join("churn/events/2.json");
    let mut event: EventWire = unseal(&fs::read(&path).unwrap(), EVENT_FORMAT).unwrap();
    event.actor = "somebody else".into();
    fs::write(&path, event.to_bytes().unwrap()).unwrap();
    assert_eq!(registry.log("churn").unwrap()[1].actor, "somebody else");
    let report = registry.verify(None).unwrap();
    assert_eq!(report.problems.len(), 1, "{report:?}");
    assert!(report.problems[0].place.ends_with("events/3.json"), "{report:?}");
    assert!(report.problems[0].what.starts_with("it follows an event of SHA-256"), "{report:?}");
}

/// A version whose proof does not hold, with every checksum in order.
#[test]
fn a_version_that_does_not_repeat_its_golden_rows_is_not_loaded() {
    let folder = TempDir::new().unwrap();
    let registry = registry(folder.path());
    let place = folder.path().join("churn/versions/1");
    let golden = good(1_000_000).files[GOLDEN_FILE].clone();
    let mut manifest = registry.manifest("churn", 1).unwrap();
    let entry = FileEntry { size: golden.len() as u64, sha256: sha256_hex(&golden) };
    manifest.files.insert(GOLDEN_FILE.into(), entry);
    let summary = summary_text(&manifest.summary).unwrap();
    manifest.digest = content_digest(&manifest.files, &summary);
    fs::write(place.join(GOLDEN_FILE), &golden).unwrap();
    fs::write(place.join("manifest.json"), to_bytes(&manifest, summary).unwrap()).unwrap();
    let error = registry.load("churn", 1).unwrap_err();
    let told =
        matches!(&error, RegistryError::Corrupt { place, .. } if place.ends_with(GOLDEN_FILE));
    assert!(told, "{error}");
    let back = RollbackRequest { model: "churn".into(), ..RollbackRequest::default() };
    assert!(matches!(registry.rollback(&back), Err(RegistryError::Corrupt { .. })));
    let again = PromoteRequest {
        model: "churn".into(),
        version: 1,
        override_gates: true,
        ..PromoteRequest::default()
    };
    let error = registry.promote(&again).unwrap_err();
    assert!(error.to_string().contains("golden_replay"), "{error}");
}

#[test]
fn a_damaged_model_does_not_hide_the_others() {
    let folder = TempDir::new().unwrap();
    let registry = registry(folder.path());
    let broken = folder.path().join("broken/events");
    fs::create_dir_all(&broken).unwrap();
    fs::write(broken.join("1.json"), "{}").unwrap();
    assert_eq!(registry.models().unwrap(), ["broken", "churn"]);
    assert!(matches!(registry.model("broken"), Err(RegistryError::Corrupt { .. })));
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
