//! Stops at every single step of every write, as a killed process would, and opens again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use object_store::memory::InMemory;
use tempfile::TempDir;

use super::sample::good;
use crate::{
    AliasRequest, ArchiveRequest, FaultPlan, ModelState, PromoteRequest, PublishRequest, Registry,
    RegistryError, RollbackRequest, Traffic, TrafficRequest,
};

/// What a reader can see of a model.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    versions: Vec<(u64, String)>,
    state: Option<ModelState>,
}

impl Seen {
    fn of(registry: &Registry) -> Self {
        let versions = match registry.versions("churn") {
            Ok(versions) => versions.into_iter().map(|v| (v.version, v.digest)).collect(),
            Err(RegistryError::ModelNotFound { .. }) => Vec::new(),
            Err(error) => panic!("{error}"),
        };
        Self { versions, state: registry.model("churn").ok() }
    }

    /// All of it that a change moves, without its number and etag.
    fn moved(&self) -> (BTreeMap<String, u64>, Option<Traffic>, BTreeSet<u64>) {
        let state = self.state.clone();
        state.map(|state| (state.aliases, state.traffic, state.archived)).unwrap_or_default()
    }
}

type Write = dyn Fn(&Registry) -> Result<(), RegistryError>;

/// Stops `write` before each of its steps in turn, on a fresh registry made by `before`.
fn stop_everywhere(open: &dyn Fn(usize) -> Registry, before: &Write, write: &Write) -> usize {
    for step in 0.. {
        let registry = open(step);
        before(&registry).unwrap();
        let old = Seen::of(&registry);
        let plan = FaultPlan::stop_at(step);
        let written = write(&registry.clone().with_step_hook(plan.hook()));
        if !plan.fired() {
            written.unwrap();
            return step;
        }
        let registry = open(step);
        registry.roll_forward().unwrap();
        let seen = Seen::of(&registry);
        let report = registry.verify(None).unwrap();
        assert!(report.is_clean(), "step {step}: {report:?}");

        write(&registry).unwrap_or_else(|error| panic!("again after step {step}: {error}"));
        let new = Seen::of(&registry);
        let versions_whole = seen.versions == old.versions || seen.versions == new.versions;
        assert!(versions_whole, "step {step}: {seen:?}");
        let moves_whole = seen.moved() == old.moved() || seen.moved() == new.moved();
        assert!(moves_whole, "step {step}: {seen:?}");

        let next = registry.publish(&good(99)).unwrap().version;
        let highest = new.versions.last().map_or(0, |(version, _)| *version);
        assert!(next > highest, "step {step}: {next} after {highest}");
        assert_eq!(registry.load("churn", next).unwrap().manifest.version, next);
        let report = registry.verify(None).unwrap();
        assert!(report.is_clean(), "step {step}, after going on: {report:?}");
    }
    unreachable!("every write has an end")
}

/// On local files and on an object store.
fn stop_everywhere_on_both(least_steps: usize, before: &Write, write: &Write) {
    let folder = TempDir::new().unwrap();
    let on_disk = |step: usize| {
        let path = folder.path().join(step.to_string());
        Registry::open(path.to_str().unwrap()).unwrap()
    };
    let steps = stop_everywhere(&on_disk, before, write);
    assert!(steps >= least_steps, "{steps} steps on disk");

    let stores: Vec<Arc<InMemory>> = (0..100).map(|_| Arc::new(InMemory::new())).collect();
    let in_memory = |step: usize| {
        let store: Arc<InMemory> = Arc::clone(&stores[step]);
        Registry::on_object_store(store, "models").unwrap()
    };
    let steps = stop_everywhere(&in_memory, before, write);
    assert!(steps >= 2, "{steps} steps on a store");
}

fn publish(tag: u32) -> impl Fn(&Registry) -> Result<(), RegistryError> {
    move |registry| registry.publish(&good(tag)).map(drop)
}

/// Three versions, two of them promoted.
fn three_versions(registry: &Registry) -> Result<(), RegistryError> {
    for tag in 1..=3 {
        registry.publish(&good(tag))?;
    }
    promote(1)(registry)?;
    promote(2)(registry)
}

fn promote(version: u64) -> impl Fn(&Registry) -> Result<(), RegistryError> {
    move |registry| {
        let request = PromoteRequest {
            model: "churn".into(),
            version,
            request_id: format!("promote {version}"),
            ..PromoteRequest::default()
        };
        registry.promote(&request).map(drop)
    }
}

#[test]
fn the_first_publish_is_whole_or_not_at_all() {
    stop_everywhere_on_both(30, &|_| Ok(()), &publish(1));
}

#[test]
fn a_later_publish_is_whole_or_not_at_all() {
    stop_everywhere_on_both(20, &three_versions, &publish(4));
}

#[test]
fn a_promotion_is_whole_or_not_at_all() {
    stop_everywhere_on_both(10, &three_versions, &promote(3));
}

#[test]
fn a_rollback_is_whole_or_not_at_all() {
    let rollback = |registry: &Registry| {
        let request = RollbackRequest {
            model: "churn".into(),
            request_id: "back".into(),
            ..RollbackRequest::default()
        };
        registry.rollback(&request).map(drop)
    };
    stop_everywhere_on_both(10, &three_versions, &rollback);
}

#[test]
fn aliases_move_together_or_not_at_all() {
    let moves = |registry: &Registry| {
        let request = AliasRequest {
            model: "churn".into(),
            moves: [("blue".to_owned(), Some(3)), ("green".to_owned(), Some(1))].into(),
            ..AliasRequest::default()
        };
        registry.move_aliases(&request).map(drop)
    };
    stop_everywhere_on_both(10, &three_versions, &moves);
}

#[test]
fn traffic_changes_whole_or_not_at_all() {
    let split = |registry: &Registry| {
        let traffic = Traffic {
            canary_version: Some(3),
            canary_basis_points: 500,
            shadow_versions: vec![1],
            shadow_basis_points: 10_000,
            ..Traffic::default()
        };
        let (model, request_id) = ("churn".into(), "split".into());
        let traffic = Some(traffic);
        let request = TrafficRequest { model, traffic, request_id, ..TrafficRequest::default() };
        registry.set_traffic(&request).map(drop)
    };
    stop_everywhere_on_both(10, &three_versions, &split);
}

fn archive(request_id: &str) -> ArchiveRequest {
    let (model, request_id) = ("churn".into(), request_id.into());
    ArchiveRequest { model, version: 3, request_id, ..ArchiveRequest::default() }
}

#[test]
fn a_version_is_archived_or_not_and_restored_or_not() {
    let archived = |registry: &Registry| registry.archive(&archive("away")).map(drop);
    stop_everywhere_on_both(10, &three_versions, &archived);
    let before = |registry: &Registry| {
        three_versions(registry)?;
        registry.archive(&archive("away")).map(drop)
    };
    let restored = |registry: &Registry| registry.restore(&archive("back")).map(drop);
    stop_everywhere_on_both(10, &before, &restored);
}

#[test]
fn a_publication_with_a_request_id_is_whole_or_not_at_all() {
    let publish = |registry: &Registry| {
        let draft = good(4);
        let request = PublishRequest { request_id: "p-4", ..PublishRequest::of(&draft) };
        registry.publish_with(request).map(drop)
    };
    stop_everywhere_on_both(20, &three_versions, &publish);
}
