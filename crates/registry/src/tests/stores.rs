//! Opening: every kind of location, and what it says when it cannot.

use std::fs;
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use tempfile::TempDir;

use super::sample::good;
use crate::{Choice, PromoteRequest, Registry, RegistryError};

/// Publishes, promotes and reads back.
fn works(registry: &Registry) {
    let published = registry.publish(&good(1)).unwrap();
    assert_eq!(published.version, 1);
    let request = PromoteRequest { model: "churn".into(), version: 1, ..PromoteRequest::default() };
    registry.promote(&request).unwrap();
    assert_eq!(registry.resolve("churn", &Choice::Champion).unwrap(), 1);
    let loaded = registry.load("churn", 1).unwrap();
    assert_eq!(loaded.manifest.digest, published.digest);
    assert_eq!(loaded.golden.len(), 20);
    assert_eq!(registry.publish(&good(2)).unwrap().version, 2);
    assert_eq!(registry.models().unwrap(), ["churn"]);
    let report = registry.verify(None).unwrap();
    assert!(report.is_clean() && report.notes.is_empty(), "{report:?}");
    assert_eq!((report.versions, report.events, report.files), (2, 3, 6));
}

#[test]
fn paths_and_file_urls_are_local() {
    let folder = TempDir::new().unwrap();
    let deep = folder.path().join("not").join("there").join("yet");
    works(&Registry::open(deep.to_str().unwrap()).unwrap());
    let url = format!("file://{}", deep.display());
    assert_eq!(Registry::open(&url).unwrap().versions("churn").unwrap().len(), 2);
}

#[test]
fn object_stores_hold_the_same_registry() {
    works(&Registry::open("memory:///models").unwrap());
    works(&Registry::on_object_store(Arc::new(InMemory::new()), "").unwrap());
    let folder = TempDir::new().unwrap();
    let store = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
    works(&Registry::on_object_store(store, "models").unwrap());
    let local = Registry::open(folder.path().join("models").to_str().unwrap()).unwrap();
    assert!(local.verify(None).unwrap().is_clean());
    assert_eq!(local.load("churn", 2).unwrap().manifest.version, 2);
}

#[test]
fn object_stores_work_from_inside_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { works(&Registry::open("memory:///models").unwrap()) });
}

#[cfg(not(feature = "aws"))]
#[test]
fn a_missing_feature_is_named() {
    let error = Registry::open("s3://bucket/models").unwrap_err();
    assert!(matches!(error, RegistryError::FeatureNotBuilt { feature: "aws", .. }), "{error}");
    assert!(error.to_string().contains("--features aws"), "{error}");
}

#[test]
fn unknown_schemes_and_newer_layouts_are_refused() {
    let error = Registry::open("gopher://x/y").unwrap_err();
    assert!(matches!(error, RegistryError::Location { .. }), "{error}");
    let folder = TempDir::new().unwrap();
    let path = folder.path().to_str().unwrap();
    fs::write(folder.path().join("FORMAT"), "2\n").unwrap();
    let error = Registry::open(path).unwrap_err();
    assert!(matches!(error, RegistryError::FormatUnsupported { found: 2, .. }), "{error}");
    fs::write(folder.path().join("FORMAT"), "two\n").unwrap();
    assert!(matches!(Registry::open(path).unwrap_err(), RegistryError::Corrupt { .. }));
}

#[test]
fn an_absent_root_is_an_empty_registry() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("models");
    let registry = Registry::open(path.to_str().unwrap()).unwrap();
    assert!(registry.models().unwrap().is_empty());
    let error = registry.model("churn").unwrap_err();
    assert!(matches!(error, RegistryError::ModelNotFound { .. }), "{error}");
    assert!(!path.exists(), "looking writes nothing");
}
