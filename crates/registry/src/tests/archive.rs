//! Versions out of use: what they may not do, and how older builds are kept from forgetting it.

use std::fs;

use tempfile::TempDir;

use super::sample::good;
use crate::event::EventWire;
use crate::sealed::{SealError, unseal};
use crate::{
    Action, AliasRequest, ArchiveRequest, EVENT_FORMAT, PromoteRequest, Registry, RegistryError,
    RollbackRequest, Traffic, TrafficRequest,
};

/// Three versions: 1 and then 2 promoted.
fn registry() -> (TempDir, Registry) {
    let folder = TempDir::new().unwrap();
    let registry = Registry::open(folder.path().to_str().unwrap()).unwrap();
    for tag in 1..=3 {
        registry.publish(&good(tag)).unwrap();
    }
    for version in 1..=2 {
        registry.promote(&promote(version)).unwrap();
    }
    (folder, registry)
}

fn promote(version: u64) -> PromoteRequest {
    PromoteRequest { model: "churn".into(), version, ..PromoteRequest::default() }
}

fn archive(version: u64) -> ArchiveRequest {
    let (model, actor, reason) = ("churn".into(), "ada".into(), "leaks".into());
    ArchiveRequest { model, version, actor, reason, ..ArchiveRequest::default() }
}

fn alias(version: u64) -> AliasRequest {
    let moves = [("next".to_owned(), Some(version))].into();
    AliasRequest { model: "churn".into(), moves, ..AliasRequest::default() }
}

fn traffic(traffic: Traffic) -> TrafficRequest {
    TrafficRequest { model: "churn".into(), traffic: Some(traffic), ..TrafficRequest::default() }
}

#[test]
fn nothing_may_point_at_an_archived_version_until_it_is_restored() {
    let (_folder, registry) = registry();
    let etag = registry.model("churn").unwrap().etag;
    let dry = ArchiveRequest { validate_only: true, ..archive(1) };
    assert_eq!(registry.archive(&dry).unwrap().event_id, None);
    let request = ArchiveRequest { request_id: "a-1".into(), ..archive(1) };
    let done = registry.archive(&request).unwrap();
    assert!(done.event_id.is_some() && done.state.archived == [1].into());
    assert_ne!(done.state.etag, etag, "who decided before must look again");
    assert_eq!(registry.archive(&request).unwrap(), done, "a repeat is the same change");
    assert_eq!(registry.archive(&archive(1)).unwrap().event_id, None, "it is already");
    let event = registry.log("churn").unwrap().pop().unwrap();
    assert!(matches!(&event.action, Action::Archived { version: 1, .. }));
    assert_eq!((event.actor.as_str(), event.reason.as_str()), ("ada", "leaks"));

    let canary = Traffic { canary_version: Some(1), ..Traffic::default() };
    let shadow = Traffic { shadow_versions: vec![1], ..Traffic::default() };
    let back = RollbackRequest { model: "churn".into(), ..RollbackRequest::default() };
    let forced = PromoteRequest { override_gates: true, ..promote(1) };
    let refused = [
        registry.promote(&forced).map(drop),
        registry.move_aliases(&alias(1)).map(drop),
        registry.set_traffic(&traffic(canary)).map(drop),
        registry.set_traffic(&traffic(shadow)).map(drop),
        registry.rollback(&back).map(drop),
    ];
    for (index, refused) in refused.into_iter().enumerate() {
        let told = matches!(&refused, Err(RegistryError::VersionArchived { version: 1, .. }));
        assert!(told, "{index}: {refused:?}");
    }
    // It is there as before, and publishing it again makes no other.
    assert_eq!(registry.load("churn", 1).unwrap().manifest.version, 1);
    assert_eq!(registry.publish(&good(1)).unwrap().version, 1);
    assert!(registry.verify(None).unwrap().is_clean());

    assert_eq!(registry.restore(&archive(2)).unwrap().event_id, None, "it is not archived");
    assert!(registry.restore(&archive(1)).unwrap().state.archived.is_empty());
    assert_eq!(registry.rollback(&back).unwrap().to, 1);
    assert!(registry.verify(None).unwrap().is_clean());
}

#[test]
fn what_is_in_use_is_not_archived() {
    let (_folder, registry) = registry();
    let policy =
        Traffic { canary_version: Some(3), shadow_versions: vec![1], ..Traffic::default() };
    registry.set_traffic(&traffic(policy)).unwrap();
    registry.move_aliases(&alias(3)).unwrap();
    let cases =
        [(2, "alias champion"), (3, "alias next, the canary of the traffic"), (1, "a shadow")];
    for (version, expected) in cases {
        match registry.archive(&archive(version)) {
            Err(RegistryError::VersionInUse { users, .. }) => {
                assert!(users.contains(expected), "{users}");
            }
            other => panic!("{version}: {other:?}"),
        }
    }
    let absent = registry.archive(&archive(9));
    assert!(matches!(absent, Err(RegistryError::VersionNotFound { version: 9, .. })));
    let stale = ArchiveRequest { etag: Some("0-old".into()), ..archive(1) };
    assert!(matches!(registry.archive(&stale), Err(RegistryError::EtagMismatch { .. })));
}

/// An event of a registry that never archived anything is written as it always was.
#[test]
fn only_archiving_asks_for_a_newer_build() {
    let (folder, registry) = registry();
    let path = |name: &str| folder.path().join("churn").join(name);
    let old = 1;
    for name in ["events/5.json", "state.json"] {
        let text = fs::read_to_string(path(name)).unwrap();
        assert!(text.contains("\"format\": 1") && !text.contains("archived"), "{name}: {text}");
    }
    registry.archive(&archive(1)).unwrap();
    registry.publish(&good(4)).unwrap();
    for generation in 6..=7 {
        let bytes = fs::read(path(&format!("events/{generation}.json"))).unwrap();
        let read = unseal::<EventWire>(&bytes, old);
        assert!(matches!(read, Err(SealError::Format { found: 2, supported: 1 })), "{read:?}");
        unseal::<EventWire>(&bytes, EVENT_FORMAT).unwrap();
    }
    registry.restore(&archive(1)).unwrap();
    registry.publish(&good(5)).unwrap();
    let bytes = fs::read(path("events/9.json")).unwrap();
    unseal::<EventWire>(&bytes, old).unwrap();
    assert!(registry.verify(None).unwrap().is_clean());
}

/// Somebody takes the word out of the newest event, every checksum of its own in order.
#[test]
fn an_archiving_undone_by_hand_is_found() {
    let (folder, registry) = registry();
    registry.archive(&archive(1)).unwrap();
    let path = folder.path().join("churn/events/6.json");
    let mut event: EventWire = unseal(&fs::read(&path).unwrap(), EVENT_FORMAT).unwrap();
    event.state.archived.clear();
    fs::write(&path, event.to_bytes().unwrap()).unwrap();
    let report = registry.verify(None).unwrap();
    let told = report.problems.iter().any(|one| one.what.contains("does not follow"));
    assert!(told, "{report:?}");
}
