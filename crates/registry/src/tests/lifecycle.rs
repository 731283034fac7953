//! Publishing, aliases, promotion terms, rollback, log and diff, on local files.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;

use tempfile::TempDir;

use super::sample::{Sample, good};
use crate::{
    Action, AliasRequest, Applied, CHAMPION, Changed, Choice, Draft, LoadedVersion, MODEL_FILE,
    PromoteRequest, Published, Registry, RegistryError, RollbackRequest, Traffic, TrafficRequest,
};

fn registry() -> (TempDir, Registry) {
    let folder = TempDir::new().unwrap();
    let registry = Registry::open(folder.path().to_str().unwrap()).unwrap();
    (folder, registry.with_clock(|| 1_000_000))
}

/// A registry with `n` good versions.
fn with_versions(n: u32) -> (TempDir, Registry) {
    let (folder, registry) = registry();
    for tag in 1..=n {
        registry.publish(&good(tag)).unwrap();
    }
    (folder, registry)
}

fn promote(version: u64) -> PromoteRequest {
    PromoteRequest { model: "churn".into(), version, ..PromoteRequest::default() }
}

fn rollback() -> RollbackRequest {
    RollbackRequest { model: "churn".into(), ..RollbackRequest::default() }
}

fn champion(registry: &Registry) -> u64 {
    registry.resolve("churn", &Choice::Champion).unwrap()
}

#[test]
fn the_same_bytes_are_the_same_version() {
    let (_folder, registry) = with_versions(2);
    let again = registry.publish(&good(1)).unwrap();
    let digest = registry.manifest("churn", 1).unwrap().digest;
    assert_eq!(again, Published { version: 1, digest, existed: true });
    assert_eq!(registry.versions("churn").unwrap().len(), 2);
    assert_eq!(registry.generation("churn").unwrap(), 2);
    // Who publishes does not make another version, what is said about it does.
    let mut draft = good(1);
    draft.summary.created_by = "grace".into();
    assert_eq!(registry.publish(&draft).unwrap().version, 1);
    draft.summary.gates.margin = 0.01;
    assert_eq!(registry.publish(&draft).unwrap().version, 3);
}

#[test]
fn a_manifest_reads_back_as_it_was_written() {
    let (_folder, registry) = registry();
    let draft = Sample { extra: Some("visits"), ..Sample::default() }.draft();
    registry.publish(&draft).unwrap();
    let manifest = registry.manifest("churn", 1).unwrap();
    let (mut read, mut written) = (manifest.summary.clone(), draft.summary.clone());
    assert!(read.metrics.remove("undefined").unwrap().is_nan());
    written.metrics.remove("undefined");
    assert_eq!(read, written);
    assert_eq!(manifest.created_at_us, 1_000_000);
    for (name, bytes) in &draft.files {
        assert_eq!(&registry.read("churn", 1, name).unwrap(), bytes);
        assert_eq!(manifest.files[name].size, bytes.len() as u64);
    }
    let error = registry.read("churn", 1, "report.html").unwrap_err();
    assert!(matches!(error, RegistryError::FileMissing { .. }), "{error}");
}

#[test]
fn numbers_are_never_used_twice() {
    let (folder, registry) = with_versions(3);
    fs::remove_dir_all(folder.path().join("churn/versions/3")).unwrap();
    assert_eq!(registry.publish(&good(3)).unwrap().version, 4);
    // A folder that never became a version holds its number too.
    fs::create_dir(folder.path().join("churn/versions/7")).unwrap();
    assert_eq!(registry.publish(&good(5)).unwrap().version, 8);
    let error = registry.publish_as(&good(6), 7).unwrap_err();
    assert!(matches!(error, RegistryError::VersionNotFree { next: 9, .. }), "{error}");
    let error = registry.publish_as(&good(6), 1).unwrap_err();
    assert!(matches!(error, RegistryError::VersionImmutable { version: 1, .. }), "{error}");
    assert!(registry.publish_as(&good(1), 1).unwrap().existed);
    assert_eq!(registry.publish_as(&good(6), 20).unwrap().version, 20);
    assert_eq!(registry.publish(&good(7)).unwrap().version, 21);
}

