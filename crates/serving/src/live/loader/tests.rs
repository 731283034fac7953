use segue_dataset::{Feature, Schema, TargetKind};
use segue_model::{
    Calibration, Combine, Ensemble, GoldenRow, Link, Model, ModelParts, Tree, encode_golden,
};
use segue_registry::{Draft, GatePolicy, PromoteRequest, VersionSummary};

use super::*;
use crate::live::Variant;

/// A loader whose thread is the test's own, and the versions that it wants loaded.
fn loader() -> (Loader, Receiver<Wanted>) {
    loader_over("memory:///models")
}

fn loader_over(url: &str) -> (Loader, Receiver<Wanted>) {
    let (jobs, wanted) = channel();
    let registry = Registry::open(url).unwrap();
    let live = Arc::new(LiveModels::new(Vec::new()));
    let workshop = Workshop { registry, live, metrics: Arc::new(Metrics::new()) };
    (Loader::new(workshop, jobs, Duration::from_secs(1)), wanted)
}

/// Whatever goes wrong at one look, there is a next one.
#[test]
fn a_panic_does_not_end_the_loader() {
    let (mut loader, _wanted) = loader();
    let live = Arc::clone(&loader.workshop.live);
    loader.guarded(|_| panic!("on purpose"));
    assert_eq!(loader.workshop.metrics.requests.panics.get(), 1);
    assert!(!live.snapshot().started);
    loader.guarded(Loader::poll);
    assert!(live.snapshot().started && live.readiness().registry_read);
}

/// A model of one leaf.
fn draft(leaf: f64) -> Draft {
    let model = Model::new(ModelParts {
        schema: Arc::new(Schema::new(vec![Feature::number("age")]).unwrap()),
        target: TargetKind::Binary,
        task: "churn".to_owned(),
        ensemble: Ensemble {
            trees: vec![Tree::constant(vec![leaf], 1.0)],
            tree_output: vec![0],
            base: vec![0.0],
            combine: Combine::Sum,
            link: Link::Logistic,
        },
        calibration: Calibration::None,
        behaviours: Vec::new(),
        feature_set_hash: None,
    });
    let model = model.unwrap();
    let golden = encode_golden(&[GoldenRow::of(&model, &[1.0])]);
    Draft {
        model: "churn".to_owned(),
        files: BTreeMap::from([
            ("model.bin".to_owned(), model.encode()),
            ("golden.jsonl".to_owned(), golden.into_bytes()),
        ]),
        summary: VersionSummary {
            task: model.task().to_owned(),
            target: model.target().clone(),
            schema: Arc::clone(model.schema()),
            feature_set_hash: None,
            metrics: BTreeMap::new(),
            slice_metrics: BTreeMap::new(),
            lineage: BTreeMap::new(),
            created_by: "ada".to_owned(),
            gates: GatePolicy::default(),
        },
    }
}

impl Loader {
    fn promote(&mut self, version: u64) {
        let request = PromoteRequest {
            model: "churn".to_owned(),
            version,
            override_gates: true,
            ..PromoteRequest::default()
        };
        self.workshop.registry.promote(&request).unwrap();
        self.poll();
    }

    fn load(&mut self, wanted: &Receiver<Wanted>) {
        while let Ok(wanted) = wanted.try_recv() {
            let loaded = self.workshop.registry.load(&wanted.0, wanted.1).unwrap();
            let outcome = self.workshop.take(loaded);
            self.loaded(wanted, outcome);
        }
    }

    fn served(&self, version: u64) -> Arc<ServedVersion> {
        let snapshot = self.workshop.live.snapshot();
        Arc::clone(snapshot.models["churn"].version(version).expect("it is in memory"))
    }

    /// How many swaps of `churn` the page has, and how long they took together.
    fn swaps(&self) -> (u64, f64) {
        let page = self.workshop.metrics.page().unwrap();
        let find = |end: &str| {
            let series = format!("segue_model_swap_seconds_{end}{{model=\"churn\"}} ");
            page.lines().find_map(|line| line.strip_prefix(&series).map(str::to_owned))
        };
        let count = find("count").map_or(0, |count| count.parse().unwrap());
        (count, find("sum").map_or(0.0, |sum| sum.parse().unwrap()))
    }

    /// Predictions that the page has of version 1, if it has any.
    fn n_told(&self) -> Option<u64> {
        let page = self.workshop.metrics.page().unwrap();
        let score = "segue_score_count{model=\"churn\",version=\"1\"} ";
        let has_score = page.contains(score);
        let series = "segue_predictions_total{model=\"churn\",version=\"1\",variant=\"champion\",\
                      segment=\"\"} ";
        let told = page.lines().find_map(|line| line.strip_prefix(series)?.parse().ok());
        assert_eq!(told.is_some(), has_score, "{page}");
        told
    }
}

/// A request may hold a version for long after it went out of service, and the version may come back
/// while it does.
#[test]
fn series_stay_for_as_long_as_anything_can_be_added_to_them() {
    let (mut loader, wanted) = loader();
    for leaf in [0.1, 0.2, 0.3] {
        loader.workshop.registry.publish(&draft(leaf)).unwrap();
    }
    loader.promote(1);
    loader.load(&wanted);
    let first = loader.served(1);
    let count = |served: &ServedVersion| {
        served.counters.predictions.inc(Variant::Champion, "");
        served.counters.score.observe(0.5);
    };
    count(&first);
    for version in [2, 3] {
        loader.promote(version);
        loader.load(&wanted);
    }
    loader.poll();
    count(&first);
    assert_eq!(loader.n_told(), Some(2), "a request still has it");
    // It is wanted again, and the request ends while it is on its way.
    loader.promote(1);
    drop(first);
    loader.poll();
    assert_eq!(loader.n_told(), Some(2), "it is on its way");
    loader.load(&wanted);
    loader.poll();
    count(&loader.served(1));
    assert_eq!(loader.n_told(), Some(3), "it is back");
    for version in [2, 3] {
        loader.promote(version);
        loader.load(&wanted);
    }
    loader.poll();
    assert_eq!(loader.n_told(), None, "nobody has it");
}

