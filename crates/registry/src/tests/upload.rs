//! Versions that come in pieces, and publications with a request id.

use std::fs;

use tempfile::TempDir;

use super::sample::{Sample, good};
use crate::{Draft, MODEL_FILE, PublishRequest, Registry, RegistryError, Upload};

fn registry() -> (TempDir, Registry) {
    let folder = TempDir::new().unwrap();
    let registry = Registry::open(folder.path().to_str().unwrap()).unwrap();
    (folder, registry)
}

/// The manifest of a draft, as the registry of a pipeline has it.
fn manifest_of(draft: &Draft) -> Vec<u8> {
    let (folder, registry) = registry();
    registry.publish(draft).unwrap();
    fs::read(folder.path().join("churn/versions/1/manifest.json")).unwrap()
}

/// Sends every file in pieces of `n` bytes.
fn sent(draft: &Draft, n: usize) -> Upload {
    let mut upload = Upload::begin("churn", &manifest_of(draft), 1 << 20).unwrap();
    for (name, bytes) in &draft.files {
        for piece in bytes.chunks(n) {
            upload.add(name, piece).unwrap();
        }
    }
    upload
}

fn words(refused: Result<impl std::fmt::Debug, RegistryError>) -> String {
    match refused {
        Err(error @ RegistryError::UploadInvalid { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_uploaded_is_the_same_version() {
    let mut draft = Sample { feature_set: Some("f"), ..Sample::default() }.draft();
    draft.files.insert("features.toml".into(), Vec::new());
    for n in [1, 7, 4096] {
        let upload = sent(&draft, n);
        let digest = upload.digest().to_owned();
        assert_eq!(upload.created_by(), "ada");
        let brought = upload.finish("grace").unwrap();
        assert_eq!((&brought.files, brought.summary.created_by.as_str()), (&draft.files, "grace"));
        let (_folder, registry) = registry();
        assert_eq!(registry.publish(&brought).unwrap().digest, digest);
    }
}

#[test]
fn what_is_not_announced_is_not_taken() {
    let draft = good(1);
    let manifest = manifest_of(&draft);
    let begin = |model: &str, manifest: &[u8], max| Upload::begin(model, manifest, max);
    assert!(words(begin("visits", &manifest, 1 << 20)).contains("it is of model \"churn\""));
    assert!(words(begin("churn", &manifest[1..], 1 << 20)).contains("manifest.json"));
    let n_bytes: usize = draft.files.values().map(Vec::len).sum();
    begin("churn", &manifest, n_bytes as u64).unwrap();
    assert!(words(begin("churn", &manifest, n_bytes as u64 - 1)).contains("at most"));
    let name = begin("../churn", &manifest, 1 << 20);
    assert!(matches!(name, Err(RegistryError::NameInvalid { .. })));

    let mut upload = begin("churn", &manifest, 1 << 20).unwrap();
    assert!(words(upload.add("more.txt", b"x")).contains("more.txt: the manifest does not list"));
    let model = &draft.files[MODEL_FILE];
    upload.add(MODEL_FILE, model).unwrap();
    assert!(words(upload.add(MODEL_FILE, b"x")).contains("model.bin"));
    assert!(words(upload.finish("")).contains("0 bytes have come"));
    let mut other = begin("churn", &manifest, 1 << 20).unwrap();
    for (name, bytes) in &draft.files {
        let mut bytes = bytes.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= u8::from(name == MODEL_FILE);
        other.add(name, &bytes).unwrap();
    }
    assert!(words(other.finish("")).contains("model.bin: it has SHA-256"));
}

#[test]
fn a_request_id_is_for_one_content() {
    let (_folder, registry) = registry();
    let publish = |draft: &Draft, request_id, validate_only| {
        let request = PublishRequest {
            request_id,
            reason: "nightly",
            validate_only,
            ..PublishRequest::of(draft)
        };
        registry.publish_with(request)
    };
    let (first, second) = (good(1), good(2));
    let dry = publish(&first, "p-1", true).unwrap();
    assert_eq!((dry.version, dry.existed), (1, false));
    assert!(registry.models().unwrap().is_empty(), "nothing was written");
    let done = publish(&first, "p-1", false).unwrap();
    assert_eq!((done.version, done.existed), (1, false));
    let again = publish(&first, "p-1", false).unwrap();
    assert_eq!((again.version, again.existed), (1, true));
    let reused = publish(&second, "p-1", false);
    assert!(matches!(reused, Err(RegistryError::RequestIdReused { generation: 1, .. })));
    assert_eq!(
        publish(&first, "p-2", false).unwrap().version,
        1,
        "the same bytes, whatever the id"
    );
    assert_eq!(publish(&second, "p-3", false).unwrap().version, 2);
    let events = registry.log("churn").unwrap();
    assert_eq!((events.len(), events[0].request_id.as_str()), (2, "p-1"));
    assert_eq!((events[0].actor.as_str(), events[0].reason.as_str()), ("ada", "nightly"));
}