#[test]
fn broken_drafts_are_not_published() {
    let (folder, registry) = registry();
    let break_it = |change: &dyn Fn(&mut Draft)| {
        let mut draft = good(1);
        change(&mut draft);
        registry.publish(&draft).unwrap_err().to_string()
    };
    let cut = |draft: &mut Draft, file: &str| {
        let bytes = draft.files.get_mut(file).unwrap();
        bytes.truncate(bytes.len() / 2);
    };
    let golden_of_other = good(1_000_000).files["golden.jsonl"].clone();
    let cases: Vec<(&str, String)> = vec![
        ("model.bin is missing", break_it(&|draft| drop(draft.files.remove("model.bin")))),
        ("golden.jsonl is missing", break_it(&|draft| drop(draft.files.remove("golden.jsonl")))),
        ("model.bin", break_it(&|draft| cut(draft, "model.bin"))),
        ("golden.jsonl", break_it(&|draft| cut(draft, "golden.jsonl"))),
        ("holdout.bin", break_it(&|draft| cut(draft, "holdout.bin"))),
        ("no rows", break_it(&|draft| draft.files.get_mut("golden.jsonl").unwrap().clear())),
        (
            "golden row 0",
            break_it(&|draft| {
                draft.files.insert("golden.jsonl".into(), golden_of_other.clone());
            }),
        ),
        (
            "manifest.json",
            break_it(&|draft| drop(draft.files.insert("manifest.json".into(), Vec::new()))),
        ),
        ("../x", break_it(&|draft| drop(draft.files.insert("../x".into(), Vec::new())))),
        ("no hash", break_it(&|draft| drop(draft.files.insert("features.toml".into(), vec![])))),
        (
            "features.toml is missing",
            break_it(&|draft| {
                let sample = Sample { feature_set: Some("f"), ..Sample::default() };
                *draft = sample.draft();
                draft.files.remove("features.toml");
            }),
        ),
        (
            "segments.toml",
            break_it(&|draft| drop(draft.files.insert("segments.toml".into(), b"[[".to_vec()))),
        ),
        (
            "metric auc",
            break_it(&|draft| {
                draft.summary.metrics.insert("auc".into(), f64::INFINITY);
            }),
        ),
        ("gates.margin", break_it(&|draft| draft.summary.gates.margin = f64::NAN)),
        ("model name", break_it(&|draft| draft.model = "../churn".into())),
        (
            "schema",
            break_it(&|draft| {
                let other = Sample { extra: Some("visits"), ..Sample::default() };
                draft.summary.schema = other.draft().summary.schema;
            }),
        ),
    ];
    for (expected, found) in &cases {
        assert!(found.contains(expected), "{expected}: {found}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was written");
}

#[test]
fn promotion_moves_the_alias_and_tells_who_and_why() {
    let (_folder, registry) = with_versions(2);
    let request = PromoteRequest {
        actor: "grace".into(),
        reason: "better".into(),
        request_id: "r1".into(),
        ..promote(1)
    };
    let first = registry.promote(&request).unwrap();
    assert_eq!((first.previous_version, first.generation), (None, 3));
    let state = registry.model("churn").unwrap();
    assert_eq!((state.aliases[CHAMPION], &state.etag), (1, &first.etag));
    let event = registry.log("churn").unwrap().pop().unwrap();
    assert_eq!((event.actor.as_str(), event.reason.as_str()), ("grace", "better"));
    assert_eq!((Some(event.event_id), event.gates), (first.event_id.clone(), first.gates.clone()));
    assert!(matches!(&event.action, Action::Promoted { from: None, to: 1, .. }));

    // The same request again is the same answer, whatever happened since.
    registry.promote(&promote(2)).unwrap();
    assert_eq!(registry.promote(&request).unwrap(), first);
    assert_eq!(champion(&registry), 2);
    let other = PromoteRequest { version: 2, ..request };
    let error = registry.promote(&other).unwrap_err();
    assert!(matches!(error, RegistryError::RequestIdReused { generation: 3, .. }), "{error}");
    // To where it is already: nothing to do, nothing written.
    assert_eq!(registry.promote(&promote(2)).unwrap().event_id, None);
    assert_eq!(registry.generation("churn").unwrap(), 4);
}

#[test]
fn a_stale_etag_is_refused_and_validation_writes_nothing() {
    let (_folder, registry) = with_versions(2);
    let stale = registry.model("churn").unwrap().etag;
    let dry = PromoteRequest { validate_only: true, ..promote(1) };
    let validated = registry.promote(&dry).unwrap();
    assert_eq!((validated.event_id, validated.generation), (None, 2));
    assert_eq!(validated.gates.len(), 7);
    registry.promote(&promote(1)).unwrap();
    let late = PromoteRequest { etag: Some(stale.clone()), ..promote(2) };
    let error = registry.promote(&late).unwrap_err();
    assert!(matches!(&error, RegistryError::EtagMismatch { given, .. } if *given == stale));
    let late = RollbackRequest { etag: Some(stale), ..rollback() };
    assert!(matches!(registry.rollback(&late), Err(RegistryError::EtagMismatch { .. })));
}

#[test]
fn what_is_not_there_is_named() {
    let (_folder, registry) = with_versions(1);
    let error = registry.promote(&promote(9)).unwrap_err();
    assert_eq!(error.to_string(), "model \"churn\" has no version 9, it has 1");
    let error = registry.resolve("churn", &Choice::Champion).unwrap_err();
    assert_eq!(error.to_string(), "model \"churn\" has no alias \"champion\", it has none");
    let error = registry.model("chrun").unwrap_err();
    assert!(error.to_string().ends_with("which holds churn"), "{error}");
    assert!(matches!(registry.model("../x"), Err(RegistryError::NameInvalid { .. })));
}

#[test]
fn aliases_move_in_one_commit_and_the_champion_only_through_gates() {
    let (_folder, registry) = with_versions(3);
    let mut request = AliasRequest {
        model: "churn".into(),
        moves: [("blue".to_owned(), Some(1)), ("green".to_owned(), Some(2))].into(),
        ..AliasRequest::default()
    };
    let dry = AliasRequest { validate_only: true, ..request.clone() };
    let before = registry.model("churn").unwrap();
    assert_eq!(registry.move_aliases(&dry).unwrap(), Applied { state: before, event_id: None });
    let Applied { state, event_id } = registry.move_aliases(&request).unwrap();
    assert!(event_id.is_some());
    assert_eq!(state.aliases, BTreeMap::from([("blue".into(), 1), ("green".into(), 2)]));
    assert_eq!(state.generation, 4);
    let again = registry.move_aliases(&request).unwrap();
    let unwritten = Applied { state: state.clone(), event_id: None };
    assert_eq!(again, unwritten, "nothing moved, nothing written");
    request.moves = [("blue".to_owned(), None), ("green".to_owned(), Some(9))].into();
    assert!(matches!(
        registry.move_aliases(&request),
        Err(RegistryError::VersionNotFound { version: 9, .. })
    ));
    assert_eq!(registry.model("churn").unwrap(), state, "a bad move stops the good one");
    let champion = registry.set_alias("churn", CHAMPION, 1, "ada").unwrap_err();
    assert!(matches!(champion, RegistryError::AliasProtected { .. }));
    assert!(matches!(
        registry.set_alias("churn", "12", 1, "ada"),
        Err(RegistryError::NameInvalid { .. })
    ));
    assert!(registry.delete_alias("churn", "blue", "ada").unwrap().state.aliases.len() == 1);
    let gone = registry.delete_alias("churn", "blue", "ada").unwrap_err();
    assert_eq!(gone.to_string(), "model \"churn\" has no alias \"blue\", it has green");
}

/// The brake works on what is broken: a share is taken from a version that could not be given one.
#[test]
fn a_share_is_taken_from_a_damaged_version() {
    let folder = TempDir::new().unwrap();
    let registry = Registry::open(folder.path().to_str().unwrap()).unwrap();
    for tag in 1..=4 {
        registry.publish(&good(tag)).unwrap();
    }
    let policy = |basis_points, shadow_versions: &[u64]| Traffic {
        canary_version: Some(2),
        canary_basis_points: basis_points,
        shadow_versions: shadow_versions.to_vec(),
        ..Traffic::default()
    };
    let admitted = RefCell::new(Vec::new());
    let set = |traffic| {
        let request = TrafficRequest {
            model: "churn".into(),
            traffic: Some(traffic),
            ..TrafficRequest::default()
        };
        registry.set_traffic_with(&request, |version| {
            admitted.borrow_mut().push(version);
            Ok::<_, RegistryError>(())
        })
    };
    set(policy(100, &[3])).unwrap();
    assert_eq!(admitted.take(), [2, 3]);
    for version in [2, 3] {
        let manifest = folder.path().join(format!("churn/versions/{version}/manifest.json"));
        std::fs::write(manifest, "damaged").unwrap();
    }
    set(policy(50, &[3])).unwrap();
    set(policy(0, &[3, 4])).unwrap();
    assert_eq!(admitted.take(), [4]);
    // Once it is out, it does not come back.
    set(policy(0, &[])).unwrap();
    let error = set(policy(0, &[3])).unwrap_err();
    assert!(matches!(error, RegistryError::VersionNotFound { version: 3, .. }), "{error}");
    assert!(admitted.take().is_empty());
}

/// A repeat asks for nothing that the first did not, however the version has fared since.
#[test]
fn a_repeat_is_answered_without_the_version() {
    let folder = TempDir::new().unwrap();
    let registry = Registry::open(folder.path().to_str().unwrap()).unwrap();
    registry.publish(&good(1)).unwrap();
    let request = PromoteRequest {
        model: "churn".into(),
        version: 1,
        request_id: "r-1".into(),
        ..PromoteRequest::default()
    };
    let refuse = |_: &LoadedVersion| Err(RegistryError::AliasProtected { alias: "any".into() });
    assert!(registry.promote_with(&request, refuse).is_err());
    let first = registry.promote(&request).unwrap();
    std::fs::write(folder.path().join("churn/versions/1/model.bin"), "damaged").unwrap();
    let (again, loaded) = registry.promote_with(&request, refuse).unwrap();
    assert_eq!(again, first);
    assert!(loaded.is_none());
}

#[test]
fn traffic_is_checked_and_kept() {
    let (_folder, registry) = with_versions(2);
    let traffic = Traffic {
        canary_version: Some(2),
        canary_basis_points: 500,
        salt: "s".into(),
        ..Traffic::default()
    };
    let request = |traffic: Traffic| TrafficRequest {
        model: "churn".into(),
        traffic: Some(traffic),
        ..TrafficRequest::default()
    };
    let dry = TrafficRequest { validate_only: true, ..request(traffic.clone()) };
    assert_eq!(registry.set_traffic(&dry).unwrap().state.traffic, None);
    assert_eq!(registry.generation("churn").unwrap(), 2);
    let state = registry.set_traffic(&request(traffic.clone())).unwrap().state;
    assert_eq!(state.traffic.as_ref(), Some(&traffic));
    let too_much = Traffic { canary_basis_points: 10_001, ..traffic.clone() };
    let of_nothing = Traffic { canary_version: None, ..traffic.clone() };
    let shadows = |shadow_versions: &[u64]| Traffic {
        shadow_versions: shadow_versions.to_vec(),
        shadow_basis_points: 100,
        ..traffic.clone()
    };
    let cases = [
        (too_much, "canary_basis_points"),
        (of_nothing, "canary_basis_points"),
        (shadows(&[]), "shadow_basis_points"),
        (shadows(&[1, 1]), "shadow_versions"),
        (shadows(&[1, 2, 3, 4, 5, 6, 7, 8, 9]), "shadow_versions"),
    ];
    for (bad, expected) in cases {
        let refused = registry.set_traffic(&request(bad));
        let told = matches!(&refused, Err(RegistryError::TrafficInvalid { field, .. }) if *field == expected);
        assert!(told, "{expected}: {refused:?}");
    }
    let absent = Traffic { shadow_versions: vec![9], ..traffic };
    let refused = registry.set_traffic(&request(absent));
    assert!(matches!(refused, Err(RegistryError::VersionNotFound { version: 9, .. })));
}

/// Another salt in the middle of a ramp took the canary from its users and gave it to others.
#[test]
fn a_canary_keeps_its_salt_while_it_has_a_share() {
    let (_folder, registry) = with_versions(3);
    let split = |canary_version, canary_basis_points, salt: &str| {
        let traffic = Some(Traffic {
            canary_version: Some(canary_version),
            canary_basis_points,
            salt: salt.into(),
            ..Traffic::default()
        });
        registry.set_traffic(&TrafficRequest {
            model: "churn".into(),
            traffic,
            ..TrafficRequest::default()
        })
    };
    split(2, 0, "spring").unwrap();
    split(2, 500, "summer").unwrap();
    let refused = split(2, 1_000, "").unwrap_err();
    let told = matches!(&refused, RegistryError::TrafficInvalid { field: "salt", .. });
    assert!(told && refused.to_string().contains("summer"), "{refused}");
    split(2, 1_000, "summer").unwrap();
    split(2, 0, "autumn").unwrap();
    split(2, 500, "winter").unwrap();
    split(3, 500, "spring").unwrap();
}

#[test]
fn rolling_back_twice_goes_two_promotions_back() {
    let (_folder, registry) = with_versions(4);
    assert!(matches!(registry.rollback(&rollback()), Err(RegistryError::AliasNotFound { .. })));
    registry.promote(&promote(1)).unwrap();
    let alone = registry.rollback(&rollback()).unwrap_err();
    assert!(matches!(alone, RegistryError::NothingToRollBack { .. }), "{alone}");
    registry.promote(&promote(2)).unwrap();
    registry.promote(&promote(3)).unwrap();
    let back = registry.rollback(&rollback()).unwrap();
    assert_eq!((back.from, back.to), (3, 2));
    assert_eq!(registry.rollback(&rollback()).unwrap().to, 1);
    assert!(matches!(registry.rollback(&rollback()), Err(RegistryError::NothingToRollBack { .. })));
    // Forward again to where it was, but not to where it never was.
    let to = |version| RollbackRequest { to_version: Some(version), ..rollback() };
    assert_eq!(registry.rollback(&to(3)).unwrap().to, 3);
    let never = registry.rollback(&to(4)).unwrap_err();
    assert!(matches!(never, RegistryError::NeverHeld { version: 4, .. }), "{never}");
    assert_eq!(registry.rollback(&to(3)).unwrap().event_id, None);
    assert_eq!(champion(&registry), 3);
}

#[test]
fn a_damaged_version_is_not_rolled_back_to() {
    let (folder, registry) = with_versions(2);
    registry.promote(&promote(1)).unwrap();
    registry.promote(&promote(2)).unwrap();
    fs::write(folder.path().join("churn/versions/1").join(MODEL_FILE), b"x").unwrap();
    let error = registry.rollback(&rollback()).unwrap_err();
    assert!(
        matches!(&error, RegistryError::DigestMismatch { place, .. } if place.ends_with("1/model.bin"))
    );
    assert_eq!(champion(&registry), 2);
}

#[test]
fn a_diff_names_what_changed_and_only_that() {
    let (_folder, registry) = with_versions(1);
    assert!(registry.diff("churn", 1, 1).unwrap().is_empty());
    let mut draft = Sample { tag: 2, extra: Some("visits"), ..Sample::default() }.draft();
    draft.summary.metrics.insert("auc".into(), 0.8);
    registry.publish(&draft).unwrap();
    let diff = registry.diff("churn", 1, 2).unwrap();
    assert_eq!(diff.features_added, ["visits"]);
    assert!(diff.features_removed.is_empty() && diff.vocabularies.is_empty());
    let auc = Changed { before: Some(0.75), after: Some(0.8) };
    assert_eq!(diff.metrics, BTreeMap::from([("auc".into(), auc)]));
    assert_eq!(diff.lineage.keys().collect::<Vec<_>>(), ["tag"]);
    assert_eq!(diff.files.len(), 3);
    assert_eq!(diff.facts.keys().collect::<Vec<_>>(), ["schema_digest"]);
}

/// Or a rollback would bring back as a canary what it has just rolled back.
#[test]
fn a_canary_ends_when_it_becomes_the_champion() {
    let (_folder, registry) = with_versions(3);
    registry.promote(&promote(1)).unwrap();
    let split = |traffic: Traffic| {
        let traffic = Some(traffic);
        let request =
            TrafficRequest { model: "churn".into(), traffic, ..TrafficRequest::default() };
        registry.set_traffic(&request).unwrap();
    };
    let canary = |version| Traffic {
        canary_version: Some(version),
        canary_basis_points: 500,
        salt: "s".into(),
        ..Traffic::default()
    };
    let traffic = || registry.model("churn").unwrap().traffic;
    split(canary(2));
    let other = PromoteRequest { alias: "next".into(), ..promote(2) };
    registry.promote(&other).unwrap();
    registry.promote(&promote(3)).unwrap();
    assert_eq!(traffic(), Some(canary(2)), "another champion does not end it");
    registry.promote(&promote(2)).unwrap();
    assert_eq!(traffic(), None);
    // Shadows go on.
    split(Traffic { shadow_versions: vec![1], shadow_basis_points: 10, ..canary(2) });
    registry.rollback(&rollback()).unwrap();
    let left = Traffic {
        shadow_versions: vec![1],
        shadow_basis_points: 10,
        salt: "s".into(),
        ..Traffic::default()
    };
    assert_eq!(traffic(), Some(left));
    split(canary(1));
    registry.rollback(&rollback()).unwrap();
    assert_eq!((registry.model("churn").unwrap().aliases["champion"], traffic()), (1, None));
    assert_eq!(registry.verify(None).unwrap().problems, []);
}