/// What is not wanted any more when it comes has metrics too.
#[test]
fn a_version_that_comes_too_late_leaves_no_series() {
    let (mut loader, wanted) = loader();
    for leaf in [0.1, 0.2] {
        loader.workshop.registry.publish(&draft(leaf)).unwrap();
    }
    loader.promote(2);
    loader.load(&wanted);
    loader.workshop.registry.set_alias("churn", "next", 1, "ada").unwrap();
    loader.poll();
    loader.workshop.registry.delete_alias("churn", "next", "ada").unwrap();
    loader.poll();
    loader.load(&wanted);
    loader.poll();
    let page = loader.workshop.metrics.page().unwrap();
    assert!(page.contains("version=\"2\"") && !page.contains("version=\"1\""), "{page}");
}

/// How long each took is tested beside what times them.
#[test]
fn a_swap_is_timed_when_requests_get_it() {
    let (mut loader, wanted) = loader();
    for leaf in [0.1, 0.2, 0.3] {
        loader.workshop.registry.publish(&draft(leaf)).unwrap();
    }
    loader.promote(1);
    loader.load(&wanted);
    let (n_swaps, first_s) = loader.swaps();
    assert_eq!(n_swaps, 1, "the first champion");

    // It must be loaded; neither further looks nor other changes are swaps.
    loader.promote(2);
    loader.poll();
    loader.workshop.registry.set_alias("churn", "old", 1, "ada").unwrap();
    loader.poll();
    assert_eq!(loader.swaps(), (1, first_s), "requests do not get it yet");
    loader.load(&wanted);
    let (n_swaps, second_s) = loader.swaps();
    assert_eq!(n_swaps, 2);
    assert!(second_s > first_s, "{second_s} after {first_s}");

    // It is in memory: nothing is waited for.
    loader.promote(1);
    let champion = loader.workshop.live.snapshot().models["churn"].champion();
    assert_eq!((loader.swaps().0, champion), (3, Some(1)));

    // What was wanted and never came is no swap.
    loader.promote(3);
    loader.promote(2);
    let (n_swaps, fourth_s) = loader.swaps();
    assert_eq!(n_swaps, 4);
    loader.load(&wanted);
    assert_eq!(loader.swaps(), (4, fourth_s), "it came too late");
}

/// What a change over gRPC brings along is proven after the server has heard of it.
#[test]
fn a_swap_that_the_server_is_told_of_is_timed_from_then() {
    let (mut loader, _wanted) = loader();
    loader.poll();
    loader.workshop.registry.publish(&draft(0.1)).unwrap();
    let loaded = loader.workshop.registry.load("churn", 1).unwrap();
    let read = loaded.took;
    let request = PromoteRequest {
        model: "churn".to_owned(),
        version: 1,
        override_gates: true,
        ..PromoteRequest::default()
    };
    loader.workshop.registry.promote(&request).unwrap();
    let (done, _told) = oneshot::channel();
    let (model, waits_for) = ("churn".to_owned(), WaitsFor::Champion);
    let before = Instant::now();
    loader.refresh(Refresh { model, loaded: vec![loaded], waits_for, done });
    let most_s = before.elapsed().as_secs_f64();
    let (n_swaps, took_s) = loader.swaps();
    // Its proof, in whole microseconds.
    let least_s = (loader.served(1).load_us as f64 - 1.0) / 1e6 - read.as_secs_f64();
    assert_eq!(n_swaps, 1);
    assert!(least_s <= took_s && took_s <= most_s, "{took_s} of {least_s} to {most_s}");
}

/// A model that is taken out of the registry takes its series along, also if something comes for it
/// afterwards.
#[test]
fn a_model_that_is_gone_leaves_no_series() {
    let folder = tempfile::tempdir().unwrap();
    let (mut loader, wanted) = loader_over(folder.path().to_str().unwrap());
    for leaf in [0.1, 0.2] {
        loader.workshop.registry.publish(&draft(leaf)).unwrap();
    }
    // Without it this would be a volume that is not mounted.
    loader.workshop.registry.publish(&Draft { model: "visits".to_owned(), ..draft(0.3) }).unwrap();
    loader.promote(1);
    loader.load(&wanted);
    loader.promote(2);
    let series = [
        "segue_model_swap_seconds_count",
        "segue_model_swaps_total",
        "segue_model_load_seconds_count",
        "segue_registry_generation",
        "segue_model_info",
    ];
    let has = |loader: &Loader, name: &str| {
        let page = loader.workshop.metrics.page().unwrap();
        page.lines().any(|line| line.starts_with(&format!("{name}{{model=\"churn\"")))
    };
    assert!(series.iter().all(|name| has(&loader, name)));
    let late = wanted.try_recv().unwrap();
    let loaded = loader.workshop.registry.load(&late.0, late.1).unwrap();
    std::fs::remove_dir_all(folder.path().join("churn")).unwrap();
    loader.poll();
    let outcome = loader.workshop.take(loaded);
    loader.loaded(late, outcome);
    loader.poll();
    let left: Vec<&str> = series.into_iter().filter(|name| has(&loader, name)).collect();
    assert!(left.is_empty(), "{left:?}");
}
