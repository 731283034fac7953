//! Names and sizes that nobody writes here, and that must do no harm where they are found.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::sample::good;
use crate::manifest::{content_digest, from_bytes, summary_text, to_bytes};
use crate::{MODEL_FILE, Registry, RegistryError};

fn published(folder: &Path) -> Registry {
    let registry = Registry::open(folder.to_str().unwrap()).unwrap();
    registry.publish(&good(1)).unwrap();
    registry
}

/// A manifest is what a stranger may send, and its names become paths.
#[test]
fn a_manifest_names_no_file_elsewhere() {
    let folder = TempDir::new().unwrap();
    let manifest = published(folder.path()).manifest("churn", 1).unwrap();
    for (name, is_good) in [("notes.txt", true), ("../../../secret", false), ("/secret", false)] {
        let mut manifest = manifest.clone();
        let entry = manifest.files[MODEL_FILE].clone();
        manifest.files.insert(name.to_owned(), entry);
        let summary = summary_text(&manifest.summary).unwrap();
        manifest.digest = content_digest(&manifest.files, &summary);
        let read = from_bytes(&to_bytes(&manifest, summary).unwrap());
        assert_eq!(read.is_ok(), is_good, "{name}: {read:?}");
    }
}

/// A file is read as far as its manifest says and one byte further, however large it has become.
#[test]
fn a_file_that_has_grown_is_not_read_whole() {
    let folder = TempDir::new().unwrap();
    let registry = published(folder.path());
    for file in ["versions/1/model.bin", "versions/1/manifest.json", "events/1.json", "state.json"]
    {
        let path = folder.path().join("churn").join(file);
        let before = fs::read(&path).unwrap();
        // Takes no room on the disk, and more memory than there is.
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        let report = registry.verify(None).unwrap();
        assert!(report.problems.iter().any(|one| one.place.ends_with(file)), "{report:?}");
        fs::write(&path, before).unwrap();
    }
    let path = folder.path().join("churn/versions/1/model.bin");
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
    let error = registry.load("churn", 1).unwrap_err();
    assert!(matches!(error, RegistryError::DigestMismatch { .. }), "{error}");
}

#[test]
fn a_gap_is_one_finding() {
    let folder = TempDir::new().unwrap();
    let registry = published(folder.path());
    let events = folder.path().join("churn/events");
    fs::copy(events.join("1.json"), events.join("999999999999.json")).unwrap();
    let report = registry.verify(None).unwrap();
    let gaps = report.problems.iter().filter(|one| one.what.contains("is missing, and"));
    assert_eq!(gaps.count(), 1, "{report:?}");
    assert!(report.problems.len() < 5, "{report:?}");
}

/// There is a number after every version, or it is said that there is none.
#[test]
fn numbers_do_not_overflow() {
    let folder = TempDir::new().unwrap();
    let registry = published(folder.path());
    let versions = folder.path().join("churn/versions");
    fs::create_dir(versions.join(u64::MAX.to_string())).unwrap();
    assert_eq!(registry.publish(&good(2)).unwrap().version, 2);
    fs::create_dir(versions.join(i64::MAX.to_string())).unwrap();
    let error = registry.publish(&good(3)).unwrap_err();
    assert!(error.to_string().contains("no number is after it"), "{error}");
}
