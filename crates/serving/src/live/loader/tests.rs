use segue_dataset::{Feature, Schema, TargetKind};
use segue_model::{
    Calibration, Combine, Ensemble, GoldenRow, Link, Model, ModelParts, Tree, encode_golden,
};
use segue_registry::{Draft, GatePolicy, PromoteRequest, VersionSummary};

use super::*;
use crate::live::Variant;

/// A loader whose thread is the test's own, and the versions that it wants loaded.
fn loader() -> (Loader, Receiver<Wanted>) {
    let (jobs, wanted) = channel();
    let registry = Registry::open("memory:///models").unwrap();
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
