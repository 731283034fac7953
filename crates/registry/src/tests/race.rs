//! Several writers at once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use object_store::memory::InMemory;
use tempfile::TempDir;

use super::sample::{Sample, good};
use crate::{Action, FaultPlan, PromoteRequest, Promoted, Registry, RegistryError, StepHook};

/// Runs all at once and gives their results in order.
fn at_once<T: Send>(writers: Vec<Box<dyn FnOnce() -> T + Send + '_>>) -> Vec<T> {
    let barrier = Barrier::new(writers.len());
    let barrier = &barrier;
    thread::scope(|scope| {
        let mut running = Vec::new();
        for writer in writers {
            running.push(scope.spawn(move || {
                barrier.wait();
                writer()
            }));
        }
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn on_both(check: impl Fn(&Registry)) {
    let folder = TempDir::new().unwrap();
    check(&Registry::open(folder.path().to_str().unwrap()).unwrap());
    check(&Registry::on_object_store(Arc::new(InMemory::new()), "models").unwrap());
}

#[test]
fn of_two_promoters_with_one_etag_exactly_one_wins() {
    on_both(|registry| {
        for tag in 0..3 {
            registry.publish(&good(tag)).unwrap();
        }
        for round in 0..10 {
            let etag = registry.model("churn").unwrap().etag;
            let current = registry.model("churn").unwrap().aliases.get("champion").copied();
            let others: Vec<u64> = (1..=3).filter(|&v| Some(v) != current).take(2).collect();
            let promote = |version: u64| -> Box<dyn FnOnce() -> _ + Send + '_> {
                let etag = Some(etag.clone());
                Box::new(move || -> Result<Promoted, RegistryError> {
                    registry.promote(&PromoteRequest {
                        model: "churn".into(),
                        version,
                        etag,
                        ..PromoteRequest::default()
                    })
                })
            };
            let results = at_once(others.iter().map(|&version| promote(version)).collect());
            let winners: Vec<u64> = others
                .iter()
                .zip(&results)
                .filter_map(|(&version, result)| result.is_ok().then_some(version))
                .collect();
            assert_eq!(winners.len(), 1, "round {round}: {results:?}");
            let lost = results.into_iter().find_map(Result::err).unwrap();
            let told =
                matches!(lost, RegistryError::Conflict { .. } | RegistryError::EtagMismatch { .. });
            assert!(told, "round {round}: {lost}");
            assert_eq!(registry.model("churn").unwrap().aliases["champion"], winners[0]);
        }
        let report = registry.verify(None).unwrap();
        assert!(report.is_clean() && report.notes.is_empty(), "{report:?}");
        assert_eq!(report.events, 13);
    });
}

#[test]
fn publishers_get_numbers_of_their_own() {
    on_both(|registry| {
        let publish = |tag: u32| -> Box<dyn FnOnce() -> u64 + Send + '_> {
            Box::new(move || registry.publish(&good(tag)).unwrap().version)
        };
        let versions = at_once((0..6).map(publish).collect());
        let distinct: BTreeSet<u64> = versions.iter().copied().collect();
        assert_eq!(distinct.len(), 6, "{versions:?}");
        assert!(registry.verify(None).unwrap().is_clean());
    });
}

/// Runs `meanwhile` once, just before the step of a write that begins so.
fn at_step(step: &'static str, meanwhile: impl Fn() + Send + Sync + 'static) -> StepHook {
    let is_done = AtomicBool::new(false);
    Arc::new(move |now| {
        if now.starts_with(step) && !is_done.swap(true, Ordering::SeqCst) {
            meanwhile();
        }
        Ok(())
    })
}

fn n_publications(registry: &Registry) -> usize {
    let log = registry.log("churn").unwrap();
    log.iter().filter(|event| matches!(event.action, Action::Published { .. })).count()
}

/// Two runs of one pipeline: what they made is one version, whoever is first.
#[test]
fn of_two_publishers_of_one_draft_one_makes_the_version() {
    let folder = TempDir::new().unwrap();
    let open = || Registry::open(folder.path().to_str().unwrap()).unwrap();
    let other = open();
    let registry = open().with_step_hook(at_step("create temporary folder", move || {
        other.publish(&good(1)).unwrap();
    }));
    let published = registry.publish(&good(1)).unwrap();
    assert!(published.version == 1 && published.existed, "{published:?}");
    assert_eq!((registry.versions("churn").unwrap().len(), n_publications(&registry)), (1, 1));
}

/// A version that has no event yet gets one, however many find that it has none.
#[test]
fn a_version_is_recorded_once() {
    let folder = TempDir::new().unwrap();
    let open = || Registry::open(folder.path().to_str().unwrap()).unwrap();
    let other = open();
    // The layout is there already, so that this is the link of the event.
    open().publish(&good(2)).unwrap();
    let registry = open().with_step_hook(at_step("link file into place", move || {
        assert!(other.publish(&good(1)).unwrap().existed);
    }));
    registry.publish(&good(1)).unwrap();
    assert_eq!(n_publications(&registry), 2);
    assert!(registry.verify(None).unwrap().is_clean());
}

/// Runs `meanwhile` before the n-th step of a write.
fn at_nth_step(n: usize, meanwhile: impl Fn() + Send + Sync + 'static) -> StepHook {
    let taken = AtomicUsize::new(0);
    Arc::new(move |_| {
        if taken.fetch_add(1, Ordering::SeqCst) == n {
            meanwhile();
        }
        Ok(())
    })
}

/// Of two drafts with other files, of which the first by name is another, one has the number: nothing of
/// the other gets into its folder.
#[test]
fn a_number_is_claimed_by_one_draft_whatever_its_files() {
    let store = Arc::new(InMemory::new());
    let open = || Registry::on_object_store(store.clone(), "models").unwrap();
    open().publish(&good(0)).unwrap();
    // Takes the number first, and gets no further.
    let other = open().with_step_hook(FaultPlan::stop_at(1).hook());
    let with_features = Sample { tag: 1, feature_set: Some("f"), ..Sample::default() }.draft();
    let registry = open().with_step_hook(at_nth_step(0, move || {
        assert!(other.publish(&with_features).is_err());
    }));
    assert_eq!(registry.publish(&good(2)).unwrap().version, 3);
    let report = registry.verify(None).unwrap();
    assert!(report.is_clean(), "{report:?}");
}

/// A store that has done what it was asked, and answered with an error, is asked again by its client,
/// and then says that the object exists. So it does here: the same bytes are there before.
#[test]
fn an_event_that_was_written_at_the_second_try_is_no_conflict() {
    let store = Arc::new(InMemory::new());
    let open = || {
        let registry = Registry::on_object_store(store.clone(), "models").unwrap();
        registry.with_clock(|| 1_000_000)
    };
    open().publish(&good(1)).unwrap();
    let promote = |registry: &Registry| {
        registry.promote(&PromoteRequest {
            model: "churn".into(),
            version: 1,
            actor: "ada".into(),
            ..PromoteRequest::default()
        })
    };
    let first = open();
    let registry = open().with_step_hook(at_nth_step(0, move || drop(promote(&first).unwrap())));
    assert_eq!(promote(&registry).unwrap().generation, 2);
    assert_eq!(registry.log("churn").unwrap().len(), 2);
    assert!(registry.verify(None).unwrap().is_clean());
}

#[test]
fn a_publish_does_not_stand_in_the_way_of_a_promotion() {
    on_both(|registry| {
        registry.publish(&good(1)).unwrap();
        let etag = registry.model("churn").unwrap().etag;
        registry.publish(&good(2)).unwrap();
        let request = PromoteRequest {
            model: "churn".into(),
            version: 1,
            etag: Some(etag),
            ..PromoteRequest::default()
        };
        assert_eq!(registry.promote(&request).unwrap().generation, 3);
    });
}
