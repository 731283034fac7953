//! Random sequences of changes against a model of a few lines.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use object_store::memory::InMemory;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use super::sample::good;
use crate::{
    AliasRequest, ArchiveRequest, CHAMPION, Draft, PromoteRequest, Registry, RollbackRequest,
    Traffic, TrafficRequest,
};

/// Drafts are slow to make, and all are equally good.
static DRAFTS: LazyLock<Vec<Draft>> = LazyLock::new(|| (0..5).map(good).collect());

#[derive(Debug, Clone)]
enum Step {
    Publish(usize),
    Promote(u64),
    RollBack(Option<u64>),
    Point(&'static str, Option<u64>),
    Split(Option<u64>),
    Archive(u64),
    Restore(u64),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let version = 1..7_u64;
    let alias = prop_oneof![Just("blue"), Just("green")];
    prop_oneof![
        3 => (0..5_usize).prop_map(Step::Publish),
        4 => version.clone().prop_map(Step::Promote),
        3 => proptest::option::of(version.clone()).prop_map(Step::RollBack),
        2 => (alias, proptest::option::of(version)).prop_map(|(a, v)| Step::Point(a, v)),
        2 => proptest::option::of(1..7_u64).prop_map(Step::Split),
        2 => (1..7_u64).prop_map(Step::Archive),
        1 => (1..7_u64).prop_map(Step::Restore),
        1 => Just(Step::Reopen),
    ]
}

/// What a registry should do, without files, gates or chains.
#[derive(Debug, Default)]
struct Naive {
    /// Draft of each version, the first is version 1.
    versions: Vec<usize>,
    aliases: BTreeMap<String, u64>,
    canary: Option<u64>,
    archived: BTreeSet<u64>,
    /// The champions that led to the present one.
    path: Vec<u64>,
    ever: Vec<u64>,
}

impl Naive {
    fn has(&self, version: u64) -> bool {
        version <= self.versions.len() as u64
    }

    fn may_use(&self, version: u64) -> bool {
        self.has(version) && !self.archived.contains(&version)
    }

    fn split(&mut self, canary: Option<u64>) -> bool {
        let done = !self.versions.is_empty() && canary.is_none_or(|canary| self.may_use(canary));
        if done {
            self.canary = canary;
        }
        done
    }

    fn archive(&mut self, version: u64) -> bool {
        let in_use =
            self.canary == Some(version) || self.aliases.values().any(|used| *used == version);
        let done = self.has(version) && !in_use;
        if done {
            self.archived.insert(version);
        }
        done
    }

    fn restore(&mut self, version: u64) -> bool {
        self.archived.remove(&version);
        self.has(version)
    }

    fn publish(&mut self, draft: usize) -> u64 {
        if let Some(index) = self.versions.iter().position(|&known| known == draft) {
            return index as u64 + 1;
        }
        self.versions.push(draft);
        self.versions.len() as u64
    }

    fn promote(&mut self, version: u64) -> bool {
        if !self.may_use(version) {
            return false;
        }
        if self.path.last() != Some(&version) {
            self.path.push(version);
            self.ever.push(version);
            self.canary = self.canary.filter(|canary| *canary != version);
        }
        self.aliases.insert(CHAMPION.into(), version);
        true
    }

    fn roll_back(&mut self, to: Option<u64>) -> bool {
        let Some(&current) = self.path.last() else { return false };
        let target = match to {
            Some(to) if self.ever.contains(&to) => to,
            Some(_) => return false,
            None if self.path.len() < 2 => return false,
            None => self.path[self.path.len() - 2],
        };
        if target != current && self.archived.contains(&target) {
            return false;
        }
        if target != current {
            self.canary = self.canary.filter(|canary| ![current, target].contains(canary));
            match self.path.iter().rposition(|&version| version == target) {
                Some(index) => self.path.truncate(index + 1),
                None => self.path.push(target),
            }
        }
        self.aliases.insert(CHAMPION.into(), target);
        true
    }

    fn point(&mut self, alias: &str, to: Option<u64>) -> bool {
        match to {
            Some(version) if self.may_use(version) => {
                self.aliases.insert(alias.into(), version);
                true
            }
            Some(_) => false,
            None => self.aliases.remove(alias).is_some(),
        }
    }
}

proptest! {
    #![proptest_config(Config {
        cases: 64,
        rng_seed: RngSeed::Fixed(11),
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn a_registry_does_what_a_map_would(steps in prop::collection::vec(step(), 1..25)) {
        let store = Arc::new(InMemory::new());
        let open = || {
            let store: Arc<InMemory> = Arc::clone(&store);
            Registry::on_object_store(store, "models").unwrap()
        };
        let (mut registry, mut naive) = (open(), Naive::default());
        let model = || "churn".to_owned();
        for step in steps {
            let (done, expected) = match step.clone() {
                Step::Publish(draft) => {
                    let published = registry.publish(&DRAFTS[draft]).unwrap();
                    prop_assert_eq!(published.version, naive.publish(draft));
                    (true, true)
                }
                Step::Promote(version) => {
                    let request =
                        PromoteRequest { model: model(), version, ..PromoteRequest::default() };
                    (registry.promote(&request).is_ok(), naive.promote(version))
                }
                Step::RollBack(to_version) => {
                    let request =
                        RollbackRequest { model: model(), to_version, ..RollbackRequest::default() };
                    (registry.rollback(&request).is_ok(), naive.roll_back(to_version))
                }
                Step::Point(alias, to) => {
                    let moves = [(alias.to_owned(), to)].into();
                    let request = AliasRequest { model: model(), moves, ..AliasRequest::default() };
                    (registry.move_aliases(&request).is_ok(), naive.point(alias, to))
                }
                Step::Split(canary_version) => {
                    let traffic = canary_version.map(|version| Traffic {
                        canary_version: Some(version),
                        ..Traffic::default()
                    });
                    let request = TrafficRequest { model: model(), traffic, ..TrafficRequest::default() };
                    (registry.set_traffic(&request).is_ok(), naive.split(canary_version))
                }
                Step::Archive(version) => {
                    let request = ArchiveRequest { model: model(), version, ..ArchiveRequest::default() };
                    (registry.archive(&request).is_ok(), naive.archive(version))
                }
                Step::Restore(version) => {
                    let request = ArchiveRequest { model: model(), version, ..ArchiveRequest::default() };
                    (registry.restore(&request).is_ok(), naive.restore(version))
                }
                Step::Reopen => {
                    registry = open();
                    (true, true)
                }
            };
            prop_assert_eq!(done, expected, "{:?}", step);
            if !naive.versions.is_empty() {
                let state = registry.model("churn").unwrap();
                prop_assert_eq!(&state.aliases, &naive.aliases);
                prop_assert_eq!(&state.archived, &naive.archived);
                prop_assert_eq!(state.traffic.and_then(|one| one.canary_version), naive.canary);
            }
        }
        let report = registry.verify(None).unwrap();
        prop_assert!(report.is_clean() && report.notes.is_empty(), "{:?}", report);
        prop_assert_eq!(report.versions, naive.versions.len() as u64);
    }
}
